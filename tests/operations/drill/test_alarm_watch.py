"""Alarms that fire during a drill."""

from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.journal import Journal
from payment_dr.side import Side
from tests.operations.stack import GONE, Stack

EAST, WEST = "alarm-drift-east-dev", "alarm-drift-west-dev"


def test_each_alarm_that_fires_or_clears_is_reported_once(stack: Stack, tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"kind": "region"})
    watch = AlarmWatch(stack, journal)
    assert watch.look() == []
    stack.alarms["secondary"][WEST] = "INSUFFICIENT_DATA"
    assert watch.look() == []
    stack.alarms["secondary"][WEST] = "ALARM"
    assert watch.look() == watch.look() == [WEST]
    stack.alarms["secondary"][WEST] = "OK"
    assert watch.look() == []
    changes = [(e["region"], e["name"], e["state"]) for e in journal.content["events"] if e["kind"] == "alarm"]
    assert len(changes) == len(journal.content["events"])
    assert changes == [("us-west-2", WEST, "ALARM"), ("us-west-2", WEST, "OK")]
    assert watch.fired == [WEST]


def test_it_looks_again_when_drill_time_has_passed(stack: Stack, tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"kind": "region"})
    watch = AlarmWatch(stack, journal)
    watch.look_when_due()
    stack.alarms["primary"][EAST] = "ALARM"
    journal.now = 14.9
    watch.look_when_due()
    assert watch.fired == []
    journal.now = 15.0
    watch.look_when_due()
    assert watch.fired == [EAST]


def test_a_region_that_is_gone_is_as_it_was(stack: Stack, tmp_path: Path) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    stack.alarms["primary"][EAST] = "ALARM"
    assert watch.look() == [EAST]
    stack.failing["cloudwatch", "primary"] = GONE
    assert watch.look() == [EAST]


def test_a_look_while_time_passes_asks_a_region_a_single_time(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []
    client = stack.client

    def noted(service: str, side: Side, *, seconds: float | None = None) -> Any:
        limits.append(seconds)
        return client(service, side)

    monkeypatch.setattr(stack, "client", noted)
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    watch.look()
    watch.look_when_due()
    assert limits == [None, None, 4, 4]


def of_check(id_: str, **others: Any) -> dict[str, Any]:
    """An alarm on the status of a health check."""
    dimensions = [{"Name": "HealthCheckId", "Value": id_}]
    return {"Namespace": "AWS/Route53", "MetricName": "HealthCheckStatus", "Dimensions": dimensions, **others}


CHECKS: dict[Side, str] = {"primary": "check-primary", "secondary": "check-secondary"}


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (of_check("check-primary"), {"primary": [EAST]}),
        (of_check("check-secondary"), {"primary": []}),
        (of_check("check-primary", MetricName="HealthCheckPercentageHealthy"), {"primary": []}),
        ({}, {"primary": []}),
    ],
)
def test_the_alarm_on_the_health_check_of_a_side_must_fire(
    described: dict[str, Any], expected: dict[Side, list[str]], stack: Stack, tmp_path: Path
) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    stack.described = {EAST: described}
    watch.expect(["primary"], CHECKS)
    assert watch.expected == expected
    assert not watch.have_fired()
    stack.alarms["primary"][EAST] = "ALARM"
    watch.look()
    assert watch.have_fired() == (expected["primary"] != [])
    assert not watch.are_clear()
    stack.alarms["primary"][EAST] = "OK"
    watch.look()
    assert watch.are_clear()


def test_an_alarm_in_a_region_without_the_metric_is_not_expected_to_fire(stack: Stack, tmp_path: Path) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    stack.described = {WEST: of_check("check-primary")}
    watch.expect(["primary"], CHECKS)
    assert watch.expected == {"primary": []}


def test_a_side_without_a_health_check_or_without_a_region_with_the_metric_needs_no_alarm(
    stack: Stack, tmp_path: Path
) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    watch.expect(["primary"], {"secondary": "check-secondary"})
    assert watch.expected == {}
    stack.outputs["primary_region"] = "eu-west-1"
    watch.expect(["primary"], CHECKS)
    assert watch.expected == {}


def test_where_no_alarm_must_fire_none_is_waited_for(stack: Stack, tmp_path: Path) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "region"}))
    watch.expect([], CHECKS)
    assert (watch.expected, watch.have_fired(), watch.are_clear()) == ({}, True, True)


def test_a_region_that_hangs_is_not_asked(stack: Stack, tmp_path: Path) -> None:
    watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "hang"}))
    stack.alarms = {"primary": {EAST: "ALARM"}, "secondary": {WEST: "ALARM"}}
    watch.hanging = ["primary"]
    assert watch.look() == [WEST]
    watch.hanging = ()
    assert watch.look() == [EAST, WEST]
