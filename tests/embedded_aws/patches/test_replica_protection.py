from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant

EAST, WEST = "us-east-1", "us-west-2"


def replicas(account: Tenant) -> dict[str, Any]:
    """A client for each region of a table whose side in the east is protected."""
    clients = {region: account.client("dynamodb", region) for region in (EAST, WEST)}
    clients[EAST].create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        DeletionProtectionEnabled=True,
    )
    clients[EAST].update_table(TableName="table", ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
    return clients


def remove_replica(clients: dict[str, Any]) -> None:
    clients[EAST].update_table(TableName="table", ReplicaUpdates=[{"Delete": {"RegionName": WEST}}])


def is_protected(client: Any) -> bool:
    protected: bool = client.describe_table(TableName="table")["Table"]["DeletionProtectionEnabled"]
    return protected


def test_a_new_replica_is_not_protected_and_goes_though_its_table_is(account: Tenant) -> None:
    clients = replicas(account)

    assert [is_protected(clients[region]) for region in (EAST, WEST)] == [True, False]
    remove_replica(clients)
    with pytest.raises(ClientError, match="protected against deletion"):
        clients[EAST].delete_table(TableName="table")


def test_a_protected_replica_stays(account: Tenant) -> None:
    clients = replicas(account)
    clients[WEST].update_table(TableName="table", DeletionProtectionEnabled=True)

    with pytest.raises(ClientError, match="protected against deletion"):
        remove_replica(clients)

    assert is_protected(clients[WEST])


def test_upstream_still_deletes_a_protected_replica(unpatched_account: Tenant) -> None:
    clients = replicas(unpatched_account)
    clients[WEST].update_table(TableName="table", DeletionProtectionEnabled=True)

    remove_replica(clients)  # once this is refused, replica_protection may go
