from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant

ALARM: dict[str, Any] = {
    "AlarmName": "writes-fail",
    "Namespace": "Shop",
    "MetricName": "Failures",
    "Statistic": "Minimum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "Threshold": 0.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
HTTPS = {"Type": "HTTPS", "FullyQualifiedDomainName": "a.shop.test"}
OF_THE_ALARM: dict[str, Any] = {
    "Type": "CLOUDWATCH_METRIC",
    "AlarmIdentifier": {"Region": "us-west-2", "Name": "writes-fail"},
    "InsufficientDataHealthStatus": "LastKnownStatus",
}
MATH = {
    "Metrics": [
        {"Id": "all", "Expression": "SUM(METRICS())", "ReturnData": True},
        {
            "Id": "one",
            "MetricStat": {"Metric": {"Namespace": "Shop", "MetricName": "Failures"}, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        },
    ]
}


def create(account: Tenant, reference: str, **config: Any) -> str:
    made = account.client("route53").create_health_check(CallerReference=reference, HealthCheckConfig=config)
    id_: str = made["HealthCheck"]["Id"]
    return id_


def put_alarm(account: Tenant, **changed: Any) -> None:
    without = {"Statistic"} if "ExtendedStatistic" in changed else set()
    if "Metrics" in changed:
        without = {"Namespace", "MetricName", "Statistic", "Period"}
    alarm = {name: value for name, value in ALARM.items() if name not in without}
    account.client("cloudwatch", "us-west-2").put_metric_alarm(**(alarm | changed))


def test_a_calculated_check_of_a_probe_and_an_alarm_in_another_region_is_taken(account: Tenant) -> None:
    put_alarm(account)
    children = [create(account, "probe", **HTTPS), create(account, "alarm", **OF_THE_ALARM)]
    id_ = create(account, "both", Type="CALCULATED", ChildHealthChecks=children, HealthThreshold=2)

    found = account.client("route53").get_health_check(HealthCheckId=id_)["HealthCheck"]["HealthCheckConfig"]
    assert (found["Type"], found["ChildHealthChecks"], found["HealthThreshold"]) == ("CALCULATED", children, 2)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        HTTPS | {"AlarmIdentifier": OF_THE_ALARM["AlarmIdentifier"]},
        "Basic health checks must not have an metric region",
    ),
    ({"Type": "CALCULATED", "ChildHealthChecks": ["a"]}, "Calculated health checks must have a health threshold"),
    (
        {"Type": "CALCULATED", "ChildHealthChecks": ["a"], "HealthThreshold": 1, "FailureThreshold": 3},
        "Calculated health checks must not have a failure threshold specified",
    ),
    (OF_THE_ALARM | {"Port": 443}, "Cloudwatch metric health checks must not have a port specified"),
    ({"Type": "CLOUDWATCH_METRIC"}, "Cloudwatch metric health checks must have an alarm specified"),
    (OF_THE_ALARM, "The alarm writes-fail does not exist in us-west-2"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_go_with_its_type_is_refused(account: Tenant, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=f"InvalidInput.*{message}"):
        create(account, "once", **config)
    assert account.client("route53").list_health_checks()["HealthChecks"] == []


@pytest.mark.parametrize(("config", "_message"), REFUSED, ids=[message for _, message in REFUSED])
def test_upstream_still_takes_it(unpatched_account: Tenant, config: dict[str, Any], _message: str) -> None:
    assert create(unpatched_account, "once", **config)


UNFIT: list[tuple[dict[str, Any], str]] = [
    (MATH, "Alarms that use metric math are not supported"),
    ({"ExtendedStatistic": "p99"}, "Extended statistics are not supported"),
    ({"Period": 30}, "High-resolution metrics are not supported"),
    ({"DatapointsToAlarm": 1}, "Alarms of M out of N are not supported"),
]


@pytest.mark.parametrize(("changed", "message"), UNFIT, ids=[message for _, message in UNFIT])
def test_an_alarm_that_route_53_cannot_follow_fails_at_synth(
    account: Tenant, changed: dict[str, Any], message: str
) -> None:
    put_alarm(account, **changed)
    with pytest.raises(ClientError, match=f"InvalidInput.*{message}"):
        create(account, "once", **OF_THE_ALARM)


def test_two_of_two_datapoints_are_no_m_out_of_n(account: Tenant) -> None:
    put_alarm(account, DatapointsToAlarm=2)
    assert create(account, "once", **OF_THE_ALARM)


def test_an_update_is_refused_as_well(account: Tenant) -> None:
    id_ = create(account, "once", **HTTPS)
    with pytest.raises(ClientError, match="Basic health checks must not have an metric region specified"):
        account.client("route53").update_health_check(
            HealthCheckId=id_, AlarmIdentifier=OF_THE_ALARM["AlarmIdentifier"]
        )
