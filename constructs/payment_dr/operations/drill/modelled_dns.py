"""Route 53 and a client's cache of its answers, modelled over real probes of a deployed stack, in virtual time."""

import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from payment_dr.operations import probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill import preflight
from payment_dr.operations.drill.client_dns import ClientDns
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.route53.checkers import (
    HealthCheckerFleet,
    ProbeResult,
    Verdict,
    judge,
    random_first_requests,
)
from payment_dr.operations.route53.resolvers import CachingResolver, name_server
from payment_dr.operations.route53.zone import HealthCheck, Zone
from payment_dr.side import SIDES, Side


class _Prober:
    """Probes one region for all of its checkers.

    While probes hang it makes as many at the same time as there are checkers, and hands them out one by one: nothing
    changes between two actions, and `forget` ends that.
    """

    def __init__(self, stack: Deployed, side: Side, pool: ThreadPoolExecutor, checkers: int) -> None:
        self._stack, self._side, self._pool, self._checkers = stack, side, pool, checkers
        self._kept: list[ProbeResult] = []
        self._hangs = False
        self.results: dict[float, tuple[ProbeResult, Verdict]] = {}  # by the time at which the checker has concluded

    def __call__(self, check: HealthCheck, at: float) -> ProbeResult:
        if not self._kept:
            count = self._checkers if self._hangs else 1
            self._kept = [result for result, _ in self._pool.map(self._probe, [check.path] * count)]
        result = self._kept.pop()
        verdict = judge(check, result)
        self._hangs = math.isinf(result.connect_seconds + result.response_seconds)
        self.results[at + verdict.seconds] = result, verdict
        return result

    def _probe(self, path: str) -> tuple[ProbeResult, bytes]:
        return probes.probe(self._stack, self._side, path)

    def forget(self) -> None:
        self._kept, self._hangs = [], False


class ModelledDns(ClientDns):
    """What Route 53's checkers and name servers do by the rules that AWS publishes.

    Args:
        stack, zone, journal: As of `ClientDns`.
        rng: Decides phases, and between records by weight.
        pool: Where probes are made.
    """

    def __init__(
        self, stack: Deployed, zone: Zone, journal: Journal, rng: random.Random, pool: ThreadPoolExecutor
    ) -> None:
        self._rng = rng
        self._running: tuple[float, float | None] = 0.0, None
        self._sides = {stack.output(side, "health_check_id"): side for side in SIDES}
        self._probers: dict[str, _Prober] = {}
        self._fleets: dict[str, HealthCheckerFleet] = {}
        for id_, check in zone.health_checks.items():
            first_requests = random_first_requests(check, rng)
            prober = _Prober(stack, self._sides[id_], pool, len(first_requests))
            self._probers[id_] = prober
            self._fleets[id_] = HealthCheckerFleet(check, prober, first_requests)
        resolver = CachingResolver(name_server(zone, lambda: self.healthy, rng))
        asked_before = -rng.uniform(0, preflight.settings_of(stack, zone).ttl_seconds)  # for another client
        super().__init__(stack, zone, journal, resolver.ask, asked_before)

    def advance(self, to: float) -> float:
        """Let the checkers work until a time, and see what DNS answers after each of them; what time it is then."""
        seen = [(found, id_) for id_, fleet in self._fleets.items() for found in fleet.advance(to)]
        for found, id_ in sorted(seen, key=lambda pair: pair[0].time):
            side, (result, verdict) = self._sides[id_], self._probers[id_].results.pop(found.time)
            checker = f"{found.region}{'ab'[found.checker // len(self._fleets[id_].check.regions)]}"
            self._note_probe(found.time, side, checker, result, verdict)
            if found.healthy != self.healthy[id_]:
                self._note_verdict(found.time, side, healthy=found.healthy)
                record = self._zone.answer(self._fqdn, self._stack.record_type, self.healthy, self._rng)
                self._note_answer(found.time, self._side_of(record))
        return to

    def running_from(self, base: float) -> Callable[[], float]:
        """A clock of drill time, which was ``base`` just now, while real time passes."""
        self._running = base, time.monotonic()
        return self._now

    def _now(self) -> float:
        then, since = self._running
        return then if since is None else then + time.monotonic() - since

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the clock for the length of a block: what is done meanwhile is done at one moment, however long."""
        now = self._now()
        self._running = now, None
        try:
            yield
        finally:
            self._running = now, time.monotonic()

    def forget(self) -> None:
        """Something was changed: probes that were made before tell nothing any more."""
        for prober in self._probers.values():
            prober.forget()
