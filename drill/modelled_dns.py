"""Route 53 and a client's cache of its answers, modelled over real probes of a deployed stack, in virtual time."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drill import DrillError, diagnosis, probes
from drill.deployed import ROLES, Deployed
from drill.journal import Journal
from drill.route53 import (
    CachingResolver,
    HealthCheck,
    HealthCheckerFleet,
    ProbeResult,
    Record,
    Zone,
    judge,
    name_server,
    random_first_requests,
)
from drill.rto import HANGING_PROBE_SECONDS

SLOW_SECONDS = 0.5  # a call beyond this hangs


@dataclass(frozen=True)
class Turn:
    """From this time on, something is so for the region of a role."""

    at: float
    role: str
    healthy: bool = True


class _Prober:
    """Probes one region for all of its checkers.

    While probes hang it makes as many at the same time as there are checkers, and hands them out one by one: nothing
    changes between two actions, and `forget` ends that.
    """

    def __init__(self, url: str, pool: ThreadPoolExecutor, checkers: int) -> None:
        self._url, self._pool, self._checkers = url, pool, checkers
        self._kept: list[ProbeResult] = []
        self._hangs = False
        self.results: dict[float, ProbeResult] = {}  # by the time at which the checker has concluded

    def __call__(self, check: HealthCheck, at: float) -> ProbeResult:
        if not self._kept:
            count = self._checkers if self._hangs else 1
            self._kept = [result for result, _ in self._pool.map(probes.probe, [self._url] * count)]
        result = self._kept.pop()
        seconds = judge(check, result).seconds
        self._hangs = seconds > SLOW_SECONDS
        self.results[at + seconds] = result
        return result

    def forget(self) -> None:
        self._kept, self._hangs = [], False


class ModelledDns:
    """What the health checkers find, what DNS answers, and what one client knows of that.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
        journal: Is told every probe, and every change of a verdict or an answer.
        rng: Decides phases, and between records by weight.
        pool: Where probes are made.

    Attributes:
        healthy: Status of every health check by its id.
        answered: Role of the region that DNS answers with.
        verdicts: Changes of health checks; their role's region is healthy from then on, or not.
        switches: Changes of the answer.
        expired: When the client's cache was rid of the former answer, after each switch.
        last_failure: Why a role's latest failed probe failed.
    """

    def __init__(
        self, stack: Deployed, zone: Zone, journal: Journal, rng: random.Random, pool: ThreadPoolExecutor
    ) -> None:
        self._stack, self._zone, self._journal, self._rng = stack, zone, journal, rng
        self._fqdn = str(stack.outputs["application_fqdn"])
        self._roles = {stack.output(role, "health_check_id"): role for role in ROLES}
        self.healthy = dict.fromkeys(zone.health_checks, True)
        self.verdicts: list[Turn] = []
        self.switches: list[Turn] = []
        self.expired: list[Turn] = []
        self.last_failure: dict[str, str] = {}
        self._probers: dict[str, _Prober] = {}
        self._fleets: dict[str, HealthCheckerFleet] = {}
        for id_, check in zone.health_checks.items():
            first_requests = random_first_requests(check, rng)
            prober = _Prober(stack.health_url(self._roles[id_]), pool, len(first_requests))
            self._probers[id_] = prober
            self._fleets[id_] = HealthCheckerFleet(check, prober, first_requests)
        ask = name_server(zone, lambda: self.healthy, rng)
        self._resolver = CachingResolver(CachingResolver(ask).ask)
        self._lock = threading.Lock()
        asked_before = -rng.uniform(0, diagnosis.settings_of(stack, zone).ttl_seconds)  # for another client
        self._known = self._resolver.ask(self._fqdn, "CNAME", asked_before)
        self.answered = self._role_of(self._known.record)
        journal.event("answer", region=stack.region(self.answered))
        for role in ROLES:
            journal.event("verdict", region=stack.region(role), healthy=True)

    def advance(self, to: float) -> float:
        """Let the checkers work until a time, and see what DNS answers after each of them; what time it is then."""
        seen = [(found, id_) for id_, fleet in self._fleets.items() for found in fleet.advance(to)]
        for found, id_ in sorted(seen, key=lambda pair: pair[0].time):
            role, result = self._roles[id_], self._probers[id_].results.pop(found.time)
            region = self._stack.region(role)
            self._journal.event(
                "probe",
                at=found.time,
                region=region,
                checker=f"{found.region}{'ab'[found.checker // len(self._fleets[id_].check.regions)]}",
                ok=found.passed,
                status=result.status,
                seconds=round(min(result.connect_seconds + result.response_seconds, HANGING_PROBE_SECONDS), 3),
                error=None if found.passed else found.reason,
            )
            if not found.passed:
                self.last_failure[role] = found.reason
            if found.healthy != self.healthy[id_]:
                self.healthy[id_] = found.healthy
                self.verdicts.append(Turn(found.time, role, found.healthy))
                self._journal.event("verdict", at=found.time, region=region, healthy=found.healthy)
                self._see_answer(found.time)
        return to

    @staticmethod
    def running_from(base: float) -> Callable[[], float]:
        """A clock of drill time, which was ``base`` just now, while real time passes."""
        started = time.monotonic()
        return lambda: base + time.monotonic() - started

    def resolve(self, at: float) -> str:
        """The role of the region that the client's cache knows, or asks for. Several threads may ask."""
        with self._lock:
            answer = self._resolver.ask(self._fqdn, "CNAME", at)
            role = self._role_of(answer.record)
            if answer.record != self._known.record and self.switches:
                self.expired.append(Turn(max(self._known.expires, self.switches[-1].at), role))
            self._known = answer
            return role

    @property
    def expires(self) -> float:
        """When the client will ask again."""
        return self._known.expires

    def forget(self) -> None:
        """Something was changed: probes that were made before tell nothing any more."""
        for prober in self._probers.values():
            prober.forget()

    def _see_answer(self, at: float) -> None:
        role = self._role_of(self._zone.answer(self._fqdn, "CNAME", self.healthy, self._rng))
        if role != self.answered:
            self.answered = role
            self.switches.append(Turn(at, role))
            self._journal.event("answer", at=at, region=self._stack.region(role))

    def _role_of(self, record: Record) -> str:
        role = diagnosis.role_of(self._stack, record)
        if role is None:
            raise DrillError(f"{record.name} points to {', '.join(record.values)}", hint="run terraform apply")
        return role
