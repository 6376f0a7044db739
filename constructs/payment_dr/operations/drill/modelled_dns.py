"""Route 53 and a client's cache of its answers, modelled over real probes of a deployed stack, in virtual time."""

import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from payment_dr.operations import deployed_zone, probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.client_dns import ClientDns
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.route53.checkers import (
    FollowedAlarm,
    HealthCheckerFleet,
    ProbeResult,
    Verdict,
    judge,
    random_first_requests,
)
from payment_dr.operations.route53.resolvers import CachingResolver, name_server
from payment_dr.operations.route53.zone import AlarmCheck, AlarmState, HealthCheck, Zone
from payment_dr.side import Side

ALARM_LOOK_SECONDS = 10.0
"""Drill time between two looks at an alarm. CloudWatch evaluates one once a minute, and AWS does not say how soon Route
53 sees that."""

AlarmStates = Callable[[str, str, float], AlarmState]
"""Gives the state of an alarm, by its region and name, at a drill time in seconds."""


class _Prober:
    """Probes for all checkers of a health check, what it says and where it says.

    While probes hang it makes as many at the same time as there are checkers, and hands them out one by one: nothing
    changes between two actions, and `forget` ends that.
    """

    def __init__(self, stack: Deployed, pool: ThreadPoolExecutor, checkers: int) -> None:
        self._stack, self._pool, self._checkers = stack, pool, checkers
        self._kept: list[ProbeResult] = []
        self._hangs = False
        self.results: dict[float, tuple[ProbeResult, Verdict]] = {}  # by the time at which the checker has concluded

    def __call__(self, check: HealthCheck, at: float) -> ProbeResult:
        if not self._kept:
            count = self._checkers if self._hangs else 1
            self._kept = list(self._pool.map(lambda each: probes.probe(self._stack, each), [check] * count))
        result = self._kept.pop()
        verdict = judge(check, result)
        self._hangs = math.isinf(result.connect_seconds + result.response_seconds)
        self.results[at + verdict.seconds] = result, verdict
        return result

    def forget(self) -> None:
        self._kept, self._hangs = [], False


class ModelledDns(ClientDns):
    """What Route 53's checkers and name servers do by the rules that AWS publishes.

    Args:
        stack, zone, journal: As of `ClientDns`.
        rng: Decides phases, and between records by weight.
        pool: Where probes are made.
        alarm_state: Gives the states of the alarms that health checks follow. Default: what CloudWatch says at the
            moment, and that a region whose CloudWatch does not answer gives no data.

    Raises:
        OperationError: The model does not know a health check of the name.
    """

    def __init__(
        self,
        stack: Deployed,
        zone: Zone,
        journal: Journal,
        rng: random.Random,
        pool: ThreadPoolExecutor,
        alarm_state: AlarmStates | None = None,
    ) -> None:
        self._rng = rng
        self._running: tuple[float, float | None] = 0.0, None
        self._alarm_state = alarm_state or (lambda region, name, _: deployed_zone.alarm_state_now(stack, region, name))
        self._next_look = 0.0
        self._sides: dict[str, Side] = {}  # of the records that each check of an endpoint or an alarm decides on
        self._probers: dict[str, _Prober] = {}
        self._fleets: dict[str, HealthCheckerFleet] = {}
        self._alarms: dict[str, FollowedAlarm] = {}
        for side, id_ in deployed_zone.checks_of(stack, zone).items():
            for check in zone.followed(id_):
                if check.id in self._sides:
                    continue
                self._sides[check.id] = side
                if isinstance(check, AlarmCheck):
                    self._alarms[check.id] = FollowedAlarm(check)
                else:
                    first_requests = random_first_requests(check, rng)
                    self._probers[check.id] = prober = _Prober(stack, pool, len(first_requests))
                    # The switch is off when a drill starts, and its check is not new.
                    found = not deployed_zone.is_switch(stack, check)
                    self._fleets[check.id] = HealthCheckerFleet(check, prober, first_requests, found=found)
        self._known = {id_: fleet.healthy for id_, fleet in self._fleets.items()}
        self._known |= {id_: followed.healthy for id_, followed in self._alarms.items()}
        healthy = {id_: zone.status(id_, self._known) for id_ in deployed_zone.checks_of(stack, zone).values()}
        resolver = CachingResolver(name_server(zone, lambda: self.healthy, rng))
        asked_before = -rng.uniform(0, deployed_zone.settings_of(stack, zone).ttl_seconds)  # for another client
        super().__init__(stack, zone, journal, resolver.ask, asked_before, healthy)

    def advance(self, to: float) -> float:
        """Let the checkers work until a time, read the DNS answer after each probe, and return the time afterwards."""
        seen = [
            (found.time, id_, found.healthy, found)
            for id_, fleet in self._fleets.items()
            for found in fleet.advance(to)
        ]
        for at, id_, is_healthy, found in sorted([*seen, *self._looks(to)], key=lambda each: each[0]):
            if found:
                result, verdict = self._probers[id_].results.pop(at)
                checker = f"{found.region}{'ab'[found.checker // len(self._fleets[id_].check.regions)]}"
                if not deployed_zone.is_switch(self._stack, self._fleets[id_].check):  # which says nothing of a region
                    self._note_probe(at, self._sides[id_], checker, result, verdict)
            if is_healthy != self._known[id_]:
                self._known[id_] = is_healthy
                self._note_statuses(at)
        return to

    def _looks(self, to: float) -> Iterator[tuple[float, str, bool, None]]:
        """What is found at each alarm that is due until a time."""
        while self._alarms and self._next_look <= to:
            for id_, followed in self._alarms.items():
                if followed.check.disabled:
                    continue  # "Route 53 stops monitoring the corresponding CloudWatch metrics"
                region, name = followed.check.region, followed.check.alarm
                state = self._alarm_state(region, name, self._next_look)
                if state != "OK":
                    self.last_failure[self._sides[id_]] = f"the alarm {name} of {region} is in {state}"
                yield self._next_look, id_, followed.see(state), None
            self._next_look += ALARM_LOOK_SECONDS

    def _note_statuses(self, at: float) -> None:
        """A check was found to be other than before: whatever follows from that is so at the same moment."""
        for side, id_ in self._checks.items():
            if (is_healthy := self._zone.status(id_, self._known)) != self.healthy[id_]:
                self._note_verdict(at, side, healthy=is_healthy)
        record = self._zone.answer(self._fqdn, self._stack.record_type, self.healthy, self._rng)
        self._note_answer(at, self._side_of(record))

    def running_from(self, base: float) -> Callable[[], float]:
        """A clock of drill time, which was ``base`` just now, while real time passes."""
        self._running = base, time.monotonic()
        return self._now

    def _now(self) -> float:
        then, since = self._running
        return then if since is None else then + time.monotonic() - since

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the clock for the length of a block: everything in it happens at one moment of drill time."""
        now = self._now()
        self._running = now, None
        try:
            yield
        finally:
            self._running = now, time.monotonic()

    def forget(self) -> None:
        """Drop earlier probes, because the stack has changed."""
        for prober in self._probers.values():
            prober.forget()
