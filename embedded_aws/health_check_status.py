"""Alarms on the status of health checks, in a drill's time, which is faster than the emulator's."""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.alarm_evaluation import state_of
from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations.drill.alarm_watch import METRIC, METRICS_REGION
from payment_dr.side import SIDES

_MINUTE = 60.0
_ATTEMPTS = 5


class HealthCheckStatus:
    """Publishes the status of health checks once a minute, and sets the states of the deployed alarms on it.

    Route 53 publishes HealthCheckStatus in us-east-1 only: 1 is healthy, 0 is not
    (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html). Each alarm is evaluated
    once a minute by its deployed settings
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html), and a change of its
    state triggers its actions. A region that accepts no calls accepts no data and evaluates no alarm. The status of a
    check that no record follows is unknown here, so its alarms stay as they are.

    Args:
        deployment: The deployment with the alarms.
        stack: The deployed stack.

    Example:
        >>> status = HealthCheckStatus(deployment, stack)  # doctest: +SKIP
        >>> status(61.0, {"0a1b2c3d": False})  # doctest: +SKIP
    """

    def __init__(self, deployment: Deployment, stack: EmulatedStack) -> None:
        self._stack = stack
        regions = [stack.region(side) for side in SIDES]
        self._clients = {region: deployment.aws.client("cloudwatch", region) for region in regions}
        checks = deployment.aws.client("route53", METRICS_REGION).get_paginator("list_health_checks").paginate()
        self._existing = {check["Id"] for page in checks for check in page["HealthChecks"]}
        self._published: dict[str, list[tuple[float, float]]] = {}  # by health check, with the time
        self._next_publication, self._next_evaluation = _MINUTE / 2, _MINUTE

    def __call__(self, at: float, healthy: Mapping[str, bool]) -> None:
        """Advance drill time.

        Args:
            at: Drill time in seconds. It must not go back.
            healthy: The present status of each health check, by its id.
        """
        while min(self._next_publication, self._next_evaluation) <= at:
            if self._next_publication < self._next_evaluation:
                self._publish(self._next_publication, healthy)
                self._next_publication += _MINUTE
            else:
                self._evaluate(self._next_evaluation, self._existing - healthy.keys())
                self._next_evaluation += _MINUTE

    def _publish(self, at: float, healthy: Mapping[str, bool]) -> None:
        if METRICS_REGION in self._clients and self._alarms(METRICS_REGION) is not None:
            for id_, is_healthy in healthy.items():
                self._published.setdefault(id_, []).append((at, float(is_healthy)))

    def _evaluate(self, at: float, unknown: Set[str]) -> None:
        for region, client in self._clients.items():
            for alarm in self._alarms(region) or ():
                check = _health_check_of(alarm)
                if check in unknown:
                    continue
                data = self._published.get(check, []) if region == METRICS_REGION else []
                state = state_of(alarm, data, at)
                if state != alarm["StateValue"]:
                    given = {"AlarmName": alarm["AlarmName"], "StateValue": state}
                    _insist(partial(client.set_alarm_state, **given, StateReason="evaluated in drill time"))

    def _alarms(self, region: str) -> list[Any] | None:
        """The alarms on this metric. None if the region accepts no calls."""
        if region in self._stack.hanging:
            return None
        described = self._clients[region].get_paginator("describe_alarms")
        pages = _insist(lambda: list(described.paginate()))
        if pages is None:
            return None
        found = [alarm for page in pages for alarm in page["MetricAlarms"]]
        return [alarm for alarm in found if (alarm.get("Namespace"), alarm.get("MetricName")) == METRIC]


def _insist(call: Callable[[], Any]) -> Any:
    """The result of a call. None if all attempts fail, which is rare in a region that fails only a share of calls."""
    for _ in range(_ATTEMPTS):
        with suppress(BotoCoreError, ClientError):
            return call()
    return None


def _health_check_of(alarm: Mapping[str, Any]) -> str:
    return next((each["Value"] for each in alarm["Dimensions"] if each["Name"] == "HealthCheckId"), "")
