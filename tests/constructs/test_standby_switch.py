"""StandbySwitch, and the name that follows it: what is deployed with the option, and that nothing is without it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers import lambda_standby_takeover, lambda_switch
from payment_dr import (
    App,
    ConfigurationError,
    DisasterRecoveryStack,
    DnsFailover,
    Endpoint,
    RandomProvider,
    Region,
    Service,
    StandbySwitch,
    Takeover,
    TerraformStack,
)
from payment_dr.bindings import AwsProvider
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.standby_switch import SWITCH_PATH
from tests.constructs.documents import Json, allow, resource, statements

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
WEST = Region(name="us-west-2")
ALONE: Json = {
    "region": WEST,
    "primary_region": "us-east-1",
    "environment": "prod",
    "api_id": "a1b2c3",
    "stage": "$default",
}
TAKEOVER = Takeover(primary_url="https://east.acme.io/health", own_url="https://west.acme.io/health")


@pytest.fixture(scope="module")
def with_switch(new_app: Callable[[], App]) -> Json:
    found: Json = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", switch=True)))
    return found


@pytest.fixture(scope="module")
def operator_failback(new_app: Callable[[], App]) -> Json:
    stack = DisasterRecoveryStack(
        new_app(), "payment-dr", switch=True, failback="operator", private_probe_route=True, log_retention_days=30
    )
    found: Json = json.loads(CdktfTesting.synth(stack))
    return found


@pytest.fixture(scope="module")
def private(new_app: Callable[[], App]) -> Json:
    stack = DisasterRecoveryStack(new_app(), "payment-dr", switch=True, private_probe_route=True)
    found: Json = json.loads(CdktfTesting.synth(stack))
    return found


def test_without_the_option_there_is_none(stack_json: Json) -> None:
    assert "switch" not in json.dumps([stack_json["resource"], stack_json["output"]])


def test_everything_of_the_switch_is_in_the_secondary_region(with_switch: Json, stack_json: Json) -> None:
    added = {
        (kind, name): each
        for kind, resources in with_switch["resource"].items()
        for name, each in resources.items()
        if name not in stack_json["resource"].get(kind, {})
    }
    of_the_switch = {address for address in added if address[1].startswith("switch_")}
    assert {kind for kind, _ in added.keys() - of_the_switch} == {"aws_route53_health_check"}
    regional = {address for address in of_the_switch if not address[0].startswith("aws_iam")}
    assert {added[address].get("provider") for address in regional} == {"aws.secondary"}


def test_its_table_is_of_its_own_and_one_region_alone(with_switch: Json) -> None:
    table = resource(with_switch, "aws_dynamodb_table", "switch_table")
    assert (table["name"], table["hash_key"], table["range_key"]) == (
        "table-switch-west-${var.environment}",
        "region",
        "version",
    )
    assert table["billing_mode"] == "PAY_PER_REQUEST"
    assert table["point_in_time_recovery"] == {"enabled": True}
    assert not {"replica", "stream_enabled"} & table.keys()
    assert table["deletion_protection_enabled"] is False


def test_its_function_may_read_its_table_and_nothing_else(with_switch: Json) -> None:
    function = resource(with_switch, "aws_lambda_function", "switch_function")
    assert (function["function_name"], function["handler"]) == (
        "lambda-switch-west-${var.environment}",
        "lambda_switch.handler",
    )
    assert function["environment"]["variables"] == {
        "SWITCH_TABLE_NAME": "${aws_dynamodb_table.switch_table.name}",
        "PRIMARY_REGION": "us-east-1",
    }
    package = with_switch["data"]["archive_file"]["switch_function_package"]
    assert Path(package["source_file"]).name == Path(lambda_switch.__file__).name
    _, read = statements(with_switch, "switch_function_role_permissions")
    assert read == allow("ReadSwitch", ["dynamodb:Query"], ["${aws_dynamodb_table.switch_table.arn}"])


def test_the_route_of_the_secondary_api_reaches_it_with_a_throttle_of_its_own(with_switch: Json) -> None:
    route = resource(with_switch, "aws_apigatewayv2_route", "switch_route")
    api = "${aws_apigatewayv2_api.health_monitor_west_api.id}"
    assert (route["api_id"], route["route_key"]) == (api, f"GET {SWITCH_PATH}")
    permission = resource(with_switch, "aws_lambda_permission", "switch_permission")
    assert permission["source_arn"].endswith(f":{api}/$default/GET{SWITCH_PATH}")
    stage = resource(with_switch, "aws_apigatewayv2_stage", "health_monitor_west_stage")
    limits = {"throttling_rate_limit": 200, "throttling_burst_limit": 400}
    assert stage["route_settings"] == [
        {"route_key": "GET /health", **limits},
        {"route_key": f"GET {SWITCH_PATH}", **limits},
    ]
    assert "aws_apigatewayv2_route.switch_route" in stage["depends_on"]  # a stage cannot name a route that is not there
    assert "route_settings" not in resource(with_switch, "aws_apigatewayv2_stage", "health_monitor_east_stage")


def test_the_primary_follows_its_own_check_and_the_inverted_one_of_the_switch(with_switch: Json) -> None:
    checks = with_switch["resource"]["aws_route53_health_check"]
    own, switch, both = (checks[f"dns_{name}_health_check"] for name in ("primary", "switch", "primary_calculated"))
    assert switch["invert_healthcheck"] is True
    assert "invert_healthcheck" not in own
    assert switch["fqdn"].startswith("${aws_apigatewayv2_api.health_monitor_west_api.id}.execute-api.")
    assert switch["resource_path"] == SWITCH_PATH
    pace = ("type", "port", "request_interval", "failure_threshold", "enable_sni")
    assert {key: switch[key] for key in pace} == {key: own[key] for key in pace}
    assert (both["type"], both["child_health_threshold"]) == ("CALCULATED", 2)
    assert both["child_healthchecks"] == [
        f"${{aws_route53_health_check.dns_{name}_health_check.id}}" for name in ("primary", "switch")
    ]
    assert {each["lifecycle"]["create_before_destroy"] for each in (switch, both)} == {True}
    records = with_switch["resource"]["aws_route53_record"]
    assert [records[f"dns_{side}_record"]["health_check_id"] for side in ("primary", "secondary")] == [
        "${aws_route53_health_check.dns_primary_calculated_health_check.id}",
        "${aws_route53_health_check.dns_secondary_health_check.id}",
    ]


def test_with_the_data_canary_all_three_must_be_healthy(new_app: Callable[[], App]) -> None:
    stack = json.loads(
        CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", switch=True, data_canary=True))
    )
    checks = stack["resource"]["aws_route53_health_check"]
    primary, secondary = (checks[f"dns_{side}_calculated_health_check"] for side in ("primary", "secondary"))
    names = ("primary", "primary_alarm", "switch")
    children = [f"${{aws_route53_health_check.dns_{name}_health_check.id}}" for name in names]
    assert (primary["child_healthchecks"], primary["child_health_threshold"]) == (children, 3)
    assert secondary["child_health_threshold"] == 2


def test_a_private_route_is_shown_nowhere(private: Json) -> None:
    path = "/switch/${random_password.switch_private_segment.result}"
    assert resource(private, "aws_apigatewayv2_route", "switch_route")["route_key"] == f"GET {path}"
    assert private["resource"]["aws_route53_health_check"]["dns_switch_health_check"]["resource_path"] == path
    assert private["output"]["switch_path"]["sensitive"] is True
    showing = {name for name, each in private["output"].items() if "private_segment" in json.dumps(each)}
    assert showing == {"switch_path"}
    stage = resource(private, "aws_apigatewayv2_stage", "health_monitor_west_stage")
    assert [each["route_key"] for each in stage["route_settings"]][2] == f"GET {path}"


def test_the_outputs_are_there_with_it_alone(with_switch: Json, stack_json: Json) -> None:
    added = with_switch["output"].keys() - stack_json["output"].keys()
    assert added == {"switch_table_name", "switch_path"}
    assert with_switch["output"]["switch_path"]["value"] == SWITCH_PATH
    assert "sensitive" not in with_switch["output"]["switch_path"]
    alarms = set(with_switch["output"]["alarm_names"]["value"]) - set(stack_json["output"]["alarm_names"]["value"])
    assert alarms == {
        f"${{aws_cloudwatch_metric_alarm.switch_function_{what}_alarm.alarm_name}}" for what in ("errors", "throttles")
    }


@pytest.mark.parametrize("route", ["GET /switch", "POST /switch", "GET /switch/{id}"])
def test_a_service_with_the_route_of_the_switch_fails_at_synth(new_app: Callable[[], App], route: str) -> None:
    service = Service(
        routes=[route, "GET /switches"],
        primary_function_arn="arn:aws:lambda:us-east-1:123456789012:function:pay",
        secondary_function_arn="arn:aws:lambda:us-west-2:123456789012:function:pay",
    )
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(new_app(), "payment-dr", switch=True, service=service)
    assert raised.value.mistakes == (
        f"service.routes has {route!r}, the route of the switch; use another path, or leave switch out",
    )
    DisasterRecoveryStack(new_app(), "payment-dr", service=service)


def test_with_an_operators_failback_a_second_function_sets_the_switch(operator_failback: Json, private: Json) -> None:
    added = {
        (kind, name)
        for kind, resources in operator_failback["resource"].items()
        for name in resources
        if name not in private["resource"].get(kind, {})
    }
    assert {name.startswith("switch_takeover") for _, name in added} == {True}
    regional = [operator_failback["resource"][kind][name] for kind, name in added if not kind.startswith("aws_iam")]
    assert {each.get("provider") for each in regional} == {"aws.secondary"}
    function = resource(operator_failback, "aws_lambda_function", "switch_takeover_function")
    assert (function["function_name"], function["handler"], function["timeout"]) == (
        "lambda-switch-takeover-west-${var.environment}",
        "lambda_standby_takeover.handler",
        60,
    )
    east, west = (
        f"https://${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}.execute-api.${{data.aws_region.{data}.name}}"
        f".amazonaws.com/health/${{random_password.health_monitor_{label}_private_segment.result}}"
        for label, data in (("east", "current"), ("west", "current_secondary"))
    )
    assert function["environment"]["variables"] == {
        "SWITCH_TABLE_NAME": "${aws_dynamodb_table.switch_table.name}",
        "PRIMARY_REGION": "us-east-1",
        "PRIMARY_HEALTH_URL": east,
        "OWN_HEALTH_URL": west,
    }
    package = operator_failback["data"]["archive_file"]["switch_takeover_package"]
    assert Path(package["source_file"]).name == Path(lambda_standby_takeover.__file__).name
    rule = resource(operator_failback, "aws_cloudwatch_event_rule", "switch_takeover_schedule_rule")
    assert rule["schedule_expression"] == "rate(1 minute)"
    group = resource(operator_failback, "aws_cloudwatch_log_group", "switch_takeover_log_group")
    assert group["retention_in_days"] == 30
    assert operator_failback["output"].keys() - private["output"].keys() == {"switch_takeover_function_name"}
    alarms = set(operator_failback["output"]["alarm_names"]["value"]) - set(private["output"]["alarm_names"]["value"])
    assert alarms == {
        f"${{aws_cloudwatch_metric_alarm.switch_takeover_{what}_alarm.alarm_name}}" for what in ("errors", "throttles")
    }


def test_it_may_write_the_switch_of_the_primary_region_and_the_public_function_still_may_not(
    operator_failback: Json,
) -> None:
    _, write = statements(operator_failback, "switch_takeover_role_permissions")
    assert write == allow(
        "SetSwitch",
        ["dynamodb:Query", "dynamodb:PutItem"],
        ["${aws_dynamodb_table.switch_table.arn}"],
        conditions={
            "ForAllValues:StringEquals dynamodb:LeadingKeys": ["us-east-1"],
            "Null dynamodb:LeadingKeys": ["false"],
        },
    )
    _, read = statements(operator_failback, "switch_function_role_permissions")
    assert read["actions"] == ["dynamodb:Query"]


def test_with_the_data_canary_it_may_see_the_primarys_failover_alarm_and_no_other(
    operator_failback: Json, new_app: Callable[[], App]
) -> None:
    stack = DisasterRecoveryStack(new_app(), "payment-dr", switch=True, failback="operator", data_canary=True)
    both = json.loads(CdktfTesting.synth(stack))
    name = "${aws_cloudwatch_metric_alarm.data_canary_failover_east_alarm.alarm_name}"
    _, _, see = statements(both, "switch_takeover_role_permissions")
    assert see == allow(
        "SeeAlarm",
        ["cloudwatch:DescribeAlarms"],
        [f"arn:aws:cloudwatch:us-east-1:${{data.aws_caller_identity.current.account_id}}:alarm:{name}"],
    )
    variables = resource(both, "aws_lambda_function", "switch_takeover_function")["environment"]["variables"]
    assert variables["PRIMARY_ALARM_NAME"] == name
    followed = resource(both, "aws_route53_health_check", "dns_primary_alarm_health_check")
    assert followed["cloudwatch_alarm_name"] == name
    assert followed["cloudwatch_alarm_region"] == "${data.aws_region.current.name}"  # us-east-1
    without = resource(operator_failback, "aws_lambda_function", "switch_takeover_function")["environment"]["variables"]
    assert "PRIMARY_ALARM_NAME" not in without
    assert "cloudwatch:" not in json.dumps(statements(operator_failback, "switch_takeover_role_permissions"))


def test_its_schedule_is_destroyed_before_what_it_probes(operator_failback: Json) -> None:
    target = resource(operator_failback, "aws_cloudwatch_event_target", "switch_takeover_schedule_target")
    for label in ("east", "west"):
        assert {
            f"aws_apigatewayv2_stage.health_monitor_{label}_stage",
            f"aws_lambda_permission.health_monitor_{label}_api_permission",
            f"aws_lambda_permission.health_monitor_{label}_private_api_permission",
        } <= set(target["depends_on"])
        stage = resource(operator_failback, "aws_apigatewayv2_stage", f"health_monitor_{label}_stage")
        assert f"aws_apigatewayv2_route.health_monitor_{label}_private_route" in stage["depends_on"]


def test_it_probes_what_route_53_probes(new_app: Callable[[], App]) -> None:
    hosts = ("east.acme.io", "west.acme.io")
    ends = [
        Endpoint(region=Region(name=region), host=host, health_host=f"health.{host}", health_path="/up")
        for region, host in zip(("us-east-1", "us-west-2"), hosts, strict=True)
    ]
    stack = json.loads(
        CdktfTesting.synth(
            DisasterRecoveryStack(
                *(new_app(), "payment-dr"),
                switch=True,
                failback="operator",
                primary_endpoint=ends[0],
                secondary_endpoint=ends[1],
            )
        )
    )
    variables = resource(stack, "aws_lambda_function", "switch_takeover_function")["environment"]["variables"]
    checks = stack["resource"]["aws_route53_health_check"]
    assert [
        f"https://{check['fqdn']}{check['resource_path']}"
        for check in (checks["dns_primary_health_check"], checks["dns_secondary_health_check"])
    ] == [variables["PRIMARY_HEALTH_URL"], variables["OWN_HEALTH_URL"]]


@pytest.mark.parametrize("production", [False, True])
def test_an_operators_failback_without_the_switch_fails_at_synth(new_app: Callable[[], App], production: bool) -> None:
    given: Json = {"production": production, "runbook": "https://wiki.acme.io/dr", "switch": False}
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(new_app(), "payment-dr", **given, failback="operator")
    assert raised.value.mistakes == (
        "failback='operator' needs the switch, which is off; give switch=True or failback='automatic'",
    )
    DisasterRecoveryStack(new_app(), "payment-dr", **given, failback="automatic")


def test_it_works_alone_in_somebody_elses_stack(synthesize: Synthesize) -> None:
    made: list[StandbySwitch] = []

    def fill(scope: TerraformStack) -> None:
        AwsProvider(scope, "aws", region="us-west-2")
        RandomProvider(scope, "random")
        made.append(StandbySwitch(scope, "switch", **ALONE, private_route=True, purpose="off", log_retention_days=30))

    stack = synthesize(fill)["resource"]
    (table,) = stack["aws_dynamodb_table"].values()
    assert table["name"] == "table-off-west-prod"
    (route,) = stack["aws_apigatewayv2_route"].values()
    assert route["route_key"].startswith("GET /switch/${random_password.")
    assert "aws_cloudwatch_metric_alarm" not in stack
    assert made[0].alarm_names == []
    assert (made[0].takeover_function_name, made[0].takeover_role_arn) == (None, None)


def test_it_takes_over_alone_in_somebody_elses_stack(synthesize: Synthesize) -> None:
    def fill(scope: TerraformStack) -> None:
        AwsProvider(scope, "aws", region="us-west-2")
        StandbySwitch(scope, "switch", **ALONE, purpose="off", takeover=TAKEOVER)

    stack = synthesize(fill)["resource"]
    functions = {each["function_name"]: each for each in stack["aws_lambda_function"].values()}
    assert functions.keys() == {"lambda-off-west-prod", "lambda-off-takeover-west-prod"}
    (target,) = stack["aws_cloudwatch_event_target"].values()
    assert [each.partition(".")[0] for each in target["depends_on"]] == ["aws_lambda_permission"]


def test_the_takeover_can_read_an_alarm_of_somebody_else_in_their_stack(synthesize: Synthesize) -> None:
    def fill(scope: TerraformStack) -> None:
        AwsProvider(scope, "aws", region="us-west-2")
        StandbySwitch(scope, "switch", **ALONE, takeover=replace(TAKEOVER, primary_alarm_name="their alarm"))

    text = json.dumps(synthesize(fill))
    assert '"PRIMARY_ALARM_NAME": "their alarm"' in text
    assert ":cloudwatch:us-east-1:${data.aws_caller_identity.current.account_id}:alarm:their alarm" in text


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"primary_region": "us-west-2"}, "us-west-2"),
        ({"api_id": "No Id"}, "api_id='No Id' is not"),
        ({"purpose": "p" * 60}, "shorten purpose"),
        ({"purpose": "p" * 45, "takeover": TAKEOVER}, "shorten purpose"),
        ({"takeover": replace(TAKEOVER, primary_alarm_name="any*")}, "of statement SeeAlarm has a wildcard"),
        ({"takeover": "https://east.acme.io/health"}, "takeover="),
        ({"environment": "An Environment"}, "environment="),
    ],
)
def test_settings_that_cannot_work_fail_at_synth(their_stack: TerraformStack, change: Json, mistake: str) -> None:
    AwsProvider(their_stack, "aws", region="us-west-2")
    with pytest.raises(ConfigurationError) as raised:
        StandbySwitch(their_stack, "switch", **{**ALONE, **change})
    assert any(mistake in found for found in raised.value.mistakes), raised.value.mistakes


def dns(scope: TerraformStack, **props: Any) -> DnsFailover:
    return DnsFailover(
        scope,
        "dns",
        primary=Endpoint(region=Region(name="eu-west-1"), host="east.acme.io"),
        secondary=Endpoint(region=Region(name="eu-central-1"), host="west.acme.io"),
        environment="prod",
        domain_name="pay.acme.io",
        **props,
    )


def test_a_name_follows_a_switch_that_is_served_by_anything(synthesize: Synthesize) -> None:
    def fill(scope: TerraformStack) -> None:
        AwsProvider(scope, "aws", region="eu-west-1")
        dns(scope, switch_host="switch.acme.io", switch_path="/off", request_interval_seconds=10)

    checks = synthesize(fill)["resource"]["aws_route53_health_check"].values()
    (switch,) = [each for each in checks if each.get("invert_healthcheck")]
    assert (switch["fqdn"], switch["resource_path"], switch["request_interval"]) == ("switch.acme.io", "/off", 10)


@pytest.mark.parametrize(
    ("props", "mistake"),
    [
        ({"switch_host": "app.pay.acme.io"}, "switch_host='app.pay.acme.io' is the name itself"),
        ({"switch_host": "not a host"}, "switch_host='not a host' is not"),
        ({"switch_host": "switch.acme.io", "switch_path": "off"}, "switch_path='off' is not"),
    ],
)
def test_a_switch_that_cannot_be_probed_fails_at_synth(their_stack: TerraformStack, props: Json, mistake: str) -> None:
    AwsProvider(their_stack, "aws", region="eu-west-1")
    with pytest.raises(ConfigurationError) as raised:
        dns(their_stack, **props)
    assert [found.startswith(mistake) for found in raised.value.mistakes] == [True]
