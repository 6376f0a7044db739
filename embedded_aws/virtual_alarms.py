"""CloudWatch alarms in a drill's time, which passes faster than that of the emulator."""

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

    CloudWatch's place is taken: in each period of the alarm the function that its metric names is run, as its schedule
    would run it, and the value that it logs in the embedded metric format is the value of the period. The alarm is
    evaluated at the end of each period. A region that does not take the call, or a function that logs no value, leaves
    the period without data. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
    The state is set in the emulator too, where the standby's takeover looks at it, and the alarm's actions publish it.

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
    """One alarm: what its function has published, and what CloudWatch makes of it."""

    def __init__(self, described: Mapping[str, Any], phase: float) -> None:
        self.metric = str(described["MetricName"])
        self.function = {each["Name"]: each["Value"] for each in described["Dimensions"]}["FunctionName"]
        self.next_run = phase
        self.stored = described["StateValue"]
        self._described, self._period = described, described["Period"]
        self._published: list[tuple[float, float]] = []

    def run(self, value: float | None) -> None:
        """The function was run when it was due, and has published this."""
        if value is not None:
            self._published.append((self.next_run, value))
        self.next_run += self._period

    def state(self, at: float) -> AlarmState:
        """As of the end of the period before."""
        return state_of(self._described, self._published, at // self._period * self._period)
