"""DisasterRecoveryStack: two regions made of the reusable constructs, with all required outputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from .alerting import Alerting, Subscription, mistakes_in_subscriptions
from .bindings import (
    ArchiveProvider,
    AwsProvider,
    AwsProviderDefaultTags,
    CloudwatchMetricAlarm,
    Construct,
    Fn,
    Password,
    RandomProvider,
    TerraformStack,
    TerraformVariable,
)
from .checks import (
    DOMAIN_PATTERN,
    EMAIL_PATTERN,
    ENVIRONMENT_PATTERN,
    PLACEHOLDER_EMAIL_PATTERN,
    RESERVED_DOMAIN_PATTERN,
    mistakes_in_props,
)
from .config_sync import LONGEST_VALUE, ConfigSync, mistakes_in_config_keys
from .dashboard import alarm_dashboard, dashboard_url
from .data_canary import FAILOVER_SECONDS, DataCanary
from .dns_failover import METRICS_REGION, DnsFailover, Endpoint, HostedZone
from .encryption import EncryptionKey
from .errors import reject
from .failover_timing import (
    FAILURE_THRESHOLD,
    REQUEST_INTERVAL_SECONDS,
    RTO_TARGET_SECONDS,
    mistakes_in_failover_timing,
)
from .function_routes import FunctionRoutes
from .global_data import REPLICATION_LAG_ALARM_MS, GlobalData
from .health_monitor import HEALTH_PATH, STAGE, HealthMonitor
from .naming import logical
from .outputs import declare_outputs
from .policies import Statement
from .production import Settings, mistakes_in_failback, mistakes_in_runbook, settings_of
from .python_function import PythonFunction
from .region import Region, labels_of, mistakes_in_region_name, mistakes_in_same_region, warn_of_opt_in
from .regional_network import RegionalNetwork, mistakes_in_endpoint_names, mistakes_in_network, mistakes_in_overlap
from .regional_parts import Foundation, RegionalParts
from .service import (
    TABLE_VARIABLE,
    Service,
    mistakes_in_endpoints,
    mistakes_in_functions,
    mistakes_in_routes_beside_the_switch,
)
from .stack_outputs import outputs_of
from .standby_switch import StandbySwitch, Takeover
from .state_backend import (
    environment_of,
    keep_state,
    keep_to_account,
    mistakes_in_state,
    mistakes_in_state_region,
)
from .versions import PROVIDERS, require_versions

INITIAL_SECRET_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class _Variables:
    """References to the Terraform variables that differ between environments."""

    environment: str
    domain_name: str
    alert_email: str
    initial_secrets: Any


class DisasterRecoveryStack(TerraformStack):
    """The whole disaster recovery stack: an active primary region and a standby secondary region.

    Values that differ between environments are Terraform variables: `environment`, `domain_name`, `alert_email` and
    `initial_secrets`. Settings that shape the stack are arguments here.

    The defaults are for tests. `production` has other ones for real payments, see docs/production.md. An argument that
    you give has precedence over both.

    When neither region is us-east-1, the health checks have no alarm: Route 53 publishes their metrics only there.

    Args:
        id_: Name of the stack.
        production: Use the settings for real payments. They set the arguments below that are `None` by default, and
            require the variable `alert_email` and `runbook`. Default no.
        primary_region, secondary_region: AWS regions. Default us-east-1 and us-west-2.
        primary_cidr, secondary_cidr: VPC ranges, which must not overlap. Default 10.0.0.0/16 and 10.1.0.0/16.
        primary_subnet_cidrs, secondary_subnet_cidrs: Private subnets. Default the two /24 that follow the VPC's first.
        gateway_endpoints, interface_endpoints: AWS services that workloads in the private subnets reach, in both
            regions, see `RegionalNetwork`. Default: none.
        table_name: Name of the table. It is unique in an account and region, so two environments in one account need
            two names. Default "transactions".
        config_keys: Keys of the parameters that config sync keeps equal.
        request_interval_seconds, failure_threshold, ttl_seconds, rto_target_seconds: Timing of the failover, see
            `DnsFailover`. Default 30, 3, 30 and 180.
        custom_domain: Serve the application's name over TLS in both regions. The variable `domain_name` then has no
            default. Default: that of `production`.
        hosted_zone: An existing public zone that holds the variable `domain_name`. Default: creates one.
        private_probe_route: Let Route 53 probe a route of its own, whose path nobody can guess, so that a flood of
            `GET /health` causes no failover, see `HealthMonitor`. Default: that of `production`.
        requests_per_second, burst: Throttle of each region's API, in requests a second and at once. The routes of
            the health monitor keep 200 and 400. Default: 200 and 400, with `production` 1,000 and 2,000.
        data_canary: Write to the table and read it every minute in both regions, with alarms, and fail over when that
            fails in the primary, see `DataCanary`. Default: that of `production`.
        switch: Give operators a switch in the secondary region that sends clients there, see `StandbySwitch`. Default:
            that of `production`.
        failback: How clients return after a failover. With "automatic" they return as soon as the primary's probe
            passes. With "operator" they return with `dr failback`: the secondary region sets the switch by itself when
            the primary fails, see `StandbySwitch`. Needs `switch`. Default: "automatic", with `production` "operator".
        service: Your service behind the name, in both regions: routes of the APIs that serve `GET /health`, see
            `Service`. Default: none.
        primary_endpoint, secondary_endpoint: Hosts of your own that the name points to, such as load balancers, see
            `Endpoint`. Only the name of their `region` counts. Route 53 probes the stack's health monitor where an
            endpoint has neither `health_host` nor `health_path`. Default: the name points to the stack's APIs.
        deletion_protection: Protect the table from deletion. Default: that of `production`.
        two_way_documents: Replicate documents from the secondary region to the primary one too, see `GlobalData`.
            Default: that of `production`.
        replication_lag_alarm_ms: Mean replication latency of the table, in milliseconds, above which an alarm fires.
            Default 3000.
        force_destroy: Delete the buckets with their contents. Default: the opposite of `production`.
        log_retention_days: Days to keep all logs. Default: 1, with `production` 365.
        key_deletion_window_days: Days between the deletion of a key and its loss. Default: 7, with `production` 30.
        alert_email_required: Give the variable `alert_email` no default, and reject placeholders such as
            dr-alerts@example.com. Default: that of `production`.
        state: Where Terraform keeps its state, as s3://BUCKET/ENVIRONMENT. The stack is then of that environment, and
            needs Terraform 1.10. `dr bootstrap` makes the bucket. Default: a file beside the app.
        state_region: Region of that bucket. Default: the secondary one, so that an outage of the primary leaves the
            state available.
        account: The AWS account to deploy to, twelve digits. Terraform rejects credentials of another account. Default:
            the account of the first apply, which the state records.
        owner: Value of the Owner tag. Default "platform-team".
        dashboards: Make a CloudWatch dashboard of each region's alarms, which their descriptions link to. Default: that
            of `production`.
        subscriptions: Further subscribers of both regions' alarms, beside the variable `alert_email`: https endpoints,
            queues and functions. Default: none.
        runbook: Address that alarm descriptions link to. Default: "docs/runbook.md"; with `production` there is none,
            and you must give an https:// address.

    Attributes:
        primary, secondary: The parts of each region, see `RegionalParts`: `region`, `network`, `key`, `alerting`,
            `health` and `service`. The id of a region's HTTP API is `stack.primary.health.api_id`.
        data: The table and the buckets, see `GlobalData`.
        config: The parameters that config sync keeps equal, see `ConfigSync`.
        dns: The name that fails over, see `DnsFailover`.
        canary: See `DataCanary`; None without `data_canary`.
        switch: See `StandbySwitch`; None without `switch`.

    Raises:
        ConfigurationError: A prop is outside its limit, or a part cannot work in AWS. The error lists all mistakes.

    Example:
        >>> app = App()
        >>> DisasterRecoveryStack(app, "payment-dr", ttl_seconds=60)
        >>> app.synth()
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        production: bool = False,
        primary_region: str = "us-east-1",
        secondary_region: str = "us-west-2",
        primary_cidr: str = "10.0.0.0/16",
        primary_subnet_cidrs: Sequence[str] = ("10.0.1.0/24", "10.0.2.0/24"),
        secondary_cidr: str = "10.1.0.0/16",
        secondary_subnet_cidrs: Sequence[str] = ("10.1.1.0/24", "10.1.2.0/24"),
        gateway_endpoints: Sequence[str] = (),
        interface_endpoints: Sequence[str] = (),
        table_name: str = "transactions",
        config_keys: Sequence[str] = ("database-connection-string", "api-key"),
        request_interval_seconds: int = REQUEST_INTERVAL_SECONDS,
        failure_threshold: int = FAILURE_THRESHOLD,
        ttl_seconds: int | None = None,
        rto_target_seconds: int = RTO_TARGET_SECONDS,
        custom_domain: bool | None = None,
        hosted_zone: HostedZone | None = None,
        private_probe_route: bool | None = None,
        requests_per_second: float | None = None,
        burst: int | None = None,
        data_canary: bool | None = None,
        switch: bool | None = None,
        failback: str | None = None,
        service: Service | None = None,
        primary_endpoint: Endpoint | None = None,
        secondary_endpoint: Endpoint | None = None,
        deletion_protection: bool | None = None,
        two_way_documents: bool | None = None,
        replication_lag_alarm_ms: int = REPLICATION_LAG_ALARM_MS,
        force_destroy: bool | None = None,
        log_retention_days: int | None = None,
        key_deletion_window_days: int | None = None,
        alert_email_required: bool | None = None,
        state: str | None = None,
        state_region: str | None = None,
        account: str | None = None,
        owner: str = "platform-team",
        dashboards: bool | None = None,
        subscriptions: Sequence[Subscription] = (),
        runbook: str | None = None,
    ) -> None:
        super().__init__(scope, id_)
        given = locals()
        in_props = mistakes_in_props(DisasterRecoveryStack, given)
        settings = settings_of(given)
        self._paths: dict[tuple[type, str], str] = {}  # of elements by class and address
        timing = (request_interval_seconds, failure_threshold, ttl_seconds, rto_target_seconds)
        reject(
            "DisasterRecoveryStack",
            [
                *in_props,
                *mistakes_in_region_name("primary_region", primary_region),
                *mistakes_in_region_name("secondary_region", secondary_region),
                *mistakes_in_same_region(primary_region, secondary_region),
                *mistakes_in_network(primary_cidr, primary_subnet_cidrs, "primary_"),
                *mistakes_in_network(secondary_cidr, secondary_subnet_cidrs, "secondary_"),
                *mistakes_in_overlap(primary_cidr, secondary_cidr),
                *mistakes_in_endpoint_names(gateway_endpoints, interface_endpoints),
                *mistakes_in_config_keys("config_keys", config_keys),
                *mistakes_in_failover_timing(
                    *timing,
                    custom_domain=settings.custom_domain,
                    alarm_seconds=FAILOVER_SECONDS if settings.data_canary else None,
                ),
                *mistakes_in_functions(service, primary_region, secondary_region),
                *(mistakes_in_routes_beside_the_switch(service) if settings.switch else ()),
                *mistakes_in_endpoints(
                    primary_endpoint,
                    secondary_endpoint,
                    regions=(primary_region, secondary_region),
                    service=service,
                    custom_domain=settings.custom_domain,
                    data_canary=settings.data_canary,
                ),
                *mistakes_in_subscriptions(subscriptions),
                *mistakes_in_failback(settings),
                *mistakes_in_runbook(production, runbook),
                *mistakes_in_state(state),
                *mistakes_in_state_region(state, state_region, primary_region),
            ],
        )
        variables = self._variables(state, settings, config_keys)
        first, second = self._regions(primary_region, secondary_region, variables.environment, owner, account)
        keep_state(self, id_, state, state_region or secondary_region)

        endpoints = {"gateway_endpoints": gateway_endpoints, "interface_endpoints": interface_endpoints}
        primary, secondary = (
            self._foundation(region, cidr, subnet_cidrs, endpoints, variables, subscriptions, settings)
            for region, cidr, subnet_cidrs in (
                (first, primary_cidr, primary_subnet_cidrs),
                (second, secondary_cidr, secondary_subnet_cidrs),
            )
        )
        data = GlobalData(
            self,
            "data",
            primary=first,
            secondary=second,
            environment=variables.environment,
            table_name=table_name,
            primary_alarms=primary.alerting.target,
            secondary_alarms=secondary.alerting.target,
            replication_lag_alarm_ms=replication_lag_alarm_ms,
            deletion_protection=settings.deletion_protection,
            two_way_documents=settings.two_way_documents,
            force_destroy=settings.force_destroy,
        )
        primary_health, secondary_health = (
            self._health_monitor(foundation, variables.environment, data.table_name, table_arn, settings)
            for foundation, table_arn in ((primary, data.table_arn), (secondary, data.replica_arn))
        )
        primary_health.watch(secondary_health)
        secondary_health.watch(primary_health)
        arns = (service.primary_function_arn, service.secondary_function_arn) if service else (None, None)
        primary_service, secondary_service = (
            self._service(
                service,
                function_arn,
                foundation,
                health,
                variables.environment,
                data.table_name,
                table_arn,
                settings.log_retention_days,
            )
            if service
            else None
            for function_arn, foundation, health, table_arn in (
                (arns[0], primary, primary_health, data.table_arn),
                (arns[1], secondary, secondary_health, data.replica_arn),
            )
        )
        canary = (
            self._data_canary(primary, secondary, variables.environment, data.table_name, settings)
            if settings.data_canary
            else None
        )
        config = self._config_sync(primary, secondary, config_keys, variables, settings)
        ends = (
            _endpoint(first, primary_health, primary_endpoint, canary.primary_failover_alarm_name if canary else None),
            _endpoint(
                second, secondary_health, secondary_endpoint, canary.secondary_failover_alarm_name if canary else None
            ),
        )
        standby_switch = (
            self._standby_switch(
                first, secondary, (primary_health, secondary_health), ends, variables.environment, settings
            )
            if settings.switch
            else None
        )
        # Where alarms on health checks can be. If that is neither region, there are none.
        home = next((each for each in (primary, secondary) if each.region.name == METRICS_REGION), None)
        dns = DnsFailover(
            self,
            "dns",
            primary=ends[0],
            secondary=ends[1],
            environment=variables.environment,
            domain_name=variables.domain_name,
            request_interval_seconds=request_interval_seconds,
            failure_threshold=failure_threshold,
            ttl_seconds=ttl_seconds,
            rto_target_seconds=rto_target_seconds,
            alarms=home.alerting.target if home else None,
            alarms_region=home.region if home else None,
            custom_domain=settings.custom_domain,
            hosted_zone=hosted_zone,
            **({"switch_host": secondary_health.host, "switch_path": standby_switch.path} if standby_switch else {}),
        )
        self.primary: Final = RegionalParts(**vars(primary), health=primary_health, service=primary_service)
        self.secondary: Final = RegionalParts(**vars(secondary), health=secondary_health, service=secondary_service)
        self.data: Final = data
        self.canary: Final = canary
        self.switch: Final = standby_switch
        self.config: Final = config
        self.dns: Final = dns
        outputs = outputs_of(
            environment=variables.environment,
            rto_target_seconds=rto_target_seconds,
            primary=self.primary,
            secondary=self.secondary,
            data=data,
            canary=canary,
            switch=standby_switch,
            config=config,
            dns=dns,
            service=service,
            endpoints=ends if primary_endpoint else None,
        )
        if settings.dashboards:
            self._dashboards(variables.environment)
        declare_outputs(self, outputs)

    def _allocate_logical_id(self, element: Any) -> str:
        """Name resources by their path in the construct tree, without the hash that cdktf appends.

        Addresses stay readable, and do not change while the path does not. A part that repeats the one before it is
        left out: `health_monitor_east/function/function` becomes `health_monitor_east_function`.
        """
        path: str = getattr(element, "node", element).path  # assets hand over the node itself
        parts = path.split("/")[1:]
        id_ = "_".join(logical(part) for before, part in zip(["", *parts], parts, strict=False) if part != before)
        before = self._paths.setdefault((type(element), id_), path)
        if before != path:
            # cdktf would merge both into one resource without a word.
            address = f"{getattr(element, 'terraform_resource_type', '')}.{id_}"
            raise ValueError(f"{path} and {before} both have the address {address}; rename one")
        return id_

    def _variables(self, state: str | None, settings: Settings, config_keys: Sequence[str]) -> _Variables:
        return _Variables(
            environment=self._environment_variable(state),
            domain_name=self._domain_name_variable(settings.custom_domain),
            alert_email=self._alert_email_variable(settings.alert_email_required),
            initial_secrets=self._initial_secrets_variable(config_keys),
        )

    def _environment_variable(self, state: str | None) -> str:
        environment = TerraformVariable(
            self,
            "environment",
            type="string",
            default=environment_of(state) if state else "dev",
            nullable=False,
            description="Environment; part of every resource's name.",
        )
        _validate(
            environment,
            _matches("environment", ENVIRONMENT_PATTERN),
            "The environment must be 2 to 12 lower-case letters, digits or hyphens and start with a letter, because it "
            "is part of bucket and role names.",
        )
        if state:
            # Another environment's names planned against this state would replace everything.
            _validate(
                environment,
                f'var.environment == "{environment_of(state)}"',
                f"The environment must be {environment_of(state)}, because Terraform's state is in {state}: "
                "synthesize with the location of the other environment's state.",
            )
        return environment.string_value

    def _domain_name_variable(self, custom_domain: bool) -> str:
        domain_name = TerraformVariable(
            self,
            "domain_name",
            type="string",
            # A name under .test resolves nowhere (RFC 2606), so a forgotten setting cannot take over a real name. No
            # certificate is ever issued for it: with a custom domain, Terraform refuses to go on without a value.
            default=None if custom_domain else "payment-app.test",
            nullable=False,
            description="Domain of the application's hosted zone, such as pay.acme.io.",
        )
        _validate(
            domain_name,
            _matches("domain_name", DOMAIN_PATTERN),
            "The domain_name must be a domain in lower case with at least two labels, such as pay.acme.io.",
        )
        _validate(
            domain_name,
            f"!{_matches('domain_name', RESERVED_DOMAIN_PATTERN)}",
            "The domain_name must not be under example.com, example.net or example.org: Route 53 reserves them.",
        )
        return domain_name.string_value

    def _alert_email_variable(self, required: bool) -> str:
        alert_email = TerraformVariable(
            self,
            "alert_email",
            type="string",
            default=None if required else "dr-alerts@example.com",
            nullable=False,
            description="Address that gets the alarms by mail. AWS asks it to confirm the subscription.",
        )
        _validate(
            alert_email,
            _matches("alert_email", EMAIL_PATTERN),
            "The alert_email must be an email address, such as payments-oncall@acme.io.",
        )
        if required:
            _validate(
                alert_email,
                f"!{_matches('alert_email', PLACEHOLDER_EMAIL_PATTERN)}",
                "The alert_email must not be a placeholder: nobody reads mail of example.com, .net or .org, or of a "
                "domain under .example, .invalid, .localhost or .test.",
            )
        return alert_email.string_value

    def _initial_secrets_variable(self, config_keys: Sequence[str]) -> Any:
        initial_secrets = TerraformVariable(
            self,
            "initial_secrets",
            type="map(string)",
            default={},
            nullable=False,
            sensitive=True,
            description="First values of the parameters by config key; random where you give none. "
            "Used once: afterwards change the values in Parameter Store.",
        )
        keys = ", ".join(config_keys)
        _validate(
            initial_secrets,
            f"length(setsubtract(keys(var.initial_secrets), {json.dumps(list(config_keys))})) == 0",
            f"The initial_secrets may only have these keys: {keys}.",
        )
        # Base64 makes four characters of three bytes, the last ones of which are "=" where a byte is missing.
        size = 'length(base64encode(value)) / 4 * 3 - length(regexall("=", base64encode(value)))'
        _validate(
            initial_secrets,
            f"alltrue([for value in values(var.initial_secrets) : {size} >= 1 && {size} <= {LONGEST_VALUE}])",
            f"Each value in initial_secrets must have 1 to {LONGEST_VALUE:,} bytes.",
        )
        return initial_secrets.value

    def _regions(
        self, primary: str, secondary: str, environment: str, owner: str, account: str | None
    ) -> tuple[Region, Region]:
        tags = AwsProviderDefaultTags(
            tags={
                "Environment": environment,
                "DataClassification": "sensitive",
                "Owner": owner,
                "ManagedBy": "terraform",
            }
        )
        labels = labels_of(primary, secondary)
        default = AwsProvider(self, "aws", region=primary, default_tags=[tags])
        aliased = AwsProvider(self, "aws_secondary", alias="secondary", region=secondary, default_tags=[tags])
        ArchiveProvider(self, "archive")
        RandomProvider(self, "random")
        require_versions(self, *PROVIDERS)
        keep_to_account(self, default, aliased, account)
        regions = Region(name=primary, label=labels[0]), Region(name=secondary, label=labels[1], provider=aliased)
        warn_of_opt_in(self, *regions)
        return regions

    def _foundation(
        self,
        region: Region,
        cidr: str,
        subnet_cidrs: Sequence[str],
        endpoints: Mapping[str, Sequence[str]],
        variables: _Variables,
        subscriptions: Sequence[Subscription],
        settings: Settings,
    ) -> Foundation:
        environment = variables.environment
        network = RegionalNetwork(
            self,
            f"network_{region.label}",
            region=region,
            environment=environment,
            cidr=cidr,
            subnet_cidrs=subnet_cidrs,
            **endpoints,
        )
        key = EncryptionKey(
            self,
            f"encryption_{region.label}",
            region=region,
            environment=environment,
            deletion_window_days=settings.key_deletion_window_days,
        )
        alerting = Alerting(
            self,
            f"alerting_{region.label}",
            region=region,
            environment=environment,
            key_arn=key.key_arn,
            email=variables.alert_email,
            subscriptions=subscriptions,
            runbook=settings.runbook,
            dashboard=dashboard_url(region, environment) if settings.dashboards else None,
        )
        return Foundation(region=region, network=network, key=key, alerting=alerting)

    def _health_monitor(
        self,
        foundation: Foundation,
        environment: str,
        table_name: str,
        table_arn: str,
        settings: Settings,
    ) -> HealthMonitor:
        return HealthMonitor(
            self,
            f"health_monitor_{foundation.region.label}",
            region=foundation.region,
            environment=environment,
            table_name=table_name,
            table_arn=table_arn,
            topic_arn=foundation.alerting.topic_arn,
            topic_key_arn=foundation.key.key_arn,
            alarms=foundation.alerting.target,
            stage_requests_per_second=settings.requests_per_second,
            stage_burst=settings.burst,
            private_probe_route=settings.private_probe_route,
            log_retention_days=settings.log_retention_days,
        )

    def _service(
        self,
        service: Service,
        function_arn: str | None,
        foundation: Foundation,
        health: HealthMonitor,
        environment: str,
        table_name: str,
        table_arn: str,
        log_retention_days: int,
    ) -> PythonFunction | None:
        """Put a service behind a region's API. Return the function, if the stack deploys it."""
        region, function = foundation.region, None
        if service.source:
            function = PythonFunction(
                self,
                f"service_{region.label}",
                region=region,
                environment=environment,
                purpose=service.purpose,
                section="service",
                description=f"Serves {', '.join(service.routes)} in {region.name}"[:256],
                source=service.source,
                variables={TABLE_VARIABLE: table_name, **service.variables},
                permissions=[Statement(sid="UseTable", actions=service.actions, resources=[table_arn])],
                alarms=foundation.alerting.target,
                memory_mb=service.memory_mb,
                timeout_seconds=service.timeout_seconds,
                log_retention_days=log_retention_days,
            )
            function_arn = function.function_arn
        FunctionRoutes(
            self,
            f"service_routes_{region.label}",
            region=region,
            api_id=health.api_id,
            stage=health.stage,
            routes=service.routes,
            function_arn=str(function_arn),
        )
        return function

    def _data_canary(
        self, primary: Foundation, secondary: Foundation, environment: str, table_name: str, settings: Settings
    ) -> DataCanary:
        return DataCanary(
            self,
            "data_canary",
            primary=primary.region,
            secondary=secondary.region,
            environment=environment,
            table_name=table_name,
            primary_alarms=primary.alerting.target,
            secondary_alarms=secondary.alerting.target,
            log_retention_days=settings.log_retention_days,
        )

    def _standby_switch(
        self,
        primary: Region,
        secondary: Foundation,
        monitors: tuple[HealthMonitor, HealthMonitor],
        ends: tuple[Endpoint, Endpoint],
        environment: str,
        settings: Settings,
    ) -> StandbySwitch:
        health = monitors[1]
        primary_url, own_url = (
            f"https://{each.health_host or each.host}{each.health_path or HEALTH_PATH}" for each in ends
        )
        takeover = Takeover(
            primary_url=primary_url,
            own_url=own_url,
            primary_alarm_name=ends[0].alarm_name,
            after=[each for monitor in monitors for each in monitor.serving],
        )
        switch = StandbySwitch(
            self,
            "switch",
            region=secondary.region,
            primary_region=primary.name,
            environment=environment,
            api_id=health.api_id,
            stage=STAGE,
            private_route=settings.private_probe_route,
            takeover=takeover if settings.failback == "operator" else None,
            alarms=secondary.alerting.target,
            deletion_protection=settings.deletion_protection,
            log_retention_days=settings.log_retention_days,
        )
        # A busy service must not use up what the probes of the switch need.
        health.throttle_apart(switch.route_key, switch.route)
        return switch

    def _config_sync(
        self,
        primary: Foundation,
        secondary: Foundation,
        config_keys: Sequence[str],
        variables: _Variables,
        settings: Settings,
    ) -> ConfigSync:
        return ConfigSync(
            self,
            "config_sync",
            primary=primary.region,
            secondary=secondary.region,
            environment=variables.environment,
            parameters=self._initial_values(config_keys, variables.initial_secrets),
            primary_key_arn=primary.key.key_arn,
            secondary_key_arn=secondary.key.key_arn,
            primary_alarms=primary.alerting.target,
            secondary_alarms=secondary.alerting.target,
            log_retention_days=settings.log_retention_days,
        )

    def _dashboards(self, environment: str) -> None:
        """Make a dashboard of each region's alarms, whichever part made them."""
        alarms = [each for each in self.node.find_all() if isinstance(each, CloudwatchMetricAlarm)]
        for region in (self.primary.region, self.secondary.region):
            here = [alarm for alarm in alarms if alarm.provider == region.provider]
            alarm_dashboard(self, f"dashboard_{region.label}", region=region, environment=environment, alarms=here)

    def _initial_values(self, config_keys: Sequence[str], initial_secrets: Any) -> dict[str, str]:
        values = {}
        for key in config_keys:
            password = Password(
                self,
                f"initial_{logical(key)}",
                length=INITIAL_SECRET_LENGTH,
                special=False,
            )
            values[key] = Fn.lookup(initial_secrets, key, password.result)
        return values


def _endpoint(region: Region, health: HealthMonitor, given: Endpoint | None, alarm_name: str | None) -> Endpoint:
    """The endpoint that the name points to in a region: the app's own one, else the stack's API."""
    alarm: dict[str, Any] = {"alarm_name": alarm_name, "alarm_seconds": FAILOVER_SECONDS} if alarm_name else {}
    if given is None:
        return Endpoint(
            region=region,
            host=health.host,
            health_path=health.probe_path,
            api_id=health.api_id,
            stage=health.stage,
            **alarm,
        )
    if given.health_host or given.health_path:
        return replace(given, region=region, **alarm)
    return replace(given, region=region, health_host=health.host, health_path=health.probe_path, **alarm)


def _matches(variable: str, pattern: str) -> str:
    return f'can(regex("{pattern}", var.{variable}))'


def _validate(variable: TerraformVariable, condition: str, error_message: str) -> None:
    variable.add_validation(condition=f"${{{condition}}}", error_message=error_message)
