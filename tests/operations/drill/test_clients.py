"""Clients pay where DNS sends them, and drill time passes meanwhile."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from payment_dr.operations.drill import clients
from payment_dr.operations.drill.client_dns import Change, ClientDns
from payment_dr.operations.drill.clients import Clients
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.ledger import Item, Ledger
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.resolvers import Answer
from payment_dr.operations.route53.zone import Record
from payment_dr.side import Side
from tests.operations.drill.parts import deployed_zone, well
from tests.operations.stack import Clock, Stack

TTL = 20


class Dns(ClientDns):
    """Answers with the region that a test says; it may be kept for 20 s."""

    def __init__(self, stack: Stack, journal: Journal) -> None:
        self.side: Side = "primary"
        self.forgotten = 0
        self.stands_still = False
        self._base = self._since = 0.0

        def ask(fqdn: str, record_type: str, at: float) -> Answer:
            target = stack.target(self.side)
            return Answer(Record(name=fqdn, type=record_type, ttl_seconds=TTL, values=(target,)), at + TTL)

        super().__init__(stack, deployed_zone(), journal, ask, 0.0)

    def advance(self, to: float) -> float:
        return to

    def running_from(self, base: float) -> Callable[[], float]:
        self._base, self._since = base, time.monotonic()
        return lambda: self._base if self.stands_still else self._base + time.monotonic() - self._since

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        self._base += time.monotonic() - self._since
        self.stands_still = True
        yield
        self._since = time.monotonic()
        self.stands_still = False

    def forget(self) -> None:
        self.forgotten += 1

    def switch(self, at: float, side: Side) -> None:
        self.side = side
        self._note_answer(at, side)


class Paying(Payments):
    """Payments that are acknowledged by the regions which a test says."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.serving: set[Side] = {"primary", "secondary"}
        self.hangs = well
        self.tried: list[tuple[str, Side, float, Item | None]] = []
        self.pinned: list[tuple[str, Side, float]] = []

    def transact(self, mode: str, side: Side, at: float, item: Item | None = None, *, pinned: bool = False) -> bool:
        self.tried.append((mode, side, at, item))
        self.pinned += [(mode, side, at)] * pinned
        self.hangs()
        return side in self.serving


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, {"kind": "region"})


@pytest.fixture
def dns(stack: Stack, journal: Journal) -> Dns:
    return Dns(stack, journal)


@pytest.fixture
def payments() -> Paying:
    return Paying()


@pytest.fixture
def paying(dns: Dns, payments: Paying, journal: Journal) -> Iterator[Clients]:
    """The clients."""
    with ThreadPoolExecutor(4) as pool:
        yield Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well)  # noqa: S311


def local(payments: Paying) -> list[tuple[Side, float]]:
    return [(side, at) for mode, side, at, _ in payments.tried if mode == "local"]


def test_they_pay_in_both_modes_about_once_a_second_until_drill_time_is_over(
    paying: Clients, payments: Paying, journal: Journal
) -> None:
    paying.run(until=30.0)
    paying.finish()
    assert journal.now == paying.now == 30.0
    times = [at for _, at in local(payments)]
    assert all(0.5 <= later - earlier <= 1.5 for earlier, later in pairwise(times))
    assert 20 <= len(times) <= 60
    assert {mode for mode, *_ in payments.tried} == {"local", "confirmed"}
    assert (paying.serving, paying.served) == ("primary", [])


def test_they_follow_dns_when_their_cache_expires_and_the_first_payment_there_is_noted(
    paying: Clients, payments: Paying, dns: Dns, journal: Journal
) -> None:
    paying.run(until=10.0)
    payments.serving = {"secondary"}
    dns.switch(10.0, "secondary")
    paying.run(until=40.0, stop=lambda: bool(paying.served))
    (served,) = paying.served
    assert dns.expired == [Change(20.0, "secondary")]
    assert 20.0 <= served.at < 22.0
    assert (paying.serving, served.side) == ("secondary", "secondary")
    noted = [(e["kind"], e["at"], e["region"]) for e in journal.content["events"] if e["kind"] in ("expired", "served")]
    assert noted == [("expired", 20.0, "us-west-2"), ("served", round(served.at, 3), "us-west-2")]
    assert {side for side, at in local(payments) if at < 20.0} == {"primary"}


