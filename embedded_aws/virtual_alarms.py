"""CloudWatch alarms in a drill's time, which is faster than the emulator's."""

import base64
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.alarm_evaluation import state_of
from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.zone import AlarmState
from payment_dr.side import SIDES

# What a schedule of EventBridge hands over, as far as functions look at it.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


class VirtualAlarms:
    """The states of alarms in a drill's time, on metrics that functions publish once a period.

    This replaces CloudWatch: in each period of the alarm it runs the function of the metric, as its schedule would. The
    value that the function logs in the embedded metric format is the value of the period. The alarm is evaluated at the
    end of each period. If the region rejects the call, or the function logs no value, the period has no data.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
    The state is set in the emulator too, where the standby's takeover reads it, and the alarm's actions publish it.

    Args:
        deployment: The deployment with the functions.
        stack: The deployed stack.
        seed: Seed of the time in a period when each function runs.

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
        self._rng = random.Random(seed)  # noqa: S311 - it must be repeatable
        self._alarms: dict[tuple[str, str], _VirtualAlarm] = {}

    def __call__(self, region: str, name: str, at: float) -> AlarmState:
        """The state of an alarm at a drill time in seconds. The times of one alarm must not go back.

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
        state = alarm.state(at)
        if state != alarm.stored and region not in self._stack.hanging:
            with suppress(BotoCoreError, ClientError):  # a region that takes no call keeps the state that it has
                self._clients[region]["cloudwatch"].set_alarm_state(
                    AlarmName=name, StateValue=state, StateReason="evaluated in drill time"
                )
                alarm.stored = state
        return state

    def _value(self, region: str, alarm: "_VirtualAlarm") -> float | None:
        if region in self._stack.hanging:
            return None
        try:
            answer = self._clients[region]["lambda"].invoke(
                FunctionName=alarm.function, LogType="Tail", Payload=json.dumps(SCHEDULED)
            )
        except (BotoCoreError, ClientError):
            return None
        for line in base64.b64decode(answer.get("LogResult", "")).decode().splitlines():
            with suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                if "_aws" in record:
                    return float(record[alarm.metric])
        return None


class _VirtualAlarm:
    """One alarm: the values that its function has published, and its state."""

    def __init__(self, described: Mapping[str, Any], phase: float) -> None:
        self.metric = str(described["MetricName"])
        self.function = {each["Name"]: each["Value"] for each in described["Dimensions"]}["FunctionName"]
        self.next_run = phase
        self.stored = described["StateValue"]
        self._described, self._period = described, described["Period"]
        self._published: list[tuple[float, float]] = []

    def run(self, value: float | None) -> None:
        """Add a value that the function published when it was due."""
        if value is not None:
            self._published.append((self.next_run, value))
        self.next_run += self._period

    def state(self, at: float) -> AlarmState:
        """The state at the end of the previous period."""
        return state_of(self._described, self._published, at // self._period * self._period)
