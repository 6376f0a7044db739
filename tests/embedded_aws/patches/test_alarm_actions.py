import json
from typing import Any

import pytest

from tests.embedded_aws.tenant import Tenant

USES_THE_KEY = ["kms:Decrypt", "kms:GenerateDataKey"]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def for_cloudwatch(account: Tenant, actions: list[str], alarm: str = "disk") -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": actions,
        "Resource": "*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account.account_id},
            "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:us-east-1:{account.account_id}:alarm:{alarm}"},
        },
    }


def key(account: Tenant, *statements: dict[str, Any]) -> str:
    owner = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account.account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    arn: str = account.client("kms").create_key(Policy=policy(owner, *statements))["KeyMetadata"]["Arn"]
    return arn


def heard_alarm(account: Tenant, topic_policy: str | None = None, key_id: str | None = None) -> str | None:
    """Which alarm came out behind a topic when one went off, None if none did."""
    attributes = {"KmsMasterKeyId": key_id} if key_id else {}
    sns, cloudwatch = account.client("sns"), account.client("cloudwatch")
    topic = sns.create_topic(Name="alerts", Attributes=attributes)["TopicArn"]
    if topic_policy:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=topic_policy)
    let_sns_in = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "*", "Resource": "*"}
    url, queue = account.queue("alerts", let_sns_in)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    cloudwatch.put_metric_alarm(
        AlarmName="disk",
        Namespace="app",
        MetricName="full",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
    )

    cloudwatch.set_alarm_state(AlarmName="disk", StateValue="ALARM", StateReason="test")

    message = account.receive(url, seconds=1)  # it is in the queue before set_alarm_state answers
    return json.loads(message["Body"])["AlarmName"] if message else None


def actions_in_history(account: Tenant) -> list[str]:
    cloudwatch = account.client("cloudwatch")
    items = cloudwatch.describe_alarm_history(AlarmName="disk", HistoryItemType="Action")["AlarmHistoryItems"]
    return [item["HistorySummary"] for item in items]


def test_an_alarm_passes_the_default_policy_of_a_topic(account: Tenant) -> None:
    assert heard_alarm(account) == "disk"
    topic = f"arn:aws:sns:us-east-1:{account.account_id}:alerts"
    assert actions_in_history(account) == [f"Successfully executed action {topic}"]


def test_an_alarm_passes_policies_that_name_it(account: Tenant) -> None:
    topic_policy = policy(for_cloudwatch(account, ["sns:Publish"]))

    assert heard_alarm(account, topic_policy, key(account, for_cloudwatch(account, USES_THE_KEY))) == "disk"


def test_a_topic_policy_without_cloudwatch_keeps_the_alarm_out(account: Tenant) -> None:
    assert heard_alarm(account, policy(for_cloudwatch(account, ["sns:Publish"], alarm="other"))) is None
    (action,) = actions_in_history(account)
    assert action.startswith(f"Failed to execute action arn:aws:sns:us-east-1:{account.account_id}:alerts. Received")


@pytest.mark.parametrize("granted", [[], ["kms:Decrypt"], ["kms:GenerateDataKey"]], ids=str)
def test_a_key_policy_without_cloudwatch_keeps_the_alarm_out(account: Tenant, granted: list[str]) -> None:
    statements = [for_cloudwatch(account, granted)] if granted else []

    assert heard_alarm(account, key_id=key(account, *statements)) is None


def test_the_aws_managed_key_keeps_the_alarm_out(account: Tenant) -> None:
    assert heard_alarm(account, key_id="alias/aws/sns") is None


def test_upstream_still_lets_every_alarm_in(unpatched_account: Tenant) -> None:
    topic_policy = policy(for_cloudwatch(unpatched_account, ["sns:Publish"], alarm="other"))

    heard = heard_alarm(unpatched_account, topic_policy, key(unpatched_account))

    assert heard == "disk", "upstream asks the policies: alarm_actions may go, or parts of it"
