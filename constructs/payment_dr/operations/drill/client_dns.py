"""The DNS answer for a deployed stack's name, and the cache of one client."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from payment_dr.operations import deployed_zone
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import ProbeResult, Verdict
from payment_dr.operations.route53.recovery_time import HANGING_PROBE_SECONDS
from payment_dr.operations.route53.resolvers import Ask, CachingResolver
from payment_dr.operations.route53.zone import Record, Zone
from payment_dr.side import SIDES, Side


@dataclass(frozen=True)
class Change:
    """A change of one region, at a time.

    Attributes:
        at: Seconds of drill time.
        side: The side of the region.
        healthy: Whether the region is healthy after that, where the change is one of its health check.
    """

    at: float
    side: Side
    healthy: bool = True


class ClientDns(ABC):
    """One client of the stack, and Route 53's view of its regions.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
        journal: Takes every probe, and every change of a verdict or an answer.
        ask: Asks the zone's name servers.
        at: Drill time of the client's first question, in seconds.
        healthy: The first status of the health check of each of the name's records, by its id. Default: healthy.

    Attributes:
        healthy: Status of the health check of each of the name's records, by its id.
        answered: Side of the region that DNS answers with.
        verdicts: Changes of health checks; their side's region is healthy after that, or not.
        switches: Changes of the answer.
        expired: When the client's cache was rid of the former answer, after each switch.
        last_failure: Why a side's latest failed probe failed.

    Raises:
        OperationError: The name points to neither region.
    """

    def __init__(
        self,
        stack: Deployed,
        zone: Zone,
        journal: Journal,
        ask: Ask,
        at: float,
        healthy: Mapping[str, bool] | None = None,
    ) -> None:
        self._stack, self._zone, self._journal = stack, zone, journal
        self._fqdn = str(stack.outputs["application_fqdn"])
        self._checks = deployed_zone.checks_of(stack, zone)
        self.healthy = dict(dict.fromkeys(self._checks.values(), True) if healthy is None else healthy)
        self.verdicts: list[Change] = []
        self.switches: list[Change] = []
        self.expired: list[Change] = []
        self.last_failure: dict[Side, str] = {}
        self._lock = threading.Lock()
        self._cache = CachingResolver(ask)
        first = self._cache.ask(self._fqdn, stack.record_type, at)
        self._expires, self._known_side = first.expires, self._side_of(first.record)
        self.answered = self._known_side
        journal.note({"kind": "answer", "region": stack.region(self.answered)})
        for side in SIDES:
            is_healthy = self.healthy.get(self._checks.get(side, ""), True)
            journal.note({"kind": "verdict", "region": stack.region(side), "healthy": is_healthy})

    @abstractmethod
    def advance(self, to: float) -> float:
        """Let drill time pass until then, and return the time afterwards."""

    @abstractmethod
    def running_from(self, base: float) -> Callable[[], float]:
        """A clock of drill time, which is ``base`` now, while real time passes."""

    def standing_still(self) -> AbstractContextManager[None]:
        """Stop that clock for the length of a block, while real time passes."""
        return nullcontext()

    def took(self, side: Side, measured: float) -> float:
        """Seconds of drill time that a call to a region took, of which the real ones were measured."""
        return self._stack.took(side, measured)

    def forget(self) -> None:  # noqa: B027 - who knows nothing in advance has nothing to forget
        """Drop earlier findings, because the stack has changed."""

    def _on_new_answer(self, at: float, side: Side) -> None:  # noqa: B027 - a model of the zone knows it already
        """The client's own question got another region as its answer than before."""

    def resolve(self, at: float) -> Side:
        """The side of the region that the client's cache knows, or asks for. Several threads may ask."""
        with self._lock:
            answer = self._cache.ask(self._fqdn, self._stack.record_type, at)
            side = self._side_of(answer.record)
            if side != self._known_side:
                self._on_new_answer(at, side)
                switched = next((change.at for change in reversed(self.switches) if change.side == side), at)
                self.expired.append(Change(max(self._expires, switched), side))
                self._journal.note(
                    {"kind": "expired", "region": self._stack.region(side)}, at=max(self._expires, switched)
                )
            self._expires, self._known_side = answer.expires, side
            return side

    @property
    def expires(self) -> float:
        """When the client will ask again."""
        return self._expires

    def _note_probe(self, at: float, side: Side, checker: str, result: ProbeResult, verdict: Verdict) -> None:
        if not verdict.passed:
            self.last_failure[side] = verdict.reason
        self._journal.note(
            {
                "kind": "probe",
                "region": self._stack.region(side),
                "checker": checker,
                "ok": verdict.passed,
                "status": result.status,
                "seconds": round(min(verdict.seconds, HANGING_PROBE_SECONDS), 3),
                "error": None if verdict.passed else verdict.reason,
            },
            at=at,
        )

    def _note_verdict(self, at: float, side: Side, *, healthy: bool) -> None:
        if side in self._checks:
            self.healthy[self._checks[side]] = healthy
        self.verdicts.append(Change(at, side, healthy))
        self._journal.note({"kind": "verdict", "region": self._stack.region(side), "healthy": healthy}, at=at)

    def note_served(self, at: float, side: Side) -> None:
        """Note that the first payment in another region than before was acknowledged."""
        self._journal.note({"kind": "served", "region": self._stack.region(side)}, at=at)

    def _note_answer(self, at: float, side: Side) -> None:
        if side != self.answered:
            self.answered = side
            self.switches.append(Change(at, side))
            self._journal.note({"kind": "answer", "region": self._stack.region(side)}, at=at)

    def _side_of(self, record: Record) -> Side:
        side = deployed_zone.side_of(self._stack, record)
        if side is None:
            raise OperationError(f"{record.name} points to {', '.join(record.values)}", hint="run terraform apply")
        return side
