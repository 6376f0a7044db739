"""The model of a global table does what the embedded AWS does, call by call, and in the end."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws import EmbeddedAws
from no_loss.world import EAST, REGIONS, WEST, World
from tests.embedded_aws.tenant import Tenant, eventually

KEYS, CALLS = 30, 240
TABLE = "no-loss"


@pytest.fixture
def replicas(aws: EmbeddedAws) -> Iterator[dict[str, Any]]:
    """Clients of a global table in both regions, in an account of its own; with a lag that ends with the test."""
    account = Tenant(aws)
    clients = {region: account.client("dynamodb", region) for region in REGIONS}
    clients[EAST].create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "transaction_id", "KeyType": "HASH"},
            {"AttributeName": "timestamp", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "transaction_id", "AttributeType": "S"},
            {"AttributeName": "timestamp", "AttributeType": "N"},
        ],
    )
    clients[EAST].update_table(TableName=TABLE, ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
    aws.set_replication_lag(0.01, spread=0)
    yield clients
    aws.set_replication_lag(0)


def drawn() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Calls: what, where, the key, and attributes."""
    rng = random.Random(20261126)  # noqa: S311 - it has to be reproducible
    for number in range(CALLS):
        amount = {"amount": {"N": f"{number}.50"}, "tags": {"SS": ["a", "b"]}}
        what = rng.choice(("put", "insert", "insert", "get", "get", "update"))
        yield (
            what,
            rng.choice(REGIONS),
            f"k{rng.randrange(KEYS)}",
            {"seen": {"S": f"{number}"}} if what == "update" else amount,
        )


def sorted_sets(item: dict[str, Any]) -> dict[str, Any]:
    """Sets are in no order."""
    return {name: {"SS": sorted(value["SS"])} if "SS" in value else value for name, value in item.items()}


def asked_of_aws(client: Any, what: str, key: dict[str, Any], attributes: dict[str, Any]) -> Any:
    try:
        if what == "get":
            return sorted_sets(client.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item", {}))
        if what == "update":
            client.update_item(
                TableName=TABLE,
                Key=key,
                UpdateExpression="SET seen = :seen",
                ConditionExpression="attribute_exists(transaction_id)",
                ExpressionAttributeValues={":seen": attributes["seen"]},
            )
            return None
        condition = {
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": "transaction_id"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        client.put_item(TableName=TABLE, Item={**key, **attributes}, **(condition if what == "insert" else {}))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return sorted_sets(error.response["Item"]) if what == "insert" else None  # type: ignore[typeddict-item]
    return None


def asked_of_model(world: World, what: str, region: str, key: dict[str, Any], attributes: dict[str, Any]) -> Any:
    primary = key["transaction_id"]["S"], key["timestamp"]["N"]
    world.run(world.now + 1)
    if what == "get":
        return sorted_sets(world.get(region, primary).get("Item", {}))
    if what == "update":
        return world.update(region, primary, attributes)
    answer = world.put(region, primary, {**key, **attributes}, insert=what == "insert", give_old=True, call=0)
    return sorted_sets(answer.response["Item"]) if isinstance(answer, ClientError) else None  # type: ignore[typeddict-item]


def test_the_model_is_the_embedded_aws_call_by_call(aws: EmbeddedAws, replicas: dict[str, Any]) -> None:
    world, refused = World(), 0
    world.fail(EAST, "does not replicate")
    with aws.region_outage(EAST, service="dynamodb-replication"):
        for what, region, name, attributes in drawn():
            key = {"transaction_id": {"S": name}, "timestamp": {"N": "0"}}
            answer = asked_of_aws(replicas[region], what, key, attributes)
            assert answer == asked_of_model(world, what, region, key, attributes), (what, region, name)
            refused += what == "insert" and answer is not None
    assert refused > 10
    world.recover(EAST, "does not replicate")
    world.run(world.now + 10)
    expected = {
        region: {key[0]: sorted_sets(dict(version.item)) for key, version in items.items()}
        for region, items in world.replicas.items()
    }
    assert expected[EAST] == expected[WEST] != {}

    def held() -> dict[str, Any]:
        return {
            region: {
                item["transaction_id"]["S"]: sorted_sets(item)
                for item in client.scan(TableName=TABLE, ConsistentRead=True)["Items"]
            }
            for region, client in replicas.items()
        }

    eventually(lambda: held() == expected)
    assert held() == expected
