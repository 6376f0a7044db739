from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow


def stream_of(account: Tenant, table: str) -> str:
    made = account.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def who_may_read_the_stream_of_one_table(account: Tenant) -> Any:
    actions = [f"dynamodb:{name}" for name in ("DescribeStream", "GetShardIterator", "GetRecords")]
    return account.role(allow(actions, "arn:aws:dynamodb:*:*:table/ours/stream/*")).client("dynamodbstreams")


def test_a_policy_can_be_for_the_streams_of_one_table(account: Tenant) -> None:
    ours, theirs = stream_of(account, "ours"), stream_of(account, "theirs")
    account.client("dynamodb").put_item(TableName="ours", Item={"id": {"S": "1"}})
    client, root = who_may_read_the_stream_of_one_table(account), account.client("dynamodbstreams")

    def iterator(by: Any, stream: str) -> str:
        (shard,) = root.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
        found = by.get_shard_iterator(StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        return str(found["ShardIterator"])

    assert client.describe_stream(StreamArn=ours)["StreamDescription"]["TableName"] == "ours"
    (record,) = client.get_records(ShardIterator=iterator(client, ours))["Records"]
    assert record["dynamodb"]["Keys"] == {"id": {"S": "1"}}
    for refused in (
        lambda: client.describe_stream(StreamArn=theirs),
        lambda: iterator(client, theirs),
        lambda: client.get_records(ShardIterator=iterator(root, theirs)),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_without_the_patch_only_a_policy_for_everything_allows_it(unpatched_account: Tenant) -> None:
    ours = stream_of(unpatched_account, "ours")
    with pytest.raises(ClientError, match="AccessDenied"):
        who_may_read_the_stream_of_one_table(unpatched_account).describe_stream(StreamArn=ours)
