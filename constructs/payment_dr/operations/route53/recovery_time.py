"""The recovery time (RTO) as a distribution: from an outage to the first transaction completed in the other region.

One run follows one client that pays continuously. Its phases, with the maximum of each:

    detect       threshold x (interval + a failed probe) + a healthy probe: a checker has just asked when the outage
                 starts, waits an interval, and then needs `threshold` failures; each wait starts with the last answer.
                 Route 53 waits for all but 18 % of the checkers, hence for one of the last.
    switch       the time until all of Route 53's DNS servers have the new status
    cache        TTL: the client's resolver asked just before the switch
    first_write  the client's pause before it tries again, and the write itself

With 30 s, threshold 3 and TTL 30 that is 30 x 3 + 30 = 120 s, and what the probes and the write take: 126.7 s with the
times assumed in `Settings`, 140.2 s when every probe hangs for the 6 s that a checker allows. Failback is the same with
healthy and failed probes exchanged. It is usually faster: more than 18 % of the checkers are enough.

The bound is the model's and not a promise of AWS, because the model leaves out:

- the spread of a new status among Route 53's servers: AWS publishes no time (set `propagation_seconds`, 0 by default)
- resolvers and runtimes that keep an answer beyond its TTL
- clients that stay on a pooled connection instead of resolving the name again
- a client whose first call hangs in the failed region for longer than `retry_seconds`
- load that the other region cannot handle
"""

import functools
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from payment_dr.failover_timing import (
    FAILURE_THRESHOLD,
    HTTP_CONNECT_SECONDS,
    RECORD_TTL_SECONDS,
    REQUEST_INTERVAL_SECONDS,
)
from payment_dr.failover_timing import HANGING_PROBE_SECONDS as HANGING_PROBE_SECONDS  # for the drill, from here
from payment_dr.operations.route53.checkers import (
    CHECKERS_PER_REGION,
    HealthCheckerFleet,
    Observation,
    ProbeResult,
    most_healthy_of_an_unhealthy_check,
)
from payment_dr.operations.route53.zone import CHECKER_REGIONS, HealthCheck, Record, Zone

