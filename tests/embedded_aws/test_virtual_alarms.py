"""Alarms in a drill's time: what the function behind one logs decides, once a period."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws.virtual_alarms import VirtualAlarms
from payment_dr.operations.errors import OperationError

NAME, REGION = "alarm-writes-fail", "us-east-1"
ALARM: dict[str, Any] = {
    "MetricName": "Failures",
    "Dimensions": [{"Name": "FunctionName", "Value": "canary"}],
    "Statistic": "Minimum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "StateValue": "INSUFFICIENT_DATA",
}


class Deployment:
    """A deployment with one function, which logs a value or is not run.

    Attributes:
        logs: Value of the metric; None if the function cannot be run.
        runs: How often it was called.
        stored: The states that were set in the emulator.
        takes_states: Whether it takes them.
    """

    def __init__(self, **alarm: Any) -> None:
        self.aws = self
        self.alarm = ALARM | alarm
        self.logs: float | None = 0.0
        self.runs = 0
        self.stored: list[str] = []
        self.takes_states = True

    def client(self, _service: str, _region: str) -> Any:
        return self

    def describe_alarms(self, *, AlarmNames: list[str]) -> Any:  # noqa: N803 - as boto3 spells it
        return {"MetricAlarms": [self.alarm] if AlarmNames == [NAME] else []}

    def set_alarm_state(self, *, AlarmName: str, StateValue: str, StateReason: str) -> None:  # noqa: N803, ARG002
        assert AlarmName == NAME
        if not self.takes_states:
            raise ClientError({"Error": {"Code": "503"}}, "SetAlarmState")
        self.stored.append(StateValue)

    def invoke(self, **asked: str) -> Any:
        assert json.loads(asked.pop("Payload"))["detail-type"] == "Scheduled Event"
        assert asked == {"FunctionName": "canary", "LogType": "Tail"}
        self.runs += 1
        if self.logs is None:
            raise ClientError({"Error": {"Code": "503"}}, "Invoke")
        lines = ["START", json.dumps({"level": "INFO", "_aws": {}, "Failures": self.logs})]
        return {"LogResult": base64.b64encode("\n".join(lines).encode()).decode()}


class Stack:
    def __init__(self) -> None:
        self.hanging: set[str] = set()

    def region(self, side: str) -> str:
        return {"primary": REGION, "secondary": "us-west-2"}[side]


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


def alarms_of(deployment: Deployment, stack: Stack | None = None) -> VirtualAlarms:
    return VirtualAlarms(deployment, stack or Stack(), seed=1)  # type: ignore[arg-type]


def states(alarms: VirtualAlarms, *times: float) -> list[str]:
    return [alarms(REGION, NAME, at) for at in times]


def test_the_function_is_run_once_a_period_and_its_value_counts_when_the_period_has_ended(
    deployment: Deployment,
) -> None:
    alarms = alarms_of(deployment)
    assert states(alarms, 0, 59, 60) == ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "OK"]
    deployment.logs = 1.0
    assert states(alarms, 119, 120) == ["OK", "ALARM"]
    deployment.logs = 0.0
    assert states(alarms, 179, 180) == ["ALARM", "OK"]
    assert deployment.runs == 3


def test_as_many_periods_as_the_alarm_says_must_be_breaching() -> None:
    deployment = Deployment(EvaluationPeriods=2)
    alarms = alarms_of(deployment)
    states(alarms, 120)
    deployment.logs = 1.0
    assert states(alarms, 180, 240) == ["OK", "ALARM"]


@pytest.mark.parametrize("silent", ["a region that fails", "a region that hangs", "a function that logs no metric"])
def test_without_data_the_last_ones_count_for_a_while_and_then_there_are_too_few(
    deployment: Deployment, silent: str
) -> None:
    stack = Stack()
    alarms = alarms_of(deployment, stack)
    deployment.logs = 1.0
    assert states(alarms, 60) == ["ALARM"]
    if "fails" in silent:
        deployment.logs = None
    elif "hangs" in silent:
        stack.hanging.add(REGION)
    else:
        deployment.invoke = lambda **_: {"LogResult": base64.b64encode(b'START\n{"level": "ERROR"}\n').decode()}  # type: ignore[method-assign]
    assert states(alarms, 120, 180, 240, 300) == ["ALARM", "ALARM", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA"]


def test_an_alarm_that_is_not_there_is_an_error(deployment: Deployment) -> None:
    with pytest.raises(OperationError, match="there is no alarm other in us-east-1"):
        alarms_of(deployment)(REGION, "other", 0)


def test_each_change_of_the_state_is_set_in_the_emulator_once(deployment: Deployment) -> None:
    alarms = alarms_of(deployment)
    states(alarms, 0, 60, 65)
    deployment.logs = 1.0
    states(alarms, 120, 130)
    assert deployment.stored == ["OK", "ALARM"]


def test_a_region_that_takes_no_call_gets_the_state_when_it_is_back(deployment: Deployment) -> None:
    stack = Stack()
    alarms = alarms_of(deployment, stack)
    deployment.takes_states = False
    assert states(alarms, 60) == ["OK"]
    deployment.takes_states = True
    stack.hanging.add(REGION)
    states(alarms, 61)
    assert deployment.stored == []
    stack.hanging.clear()
    states(alarms, 62)
    assert deployment.stored == ["OK"]
