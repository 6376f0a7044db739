"""Route 53, modelled: what health checkers find, which record is answered, and how long it is remembered.

The emulator stores health checks and records; nothing there probes or answers. This model does, in virtual time:
seconds as floats, no sleeping. The probe is the caller's: a real HTTP call in a drill, a pure function in `drill.rto`.

What the model leaves out: the time that a new status takes to reach Route 53's aggregators and every one of its DNS
servers, for which AWS publishes no number; networks that differ from checker to checker; resolvers and clients that
ignore the TTL; the health of API Gateway itself, by which an alias record may fail sooner than by its health check. It
refuses what it does not know: alias records of anything but API Gateway, routing policies other than simple and
weighted, health checks of anything but an endpoint, string matching.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from drill import DrillError

# "If you don't specify any regions, Route 53 health checkers automatically performs checks from all of the regions."
# https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
CHECKER_REGIONS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)
# AWS publishes no number of checkers, but that 30 s between the requests of each make one "about every two seconds".
# That is 15; two in each of the eight regions make 16.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Request interval)
CHECKERS_PER_REGION = 2

# All limits: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
HTTP_CONNECT_SECONDS = 4
TCP_CONNECT_SECONDS = 10
RESPONSE_SECONDS = 2  # counted from the connection on
HEALTHY_ABOVE_PERCENT = 18
# An alias record has the TTL of what it points to, and API Gateway's is 60 s.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
ALIAS_TTL_SECONDS = 60

_ENDPOINT_TYPES = ("HTTP", "HTTPS", "TCP")
_UNMODELLED_ROUTING = (
    "Failover",
    "Region",
    "GeoLocation",
    "GeoProximityLocation",
    "MultiValueAnswer",
    "CidrRoutingConfig",
)


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """A health check of an endpoint, as `GetHealthCheck` describes it, with AWS's defaults filled in."""

    id: str
    host: str
    port: int = 443
    path: str = "/"
    type: str = "HTTPS"
    request_interval_seconds: int = 30
    failure_threshold: int = 3
    inverted: bool = False
    disabled: bool = False
    regions: tuple[str, ...] = CHECKER_REGIONS


@dataclass(frozen=True, kw_only=True)
class Record:
    """A resource record set. `routing` is simple, weighted, or the API's field of a policy that is not modelled.

    The value of an alias record is what it points to.
    """

    name: str
    type: str
    ttl_seconds: int
    values: tuple[str, ...]
    routing: str = "simple"
    set_identifier: str | None = None
    weight: int | None = None
    health_check_id: str | None = None