LEFT_OUT: Final = (
    "spread of a new status in Route 53 (AWS publishes no time)",
    "caches beyond the TTL in resolvers and client runtimes",
    "pooled connections",
)
"""Causes of delay that no bound of the model covers. The module's docstring has more."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that the recovery time depends on. The defaults are those of the stack.

    Args:
        request_interval_seconds, failure_threshold, ttl_seconds: As in `DnsFailover`.
        checkers: Number of health checkers.
        probe_seconds: Duration of a probe of a healthy region.
        failed_probe_seconds: Duration of a failed probe, up to `HANGING_PROBE_SECONDS` for a region that does not
            answer at all. Default 1.5: by then the health function answers 503 even if DynamoDB hangs.
        propagation_seconds: Maximum time until all of Route 53's DNS servers have a new status.
        retry_seconds: Maximum time that the client waits before its next try.
        write_seconds: Maximum duration of the first write, TLS and a cold start included.
        evaluation_seconds: Maximum time from the last probe to its evaluation. Route 53 evaluates at once.
        alarm_period_seconds: Period of the alarm that decides together with the probes. Its metric is published once a
            period. None: only the probes decide.
        alarm_periods: Number of periods that must breach.
    """

    request_interval_seconds: int = REQUEST_INTERVAL_SECONDS
    failure_threshold: int = FAILURE_THRESHOLD
    ttl_seconds: int = RECORD_TTL_SECONDS
    checkers: int = len(CHECKER_REGIONS) * CHECKERS_PER_REGION
    probe_seconds: float = 0.2
    failed_probe_seconds: float = 1.5
    propagation_seconds: float = 0.0
    retry_seconds: float = 1.0
    write_seconds: float = 1.0
    evaluation_seconds: float = 0.0
    alarm_period_seconds: int | None = None
    alarm_periods: int = 1

    def by_alarm(self) -> "Settings":
        """The same, when the alarm detects the outage instead of the probes.

        The alarm acts like a single checker that probes once a period, when a value is published. CloudWatch evaluates
        it when the last period that it needs has ended.
        """
        if self.alarm_period_seconds is None:
            return self
        return replace(
            self,
            request_interval_seconds=self.alarm_period_seconds,
            failure_threshold=self.alarm_periods,
            checkers=1,
            probe_seconds=0,
            failed_probe_seconds=0,
            evaluation_seconds=self.alarm_period_seconds,
        )


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each phase of a failover or failback."""

    detect: float
    switch: float
    cache: float
    first_write: float

    @property
    def total(self) -> float:
        """The recovery time."""
        return self.detect + self.switch + self.cache + self.first_write


PHASES: Final = ("detect", "switch", "cache", "first_write", "total")


class _Draw(NamedTuple):
    """The random draws of one run, each a share from 0 to 1 of the maximum, for any settings."""

    waits: Sequence[float]  # until each checker's next request, ascending
    switch: float
    cache: float
    retry: float
    write: float
    evaluation: float


_WORST: Final = _Draw([1.0], 1.0, 1.0, 1.0, 1.0, 1.0)


def _draw(checkers: int, seed: int) -> _Draw:
    rng = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
    waits = sorted(rng.random() for _ in range(checkers))
    # Most writes are fast, few take as long as a cold start.
    return _Draw(waits, rng.random(), rng.random(), rng.random(), rng.random() ** 3, rng.random())


def _phases(settings: Settings, draw: _Draw, wait: float, before: float, after: float) -> Phases:
    """The phases when the decisive checker's next request comes after this share of its cycle.

    Its cycle is the interval and the duration of a probe before the change (`before`). Then `failure_threshold` probes
    of the new kind (`after`) follow, with an interval between each two.
    """
    interval, threshold = settings.request_interval_seconds, settings.failure_threshold
    return Phases(
        detect=wait * (interval + before)
        + (threshold - 1) * (interval + after)
        + after
        + draw.evaluation * settings.evaluation_seconds,
        switch=draw.switch * settings.propagation_seconds,
        cache=draw.cache * settings.ttl_seconds,
        first_write=draw.retry * settings.retry_seconds + draw.write * settings.write_seconds,
    )


def _failover(settings: Settings, draw: _Draw) -> Phases:
    # Unhealthy as soon as no more than 18 % of the checkers are left that report healthy: the rest have flipped.
    last_to_flip = len(draw.waits) - most_healthy_of_an_unhealthy_check(len(draw.waits))
    wait = draw.waits[last_to_flip - 1]
    return _phases(settings, draw, wait, settings.probe_seconds, settings.failed_probe_seconds)


def _failback(settings: Settings, draw: _Draw) -> Phases:
    wait = draw.waits[most_healthy_of_an_unhealthy_check(len(draw.waits))]  # of the first beyond 18 %
    return _phases(settings, draw, wait, settings.failed_probe_seconds, settings.probe_seconds)


def simulate_failover(settings: Settings, seed: int) -> Phases:
    """One run: from an outage of the primary to the first transaction completed in the secondary.

    The time of detection follows from the checkers' phases in closed form. A test compares it with the event model.
    """
    return _failover(settings, _draw(settings.checkers, seed))


def simulate_failback(settings: Settings, seed: int) -> Phases:
    """One run: from the primary's return to health to the first transaction completed there again."""
    return _failback(settings, _draw(settings.checkers, seed))


def failover_bound(settings: Settings) -> Phases:
    """The maximum of each phase of a failover in the model.

    Example:
        >>> round(failover_bound(Settings()).total, 1)
        126.7
    """
    return _failover(settings, _WORST)


def failback_bound(settings: Settings) -> Phases:
    """The maximum of each phase of a failback in the model."""
    return _failback(settings, _WORST)


def longest_harmless_blip(settings: Settings) -> float:
    """Maximum seconds of an outage that never causes a failover, wherever the checkers are in their cycles.

    A checker needs `failure_threshold` failed requests, and they are at least this far apart.
    """
    return (settings.failure_threshold - 1) * (settings.request_interval_seconds + settings.failed_probe_seconds)


@dataclass(frozen=True)
class Percentiles:
    """Seconds. `worst` is the maximum observed, `bound` the maximum possible in the model."""

    p50: float
    p95: float
    p99: float
    worst: float
    bound: float


