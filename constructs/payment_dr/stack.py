"""DisasterRecoveryStack: two regions composed of the reusable constructs, with every output of the contract."""

from collections.abc import Mapping, Sequence
from typing import Any

from .alerting import DEFAULT_RUNBOOK, Alerting
from .bindings import (
    ArchiveProvider,
    AwsProvider,
    AwsProviderDefaultTags,
    Construct,
    Fn,
    Password,
    RandomProvider,
    TerraformStack,
    TerraformVariable,
)
from .config_sync import ConfigSync, mistakes_in_config_keys
from .dns_failover import (
    METRICS_REGION,
    RTO_TARGET_SECONDS,
    DnsFailover,
    Endpoint,
    HostedZone,
    mistakes_in_failover_timing,
)
from .encryption import EncryptionKey
from .errors import refuse
from .global_data import GlobalData
from .health_monitor import HealthMonitor
from .naming import ENVIRONMENT_PATTERN, logical
from .outputs import Output, declare_outputs
from .region import Region, labels_of, mistakes_in_region_name, mistakes_in_same_region, warn_of_opt_in
from .regional_network import RegionalNetwork, mistakes_in_network, mistakes_in_overlap
from .side import Side
from .state_backend import environment_of, keep_state, mistakes_in_state, mistakes_in_state_region
from .versions import PROVIDERS, require_versions

INITIAL_SECRET_LENGTH = 32

# A name with at least two labels, as RFC 1035 writes them, in lower case; `[.]` needs no escaping in Terraform.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN_PATTERN = f"^({_LABEL}[.])+{_LABEL}$"
_RESERVED_DOMAIN_PATTERN = "(^|[.])example[.](com|net|org)$"
_EMAIL_PATTERN = "^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$"


