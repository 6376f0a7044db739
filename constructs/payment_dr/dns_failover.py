"""DnsFailover: one DNS name that leads to the primary region while it is healthy, else to the secondary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import (
    Annotations,
    Construct,
    Route53HealthCheck,
    Route53Record,
    Route53RecordAlias,
    Route53RecordWeightedRoutingPolicy,
    Route53Zone,
    TerraformResourceLifecycle,
)
from .checks import LIMITS, is_token, mistakes_in_props
from .custom_domain import CustomDomain
from .described import Described
from .errors import reject
from .failover_timing import (
    FAILURE_THRESHOLD,
    REQUEST_INTERVAL_SECONDS,
    RTO_TARGET_SECONDS,
    mistakes_in_failover_timing,
    ttl_of,
    warnings_of_failover_timing,
)
from .health_monitor import HEALTH_PATH
from .naming import mistakes_in_names, name
from .region import Region, mistakes_in_global_provider, mistakes_in_home, mistakes_in_same_region, region_name
from .standby_switch import SWITCH_PATH
from .suppressions import suppress

# Route 53 publishes the metrics of health checks in this region only.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html
METRICS_REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class HostedZone:
    """An existing public hosted zone.

    Args:
        zone_id: Its id, such as "Z0123456789ABCDEFGHIJ".
        name: Its domain, with or without a final dot.
        name_servers: Its name servers. Default: unknown. They are not looked up.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    zone_id: str
    name: str
    name_servers: Sequence[str] = ()

    def __post_init__(self) -> None:
        # Route 53 writes the names of zones with the dot of the root: acme.io is acme.io.
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
        if isinstance(self.name, str):
            object.__setattr__(self, "name", self.name.removesuffix("."))
        reject("HostedZone", mistakes_in_props(HostedZone, vars(self)))


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What the name points to in one region.

    Args:
        region: The region.
        host: Host name that the name points to.
        health_host: Host name that Route 53 probes over HTTPS. Default: `host`.
        health_path: Path that Route 53 probes there. Default: the `health_path` of `DnsFailover`.
        api_id, stage: The HTTP API behind the host and its stage. Required with a custom domain. Default: unknown.
        alarm_name: A CloudWatch alarm of this account, in the endpoint's region, that also decides whether the endpoint
            is healthy. Route 53 supports an alarm on one metric of standard resolution whose periods must all breach.
            It copies the alarm's settings when the health check is made, so an alarm with other settings needs another
            name. Default: only the probe decides.
        alarm_seconds: Maximum number of seconds from an outage to that alarm. Required with `alarm_name`.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    region: Region
    host: str
    health_host: str | None = None
    health_path: str | None = None
    api_id: str | None = None
    stage: str | None = None
    alarm_name: str | None = None
    alarm_seconds: int | None = None

    def __post_init__(self) -> None:
        reject("Endpoint", mistakes_in_props(Endpoint, vars(self)))


def mistakes_in_hosts(primary: Endpoint, secondary: Endpoint, host: str) -> list[str]:
    """Report endpoints that lead back to the name that points to them."""
    return [
        f"{side}.{prop}={value!r} is the name itself, which would point to itself or be probed through itself; "
        "use a host that always leads to this region"
        for side, endpoint in (("primary", primary), ("secondary", secondary))
        for prop, value in (("host", endpoint.host), ("health_host", endpoint.health_host))
        if value and value.lower() == host
    ]


def mistakes_in_alarms(primary: Endpoint, secondary: Endpoint) -> list[str]:
    """Report endpoints that have an alarm's name without its time, or the reverse."""
    return [
        f"{side} has {given} and no {missing}; give both, or neither"
        for side, endpoint in (("primary", primary), ("secondary", secondary))
        for given, missing in (("alarm_name", "alarm_seconds"), ("alarm_seconds", "alarm_name"))
        if getattr(endpoint, given) is not None and getattr(endpoint, missing) is None
    ]


def mistakes_in_custom_domain(primary: Endpoint, secondary: Endpoint) -> list[str]:
    """Report what a custom domain lacks."""
    return [
        f"custom_domain: {side} has no {' and no '.join(missing)}; give the Endpoint the HTTP API that the host is "
        "mapped to, or leave custom_domain out"
        for side, endpoint in (("primary", primary), ("secondary", secondary))
        if (missing := [attribute for attribute in ("api_id", "stage") if not getattr(endpoint, attribute)])
    ]


