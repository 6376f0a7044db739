"""The clients of a drill: they ask DNS, pay in the region of the answer, and retry payments that failed.

Drill time passes here. It is virtual wherever only Route 53 and its caches are waited for: their model says at which
moments something happens, and at these the probes and transactions are made for real, one after the other, as fast as
they go. Around the outage time is real, so that replication has the lag that it has. A payment belongs to the moment at
which it is made, whenever its answer comes; where time is virtual, none is under way when an outage ends.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from payment_dr.operations.drill.client_dns import Change, ClientDns
from payment_dr.operations.drill.journal import CONFIRMED, LOCAL, Journal
from payment_dr.operations.drill.payments import Payments, paced
from payment_dr.operations.drill.split_brain import SplitBrain

RUSH_ACKNOWLEDGED = 50  # payments in confirmed mode, before the outage
RUSH_SECONDS = 60.0  # of real time, in which they have to come
RUSH_AFTER_SECONDS = 1.0  # of real time, after the outage has begun
RUSH_PER_SECOND = 20
RUSH_AT_ONCE = 5  # of each mode: payments that wait for each other would keep probes waiting, as an outage does
SLOW_SECONDS = 0.5  # of drill time: a payment beyond this hangs
SLOW_PAUSE_SECONDS = 30.0  # of drill time, between two payments that hang
CONFIRMED_AT_A_TIME = 4


class Clients:
    """The clients, all of which share one cache of DNS.

    Args:
        dns: What they ask.
        payments: What they pay with.
        journal: Has the drill time, which these clients let pass.
        pool: Where payments are made.
        rng: Decides the pauses between payments.
        watch: Called all the time while drill time passes; it raises when the drill cannot go on.

    Attributes:
        serving: Side of the region that acknowledged the latest payment of the first mode, see `Payments.modes`.
        served: When the first payment of another region than before was acknowledged.
        split: While it is set, other clients pay in the secondary region, whatever DNS answers, and some make the same
            payment in both.

    Example:
        >>> clients.run(until=30.0)  # doctest: +SKIP
        >>> clients.serving  # doctest: +SKIP
        'primary'
    """

    def __init__(
        self,
        dns: ClientDns,
        payments: Payments,
        journal: Journal,
        *,
        pool: ThreadPoolExecutor,
        rng: random.Random,
        watch: Callable[[], None],
    ) -> None:
        self._dns, self._payments, self._journal, self._pool, self._rng = dns, payments, journal, pool, rng
        self._watch = watch
        self._next_try = 0.0
        self._confirming: set[Future[bool]] = set()
        self._pinned_confirming: set[Future[bool]] = set()
        self._first_back: set[Future[bool]] = set()
        self.split: SplitBrain | None = None
        self.serving = dns.answered
        self.served: list[Change] = []

    @property
    def now(self) -> float:
        """Seconds of drill time."""
        return self._journal.now

    def are_back(self) -> bool:
        """Whether the primary serves, DNS answers with it, and every health check is healthy."""
        return self.serving == self._dns.answered == "primary" and all(self._dns.healthy.values())

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Let drill time pass: checkers probe, DNS answers, clients pay.

        Args:
            until: Drill time in seconds at which to stop.
            stop: Asked all the time whether to stop before that.

        Raises:
            OperationError: The drill cannot go on.
        """
        while self.now < until and not stop():
            self._watch()
            to = min(until, self.now + 1, max(self._next_try, self.now))
            wait(self._first_back, timeout=to - self.now)
            self._advance(to)
            if self.now >= self._next_try:
                self._pay()

    def rush(self, begin_outage: Callable[[], None], *, counted: str = CONFIRMED) -> float:
        """Real time: many clients pay while an outage begins.

        Args:
            begin_outage: Begins it.
            counted: The mode whose acknowledged payments are waited for before that.

        Returns:
            Drill time in seconds at which it began.
        """
        now, stop = self._dns.running_from(self.now), threading.Event()
        confirming: list[Future[bool]] = []
        paying: list[Future[bool]] = []

        def pay(mode: str) -> bool:
            at = now()  # it may have waited for a thread
            return self._payments.transact(mode, self._dns.resolve(at), at)

        def pay_twice() -> None:
            for mode, made in ((CONFIRMED, confirming), (LOCAL, paying)):
                if sum(not each.done() for each in made[-RUSH_AT_ONCE:]) < RUSH_AT_ONCE:
                    made.append(self._pool.submit(pay, mode))

        pacing = self._pool.submit(paced, pay_twice, RUSH_PER_SECOND, stop)
        try:
            latest = time.monotonic() + RUSH_SECONDS
            made = confirming if counted == CONFIRMED else paying
            while time.monotonic() < latest and _acknowledged(made) < RUSH_ACKNOWLEDGED:
                stop.wait(0.05)
            with self._dns.standing_still():
                self._advance(now())
                began = self.now
                begin_outage()
                self._dns.forget()
            stop.wait(RUSH_AFTER_SECONDS)
        finally:
            stop.set()
        pacing.result()
        for each in paying:  # with the last of these all others have begun
            each.result()
        self._confirming.update(confirming)
        self._advance(now())
        self._next_try = self.now
        return began

    def retry_open(self) -> None:
        """Retry payments that were not acknowledged, with the same key, in the region that serves now."""
        tried = [
            self._pool.submit(self._payments.transact, mode, self.serving, self.now, item)
            for mode, item in self._payments.ledger.take_open()
        ]
        for each in tried:
            each.result()

    def finish(self) -> None:
        """Wait for the payments that are still to be confirmed."""
        for each in (*self._confirming, *self._pinned_confirming):
            each.result()

    def _advance(self, to: float) -> None:
        self._journal.now = self._dns.advance(to)

    def _pay(self) -> None:
        """One payment in each mode; that of the second mode is not waited for.

        It is left out while many wait already, which in virtual time is no delay of their clients. The first ones of
        another region than before are never left out: they say when this client was served there.

        While the first one back in the primary waits, its client rejects others, as it has failed there before. So time
        does not run ahead of that one. Otherwise a second would look like an outage of many.
        """
        first, second = self._payments.modes
        side, at = self._dns.resolve(self.now), self.now
        self._confirming = {each for each in self._confirming if not each.done()}
        if len(self._confirming) < CONFIRMED_AT_A_TIME or side != self.serving:
            confirming = self._pool.submit(self._payments.transact, second, side, at)
            self._confirming.add(confirming)
            if side != self.serving and side == "primary":
                self._first_back = {confirming}
        started = time.monotonic()
        done = self._payments.transact(first, side, at)
        took = self._dns.took(side, time.monotonic() - started)
        if done and side != self.serving:
            self.serving = side
            self.served.append(Change(at + took, side))
            self._dns.note_served(at + took, side)
        pause = self._rng.uniform(0.5, 1.5)  # payments do not keep step with caches
        self._next_try = at + pause
        if took > SLOW_SECONDS:  # nothing changes before the client asks again
            self._next_try = min(at + SLOW_PAUSE_SECONDS, max(at, self._dns.expires) + pause)
        if self.split:
            self._pay_in_the_secondary(at)
            self.split.pay(at)

    def _pay_in_the_secondary(self, at: float) -> None:
        """One payment in each mode of a client that stays with the secondary region."""
        first, second = self._payments.modes
        pay = partial(self._payments.transact, side="secondary", at=at, pinned=True)
        self._pinned_confirming = {each for each in self._pinned_confirming if not each.done()}
        if len(self._pinned_confirming) < CONFIRMED_AT_A_TIME:
            self._pinned_confirming.add(self._pool.submit(pay, second))
        pay(first)


def _acknowledged(paying: Iterable[Future[bool]]) -> int:
    return sum(each.done() and each.result() for each in list(paying))
