"""The outputs of DisasterRecoveryStack: the description of each, and the part of the stack it comes from."""

from collections.abc import Mapping

from .config_sync import ConfigSync
from .data_canary import DataCanary
from .dns_failover import DnsFailover, Endpoint
from .global_data import GlobalData
from .health_monitor import HEALTH_PATH, HealthMonitor
from .outputs import Output
from .python_function import PythonFunction
from .regional_network import RegionalNetwork
from .regional_parts import RegionalParts
from .service import Service
from .side import SIDES, Side
from .standby_switch import SWITCH_PATH, StandbySwitch


def outputs_of(
    *,
    environment: str,
    rto_target_seconds: int,
    primary: RegionalParts,
    secondary: RegionalParts,
    data: GlobalData,
    canary: DataCanary | None,
    switch: StandbySwitch | None,
    config: ConfigSync,
    dns: DnsFailover,
    service: Service | None,
    endpoints: tuple[Endpoint, Endpoint] | None,
) -> Mapping[str, Output]:
    """Every output of the stack by its name.

    Args:
        environment: Environment name, which is a Terraform variable.
        rto_target_seconds: Maximum time for detection and the TTL together, in seconds.
        primary: The parts of the primary region.
        secondary: The parts of the secondary region.
        data: The table and the buckets.
        canary: The canary of the table, if there is one.
        switch: The operator's switch, if there is one.
        config: The parameters that config sync keeps equal.
        dns: The name that fails over.
        service: The service behind the name, if there is one.
        endpoints: The team's own endpoints, if the name points to them.

    Example:
        >>> declare_outputs(stack, outputs_of(environment="dev", ...))  # doctest: +SKIP
    """
    first, second = f"{primary.region.name} (primary)", f"{secondary.region.name} (secondary)"
    return {
        "environment": Output(environment, "Environment of this stack"),
        "primary_region": Output(primary.region.name, "Region that serves clients while it is healthy"),
        "secondary_region": Output(secondary.region.name, "Region that serves clients after a failover"),
        "rto_target_seconds": Output(
            rto_target_seconds, "Maximum seconds of a failover: detection and the TTL together"
        ),
        **_network_outputs("primary", first, primary.network),
        **_network_outputs("secondary", second, secondary.network),
        **_data_outputs(data, first, second),
        **_function_outputs("primary", first, primary.health, config),
        **_function_outputs("secondary", second, secondary.health, config),
        **_role_outputs(primary.health, secondary.health, config, first, second),
        **_dns_outputs(dns, first, second),
        **_custom_domain_outputs(dns, first, second),
        **_switch_outputs(switch, second),
        **_service_outputs(service, primary, secondary),
        **_endpoint_outputs(endpoints),
        "alarm_names": Output(
            _alarm_names(
                *(
                    data,
                    primary.health,
                    secondary.health,
                    primary.service,
                    secondary.service,
                    canary,
                    switch,
                    config,
                    dns,
                )
            ),
            "Names of the CloudWatch alarms of both regions",
        ),
        **_alerting_outputs("primary", first, primary),
        **_alerting_outputs("secondary", second, secondary),
        **_config_outputs(config),
    }


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
        "s3_replication_role_arn": Output(data.replication_role_arn, "Role that S3 uses to replicate"),
        **(
            {
                "s3_replication_back_role_arn": Output(
                    data.replication_back_role_arn, f"Role that S3 uses to replicate to {first}"
                )
            }
            if data.replication_back_role_arn
            else {}
        ),
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
        f"{side}_health_url": Output(health.health_url, f"{_what_it_is(health)} in {where}"),
    }


def _what_it_is(health: HealthMonitor) -> str:
    return (
        "Address that Route 53 probes" if health.probe_path == HEALTH_PATH else "Public address of the health monitor"
    )


def _role_outputs(
    primary: HealthMonitor, secondary: HealthMonitor, config: ConfigSync, first: str, second: str
) -> Mapping[str, Output]:
    return {
        "lambda_execution_role_arn": Output(primary.role_arn, f"Execution role of the health monitor in {first}"),
        "lambda_execution_role_arns": Output(
            {
                "primary_health_monitor": primary.role_arn,
                "secondary_health_monitor": secondary.role_arn,
                "primary_config_sync": config.primary_role_arn,
                "secondary_config_sync": config.secondary_role_arn,
            },
            "Execution roles of all four functions",
        ),
        "cross_region_role_arn": Output(
            config.primary_to_secondary_role_arn,
            f"Role that config sync of {first} uses to write parameters in {second}",
        ),
        "cross_region_role_arns": Output(
            {
                "primary_to_secondary": config.primary_to_secondary_role_arn,
                "secondary_to_primary": config.secondary_to_primary_role_arn,
            },
            "Roles that config sync uses to write to the other region, by direction",
        ),
    }


