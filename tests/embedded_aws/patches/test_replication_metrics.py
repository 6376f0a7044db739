from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.embedded_aws.patches.test_replication_role import Buckets
from tests.embedded_aws.tenant import Tenant

FAILED, PENDING = "OperationsFailedReplication", "OperationsPendingReplication"
EAST, WEST = "us-east-1", "us-west-2"


def points(account: Tenant, region: str, buckets: Buckets, metric: str) -> Any:
    """How many operations a metric counts of a pair of buckets, and how many of them were published."""
    now = datetime.now(UTC)
    found = account.client("cloudwatch", region).get_metric_statistics(
        Namespace="AWS/S3",
        MetricName=metric,
        Dimensions=[
            {"Name": "SourceBucket", "Value": buckets.source},
            {"Name": "DestinationBucket", "Value": buckets.target},
            {"Name": "RuleId", "Value": "all"},
        ],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return sum(point["Sum"] for point in found), sum(point["SampleCount"] for point in found)


@pytest.mark.parametrize(("missing", "failed"), [("", 0), ("s3:ReplicateObject", 1)])
def test_each_operation_is_counted_in_the_region_of_the_source(account: Tenant, missing: str, failed: int) -> None:
    buckets = Buckets(account, without=missing, metrics=True)

    buckets.put()

    assert points(account, EAST, buckets, FAILED) == (failed, 1)
    assert points(account, WEST, buckets, FAILED) == (0, 0)


def test_what_waits_is_counted_in_the_region_of_the_destination(account: Tenant) -> None:
    buckets = Buckets(account, metrics=True)

    buckets.put()

    assert points(account, WEST, buckets, PENDING) == (0, 1)
    assert points(account, EAST, buckets, PENDING) == (0, 0)


def test_a_rule_without_metrics_publishes_none(account: Tenant) -> None:
    buckets = Buckets(account, without="s3:ReplicateObject")

    buckets.put()

    assert points(account, EAST, buckets, FAILED) == (0, 0)


def test_upstream_still_publishes_nothing(unpatched_account: Tenant) -> None:
    buckets = Buckets(unpatched_account, metrics=True)

    buckets.put()

    assert points(unpatched_account, EAST, buckets, FAILED) == (0, 0), "upstream publishes: replication_metrics may go"