@dataclass(frozen=True)
class Zone:
    """A hosted zone with the health checks that its records name.

    Example:
        >>> zone = Zone.read(boto3.client("route53"), outputs["hosted_zone_id"])  # doctest: +SKIP
        >>> healthy = {"primary-check": False, "secondary-check": True}
        >>> zone.answer("app.pay.acme.io", "CNAME", healthy, random.Random(1)).set_identifier  # doctest: +SKIP
        'secondary'
    """

    id: str
    records: tuple[Record, ...]
    health_checks: Mapping[str, HealthCheck]

    @classmethod
    def read(cls, client: Any, zone_id: str) -> Self:
        """Read a deployed zone.

        Args:
            client: A boto3 client of Route 53.
            zone_id: Id of the hosted zone, with or without ``/hostedzone/``.

        Raises:
            DrillError: The zone or one of its health checks does not exist, or a check is not of an endpoint.
        """
        pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
        try:
            records = tuple(_record(found) for page in pages for found in page["ResourceRecordSets"])
        except client.exceptions.NoSuchHostedZone as error:
            raise DrillError(
                f"the hosted zone {zone_id} does not exist", hint="check account and outputs, or deploy first"
            ) from error
        checks: dict[str, HealthCheck] = {}
        for record in records:
            id_ = record.health_check_id
            if id_ is None or id_ in checks:
                continue
            try:
                checks[id_] = _health_check(client.get_health_check(HealthCheckId=id_)["HealthCheck"])
            except client.exceptions.NoSuchHealthCheck as error:
                # Route 53 lets it be deleted, but then "the future status of the health check can't be predicted".
                # https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html
                raise DrillError(
                    f"the health check {id_} of the record {record.name} ({record.set_identifier}) does not exist",
                    hint="run terraform apply to make it anew",
                ) from error
        return cls(zone_id, records, checks)

    def answer(self, fqdn: str, record_type: str, healthy: Mapping[str, bool], rng: random.Random) -> Record:
        """The record that Route 53 answers a query with.

        https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html

        Args:
            fqdn: Name asked for; no wildcards.
            record_type: Type asked for, such as ``CNAME``.
            healthy: Status of every health check by its id.
            rng: Decides between records by weight.

        Raises:
            DrillError: There is no such record, or its routing policy is not modelled.
        """
        name = _bare(fqdn)
        group = [record for record in self.records if (record.name, record.type) == (name, record_type)]
        if not group:
            raise DrillError(
                f"the zone {self.id} has no {record_type} record {name}", hint="check the name; deploy first"
            )
        for record in group:
            if record.routing not in ("simple", "weighted"):
                raise DrillError(
                    f"the record {name} is routed by {record.routing}, which the model of Route 53 does not know",
                    hint="drill a name with weighted records",
                )
        # "Records without a health check are always healthy", "If no record is healthy, all records are healthy".
        candidates = [r for r in group if r.health_check_id is None or healthy[r.health_check_id]] or group
        # "Route 53 initially considers only the nonzero weighted records, if any. If all the records that have a weight
        # greater than 0 are unhealthy, then Route 53 considers the zero-weighted records."
        candidates = [record for record in candidates if record.weight] or candidates
        # "weight for a specified record / sum of the weights for all records"; all zero: "equal probability".
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html
        return rng.choices(candidates, [record.weight or 1 for record in candidates])[0]


def _bare(name: str) -> str:
    return name.rstrip(".").lower()


def _record(found: Mapping[str, Any]) -> Record:
    routing = next((field for field in _UNMODELLED_ROUTING if found.get(field)), None)
    values = tuple(entry["Value"] for entry in found.get("ResourceRecords", ()))
    ttl_seconds = found.get("TTL", 0)
    if alias := found.get("AliasTarget"):
        values, ttl_seconds = (_bare(alias["DNSName"]),), ALIAS_TTL_SECONDS
        if ".execute-api." not in values[0]:
            routing = "AliasTarget"
    return Record(
        name=_bare(found["Name"]),
        type=found["Type"],
        ttl_seconds=ttl_seconds,
        values=values,
        routing=routing or ("weighted" if "Weight" in found else "simple"),
        set_identifier=found.get("SetIdentifier"),
        weight=found.get("Weight"),
        health_check_id=found.get("HealthCheckId"),
    )


def _health_check(found: Mapping[str, Any]) -> HealthCheck:
    config = found["HealthCheckConfig"]
    if config["Type"] not in _ENDPOINT_TYPES:
        raise DrillError(
            f"the health check {found['Id']} is of type {config['Type']}, which the model of Route 53 does not know",
            hint=f"use one of {', '.join(_ENDPOINT_TYPES)}",
        )
    return HealthCheck(
        id=found["Id"],
        host=config.get("FullyQualifiedDomainName") or config["IPAddress"],
        port=config.get("Port", 80 if config["Type"] == "HTTP" else 443),
        path=config.get("ResourcePath", "/"),
        type=config["Type"],
        request_interval_seconds=config.get("RequestInterval", 30),
        failure_threshold=config.get("FailureThreshold", 3),
        inverted=config.get("Inverted", False),
        disabled=config.get("Disabled", False),
        regions=tuple(config.get("Regions") or CHECKER_REGIONS),
    )


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What one request to an endpoint met.

    Args:
        connect_seconds: Time until the TCP connection was there, or had failed; ``math.inf`` if neither came.
        response_seconds: Time from then to the status code; ``math.inf`` if none came.
        status: HTTP status code.
        error: Why there is no status code, such as "connection refused".
    """

    connect_seconds: float
    response_seconds: float = 0
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What a health checker makes of one probe, how many seconds it took to, and why."""

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
    return Verdict(passed=passed, seconds=seconds, reason=f"HTTP status {result.status}")


