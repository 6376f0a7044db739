"""CloudWatch alarms in a drill's time, which passes faster than that of the emulator."""

import base64
import json
import operator
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.zone import AlarmState
from payment_dr.side import SIDES

_LOOKS_FURTHER_BACK = 2
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class VirtualAlarms:
    """The states of alarms in a drill's time, on metrics that functions publish once a period.

    CloudWatch's place is taken: in each period of the alarm the function that its metric names is run, as its schedule
    would run it, and the value that it logs in the embedded metric format is the value of the period. The alarm is
    evaluated at the end of each period. A region that does not take the call, or a function that logs no value, leaves
    the period without data. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

    Args:
        deployment: Where the functions are.
        stack: The deployed stack.
        seed: Decides when in a period each function runs.

    Example:
        >>> alarms = VirtualAlarms(deployment, stack, seed=1)  # doctest: +SKIP
        >>> alarms("us-east-1", "alarm-data-canary-failover-east-dev", at=30)  # doctest: +SKIP
        'INSUFFICIENT_DATA'
    """

    def __init__(self, deployment: Deployment, stack: EmulatedStack, seed: int) -> None:
        self._stack = stack
        self._clients = {
            stack.region(side): {
                service: deployment.aws.client(service, stack.region(side)) for service in ("cloudwatch", "lambda")
            }
            for side in SIDES
        }
        self._rng = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self._alarms: dict[tuple[str, str], _VirtualAlarm] = {}

    def __call__(self, region: str, name: str, at: float) -> AlarmState:
        """The state of an alarm at a drill time in seconds; the times of one alarm must not go back.

        Raises:
            OperationError: The alarm does not exist.
        """
        if (region, name) not in self._alarms:
            found = self._clients[region]["cloudwatch"].describe_alarms(AlarmNames=[name])["MetricAlarms"]
            if not found:
                raise OperationError(f"there is no alarm {name} in {region}", hint="run terraform apply")
            self._alarms[region, name] = _VirtualAlarm(found[0], self._rng.random() * found[0]["Period"])
        alarm = self._alarms[region, name]
        while alarm.next_run <= at:
            alarm.run(self._value(region, alarm))
        return alarm.state(at)

    def _value(self, region: str, alarm: "_VirtualAlarm") -> float | None:
        if region in self._stack.hanging:
            return None
        try:
            answer = self._clients[region]["lambda"].invoke(FunctionName=alarm.function, LogType="Tail")
        except (BotoCoreError, ClientError):
            return None
        for line in base64.b64decode(answer.get("LogResult", "")).decode().splitlines():
            with suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                if "_aws" in record:
                    return float(record[alarm.metric])
        return None


class _VirtualAlarm:
    """One alarm: what its function has published, and what CloudWatch makes of it."""

    def __init__(self, described: Mapping[str, Any], phase: float) -> None:
        self.metric = str(described["MetricName"])
        self.function = {each["Name"]: each["Value"] for each in described["Dimensions"]}["FunctionName"]
        self.next_run = phase
        self._period, self._periods = described["Period"], described["EvaluationPeriods"]
        self._threshold, self._comparison = described["Threshold"], COMPARISONS[described["ComparisonOperator"]]
        self._breaching: dict[int, bool] = {}  # by the number of the period

    def run(self, value: float | None) -> None:
        """The function was run when it was due, and has published this."""
        if value is not None:
            self._breaching[int(self.next_run // self._period)] = self._comparison(value, self._threshold)
        self.next_run += self._period

    def state(self, at: float) -> AlarmState:
        # Data that are there decide first, also from a little further back: in Amazon's examples two periods.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
        past = int(at // self._period)
        looked_at = range(past - self._periods - _LOOKS_FURTHER_BACK, past)
        there = [self._breaching[number] for number in looked_at if number in self._breaching]
        if not there:
            return "INSUFFICIENT_DATA"
        return "ALARM" if all(there[-self._periods :]) and len(there) >= self._periods else "OK"
