"""The comparisons of a drill: payments that a region lacks when clients switch, and both regions after recovery."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from payment_dr.operations import probes
from payment_dr.operations.aws import asked
from payment_dr.operations.drill import ledger
from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.documents import Documents
from payment_dr.operations.drill.journal import MODES, After, AlarmsRecord, PaymentRecord, Rpo
from payment_dr.operations.drill.ledger import Entry, Item
from payment_dr.operations.drill.notifications import undelivered
from payment_dr.operations.drill.parameters import Parameters
from payment_dr.operations.drill.payment_figures import figures, latency_ms, recovery
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.split_brain import SplitBrain
from payment_dr.side import SIDES, Side

ARRIVING_SECONDS = 3.0  # of real time; one lag in a thousand is above 1.7 s
SETTLING_SECONDS = 60.0  # of real time, for what was held back to be replicated
POLL_SECONDS = 0.2  # of real time


@dataclass(frozen=True)
class AtSwitch:
    """The payments by mode at the moment when clients changed their region, or when they did not have to.

    Attributes:
        acknowledged: How many were acknowledged until then, in the region that they left if they returned.
        missing: Ids of those of them that the region had not got to which they went.
    """

    acknowledged: Mapping[str, int]
    missing: Mapping[str, list[str]]


class Verification:
    """Compares the regions of a stack with each other, and with the acknowledgements of clients.

    Args:
        place: Where the drill happens.
        payments: The drill's payments.
        alarms: The stack's alarms; None where they are not evaluated.
        documents: The drill's documents.
        parameters: The parameter that it rotates.
        split: Payments that both regions take; None where no outage splits them.

    Example:
        >>> verification = Verification(place, payments, None, documents, parameters)  # doctest: +SKIP
        >>> at_switch = verification.at_switch(failed_over=True)  # doctest: +SKIP
        >>> verification.compare(at_switch)[0]["confirmed"]["missing_after_recovery"]  # doctest: +SKIP
        []
    """

    def __init__(
        self,
        place: Place,
        payments: Payments,
        alarms: AlarmWatch | None,
        documents: Documents,
        parameters: Parameters,
        split: SplitBrain | None = None,
    ) -> None:
        self._place, self._stack, self._payments, self._alarms = place, place.stack, payments, alarms
        self._documents, self._parameters, self._split = documents, parameters, split
        self._began = datetime.now(UTC)

    def at_switch(self, *, failed_over: bool) -> AtSwitch:
        """The payments acknowledged so far, and those that the secondary lacks.

        Drill time is ahead of replication, so this waits for what can still arrive: as long as something is on its way,
        or for three seconds where that cannot be asked.

        Args:
            failed_over: Whether clients have switched; if not, nothing counts as missing.

        Raises:
            CannotTellError: The secondary's table does not answer.
        """
        at_risk = {mode: self._payments.ledger.acknowledged(mode) for mode in MODES}
        if not failed_over:
            return AtSwitch({mode: len(entries) for mode, entries in at_risk.items()}, {mode: [] for mode in MODES})
        return self._arrived(at_risk, "secondary")

    def at_failback(self) -> AtSwitch:
        """The payments acknowledged in the secondary, and those that the primary lacks when clients have returned.

        It waits as `at_switch` does.

        Raises:
            CannotTellError: The primary's table does not answer.
        """
        left = self._stack.region("secondary")
        at_risk = {
            mode: [entry for entry in self._payments.ledger.acknowledged(mode) if entry.region == left]
            for mode in MODES
        }
        return self._arrived(at_risk, "primary")

    def _arrived(self, at_risk: Mapping[str, list[Entry]], side: Side) -> AtSwitch:
        deadline = time.monotonic() + (SETTLING_SECONDS if self._place.is_replicating else ARRIVING_SECONDS)
        while True:
            ends = self._ends(deadline)  # before the look, which finds all that has arrived then
            there = self._items(side)
            missing = {mode: ledger.missing(entries, there) for mode, entries in at_risk.items()}
            if ends or not any(missing.values()):
                return AtSwitch({mode: len(entries) for mode, entries in at_risk.items()}, missing)
            time.sleep(POLL_SECONDS)

    def compare(
        self, at_switch: AtSwitch, at_failback: AtSwitch | None, records: Sequence[PaymentRecord]
    ) -> tuple[dict[str, Rpo], After]:
        """Wait until nothing is replicated any more, and compare both regions.

        Args:
            at_switch: What was found when clients switched.
            at_failback: What was found when they had returned; None if they did not.
            records: All payments with their phases.

        Returns:
            The payments by mode, and the state after recovery, as the journal has them.

        Raises:
            CannotTellError: A region does not answer.
        """
        # A change event that met the outage is lost in the end. Config sync is scheduled for that.
        if self._place.run_schedules and not self._parameters.all_copied():
            self._place.run_schedules()
        deadline = time.monotonic() + SETTLING_SECONDS
        while self._place.is_replicating and not self._ends(deadline):
            time.sleep(POLL_SECONDS)
        while True:
            items = {side: self._items(side) for side in SIDES}
            different = ledger.different(items["primary"], items["secondary"])
            documents = self._documents.compare()
            settled = not different and self._documents.is_settled(documents) and self._parameters.all_copied()
            if settled or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        rpo = {mode: self._rpo(mode, at_switch, at_failback, items, records) for mode in MODES}
        after: After = {
            "items": {
                "equal": not different,
                "primary": len(items["primary"]),
                "secondary": len(items["secondary"]),
                "different": different,
            },
            "written_twice": ledger.written_twice(items["primary"]),
            "parameters_equal": not probes.drifted_parameters(self._stack),
            "rotation": self._parameters.compare(),
            "documents": documents,
            "alarms": self._alarms_of(self._alarms) if self._alarms else None,
            "split_brain": self._split.record(items) if self._split else None,
        }
        return rpo, after

    def _alarms_of(self, alarms: AlarmWatch) -> AlarmsRecord:
        still, is_tested = alarms.look(), self._place.evaluates_alarms and not self._place.shares_its_table
        return {
            "expected": alarms.expected,
            "fired": alarms.fired,
            "still": still,
            "undelivered": undelivered(self._stack, alarms.fired, self._began) if is_tested else None,
        }

    def _ends(self, deadline: float) -> bool:
        """Whether nothing more can arrive, or not in time."""
        is_replicating = self._place.is_replicating
        return time.monotonic() > deadline or (is_replicating is not None and not is_replicating())

    def _rpo(
        self,
        mode: str,
        at_switch: AtSwitch,
        at_failback: AtSwitch | None,
        items: Mapping[Side, list[Item]],
        records: Sequence[PaymentRecord],
    ) -> Rpo:
        entries, primary = self._payments.ledger.acknowledged(mode), self._stack.region("primary")
        began, recovered = self._payments.outage
        done = [record for record in records if record["mode"] == mode and record["acknowledged"]]
        return {
            "acknowledged": at_switch.acknowledged[mode],
            "acknowledged_in_all": len(entries),
            "acknowledged_by_one_region": sum(not entry.confirmed for entry in entries),
            "acknowledged_in_secondary": at_failback.acknowledged[mode] if at_failback else 0,
            "missing_at_switch": at_switch.missing[mode],
            "missing_at_failback": at_failback.missing[mode] if at_failback else None,
            "missing_after_recovery": sorted({id_ for side in SIDES for id_ in ledger.missing(entries, items[side])}),
            "latency_ms": latency_ms([record["seconds"] for record in done if record["region"] == primary]),
            "figures": figures(records, mode),
            "recovery": recovery(
                records, mode, began=began or 0.0, recovered=self._payments.released or recovered or 0.0
            ),
        }

    def _items(self, side: Side) -> list[Item]:
        return asked(f"DynamoDB in {self._stack.region(side)}", lambda: self._payments.items(side))