def test_while_the_regions_are_split_others_pay_in_the_secondary_whatever_dns_answers(
    paying: Clients, payments: Paying
) -> None:
    class Split:
        def pay(self, at: float) -> None:
            rounds.append(at)

    rounds: list[float] = []
    paying.split = Split()  # type: ignore[assignment]
    paying.run(until=10.0)
    paying.split = None
    paying.run(until=20.0)
    paying.finish()
    there = [at for mode, side, at in payments.pinned if (mode, side) == ("local", "secondary")]
    followed = [at for side, at in local(payments) if side == "primary"]
    assert there == rounds == [at for at in followed if at < 10]
    assert {mode for mode, _, _ in payments.pinned} == {"local", "confirmed"}
    assert (paying.serving, paying.served) == ("primary", [])


def test_the_first_payment_to_be_confirmed_in_another_region_does_not_wait_for_those_of_the_former_one(
    dns: Dns, payments: Paying, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def transact(mode: str, side: Side, at: float) -> bool:
        payments.tried.append((mode, side, at, None))
        if (mode, side) == ("confirmed", "primary"):
            answered.wait(10)
        return True

    monkeypatch.setattr(payments, "transact", transact)
    with ThreadPoolExecutor(20) as pool:
        paying = Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well)  # noqa: S311
        paying.run(until=10.0)
        dns.switch(10.0, "secondary")
        paying.run(until=40.0, stop=lambda: bool(paying.served))
        answered.set()
    tried = [(mode, side) for mode, side, *_ in payments.tried]
    assert tried.count(("confirmed", "primary")) == clients.CONFIRMED_AT_A_TIME
    times = {mode: at for mode, side, at, _ in payments.tried if side == "secondary"}
    assert times == dict.fromkeys(("local", "confirmed"), pytest.approx(paying.served[0].at, abs=0.1))


