from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow

CALLS: dict[str, Callable[[Any, str], Any]] = {
    "put_item": lambda client, key: client.put_item(TableName="table", Item={"id": {"S": key}}),
    "get_item": lambda client, key: client.get_item(TableName="table", Key={"id": {"S": key}}),
    "query": lambda client, key: client.query(
        TableName="table", KeyConditionExpression="id = :id", ExpressionAttributeValues={":id": {"S": key}}
    ),
    "query by a placeholder": lambda client, key: client.query(
        TableName="table",
        KeyConditionExpression="#key=:id",
        ExpressionAttributeNames={"#key": "id"},
        ExpressionAttributeValues={":id": {"S": key}},
    ),
    "batch_get_item": lambda client, key: client.batch_get_item(
        RequestItems={"table": {"Keys": [{"id": {"S": "test-1"}}, {"id": {"S": key}}]}}
    ),
    "batch_write_item": lambda client, key: client.batch_write_item(
        RequestItems={"table": [{"PutRequest": {"Item": {"id": {"S": key}}}}]}
    ),
    "delete_item": lambda client, key: client.delete_item(TableName="table", Key={"id": {"S": key}}),
}


def who_may_touch_test_items(account: Tenant) -> Any:
    account.client("dynamodb").create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["test-*"]}}
    actions = ["dynamodb:*Item", "dynamodb:Query"]
    return account.role(allow(actions, "arn:aws:dynamodb:*:*:table/table", condition)).client("dynamodb")


def test_a_policy_can_be_for_some_items_of_a_table(account: Tenant) -> None:
    client = who_may_touch_test_items(account)
    for call in CALLS.values():
        call(client, "test-2")
        with pytest.raises(ClientError, match="AccessDenied"):
            call(client, "payment")


def test_upstream_still_lets_it_touch_all_items(unpatched_account: Tenant) -> None:
    client = who_may_touch_test_items(unpatched_account)
    for call in CALLS.values():
        call(client, "payment")  # if not: upstream fixed this, leading_keys may go
