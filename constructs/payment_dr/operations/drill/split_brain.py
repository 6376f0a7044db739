"""Payments with one key that both regions take while they do not reach each other, and the version that stays.

A global table keeps the version of an item that was written last, by the time of the write, in every region: "last
writer wins" (https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html). Of two
versions that were both acknowledged, one is overwritten when the regions reach each other again. No client learns of
it, so the drill names it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill import ledger
from payment_dr.operations.drill.journal import LOCAL, MODES, ConflictRecord, SplitBrainRecord, VersionRecord
from payment_dr.operations.drill.ledger import Item, key_of
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.standby_writes import state_of
from payment_dr.side import OTHER, SIDES, Side

ROUNDS = 10  # of payments; in the first of them one is made in both regions


@dataclass
class _Conflict:
    """A payment that both regions have acknowledged, with different amounts."""

    key: Item
    versions: list[VersionRecord]
    seen: dict[Side, str | None] = field(default_factory=dict)


class SplitBrain:
    """Makes the same payments in both regions, with different amounts.

    Args:
        stack: The deployed stack.
        payments: The drill's payments.

    Example:
        >>> split = SplitBrain(stack, payments)  # doctest: +SKIP
        >>> split.pay(at=40.0)  # doctest: +SKIP
        >>> split.look()  # doctest: +SKIP
        >>> split.record(items)["conflicts"][0]["versions"][-1]["amount"]  # doctest: +SKIP
        '117'
    """

    def __init__(self, stack: Deployed, payments: Payments) -> None:
        self._stack, self._payments = stack, payments
        self._rounds = 0
        self._conflicts: list[_Conflict] = []
        self._unseen: dict[Side, int] = {}

    def pay(self, at: float) -> None:
        """One round at a drill time. Every tenth makes a payment in both regions, which take turns in being first."""
        number, is_due = divmod(self._rounds, ROUNDS)
        self._rounds += 1
        if is_due:
            return
        item = self._payments.new_item(LOCAL)
        changed = {**item, "amount": {"N": str(int(item["amount"]["N"]) + 1)}}
        order: tuple[Side, ...] = SIDES if number % 2 == 0 else SIDES[::-1]
        versions: list[VersionRecord] = [
            {"region": self._stack.region(side), "at": round(at, 3), "amount": version["amount"]["N"]}
            for side, version in zip(order, (item, changed), strict=True)
            if self._payments.transact(LOCAL, side, at, version, pinned=side == "secondary")
        ]
        if len(versions) == len(order):
            self._conflicts.append(_Conflict(key_of(item), versions))

    def look(self) -> None:
        """Count the payments that clients of each region do not see while it does not reach the other one.

        Raises:
            CannotTellError: A table does not answer.
        """
        conflicting = [conflict.key for conflict in self._conflicts]
        acknowledged = [each for mode in MODES for each in self._payments.ledger.acknowledged(mode)]
        paid = [each for each in acknowledged if each.key not in conflicting]
        for side in SIDES:
            there, other = self._items(side), self._stack.region(OTHER[side])
            self._unseen[side] = len(ledger.missing([each for each in paid if each.region == other], there))
            for conflict, amount in zip(self._conflicts, self._amounts(there), strict=True):
                conflict.seen[side] = amount

    def record(self, items: Mapping[Side, Iterable[Item]]) -> SplitBrainRecord:
        """The counts and the outcome of each conflict, for the journal.

        Args:
            items: All items of both tables in the end.
        """
        in_the_end = {side: self._amounts(items[side]) for side in SIDES}
        conflicts: list[ConflictRecord] = [
            {
                "id": ledger.id_of(conflict.key),
                "versions": conflict.versions,
                "seen": conflict.seen,
                "after": {side: in_the_end[side][place] for side in SIDES},
            }
            for place, conflict in enumerate(self._conflicts)
        ]
        return {"unseen": self._unseen, "conflicts": conflicts}

    def _amounts(self, items: Iterable[Item]) -> list[str | None]:
        """The amount of each conflicting payment as a table has it; None where it has none."""
        there = {state_of(key_of(item)): str(item["amount"]["N"]) for item in items}
        return [there.get(state_of(conflict.key)) for conflict in self._conflicts]

    def _items(self, side: Side) -> list[Item]:
        return asked(f"DynamoDB in {self._stack.region(side)}", lambda: self._payments.items(side))
