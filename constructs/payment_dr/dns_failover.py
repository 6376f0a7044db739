"""DnsFailover: one DNS name that answers with the primary region while it is healthy, else with the secondary."""

from dataclasses import dataclass
from typing import Final

from .alerting import AlarmTarget, Metric, metric_alarm
from .bindings import (
    Construct,
    Route53HealthCheck,
    Route53Record,
    Route53RecordWeightedRoutingPolicy,
    Route53Zone,
)
from .errors import refuse
from .excuses import excuse
from .health_monitor import HEALTH_PATH
from .naming import name
from .region import Region, mistakes_in_same_region

RTO_TARGET_SECONDS = 180
# Route 53 publishes the metrics of health checks in this region only.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html
METRICS_REGION = "us-east-1"


def mistakes_in_failover_timing(
    request_interval_seconds: int, failure_threshold: int, ttl_seconds: int, rto_target_seconds: int
) -> list[str]:
    """Say which number keeps a failover from being done within the target."""
    mistakes = []
    # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
    if request_interval_seconds not in (10, 30):
        mistakes.append(f"request_interval_seconds={request_interval_seconds}: Route 53 probes every 10 or 30; use one")
    if not 1 <= failure_threshold <= 10:
        mistakes.append(f"failure_threshold={failure_threshold}: Route 53 takes 1 to 10; choose one of these")
    if ttl_seconds < 0:
        mistakes.append(f"ttl_seconds={ttl_seconds} is negative; use 30")
    budget = request_interval_seconds * failure_threshold + ttl_seconds
    if budget > rto_target_seconds:
        detection = request_interval_seconds * failure_threshold
        change = (
            f"lower ttl_seconds to {rto_target_seconds - detection} or less"
            if detection < rto_target_seconds
            else "lower request_interval_seconds to 10 or failure_threshold"
        )
        mistakes.append(
            f"request_interval_seconds={request_interval_seconds} x failure_threshold={failure_threshold} + "
            f"ttl_seconds={ttl_seconds} is {budget} s, beyond rto_target_seconds={rto_target_seconds}; {change}"
        )
    return mistakes


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What stands behind the name in one region.

    Args:
        region: The region.
        host: Host name that is probed over HTTPS and that the name points to.
    """

    region: Region
    host: str


class DnsFailover(Construct):
    """A hosted zone and two weighted records, each with a health check of its own.

    The primary has weight 100, the secondary 0. Route 53 considers a record of weight 0 only when every record with a
    weight is unhealthy, so the switch is made by its data plane alone; nothing has to be changed during an outage.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html

    The time from an outage to the last cached answer of the primary is interval x threshold + TTL, which must be within
    the RTO target. A probe that times out (up to 6 s) and the spread of the new answer come on top; leave them room.

    Args:
        primary, secondary: What the name points to.
        environment: Environment name; may be a Terraform variable.
        domain_name: Domain of the hosted zone; may be a Terraform variable. Route 53 refuses example.com and its like.
        record_name: First label of the record, below the domain. Default "app".
        health_path: Path that is probed. Default "/health".
        request_interval_seconds: 10 or 30. Default 30. Route 53 cannot change it on an existing check.
        failure_threshold: Failures in a row before a check is unhealthy. Default 3.
        ttl_seconds: How long resolvers may keep an answer. Default 30.
        rto_target_seconds: Default 180.
        alarms: Where alarms on the health checks go; its topic is in us-east-1, because Route 53 publishes its metrics
            there. Default: no alarms.
        alarms_region: The region us-east-1 with its provider; needed with `alarms`.

    Attributes:
        zone_id, zone_name, name_servers: The hosted zone.
        primary_health_check_id, secondary_health_check_id: The health checks.
        fqdn: The name that clients use.
        alarm_names: Names of the alarms.

    Raises:
        ConfigurationError: The timing is beyond the target, or alarms are asked for elsewhere than in us-east-1.

    Example:
        >>> DnsFailover(self, "dns", environment="dev", domain_name="pay.acme.io",
        ...             primary=Endpoint(region=east, host=east_health.host),
        ...             secondary=Endpoint(region=west, host=west_health.host))
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        primary: Endpoint,
        secondary: Endpoint,
        environment: str,
        domain_name: str,
        record_name: str = "app",
        health_path: str = HEALTH_PATH,
        request_interval_seconds: int = 30,
        failure_threshold: int = 3,
        ttl_seconds: int = 30,
        rto_target_seconds: int = RTO_TARGET_SECONDS,
        alarms: AlarmTarget | None = None,
        alarms_region: Region | None = None,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_same_region(primary.region.name, secondary.region.name)
        mistakes += mistakes_in_failover_timing(
            request_interval_seconds, failure_threshold, ttl_seconds, rto_target_seconds
        )
        if alarms and (alarms_region is None or alarms_region.name != METRICS_REGION):
            mistakes.append(
                f"alarms_region={alarms_region.name if alarms_region else None!r}: metrics of health checks exist in "
                f"{METRICS_REGION} only; give that region, with a topic there, or leave `alarms` out"
            )
        refuse("DnsFailover", mistakes)

        zone = Route53Zone(
            self,
            "zone",
            name=domain_name,
            comment="Payments application, with failover between regions",
            force_destroy=False,
        )
        excuse(
            zone,
            CKV2_AWS_38="DNSSEC by halves breaks a zone: the registrar's part has to be done with it, by hand",
        )
        self.alarm_names: Final[list[str]] = []
        checks: dict[str, Route53HealthCheck] = {}
        records: dict[str, Route53Record] = {}
        for role, endpoint, weight, consequence in (
            ("primary", primary, 100, "clients are sent to the other region"),
            ("secondary", secondary, 0, "a failover has nowhere to go"),
        ):
            check = Route53HealthCheck(
                self,
                f"{role}_health_check",
                type="HTTPS",
                fqdn=endpoint.host,
                port=443,
                resource_path=health_path,
                request_interval=request_interval_seconds,
                failure_threshold=failure_threshold,
                # The API's certificate is chosen by the name in the TLS handshake.
                enable_sni=True,
                tags={"Name": name("health-check", "payment-app", endpoint.region, environment)},
            )
            records[role] = Route53Record(
                self,
                f"{role}_record",
                zone_id=zone.zone_id,
                name=f"{record_name}.{domain_name}",
                type="CNAME",
                ttl=ttl_seconds,
                records=[endpoint.host],
                set_identifier=role,
                weighted_routing_policy=Route53RecordWeightedRoutingPolicy(weight=weight),
                health_check_id=check.id,
            )
            checks[role] = check
            if alarms and alarms_region:
                self.alarm_names.append(
                    metric_alarm(
                        self,
                        f"{role}_health_check_alarm",
                        purpose=f"{record_name}-{role}-health-check",
                        section=f"route53-{role}-health-check",
                        region=alarms_region,
                        environment=environment,
                        target=alarms,
                        metrics=[
                            Metric(
                                namespace="AWS/Route53",
                                name="HealthCheckStatus",
                                dimensions={"HealthCheckId": check.id},
                                statistic="Minimum",
                                period_seconds=60,
                            )
                        ],
                        what_to_do=f"Route 53 finds {endpoint.region.name} ({role}) unhealthy: {consequence}.",
                        comparison="LessThanThreshold",
                        threshold=1,
                    )
                )
        self.zone_id: Final = zone.zone_id
        self.zone_name: Final = zone.name
        self.name_servers: Final = zone.name_servers
        self.primary_health_check_id: Final = checks["primary"].id
        self.secondary_health_check_id: Final = checks["secondary"].id
        self.fqdn: Final = records["primary"].fqdn
