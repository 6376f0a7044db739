"""HealthMonitor: function, schedule and public address of a region's verdict on itself."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from payment_dr import (
    App,
    AwsProvider,
    ConfigurationError,
    DisasterRecoveryStack,
    HealthMonitor,
    Region,
    TerraformStack,
)
from payment_dr.bindings import LambdaFunction
from payment_dr.bindings import Testing as CdktfTesting
from tests.constructs.alarms import minutes_until_alarm
from tests.constructs.documents import Json, resource

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
SIDES = ["east", "west"]


@pytest.mark.parametrize("side", SIDES)
def test_the_function_is_as_the_brief_asks(stack_text: str, stack_json: Json, side: str) -> None:
    prefix = f"health_monitor_{side}"
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        LambdaFunction.TF_RESOURCE_TYPE,
        {
            "function_name": f"lambda-health-monitor-{side}-${{var.environment}}",
            "runtime": "python3.11",
            "handler": "lambda_health_monitor.handler",
            "memory_size": 256,
            "timeout": 300,
            "environment": {
                "variables": {
                    "DYNAMODB_TABLE_NAME": "${aws_dynamodb_table.data_table.name}",
                    "SNS_TOPIC_ARN": f"${{aws_sns_topic.alerting_{side}_topic.arn}}",
                }
            },
        },
    )
    function = resource(stack_json, "aws_lambda_function", f"{prefix}_function")
    assert "vpc_config" not in function
    assert set(function["depends_on"]) == {
        f"aws_iam_role.{prefix}_function_role",
        f"aws_iam_policy.{prefix}_function_role_policy",
        f"aws_iam_role_policy_attachment.{prefix}_function_role_attachment",
        f"aws_cloudwatch_log_group.{prefix}_function_log_group",
    }


def test_terraform_leaves_a_fence_alone_and_knows_none_of_other_functions(stack_json: Json) -> None:
    ignored = {
        body["function_name"].split("-${")[0]: body.get("lifecycle", {}).get("ignore_changes")
        for body in stack_json["resource"]["aws_lambda_function"].values()
    }
    assert ignored == {
        **{f"lambda-health-monitor-{side}": ["reserved_concurrent_executions"] for side in SIDES},
        **{f"lambda-config-sync-{side}": None for side in SIDES},
    }


@pytest.mark.parametrize("side", SIDES)
def test_the_package_is_made_by_archive_file_from_the_handler(stack_json: Json, side: str) -> None:
    package = stack_json["data"]["archive_file"][f"health_monitor_{side}_function_package"]
    assert package["type"] == "zip"
    assert Path(package["source_file"]).name == "lambda_health_monitor.py"
    function = resource(stack_json, "aws_lambda_function", f"health_monitor_{side}_function")
    reference = f"data.archive_file.health_monitor_{side}_function_package"
    assert function["filename"] == f"${{{reference}.output_path}}"
    assert function["source_code_hash"] == f"${{{reference}.output_base64sha256}}"


@pytest.mark.parametrize("side", SIDES)
def test_it_runs_every_sixty_seconds_and_a_failed_run_is_not_repeated(stack_json: Json, side: str) -> None:
    prefix = f"health_monitor_{side}"
    assert resource(stack_json, "aws_cloudwatch_event_rule", f"{prefix}_function_schedule_rule")[
        "schedule_expression"
    ] == ("rate(1 minute)")
    target = resource(stack_json, "aws_cloudwatch_event_target", f"{prefix}_function_schedule_target")
    assert target["arn"] == f"${{aws_lambda_function.{prefix}_function.arn}}"
    permission = resource(stack_json, "aws_lambda_permission", f"{prefix}_function_schedule_permission")
    assert (permission["principal"], permission["source_arn"]) == (
        "events.amazonaws.com",
        f"${{aws_cloudwatch_event_rule.{prefix}_function_schedule_rule.arn}}",
    )
    invoke = resource(stack_json, "aws_lambda_function_event_invoke_config", f"{prefix}_function_event_invoke_config")
    assert (invoke["maximum_retry_attempts"], invoke["maximum_event_age_in_seconds"]) == (0, 60)


@pytest.mark.parametrize("side", SIDES)
def test_get_health_reaches_the_function_and_nothing_else_does(stack_json: Json, side: str) -> None:
    prefix = f"health_monitor_{side}"
    api_id = f"${{aws_apigatewayv2_api.{prefix}_api.id}}"
    assert resource(stack_json, "aws_apigatewayv2_api", f"{prefix}_api")["protocol_type"] == "HTTP"
    integration = resource(stack_json, "aws_apigatewayv2_integration", f"{prefix}_integration")
    assert {key: integration[key] for key in integration if key not in {"provider", "integration_method"}} == {
        "api_id": api_id,
        "integration_type": "AWS_PROXY",
        "integration_uri": f"${{aws_lambda_function.{prefix}_function.invoke_arn}}",
        "payload_format_version": "2.0",
    }
    routes = {
        name: body
        for name, body in stack_json["resource"]["aws_apigatewayv2_route"].items()
        if body["api_id"] == api_id
    }
    assert {name: (body["route_key"], body["target"]) for name, body in routes.items()} == {
        f"{prefix}_route": ("GET /health", f"integrations/${{aws_apigatewayv2_integration.{prefix}_integration.id}}")
    }
    permission = resource(stack_json, "aws_lambda_permission", f"{prefix}_api_permission")
    assert (permission["principal"], permission["source_arn"]) == (
        "apigateway.amazonaws.com",
        f"${{aws_apigatewayv2_api.{prefix}_api.execution_arn}}/$default/GET/health",
    )


@pytest.mark.parametrize("side", SIDES)
def test_the_stage_deploys_by_itself_and_is_throttled(stack_json: Json, side: str) -> None:
    stage = resource(stack_json, "aws_apigatewayv2_stage", f"health_monitor_{side}_stage")
    assert (stage["name"], stage["auto_deploy"]) == ("$default", True)
    assert stage["default_route_settings"] == {"throttling_rate_limit": 200, "throttling_burst_limit": 400}
    assert json.loads(stage["access_log_settings"]["format"])["status"] == "$context.status"


def test_there_is_no_private_probe_route_by_default(stack_json: Json) -> None:
    assert [s for s in stack_json["resource"]["aws_apigatewayv2_stage"].values() if "route_settings" in s] == []
    assert {check["resource_path"] for check in stack_json["resource"]["aws_route53_health_check"].values()} == {
        "/health"
    }


@pytest.fixture(scope="module")
def private(new_app: Callable[[], App]) -> Json:
    """The stack with private probe routes."""
    parsed: Json = json.loads(
        CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", private_probe_route=True))
    )
    return parsed


@pytest.mark.parametrize(("side", "role"), [("east", "primary"), ("west", "secondary")])
def test_the_private_route_is_the_probed_one_and_has_a_throttle_and_a_permission_of_its_own(
    private: Json, side: str, role: str
) -> None:
    prefix = f"health_monitor_{side}"
    secret = f"random_password.{prefix}_private_segment.result"
    path = f"/health/${{{secret}}}"
    segment = resource(private, "random_password", f"{prefix}_private_segment")
    assert (segment["length"], segment["special"]) == (32, False)
    route = resource(private, "aws_apigatewayv2_route", f"{prefix}_private_route")
    public = resource(private, "aws_apigatewayv2_route", f"{prefix}_route")
    assert (route["route_key"], public["route_key"]) == (f"GET {path}", "GET /health")
    assert route["target"] == public["target"]
    stage = resource(private, "aws_apigatewayv2_stage", f"{prefix}_stage")
    throttle = {"throttling_rate_limit": 200, "throttling_burst_limit": 400}
    assert stage["route_settings"] == [
        {"route_key": "GET /health", **throttle},
        {"route_key": f"GET {path}", **throttle},
    ]
    # API Gateway refuses settings of a route that does not exist
    assert stage["depends_on"] == [
        f"aws_apigatewayv2_route.{prefix}_route",
        f"aws_apigatewayv2_route.{prefix}_private_route",
    ]
    permission = resource(private, "aws_lambda_permission", f"{prefix}_private_api_permission")
    assert permission["source_arn"] == (f"${{aws_apigatewayv2_api.{prefix}_api.execution_arn}}/$default/GET{path}")
    check = resource(private, "aws_route53_health_check", f"dns_{role}_health_check")
    assert check["resource_path"] == path


def test_nothing_that_is_shown_or_logged_holds_the_private_path(private: Json) -> None:
    """Terraform refuses an output of it that is not sensitive; a route key in the access log would hold it too."""
    secrets = [f"random_password.health_monitor_{side}_private_segment" for side in SIDES]
    assert [name for name, each in private["output"].items() if any(s in json.dumps(each) for s in secrets)] == []
    assert private["output"]["primary_health_url"]["value"].endswith(".amazonaws.com/health")
    for stage in private["resource"]["aws_apigatewayv2_stage"].values():
        logged = json.loads(stage["access_log_settings"]["format"])
        assert set(logged.values()) == {
            "$context.requestTime",
            "$context.identity.sourceIp",
            "$context.status",
            "$context.responseLatency",
        }
    holders = {
        kind
        for kind, bodies in private["resource"].items()
        if kind != "random_password" and any(s in json.dumps(bodies) for s in secrets)
    }
    assert holders == {
        "aws_apigatewayv2_route",
        "aws_apigatewayv2_stage",
        "aws_lambda_function",  # of the other region, which asks for it
        "aws_lambda_permission",
        "aws_route53_health_check",
    }


@pytest.mark.parametrize("side", SIDES)
def test_the_alarm_fires_for_a_flood_and_not_for_a_scanner(stack_json: Json, side: str) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"health_monitor_{side}_client_errors_alarm")
    assert alarm["alarm_name"] == f"alarm-health-monitor-4xx-{side}-${{var.environment}}"
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    assert (alarm["namespace"], alarm["metric_name"], alarm["dimensions"]) == (
        "AWS/ApiGateway",
        "4xx",
        {"ApiId": f"${{aws_apigatewayv2_api.health_monitor_{side}_api.id}}"},
    )

    def minutes(refused_a_minute: Iterable[float]) -> int | None:
        return minutes_until_alarm(alarm, dict(enumerate(refused_a_minute)), phase=0)

    assert minutes([100.0] * 60) is None  # whoever asks for a wrong path all the time
    assert minutes([9_000.0]) is None  # a scanner of 150 paths a second, which is done within a minute
    flood, throttle = 500, 200  # with which Route 53 begins to fail over within minutes, see docs/security.md
    assert minutes([(flood - throttle) * 60.0] * 10) == 2


OTHERS = [("east", "west", "current_secondary"), ("west", "east", "current")]


@pytest.mark.parametrize(("side", "other", "region"), OTHERS)
def test_each_region_probes_the_other_one_where_route_53_does(
    stack_json: Json, private: Json, side: str, other: str, region: str
) -> None:
    host = f"https://${{aws_apigatewayv2_api.health_monitor_{other}_api.id}}.execute-api.${{data.aws_region.{region}.name}}"
    secret = f"${{random_password.health_monitor_{other}_private_segment.result}}"
    for stack, path in ((stack_json, "/health"), (private, f"/health/{secret}")):
        function = resource(stack, "aws_lambda_function", f"health_monitor_{side}_function")
        assert function["environment"]["variables"]["PEER_HEALTH_URL"] == f"{host}.amazonaws.com{path}"


@pytest.mark.parametrize(("side", "other", "region"), OTHERS)
def test_each_run_probes_only_while_the_other_region_can_answer(
    private: Json, side: str, other: str, region: str
) -> None:
    rule = resource(private, "aws_cloudwatch_event_rule", f"health_monitor_{side}_function_schedule_rule")
    assert rule["depends_on"] == [
        f"aws_apigatewayv2_stage.health_monitor_{other}_stage",
        f"aws_lambda_permission.health_monitor_{other}_api_permission",
        f"aws_lambda_permission.health_monitor_{other}_private_api_permission",
    ]
    alarm = resource(private, "aws_cloudwatch_metric_alarm", f"health_monitor_{side}_peer_alarm")
    assert alarm["depends_on"] == [f"aws_cloudwatch_event_rule.health_monitor_{side}_function_schedule_rule"]


@pytest.mark.parametrize("side", SIDES)
def test_an_alarm_fires_within_three_minutes_when_the_other_region_is_gone(stack_json: Json, side: str) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"health_monitor_{side}_peer_alarm")
    function = resource(stack_json, "aws_lambda_function", f"health_monitor_{side}_function")
    assert (alarm["namespace"], alarm["metric_name"], alarm["dimensions"]) == (
        function["environment"]["variables"]["METRIC_NAMESPACE"],
        "PeerUnhealthy",
        {"FunctionName": f"lambda-health-monitor-{side}-${{var.environment}}"},
    )
    # The last run that finds it healthy is of minute 0. Whatever the phase of the period, a minute is left.
    gone = {minute: float(minute > 0) for minute in range(-10, 60)}
    assert {minutes_until_alarm(alarm, gone, phase) for phase in range(alarm["period"] // 60)} <= {1, 2}
    assert minutes_until_alarm(alarm, dict.fromkeys(range(60), 0.0), phase=0) is None
    # Before the first run of a new deployment there are no data, and no mail says that the other region is gone.
    assert minutes_until_alarm(alarm, {}, phase=0) is None


def test_a_monitor_cannot_watch_its_own_region(their_stack: TerraformStack) -> None:
    given: dict[str, Any] = {
        "environment": "dev",
        "region": Region(name="us-east-1"),
        "table_name": "orders",
        "table_arn": "arn:aws:dynamodb:us-east-1:123456789012:table/orders",
        "topic_arn": "arn:aws:sns:us-east-1:123456789012:t",
        "topic_key_arn": "arn:aws:kms:us-east-1:123456789012:key/k",
    }
    one, other = (HealthMonitor(their_stack, each, purpose=each, **given) for each in ("one", "other"))
    with pytest.raises(ConfigurationError, match="peer is in 'us-east-1' too, and would be down with it"):
        one.watch(other)


def test_without_alarms_it_still_probes_the_other_region(synthesize: Synthesize) -> None:
    def two(scope: TerraformStack) -> None:
        provider = AwsProvider(scope, "aws_west", alias="west", region="us-west-2")
        east, west = (
            HealthMonitor(
                scope,
                region.label,
                region=region,
                environment="dev",
                table_name="orders",
                table_arn=f"arn:aws:dynamodb:{region.name}:123456789012:table/orders",
                topic_arn=f"arn:aws:sns:{region.name}:123456789012:t",
                topic_key_arn=f"arn:aws:kms:{region.name}:123456789012:key/k",
            )
            for region in (Region(name="us-east-1"), Region(name="us-west-2", provider=provider))
        )
        east.watch(west)

    stack = synthesize(two)
    asked = {
        name: "PEER_HEALTH_URL" in body["environment"]["variables"]
        for name, body in stack["resource"]["aws_lambda_function"].items()
    }
    assert sorted(asked.values()) == [False, True]
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]


def test_every_log_group_keeps_one_day_and_belongs_to_its_function(stack_json: Json) -> None:
    groups = stack_json["resource"]["aws_cloudwatch_log_group"].values()
    assert {group["retention_in_days"] for group in groups} == {1}
    functions = stack_json["resource"]["aws_lambda_function"].values()
    assert {f"/aws/lambda/{function['function_name']}" for function in functions} <= {g["name"] for g in groups}


def test_it_works_alone_around_somebody_elses_table(synthesize: Synthesize) -> None:
    stack = synthesize(
        lambda scope: HealthMonitor(
            scope,
            "health",
            region=Region(name="ap-southeast-2"),
            environment="prod",
            table_name="orders",
            table_arn="arn:aws:dynamodb:ap-southeast-2:123456789012:table/orders",
            topic_arn="arn:aws:sns:ap-southeast-2:123456789012:alerts",
            topic_key_arn="arn:aws:kms:ap-southeast-2:123456789012:key/k",
        )
    )
    (function,) = stack["resource"]["aws_lambda_function"].values()
    assert function["function_name"] == "lambda-health-monitor-southeast-prod"
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]


def test_the_host_is_built_from_id_and_region(their_stack: TerraformStack) -> None:
    monitor = HealthMonitor(
        their_stack,
        "health",
        region=Region(name="us-east-1"),
        environment="dev",
        table_name="orders",
        table_arn="arn:aws:dynamodb:us-east-1:123456789012:table/orders",
        topic_arn="arn:aws:sns:us-east-1:123456789012:t",
        topic_key_arn="arn:aws:kms:us-east-1:123456789012:key/k",
    )
    assert (monitor.health_url, monitor.probe_path) == (f"https://{monitor.host}/health", "/health")
    assert monitor.host.endswith(".amazonaws.com")
    assert ".execute-api." in monitor.host
