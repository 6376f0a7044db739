"""The ledger of a drill: which transactions were acknowledged to the client, and which of them a region has not got."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]
KEY = ("transaction_id", "timestamp")


def content_hash(item: Item) -> str:
    """SHA-256 of an item's content, whatever the order of its attributes."""
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def key_of(item: Item) -> Item:
    """The key of an item."""
    return {name: item[name] for name in KEY}


def id_of(item: Item) -> str:
    """The transaction's id."""
    return str(item["transaction_id"]["S"])


@dataclass(frozen=True)
class Entry:
    """An acknowledged transaction: what was paid, in which mode, where, how long the client waited, and for what."""

    key: Item
    content: str
    mode: str
    region: str
    seconds: float
    confirmed: bool

    @property
    def id(self) -> str:
        """The transaction's id."""
        return id_of(self.key)


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
        """The client was told that this is paid, and whether both regions are known to have it."""
        with self._lock:
            self._entries.append(Entry(key_of(item), content_hash(item), mode, region, seconds, confirmed))

    def leave_open(self, item: Item, mode: str) -> None:
        """The client was told nothing: it may have happened or not."""
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
    """Ids of the transactions that are not among these items, by key and content.

    Of a key that was acknowledged with several contents, one of them is enough: a table has one item of a key.
    """
    entries = list(entries)
    there = {content_hash(key_of(item)): content_hash(item) for item in items}
    acknowledged: dict[str, set[str]] = {}
    for entry in entries:
        acknowledged.setdefault(content_hash(entry.key), set()).add(entry.content)
    keys = ((entry.id, content_hash(entry.key)) for entry in entries)
    return [id_ for id_, key in keys if there.get(key) not in acknowledged[key]]


def different(primary: Iterable[Item], secondary: Iterable[Item]) -> list[str]:
    """Ids of the items that are not the same in both tables, or only in one."""
    first, second = ({(id_of(item), content_hash(item)) for item in items} for items in (primary, secondary))
    return sorted({id_ for id_, _ in first ^ second})


def written_twice(items: Iterable[Item]) -> list[str]:
    """Ids that more than one item has."""
    return sorted(id_ for id_, count in Counter(map(id_of, items)).items() if count > 1)
