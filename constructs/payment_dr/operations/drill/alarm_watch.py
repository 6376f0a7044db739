"""The stack's alarms during a drill: which of them must fire, which were in ALARM, and which still are."""

from collections.abc import Mapping, Sequence

from payment_dr.operations import probes
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.deployed import READ_SECONDS, Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.side import SIDES, Side

LOOK_SECONDS = 15.0  # of drill time, between two looks
# Route 53 publishes the metrics of health checks there alone.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html
METRICS_REGION = "us-east-1"
METRIC = ("AWS/Route53", "HealthCheckStatus")


class AlarmWatch:
    """Looks at the alarms of both regions and notes in the journal what has changed.

    Args:
        stack: The deployed stack.
        journal: Takes each change, and gives the drill time.

    Attributes:
        expected: Names of the alarms of which one must fire, by the side whose failure it reports.
        fired: Names of the alarms that were in ALARM at any time, in their order.
        hanging: Sides of regions that answer nothing now, so that asking them costs minutes.

    Example:
        >>> AlarmWatch(stack, journal).look()  # doctest: +SKIP
        ['alarm-payment-app-replication-lag']
    """

    def __init__(self, stack: Deployed, journal: Journal) -> None:
        self._stack, self._journal = stack, journal
        self._states: dict[str, str] = {}
        self._next_look = 0.0
        self.expected: dict[Side, list[str]] = {}
        self.fired: list[str] = []
        self.hanging: Sequence[Side] = ()

    def expect(self, sides: Sequence[Side], checks: Mapping[Side, str]) -> None:
        """Find the alarms on the health checks of these sides, in the one region that has their metric.

        Args:
            sides: The sides whose health check will be unhealthy.
            checks: The id of the health check of each side's record, where it has one.

        Raises:
            CannotTellError: The region does not answer.
        """
        here = [side for side in SIDES if self._stack.region(side) == METRICS_REGION]
        alarms = [alarm for side in here for alarm in probes.described_alarms(self._stack, side)]
        watched = [
            (alarm["AlarmName"], alarm["Dimensions"])
            for alarm in alarms
            if (alarm.get("Namespace"), alarm.get("MetricName")) == METRIC
        ]
        for side in sides:
            if side in checks and here:
                its = {"Name": "HealthCheckId", "Value": checks[side]}
                self.expected[side] = [name for name, dimensions in watched if its in dimensions]

    def look(self, *, once: bool = False) -> list[str]:
        """Names of the alarms that are in ALARM now. A region that cannot be asked is as it was.

        Args:
            once: Ask each region a single time. Otherwise a failing one is asked again after a pause.
        """
        for side in SIDES:
            if side in self.hanging:
                continue
            try:
                states = probes.alarms(
                    self._stack, side, seconds=self._stack.limit(side, READ_SECONDS) if once else None
                )
            except CannotTellError:  # its outage, maybe
                continue
            for name, state in states.items():
                before = self._states.get(name, "OK")
                self._states[name] = state
                if state == before or "ALARM" not in (state, before):  # data that come and go are no news
                    continue
                self._journal.note({"kind": "alarm", "region": self._stack.region(side), "name": name, "state": state})
                if state == "ALARM" and name not in self.fired:
                    self.fired.append(name)
        return self._in_alarm()

    def look_when_due(self) -> None:
        """Look, if `LOOK_SECONDS` of drill time have passed since this last did.

        The next look is soon, and a pause before a second attempt is real time that a virtual outage has not.
        """
        if self._journal.now >= self._next_look:
            self.look(once=True)
            self._next_look = self._journal.now + LOOK_SECONDS

    def have_fired(self) -> bool:
        """Whether the last look has seen every alarm that must fire."""
        return all(set(names) & set(self.fired) for names in self.expected.values())

    def are_clear(self) -> bool:
        """Whether the last look has seen no alarm in ALARM."""
        return not self._in_alarm()

    def _in_alarm(self) -> list[str]:
        return sorted(name for name, state in self._states.items() if state == "ALARM")