class DisasterRecoveryStack(TerraformStack):
    """The whole disaster recovery stack: an active primary and a passive secondary region.

    What differs between environments is a Terraform variable: `environment`, `domain_name`, `alert_email` and
    `initial_secrets`. What shapes the stack is an argument here.

    When neither region is us-east-1, the health checks have no alarm: Route 53 publishes their metrics only there.

    Args:
        id_: Name of the stack.
        primary_region, secondary_region: AWS regions. Default us-east-1 and us-west-2.
        primary_cidr, secondary_cidr: VPC ranges, which must not overlap. Default 10.0.0.0/16 and 10.1.0.0/16.
        primary_subnet_cidrs, secondary_subnet_cidrs: Private subnets. Default the two /24 that follow the VPC's first.
        config_keys: Keys of the parameters that are kept in sync.
        request_interval_seconds, failure_threshold, ttl_seconds, rto_target_seconds: Timing of the failover, see
            `DnsFailover`. Default 30, 3, 30 and 180.
        custom_domain: Serve the application's name over TLS in both regions. Default no.
        hosted_zone: A public zone that exists and holds the variable `domain_name`. Default: one is made.
        deletion_protection: Refuse to delete the table. Default False; set it True with real payments.
        force_destroy: Delete the buckets with what is in them. Default True; set it False with real documents.
        state: Where Terraform keeps its state, as s3://BUCKET/ENVIRONMENT; the stack is of that environment then, and
            needs Terraform 1.10. `dr bootstrap` makes the bucket. Default: a file beside the app.
        state_region: Region of that bucket. Default: the secondary one, where the state is there in a disaster.
        owner: Value of the Owner tag. Default "platform-team".
        runbook: Address that alarm descriptions link to. Default "docs/runbook.md".

    Attributes:
        primary, secondary: The regions, with their labels and providers.

    Raises:
        ConfigurationError: Something cannot work in AWS; all mistakes of all parts at once.

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
        primary_region: str = "us-east-1",
        secondary_region: str = "us-west-2",
        primary_cidr: str = "10.0.0.0/16",
        primary_subnet_cidrs: Sequence[str] = ("10.0.1.0/24", "10.0.2.0/24"),
        secondary_cidr: str = "10.1.0.0/16",
        secondary_subnet_cidrs: Sequence[str] = ("10.1.1.0/24", "10.1.2.0/24"),
        config_keys: Sequence[str] = ("database-connection-string", "api-key"),
        request_interval_seconds: int = 30,
        failure_threshold: int = 3,
        ttl_seconds: int | None = None,
        rto_target_seconds: int = RTO_TARGET_SECONDS,
        custom_domain: bool = False,
        hosted_zone: HostedZone | None = None,
        deletion_protection: bool = False,
        force_destroy: bool = True,
        state: str | None = None,
        state_region: str | None = None,
        owner: str = "platform-team",
        runbook: str = DEFAULT_RUNBOOK,
    ) -> None:
        super().__init__(scope, id_)
        self._paths: dict[tuple[type, str], str] = {}  # of elements by class and address
        timing = (request_interval_seconds, failure_threshold, ttl_seconds, rto_target_seconds)
        refuse(
            "DisasterRecoveryStack",
            [
                *mistakes_in_region_name("primary_region", primary_region),
                *mistakes_in_region_name("secondary_region", secondary_region),
                *mistakes_in_same_region(primary_region, secondary_region),
                *mistakes_in_network(primary_cidr, primary_subnet_cidrs, "primary_"),
                *mistakes_in_network(secondary_cidr, secondary_subnet_cidrs, "secondary_"),
                *mistakes_in_overlap(primary_cidr, secondary_cidr),
                *mistakes_in_config_keys("config_keys", config_keys),
                *mistakes_in_failover_timing(*timing, custom_domain=custom_domain),
                *mistakes_in_state(state),
                *mistakes_in_state_region(state, state_region, primary_region),
            ],
        )
        environment, domain_name, alert_email, initial_secrets = self._variables(state)
        self.primary, self.secondary = self._regions(primary_region, secondary_region, environment, owner)
        keep_state(self, id_, state, state_region or secondary_region)

        foundations = []
        for region, cidr, subnet_cidrs in (
            (self.primary, primary_cidr, primary_subnet_cidrs),
            (self.secondary, secondary_cidr, secondary_subnet_cidrs),
        ):
            network = RegionalNetwork(
                self,
                f"network_{region.label}",
                region=region,
                environment=environment,
                cidr=cidr,
                subnet_cidrs=subnet_cidrs,
            )
            key = EncryptionKey(self, f"encryption_{region.label}", region=region, environment=environment)
            alerting = Alerting(
                self,
                f"alerting_{region.label}",
                region=region,
                environment=environment,
                key_arn=key.key_arn,
                email=alert_email,
                runbook=runbook,
            )
            foundations.append((network, key, alerting))
        (east_network, east_key, east_alerting), (west_network, west_key, west_alerting) = foundations

        data = GlobalData(
            self,
            "data",
            primary=self.primary,
            secondary=self.secondary,
            environment=environment,
            primary_alarms=east_alerting.target,
            secondary_alarms=west_alerting.target,
            deletion_protection=deletion_protection,
            force_destroy=force_destroy,
        )
        east_health, west_health = (
            HealthMonitor(
                self,
                f"health_monitor_{region.label}",
                region=region,
                environment=environment,
                table_name=data.table_name,
                table_arn=table_arn,
                topic_arn=alerting.topic_arn,
                topic_key_arn=key.key_arn,
                alarms=alerting.target,
            )
            for region, table_arn, key, alerting in (
                (self.primary, data.table_arn, east_key, east_alerting),
                (self.secondary, data.replica_arn, west_key, west_alerting),
            )
        )
        config = ConfigSync(
            self,
            "config_sync",
            primary=self.primary,
            secondary=self.secondary,
            environment=environment,
            parameters=self._initial_values(config_keys, initial_secrets),
            primary_key_arn=east_key.key_arn,
            secondary_key_arn=west_key.key_arn,
            primary_alarms=east_alerting.target,
            secondary_alarms=west_alerting.target,
        )
        alarms_at_home = [
            (region, alerting.target)
            for region, alerting in ((self.primary, east_alerting), (self.secondary, west_alerting))
            if region.name == METRICS_REGION
        ]
        alarms_region, alarms = alarms_at_home[0] if alarms_at_home else (None, None)
        dns = DnsFailover(
            self,
            "dns",
            primary=Endpoint(
                region=self.primary, host=east_health.host, api_id=east_health.api_id, stage=east_health.stage
            ),
            secondary=Endpoint(
                region=self.secondary, host=west_health.host, api_id=west_health.api_id, stage=west_health.stage
            ),
            environment=environment,
            domain_name=domain_name,
            request_interval_seconds=request_interval_seconds,
            failure_threshold=failure_threshold,
            ttl_seconds=ttl_seconds,
            rto_target_seconds=rto_target_seconds,
            alarms=alarms,
            alarms_region=alarms_region,
            custom_domain=custom_domain,
            hosted_zone=hosted_zone,
        )

        first, second = f"{primary_region} (primary)", f"{secondary_region} (secondary)"
        declare_outputs(
            self,
            {
                "environment": Output(environment, "Environment that this stack is"),
                "primary_region": Output(self.primary.name, "Region that serves while it is healthy"),
                "secondary_region": Output(self.secondary.name, "Region that serves after a failover"),
                **_network_outputs("primary", first, east_network),
                **_network_outputs("secondary", second, west_network),
                **_data_outputs(data, first, second),
                **_function_outputs("primary", first, east_health, config),
                **_function_outputs("secondary", second, west_health, config),
                "lambda_execution_role_arn": Output(
                    east_health.role_arn, f"Execution role of the health monitor in {first}"
                ),
                "lambda_execution_role_arns": Output(
                    {
                        "primary_health_monitor": east_health.role_arn,
                        "secondary_health_monitor": west_health.role_arn,
                        "primary_config_sync": config.primary_role_arn,
                        "secondary_config_sync": config.secondary_role_arn,
                    },
                    "Execution roles of all four functions",
                ),
                "cross_region_role_arn": Output(
                    config.primary_to_secondary_role_arn,
                    f"Role with which config sync of {first} writes parameters in {second}",
                ),
                "cross_region_role_arns": Output(
                    {
                        "primary_to_secondary": config.primary_to_secondary_role_arn,
                        "secondary_to_primary": config.secondary_to_primary_role_arn,
                    },
                    "Roles with which config sync writes into the other region, by direction",
                ),
                "hosted_zone_id": Output(dns.zone_id, "Hosted zone of the application's domain"),
                "hosted_zone_name": Output(dns.zone_name, "Domain of the hosted zone"),
                "hosted_zone_name_servers": Output(
                    dns.name_servers, "Name servers to enter at the registrar, or in the parent zone"
                ),
                "primary_health_check_id": Output(dns.primary_health_check_id, f"Route 53 health check of {first}"),
                "secondary_health_check_id": Output(
                    dns.secondary_health_check_id, f"Route 53 health check of {second}"
                ),
                "application_fqdn": Output(dns.fqdn, "Name that clients use; it fails over"),
                "alarm_names": Output(
                    [
                        *data.alarm_names,
                        *east_health.alarm_names,
                        *west_health.alarm_names,
                        *config.alarm_names,
                        *dns.alarm_names,
                    ],
                    "Names of the CloudWatch alarms of both regions",
                ),
                **_custom_domain_outputs(dns, first, second),
                **_alerting_outputs("primary", first, east_alerting, east_key),
                **_alerting_outputs("secondary", second, west_alerting, west_key),
                "ssm_parameter_names": Output(
                    config.parameter_names, "Parameters that are kept in sync; the same names in both regions"
                ),
                "ssm_parameter_values": Output(
                    config.parameter_values, f"Values of the parameters in {first}, by name", sensitive=True
                ),
                "config_sync_dead_letter_queue_urls": Output(
                    {
                        "primary": config.primary_dead_letter_queue_url,
                        "secondary": config.secondary_dead_letter_queue_url,
                    },
                    "Queues with changes of parameters that could not be copied",
                ),
            },
        )

    def _allocate_logical_id(self, element: Any) -> str:
        """Name resources by their path in the construct tree, without the hash that cdktf appends.

        Addresses stay readable, and the same as long as the path is. A part that repeats the one before it is left out:
        `health_monitor_east/function/function` becomes `health_monitor_east_function`.
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

    def _variables(self, state: str | None) -> tuple[str, str, str, Any]:
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
        domain_name = TerraformVariable(
            self,
            "domain_name",
            type="string",
            # A name under .test resolves nowhere (RFC 2606), so a forgotten setting cannot take over a real name.
            default="payment-app.test",
            nullable=False,
            description="Domain of the application's hosted zone, such as pay.acme.io.",
        )
        _validate(
            domain_name,
            _matches("domain_name", _DOMAIN_PATTERN),
            "The domain_name must be a domain in lower case with at least two labels, such as pay.acme.io.",
        )
        _validate(
            domain_name,
            f"!{_matches('domain_name', _RESERVED_DOMAIN_PATTERN)}",
            "The domain_name must not be under example.com, example.net or example.org: Route 53 reserves them.",
        )
        alert_email = TerraformVariable(
            self,
            "alert_email",
            type="string",
            default="dr-alerts@example.com",
            nullable=False,
            description="Address that alarms are mailed to; AWS asks it to confirm the subscription.",
        )
        _validate(
            alert_email,
            _matches("alert_email", _EMAIL_PATTERN),
            "The alert_email must be an email address, such as payments-oncall@acme.io.",
        )
        initial_secrets = TerraformVariable(
            self,
            "initial_secrets",
            type="map(string)",
            default={},
            nullable=False,
            sensitive=True,
            description="First values of the parameters by config key; random where none is given. "
            "Used once: afterwards change the values in Parameter Store.",
        )
        return environment.string_value, domain_name.string_value, alert_email.string_value, initial_secrets.value

    def _regions(self, primary: str, secondary: str, environment: str, owner: str) -> tuple[Region, Region]:
        tags = AwsProviderDefaultTags(
            tags={
                "Environment": environment,
                "DataClassification": "sensitive",
                "Owner": owner,
                "ManagedBy": "terraform",
            }
        )
        labels = labels_of(primary, secondary)
        AwsProvider(self, "aws", region=primary, default_tags=[tags])
        aliased = AwsProvider(self, "aws_secondary", alias="secondary", region=secondary, default_tags=[tags])
        ArchiveProvider(self, "archive")
        RandomProvider(self, "random")
        require_versions(self, *PROVIDERS)
        regions = Region(name=primary, label=labels[0]), Region(name=secondary, label=labels[1], provider=aliased)
        warn_of_opt_in(self, *regions)
        return regions

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


