"""Rules for alarms and topics: is anyone notified of a failover?"""

from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.plan import Resource
from payment_dr.operations.gate.rules.base import ROUTE53_GUIDE, Found, Rule, State
from payment_dr.operations.gate.topology import ALARM, CHECK

ROUTE53_METRICS_REGION: Final = "us-east-1"


def _metric_elsewhere(state: State) -> Iterator[Found]:
    for alarm in state.view.of_type(ALARM):
        region = state.topology.region_of(alarm)
        if alarm.text("namespace") == "AWS/Route53" and region not in ("", ROUTE53_METRICS_REGION):
            yield Found(
                alarm.address, f"is in {region}, but Route 53 publishes metrics only in {ROUTE53_METRICS_REGION}"
            )


def _action_elsewhere(state: State) -> Iterator[Found]:
    for alarm in state.view.of_type(ALARM):
        region = state.topology.region_of(alarm)
        for text in state.view.behind(alarm, "alarm_actions").texts:
            part = text.split(":")
            if len(part) > 4 and part[2] == "sns" and region and part[3] and part[3] != region:
                yield Found(alarm.address, f"is in {region} and notifies a topic in {part[3]}: CloudWatch rejects it")
        if not state.view.behind(alarm, "alarm_actions").texts and region:
            topics = state.view.behind(alarm, "alarm_actions", types=("aws_sns_topic",)).resources
            for topic in topics:
                other = state.topology.region_of(topic)
                if topic.type == "aws_sns_topic" and other and other != region:
                    yield Found(
                        alarm.address,
                        f"is in {region} and notifies a topic in {other}: CloudWatch rejects it",
                    )


def _silent(state: State) -> Iterator[Found]:
    followed = {alarm.address for each in state.view.of_type(CHECK) if (alarm := state.topology.alarm_of(each))}
    for alarm in state.view.of_type(ALARM):
        if not _counts(state, alarm) or alarm.address in followed:
            continue
        if alarm.get("actions_enabled") is False:
            yield Found(alarm.address, "has its actions disabled")
        elif alarm.get("alarm_actions") in (None, []):
            yield Found(alarm.address, "has no action, so it notifies nobody")
        if alarm.text("metric_name") == "HealthCheckStatus" and alarm.text("treat_missing_data") in (
            "notBreaching",
            "ignore",
        ):
            yield Found(alarm.address, "does not fire when the health check reports no data")


def _counts(state: State, alarm: Resource) -> bool:
    """Whether an alarm is about what fails over: a health check, or something in one of the regions."""
    region = state.topology.region_of(alarm)
    return alarm.text("namespace") == "AWS/Route53" or not state.regions or region in state.regions


def _watched(state: State) -> dict[str, str]:
    """The health checks that an alarm watches, and the alarm."""
    found: dict[str, str] = {}
    for alarm in state.view.of_type(ALARM):
        metrics: list[tuple[str | int, ...]] = [()]
        metrics += [("metric_query", number, "metric", 0) for number in range(len(alarm.items("metric_query")))]
        for metric in metrics:
            if alarm.text(*metric, "metric_name") == "HealthCheckStatus":
                behind = state.view.behind(alarm, *metric, "dimensions", "HealthCheckId", types=(CHECK,))
                if alarm.get(*metric, "dimensions", "HealthCheckId") is None:
                    behind = state.view.behind(alarm, *metric, "dimensions", types=(CHECK,))
                found |= {each.address: alarm.address for each in behind.resources}
    return found


def _alarm_lost(after: State, before: State) -> Iterator[Found]:
    was, is_ = _watched(before), _watched(after)
    watched = {part for check in is_ for part in after.parts(check)}  # an alarm on a calculated check watches its parts
    for check, alarm in was.items():
        if check in after.deciding and check not in watched:
            yield Found(alarm, f"no longer watches {check}, and no other alarm does")


def _unheard(after: State, before: State) -> Iterator[Found]:
    kind, attribute = "aws_sns_topic_subscription", "topic_arn"
    was, is_ = before.parents(kind, attribute, "aws_sns_topic"), after.parents(kind, attribute, "aws_sns_topic")
    alarmed = {
        topic.address
        for alarm in before.view.of_type(ALARM)
        for topic in before.view.behind(alarm, "alarm_actions", types=("aws_sns_topic",)).resources
    }
    for topic, subscription in was.items():
        if topic in alarmed and topic in after.view.resources and topic not in is_:
            yield Found(subscription, f"is the last subscription of {topic}, so its messages reach nobody")


_HEALTH: Final = f"{ROUTE53_GUIDE}monitoring-health-checks.html"
_MISSING_DATA: Final = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html"
# AWS states nowhere that the topic must be in the alarm's region. PutMetricAlarm answers "ValidationError: Invalid
# region ca-central-1 specified. Only us-west-2 is supported.": https://github.com/cds-snc/notification-terraform/pull/128
_PUT_ALARM: Final = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"

RULES: Final = (
    Rule(
        "alarm-metric-elsewhere",
        "An alarm outside us-east-1 watches a Route 53 metric, and Route 53 publishes metrics only in us-east-1.",
        "Create the alarm in us-east-1.",
        _HEALTH,
        "warning",
        check=_metric_elsewhere,
        also_created=True,
    ),
    Rule(
        "alarm-action-elsewhere",
        "An alarm notifies a topic of another region, and CloudWatch rejects such an alarm.",
        "Use a topic in the region of the alarm.",
        _PUT_ALARM,
        "warning",
        check=_action_elsewhere,
        also_created=True,
    ),
    Rule(
        "alarm-silent",
        "An alarm has no action, has its actions disabled, or does not fire when data is missing.",
        'Set alarm_actions, actions_enabled = true, and treat_missing_data = "breaching".',
        _MISSING_DATA,
        "warning",
        check=_silent,
    ),
    Rule(
        "alarm-lost",
        "A health check that decides a failover loses its last alarm.",
        "Keep an alarm on HealthCheckStatus of this health check.",
        _HEALTH,
        change=_alarm_lost,
    ),
    Rule(
        "topic-unheard",
        "A topic that alarms use loses its last subscription.",
        "Keep a subscription, or create the new one before you remove the old one.",
        "https://docs.aws.amazon.com/sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html",
        change=_unheard,
    ),
)