def mistakes_in_hosted_zone(hosted_zone: HostedZone | None, domain_name: str) -> list[str]:
    """Report a domain that is outside the zone, as far as both are known at synth."""
    if hosted_zone is None or is_token(hosted_zone.name) or is_token(domain_name):
        return []
    zone_name = hosted_zone.name
    if domain_name == zone_name or domain_name.endswith(f".{zone_name}"):
        return []
    return [f"domain_name={domain_name!r} is not in the hosted zone {zone_name!r}; give the zone of that domain"]


class DnsFailover(Described):
    """A hosted zone and two weighted records, each with a health check of its own.

    The records are CNAMEs to the endpoints. They resolve, but the endpoints' certificate is not for the name. With
    `custom_domain` the records are aliases (A) of an API Gateway domain name in each region, with the certificate that
    a TLS client needs. There is no AAAA record, because a regional domain name has IPv4 only unless it is dual-stack.

    The primary has weight 100, the secondary 0. Route 53 considers a record of weight 0 only when every record with a
    weight is unhealthy. So its data plane alone fails over: nobody changes anything during an outage.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html

    With `switch_host` the primary's record follows one more health check, of the operator's switch in the standby
    region (`StandbySwitch`). It is inverted: it is unhealthy while the switch answers 200, and healthy while it
    answers anything else, or nothing. Its check has the same interval and threshold, so the last cached answer of the
    primary also ends interval x threshold + TTL after the switch is set. Route 53 considers a new inverted check
    *unhealthy* until there is enough data. Before you add the switch to a name that clients use, create its check
    alone and wait: see docs/upgrading.md.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

    An endpoint with an alarm is healthy while its probe passes and its alarm is not in ALARM. Its record then has a
    calculated health check with two children, both of which must be healthy: the check of the probe, and one that
    follows the alarm. While Route 53 has no data of the alarm, that check keeps its state, and a new one is healthy. So
    missing data neither fail a region over nor bring traffic back.

    The time from an outage to the last cached answer of the primary is interval x threshold + TTL, or `alarm_seconds` +
    TTL. Both must be within the RTO target. Leave room for a probe that times out (up to 6 s), for the spread of the
    new answer and, with an alarm, for the time that CloudWatch takes to publish a metric.

    Args:
        primary, secondary: What the name points to.
        environment: Environment name; may be a Terraform variable.
        domain_name: Domain of the hosted zone; may be a Terraform variable. Route 53 rejects reserved domains such as
            example.com.
        record_name: First label of the record, below the domain. Default "app".
        health_path: Path that Route 53 probes where an endpoint names no other. Default "/health".
        request_interval_seconds: 10 or 30. Default 30. A change replaces both checks, each after its successor
            exists.
        failure_threshold: Failures in a row before a check is unhealthy. Default 3.
        ttl_seconds: How long resolvers may keep an answer. Default 30. Fails at synth with `custom_domain`, because an
            alias has API Gateway's TTL of 60 s.
        rto_target_seconds: Maximum time for detection and the TTL together. Default 180.
        alarms: Where alarms on the health checks go. The topic must be in us-east-1, because Route 53 publishes its
            metrics there. Default: no alarms.
        alarms_region: The region us-east-1 with its provider. Required with `alarms`.
        custom_domain: Serve the name over TLS in both regions. Needs `api_id` and `stage` of both endpoints. Default
            no.
        hosted_zone: An existing public zone that holds `domain_name`. Default: creates one.
        switch_host, switch_path: Where the standby region serves the operator's switch over HTTPS. Default: there is
            no switch; its path is "/switch".

    Attributes:
        zone_id, zone_name, name_servers: The hosted zone.
        primary_health_check_id, secondary_health_check_id: The health checks of the records. They decide.
        fqdn: The name that clients use.
        url: Its address, None without a custom domain.
        primary_target_name, secondary_target_name: What the aliases point to, None without a custom domain.
        alarm_names: Names of the alarms.

    Raises:
        ConfigurationError: A prop is outside its limit, the timing is beyond the target, an endpoint is the name
            itself, alarms are not in us-east-1, a custom domain lacks an API, an endpoint's alarm lacks its name or its
            time, the stack has no default provider, or the domain is not in the hosted zone. The error lists all
            mistakes.

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
        request_interval_seconds: int = REQUEST_INTERVAL_SECONDS,
        failure_threshold: int = FAILURE_THRESHOLD,
        ttl_seconds: int | None = None,
        rto_target_seconds: int = RTO_TARGET_SECONDS,
        alarms: AlarmTarget | None = None,
        alarms_region: Region | None = None,
        custom_domain: bool = False,
        hosted_zone: HostedZone | None = None,
        switch_host: str | None = None,
        switch_path: str = SWITCH_PATH,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(DnsFailover, locals())
        mistakes += mistakes_in_same_region(primary.region.name, secondary.region.name)
        mistakes += mistakes_in_global_provider(self, primary.region, secondary.region)
        host = f"{record_name}.{domain_name}"
        mistakes += mistakes_in_hosts(primary, secondary, host)
        if switch_host and switch_host.lower() == host:
            mistakes.append(
                f"switch_host={switch_host!r} is the name itself; use a host that always leads to the standby region"
            )
        mistakes += mistakes_in_alarms(primary, secondary)
        form = LIMITS["CustomDomain.host" if custom_domain else "Endpoint.host"]
        if not mistakes and not is_token(host) and not form.accepts(host):
            mistakes.append(
                f"record_name and domain_name make {host!r}, which is not {form.takes}; shorten one of them"
            )
        mistakes += mistakes_in_failover_timing(
            request_interval_seconds,
            failure_threshold,
            ttl_seconds,
            rto_target_seconds,
            custom_domain=custom_domain,
            alarm_seconds=max(
                (each.alarm_seconds for each in (primary, secondary) if each.alarm_seconds), default=None
            ),
        )
        mistakes += mistakes_in_custom_domain(primary, secondary) if custom_domain else []
        mistakes += mistakes_in_hosted_zone(hosted_zone, domain_name)
        if alarms_region:
            mistakes += mistakes_in_home(alarms_region, alarms=topic_of(alarms))
            mistakes += mistakes_in_names(
                "record_name", record_name, [alarms_region], environment, "alarm-{}-secondary-health-check"
            )
        if alarms and (alarms_region is None or alarms_region.name != METRICS_REGION):
            mistakes.append(
                f"alarms_region={alarms_region.name if alarms_region else None!r}: metrics of health checks exist in "
                f"{METRICS_REGION} only; give that region, with a topic there, or leave `alarms` out"
            )
        reject("DnsFailover", mistakes)

        ttl = ttl_of(ttl_seconds, custom_domain=custom_domain)
        for warning in warnings_of_failover_timing(
            request_interval_seconds, failure_threshold, ttl, rto_target_seconds
        ):
            Annotations.of(self).add_warning(warning)
        zone = hosted_zone or self._zone(domain_name)
        probing: dict[str, Any] = {
            "type": "HTTPS",
            "port": 443,
            "request_interval": request_interval_seconds,
            "failure_threshold": failure_threshold,
            # The API's certificate is chosen by the name in the TLS handshake.
            "enable_sni": True,
        }
        self.alarm_names: Final[list[str]] = []
        checks: dict[str, str] = {}
        records: dict[str, Route53Record] = {}
        domains: dict[str, CustomDomain] = {}
        for side, endpoint, weight, consequence in (
            ("primary", primary, 100, "clients go to the other region"),
            ("secondary", secondary, 0, "a failover is not possible now"),
        ):
            probe = self._health_check(
                f"{side}_health_check",
                "payment-app",
                endpoint.region,
                environment,
                fqdn=endpoint.health_host or endpoint.host,
                resource_path=endpoint.health_path or health_path,
                **probing,
            )
            children = [probe, *self._alarm_check(side, endpoint, environment)]
            if switch_host and side == "primary":
                children.append(
                    self._health_check(
                        "switch_health_check",
                        "payment-app-switch",
                        secondary.region,
                        environment,
                        fqdn=switch_host,
                        resource_path=switch_path,
                        invert_healthcheck=True,
                        **probing,
                    )
                )
            check_id = probe if len(children) == 1 else self._all_of(children, side, endpoint, environment)
            target: dict[str, Any] = {"type": "CNAME", "ttl": ttl, "records": [endpoint.host]}
            if custom_domain and endpoint.api_id and endpoint.stage:
                domains[side] = domain = CustomDomain(
                    self,
                    f"{side}_domain",
                    region=endpoint.region,
                    environment=environment,
                    host=host,
                    api_id=endpoint.api_id,
                    stage=endpoint.stage,
                    zone_id=zone.zone_id,
                    validation_record=domains["primary"].validation_record if domains else None,
                )
                # The target's health is that of API Gateway in the region, the check's that of the application:
                # https://docs.aws.amazon.com/apigateway/latest/developerguide/dns-failover.html
                alias = Route53RecordAlias(
                    name=domain.target_name, zone_id=domain.target_zone_id, evaluate_target_health=True
                )
                target = {"type": "A", "alias": alias}
            records[side] = Route53Record(
                self,
                f"{side}_record",
                zone_id=zone.zone_id,
                name=host,
                set_identifier=side,
                weighted_routing_policy=Route53RecordWeightedRoutingPolicy(weight=weight),
                health_check_id=check_id,
                **target,
            )
            checks[side] = check_id
            if alarms and alarms_region:
                self.alarm_names.append(
                    metric_alarm(
                        self,
                        f"{side}_health_check_alarm",
                        purpose=f"{record_name}-{side}-health-check",
                        section=f"route53-{side}-health-check",
                        region=alarms_region,
                        environment=environment,
                        target=alarms,
                        metrics=[
                            Metric(
                                namespace="AWS/Route53",
                                name="HealthCheckStatus",
                                dimensions={"HealthCheckId": check_id},
                                statistic="Minimum",
                                period_seconds=60,
                            )
                        ],
                        what_to_do=f"Route 53 considers {endpoint.region.name} ({side}) unhealthy: {consequence}.",
                        comparison="LessThanThreshold",
                        threshold=1,
                        # Route 53 publishes the status every minute, healthy or not.
                        treat_missing_data="breaching",
                    )
                )
        self.zone_id: Final = zone.zone_id
        self.zone_name: Final = zone.name
        self.name_servers: Final = list(zone.name_servers)  # jsii takes no tuple
        self.primary_health_check_id: Final = checks["primary"]
        self.secondary_health_check_id: Final = checks["secondary"]
        self.fqdn: Final = records["primary"].fqdn
        self.url: Final = f"https://{self.fqdn}" if domains else None
        self.primary_target_name: Final = domains["primary"].target_name if domains else None
        self.secondary_target_name: Final = domains["secondary"].target_name if domains else None

    def _health_check(self, id_: str, purpose: str, region: Region, environment: str, **config: Any) -> str:
        return Route53HealthCheck(
            self,
            id_,
            # Route 53 lets a check be deleted that a record names, and then decides by chance. So its successor comes
            # first, and the record, or the calculated check, names that one before this one goes.
            # https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html
            lifecycle=TerraformResourceLifecycle(create_before_destroy=True),
            tags={"Name": name("health-check", purpose, region, environment)},
            **config,
        ).id

    def _alarm_check(self, side: str, endpoint: Endpoint, environment: str) -> list[str]:
        if endpoint.alarm_name is None:
            return []
        return [
            self._health_check(
                f"{side}_alarm_health_check",
                "payment-app-alarm",
                endpoint.region,
                environment,
                type="CLOUDWATCH_METRIC",
                cloudwatch_alarm_name=endpoint.alarm_name,
                cloudwatch_alarm_region=region_name(self, endpoint.region),
                # Route 53 reads the alarm's data, not its state. Without data this fails no region over, because a new
                # check is healthy. "Healthy" would bring traffic back to a region whose CloudWatch fails with DynamoDB.
                # AWS advises against this where data are away for hours; a canary's are there every minute, and their
                # absence has an alarm.
                # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
                insufficient_data_health_status="LastKnownStatus",
            )
        ]

    def _all_of(self, children: list[str], side: str, endpoint: Endpoint, environment: str) -> str:
        return self._health_check(
            f"{side}_calculated_health_check",
            "payment-app-calculated",
            endpoint.region,
            environment,
            type="CALCULATED",
            child_healthchecks=children,
            child_health_threshold=len(children),
        )

    def _zone(self, domain_name: str) -> Route53Zone:
        zone = Route53Zone(
            self,
            "zone",
            name=domain_name,
            comment="Payments application, with failover between regions",
            force_destroy=False,
        )
        suppress(
            zone,
            CKV2_AWS_38="half a DNSSEC set-up breaks a zone: do the registrar's part by hand, at the same time",
        )
        return zone
