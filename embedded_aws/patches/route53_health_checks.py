"""Route 53 rejects health checks whose settings do not fit their type, and alarms that it cannot follow.

AWS: a check of an endpoint has no alarm (wording: https://github.com/aws/aws-sdk-php/issues/1528), a calculated one has
a health threshold (wording: https://github.com/hashicorp/terraform-provider-aws/issues/44004), and neither that nor one
of an alarm has an address, a port, an interval or a failure threshold
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html,
https://github.com/hashicorp/terraform-provider-aws/issues/20455). An alarm is of the same account, of standard
resolution and of one of five statistics; metric math and "M out of N" are not supported
(https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html, which does not say in
which words these are refused).

ministack 1.5.33: takes all of them.

Why it matters: a health check that works here would fail on AWS, or would never fail a region over.
"""

from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_account_id  # type: ignore[import-untyped]
from ministack.services import cloudwatch, route53  # type: ignore[import-untyped]

_OF_AN_ENDPOINT = {
    "IPAddress": "an IP address",
    "Port": "a port",
    "FullyQualifiedDomainName": "a fully qualified domain name",
    "ResourcePath": "a resource path",
    "RequestInterval": "a request interval",
    "FailureThreshold": "a failure threshold",
}
_KINDS = {"CALCULATED": "Calculated", "CLOUDWATCH_METRIC": "Cloudwatch metric"}
_STATISTICS = ("Average", "Minimum", "Maximum", "Sum", "SampleCount")


def apply() -> None:
    """Check the settings of each health check before it is made or changed."""
    create, update = route53._create_health_check, route53._update_health_check

    def create_what_can_be(body: bytes) -> Any:
        root = route53._parse_body(body)
        element = None if root is None else route53._find(root, "HealthCheckConfig")
        given = {} if element is None else route53._parse_health_check_config(element)
        return _refusal(given) or create(body)

    def update_what_can_be(id_: str, body: bytes) -> Any:
        root, check = route53._parse_body(body), route53._health_checks.get(id_)
        if root is None or not check:
            return update(id_, body)
        return _refusal({**check["config"], **route53._parse_health_check_config(root)}) or update(id_, body)

    route53._create_health_check = create_what_can_be
    route53._update_health_check = update_what_can_be


def alarm_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The alarm of a health check, which can be in another region. None if there is none."""
    named = config.get("AlarmIdentifier", {})
    found: Mapping[str, Any] | None = cloudwatch._alarms.get_scoped(
        get_account_id(), named.get("Region"), named.get("Name")
    )
    return found


def _refusal(config: Mapping[str, Any]) -> Any:
    objection = _misfit(config)
    return objection and route53._error_response("InvalidInput", f"Invalid parameter : {objection}")


def _misfit(config: Mapping[str, Any]) -> str | None:
    type_ = config.get("Type")
    if type_ not in _KINDS:
        return "Basic health checks must not have an metric region specified." if "AlarmIdentifier" in config else None
    kind = f"{_KINDS[type_]} health checks must"
    for field, what in _OF_AN_ENDPOINT.items():
        if field in config:
            return f"{kind} not have {what} specified."
    if type_ == "CALCULATED":
        return None if "HealthThreshold" in config else f"{kind} have a health threshold specified."
    return _unfit_alarm(config) if "AlarmIdentifier" in config else f"{kind} have an alarm specified."


def _unfit_alarm(config: Mapping[str, Any]) -> str | None:
    alarm = alarm_of(config)
    if alarm is None:
        named = config["AlarmIdentifier"]
        return f"The alarm {named['Name']} does not exist in {named['Region']}."
    if alarm.get("Metrics"):
        return "Alarms that use metric math are not supported."
    if alarm.get("Statistic") not in _STATISTICS:
        return "Extended statistics are not supported."
    if alarm["Period"] % 60:
        return "High-resolution metrics are not supported."
    if alarm.get("DatapointsToAlarm") not in (None, alarm["EvaluationPeriods"]):
        return "Alarms of M out of N are not supported."
    return None