@dataclass(frozen=True)
class Summary:
    """The recovery times of many runs.

    Attributes:
        phases: By phase, and for the total.
        runs_by_second: A histogram: the number of runs with a total of 0 to 1 s, 1 to 2 s, and so on.
        worst_seed: The seed of the longest run, to repeat it.
        hanging_bound: The maximum total when every failed probe hangs until Route 53 gives up.
    """

    phases: dict[str, Percentiles]
    runs_by_second: list[int]
    worst_seed: int
    hanging_bound: float


@dataclass(frozen=True)
class Distribution:
    """Failover and failback over many runs of the model."""

    settings: Settings
    runs: int
    seed: int
    failover: Summary
    failback: Summary


def _percentiles(seconds: Sequence[float], bound: float) -> Percentiles:
    ordered = sorted(seconds)
    p50, p95, p99 = (ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99))
    return Percentiles(p50, p95, p99, ordered[-1], bound)


def _summary(seeds: range, runs: Sequence[Phases], bound: Phases, hanging_bound: float) -> Summary:
    totals = [run.total for run in runs]
    runs_by_second = [0] * (int(max(totals)) + 1)
    for total in totals:
        runs_by_second[int(total)] += 1
    return Summary(
        {name: _percentiles([getattr(run, name) for run in runs], getattr(bound, name)) for name in PHASES},
        runs_by_second,
        seeds[totals.index(max(totals))],
        hanging_bound,
    )


def _seeds(runs: int, seed: int) -> range:
    return range(seed * runs, (seed + 1) * runs)  # no run of one seed is a run of another


@functools.lru_cache(maxsize=1)  # a drill asks for the distribution, and then for the choices
def _draws(checkers: int, runs: int, seed: int) -> tuple[_Draw, ...]:
    return tuple(_draw(checkers, run) for run in _seeds(runs, seed))


def _failover_totals(settings: Settings, draws: Sequence[_Draw]) -> list[float]:
    """The totals of `_failover` without the phases, which would double the time for many choices."""
    decisive = len(draws[0].waits) - most_healthy_of_an_unhealthy_check(len(draws[0].waits)) - 1
    interval, failed = settings.request_interval_seconds, settings.failed_probe_seconds
    cycle, others = interval + settings.probe_seconds, (settings.failure_threshold - 1) * (interval + failed)
    propagation, ttl = settings.propagation_seconds, settings.ttl_seconds
    longest_pause, longest_write = settings.retry_seconds, settings.write_seconds
    return [
        waits[decisive] * cycle
        + others
        + failed
        + switch * propagation
        + cache * ttl
        + (retry * longest_pause + write * longest_write)
        for waits, switch, cache, retry, write, _ in draws
    ]


def distribution(settings: Settings, runs: int = 10_000, seed: int = 0) -> Distribution:
    """Failover and failback over this many runs, with the bound beside the worst observed time.

    Example:
        >>> found = distribution(Settings(), runs=1000).failover.phases["total"]
        >>> found.p50 < found.worst <= found.bound < 180
        True
    """
    seeds, draws, hanging = _seeds(runs, seed), _draws(settings.checkers, runs, seed), _hanging(settings)
    failovers, failbacks = ([way(settings, draw) for draw in draws] for way in (_failover, _failback))
    return Distribution(
        settings,
        runs,
        seed,
        _summary(seeds, failovers, failover_bound(settings), failover_bound(hanging).total),
        _summary(seeds, failbacks, failback_bound(settings), failback_bound(hanging).total),
    )


def _hanging(settings: Settings) -> Settings:
    """The same settings with hanging probes. Where an alarm decides, there is no probe that could hang."""
    by_probes = settings.failed_probe_seconds > 0
    return replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS) if by_probes else settings


@dataclass(frozen=True)
class Choice:
    """The total of a failover for one setting. `hanging_bound` is the bound when every failed probe hangs."""

    request_interval_seconds: int
    failure_threshold: int
    ttl_seconds: int
    failover: Percentiles
    hanging_bound: float