def most_healthy_of_an_unhealthy_check(checkers: int) -> int:
    """How many checkers may report healthy while Route 53 considers the endpoint unhealthy: 18 % or fewer.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

    Example:
        >>> most_healthy_of_an_unhealthy_check(16)
        2
    """
    return checkers * HEALTHY_ABOVE_PERCENT // 100


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One finished probe: of which checker, what it found, and what the whole check is then."""

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
    """When each checker sends its first request: some time in an interval, as they "don't coordinate with one another".

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Request interval)
    """
    count = len(check.regions) * checkers_per_region
    return [start + rng.uniform(0, check.request_interval_seconds) for _ in range(count)]


class HealthCheckerFleet:
    """The health checkers of one health check.

    Args:
        check: The health check.
        probe: Makes one request at a virtual time. It is called in the order of these times, once per request.
        first_requests: Virtual time of each checker's first request; one checker each, spread over the check's regions.

    Attributes:
        now: Virtual time until which everything has happened.

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
    ) -> None:
        self.check = check
        self.now = -math.inf
        self._probe = probe
        self._checkers = [_Checker(region) for _, region in zip(first_requests, itertools.cycle(check.regions))]
        # Requests (verdict None) and their ends, the earliest first. "Stops Route 53 from performing health checks."
        # https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled)
        self._events: list[tuple[float, int, Verdict | None]] = []
        if not check.disabled:
            self._events = [(time, number, None) for number, time in enumerate(first_requests)]
            heapq.heapify(self._events)

    @property
    def healthy_checkers(self) -> int:
        """How many checkers report that the endpoint is healthy."""
        return sum(checker.healthy for checker in self._checkers)

    @property
    def healthy(self) -> bool:
        """The status of the health check at `now`.

        A disabled check asks nothing, and so stays "always healthy", unless it is inverted: "if you want to stop
        routing traffic to a resource, change the value of Inverted".
        https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
        """
        enough = self.healthy_checkers > most_healthy_of_an_unhealthy_check(len(self._checkers))
        return enough != self.check.inverted

    def advance(self, to: float) -> list[Observation]:
        """Let everything happen until this time, itself included; the probes that ended meanwhile, in order."""
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


@dataclass(frozen=True)
class Answer:
    """A record, and the virtual time from which on it must be asked for again."""

    record: Record
    expires: float


Ask = Callable[[str, str, float], Answer]
"""Asks for a name and a type at a virtual time."""


def name_server(zone: Zone, healthy: Callable[[], Mapping[str, bool]], rng: random.Random) -> Ask:
    """Route 53's own answer to a query, never from a cache.

    Args:
        zone: The hosted zone.
        healthy: Gives the status of every health check at the moment.
        rng: Decides between records by weight.
    """

    def ask(fqdn: str, record_type: str, time: float) -> Answer:
        record = zone.answer(fqdn, record_type, healthy(), rng)
        return Answer(record, time + record.ttl_seconds)

    return ask


class CachingResolver:
    """A recursive resolver, or a client's own cache behind one: keeps an answer for what is left of its TTL.

    A cache passes on the TTL that is left, so that caches in a row keep an answer no longer than one does.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html (TTL)

    Args:
        upstream: What it asks: a name server, or another resolver.

    Example:
        >>> client = CachingResolver(CachingResolver(name_server(zone, healthy, rng)).ask)  # doctest: +SKIP
        >>> client.ask("app.pay.acme.io", "CNAME", 12.5).record.set_identifier  # doctest: +SKIP
        'primary'
    """

    def __init__(self, upstream: Ask) -> None:
        self._upstream = upstream
        self._kept: dict[tuple[str, str], Answer] = {}

    def ask(self, fqdn: str, record_type: str, time: float) -> Answer:
        """The answer that is known at this time, or a new one."""
        key = _bare(fqdn), record_type
        kept = self._kept.get(key)
        if kept is None or time >= kept.expires:
            kept = self._kept[key] = self._upstream(fqdn, record_type, time)
        return kept
