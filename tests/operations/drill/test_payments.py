"""Payments, of which each is made once, whatever the machine does meanwhile."""

import errno
import json
import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from payment_dr.confirmed import ConfirmedPayments
from payment_dr.operations.drill import payments
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.ledger import missing
from payment_dr.operations.drill.payments import NotAcknowledgedError, PaymentEndpoint, Payments, paced
from payment_dr.operations.errors import OperationError, ThisMachineError
from payment_dr.side import OTHER, SIDES, Side
from tests.operations.stack import GONE, Clock, Stack


class SlowStack(Stack):
    """A stack whose calls take so many real seconds; its own time may be another.

    Attributes:
        seconds: What a call takes.
        patience: Real seconds in which a call is answered by its own time. None: time is real.
        waited: How long each call was waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.patience: float | None = None
        self.late: type[ConnectTimeoutError | ReadTimeoutError] = ReadTimeoutError
        self.waited: list[float] = []

    def limit(self, side: Side, seconds: float) -> float:
        return super().limit(side, seconds) if self.patience is None else self.patience

    def client(self, service: str, side: Side, *, seconds: float | None = None) -> Any:
        if seconds is not None:
            self.waited.append(seconds)
            if self.seconds > seconds:
                raise self.late(endpoint_url="https://...")
        return super().client(service, side)


@pytest.fixture
def slow() -> SlowStack:
    return SlowStack()


@pytest.fixture
def no_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of confirmed mode waits in no time."""
    made = partial(ConfirmedPayments, clock=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(payments, "ConfirmedPayments", made)


@pytest.mark.parametrize("mode", ["local", "confirmed"])
@pytest.mark.parametrize("late", [ConnectTimeoutError, ReadTimeoutError])
def test_a_payment_that_is_slow_by_real_time_alone_is_acknowledged(
    mode: str, late: type[ConnectTimeoutError | ReadTimeoutError], slow: SlowStack
) -> None:
    slow.seconds, slow.patience, slow.late = 10.0, 60.0, late
    paying = Payments(slow, "dr-drill-1")
    assert paying.transact(mode, "primary", 0.0)
    assert set(slow.waited) == {payments.CLIENT_SECONDS, 60.0}
    (entry,) = paying.ledger.acknowledged(mode)
    written = {entry["transaction_id"]["S"] for side in SIDES for entry in slow.items[side]}
    assert written == {entry.id}


def test_a_payment_that_is_slow_by_the_stacks_time_has_failed(slow: SlowStack) -> None:
    slow.seconds = 10.0
    paying = Payments(slow, "dr-drill-1")
    assert not paying.transact("local", "primary", 0.0)
    assert slow.waited == [payments.CLIENT_SECONDS]
    assert [mode for mode, _ in paying.ledger.take_open()] == ["local"]


def test_every_attempt_is_in_the_journal_with_its_outcome_in_the_order_of_drill_time(
    slow: SlowStack, tmp_path: Path
) -> None:
    journal, paying = Journal(tmp_path, {"kind": "region"}), Payments(slow, "dr-drill-1")
    assert paying.transact("confirmed", "primary", 3.0)
    slow.seconds = 10.0
    assert not paying.transact("local", "secondary", 2.0)
    slow.seconds = 0.0
    ((mode, item),) = paying.ledger.take_open()
    assert paying.transact(mode, "secondary", 4.0, item)
    paying.note_in(journal)
    found = journal.content["payments"]
    assert [(each["id"], each["region"], each["acknowledged"], each["confirmed"]) for each in found] == [
        ("dr-drill-1-local-1", "us-west-2", False, False),
        ("dr-drill-1-confirmed-0", "us-east-1", True, True),
        ("dr-drill-1-local-1", "us-west-2", True, False),
    ]
    assert [each["at"] for each in found] == [2.0, 3.0, 4.0]
    assert all(each["done"] >= each["at"] and each["seconds"] < 1 for each in found)


def test_payments_of_a_client_that_stays_with_a_region_are_counted_apart(slow: SlowStack, tmp_path: Path) -> None:
    journal, paying = Journal(tmp_path, {"kind": "partition"}), Payments(slow, "dr-drill-1")
    paying.transact("local", "secondary", 3.0, pinned=True)
    paying.transact("local", "secondary", 3.0)
    paying.note_in(journal)
    assert [each.get("pinned") for each in journal.content["payments"]] == [True, None]
    counted: list[Any] = journal.content["events"]
    assert [(each.get("pinned"), each["acknowledged"]) for each in counted] == [(None, 1), (True, 1)]
    assert [each["at"] for each in counted] == [3.0, 3.0]


def test_what_an_endpoint_acknowledges_is_tried_first(slow: SlowStack) -> None:
    assert Payments(slow, "dr-drill-1").modes == ("local", "confirmed")
    assert Payments(slow, "dr-drill-1", confirms=True).modes == ("confirmed", "local")


def test_a_confirmed_payment_has_waited_for_both_regions(
    slow: SlowStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    journal, paying = Journal(tmp_path, {"kind": "hang"}), Payments(slow, "dr-drill-1")
    monkeypatch.setattr(slow, "took", lambda side, _measured: 2.0 if side == "primary" else 0.0)
    for mode in ("local", "confirmed"):
        assert paying.transact(mode, "secondary", 10.0)
    paying.note_in(journal)
    assert {each["mode"]: each["done"] for each in journal.content["payments"]} == {"local": 10.0, "confirmed": 12.0}


@pytest.mark.parametrize("fault", ["lag", "away"])
@pytest.mark.parametrize(
    ("side", "pinned", "acknowledged"), [("primary", False, 0), ("secondary", False, 1), ("secondary", True, 0)]
)
def test_one_region_alone_acknowledges_only_where_the_client_has_failed_over(
    side: Side, fault: str, acknowledged: int, slow: SlowStack, no_time: None, *, pinned: bool
) -> None:
    slow.replicates = False
    if fault == "away":
        slow.failing["dynamodb", OTHER[side]] = GONE
    paying = Payments(slow, "dr-drill-1")
    assert paying.transact("confirmed", side, 0.0, pinned=pinned) == bool(acknowledged)
    assert [entry.confirmed for entry in paying.ledger.acknowledged("confirmed")] == [False] * acknowledged
    assert len(paying.ledger.take_open()) == 1 - acknowledged


def test_a_payment_of_which_nothing_is_known_is_sent_again_with_its_key_and_taken_once(
    slow: SlowStack, no_time: None
) -> None:
    slow.replicates = False
    paying = Payments(slow, "dr-drill-1")
    assert not paying.transact("confirmed", "primary", 0.0)
    ((mode, item),) = paying.ledger.take_open()
    slow.items["secondary"] = list(slow.items["primary"])
    assert paying.transact(mode, "secondary", 1.0, item)
    (entry,) = paying.ledger.acknowledged("confirmed")
    assert (entry.confirmed, len(slow.items["secondary"])) == (True, 1)
    assert missing([entry], paying.items("secondary")) == []


def test_the_other_region_is_tried_again_after_drill_time(slow: SlowStack, no_time: None) -> None:
    now, slow.replicates = 0.0, False
    paying = Payments(slow, "dr-drill-1", clock=lambda: now)
    for _ in range(4):
        assert not paying.transact("confirmed", "primary", now)
    assert len(slow.items["primary"]) == 3  # the fourth one was refused before anything was written
    slow.replicates = True
    assert not paying.transact("confirmed", "primary", now)
    now = 10.0
    assert paying.transact("confirmed", "primary", now)


def test_a_payment_that_this_machine_cannot_make_has_not_failed(
    slow: SlowStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: object, **__: object) -> None:
        no_file = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise EndpointConnectionError(endpoint_url="https://...", error=no_file) from no_file

    monkeypatch.setattr(slow, "client", lacks)
    paying = Payments(slow, "dr-drill-1")
    with pytest.raises(ThisMachineError, match="cannot open any more files or connections"):
        paying.transact("confirmed", "primary", 0.0)
    assert list(paying.ledger.take_open()) == []


def test_payments_are_deleted_in_both_regions_and_nothing_else_is(slow: SlowStack) -> None:
    paying = Payments(slow, "dr-drill-1")
    assert paying.transact("local", "primary", 0.0)
    assert all(slow.items.values())
    paying.delete()
    assert slow.items == {side: [] for side in SIDES}


def test_payments_that_stay_are_named(slow: SlowStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "DELETION_SECONDS", -1.0)
    paying = Payments(slow, "dr-drill-1")
    assert paying.transact("local", "primary", 0.0)
    with pytest.raises(OperationError, match="2 items are still there"):
        paying.delete()


class _Service(BaseHTTPRequestHandler):
    """A user's service that takes payments of less than 500."""

    taken: ClassVar[list[tuple[str, str | None, Any]]] = []

    def do_POST(self) -> None:
        payment = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append((self.path, self.headers["Content-Type"], payment))
        self.send_response(201 if payment["amount"] < 500 else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_the_users_endpoint_is_posted_a_payment_and_its_status_acknowledges_it() -> None:
    item = {
        "transaction_id": {"S": "dr-drill-1"},
        "timestamp": {"N": "7"},
        "amount": {"N": "12"},
        "currency": {"S": "EUR"},
    }
    sent = {"transaction_id": "dr-drill-1", "timestamp": 7, "amount": 12, "currency": "EUR"}
    with HTTPServer(("127.0.0.1", 0), _Service) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            endpoint = PaymentEndpoint(f"http://127.0.0.1:{server.server_port}/pay")
            endpoint.put_item(TableName="transactions", Item=item)
            with pytest.raises(NotAcknowledgedError, match="503"):
                endpoint.put_item(TableName="transactions", Item={**item, "amount": {"N": "500"}})
        finally:
            server.shutdown()
            serving.join()
    assert _Service.taken == [("/pay", "application/json", sent), ("/pay", "application/json", {**sent, "amount": 500})]


def test_a_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(payments, "time", clock)
    called: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.sleep(timeout or 0)
            return len(called) == 4

    def transact() -> None:
        called.append(clock.now)
        clock.sleep(0.1 if len(called) < 3 else 0.9)  # the third one takes longer than its turn

    paced(transact, 2, Stop())
    assert called == pytest.approx([1000, 1000.5, 1001, 1001.9])