def sensitivity(
    runs: int = 10_000,
    seed: int = 0,
    *,
    intervals: Sequence[int] = (10, 30),
    thresholds: Sequence[int] = (1, 2, 3, 4, 5),
    ttls: Sequence[int] = (10, 30, 60, 300),
) -> list[Choice]:
    """The recovery time by interval, threshold and TTL, for an operator to choose. All use the same random draws."""
    draws = _draws(Settings().checkers, runs, seed)
    choices = []
    for interval, threshold, ttl in itertools.product(intervals, thresholds, ttls):
        settings = Settings(request_interval_seconds=interval, failure_threshold=threshold, ttl_seconds=ttl)
        totals = _failover_totals(settings, draws)
        percentiles = _percentiles(totals, failover_bound(settings).total)
        choices.append(Choice(interval, threshold, ttl, percentiles, failover_bound(_hanging(settings)).total))
    return choices


Outages = Mapping[str, tuple[float, float]]
"""Begin and end (virtual seconds) of the outages of the primary and the secondary."""
_NEVER: Final = (math.inf, math.inf)


@dataclass(frozen=True)
class Switch:
    """A change of Route 53's answer: the virtual time, and the set identifier of the new record."""

    time: float
    set_identifier: str


def switches(settings: Settings, outages: Outages, seed: int, until: float) -> list[Switch]:
    """Simulate event by event when Route 53 changes its answer in these outages. It begins with the primary.

    For one outage it agrees with `simulate_failover` and `simulate_failback`. It also simulates short outages, and both
    regions down.

    Args:
        settings: Settings of both health checks and of the records. Propagation counts as 0.
        outages: The outages of each region. A region that is down before time 0 must be down from ``-math.inf`` on.
        seed: Seed of the positions of the primary's checkers at time 0.
        until: Virtual time at which to stop.

    Example:
        >>> switches(Settings(), {"primary": (0, 45)}, seed=1, until=600)
        []
        >>> [switch.set_identifier for switch in switches(Settings(), {"primary": (0, 300)}, seed=1, until=600)]
        ['secondary', 'primary']
    """
    checks = {
        side: HealthCheck(
            id=side,
            host=side,
            request_interval_seconds=settings.request_interval_seconds,
            failure_threshold=settings.failure_threshold,
        )
        for side in ("primary", "secondary")
    }
    zone = Zone(
        "model",
        tuple(
            Record(
                name="app",
                type="CNAME",
                ttl_seconds=settings.ttl_seconds,
                values=(side,),
                routing="weighted",
                set_identifier=side,
                weight=weight,
                health_check_id=side,
            )
            for side, weight in (("primary", 100), ("secondary", 0))
        ),
        checks,
    )

    def probe(check: HealthCheck, time: float) -> ProbeResult:
        start, end = outages.get(check.id, _NEVER)
        down = start <= time < end
        seconds = settings.failed_probe_seconds if down else settings.probe_seconds
        connect = seconds * HTTP_CONNECT_SECONDS / HANGING_PROBE_SECONDS  # so that both limits are met together
        return ProbeResult(connect_seconds=connect, response_seconds=seconds - connect, status=503 if down else 200)

    observations: list[tuple[Observation, str]] = []
    for number, (side, check) in enumerate(checks.items()):
        down = outages.get(side, _NEVER)[0] < 0
        cycle = settings.request_interval_seconds + (settings.failed_probe_seconds if down else settings.probe_seconds)
        # One cycle more than the threshold: at 0 all checkers have settled, and are where the draw has them.
        first_requests = [
            (wait - settings.failure_threshold - 1) * cycle for wait in _draw(settings.checkers, seed + number).waits
        ]
        fleet = HealthCheckerFleet(check, probe, first_requests)
        observations += [(observation, side) for observation in fleet.advance(until)]

    healthy = dict.fromkeys(checks, True)
    rng = random.Random(seed)  # noqa: S311 - never decides: one record has a weight
    answered, found = "primary", []
    for observation, side in sorted(observations, key=lambda pair: pair[0].time):
        healthy[side] = observation.healthy
        answer = zone.answer("app", "CNAME", healthy, rng).values[0]
        if answer != answered:
            answered = answer
            found.append(Switch(observation.time, answer))
    return found
