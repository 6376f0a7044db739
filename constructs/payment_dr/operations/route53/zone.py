"""A hosted zone as it is deployed: its records, their health checks, and the record that Route 53 answers with.

The model refuses what it does not know: alias records of anything but API Gateway, routing policies other than simple
and weighted, health checks of anything but an endpoint, string matching.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

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
            OperationError: The zone or one of its health checks does not exist, or a check is not of an endpoint.
        """
        pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
        try:
            records = tuple(_record(found) for page in pages for found in page["ResourceRecordSets"])
        except client.exceptions.NoSuchHostedZone as error:
            raise OperationError(
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
                raise OperationError(
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
            OperationError: There is no such record, or its routing policy is not modelled.
        """
        name = bare(fqdn)
        group = [record for record in self.records if (record.name, record.type) == (name, record_type)]
        if not group:
            raise OperationError(
                f"the zone {self.id} has no {record_type} record {name}", hint="check the name; deploy first"
            )
        for record in group:
            if record.routing not in ("simple", "weighted"):
                raise OperationError(
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
        health_check_id=found.get("HealthCheckId"),
    )


def _health_check(found: Mapping[str, Any]) -> HealthCheck:
    config = found["HealthCheckConfig"]
    if config["Type"] not in _ENDPOINT_TYPES:
        raise OperationError(
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
