from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws import EmbeddedAws
from tests.embedded_aws.patches.test_replication_role import Buckets
from tests.embedded_aws.tenant import Tenant

EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture(scope="module")
def failing_aws() -> Iterator[EmbeddedAws]:
    """One of its own: other tests need their regions."""
    with EmbeddedAws() as running:
        yield running


@pytest.fixture
def tenant(failing_aws: EmbeddedAws) -> Iterator[Tenant]:
    yield Tenant(failing_aws)
    for region in failing_aws.failed_regions():
        failing_aws.restore_region(region)


@pytest.mark.parametrize(("region", "kind"), [(WEST, "error"), (WEST, "cut"), (EAST, "cut")])
def test_a_document_waits_for_a_region_that_is_down_or_cut_off_and_arrives_with_its_tags(
    tenant: Tenant, failing_aws: EmbeddedAws, region: str, kind: Any
) -> None:
    buckets = Buckets(tenant)
    east, west = buckets.s3[buckets.source], buckets.s3[buckets.target]
    failing_aws.fail_region(region, kind=kind)
    east.put_object(Bucket=buckets.source, Key="receipt", Body=b"paid", Tagging="kind=receipt")

    assert east.head_object(Bucket=buckets.source, Key="receipt")["ReplicationStatus"] == "PENDING"
    failing_aws.restore_region(region)

    assert east.head_object(Bucket=buckets.source, Key="receipt")["ReplicationStatus"] == "COMPLETED"
    assert west.get_object(Bucket=buckets.target, Key="receipt")["Body"].read() == b"paid"
    tags = west.get_object_tagging(Bucket=buckets.target, Key="receipt")["TagSet"]
    assert tags == [{"Key": "kind", "Value": "receipt"}]


def test_versions_arrive_in_the_order_in_which_they_were_written(tenant: Tenant, failing_aws: EmbeddedAws) -> None:
    buckets = Buckets(tenant)
    failing_aws.fail_region(WEST)
    for body in (b"first", b"corrected"):
        buckets.s3[buckets.source].put_object(Bucket=buckets.source, Key="receipt", Body=body)
    failing_aws.restore_region(WEST)

    west = buckets.s3[buckets.target]
    assert west.get_object(Bucket=buckets.target, Key="receipt")["Body"].read() == b"corrected"
    assert len(west.list_object_versions(Bucket=buckets.target)["Versions"]) == 2


def test_an_outage_of_another_service_holds_nothing_up(tenant: Tenant, failing_aws: EmbeddedAws) -> None:
    buckets = Buckets(tenant)
    failing_aws.fail_region(WEST, service="dynamodb")

    assert buckets.put() == "COMPLETED"
