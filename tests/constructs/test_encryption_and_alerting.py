"""EncryptionKey, Alerting, and what every alarm has."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_dr import (
    AlarmTarget,
    Alerting,
    App,
    ConfigurationError,
    DisasterRecoveryStack,
    EncryptionKey,
    Metric,
    Region,
    Subscription,
    TerraformStack,
    metric_alarm,
)
from payment_dr.bindings import KmsKey
from payment_dr.bindings import Testing as CdktfTesting
from tests.constructs.documents import Json, resource

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
RUNBOOK = Path(__file__).resolve().parents[2] / "docs/runbook.md"
SIDES = ["east", "west"]


@pytest.mark.parametrize("side", SIDES)
def test_each_region_has_a_rotated_key_with_an_alias(stack_text: str, stack_json: Json, side: str) -> None:
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        KmsKey.TF_RESOURCE_TYPE,
        {
            "enable_key_rotation": True,
            "deletion_window_in_days": 7,
            "policy": f"${{data.aws_iam_policy_document.encryption_{side}_key_policy.json}}",
        },
    )
    alias = resource(stack_json, "aws_kms_alias", f"encryption_{side}_alias")
    assert (alias["name"], alias["target_key_id"]) == (
        f"alias/dr-encryption-{side}-${{var.environment}}",
        f"${{aws_kms_key.encryption_{side}_key.key_id}}",
    )


@pytest.mark.parametrize("side", SIDES)
def test_each_region_has_an_encrypted_topic_with_an_email_subscriber(stack_json: Json, side: str) -> None:
    topic = resource(stack_json, "aws_sns_topic", f"alerting_{side}_topic")
    assert topic["kms_master_key_id"] == f"${{aws_kms_key.encryption_{side}_key.arn}}"
    subscription = resource(stack_json, "aws_sns_topic_subscription", f"alerting_{side}_email")
    assert (subscription["protocol"], subscription["topic_arn"]) == (
        "email",
        f"${{aws_sns_topic.alerting_{side}_topic.arn}}",
    )
    assert stack_json["variable"]["alert_email"]["default"] == "dr-alerts@example.com"


def test_every_alarm_publishes_to_the_topic_of_its_own_region(stack_json: Json) -> None:
    for name, alarm in stack_json["resource"]["aws_cloudwatch_metric_alarm"].items():
        side = "west" if alarm.get("provider") == "aws.secondary" else "east"
        topic = [f"${{aws_sns_topic.alerting_{side}_topic.arn}}"]
        assert (alarm["alarm_actions"], alarm["ok_actions"]) == (topic, topic), name


# Route 53 publishes the status of a health check every minute, a reconciliation its drift every five minutes, and S3
# the number of documents that wait. The others are published when something happens: an error, a throttled call, a
# request, a write that is replicated.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
PUBLISHED_ALL_THE_TIME = {"HealthCheckStatus", "OperationsPendingReplication", "ParameterDrift"}
# Published by each run that can tell. What cannot is no fault of what the alarm is on, and has a mail of its own.
SAYS_WHEN_DATA_END = "PeerUnhealthy"


def test_missing_data_is_breaching_for_a_metric_that_is_published_all_the_time_and_for_no_other(
    stack_json: Json,
) -> None:
    for name, alarm in stack_json["resource"]["aws_cloudwatch_metric_alarm"].items():
        metrics = [query["metric"] for query in alarm.get("metric_query", []) if "metric" in query] or [alarm]
        names = {metric["metric_name"] for metric in metrics}
        expected = "breaching" if names <= PUBLISHED_ALL_THE_TIME else "notBreaching"
        if names == {SAYS_WHEN_DATA_END}:
            expected = "missing"
        assert alarm["treat_missing_data"] == expected, name
        says = alarm.get("insufficient_data_actions")
        assert says == (alarm["alarm_actions"] if expected == "missing" else None), name


def test_an_alarm_that_fills_missing_periods_looks_at_two_or_more(stack_json: Json) -> None:
    """Data that arrive late are filled first: with one period the alarm would be stuck in what the filler says."""
    filled = {
        name: alarm["evaluation_periods"]
        for name, alarm in stack_json["resource"]["aws_cloudwatch_metric_alarm"].items()
        if any("FILL" in query.get("expression", "") for query in alarm.get("metric_query", []))
    }
    assert filled == {"config_sync_drift_alarm_east": 2, "config_sync_drift_alarm_west": 2}


def test_every_alarm_says_what_to_do_and_leads_to_a_section_of_the_runbook(stack_json: Json) -> None:
    headings = set(re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    for name, alarm in stack_json["resource"]["aws_cloudwatch_metric_alarm"].items():
        what_to_do, _, link = alarm["alarm_description"].partition(" Runbook: ")
        assert what_to_do.endswith("."), name
        path, _, anchor = link.partition("#")
        assert path == "docs/runbook.md"
        assert anchor in headings, name


def test_both_functions_of_each_region_have_alarms_on_errors_and_throttles(stack_json: Json) -> None:
    alarms = stack_json["resource"]["aws_cloudwatch_metric_alarm"].values()
    watched = {
        (alarm["metric_name"], alarm["dimensions"]["FunctionName"])
        for alarm in alarms
        if alarm.get("namespace") == "AWS/Lambda"
        and (alarm["threshold"], alarm["period"], alarm["comparison_operator"]) == (3, 300, "GreaterThanThreshold")
    }
    assert watched == {
        (metric, f"lambda-{purpose}-{side}-${{var.environment}}")
        for metric in ("Errors", "Throttles")
        for purpose in ("health-monitor", "config-sync")
        for side in SIDES
    }


def _metric(**changed: Any) -> Metric:
    usual: Json = {"namespace": "Shop", "name": "Failures", "dimensions": {}, "period_seconds": 60}
    return Metric(**(usual | changed))


@pytest.mark.parametrize(
    ("metrics", "mistake"),
    [
        (
            [_metric(), _metric()],
            "for_health_check: a sum of metrics, or one with fill, is metric math, which Route 53",
        ),
        (
            [_metric(fill=0)],
            "for_health_check: a sum of metrics, or one with fill, is metric math, which Route 53 does",
        ),
        (
            [_metric(period_seconds=10)],
            "for_health_check: period_seconds=10 is a high-resolution alarm, which Route 53",
        ),
    ],
)
def test_an_alarm_that_route_53_cannot_follow_fails_at_synth(
    their_stack: TerraformStack, metrics: list[Metric], mistake: str
) -> None:
    def make(*, for_health_check: bool) -> None:
        metric_alarm(
            their_stack,
            f"alarm_{for_health_check}",
            purpose="failures",
            region=Region(name="eu-north-1"),
            environment="dev",
            target=AlarmTarget(topic_arn="arn:aws:sns:eu-north-1:123456789012:alerts"),
            section="failures",
            metrics=metrics,
            what_to_do="Look.",
            for_health_check=for_health_check,
        )

    make(for_health_check=False)
    with pytest.raises(ConfigurationError) as raised:
        make(for_health_check=True)
    assert [found[: len(mistake)] for found in raised.value.mistakes] == [mistake]


def test_a_description_that_cloudwatch_does_not_take_fails_at_synth(their_stack: TerraformStack) -> None:
    with pytest.raises(ConfigurationError, match=r"1,0\d\d characters, and CloudWatch takes 1,024"):
        metric_alarm(
            their_stack,
            "alarm",
            purpose="failures",
            region=Region(name="eu-north-1"),
            environment="dev",
            target=AlarmTarget(topic_arn="arn:aws:sns:eu-north-1:123456789012:alerts"),
            section="failures",
            metrics=[_metric()],
            what_to_do="x" * 1000,
        )


def test_key_and_topic_work_alone(synthesize: Synthesize) -> None:
    region = Region(name="eu-north-1")

    def fill(scope: TerraformStack) -> None:
        key = EncryptionKey(scope, "key", region=region, environment="prod", purpose="shop", deletion_window_days=30)
        Alerting(scope, "alerts", region=region, environment="prod", key_arn=key.key_arn, email="oncall@acme.io")

    stack = synthesize(fill)
    (key,) = stack["resource"]["aws_kms_key"].values()
    assert key["deletion_window_in_days"] == 30
    assert [alias["name"] for alias in stack["resource"]["aws_kms_alias"].values()] == ["alias/shop-north-prod"]
    assert [topic["name"] for topic in stack["resource"]["aws_sns_topic"].values()] == ["sns-dr-alerts-north-prod"]


PAGER = Subscription(protocol="https", endpoint="https://events.acme.io/dr")
QUEUE = Subscription(protocol="sqs", endpoint="arn:aws:sqs:us-west-2:123456789012:oncall")
FUNCTION = Subscription(protocol="lambda", endpoint="arn:aws:lambda:us-east-1:123456789012:function:oncall:live")


def subscriptions_of(new_app: Callable[[], App], *subscriptions: Subscription) -> Json:
    stack = DisasterRecoveryStack(new_app(), "payment-dr", subscriptions=subscriptions)
    found: Json = json.loads(CdktfTesting.synth(stack))["resource"]["aws_sns_topic_subscription"]
    return {name: each for name, each in found.items() if each["protocol"] != "email"}


def test_each_further_subscriber_gets_the_alarms_of_both_regions(new_app: Callable[[], App]) -> None:
    found = subscriptions_of(new_app, PAGER, QUEUE, FUNCTION)
    assert {
        (each["topic_arn"], each["protocol"], each["endpoint"], each.get("provider")) for each in found.values()
    } == {
        (f"${{aws_sns_topic.alerting_{side}_topic.arn}}", each.protocol, each.endpoint, provider)
        for side, provider in (("east", None), ("west", "aws.secondary"))
        for each in (PAGER, QUEUE, FUNCTION)
    }
    assert subscriptions_of(new_app, FUNCTION, PAGER) == {
        name: each for name, each in found.items() if each["protocol"] != "sqs"
    }, "another order, or one less, replaces no subscription"


def test_a_subscription_keeps_its_address(new_app: Callable[[], App]) -> None:
    """Under another address, each subscription would be replaced, and a pager would have to confirm again."""
    digest = "b5f02089"  # of its endpoint
    assert {*subscriptions_of(new_app, PAGER)} == {f"alerting_{side}_https_{digest}" for side in ("east", "west")}


def test_all_mistakes_in_subscriptions_are_named_with_the_others_in_one_error(new_app: Callable[[], App]) -> None:
    wrong = {
        "https": ("http://acme.io", "https://user:secret@acme.io/", "https://global.sns-api.chatbot.amazonaws.com"),
        "sqs": ("https://sqs.us-east-1.amazonaws.com/123456789012/oncall", f"{QUEUE.endpoint}.fifo"),
        "lambda": ("oncall", "arn:aws:chatbot::123456789012:chat-configuration/slack-channel/oncall"),
    }
    subscriptions = [Subscription(protocol=kind, endpoint=each) for kind, all_ in wrong.items() for each in all_]
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(new_app(), "payment-dr", ttl_seconds=300, subscriptions=[PAGER, *subscriptions, PAGER])
    _, *texts = raised.value.mistakes
    chat = "belongs to a chat configuration, which subscribes by itself; name the topics in its sns_topic_arns"
    expected = [
        "is not an https:// address without a user name; use a value such as 'https://events.",
        "is not an https:// address without a user name; use a value such as 'https://events.",
        chat,
        "is not the ARN of a standard queue (not FIFO); use a value such as 'arn:aws:sqs:",
        "is not the ARN of a standard queue (not FIFO); use a value such as 'arn:aws:sqs:",
        "is not the ARN of a function; use a value such as 'arn:aws:lambda:",
        chat,
        "is given twice; remove one",
    ]
    assert [each.startswith(f"subscriptions[{place}]: endpoint=") for place, each in enumerate(texts, 1)] == [True] * 8
    assert [words in each for words, each in zip(expected, texts, strict=True)] == [True] * 8
