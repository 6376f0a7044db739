"""The ledger of a drill: acknowledged transactions, and those of them that a region lacks."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from payment_dr.operations.standby_writes import state_of

Item = dict[str, Any]
KEY = ("transaction_id", "timestamp")


def key_of(item: Item) -> Item:
    """The key of an item."""
    return {name: item[name] for name in KEY}


def id_of(item: Item) -> str:
    """The transaction's id."""
    return str(item["transaction_id"]["S"])


@dataclass(frozen=True)
class Entry:
    """An acknowledged transaction: the item as sent, mode, region, the client's wait, and whether both have it."""

    sent: Item
    mode: str
    region: str
    seconds: float
    confirmed: bool

    @property
    def id(self) -> str:
        """The transaction's id."""
        return id_of(self.sent)

    @property
    def key(self) -> Item:
        """The item's key."""
        return key_of(self.sent)


class Ledger:
    """Every transaction of a drill. Several threads may write to it.

    Example:
        >>> ledger = Ledger()
        >>> ledger.acknowledge({"transaction_id": {"S": "a"}, "timestamp": {"N": "1"}}, "local", "us-east-1", 0.01)
        >>> [entry.id for entry in ledger.acknowledged("local")]
        ['a']
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._open: list[tuple[str, Item]] = []
        self._lock = threading.Lock()

    def acknowledge(self, item: Item, mode: str, region: str, seconds: float, *, confirmed: bool = False) -> None:
        """Note an acknowledgement, and whether it says that both regions have the item."""
        with self._lock:
            self._entries.append(Entry(item, mode, region, seconds, confirmed))

    def leave_open(self, item: Item, mode: str) -> None:
        """Note a payment without an acknowledgement: it may have been taken or not."""
        with self._lock:
            self._open.append((mode, item))

    def take_open(self) -> list[tuple[str, Item]]:
        """Modes and items that are open, for a client that tries them again."""
        with self._lock:
            taken, self._open = self._open, []
        return taken

    def acknowledged(self, mode: str) -> list[Entry]:
        """What was acknowledged so far."""
        with self._lock:
            return [entry for entry in self._entries if entry.mode == mode]


def missing(entries: Iterable[Entry], items: Iterable[Item]) -> list[str]:
    """Ids of the transactions that these items lack, by key and by the attributes that the client sent.

    Other attributes of an item, such as `write_id`, are not compared. If one key was acknowledged with several
    contents, one of them is enough: a table has one item of a key.
    """
    there = {state_of(key_of(item)): item for item in items}
    keyed = [(state_of(entry.key), entry) for entry in entries]
    found = {key for key, entry in keyed if _is_in(there.get(key, {}), entry.sent)}
    return [entry.id for key, entry in keyed if key not in found]


def _is_in(item: Item, sent: Item) -> bool:
    return state_of({name: value for name, value in item.items() if name in sent}) == state_of(sent)


def different(primary: Iterable[Item], secondary: Iterable[Item]) -> list[str]:
    """Ids of the items that are not the same in both tables, or only in one."""
    first, second = ({(id_of(item), state_of(item)) for item in items} for items in (primary, secondary))
    return sorted({id_ for id_, _ in first ^ second})


def written_twice(items: Iterable[Item]) -> list[str]:
    """Ids that more than one item has."""
    return sorted(id_ for id_, count in Counter(map(id_of, items)).items() if count > 1)
