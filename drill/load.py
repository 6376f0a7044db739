"""The payments of a drill: real writes to the deployed table, by two clients that acknowledge at different times."""

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drill.confirmed_write import ConfirmedWriter, NotConfirmedError
from drill.deployed import OTHER, ROLES, Deployed
from drill.journal import Journal
from drill.ledger import Item, Ledger

LOCAL, CONFIRMED = MODES = ("local", "confirmed")
CLIENT_SECONDS = 2.0  # a payment that takes longer has failed for its client, who would have left


class Load:
    """Makes transactions and keeps the ledger of what was acknowledged.

    Args:
        stack: The deployed stack.
        prefix: What the ids of all transactions begin with.
    """

    def __init__(self, stack: Deployed, prefix: str) -> None:
        self.ledger = Ledger()
        self._stack, self._prefix = stack, prefix
        config = Config(
            connect_timeout=CLIENT_SECONDS,
            read_timeout=CLIENT_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=64,
            proxies=None if stack.is_live else {},  # an embedded AWS is never behind the user's proxy
        )
        session = boto3.Session()
        self._clients: dict[str, Any] = {
            role: session.client(
                "dynamodb", region_name=stack.region(role), endpoint_url=stack.endpoint_url, config=config
            )
            for role in ROLES
        }
        self._table = str(stack.outputs["dynamodb_table_name"])
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._seen: Counter[tuple[int, str, str, bool]] = Counter()

    def transact(self, mode: str, role: str, at: float, item: Item | None = None) -> bool:
        """One payment at a drill time, in the region of a role; whether it was acknowledged.

        Args:
            mode: "local" acknowledges after the write, "confirmed" when the other region has it.
            role: The region that DNS has answered.
            at: Drill time.
            item: One that is still open. Default: a new one.
        """
        item = item or self._new(mode)
        started = time.monotonic()
        try:
            confirmed = self._write(mode, role, item)
        except (BotoCoreError, ClientError, NotConfirmedError):
            done = False
            self.ledger.leave_open(item, mode)
        else:
            done = True
            self.ledger.acknowledge(
                item, mode, self._stack.region(role), time.monotonic() - started, confirmed=confirmed
            )
        with self._lock:
            self._seen[math.floor(at), self._stack.region(role), mode, done] += 1
        return done

    def _write(self, mode: str, role: str, item: Item) -> bool:
        home = self._clients[role]
        if mode == LOCAL:
            home.put_item(TableName=self._table, Item=item)
            return False
        # In its usual region the client insists on a copy. Where it has failed over to, there may be no other region.
        alone: Literal["refuse", "accept"] = "refuse" if role == "primary" else "accept"
        return ConfirmedWriter(home, self._clients[OTHER[role]], self._table, alone=alone).write(item).confirmed

    def _new(self, mode: str) -> Item:
        number = next(self._numbers)
        return {
            "transaction_id": {"S": f"{self._prefix}-{mode}-{number}"},
            "timestamp": {"N": str(time.time_ns() // 1000)},
            "amount": {"N": str(100 + number)},
            "currency": {"S": "EUR"},
        }

    def items(self, role: str) -> list[Item]:
        """All items of the table as a region has them."""
        client = self._stack.client("dynamodb", role)  # of more patience than the load's
        pages = client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def tell(self, journal: Journal) -> None:
        """Note in the journal what was seen since the last time, by second of drill time."""
        with self._lock:
            seen, self._seen = self._seen, Counter()
        for at, region, mode in sorted({key[:3] for key in seen}):
            done, failed = (seen[at, region, mode, outcome] for outcome in (True, False))
            journal.event("transactions", at=at, region=region, mode=mode, acknowledged=done, failed=failed, per=1)


def paced(transact: Callable[[], None], per_second: float, stop: threading.Event) -> None:
    """Call something again and again at a steady pace until it is to stop."""
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        transact()
        due += 1 / per_second