def _matches(variable: str, pattern: str) -> str:
    return f'can(regex("{pattern}", var.{variable}))'


def _validate(variable: TerraformVariable, condition: str, error_message: str) -> None:
    variable.add_validation(condition=f"${{{condition}}}", error_message=error_message)


def _network_outputs(side: Side, where: str, network: RegionalNetwork) -> Mapping[str, Output]:
    return {
        f"{side}_vpc_id": Output(network.vpc_id, f"VPC in {where}"),
        f"{side}_vpc_cidr": Output(network.vpc_cidr, f"Address range of the VPC in {where}"),
        f"{side}_private_subnet_ids": Output(network.private_subnet_ids, f"Private subnets in {where}"),
    }


def _data_outputs(data: GlobalData, first: str, second: str) -> Mapping[str, Output]:
    return {
        "dynamodb_table_name": Output(data.table_name, "Global table, the same name in both regions"),
        "dynamodb_table_arn": Output(data.table_arn, f"Global table in {first}"),
        "dynamodb_replica_arn": Output(data.replica_arn, f"Global table in {second}"),
        "dynamodb_stream_arn": Output(data.stream_arn, f"Stream of the table in {first}"),
        "primary_bucket_name": Output(data.primary_bucket_name, f"Bucket in {first}, source of the replication"),
        "primary_bucket_arn": Output(data.primary_bucket_arn, f"Bucket in {first}, source of the replication"),
        "secondary_bucket_name": Output(data.secondary_bucket_name, f"Bucket in {second}, its destination"),
        "secondary_bucket_arn": Output(data.secondary_bucket_arn, f"Bucket in {second}, its destination"),
        "s3_replication_role_arn": Output(data.replication_role_arn, "Role that S3 replicates with"),
    }


