import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from embedded_aws.server import Fault
from tests.embedded_aws.tenant import Tenant, eventually

EAST, WEST, THIRD = "us-east-1", "us-west-2", "eu-west-1"
FOREVER = 3600.0
TABLE = "ledger"

Write = Callable[[Any], object]


@pytest.fixture(scope="module")
def lagging_aws() -> Iterator[EmbeddedAws]:
    """One of its own: other tests need their regions, and no lag."""
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(autouse=True)
def no_lag_and_no_fault_is_left(lagging_aws: EmbeddedAws) -> Iterator[None]:
    yield
    lagging_aws.set_replication_lag(0)
    for region in lagging_aws.failed_regions():
        lagging_aws.restore_region(region)


class GlobalTable:
    """A global table of three regions, in an account of its own."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account = aws, Tenant(aws)
        regions = (EAST, WEST, THIRD)
        self.replicas: dict[str, Any] = {region: self.account.client("dynamodb", region) for region in regions}
        self.create()

    def create(self) -> None:
        self.replicas[EAST].create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
        )
        updates = [{"Create": {"RegionName": region}} for region in (WEST, THIRD)]
        self.replicas[EAST].update_table(TableName=TABLE, ReplicaUpdates=updates)

    def put(self, region: str, name: str, value: str = "") -> None:
        self.replicas[region].put_item(TableName=TABLE, Item=item(name, value))

    def delete(self, region: str, name: str) -> None:
        self.replicas[region].delete_item(TableName=TABLE, Key=key(name))

    def holds(self, region: str) -> dict[str, str]:
        """What this replica holds, by name."""
        found = self.replicas[region].scan(TableName=TABLE, ConsistentRead=True)["Items"]
        return {each["id"]["S"]: each["value"]["S"] for each in found}

    def converges_to(self, expected: dict[str, str]) -> bool:
        return eventually(lambda: all(self.holds(region) == expected for region in self.replicas))

    def latencies(self, region: str) -> list[float]:
        """The longest that writes of this region took to the west, in milliseconds, for each minute with any."""
        day = timedelta(days=1)
        points = self.account.client("cloudwatch", region).get_metric_statistics(
            Namespace="AWS/DynamoDB",
            MetricName="ReplicationLatency",
            Dimensions=[{"Name": "TableName", "Value": TABLE}, {"Name": "ReceivingRegion", "Value": WEST}],
            StartTime=datetime.now(UTC) - day,
            EndTime=datetime.now(UTC) + day,
            Period=60,
            Statistics=["Maximum"],
            Unit="Milliseconds",
        )["Datapoints"]
        return [point["Maximum"] for point in points]


@pytest.fixture
def table(lagging_aws: EmbeddedAws) -> GlobalTable:
    return GlobalTable(lagging_aws)


def key(name: str) -> dict[str, Any]:
    return {"id": {"S": name}, "at": {"N": "1"}}


def item(name: str, value: str = "") -> dict[str, Any]:
    return {**key(name), "value": {"S": value}}


def update(name: str, value: str) -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "Key": key(name),
        "UpdateExpression": "SET #v = :v",
        "ExpressionAttributeNames": {"#v": "value"},
        "ExpressionAttributeValues": {":v": {"S": value}},
    }


WRITES: dict[str, tuple[Write, dict[str, str]]] = {
    "PutItem": (lambda db: db.put_item(TableName=TABLE, Item=item("new", "1")), {"old": "0", "new": "1"}),
    "UpdateItem": (lambda db: db.update_item(**update("old", "1")), {"old": "1"}),
    "DeleteItem": (lambda db: db.delete_item(TableName=TABLE, Key=key("old")), {}),
    "BatchWriteItem": (
        lambda db: db.batch_write_item(
            RequestItems={TABLE: [{"PutRequest": {"Item": item("new", "1")}}, {"DeleteRequest": {"Key": key("old")}}]}
        ),
        {"new": "1"},
    ),
    "TransactWriteItems": (
        lambda db: db.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": TABLE, "Item": item("new", "1")}},
                {"Update": update("newer", "2")},
                {"Delete": {"TableName": TABLE, "Key": key("old")}},
            ]
        ),
        {"new": "1", "newer": "2"},
    ),
}
each_write_of_each_region = pytest.mark.parametrize(
    ("region", "operation"), [(region, operation) for region in (EAST, WEST) for operation in WRITES]
)


@each_write_of_each_region
def test_a_write_is_not_seen_elsewhere_before_its_lag_is_over(table: GlobalTable, region: str, operation: str) -> None:
    table.put(EAST, "old", "0")
    table.aws.set_replication_lag(FOREVER)
    write, then = WRITES[operation]

    write(table.replicas[region])

    assert {name: table.holds(name) for name in table.replicas} == {
        name: then if name == region else {"old": "0"} for name in table.replicas
    }


@each_write_of_each_region
def test_a_write_is_seen_everywhere_after_its_lag(table: GlobalTable, region: str, operation: str) -> None:
    table.put(EAST, "old", "0")
    table.aws.set_replication_lag(0.1)
    write, then = WRITES[operation]

    write(table.replicas[region])

    assert table.converges_to(then)


@pytest.mark.parametrize("writers", [(EAST, WEST), (WEST, EAST), (EAST, WEST, EAST)], ids="-".join)
def test_of_concurrent_writes_the_last_one_wins_everywhere(table: GlobalTable, writers: tuple[str, ...]) -> None:
    table.aws.set_replication_lag(0.5, spread=0)

    for number, region in enumerate(writers):
        table.put(region, "contended", f"{number} {region}")
    table.put(THIRD, "after")  # arrives after all of them

    assert table.converges_to({"contended": f"{len(writers) - 1} {writers[-1]}", "after": ""})


def test_a_deletion_wins_over_an_earlier_write(table: GlobalTable) -> None:
    table.put(EAST, "gone", "0")
    table.aws.set_replication_lag(0.5, spread=0)

    table.put(EAST, "gone", "1")
    table.delete(WEST, "gone")
    table.put(THIRD, "after")

    assert table.converges_to({"after": ""})


OUTAGES: list[Fault] = [{}, {"kind": "hang"}, {"service": "dynamodb"}]


@pytest.mark.parametrize("outage", OUTAGES, ids=["503", "hang", "dynamodb"])
def test_what_was_not_replicated_stays_behind_until_the_region_is_back(table: GlobalTable, outage: Fault) -> None:
    table.aws.set_replication_lag(0)
    table.put(EAST, "replicated")
    table.aws.set_replication_lag(1.5, spread=0)
    table.put(EAST, "left behind")
    table.put(EAST, "contended", "east")

    with table.aws.region_outage(EAST, **outage):
        table.put(WEST, "written meanwhile")
        table.put(WEST, "contended", "west")
        table.put(WEST, "after")
        assert eventually(lambda: "after" in table.holds(THIRD))  # the lag of all that is above is over
        survivors = {"replicated": "", "written meanwhile": "", "contended": "west", "after": ""}
        assert table.holds(WEST) == table.holds(THIRD) == survivors

    assert table.converges_to({**survivors, "left behind": ""})


def test_what_was_left_behind_is_sent_with_a_lag_of_its_own(table: GlobalTable) -> None:
    table.aws.set_replication_lag(1.5, spread=0)
    table.put(EAST, "left behind")
    with table.aws.region_outage(EAST):
        table.put(WEST, "after")
        assert eventually(lambda: "after" in table.holds(THIRD))
        table.aws.set_replication_lag(FOREVER)

    assert (table.holds(EAST), table.holds(WEST)) == ({"left behind": ""}, {"after": ""})


@pytest.mark.parametrize(
    "fault", [{"share": 0.5, "seed": 0}, {"service": "ssm"}], ids=["some calls", "another service"]
)
def test_a_fault_that_leaves_the_database_up_does_not_stop_replication(table: GlobalTable, fault: Fault) -> None:
    table.aws.set_replication_lag(0.1)

    with table.aws.region_outage(EAST, **fault):
        table.put(EAST, "a")  # the first of that seed is served
        assert eventually(lambda: table.holds(WEST)) == {"a": ""}


def test_how_many_writes_are_on_their_way_is_told_and_changes_nothing(table: GlobalTable) -> None:
    before = table.aws.writes_on_their_way()  # those of other tests
    table.aws.set_replication_lag(1.0, spread=0)
    table.put(EAST, "first")
    assert table.aws.writes_on_their_way() == before + 2
    assert eventually(lambda: table.aws.writes_on_their_way() == before)
    assert table.holds(WEST) == {"first": ""}
    table.put(EAST, "second")
    assert table.holds(WEST) == {"first": ""}


def test_writes_that_an_outage_holds_back_are_not_on_their_way_until_it_ends(table: GlobalTable) -> None:
    before = table.aws.writes_on_their_way()
    table.aws.set_replication_lag(0.1, spread=0)
    with table.aws.region_outage(EAST, service="dynamodb"):
        table.put(WEST, "held back")
        assert eventually(lambda: table.aws.writes_on_their_way() == before)
        assert table.holds(THIRD) == {"held back": ""}
        table.aws.set_replication_lag(FOREVER)
    assert table.aws.writes_on_their_way() == before + 1


def test_another_table_of_the_name_does_not_get_what_was_on_its_way(table: GlobalTable) -> None:
    table.aws.set_replication_lag(0.5, spread=0)
    table.put(EAST, "of the former")
    for replica in reversed(table.replicas.values()):  # the region that seeded the others comes last
        replica.delete_table(TableName=TABLE)
    table.create()

    table.put(EAST, "of the new one")

    assert table.converges_to({"of the new one": ""})


def test_how_long_a_write_took_is_a_metric_of_the_region_it_was_made_in(table: GlobalTable) -> None:
    table.aws.set_replication_lag(0.3, spread=0)
    table.put(EAST, "a")
    assert table.converges_to({"a": ""})

    assert [300 <= latency < 60_000 for latency in table.latencies(EAST)] == [True]
    assert table.latencies(WEST) == []


def test_writes_of_an_item_arrive_in_order_whatever_their_lags(table: GlobalTable) -> None:
    table.aws.set_replication_lag(0.05, spread=2, seed=1)
    streams = table.account.client("dynamodbstreams", WEST)
    numbers = [str(number) for number in range(20)]

    for number in numbers:
        table.put(EAST, "counter", number)

    def arrived() -> list[str]:
        arn = table.replicas[WEST].describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
        shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        records = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
        return [record["dynamodb"]["NewImage"]["value"]["S"] for record in records]

    eventually(lambda: arrived()[-1:] == numbers[-1:])
    assert arrived() == numbers


def test_without_a_lag_a_write_is_everywhere_before_it_is_acknowledged(aws: EmbeddedAws) -> None:
    table = GlobalTable(aws)

    table.put(EAST, "a", "1")

    assert [table.holds(region) for region in table.replicas] == [{"a": "1"}] * 3
    assert table.latencies(EAST) == []


def test_a_lag_can_be_given_at_the_start() -> None:
    with EmbeddedAws(replication_lag=FOREVER) as aws:
        table = GlobalTable(aws)
        table.put(EAST, "a")

        assert (table.holds(EAST), table.holds(WEST)) == ({"a": ""}, {})


@pytest.mark.parametrize("region", [EAST, WEST])
@pytest.mark.parametrize("fault", [{"service": "dynamodb-replication"}, {"kind": "cut"}], ids=["paused", "cut"])
def test_replication_can_stall_while_both_regions_serve(table: GlobalTable, region: str, fault: Any) -> None:
    table.aws.set_replication_lag(0.01)
    table.aws.fail_region(region, **fault)
    table.put(EAST, "from-east")
    table.put(WEST, "from-west")
    table.put(EAST, "for-all")
    table.put(WEST, "for-all")
    assert eventually(lambda: "for-all" in table.holds(THIRD))  # later than what was written before it
    assert [sorted(table.holds(each)) for each in (EAST, WEST)] == [["for-all", "from-east"], ["for-all", "from-west"]]
    table.aws.restore_region(region)
    assert table.converges_to(dict.fromkeys(("from-east", "from-west", "for-all"), ""))


@pytest.mark.parametrize("lag", [{"seconds": -1}, {"seconds": float("nan")}, {"seconds": 1, "spread": -1}])
def test_what_is_no_lag_is_refused(lagging_aws: EmbeddedAws, lag: Any) -> None:
    with pytest.raises(EmbeddedAwsError, match="rejected PUT /_replication"):
        lagging_aws.set_replication_lag(**lag)


DRAWN = """
from embedded_aws.patches import replication_lag
from embedded_aws.server import TYPICAL_REPLICATION_SECONDS, TYPICAL_REPLICATION_SPREAD, _lag_query

typical = [TYPICAL_REPLICATION_SECONDS, TYPICAL_REPLICATION_SPREAD]
lags = [replication_lag._Lag.read(_lag_query(*typical, seed=seed)) for seed in (1, 1, 2)]
drawn = [[lag.draw() for _ in range(10_000)] for lag in lags]
print(drawn[0] == drawn[1], drawn[0] == drawn[2], sum(lag < 1 for lag in drawn[0]) // 100, max(drawn[0]) > 1.7)
"""


def test_a_typical_lag_is_usually_below_a_second_and_the_same_for_a_seed() -> None:
    """In a process of its own: patches import ministack, which is the emulator's alone."""
    repository = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", DRAWN], cwd=repository, capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["True", "False", "96", "True"]


def test_upstream_still_replicates_at_once(unpatched_aws: EmbeddedAws) -> None:
    table = GlobalTable(unpatched_aws)
    table.put(EAST, "a")

    assert "a" in table.holds(WEST), "upstream has a lag of its own: replication_lag may go"
