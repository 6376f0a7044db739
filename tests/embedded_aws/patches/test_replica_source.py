from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant

TABLE = "transactions"


def seeded(account: Tenant) -> Any:
    """A client of the region in which a table is, whose replica was just seeded in us-west-2."""
    client = account.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": "us-west-2"}}])
    return client


def test_it_is_deleted_after_its_replica_alone(account: Tenant) -> None:
    client = seeded(account)
    with pytest.raises(ClientError, match="acted as a source region for new replica"):
        client.delete_table(TableName=TABLE)
    client.update_table(TableName=TABLE, ReplicaUpdates=[{"Delete": {"RegionName": "us-west-2"}}])
    client.delete_table(TableName=TABLE)
    assert client.list_tables()["TableNames"] == []


def test_the_replica_can_be_deleted(account: Tenant) -> None:
    client = seeded(account)
    account.client("dynamodb", "us-west-2").delete_table(TableName=TABLE)
    client.delete_table(TableName=TABLE)
    assert client.list_tables()["TableNames"] == []


def test_upstream_still_deletes_it(unpatched_account: Tenant) -> None:
    client = seeded(unpatched_account)
    client.delete_table(TableName=TABLE)
    assert client.list_tables()["TableNames"] == []
