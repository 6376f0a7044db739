"""`dr records`: one batch that puts the planned records in the place of those that have the name."""

from types import SimpleNamespace
from typing import Any

import pytest

from payment_dr.operations.errors import OperationError
from payment_dr.operations.records import change_at_once, planned_batch

NAME = "app.pay.acme.io"
CHECKS = {"primary": "check-1", "secondary": "check-2"}


def planned(side: str, *, ttl: int | None = 30, unknown: dict[str, Any] | None = None, **after: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "zone_id": "Z1",
        "name": NAME,
        "type": "CNAME",
        "ttl": ttl,
        "records": [f"{side}.acme.io"],
        "set_identifier": side,
        "weighted_routing_policy": [{"weight": 100 if side == "primary" else 0}],
        "health_check_id": CHECKS[side],
        **after,
    }
    return {"type": "aws_route53_record", "change": {"after": values, "after_unknown": unknown or {}}}


def record(side: str, ttl: int = 30) -> dict[str, Any]:
    return {
        "Name": f"{NAME}.",
        "Type": "CNAME",
        "SetIdentifier": side,
        "Weight": 100 if side == "primary" else 0,
        "TTL": ttl,
        "ResourceRecords": [{"Value": f"{side}.acme.io"}],
        "HealthCheckId": CHECKS[side],
    }


class Route53:
    """A zone with some records, which notes what it is asked to change."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self._records = records
        self.batches: list[dict[str, Any]] = []

    def __call__(self, service: str, region: str) -> Any:
        assert (service, region) == ("route53", "us-east-1")
        return self

    def can_paginate(self, _operation: str) -> bool:
        return False

    def list_resource_record_sets(self, *, HostedZoneId: str) -> Any:  # noqa: N803 - boto3's
        assert HostedZoneId == "Z1"
        return {"ResourceRecordSets": [{"Name": "other.acme.io.", "Type": "A"}, *self._records]}

    def change_resource_record_sets(self, **batch: Any) -> Any:
        self.batches.append(batch)
        return {"ChangeInfo": {"Id": "C1"}}

    def get_waiter(self, name: str) -> Any:
        def wait(**asked: Any) -> None:
            assert (name, asked["Id"]) == ("resource_record_sets_changed", "C1")
            self.batches.append({"waited": True})

        return SimpleNamespace(wait=wait)


def terraform(*changes: dict[str, Any]) -> Any:
    others = [
        {"type": "aws_vpc", "change": {"after": None}},
        {"type": "aws_route53_record", "change": {"after": {"weighted_routing_policy": []}}},
    ]
    return SimpleNamespace(plan=lambda **_: SimpleNamespace(json={"resource_changes": [*others, *changes]}))


def test_both_records_are_deleted_and_created_in_one_batch_that_is_waited_for() -> None:
    route53 = Route53(record("primary"), record("secondary"))
    batch = planned_batch(terraform(planned("primary", ttl=60), planned("secondary", ttl=60)), route53)
    assert batch.name == NAME
    assert batch.lines == [
        f"delete: {NAME}. CNAME primary.acme.io (primary, weight 100, TTL 30 s)",
        f"delete: {NAME}. CNAME secondary.acme.io (secondary, weight 0, TTL 30 s)",
        f"create: {NAME}. CNAME primary.acme.io (primary, weight 100, TTL 60 s)",
        f"create: {NAME}. CNAME secondary.acme.io (secondary, weight 0, TTL 60 s)",
    ]
    change_at_once(batch, route53)
    sides = ("primary", "secondary")
    assert route53.batches == [
        {
            "HostedZoneId": "Z1",
            "ChangeBatch": {
                "Changes": [
                    *({"Action": "DELETE", "ResourceRecordSet": record(side)} for side in sides),
                    *({"Action": "CREATE", "ResourceRecordSet": record(side, 60)} for side in sides),
                ]
            },
        },
        {"waited": True},
    ]


def test_records_that_are_as_planned_are_left_alone() -> None:
    route53 = Route53(record("secondary"), record("primary"))
    assert planned_batch(terraform(planned("primary"), planned("secondary")), route53).changes == []


def alias(side: str) -> dict[str, Any]:
    target = {"name": f"d-{side}.execute-api.acme.io", "zone_id": "ZAPI", "evaluate_target_health": True}
    return planned(side, ttl=None, type="A", records=None, alias=[target])


def test_addresses_of_a_live_application_make_way_for_aliases_and_other_records_stay() -> None:
    live: list[Any] = [
        {"Name": f"{NAME}.", "Type": type_, "TTL": 300, "ResourceRecords": []} for type_ in ("A", "AAAA", "TXT")
    ]
    batch = planned_batch(terraform(alias("primary"), alias("secondary")), Route53(*live))
    assert list(batch.deleted) == live[:2]
    assert batch.created[0] == {
        "Name": f"{NAME}.",
        "Type": "A",
        "SetIdentifier": "primary",
        "Weight": 100,
        "HealthCheckId": "check-1",
        "AliasTarget": {
            "HostedZoneId": "ZAPI",
            "DNSName": "d-primary.execute-api.acme.io",
            "EvaluateTargetHealth": True,
        },
    }
    assert "alias of d-primary.execute-api.acme.io (primary, weight 100)" in batch.lines[2]
    assert planned_batch(terraform(alias("primary")), Route53(dotted(batch.created[0]), live[2])).changes == []


def dotted(record: dict[str, Any]) -> dict[str, Any]:
    """As Route 53 gives it back."""
    return {**record, "AliasTarget": {**record["AliasTarget"], "DNSName": f"{record['AliasTarget']['DNSName']}."}}


@pytest.mark.parametrize(
    ("changes", "there", "error"),
    [
        ([planned("primary", unknown={"health_check_id": True})], [], "health_check_id of a record depends on"),
        ([planned("primary", unknown={"alias": [{"name": True}]})], [], "alias of a record depends on"),
        ([], [], "the plan has weighted records of 0 names"),
        ([planned("primary"), planned("secondary", name="b.acme.io")], [], "weighted records of 2 names"),
        (
            [planned("primary")],
            [{"Name": f"{NAME}.", "Type": "TXT"}, {"Name": f"{NAME}.", "Type": "MX"}],
            f"{NAME} has a record of type MX, TXT, and Route 53 allows no CNAME beside it",
        ),
    ],
)
def test_records_that_cannot_be_one_batch_are_an_error(changes: list[Any], there: list[Any], error: str) -> None:
    with pytest.raises(OperationError, match=error) as raised:
        planned_batch(terraform(*changes), Route53(*there))
    assert raised.value.hint


def test_values_that_terraform_knows_at_any_depth_are_known() -> None:
    known = {"records": [False], "alias": [{}], "id": True, "fqdn": True}
    assert planned_batch(terraform(planned("primary", unknown=known)), Route53()).created == [record("primary")]
