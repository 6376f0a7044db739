"""Alarms that ring during a drill."""

from pathlib import Path

from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.journal import Journal
from tests.operations.stack import GONE, Stack

EAST, WEST = "alarm-drift-east-dev", "alarm-drift-west-dev"


def test_what_rings_and_what_is_silent_again_is_told_once(stack: Stack, tmp_path: Path) -> None:
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
