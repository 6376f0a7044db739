"""Where ministack 1.5.33 answers other than AWS in a way that matters here, one module a gap.

Each module says what AWS does, what ministack does, and why that matters. They replace private functions inside the
emulator's process, so ministack's version is pinned and checked; a test for each module also says when upstream has
closed the gap and the module can go.
"""

from types import ModuleType

from embedded_aws.patches import (
    alarm_actions,
    all_traffic_rules,
    api_host,
    api_tags,
    calculated_health_checks,
    certificate_validation,
    cloudwatch_alarms,
    dashboards,
    default_credentials,
    default_security_group,
    domain_names,
    event_delivery,
    execution_role_trust,
    function_exceptions,
    function_logs,
    function_outage,
    function_time,
    health_check_alarms,
    kms_authorization,
    lambda_actions,
    lambda_errors,
    lambda_permissions,
    leading_keys,
    log_stream_arn,
    name_resolution,
    parameter_authorization,
    parameter_events,
    parameter_history,
    parameter_tiers,
    principal_keys,
    region_outage,
    replica_protection,
    replica_source,
    replication_lag,
    replication_metrics,
    replication_pending,
    replication_role,
    request_signatures,
    rights,
    route53_booleans,
    route53_changes,
    route53_health_checks,
    route53_records,
    route_settings,
    secure_transport,
    vpc_endpoints,
    web_pages,
    whole_responses,
)

# Modules further down wrap what modules further up have put in place: a parameter call is authorized before it is
# recorded, and announced after that; a failed region answers before anything else is asked, but for who is calling and
# for whose host it is.
ORDER: tuple[ModuleType, ...] = (
    rights,
    default_credentials,
    default_security_group,
    principal_keys,
    lambda_actions,
    leading_keys,
    log_stream_arn,
    parameter_tiers,
    parameter_history,
    parameter_events,
    kms_authorization,
    parameter_authorization,
    execution_role_trust,
    function_exceptions,
    function_logs,
    function_time,
    name_resolution,
    replica_source,
    replication_role,
    replication_pending,
    replication_metrics,
    lambda_errors,
    lambda_permissions,
    event_delivery,
    function_outage,
    cloudwatch_alarms,
    alarm_actions,
    dashboards,
    api_tags,
    certificate_validation,
    domain_names,
    calculated_health_checks,
    health_check_alarms,
    route53_booleans,
    route53_changes,
    route53_health_checks,
    route53_records,
    route_settings,
    secure_transport,
    all_traffic_rules,
    vpc_endpoints,
    replica_protection,
    region_outage,
    replication_lag,
    request_signatures,
    web_pages,
    api_host,
    whole_responses,
)


def apply_all() -> None:
    """Apply every patch to the ministack of this process, once and before it serves."""
    for patch in ORDER:
        patch.apply()
