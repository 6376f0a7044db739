"""A team's own service behind the name: what the stack deploys for it, and which mistakes it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_dr import (
    App,
    ConfigurationError,
    DisasterRecoveryStack,
    Endpoint,
    FunctionRoutes,
    Region,
    Service,
    TerraformStack,
)
from tests.constructs.documents import Json, allow, resource, statements
from tests.constructs.test_stack import synthesized

NewApp = Callable[[], App]
Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
PROJECT = Path(__file__).resolve().parents[2]
HANDLER = PROJECT / "handlers" / "lambda_health_monitor.py"  # any file that has a handler
ROUTES = ("POST /payments", "GET /payments/{id}")
ACTIONS = ("dynamodb:PutItem", "dynamodb:GetItem")
ACCOUNT = "${data.aws_caller_identity.current.account_id}"
FUNCTIONS: dict[str, Any] = {
    "primary_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:pay",
    "secondary_function_arn": "arn:aws:lambda:us-west-2:123456789012:function:pay:live",
}
ENDPOINTS = {
    "primary_endpoint": Endpoint(region=Region(name="us-east-1"), host="east.pay.acme.io"),
    "secondary_endpoint": Endpoint(region=Region(name="us-west-2"), host="west.pay.acme.io"),
}


@pytest.fixture(scope="module")
def with_service(new_app: NewApp) -> Json:
    return synthesized(new_app, service=Service(source=HANDLER, routes=ROUTES, actions=ACTIONS))


@pytest.fixture(scope="module")
def with_functions(new_app: NewApp) -> Json:
    return synthesized(new_app, service=Service(routes=["ANY /{proxy+}"], **FUNCTIONS))


def added(stack: Json, to: Json) -> set[str]:
    """Addresses of the resources that one stack has beyond another."""
    return {
        f"{kind}.{name}"
        for kind, named in stack["resource"].items()
        for name in named.keys() - to["resource"].get(kind, {}).keys()
    }


def test_a_service_adds_a_function_and_its_routes_in_each_region_and_changes_nothing(
    with_service: Json, stack_json: Json
) -> None:
    assert added(with_service, stack_json) == {
        f"{kind}.{name.format(label)}"
        for label in ("east", "west")
        for kind, name in (
            ("aws_cloudwatch_log_group", "service_{}_log_group"),
            ("aws_cloudwatch_metric_alarm", "service_{}_errors_alarm"),
            ("aws_cloudwatch_metric_alarm", "service_{}_throttles_alarm"),
            ("aws_iam_policy", "service_{}_role_policy"),
            ("aws_iam_role", "service_{}_role"),
            ("aws_iam_role_policy_attachment", "service_{}_role_attachment"),
            ("aws_lambda_function", "service_{}_function"),
            ("aws_lambda_function_event_invoke_config", "service_{}_event_invoke_config"),
            ("aws_apigatewayv2_integration", "service_routes_{}_integration"),
            ("aws_apigatewayv2_route", "service_routes_{}_route_post_payments"),
            ("aws_apigatewayv2_route", "service_routes_{}_route_get_payments_id"),
            ("aws_lambda_permission", "service_routes_{}_permission_post_payments"),
            ("aws_lambda_permission", "service_routes_{}_permission_get_payments_id"),
        )
    }
    for kind, named in stack_json["resource"].items():
        for name, body in named.items():
            assert with_service["resource"][kind][name] == body


@pytest.mark.parametrize(
    ("label", "region", "table"), [("east", "current", "data_table.arn"), ("west", "current_secondary", None)]
)
def test_its_role_may_do_what_was_named_with_the_items_of_its_table_and_no_more(
    with_service: Json, label: str, region: str, table: str | None
) -> None:
    log, use = statements(with_service, f"service_{label}_role_permissions")
    assert log == allow(
        "WriteOwnLog",
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        [
            f"arn:aws:logs:${{data.aws_region.{region}.name}}:{ACCOUNT}:log-group:"
            f"/aws/lambda/lambda-payments-{label}-${{var.environment}}:*"
        ],
    )
    health = statements(with_service, f"health_monitor_{label}_function_role_permissions")
    (of_the_region,) = [each["resources"] for each in health if each["sid"] == "DescribeTable"]
    assert use == allow("UseTable", list(ACTIONS), of_the_region)
    assert table is None or use["resources"] == [f"${{aws_dynamodb_table.{table}}}"]


def test_its_function_knows_its_table_and_has_alarms_that_lead_to_the_runbook(with_service: Json) -> None:
    runbook = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for label in ("east", "west"):
        function = resource(with_service, "aws_lambda_function", f"service_{label}_function")
        assert function["environment"]["variables"] == {"DYNAMODB_TABLE_NAME": "${aws_dynamodb_table.data_table.name}"}
        assert (function["memory_size"], function["timeout"], function["runtime"]) == (256, 10, "python3.11")
        assert function.get("provider") == ("aws.secondary" if label == "west" else None)
        for metric in ("errors", "throttles"):
            alarm = resource(with_service, "aws_cloudwatch_metric_alarm", f"service_{label}_{metric}_alarm")
            assert alarm["alarm_actions"] == [f"${{aws_sns_topic.alerting_{label}_topic.arn}}"]
            assert alarm["alarm_description"].endswith(f"#service-{metric}")
            assert f"## service-{metric}\n" in runbook


@pytest.mark.parametrize(("label", "region"), [("east", "current"), ("west", "current_secondary")])
def test_each_route_is_of_the_api_that_serves_health_and_may_invoke_the_function(
    with_service: Json, label: str, region: str
) -> None:
    api = f"${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}"
    integration = resource(with_service, "aws_apigatewayv2_integration", f"service_routes_{label}_integration")
    assert integration["api_id"] == api
    assert integration["integration_uri"] == (
        f"arn:aws:apigateway:${{data.aws_region.{region}.name}}:lambda:path/2015-03-31/functions/"
        f"${{aws_lambda_function.service_{label}_function.arn}}/invocations"
    )
    for address, method, path in (
        ("post_payments", "POST", "/payments"),
        ("get_payments_id", "GET", "/payments/{id}"),
    ):
        route = resource(with_service, "aws_apigatewayv2_route", f"service_routes_{label}_route_{address}")
        assert (route["api_id"], route["route_key"]) == (api, f"{method} {path}")
        assert (
            route["target"] == f"integrations/${{aws_apigatewayv2_integration.service_routes_{label}_integration.id}}"
        )
        permission = resource(with_service, "aws_lambda_permission", f"service_routes_{label}_permission_{address}")
        assert permission["principal"] == "apigateway.amazonaws.com"
        assert permission["source_arn"] == (
            f"arn:aws:execute-api:${{data.aws_region.{region}.name}}:{ACCOUNT}:{api}/"
            f"${{aws_apigatewayv2_stage.health_monitor_{label}_stage.name}}/{method}{path}"
        )


def test_a_function_that_exists_is_named_with_its_alias_in_the_permission(
    with_functions: Json, stack_json: Json
) -> None:
    assert {address.partition(".")[0] for address in added(with_functions, stack_json)} == {
        "aws_apigatewayv2_integration",
        "aws_apigatewayv2_route",
        "aws_lambda_permission",
    }
    named = {
        label: resource(with_functions, "aws_lambda_permission", f"service_routes_{label}_permission_any_proxy")
        for label in ("east", "west")
    }
    assert (named["east"]["function_name"], named["east"].get("qualifier")) == (FUNCTIONS["primary_function_arn"], None)
    assert (named["west"]["function_name"], named["west"]["qualifier"]) == (
        FUNCTIONS["secondary_function_arn"].removesuffix(":live"),
        "live",
    )
    assert named["east"]["source_arn"].endswith("/*/{proxy+}")
    integration = resource(with_functions, "aws_apigatewayv2_integration", "service_routes_west_integration")
    assert f"/functions/{FUNCTIONS['secondary_function_arn']}/invocations" in integration["integration_uri"]


def test_the_outputs_and_attributes_say_that_there_is_a_service(
    with_service: Json, with_functions: Json, stack_json: Json, new_app: NewApp
) -> None:
    of_service = with_service["output"].keys() - stack_json["output"].keys()
    assert of_service == {"service_routes", "primary_service_function_name", "secondary_service_function_name"}
    assert with_service["output"]["service_routes"]["value"] == list(ROUTES)
    assert with_functions["output"].keys() - stack_json["output"].keys() == {"service_routes"}
    for label in ("east", "west"):
        for metric in ("errors", "throttles"):
            alarm = f"${{aws_cloudwatch_metric_alarm.service_{label}_{metric}_alarm.alarm_name}}"
            assert alarm in with_service["output"]["alarm_names"]["value"]
    stack = DisasterRecoveryStack(
        new_app(), "payment-dr", service=Service(source=HANDLER, routes=ROUTES, actions=ACTIONS)
    )
    assert stack.primary.service
    assert stack.secondary.service
    assert DisasterRecoveryStack(new_app(), "payment-dr").primary.service is None


@pytest.mark.parametrize(
    ("props", "sentences"),
    [
        ({"routes": ["post /payments"]}, [r"routes=\['post /payments'\] is not .*a method or ANY"]),
        ({"routes": ["POST payments"]}, ["a path without spaces"]),
        ({"routes": ["POST /payments/"]}, ["a path without spaces"]),
        ({"routes": ["GET /a/{b+}/c"]}, ["a path without spaces"]),
        ({"routes": ["$default"]}, ["a path without spaces"]),
        ({"routes": []}, ["1 or more entries"]),
        (
            {"routes": ["GET /health"]},
            [r"routes has 'GET /health', a path that Route 53 probes or a path below it; use another path"],
        ),
        ({"routes": ["ANY /health/x"]}, ["routes has 'ANY /health/x'"]),
        ({"routes": ["GET /a/{x}", "GET /a/{y}"]}, [r"routes has 'GET /a/\{x\}' and 'GET /a/\{y\}'"]),
        (
            {"routes": ["GET /a-b", "GET /a_b"]},
            ["routes has 'GET /a-b' and 'GET /a_b', which API Gateway cannot distinguish"],
        ),
        ({"actions": []}, ["actions is empty"]),
        ({"actions": ["dynamodb:*"]}, [r"actions=\['dynamodb:\*'\] is not .*'dynamodb:GetItem'"]),
        ({"actions": ["dynamodb:DeleteTable"]}, ["actions="]),
        ({"actions": ["s3:GetObject"]}, ["actions="]),
        ({"variables": {"DYNAMODB_TABLE_NAME": "t"}}, ["variables has DYNAMODB_TABLE_NAME, which the stack sets"]),
        ({"timeout_seconds": 31}, ["timeout_seconds=31 is not a whole number from 1 to 30"]),
        ({"purpose": "config-sync"}, ["purpose='config-sync' names functions of the stack itself"]),
        ({**FUNCTIONS}, ["source and function ARNs are both given"]),
        ({"source": None}, ["needs a function in each region", "actions is for a function that the stack deploys"]),
        (
            {"source": None, "actions": [], "primary_function_arn": FUNCTIONS["primary_function_arn"]},
            ["needs a function in each region"],
        ),
        (
            {"routes": ["GET /health", "get /x"], "actions": ["dynamodb:*"], **FUNCTIONS},
            ["routes=", "actions=", "routes has 'GET /health'", "source and function ARNs are both given"],
        ),
    ],
)
def test_mistakes_of_a_service_fail_in_one_error(props: dict[str, Any], sentences: list[str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Service(**{"source": HANDLER, "routes": ROUTES, "actions": ACTIONS, **props})
    assert len(raised.value.mistakes) == len(sentences), raised.value
    for mistake, sentence in zip(raised.value.mistakes, sentences, strict=True):
        assert re.search(sentence, mistake), mistake
        assert ";" in mistake  # what to change


@pytest.mark.parametrize(
    "route", ["ANY /", "GET /{proxy+}", "POST /v1/payments/{id}/refund", "DELETE /a/{b}/{c+}", "PUT /a.b/c~d"]
)
def test_a_route_may_be_any_that_api_gateway_accepts(route: str) -> None:
    Service(source=HANDLER, routes=[route], actions=ACTIONS)


def test_mistakes_of_a_service_and_of_endpoints_come_with_those_of_the_stack(new_app: NewApp) -> None:
    swapped = dict(zip(FUNCTIONS, reversed(FUNCTIONS.values()), strict=True))
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(
            new_app(),
            "payment-dr",
            ttl_seconds=300,
            service=Service(routes=ROUTES, **swapped),
            primary_endpoint=ENDPOINTS["secondary_endpoint"],
            secondary_endpoint=ENDPOINTS["secondary_endpoint"],
        )
    subjects = [re.split(r"[=:] ?| (?=is|are|names)", mistake)[0] for mistake in raised.value.mistakes]
    assert subjects == [
        "request_interval_seconds",
        "service.primary_function_arn",
        "service.secondary_function_arn",
        "primary_endpoint",
        "service and endpoints",
    ]


class TestEndpoints:
    def test_the_name_points_to_them_and_the_stacks_monitor_is_probed(self, new_app: NewApp) -> None:
        stack = synthesized(new_app, **ENDPOINTS)
        for side, label, region in (("primary", "east", "current"), ("secondary", "west", "current_secondary")):
            assert resource(stack, "aws_route53_record", f"dns_{side}_record")["records"] == [f"{label}.pay.acme.io"]
            check = resource(stack, "aws_route53_health_check", f"dns_{side}_health_check")
            monitor = (
                f"${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}.execute-api."
                f"${{data.aws_region.{region}.name}}.amazonaws.com"
            )
            assert (check["fqdn"], check["resource_path"]) == (monitor, "/health")
            assert stack["output"][f"{side}_endpoint_host"]["value"] == f"{label}.pay.acme.io"
            assert stack["output"][f"{side}_probed_host"]["value"] == monitor

    def test_health_is_where_they_want_it(self, new_app: NewApp) -> None:
        own = Endpoint(region=Region(name="us-east-1"), host="east.pay.acme.io", health_path="/ready")
        stack = synthesized(new_app, **{**ENDPOINTS, "primary_endpoint": own})
        check = resource(stack, "aws_route53_health_check", "dns_primary_health_check")
        assert (check["fqdn"], check["resource_path"]) == ("east.pay.acme.io", "/ready")
        assert stack["output"]["primary_probed_host"]["value"] == "east.pay.acme.io"

    def test_an_own_api_is_behind_the_custom_domain(self, new_app: NewApp) -> None:
        own = {
            name: Endpoint(region=each.region, host=each.host, api_id=f"api{each.region.name[3:7]}", stage="live")
            for name, each in ENDPOINTS.items()
        }
        stack = synthesized(new_app, custom_domain=True, **own)
        mapping = resource(stack, "aws_apigatewayv2_api_mapping", "dns_secondary_domain_api_mapping")
        assert (mapping["api_id"], mapping["stage"], mapping["provider"]) == ("apiwest", "live", "aws.secondary")

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"secondary_endpoint": None}, "secondary_endpoint is missing, and the other one is"),
            ({"custom_domain": True}, "custom_domain: primary has no api_id and no stage"),
            ({"primary_region": "eu-west-1"}, "primary_endpoint is in us-east-1, and the primary region is eu-west-1"),
        ],
    )
    def test_settings_that_cannot_work_fail_at_synth(
        self, new_app: NewApp, given: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=sentence):
            DisasterRecoveryStack(new_app(), "payment-dr", **{**ENDPOINTS, **given})


def test_routes_work_alone_around_somebody_elses_api(synthesize: Synthesize, pair: tuple[Region, Region]) -> None:
    found = synthesize(
        lambda stack: FunctionRoutes(
            stack,
            "refunds",
            region=pair[1],
            api_id="a1b2c3d4e5",
            stage="live",
            routes=["POST /refunds"],
            function_arn="arn:aws:lambda:eu-central-1:123456789012:function:refunds",
        )
    )
    assert {body["provider"] for named in found["resource"].values() for body in named.values()} == {"aws.second"}
    (permission,) = found["resource"]["aws_lambda_permission"].values()
    assert permission["source_arn"].endswith(":a1b2c3d4e5/live/POST/refunds")
    assert json.dumps(found).count("aws_iam_role") == 0
