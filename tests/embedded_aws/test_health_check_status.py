"""Alarms on the status of health checks, in a drill's time."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.alarm_evaluation import state_of
from embedded_aws.health_check_status import HealthCheckStatus
from payment_dr.operations.drill.alarm_watch import METRIC

REGIONS = {"primary": "us-east-1", "secondary": "us-west-2"}
ALARM: dict[str, Any] = {
    "AlarmName": "primary-is-unhealthy",
    "Namespace": METRIC[0],
    "MetricName": METRIC[1],
    "Dimensions": [{"Name": "HealthCheckId", "Value": "check"}],
    "Statistic": "Minimum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "LessThanThreshold",
    "TreatMissingData": "breaching",
    "StateValue": "INSUFFICIENT_DATA",
}


class CloudWatch:
    """CloudWatch of a region with one alarm on a status, and one on something else; it may not answer."""

    def __init__(self) -> None:
        self.alarm = dict(ALARM)
        self.is_down = False
        self.refusals = 0
        self.states: list[str] = []

    def get_paginator(self, _operation: str) -> "CloudWatch":
        return self

    def paginate(self) -> Any:
        self.refusals -= 1
        if self.is_down or self.refusals >= 0:
            raise ClientError({"Error": {"Code": "503"}}, "DescribeAlarms")
        return [{"MetricAlarms": [self.alarm, {"AlarmName": "other", "Namespace": "AWS/Lambda"}]}]

    def set_alarm_state(self, *, AlarmName: str, StateValue: str, StateReason: str) -> None:  # noqa: N803 - as boto3 spells it
        assert (AlarmName, bool(StateReason)) == (ALARM["AlarmName"], True)
        self.alarm["StateValue"] = StateValue
        self.states.append(StateValue)


class Route53:
    """Route 53 with a check that an alarm is on, and one that no record follows."""

    def get_paginator(self, _operation: str) -> "Route53":
        return self

    def paginate(self) -> Any:
        return [{"HealthChecks": [{"Id": "check"}, {"Id": "of-no-record"}]}]


class Deployment:
    def __init__(self) -> None:
        self.aws = self
        self.regions = {region: CloudWatch() for region in REGIONS.values()}

    def client(self, service: str, region: str) -> "CloudWatch | Route53":
        return Route53() if service == "route53" else self.regions[region]


class Stack:
    def __init__(self) -> None:
        self.hanging: set[str] = set()

    def region(self, side: str) -> str:
        return REGIONS[side]


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


def status_of(deployment: Deployment, stack: Stack | None = None) -> HealthCheckStatus:
    return HealthCheckStatus(deployment, stack or Stack())  # type: ignore[arg-type]


def test_an_alarm_follows_the_status_once_a_minute_and_where_there_is_no_metric_there_are_no_data(
    deployment: Deployment,
) -> None:
    status, east, west = status_of(deployment), *deployment.regions.values()
    for at, healthy in ((59, True), (60, True), (90, False), (119, False), (120, True), (151, True), (180, True)):
        status(at, {"check": healthy})
    assert east.states == ["OK", "ALARM", "OK"]
    assert west.states == ["ALARM"]


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_region_that_takes_no_calls_takes_no_data_and_evaluates_nothing(deployment: Deployment, how: str) -> None:
    stack, east = Stack(), deployment.regions["us-east-1"]
    status = status_of(deployment, stack)
    status(60, {"check": True})
    east.is_down = how == "fails"
    stack.hanging = {"us-east-1"} if how == "hangs" else set()
    status(300, {"check": False})
    assert east.states == ["OK"]
    east.is_down, stack.hanging = False, set()
    status(330, {"check": True})
    status(360, {"check": True})
    assert east.states == ["OK"]  # nothing was published while it was down


def test_a_region_that_fails_a_share_of_its_calls_goes_on_evaluating(deployment: Deployment) -> None:
    east = deployment.regions["us-east-1"]
    east.refusals = 3
    status_of(deployment)(60, {"check": True})
    assert east.states == ["OK"]


@pytest.mark.parametrize(("check", "states"), [("gone", ["ALARM"]), ("of-no-record", [])])
def test_an_alarm_on_a_check_that_is_gone_has_no_data_and_one_that_is_not_followed_is_left_alone(
    deployment: Deployment, check: str, states: list[str]
) -> None:
    east = deployment.regions["us-east-1"]
    east.alarm["Dimensions"] = [{"Name": "HealthCheckId", "Value": check}]
    status_of(deployment)(60, {"check": True})
    assert east.states == states


HEALTHY, UNHEALTHY = 1.0, 0.0


@pytest.mark.parametrize(
    ("alarm", "data", "state"),
    [
        ({}, [(250, HEALTHY)], "OK"),
        ({}, [(250, UNHEALTHY)], "ALARM"),
        ({}, [], "ALARM"),
        ({}, [(190, HEALTHY)], "OK"),  # a little further back
        ({}, [(100, HEALTHY)], "ALARM"),  # too far back
        ({"TreatMissingData": "notBreaching"}, [], "OK"),
        ({"TreatMissingData": "missing"}, [], "INSUFFICIENT_DATA"),
        ({"TreatMissingData": "ignore", "StateValue": "ALARM"}, [], "ALARM"),
        ({"Threshold": 0.0}, [(250, UNHEALTHY)], "OK"),
        ({"EvaluationPeriods": 2}, [(190, HEALTHY), (250, UNHEALTHY)], "OK"),
        ({"EvaluationPeriods": 2}, [(190, UNHEALTHY), (250, UNHEALTHY)], "ALARM"),
        ({"EvaluationPeriods": 2, "DatapointsToAlarm": 1}, [(190, UNHEALTHY), (250, HEALTHY)], "ALARM"),
        ({"Period": 120}, [(190, UNHEALTHY), (250, HEALTHY)], "ALARM"),
        ({"Period": 120, "Statistic": "Maximum"}, [(190, UNHEALTHY), (250, HEALTHY)], "OK"),
    ],
)
def test_deployed_settings_decide(alarm: dict[str, Any], data: list[tuple[float, float]], state: str) -> None:
    assert state_of(ALARM | alarm, data, at=300) == state
