"""Judges one history: does what the client said hold, by what the two replicas really did?

It reads the world's changes once, in order. It distinguishes payments by their amount and whether they have a set, so
that no search is needed. It knows nothing of how the client works.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from no_loss.world import EAST, OTHER, REGIONS, WEST, Change, Item, Version, short
from payment_dr.confirmed import Confirmed, OneRegion, Refused, Unknown

EARLY = 3.5  # seconds; a client that has waited its patience of 5 s has waited at least this long
ON_THE_WAY = 0.01  # seconds that an answer takes in its own region; meanwhile what it says may have changed
FEW = 3  # payments without confirmation before a client may stop waiting for the other region

# Every way in which a history can be wrong.
KINDS = {
    "lost": "a payment was confirmed, and a region does not have it",
    "replaced": "a payment was confirmed, and another one took its place",
    "overwritten": "a write of the client changed an item that was there",
    "twice": "one payment has two items",
    "not what is stored": "the outcome holds an item that no region ever had",
    "confirmed another": "the payment of the caller is not the one that was confirmed",
    "changed since": "a payment was confirmed again after others had changed it",
    "happened": "a payment was refused and exists, or a call that wrote nothing has written",
    "not in both": "a payment was refused for good, and what exists instead is not in both regions",
    "one region, missing": "a payment was acknowledged by one region, which did not have it",
    "one region, unexplained": "a payment acknowledged by one region is gone, and no region or conflict explains it",
    "disputed": "a payment was acknowledged by one region by a call that had read another payment",
    "not accepted": "a payment was acknowledged by one region where the operator refuses that",
    "early": "a payment was acknowledged by one region before its patience was over",
    "not acknowledged": "one region has the payment and the operator accepts that, and it was not acknowledged",
    "never ends": "both regions were well, and a payment did not end",
    "raised": "the client raised an exception",
    "diverged": "the replicas do not hold the same when everything has arrived",
}


class Violation(NamedTuple):
    """What is wrong with a history."""

    kind: str
    text: str
    at: float


@dataclass
class Verdict:
    """What the checker found.

    Attributes:
        violations: What is wrong; empty if nothing is.
        outcomes: How many calls ended in which way.
        at_risk: Payments that were acknowledged by one region.
        lost_with_region: Those of them that are gone with the region that had them.
        lost_by_conflict: Those that another payment with the same key has replaced.
    """

    violations: list[Violation] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    at_risk: int = 0
    lost_with_region: int = 0
    lost_by_conflict: int = 0

    def add(self, other: "Verdict") -> None:
        """Add another history's."""
        self.violations += other.violations
        self.outcomes += other.outcomes
        self.at_risk += other.at_risk
        self.lost_with_region += other.lost_with_region
        self.lost_by_conflict += other.lost_by_conflict


def identity(item: Item | None) -> str | None:
    """What distinguishes a payment from others."""
    if item is None:
        return None
    return "void" if "void" in item else _number(item["amount"]["N"]) + (" with a set" if "tags" in item else "")