def _dns_outputs(dns: DnsFailover, first: str, second: str) -> Mapping[str, Output]:
    return {
        "hosted_zone_id": Output(dns.zone_id, "Hosted zone of the application's domain"),
        "hosted_zone_name": Output(dns.zone_name, "Domain of the hosted zone"),
        "hosted_zone_name_servers": Output(
            dns.name_servers, "Name servers to enter at the registrar, or in the parent zone"
        ),
        "primary_health_check_id": Output(dns.primary_health_check_id, f"Route 53 health check of {first}"),
        "secondary_health_check_id": Output(dns.secondary_health_check_id, f"Route 53 health check of {second}"),
        "application_fqdn": Output(dns.fqdn, "Name that clients use; it fails over"),
    }


def _custom_domain_outputs(dns: DnsFailover, first: str, second: str) -> Mapping[str, Output]:
    if dns.url is None:
        return {}
    return {
        "application_url": Output(dns.url, "Address that clients use, over TLS; it fails over"),
        "primary_target_name": Output(dns.primary_target_name, f"Domain name of API Gateway in {first}"),
        "secondary_target_name": Output(dns.secondary_target_name, f"Domain name of API Gateway in {second}"),
    }


def _switch_outputs(switch: StandbySwitch | None, second: str) -> Mapping[str, Output]:
    if switch is None:
        return {}
    is_private = switch.path != SWITCH_PATH
    return {
        "switch_table_name": Output(switch.table_name, f"Table of the switch that sends clients to {second}"),
        "switch_path": Output(
            switch.path, f"Path at which Route 53 probes the switch, of the API in {second}", sensitive=is_private
        ),
        **(
            {
                "switch_takeover_function_name": Output(
                    switch.takeover_function_name, f"Function in {second} that sets the switch when the primary fails"
                )
            }
            if switch.takeover_function_name
            else {}
        ),
    }


def _service_outputs(service: Service | None, primary: RegionalParts, secondary: RegionalParts) -> Mapping[str, Output]:
    if service is None:
        return {}
    functions = {"primary": primary, "secondary": secondary}
    return {
        "service_routes": Output(list(service.routes), "Routes of the service behind the name"),
        **{
            f"{side}_service_function_name": Output(
                parts.service.function_name, f"Function of the service in {parts.region.name} ({side})"
            )
            for side, parts in functions.items()
            if parts.service
        },
    }


def _endpoint_outputs(endpoints: tuple[Endpoint, Endpoint] | None) -> Mapping[str, Output]:
    outputs = {}
    for side, endpoint in zip(SIDES, endpoints or (), strict=False):
        where = f"{endpoint.region.name} ({side})"
        outputs[f"{side}_endpoint_host"] = Output(endpoint.host, f"Host that the name points to in {where}")
        outputs[f"{side}_probed_host"] = Output(
            endpoint.health_host or endpoint.host, f"Host that Route 53 probes in {where}"
        )
    return outputs


def _alarm_names(
    *parts: GlobalData | HealthMonitor | PythonFunction | DataCanary | StandbySwitch | ConfigSync | DnsFailover | None,
) -> list[str]:
    return [name for part in parts if part for name in part.alarm_names]


def _alerting_outputs(side: Side, where: str, parts: RegionalParts) -> Mapping[str, Output]:
    key = parts.key
    return {
        f"{side}_sns_topic_arn": Output(parts.alerting.topic_arn, f"Topic of the alarms in {where}"),
        f"{side}_kms_key_id": Output(key.key_id, f"Key for alerts and parameters in {where}"),
        f"{side}_kms_key_arn": Output(key.key_arn, f"Key for alerts and parameters in {where}"),
    }


def _config_outputs(config: ConfigSync) -> Mapping[str, Output]:
    return {
        "ssm_parameter_names": Output(
            config.parameter_names, "Parameters that config sync keeps equal; the same names in both regions"
        ),
        "ssm_parameter_values": Output(
            config.parameter_values,
            "First values of the parameters, by name; later values are in Parameter Store only",
            sensitive=True,
        ),
    }