def _function_outputs(side: Side, where: str, health: HealthMonitor, config: ConfigSync) -> Mapping[str, Output]:
    sync_name, sync_arn = (
        (config.primary_function_name, config.primary_function_arn)
        if side == "primary"
        else (config.secondary_function_name, config.secondary_function_arn)
    )
    return {
        f"{side}_health_monitor_function_name": Output(health.function_name, f"Health monitor in {where}"),
        f"{side}_health_monitor_function_arn": Output(health.function_arn, f"Health monitor in {where}"),
        f"{side}_config_sync_function_name": Output(sync_name, f"Config sync in {where}"),
        f"{side}_config_sync_function_arn": Output(sync_arn, f"Config sync in {where}"),
        f"{side}_api_endpoint": Output(health.api_endpoint, f"Address of the health API in {where}"),
        f"{side}_api_id": Output(health.api_id, f"Health API in {where}"),
        f"{side}_health_url": Output(health.health_url, f"What Route 53 probes in {where}"),
    }


def _custom_domain_outputs(dns: DnsFailover, first: str, second: str) -> Mapping[str, Output]:
    if dns.url is None:
        return {}
    return {
        "application_url": Output(dns.url, "Address that clients use, over TLS; it fails over"),
        "primary_target_name": Output(dns.primary_target_name, f"Domain name of API Gateway in {first}"),
        "secondary_target_name": Output(dns.secondary_target_name, f"Domain name of API Gateway in {second}"),
    }


def _alerting_outputs(side: Side, where: str, alerting: Alerting, key: EncryptionKey) -> Mapping[str, Output]:
    return {
        f"{side}_sns_topic_arn": Output(alerting.topic_arn, f"Topic of the alarms in {where}"),
        f"{side}_kms_key_id": Output(key.key_id, f"Key of alerts and parameters in {where}"),
        f"{side}_kms_key_arn": Output(key.key_arn, f"Key of alerts and parameters in {where}"),
    }
