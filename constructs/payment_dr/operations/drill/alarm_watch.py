"""The stack's alarms during a drill: which of them were in ALARM, and which still are."""

from payment_dr.operations import probes
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.side import SIDES

LOOK_SECONDS = 15.0  # of drill time, between two looks


class AlarmWatch:
    """Looks at the alarms of both regions and notes in the journal what has changed.

    Args:
        stack: The deployed stack.
        journal: Takes each change, and gives the drill time.

    Attributes:
        fired: Names of the alarms that were in ALARM at any time, in their order.

    Example:
        >>> AlarmWatch(stack, journal).look()  # doctest: +SKIP
        ['alarm-payment-app-replication-lag']
    """

    def __init__(self, stack: Deployed, journal: Journal) -> None:
        self._stack, self._journal = stack, journal
        self._states: dict[str, str] = {}
        self._next_look = 0.0
        self.fired: list[str] = []

    def look(self) -> list[str]:
        """Names of the alarms that are in ALARM now. A region that cannot be asked is as it was."""
        for side in SIDES:
            try:
                states = probes.alarms(self._stack, side)
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
        return sorted(name for name, state in self._states.items() if state == "ALARM")

    def look_when_due(self) -> None:
        """Look, if `LOOK_SECONDS` of drill time have passed since this last did."""
        if self._journal.now >= self._next_look:
            self.look()
            self._next_look = self._journal.now + LOOK_SECONDS
