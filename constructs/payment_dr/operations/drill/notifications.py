"""Whether alarms that fired reached a subscriber."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from payment_dr.operations import probes
from payment_dr.operations.aws import asked, listed
from payment_dr.operations.deployed import Deployed
from payment_dr.side import SIDES, Side


def undelivered(stack: Deployed, names: list[str], since: datetime) -> list[str]:
    """Why alarms that fired have reached nobody, a sentence for each.

    This does not check whether a subscriber has confirmed: `dr status` reports that.

    Args:
        stack: The deployed stack.
        names: The alarms.
        since: What happened before is left out.

    Raises:
        CannotTellError: A region does not answer.

    Example:
        >>> undelivered(stack, ["alarm-app-primary-health-check-east-dev"], since)  # doctest: +SKIP
        ['alarm-app-primary-health-check-east-dev has no action in ALARM']
    """
    return [
        f"{alarm['AlarmName']} {why}"
        for side in SIDES
        for alarm in probes.described_alarms(stack, side)
        if alarm["AlarmName"] in names
        for why in _why_not(stack, side, alarm, since)
    ]


def _why_not(stack: Deployed, side: Side, alarm: Mapping[str, Any], since: datetime) -> Iterator[str]:
    actions = alarm.get("AlarmActions") or []
    if not actions:
        yield "has no action in ALARM"
    elif not alarm.get("ActionsEnabled", True):
        yield "has its actions disabled"
    else:
        history = _actions_of(stack, side, alarm["AlarmName"], since)
        reached = [arn for arn in actions if any(f"Successfully executed action {arn}" == each for each in history)]
        if not reached:
            yield f"reached none of its topics: {next(iter(history), 'its history has no action')}"
        elif not any(_subscriptions(stack, side, arn) for arn in reached):
            yield f"reached {', '.join(reached)}, which has no subscription"


def _actions_of(stack: Deployed, side: Side, name: str, since: datetime) -> list[str]:
    client = stack.client("cloudwatch", side)
    answer = asked(
        f"CloudWatch in {stack.region(side)}",
        lambda: client.describe_alarm_history(AlarmName=name, HistoryItemType="Action", StartDate=since),
    )
    return [each["HistorySummary"] for each in answer["AlarmHistoryItems"]]


def _subscriptions(stack: Deployed, side: Side, topic: str) -> list[Any]:
    client = stack.client("sns", side)
    return asked(
        f"SNS in {stack.region(side)}",
        lambda: list(listed(client, "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)),
    )