def test_time_does_not_run_ahead_of_the_first_payment_back_in_the_primary(
    dns: Dns, payments: Paying, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client rejects others until it is confirmed."""
    asked, ahead = threading.Event(), list[float]()

    def transact(mode: str, side: Side, at: float) -> bool:
        if (mode, side) == ("confirmed", "primary") and is_over and not ahead:
            assert asked.wait(60)
            ahead.append(journal.now - at)
        return True

    def wait(first_back: set[Future[bool]], timeout: float) -> None:
        if first_back:
            waits.append(timeout)
            asked.set()
            assert futures.wait(first_back, timeout=60).not_done == set()

    waits, is_over = list[float](), list[bool]()
    monkeypatch.setattr(payments, "transact", transact)
    monkeypatch.setattr(clients, "wait", wait)
    with ThreadPoolExecutor(20) as pool:
        paying = Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well)  # noqa: S311
        dns.switch(0.0, "secondary")
        paying.run(until=40.0, stop=lambda: bool(paying.served))
        assert waits == []
        is_over.append(True)
        dns.switch(paying.now, "primary")
        paying.run(until=90.0, stop=lambda: bool(ahead))
    assert ahead == [0.0]
    assert all(0 <= each <= 1 for each in waits)


def test_they_are_back_when_the_primary_serves_is_answered_with_and_both_are_healthy(paying: Clients, dns: Dns) -> None:
    assert paying.are_back()
    dns.healthy["check-secondary"] = False
    assert not paying.are_back()
    dns.healthy["check-secondary"] = True
    dns.switch(5.0, "secondary")
    assert not paying.are_back()
    paying.run(until=30.0)
    dns.switch(30.0, "primary")
    assert not paying.are_back()
    paying.run(until=60.0, stop=paying.are_back)
    assert paying.are_back()
    assert [change.side for change in paying.served] == ["secondary", "primary"]


def test_a_client_whose_payment_hangs_tries_again_when_it_asks_dns_again(
    paying: Clients, payments: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(clients, "time", clock)
    payments.hangs = lambda: clock.sleep(2.0)
    paying.run(until=60.0)
    times = [at for _, at in local(payments)]
    assert times[0] == 0.0
    assert all(TTL < later - earlier < TTL + 2 for earlier, later in pairwise(times))


def test_an_open_payment_is_retried_with_its_key_in_the_serving_region(
    paying: Clients, payments: Paying, journal: Journal
) -> None:
    item = {"transaction_id": {"S": "a"}}
    payments.ledger.leave_open(item, "confirmed")
    paying.serving, journal.now = "secondary", 7.0
    paying.retry_open()
    paying.retry_open()
    assert payments.tried == [("confirmed", "secondary", 7.0, item)]


def test_an_open_payment_that_this_machine_cannot_retry_ends_the_drill(paying: Clients, payments: Paying) -> None:
    def broken() -> None:
        raise OSError("too many open files")

    payments.ledger.leave_open({"transaction_id": {"S": "a"}}, "confirmed")
    payments.hangs = broken
    with pytest.raises(OSError, match="too many open files"):
        paying.retry_open()


def test_a_drill_that_cannot_go_on_ends_at_once(dns: Dns, payments: Paying, journal: Journal) -> None:
    def gone() -> None:
        raise OperationError("it ended", hint="start it")

    with ThreadPoolExecutor(1) as pool, pytest.raises(OperationError, match="it ended"):
        Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=gone).run(until=30.0)  # noqa: S311
    assert payments.tried == []


def test_many_pay_while_an_outage_begins(
    paying: Clients, payments: Paying, dns: Dns, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 6)
    monkeypatch.setattr(clients, "RUSH_AFTER_SECONDS", 0.3)
    paying.run(until=3.0)
    before = len(payments.tried)
    noted: list[float] = []
    began = paying.rush(lambda: noted.append(journal.now))
    assert noted == [began]
    assert 3.25 <= began < paying.now
    assert dns.forgotten == 1
    tried = payments.tried[before:]
    assert min(at for _, _, at, _ in tried) < began < max(at for _, _, at, _ in tried)
    for mode in ("local", "confirmed"):
        assert len([at for each, _, at, _ in tried if each == mode and at < began]) >= 6


def test_an_outage_that_takes_its_time_to_begin_begins_at_one_moment_where_time_is_virtual(
    paying: Clients, payments: Paying, dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 1)
    monkeypatch.setattr(clients, "RUSH_AFTER_SECONDS", 0.2)
    meanwhile: list[float] = []

    def begin() -> None:
        begun, before = time.monotonic(), len(payments.tried)
        while time.monotonic() < begun + 0.3 or len(payments.tried) < before + 4:
            time.sleep(0.01)
        meanwhile.extend(at for _, _, at, _ in payments.tried[before + 2 :])  # two may have been on their way

    began = paying.rush(begin)
    assert set(meanwhile) == {began}
    assert began < paying.now


def test_a_payment_of_the_rush_belongs_to_the_moment_at_which_it_is_made(
    dns: Dns, payments: Paying, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 3)
    monkeypatch.setattr(clients, "RUSH_AFTER_SECONDS", 0.1)
    payments.hangs = lambda: time.sleep(0.1)
    with ThreadPoolExecutor(2) as pool:  # one paces, the other one pays, and cannot keep up
        Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well).rush(well)  # noqa: S311
    times = [at for _, _, at, _ in payments.tried[:5]]  # the third in confirmed mode ends the rush
    assert all(later - earlier > 0.09 for earlier, later in pairwise(times))


def test_payments_that_are_slow_do_not_pile_up_while_an_outage_begins(
    dns: Dns, payments: Paying, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 0)
    monkeypatch.setattr(clients, "RUSH_PER_SECOND", 100)
    monkeypatch.setattr(clients, "RUSH_AT_ONCE", 2)
    answered = threading.Event()

    def hang() -> None:
        answered.wait(10)

    payments.hangs = hang
    at_once: list[int] = []

    def begin() -> None:
        began = time.monotonic()
        while time.monotonic() < began + 0.5:  # in which 50 of each mode are due
            at_once.append(len(payments.tried))
            time.sleep(0.01)
        answered.set()

    with ThreadPoolExecutor(20) as pool:
        Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well).rush(begin)  # noqa: S311
    assert max(at_once) == 4


def test_payments_that_are_not_acknowledged_do_not_keep_an_outage_from_beginning(
    paying: Clients, payments: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_SECONDS", 0.2)
    monkeypatch.setattr(clients, "RUSH_AFTER_SECONDS", 0.0)
    payments.serving = set()
    assert 0.2 <= paying.rush(well) < 60


def test_an_outage_that_cannot_begin_ends_the_rush(
    dns: Dns, payments: Paying, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 1)

    def refuse() -> None:
        raise OperationError("no", hint="yes")

    pool = ThreadPoolExecutor(4)
    paying = Clients(dns, payments, journal, pool=pool, rng=random.Random(1), watch=well)  # noqa: S311
    with pytest.raises(OperationError, match="no"):
        paying.rush(refuse)
    all_paid = threading.Thread(target=pool.shutdown)
    all_paid.start()
    all_paid.join(timeout=60)
    assert not all_paid.is_alive()
