"""The payments of a drill: real writes to the deployed table, by two clients that acknowledge at different times."""

import http.client
import itertools
import json
import math
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from payment_dr.confirmed import CONFIG, Breaker, Confirmed, ConfirmedPayments, OneRegion
from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed, called_in_time
from payment_dr.operations.drill.journal import CONFIRMED, LOCAL, MODES, Journal, PaymentRecord, TransactionsEvent
from payment_dr.operations.drill.ledger import Item, Ledger, id_of, key_of
from payment_dr.operations.drill.payment_figures import with_phases
from payment_dr.operations.drill.service_load import ServiceClient
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError, lack_of_this_machine
from payment_dr.side import OTHER, SIDES, Side

LOOKING_UP = 16  # items at a time
DELETION_SECONDS = 60.0
CLIENT_SECONDS = 2.0  # a payment that takes longer has failed for its client, who would have left


class Payments:
    """Makes payments and keeps the ledger of acknowledged ones.

    Args:
        stack: The deployed stack.
        prefix: What the ids of all its transactions begin with.
        by_key: Whether only these transactions are looked at, one by one, and not the whole table.
        endpoint: Address that payments are sent to, see `PaymentEndpoint`. Default: they are written to the table.
        tls: Called before each payment, in the region that it goes to. Default: the name is not served over TLS.
        service: Whether payments go through the service behind the name, see `ServiceClient`; needs `tls`.
        confirms: Whether the endpoint or the service acknowledges only what both regions have.
        clock: The drill time, in which the client of confirmed mode tries the other region again.

    Attributes:
        ledger: What was acknowledged.
        prefix: As given.
        modes: The client modes, first the one whose payments go to the endpoint or through the service, as these
            acknowledge them: "confirmed" if that one confirms, else "local". The other one is the drill's own client,
            which writes to the table. Without an endpoint and a service both are.
        outage: Drill times at which the outage began and ended, as far as they are known; they divide the payments
            into phases.
        released: Drill time at which an operator let clients return; None where they return by themselves.

    Example:
        >>> payments = Payments(stack, "dr-drill-1")  # doctest: +SKIP
        >>> payments.transact("local", "primary", at=0.0)  # doctest: +SKIP
        True
    """

    modes: tuple[str, str] = MODES

    def __init__(
        self,
        stack: Deployed,
        prefix: str,
        *,
        by_key: bool = False,
        endpoint: str | None = None,
        tls: TlsClient | None = None,
        service: bool = False,
        confirms: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = Ledger()
        self.prefix = prefix
        self.outage: tuple[float | None, float | None] = None, None
        self.released: float | None = None
        self._stack, self._by_key, self._tls = stack, by_key, tls
        self._endpoint = PaymentEndpoint(endpoint) if endpoint else None
        self._services = {side: ServiceClient(tls, side) for side in SIDES} if service and tls else None
        self.modes = (CONFIRMED, LOCAL) if confirms else (LOCAL, CONFIRMED)
        self._made: list[Item] = []
        self._clients = {side: _DynamoDb(stack, side) for side in SIDES}
        self._table = str(stack.outputs["dynamodb_table_name"])
        self._confirmed = {
            (side, pinned): self._confirmed_payments(side, clock, pinned=pinned)
            for side in SIDES
            for pinned in (False, True)
        }
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._seen: Counter[tuple[int, str, str, bool, bool]] = Counter()
        self._records: list[PaymentRecord] = []

    def transact(self, mode: str, side: Side, at: float, item: Item | None = None, *, pinned: bool = False) -> bool:
        """One payment at a drill time, in the region of a side.

        Args:
            mode: "local" acknowledges after the write, "confirmed" when the other region has it.
            side: The region that DNS has answered.
            at: Drill time.
            item: One that is still open, or that the other region has too. Default: a new one.
            pinned: Whether the client stays with the secondary region, whatever DNS answers.

        Returns:
            Whether it was acknowledged. If not, it may have been taken: it stays open, to be sent again with its key.

        Raises:
            ThisMachineError: This machine could not make it.
        """
        item = item or self.new_item(mode)
        began = started = time.monotonic()
        confirmed = False
        try:
            if self._tls and not isinstance(self._theirs(mode, side), ServiceClient):  # which goes over TLS itself
                self._tls.call(side)
            started = time.monotonic()  # the latency is that of the write, with a custom domain and without
            confirmed = self._pay(mode, side, item, pinned=pinned)
        except (BotoCoreError, ClientError, NotServedError, NotAcknowledgedError) as error:
            if lacking := lack_of_this_machine(error):
                raise lacking from error
            done, ended = False, time.monotonic()
            self.ledger.leave_open(item, mode)
        else:
            done, ended = True, time.monotonic()
            self.ledger.acknowledge(item, mode, self._stack.region(side), ended - started, confirmed=confirmed)
        record: PaymentRecord = {
            "id": id_of(item),
            "mode": mode,
            "region": self._stack.region(side),
            "at": round(at, 3),
            "done": round(at + self._took(mode, side, ended - began), 3),
            "seconds": round(ended - started, 4),
            "acknowledged": done,
            "confirmed": confirmed,
            "phase": "steady",  # until `note_in` knows better
        }
        if pinned:
            record["pinned"] = True
        with self._lock:
            self._seen[math.floor(at), self._stack.region(side), mode, pinned, done] += 1
            self._records.append(record)
        return done

    def _took(self, mode: str, side: Side, measured: float) -> float:
        """Seconds of drill time; a confirmed payment has waited for both regions."""
        asked_of = (side,) if mode == LOCAL else (side, OTHER[side])
        return max(self._stack.took(each, measured) for each in asked_of)

    def _pay(self, mode: str, side: Side, item: Item, *, pinned: bool) -> bool:
        """Send a payment; whether both regions are known to have it."""
        if theirs := self._theirs(mode, side):  # the drill does not confirm its acknowledgement
            theirs.put_item(TableName=self._table, Item=item)
            return False
        if mode == LOCAL:
            self._clients[side].put_item(TableName=self._table, Item=item)
            return False
        payment = {name: value for name, value in item.items() if name not in key_of(item)}
        outcome = self._confirmed[side, pinned].pay(id_of(item), payment)
        if isinstance(outcome, Confirmed | OneRegion):
            return isinstance(outcome, Confirmed)
        raise NotAcknowledgedError(outcome.why)

    def _confirmed_payments(self, side: Side, clock: Callable[[], float], *, pinned: bool) -> ConfirmedPayments:
        """The client of confirmed mode in a region. Its operator accepts one region alone where it has failed over."""
        return ConfirmedPayments(
            self._clients[side],
            self._clients[OTHER[side]],
            self._table,
            alone=lambda: "accept" if side == "secondary" and not pinned else "refuse",
            breaker=_DrillTimeBreaker(clock),
            metrics=lambda _: None,
        )

    def _theirs(self, mode: str, side: Side) -> "ServiceClient | PaymentEndpoint | None":
        """The service or the endpoint that payments of a mode go to; None if they are written to the table."""
        if mode != self.modes[0]:
            return None
        return self._services[side] if self._services else self._endpoint

    def new_item(self, mode: str) -> Item:
        """A payment that nobody has made yet."""
        number = next(self._numbers)
        theirs = self._theirs(mode, "primary")
        has_time = isinstance(theirs, PaymentEndpoint) if theirs else mode == LOCAL  # else its id alone is its key
        item = {
            "transaction_id": {"S": f"{self.prefix}-{mode}-{number}"},
            "timestamp": {"N": str(time.time_ns() // 1000) if has_time else "0"},
            "amount": {"N": str(100 + number)},
            "currency": {"S": "EUR"},
        }
        self._made.append(item)
        return item

    def items(self, side: Side) -> list[Item]:
        """All items of the table as a region has them; those of these payments alone, if others use the table too."""
        client = self._stack.client("dynamodb", side)  # of more patience than that of a payment
        if self._by_key:
            with ThreadPoolExecutor(LOOKING_UP) as pool:
                return [item for found in pool.map(partial(self._with_id, client), list(self._made)) for item in found]
        pages = client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def _with_id(self, client: Any, item: Item) -> list[Item]:
        found: list[Item] = client.query(
            TableName=self._table,
            KeyConditionExpression="transaction_id = :id",
            ExpressionAttributeValues={":id": item["transaction_id"]},
            ConsistentRead=True,
        )["Items"]
        return found

    def delete(self) -> None:
        """Delete every item of these payments in both regions, by its key.

        Raises:
            OperationError: Some are still there.
        """
        deadline = time.monotonic() + DELETION_SECONDS
        while True:
            left = {side: asked(f"DynamoDB in {self._stack.region(side)}", partial(self.items, side)) for side in SIDES}
            if not any(left.values()):
                return
            if time.monotonic() > deadline:
                raise OperationError(
                    f"{sum(map(len, left.values()))} items are still there", hint="delete them by hand"
                )
            for side, items in left.items():
                client = self._stack.client("dynamodb", side)
                with ThreadPoolExecutor(LOOKING_UP) as pool:
                    list(pool.map(lambda item: client.delete_item(TableName=self._table, Key=key_of(item)), items))  # noqa: B023

    def note_in(self, journal: Journal) -> None:
        """Note every payment in the journal, and the counts by second of drill time since the last call."""
        with self._lock:
            seen, self._seen = self._seen, Counter()
            records = list(self._records)
        began, recovered = self.outage
        secondary = self._stack.region("secondary")
        journal.set(payments=with_phases(records, secondary=secondary, began=began, recovered=recovered))
        for at, region, mode, pinned in sorted({key[:4] for key in seen}):
            done, failed = (seen[at, region, mode, pinned, outcome] for outcome in (True, False))
            event: TransactionsEvent = {
                "kind": "transactions",
                "region": region,
                "mode": mode,
                "acknowledged": done,
                "failed": failed,
                "per": 1,
            }
            if pinned:
                event["pinned"] = True
            journal.note(event, at=at)


class _DrillTimeBreaker(Breaker):
    """A breaker whose pause passes in drill time, which may run ahead of real time.

    Args:
        clock: The drill time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def lets_through(self, now: float) -> bool:  # noqa: ARG002 - real time
        """Whether a payment that begins now waits for the other region."""
        return super().lets_through(self._clock())

    def note(self, now: float, *, confirmed: bool) -> None:  # noqa: ARG002
        """Note how a payment ended that has waited for the other region."""
        super().note(self._clock(), confirmed=confirmed)


class _DynamoDb:
    """DynamoDB in a region, in the place of boto3's client, for clients who wait `CLIENT_SECONDS` of the stack's time.

    Args:
        stack: The deployed stack.
        side: The side of the region.

    Attributes:
        meta: Of boto3: each call is one attempt.
    """

    meta = SimpleNamespace(config=CONFIG)

    def __init__(self, stack: Deployed, side: Side) -> None:
        self._stack, self._side = stack, side

    def put_item(self, **arguments: Any) -> Any:
        """Write an item, as boto3 does."""
        return self._call("put_item", arguments)

    def get_item(self, **arguments: Any) -> Any:
        """Read an item, as boto3 does."""
        return self._call("get_item", arguments)

    def _call(self, operation: str, arguments: Any) -> Any:
        def call(seconds: float) -> Any:  # the same item, if it is repeated: it does not matter which comes first
            return getattr(self._stack.client("dynamodb", self._side, seconds=seconds), operation)(**arguments)

        late = (ConnectTimeoutError, ReadTimeoutError)
        try:
            return called_in_time(call, CLIENT_SECONDS, partial(self._stack.limit, self._side), late)
        except (BotoCoreError, ClientError) as error:
            if lacking := lack_of_this_machine(error):  # the client that confirms would take it for an outage
                raise lacking from error
            raise


class NotAcknowledgedError(Exception):
    """A payment was not acknowledged: it may have been taken or not."""


class PaymentEndpoint:
    """The user's own service, called as a client of its calls it.

    It is sent ``POST`` with the JSON object ``{"transaction_id": …, "timestamp": …, "amount": …, "currency": …}``. With
    a status of 2xx it says that it has written an item of exactly these attributes to the table of its region, strings
    as strings and numbers as numbers.

    Args:
        url: Where.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def put_item(self, *, TableName: str, Item: Item) -> None:  # noqa: N803, ARG002 - in the place of boto3's
        """Send one payment.

        Raises:
            NotAcknowledgedError: It was not acknowledged.
        """
        payment = {name: int(value["N"]) if "N" in value else value["S"] for name, value in Item.items()}
        request = urllib.request.Request(  # noqa: S310 - the address is the user's
            self._url, json.dumps(payment).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=CLIENT_SECONDS):  # noqa: S310
                pass
        except (OSError, http.client.HTTPException) as error:
            raise NotAcknowledgedError(str(error)) from error


def paced(transact: Callable[[], None], per_second: float, stop: threading.Event) -> None:
    """Call something again and again at a steady pace until it is to stop."""
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        transact()
        due += 1 / per_second