def _number(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


class Checker:
    """Reads a history's changes in order."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.now = 0.0
        self.held: dict[tuple[str, str], Item] = {}
        self.held_until: dict[tuple[str, str, str | None], float] = {}
        self.final: dict[str, str | None] = {}  # by key: what is confirmed to be there for good
        self.refused: set[tuple[str, str | None]] = set()
        self.wrote_nothing: set[int] = set()
        self.wrote: dict[int, Item] = {}  # by call
        self.versions: dict[str, list[Item]] = {}  # by key: every version that any region has held
        self.seen: dict[str, set[str | None]] = {}  # by key: every payment that any region has held
        self.acknowledged: list[tuple[str, str | None]] = []
        self.unserved: Container[int] = ()
        self.read_by: Mapping[int, list[Item]] = {}
        self.unconfirmed = dict.fromkeys(REGIONS, 0)  # payments in a row, by region
        self.waiting: dict[str, dict[int, float]] = {EAST: {}, WEST: {}}  # by region: calls, and when they began
        self.may_skip: set[int] = set()  # calls that need not wait for the other region

    def read(
        self,
        changes: Iterable[Change],
        chosen: Mapping[int, Set[str]],
        unserved: Container[int] = (),
        read_by: Mapping[int, list[Item]] | None = None,
    ) -> None:
        """Check each change when it happens.

        Args:
            changes: All of a history, in order.
            chosen: What the operators' choice was in the region of a call in the last seconds before its end, by the
                position of that end in `changes`.
            unserved: Calls that their own region did not serve once.
            read_by: What each call has read.
        """
        self.unserved, self.read_by = unserved, read_by or {}
        for position, change in enumerate(changes):
            self.now = change.at
            if change.what in ("insert", "replace", "update", "replicate"):
                self._changed(change)
            elif change.what == "begin":
                self._began(change)
            elif change.what == "crash":  # what a process knew of the other region, and its calls, are gone
                self.unconfirmed[change.where] = 0
                self.waiting[change.where].clear()
            else:
                self._ended(change, chosen.get(position, frozenset()))

    def _wrong(self, kind: str, text: str) -> None:
        self.verdict.violations.append(Violation(kind, text, self.now))

    def _changed(self, change: Change) -> None:
        key, new = change.key, identity(change.new)
        self.seen.setdefault(key, set()).add(new)
        if change.what != "replicate":
            self.versions.setdefault(key, []).append(change.new)
        if change.what == "replace" and change.old and change.old != change.new:
            self._wrong("overwritten", f"{short(change.old)} became {short(change.new)}")
        if change.call:
            self.wrote[change.call] = change.new
            if change.call in self.wrote_nothing:
                self._wrong("happened", f"call {change.call} had written nothing, and {change.where} has {new}")
        if (key, new) in self.refused:
            self._wrong("happened", f"{new} was refused, and {change.where} has it")
        if key in self.final and new != self.final[key]:
            self._wrong("replaced", f"{change.where} has {new} in place of {self.final[key]}, which was confirmed")
        if change.old is not None and identity(change.old) != new:
            self.held_until[change.where, key, identity(change.old)] = change.at
        self.held[change.where, key] = change.new

    def _began(self, change: Change) -> None:
        """A client may skip the other region once it has given up FEW payments, of which some may not have ended."""
        waiting = self.waiting[change.where]
        given_up = sum(change.at - began >= EARLY for began in waiting.values())
        if self.unconfirmed[change.where] + given_up >= FEW:
            self.may_skip.add(change.call)
        waiting[change.call] = change.at

    def _ended(self, change: Change, chosen: Set[str]) -> None:
        outcome, key, here = change.new, change.key, change.where
        self.waiting[here].pop(change.call, None)
        self.verdict.outcomes[type(outcome).__name__] += 1
        own = identity(change.payment)
        if isinstance(outcome, Confirmed):
            self._is_final(key, identity(outcome.item), "lost")
            self._is_stored(outcome.item, key)
            if "void" in outcome.item:
                self._wrong("confirmed another", "a void key counts as a payment")
            elif change.what == "pay":
                if identity(outcome.item) != own:
                    self._wrong("confirmed another", f"{identity(outcome.item)} for {own}")
                elif change.call not in self.wrote and outcome.item["status"] != change.payment["status"]:  # type: ignore[index]
                    self._wrong("changed since", f"{own} is {outcome.item['status']['S']}")
        elif isinstance(outcome, OneRegion):
            self._one_region(change, outcome, chosen)
        elif isinstance(outcome, Refused):
            if outcome.existing is None:
                self.wrote_nothing.add(change.call)
                if change.call in self.wrote:
                    self._wrong("happened", f"call {change.call} has written, and answered that it had not")
            else:
                self._is_final(key, identity(outcome.existing), "not in both")
                self._is_stored(outcome.existing, key)
                if identity(outcome.existing) != own:
                    self.refused.add((key, own))
                elif outcome.existing.get("write_id", 0) == self.wrote.get(change.call, {}).get("write_id"):
                    self._wrong("happened", f"{own} was refused by the call that wrote it")
        elif isinstance(outcome, Unknown):
            status = (change.payment or {}).get("status")
            undisputed = all(identity(it) == own and it["status"] == status for it in self.versions.get(key, ()))
            if change.what == "pay" and chosen == {"accept"} and undisputed and change.call not in self.unserved:
                self._wrong("not acknowledged", f"{here} has {own}: {outcome.why}")
        else:
            self._wrong("raised", repr(outcome))
        if isinstance(outcome, OneRegion | Unknown) and outcome.reads:
            self.unconfirmed[here] += 1
        elif isinstance(outcome, Confirmed) or (isinstance(outcome, Refused) and outcome.existing is not None):
            self.unconfirmed[here] = 0

    def _is_final(self, key: str, payment: str | None, otherwise: str) -> None:
        for region in REGIONS:
            if identity(self.held.get((region, key))) != payment:
                self._wrong(otherwise, f"{region} does not have {payment} under {key}")
        self.final[key] = payment

    def _is_stored(self, item: Item, key: str) -> None:
        if item not in self.versions.get(key, ()):
            self._wrong("not what is stored", f"{item}")

    def _one_region(self, change: Change, outcome: OneRegion, chosen: Set[str]) -> None:
        key, here = change.key, change.where
        self.verdict.at_risk += 1
        payment = identity(outcome.item)
        until = self.held_until.get((here, key, payment), 0.0)
        if identity(self.held.get((here, key))) != payment and until < change.at - ON_THE_WAY:
            self._wrong("one region, missing", f"{here} does not have {payment}")
        if change.what == "pay" and payment != identity(change.payment):
            self._wrong("confirmed another", f"{payment} for {identity(change.payment)}")
        if any(identity(each) != payment for each in self.read_by.get(change.call, ())):
            self._wrong("disputed", f"{payment} was acknowledged, and call {change.call} had read another payment")
        if "accept" not in chosen:
            self._wrong("not accepted", f"{here} alone has {payment}")
        if outcome.seconds < EARLY and (outcome.reads or change.call not in self.may_skip):
            self._wrong("early", f"after {outcome.seconds:.2f} s, {OTHER[here]} was given up")
        self.acknowledged.append((key, payment))

    def finish(
        self,
        replicas: Mapping[str, Mapping[tuple[str, str], Version]],
        destroyed: Iterable[str],
        unfinished: Iterable[tuple[str, str]],
    ) -> Verdict:
        """Check what is there at the end.

        Args:
            replicas: What the regions hold.
            destroyed: Regions that are lost for good.
            unfinished: Key and amount of payments that were neither acknowledged nor refused for good.
        """
        lost = set(destroyed)
        for region, items in replicas.items():
            count = Counter((key[0], identity(version.item)) for key, version in items.items())
            for (key, payment), number in count.items():
                if number > 1:
                    self._wrong("twice", f"{region} has {number} items of {payment} under {key}")
        for key, payment in self.acknowledged:
            there = [identity(self.held.get((region, key))) == payment for region in REGIONS if region not in lost]
            if all(there):
                continue
            if any(other != payment for other in self.seen[key]):
                self.verdict.lost_by_conflict += 1
            elif lost:
                self.verdict.lost_with_region += 1
            else:
                self._wrong("one region, unexplained", f"{payment} under {key}")
        if not lost:
            one, other = (replicas[region] for region in REGIONS)
            if one != other:
                self._wrong("diverged", f"{dict(one)} and {dict(other)}")
            for key, amount in unfinished:
                self._wrong("never ends", f"{amount} under {key}")
        return self.verdict


def check(play: Any) -> Verdict:
    """Judge a history that was played."""
    world = play.world
    checker = Checker()
    checker.read(world.changes, world.chosen, world.unserved, world.read_by)
    unfinished = [(payer.pay.key, payer.pay.amount) for payer in play.payers.values() if payer.open]
    return checker.finish(world.replicas, world.destroyed, unfinished)
