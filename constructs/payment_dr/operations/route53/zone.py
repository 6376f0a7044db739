"""A deployed hosted zone: its records, their health checks, and the record that Route 53 answers with.

The model raises an error for anything it does not support: alias records to services other than API Gateway, routing
policies other than simple and weighted, health checks of a routing control.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from payment_dr.failover_timing import ALIAS_TTL_SECONDS
from payment_dr.operations.errors import OperationError

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

_ENDPOINT_TYPES = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")
_UNMODELLED_ROUTING = (
    "Failover",
    "Region",
    "GeoLocation",
    "GeoProximityLocation",
    "MultiValueAnswer",
    "CidrRoutingConfig",
)


AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
"""State of a CloudWatch alarm."""


@dataclass(frozen=True, kw_only=True)
class _Check:
    """The attributes that all health checks have."""

    id: str
    inverted: bool = False
    disabled: bool = False

    def status(self, *, found: bool) -> bool:
        """Whether Route 53 considers the check healthy, given its result.

        A disabled check does not probe and is "always healthy", unless it is inverted: "If you want to stop routing
        traffic to a resource, change the value of Inverted".
        https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled, Inverted)
        """
        return (found or self.disabled) != self.inverted


@dataclass(frozen=True, kw_only=True)
class HealthCheck(_Check):
    """A health check of an endpoint, as `GetHealthCheck` describes it, with AWS's defaults filled in.

    Attributes:
        host: The domain name, else the IP address.
        address: The IP address to connect to. None: an address that the host resolves to.
        sni: Whether the TLS handshake names the host.
        search_string: Text that the beginning of the body must contain, if the type is one of string matching.
    """

    host: str
    address: str | None = None
    port: int = 443
    path: str = "/"
    type: str = "HTTPS"
    sni: bool = True
    search_string: str = ""
    request_interval_seconds: int = 30
    failure_threshold: int = 3
    regions: tuple[str, ...] = CHECKER_REGIONS

    @property
    def is_tls(self) -> bool:
        """Whether a checker makes a TLS handshake."""
        return self.type in ("HTTPS", "HTTPS_STR_MATCH")

    @property
    def matches_string(self) -> bool:
        """Whether a checker searches the body."""
        return self.type in ("HTTP_STR_MATCH", "HTTPS_STR_MATCH")

    @property
    def server_name(self) -> str | None:
        """The name in the TLS handshake: "the value of FullyQualifiedDomainName", where SNI is enabled.

        https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (EnableSNI)
        """
        return self.host if self.is_tls and self.sni and self.host != self.address else None

    @property
    def host_header(self) -> str:
        """The Host header. It includes the port, unless that is 80 for HTTP or 443 for HTTPS.

        https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (FullyQualifiedDomainName)
        """
        return self.host if self.port == (443 if self.is_tls else 80) else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class AlarmCheck(_Check):
    """A health check of a CloudWatch alarm (type CLOUDWATCH_METRIC).

    Attributes:
        region: Region of the alarm.
        alarm: Its name.
        without_data: Its status while CloudWatch has too few data: its last status with enough data, or a fixed one.
        period_seconds, periods: The alarm's period, and how many periods must breach, from Route 53's copy.
    """

    region: str
    alarm: str
    period_seconds: int = 60
    periods: int = 1
    without_data: Literal["Healthy", "Unhealthy", "LastKnownStatus"] = "LastKnownStatus"


@dataclass(frozen=True, kw_only=True)
class CalculatedCheck(_Check):
    """A health check of other health checks (type CALCULATED).

    Attributes:
        children: Ids of the others.
        threshold: Number of children that must be healthy. With 0 the check is always healthy, with more than there
            are it is always unhealthy.
            https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (HealthThreshold)
    """

    children: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, kw_only=True)
class UnknownCheck:
    """A health check whose status the model does not know.

    Attributes:
        why: The reason, to follow "the health check ...".
        hint: What to do.
    """

    id: str
    why: str
    hint: str


AnyCheck = HealthCheck | AlarmCheck | CalculatedCheck | UnknownCheck


@dataclass(frozen=True, kw_only=True)
class Record:
    """A resource record set. `routing` is simple, weighted, or the API's field of another policy.

    The value of an alias record is its target. `failover` is PRIMARY or SECONDARY where the policy is Failover.
    """

    name: str
    type: str
    ttl_seconds: int
    values: tuple[str, ...]
    routing: str = "simple"
    set_identifier: str | None = None
    weight: int | None = None
    failover: str | None = None
    health_check_id: str | None = None


@dataclass(frozen=True)
class Zone:
    """A hosted zone with the health checks of its records, and their children.

    Example:
        >>> zone = Zone.read(boto3.client("route53"), outputs["hosted_zone_id"])  # doctest: +SKIP
        >>> healthy = {"primary-check": False, "secondary-check": True}
        >>> zone.answer("app.pay.acme.io", "CNAME", healthy, random.Random(1)).set_identifier  # doctest: +SKIP
        'secondary'
    """

    id: str
    records: tuple[Record, ...]
    health_checks: Mapping[str, AnyCheck]

    @classmethod
    def read(cls, client: Any, zone_id: str) -> Self:
        """Read a deployed zone.

        Args:
            client: A boto3 client of Route 53.
            zone_id: Id of the hosted zone, with or without ``/hostedzone/``.

        Raises:
            OperationError: The zone does not exist.
        """
        pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
        try:
            records = tuple(_record(found) for page in pages for found in page["ResourceRecordSets"])
        except client.exceptions.NoSuchHostedZone as error:
            raise OperationError(
                f"the hosted zone {zone_id} does not exist", hint="check account and outputs, or deploy first"
            ) from error
        checks: dict[str, AnyCheck] = {}
        wanted = [record.health_check_id for record in records if record.health_check_id]
        while wanted:
            if (id_ := wanted.pop(0)) not in checks:
                checks[id_] = check = _health_check(client, id_)
                wanted += check.children if isinstance(check, CalculatedCheck) else ()
        return cls(zone_id, records, checks)

    def group(self, fqdn: str, record_type: str) -> list[Record]:
        """The records of a name and a type."""
        name = bare(fqdn)
        return [record for record in self.records if (record.name, record.type) == (name, record_type)]

    def followed(self, id_: str) -> Iterator[HealthCheck | AlarmCheck]:
        """The health checks of endpoints and alarms that the status of a health check depends on.

        Raises:
            OperationError: The model does not know the status of one of them.
        """
        check = self.health_checks[id_]
        if isinstance(check, UnknownCheck):
            raise OperationError(f"the health check {id_} {check.why}", hint=check.hint)
        if not isinstance(check, CalculatedCheck):
            yield check
        elif not check.disabled:  # "Route 53 stops aggregating the status of the referenced health checks"
            for child in check.children:
                # "You can't configure a calculated health check to monitor the health of other calculated health
                # checks." https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
                if isinstance(self.health_checks[child], CalculatedCheck):
                    raise OperationError(
                        f"the health check {id_} monitors {child}, which is a calculated check too",
                        hint="monitor its children",
                    )
                yield from self.followed(child)

    def status(self, id_: str, known: Mapping[str, bool]) -> bool:
        """Whether Route 53 considers a health check healthy.

        A calculated one has no interval of its own: it "adds up the number of child health checks that are considered
        to be healthy", each by its own status, inverted or disabled.
        https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

        Args:
            id_: Its id.
            known: Status of each check of an endpoint or an alarm by its id, at the same time.

        Raises:
            OperationError: The model does not know it.
        """
        check = self.health_checks[id_]
        if not isinstance(check, CalculatedCheck):
            (followed,) = self.followed(id_)
            return known[followed.id]
        healthy_children = sum(known[child.id] for child in self.followed(id_))
        return check.status(found=healthy_children >= check.threshold)

    def answer(self, fqdn: str, record_type: str, healthy: Mapping[str, bool], rng: random.Random) -> Record:
        """The record that Route 53 answers a query with.

        https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html

        Args:
            fqdn: Name in the query. No wildcards.
            record_type: Type in the query, such as ``CNAME``.
            healthy: Status of every health check by its id.
            rng: Chooses between records by weight.

        Raises:
            OperationError: There is no such record, or the model does not support its routing policy.
        """
        name, group = bare(fqdn), self.group(fqdn, record_type)
        if not group:
            raise OperationError(
                f"the zone {self.id} has no {record_type} record {name}", hint="check the name; deploy first"
            )
        for record in group:
            if record.routing not in ("simple", "weighted"):
                raise OperationError(
                    f"the record {name} has the routing policy {record.routing}, which the model of Route 53 does not "
                    "support",
                    hint="drill a name with weighted records",
                )
        # "Records without a health check are always healthy."
        candidates = possible_answers(group, lambda r: r.health_check_id is None or healthy[r.health_check_id])
        # "weight for a specified record / sum of the weights for all records"; all zero: "equal probability".
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html
        return rng.choices(candidates, [record.weight or 1 for record in candidates])[0]


# Of all policies but the simple and the weighted one, those in which health alone decides which records are answered.
ROUTED_BY_HEALTH = ("Failover", "Region", "MultiValueAnswer")


def possible_answers(group: Sequence[Record], healthy: Callable[[Record], bool]) -> list[Record]:
    """The records of a name and a type that clients anywhere may get.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html

    Args:
        group: All records of the name and the type. Their policy is simple, weighted or one of `ROUTED_BY_HEALTH`.
        healthy: Whether Route 53 considers a record healthy.
    """
    # "If no record is healthy, all records are healthy."
    candidates = [record for record in group if healthy(record)] or list(group)
    # "Route 53 initially considers only the nonzero weighted records, if any. If all the records that have a weight
    # greater than 0 are unhealthy, then Route 53 considers the zero-weighted records."
    if any(record.routing == "weighted" for record in group):
        return [record for record in candidates if record.weight] or candidates
    # Of failover records the primary one, if it is healthy, and also "when both records are unhealthy".
    # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-problems.html
    return [record for record in candidates if record.failover == "PRIMARY"] or candidates


def bare(name: str) -> str:
    """A DNS name in lower case, without the dot at its end."""
    return name.rstrip(".").lower()


def _record(found: Mapping[str, Any]) -> Record:
    routing = next((field for field in _UNMODELLED_ROUTING if found.get(field)), None)
    values = tuple(entry["Value"] for entry in found.get("ResourceRecords", ()))
    ttl_seconds = found.get("TTL", 0)
    if alias := found.get("AliasTarget"):
        values, ttl_seconds = (bare(alias["DNSName"]),), ALIAS_TTL_SECONDS
        if ".execute-api." not in values[0]:
            routing = "AliasTarget"
    return Record(
        name=bare(found["Name"]),
        type=found["Type"],
        ttl_seconds=ttl_seconds,
        values=values,
        routing=routing or ("weighted" if "Weight" in found else "simple"),
        set_identifier=found.get("SetIdentifier"),
        weight=found.get("Weight"),
        failover=found.get("Failover"),
        health_check_id=found.get("HealthCheckId"),
    )


def _health_check(client: Any, id_: str) -> AnyCheck:
    try:
        found = client.get_health_check(HealthCheckId=id_)["HealthCheck"]
    except client.exceptions.NoSuchHealthCheck:
        # Route 53 lets it be deleted, but then "the future status of the health check can't be predicted".
        # https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html
        return UnknownCheck(id=id_, why="does not exist", hint="run terraform apply to create it again")
    config = found["HealthCheckConfig"]
    kind = config["Type"]
    common = {"id": id_, "inverted": config.get("Inverted", False), "disabled": config.get("Disabled", False)}
    if kind == "CALCULATED":
        children = tuple(config.get("ChildHealthChecks", ()))
        return CalculatedCheck(children=children, threshold=config.get("HealthThreshold", 0), **common)
    if kind == "CLOUDWATCH_METRIC":
        alarm = config["AlarmIdentifier"]
        without_data = config.get("InsufficientDataHealthStatus", "LastKnownStatus")
        copied = found.get("CloudWatchAlarmConfiguration", {})
        return AlarmCheck(
            region=alarm["Region"],
            alarm=alarm["Name"],
            period_seconds=copied.get("Period", 60),
            periods=copied.get("EvaluationPeriods", 1),
            without_data=without_data,
            **common,
        )
    if kind not in _ENDPOINT_TYPES:
        return UnknownCheck(
            id=id_,
            why=f"is of type {kind}, which the model of Route 53 does not support",
            hint=f"use one of {', '.join((*_ENDPOINT_TYPES, 'CLOUDWATCH_METRIC', 'CALCULATED'))}",
        )
    path = config.get("ResourcePath", "/")
    return HealthCheck(
        host=config.get("FullyQualifiedDomainName") or config["IPAddress"],
        address=config.get("IPAddress"),
        port=config.get("Port", 80 if kind in ("HTTP", "HTTP_STR_MATCH") else 443),
        # "If you don't include a leading slash (/) character, Route 53 automatically adds one."
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Path)
        path=path if path.startswith("/") else f"/{path}",
        type=kind,
        # "when the type is "HTTPS" enable_sni defaults to true"
        # https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/route53_health_check
        sni=config.get("EnableSNI", kind in ("HTTPS", "HTTPS_STR_MATCH")),
        search_string=config.get("SearchString", ""),
        request_interval_seconds=config.get("RequestInterval", 30),
        failure_threshold=config.get("FailureThreshold", 3),
        regions=tuple(config.get("Regions") or CHECKER_REGIONS),
        **common,
    )
