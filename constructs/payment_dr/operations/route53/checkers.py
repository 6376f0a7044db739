"""Route 53's health checkers, and the status of a health check that follows from their results."""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# `as`: these are limits of a checker, and those who probe as one does take them from here.
from payment_dr.failover_timing import HTTP_CONNECT_SECONDS as HTTP_CONNECT_SECONDS
from payment_dr.failover_timing import RESPONSE_SECONDS as RESPONSE_SECONDS
from payment_dr.operations.route53.zone import AlarmCheck, AlarmState, HealthCheck

# AWS publishes no number of checkers, but that 30 s between the requests of each make one "about every two seconds".
# That is 15; two in each of the eight regions make 16.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Request interval)
CHECKERS_PER_REGION = 2

# The other limits of the same page:
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
TCP_CONNECT_SECONDS = 10
BODY_SECONDS = 2
SEARCHED_BYTES = 5120
HEALTHY_ABOVE_PERCENT = 18


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The result of one request to an endpoint.

    Args:
        connect_seconds: Time until the TCP connection succeeded or failed. ``math.inf`` if it did neither.
        response_seconds: Time from then to the status code. ``math.inf`` if none came.
        status: HTTP status code.
        body: The beginning of the body, at least as much as a checker searches.
        body_seconds: Time from the status code to the body. ``math.inf`` if it did not come.
        error: Why there is no status code, such as "connection refused".
    """

    connect_seconds: float
    response_seconds: float = 0
    status: int | None = None
    body: bytes = b""
    body_seconds: float = 0
    error: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A health checker's verdict on one probe, its reason, and the seconds that it took."""

    passed: bool
    seconds: float
    reason: str


def judge(check: HealthCheck, result: ProbeResult) -> Verdict:
    """Apply the limits of a health checker to one probe.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
    """
    limit = TCP_CONNECT_SECONDS if check.type == "TCP" else HTTP_CONNECT_SECONDS
    if result.connect_seconds > limit:
        return Verdict(passed=False, seconds=limit, reason=f"no connection within {limit} s")
    if result.response_seconds > RESPONSE_SECONDS:
        seconds = result.connect_seconds + RESPONSE_SECONDS
        return Verdict(passed=False, seconds=seconds, reason=f"no answer within {RESPONSE_SECONDS} s of connecting")
    seconds = result.connect_seconds + result.response_seconds
    if result.error:
        return Verdict(passed=False, seconds=seconds, reason=result.error)
    if check.type == "TCP":
        return Verdict(passed=True, seconds=seconds, reason="connected")
    passed = result.status is not None and 200 <= result.status < 400
    verdict = Verdict(passed=passed, seconds=seconds, reason=f"HTTP status {result.status}")
    return _searched(check, result, verdict) if passed and check.matches_string else verdict


def _searched(check: HealthCheck, result: ProbeResult, answered: Verdict) -> Verdict:
    """The string "must appear entirely in the first 5,120 bytes of the response body". It is case-sensitive.

    The body must come "within the next two seconds" after the status code.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (SearchString)
    """
    seconds = answered.seconds + min(result.body_seconds, BODY_SECONDS)
    if result.body_seconds > BODY_SECONDS:
        return Verdict(passed=False, seconds=seconds, reason=f"no body within {BODY_SECONDS} s of the status")
    if check.search_string.encode() in result.body[:SEARCHED_BYTES]:
        return Verdict(passed=True, seconds=seconds, reason=f"{answered.reason}, with {check.search_string!r}")
    return Verdict(
        passed=False,
        seconds=seconds,
        reason=f"{answered.reason}, without {check.search_string!r} in the first {SEARCHED_BYTES:,} bytes",
    )


