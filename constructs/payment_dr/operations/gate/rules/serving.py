"""Rules for what serves in a region: listeners, stages, instances, tasks, functions."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.plan import Resource
from payment_dr.operations.gate.rules.base import RELIABILITY, Found, Rule, State

# What belongs to what: kind, attribute, and kind of the parent.
_BELONGS: Final = (
    ("aws_lb_listener", "load_balancer_arn", "aws_lb"),
    ("aws_lb_target_group_attachment", "target_group_arn", "aws_lb_target_group"),
    ("aws_autoscaling_attachment", "lb_target_group_arn", "aws_lb_target_group"),
    ("aws_autoscaling_group", "target_group_arns", "aws_lb_target_group"),
    ("aws_apigatewayv2_stage", "api_id", "aws_apigatewayv2_api"),
    ("aws_apigatewayv2_route", "api_id", "aws_apigatewayv2_api"),
    ("aws_apigatewayv2_integration", "api_id", "aws_apigatewayv2_api"),
    ("aws_apigatewayv2_api_mapping", "domain_name", "aws_apigatewayv2_domain_name"),
    ("aws_api_gateway_stage", "rest_api_id", "aws_api_gateway_rest_api"),
    ("aws_api_gateway_integration", "rest_api_id", "aws_api_gateway_rest_api"),
    ("aws_api_gateway_base_path_mapping", "domain_name", "aws_api_gateway_domain_name"),
    ("aws_lambda_permission", "function_name", "aws_lambda_function"),
    ("aws_rds_cluster_instance", "cluster_identifier", "aws_rds_cluster"),
    ("aws_eip_association", "allocation_id", "aws_eip"),
    ("aws_globalaccelerator_endpoint_group", "listener_arn", "aws_globalaccelerator_listener"),
)
# Parents for which one part of whichever kind is enough.
_BY_ANY: Final = ("aws_lb_target_group",)


def _part_lost(after: State, before: State) -> Iterator[Found]:
    copied = {copy.region for copy in before.copies}
    left: dict[str, set[str]] = defaultdict(set)
    for kind, attribute, parent_kind in _BELONGS:
        one_of = parent_kind if parent_kind in _BY_ANY else kind
        left[one_of] |= after.parents(kind, attribute, parent_kind).keys()
    for kind, attribute, parent_kind in _BELONGS:
        is_ = left[parent_kind if parent_kind in _BY_ANY else kind]
        for parent, part in before.parents(kind, attribute, parent_kind).items():
            region = after.region_of(parent)
            if parent in after.view.resources and parent not in is_ and region in after.regions | copied:
                yield Found(part, f"is the last {kind} of {parent}, which serves {region}")


def _empty(state: State) -> Iterator[Found]:
    here = state.regions
    for group in state.view.of_type("aws_autoscaling_group"):
        empty = group.get("max_size") == 0 or (group.get("desired_capacity") == 0 and group.get("min_size") == 0)
        if empty and state.topology.region_of(group) in here and _is_balanced(state, group):
            yield Found(group.address, f"has no instance in {state.topology.region_of(group)}")
    for service in state.view.of_type("aws_ecs_service"):
        empty = service.get("desired_count") == 0 and bool(service.get("load_balancer"))
        if empty and state.topology.region_of(service) in here:
            yield Found(service.address, f"runs no task in {state.topology.region_of(service)}")
    functions = _functions(state)
    for function in functions:
        if function.get("reserved_concurrent_executions") == 0:
            yield Found(function.address, "cannot run: its reserved concurrency is 0")
    for distribution in state.view.of_type("aws_cloudfront_distribution", "aws_globalaccelerator_accelerator"):
        if distribution.get("enabled") is False and distribution.address in state.serving:
            yield Found(distribution.address, "is disabled")
    for target in state.view.of_type("aws_cloudwatch_event_target"):
        started = state.view.behind(target, "arn", types=("aws_lambda_function",)).resources
        for rule in state.view.behind(target, "rule", types=("aws_cloudwatch_event_rule",)).resources:
            disabled = rule.text("state") == "DISABLED" or rule.get("is_enabled") is False
            if disabled and any(each in functions for each in started):
                yield Found(rule.address, "is disabled, so the function that it starts no longer runs")


def _is_balanced(state: State, group: Resource) -> bool:
    """Whether a group of instances is behind a load balancer: other groups may have nothing to do."""
    attached = state.belonging("aws_autoscaling_attachment", "autoscaling_group_name")
    return bool(group.get("target_group_arns") or group.get("load_balancers") or group.address in attached)


def _functions(state: State) -> list[Resource]:
    """The functions that clients call, and those that work for another region of the failover."""
    called = state.parents("aws_lambda_permission", "function_name", "aws_lambda_function")
    found = []
    for function in state.view.of_type("aws_lambda_function"):
        home = state.topology.region_of(function)
        variables = str(function.get("environment", 0, "variables"))
        if home in state.regions and (
            function.address in called or any(region in variables for region in state.regions - {home})
        ):
            found.append(function)
    return found


RULES: Final = (
    Rule(
        "part-lost",
        "A load balancer, API, function or cluster loses its last listener, target, stage, route or instance.",
        "Keep one, or create the new one before you remove the old one.",
        f"{RELIABILITY}rel_planning_for_recovery_config_drift.html",
        change=_part_lost,
    ),
    Rule(
        "serves-nothing",
        "A region serves nothing: it has no instance or task left, or a part is disabled.",
        "Keep at least one instance or task in each region, and enable the part.",
        f"{RELIABILITY}rel_planning_for_recovery_disaster_recovery.html",
        "warning",
        check=_empty,
    ),
)
