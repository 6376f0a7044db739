from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant

CNAME = {"Name": "app.shop.test", "Type": "CNAME", "TTL": 30, "ResourceRecords": [{"Value": "east.acme.io"}]}
A = {"Name": "app.shop.test", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "192.0.2.1"}]}
WEST = "Z2OJLYMUO9EFXC"


def weighted(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {**record, "SetIdentifier": name, "Weight": 1}


def alias(zone: str, region: str = "us-west-2") -> dict[str, Any]:
    target = {
        "DNSName": f"d-1.execute-api.{region}.amazonaws.com",
        "HostedZoneId": zone,
        "EvaluateTargetHealth": True,
    }
    return {"Name": "app.shop.test", "Type": "A", "AliasTarget": target}


class Zone:
    def __init__(self, account: Tenant) -> None:
        self._client = account.client("route53")
        self._id = self._client.create_hosted_zone(Name="shop.test", CallerReference="once")["HostedZone"]["Id"]

    def change(self, *changes: tuple[str, dict[str, Any]]) -> None:
        batch = [{"Action": action, "ResourceRecordSet": record} for action, record in changes]
        self._client.change_resource_record_sets(HostedZoneId=self._id, ChangeBatch={"Changes": batch})

    @property
    def ttls(self) -> list[int]:
        found = self._client.list_resource_record_sets(HostedZoneId=self._id)["ResourceRecordSets"]
        return [record["TTL"] for record in found if record["Name"] == "app.shop.test."]

    @property
    def types(self) -> list[str]:
        found = self._client.list_resource_record_sets(HostedZoneId=self._id)["ResourceRecordSets"]
        return [record["Type"] for record in found if record["Name"] == "app.shop.test."]


@pytest.fixture
def zone(account: Tenant) -> Zone:
    return Zone(account)


def test_nothing_is_beside_a_cname(zone: Zone) -> None:
    zone.change(("CREATE", CNAME))
    with pytest.raises(ClientError, match=r"type CNAME with the same DNS name already exists in zone shop\.test\."):
        zone.change(("CREATE", A))
    assert zone.types == ["CNAME"]


def test_a_cname_is_beside_nothing(zone: Zone) -> None:
    zone.change(("CREATE", A))
    with pytest.raises(ClientError, match="is not permitted as it conflicts with other records with the same DNS name"):
        zone.change(("UPSERT", CNAME))
    assert zone.types == ["A"]


def test_one_batch_may_put_one_in_the_place_of_the_other_in_this_order(zone: Zone) -> None:
    zone.change(("CREATE", CNAME))
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        zone.change(("CREATE", A), ("DELETE", CNAME))
    zone.change(("DELETE", CNAME), ("CREATE", A))
    assert zone.types == ["A"]


def test_of_two_weighted_records_neither_can_change_its_type_alone(zone: Zone) -> None:
    zone.change(("CREATE", weighted(CNAME, "east")), ("CREATE", weighted(CNAME, "west")))
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        zone.change(("DELETE", weighted(CNAME, "east")), ("CREATE", weighted(A, "east")))
    assert zone.types == ["CNAME", "CNAME"]


def test_of_two_weighted_records_neither_can_change_its_ttl_alone(zone: Zone) -> None:
    east, west = weighted(CNAME, "east"), weighted(CNAME, "west")
    zone.change(("CREATE", east), ("CREATE", west))
    refused = r"type CNAME, SetIdentifier east cannot be created as weighted sets must contain the same TTL\."
    with pytest.raises(ClientError, match=refused):
        zone.change(("UPSERT", {**east, "TTL": 60}))
    with pytest.raises(ClientError, match=refused):
        zone.change(("UPSERT", {**east, "TTL": 60}), ("UPSERT", {**west, "TTL": 60}))
    assert zone.ttls == [30, 30]
    both = [("CREATE", {**record, "TTL": 60}) for record in (east, west)]
    zone.change(("DELETE", east), ("DELETE", west), *both)
    assert zone.ttls == [60, 60]


def test_an_alias_has_no_ttl_that_others_must_have(zone: Zone) -> None:
    zone.change(("CREATE", weighted(A, "east")), ("CREATE", weighted(alias(WEST), "west")))
    assert zone.types == ["A", "A"]


def test_no_weighted_record_is_beside_a_simple_one(zone: Zone) -> None:
    zone.change(("CREATE", CNAME))
    with pytest.raises(ClientError, match="cannot be created as a non-weighted set exists with the same name and type"):
        zone.change(("UPSERT", weighted(CNAME, "east")))
    zone.change(("DELETE", CNAME), ("CREATE", weighted(CNAME, "east")))
    with pytest.raises(ClientError, match="cannot be created as other RRSets exist with the same name and type"):
        zone.change(("CREATE", CNAME))
    assert zone.types == ["CNAME"]


def test_an_alias_names_the_zone_of_its_targets_region(zone: Zone) -> None:
    with pytest.raises(ClientError, match="but the alias target name does not lie within the target zone"):
        zone.change(("CREATE", alias("Z1UJRXOUMOOFQ8")))
    zone.change(("CREATE", alias(WEST)), ("CREATE", {**alias("Z123", "xx-nowhere-1"), "Name": "b.shop.test"}))
    assert zone.types == ["A"]


def test_what_is_no_batch_is_refused_as_before(account: Tenant) -> None:
    client = account.client("route53")
    with pytest.raises(client.exceptions.NoSuchHostedZone):
        client.change_resource_record_sets(
            HostedZoneId="ZNOWHERE", ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": A}]}
        )


@pytest.mark.parametrize(
    "records",
    [
        (CNAME, A),
        (alias("Z1UJRXOUMOOFQ8"),),
        (weighted(CNAME, "east"), weighted({**CNAME, "TTL": 60}, "west")),
        (CNAME, weighted(CNAME, "east")),
    ],
    ids=["cname", "alias", "ttl", "simple"],
)
def test_upstream_still_takes_them(unpatched_account: Tenant, records: tuple[dict[str, Any], ...]) -> None:
    zone = Zone(unpatched_account)
    zone.change(*(("CREATE", record) for record in records))
    assert sorted(zone.types) == sorted(record["Type"] for record in records)