def most_healthy_of_an_unhealthy_check(checkers: int) -> int:
    """Maximum number of healthy reports with which Route 53 still considers the endpoint unhealthy: 18 % or fewer.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

    Example:
        >>> most_healthy_of_an_unhealthy_check(16)
        2
    """
    return checkers * HEALTHY_ABOVE_PERCENT // 100


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One finished probe: its checker, its verdict, and the status of the whole check after it."""

    time: float
    checker: int
    region: str
    passed: bool
    reason: str
    healthy_checkers: int
    healthy: bool


@dataclass
class _Checker:
    region: str
    # "Route 53 considers a new health check to be healthy until there's enough data to determine the actual status."
    # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
    healthy: bool = True
    against: int = 0  # results in a row that contradict `healthy`


def random_first_requests(
    check: HealthCheck, rng: random.Random, start: float = 0.0, checkers_per_region: int = CHECKERS_PER_REGION
) -> list[float]:
    """The time of each checker's first request: random in an interval, as they "don't coordinate with one another".

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Request interval)
    """
    count = len(check.regions) * checkers_per_region
    return [start + rng.uniform(0, check.request_interval_seconds) for _ in range(count)]


class HealthCheckerFleet:
    """The health checkers of one health check.

    Args:
        check: The health check.
        probe: Makes one request at a virtual time. Called once per request, in the order of time.
        first_requests: Virtual time of each checker's first request: one for each checker, spread over the check's
            regions.
        found: The earlier results of the checkers. Default: healthy, as in a new health check.

    Attributes:
        now: Virtual time that the simulation has reached.

    Example:
        >>> check = HealthCheck(id="c", host="api.acme.io")
        >>> fleet = HealthCheckerFleet(
        ...     check,
        ...     lambda check, time: ProbeResult(connect_seconds=0.1, response_seconds=0.1, status=503),
        ...     random_first_requests(check, random.Random(1)),
        ... )
        >>> observations = fleet.advance(to=100)
        >>> fleet.healthy
        False
    """

    def __init__(
        self,
        check: HealthCheck,
        probe: Callable[[HealthCheck, float], ProbeResult],
        first_requests: Sequence[float],
        *,
        found: bool = True,
    ) -> None:
        self.check = check
        self.now = -math.inf
        self._probe = probe
        self._checkers = [_Checker(region, found) for _, region in zip(first_requests, itertools.cycle(check.regions))]
        # Requests (verdict None) and their ends, the earliest first. "Stops Route 53 from performing health checks."
        # https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled)
        self._events: list[tuple[float, int, Verdict | None]] = []
        if not check.disabled:
            self._events = [(time, number, None) for number, time in enumerate(first_requests)]
            heapq.heapify(self._events)

    @property
    def healthy_checkers(self) -> int:
        """Number of checkers that report the endpoint healthy."""
        return sum(checker.healthy for checker in self._checkers)

    @property
    def healthy(self) -> bool:
        """The status of the health check at `now`."""
        enough = self.healthy_checkers > most_healthy_of_an_unhealthy_check(len(self._checkers))
        return self.check.status(found=enough)

    def advance(self, to: float) -> list[Observation]:
        """Simulate until this time, inclusive. Return the probes that ended meanwhile, in order."""
        observations = []
        while self._events and self._events[0][0] <= to:
            time, number, verdict = heapq.heappop(self._events)
            if verdict is None:
                verdict = judge(self.check, self._probe(self.check, time))
                heapq.heappush(self._events, (time + verdict.seconds, number, verdict))
            else:
                observations.append(self._conclude(time, number, verdict))
                # "between the time that each Route 53 health checker gets a response from your endpoint and the time
                # that it sends the next health check request"
                # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
                heapq.heappush(self._events, (time + self.check.request_interval_seconds, number, None))
        self.now = max(self.now, to)
        return observations

    def _conclude(self, time: float, number: int, verdict: Verdict) -> Observation:
        # "The number of consecutive health checks that an endpoint must pass or fail for Route 53 to change the current
        # status of the endpoint from unhealthy to healthy or vice versa."
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
        checker = self._checkers[number]
        checker.against = 0 if verdict.passed == checker.healthy else checker.against + 1
        if checker.against == self.check.failure_threshold:
            checker.healthy, checker.against = verdict.passed, 0
        return Observation(
            time=time,
            checker=number,
            region=checker.region,
            passed=verdict.passed,
            reason=verdict.reason,
            healthy_checkers=self.healthy_checkers,
            healthy=self.healthy,
        )


class FollowedAlarm:
    """A health check of a CloudWatch alarm.

    Route 53 "monitors the data stream for the corresponding alarm instead of monitoring the alarm state". The caller
    passes the state of the data stream, which is the alarm's unless somebody has called SetAlarmState.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

    Attributes:
        healthy: The status of the health check.

    Example:
        >>> followed = FollowedAlarm(AlarmCheck(id="c", region="us-west-2", alarm="canary"))
        >>> [followed.see(state) for state in ("OK", "ALARM", "INSUFFICIENT_DATA")]
        [True, False, False]
    """

    def __init__(self, check: AlarmCheck) -> None:
        self.check = check
        # "For new health checks that have no last known status, the default status for the health check is healthy."
        # https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
        self._last_known = True
        self.healthy = check.status(found=True)

    def see(self, state: AlarmState) -> bool:
        """The status of the health check while the alarm's data stream has this state.

        https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (AlarmIdentifier, Type,
        InsufficientDataHealthStatus)
        """
        if state != "INSUFFICIENT_DATA":
            self._last_known = found = state == "OK"
        elif self.check.without_data == "LastKnownStatus":
            found = self._last_known
        else:
            found = self.check.without_data == "Healthy"
        self.healthy = self.check.status(found=found)
        return self.healthy
