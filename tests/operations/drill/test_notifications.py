"""Why an alarm that fired has reached nobody."""

from datetime import UTC, datetime
from typing import Any

import pytest

from payment_dr.operations.drill.notifications import undelivered
from tests.operations.stack import OUTPUTS, Stack

NAME = "alarm-drift-east-dev"
TOPIC = OUTPUTS["primary_sns_topic_arn"]
DONE = f"Successfully executed action {TOPIC}"
FAILED = f'Failed to execute action {TOPIC}. Received error: "not authorized"'


@pytest.mark.parametrize(
    ("described", "history", "subscribed", "why"),
    [
        ({"AlarmActions": [TOPIC]}, [DONE], True, None),
        ({"AlarmActions": ["arn:aws:sns:us-east-1:1:gone", TOPIC]}, [FAILED, DONE], True, None),
        ({"AlarmActions": []}, [], True, "has no action in ALARM"),
        ({"AlarmActions": [], "OKActions": [TOPIC]}, [DONE], True, "has no action in ALARM"),
        ({"AlarmActions": [TOPIC], "ActionsEnabled": False}, [], True, "has its actions disabled"),
        ({"AlarmActions": [TOPIC]}, [FAILED], True, f"reached none of its topics: {FAILED}"),
        ({"AlarmActions": [TOPIC]}, [], True, "reached none of its topics: its history has no action"),
        ({"AlarmActions": [TOPIC]}, [DONE], False, f"reached {TOPIC}, which has no subscription"),
    ],
)
def test_each_way_to_reach_nobody_is_named(
    described: dict[str, Any], history: list[str], subscribed: bool, why: str | None, stack: Stack
) -> None:
    stack.described[NAME], stack.history[NAME] = described, history
    if not subscribed:
        stack.subscriptions["primary"] = []
    found = undelivered(stack, [NAME], datetime.now(UTC))
    assert found == ([f"{NAME} {why}"] if why else [])


def test_an_alarm_that_did_not_fire_is_not_checked(stack: Stack) -> None:
    assert undelivered(stack, [], datetime.now(UTC)) == []
