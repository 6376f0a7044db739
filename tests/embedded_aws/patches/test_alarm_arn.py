from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow

ALARM: dict[str, Any] = {
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "MetricName": "failures",
    "Namespace": "app",
    "Period": 60,
    "Statistic": "Sum",
    "Threshold": 1,
}


def seen(account: Tenant, granted: str, *, region: str = "us-east-1", **asked: Any) -> list[str]:
    """Names of the alarms that a role with a right for `granted` is shown."""
    for name in ("one", "one-more"):
        account.client("cloudwatch").put_metric_alarm(AlarmName=name, **ALARM)
    arn = f"arn:aws:cloudwatch:us-east-1:{account.account_id}:alarm:{granted}" if granted != "*" else "*"
    cloudwatch = account.role(allow("cloudwatch:DescribeAlarms", arn)).client("cloudwatch", region)
    return [each["AlarmName"] for each in cloudwatch.describe_alarms(**asked)["MetricAlarms"]]


def test_who_may_see_one_alarm_sees_it(account: Tenant) -> None:
    assert seen(account, "one", AlarmNames=["one"]) == ["one"]


@pytest.mark.parametrize(
    "asked",
    [
        {"AlarmNames": ["one-more"]},
        {"AlarmNames": ["one", "one-more"]},
        {},
        {"AlarmNamePrefix": "one"},
        {"AlarmNames": ["one"], "region": "us-west-2"},
    ],
    ids=["another", "both", "all", "prefix", "elsewhere"],
)
def test_and_nothing_else(account: Tenant, asked: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"AccessDenied.* cloudwatch:DescribeAlarms"):
        seen(account, "one", **asked)


@pytest.mark.parametrize("pattern", ["*", "one*"])
def test_by_a_pattern(account: Tenant, pattern: str) -> None:
    assert seen(account, pattern, AlarmNames=["one-more"]) == ["one-more"]


def test_who_may_see_all_alarms_sees_all(account: Tenant) -> None:
    assert seen(account, "*", AlarmNamePrefix="one") == ["one", "one-more"]


def test_upstream_still_checks_against_everything(unpatched_account: Tenant) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):  # if not: upstream fixed this, alarm_arn may go
        seen(unpatched_account, "one", AlarmNames=["one"])
