"""DataCanary: what it deploys, what it may do, and when its alarms fire."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers import lambda_data_canary as handler
from payment_dr import (
    AlarmTarget,
    App,
    ConfigurationError,
    DataCanary,
    DisasterRecoveryStack,
    Region,
    TerraformStack,
)
from payment_dr import data_canary as construct
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.failover_timing import ALIAS_TTL_SECONDS, RECORD_TTL_SECONDS, RTO_TARGET_SECONDS
from tests.constructs.alarms import minutes_until_alarm
from tests.constructs.documents import Json, resource

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
SIDES = [("east", "us-west-2"), ("west", "us-east-1")]


@pytest.fixture(scope="module")
def with_canary(new_app: Callable[[], App]) -> Json:
    stack = DisasterRecoveryStack(new_app(), "payment-dr", data_canary=True)
    found: Json = json.loads(CdktfTesting.synth(stack))
    return found


def test_without_the_option_there_is_none(stack_json: Json) -> None:
    assert "canary" not in json.dumps(stack_json)


@pytest.mark.parametrize(("side", "peer"), SIDES)
def test_each_region_has_a_function_that_runs_every_minute(with_canary: Json, side: str, peer: str) -> None:
    function = resource(with_canary, "aws_lambda_function", f"data_canary_{side}_function")
    assert function["function_name"] == f"lambda-data-canary-{side}-${{var.environment}}"
    assert (function["memory_size"], function["timeout"], function["handler"]) == (
        256,
        300,
        "lambda_data_canary.handler",
    )
    variables = function["environment"]["variables"]
    assert set(variables) == {"DYNAMODB_TABLE_NAME", "PEER_REGION", "METRIC_NAMESPACE"}
    assert variables["METRIC_NAMESPACE"] == construct.METRIC_NAMESPACE
    peer_token = "current_secondary" if peer == "us-west-2" else "current"
    assert variables["PEER_REGION"] == f"${{data.aws_region.{peer_token}.name}}"
    package = with_canary["data"]["archive_file"][f"data_canary_{side}_package"]
    assert Path(package["source_file"]).name == "lambda_data_canary.py"
    rule = resource(with_canary, "aws_cloudwatch_event_rule", f"data_canary_{side}_schedule_rule")
    assert rule["schedule_expression"] == "rate(1 minute)"


@pytest.mark.parametrize(
    ("side", "own", "other"), [("east", "current", "current_secondary"), ("west", "current_secondary", "current")]
)
def test_a_function_may_write_its_own_item_and_read_both_and_no_more(
    with_canary: Json, side: str, own: str, other: str
) -> None:
    document = with_canary["data"]["aws_iam_policy_document"][f"data_canary_{side}_role_permissions"]
    statements = {statement["sid"]: statement for statement in document["statement"]}
    assert set(statements) == {"WriteOwnLog", "WriteOwnItem", "ReadBothItems"}
    mine, theirs = (f"dr-canary/${{data.aws_region.{region}.name}}" for region in (own, other))
    for sid, action, keys in (
        ("WriteOwnItem", "dynamodb:PutItem", [mine]),
        ("ReadBothItems", "dynamodb:GetItem", [mine, theirs]),
    ):
        statement = statements[sid]
        assert statement["actions"] == [action]
        (table,) = statement["resources"]
        assert table.startswith(f"arn:aws:dynamodb:${{data.aws_region.{own}.name}}:")
        assert table.endswith(":table/${aws_dynamodb_table.data_table.name}")
        assert statement["condition"] == [
            {"test": "ForAllValues:StringEquals", "variable": "dynamodb:LeadingKeys", "values": keys},
            {"test": "Null", "variable": "dynamodb:LeadingKeys", "values": ["false"]},
        ]


def test_handler_and_construct_mean_the_same_items_and_metrics() -> None:
    assert handler.KEY_PREFIX == construct.KEY_PREFIX
    assert handler.key_of("us-east-1")["transaction_id"] == {"S": "dr-canary/us-east-1"}


def _alarm(stack: Json, what: str) -> Any:
    return resource(stack, "aws_cloudwatch_metric_alarm", f"data_canary_{what}_east_alarm")


def test_its_alarms_are_among_the_outputs_of_the_stack(with_canary: Json) -> None:
    names = json.dumps(with_canary["output"]["alarm_names"]["value"])
    for what in ("data_path", "replication", "failover"):
        for side in ("east", "west"):
            assert f"data_canary_{what}_{side}_alarm.alarm_name" in names


FAULTS: dict[str, tuple[str, dict[int, float], int | None]] = {
    # alarm, what is published at which minute after the fault, minute of the alarm
    "all is well": ("data_path", dict.fromkeys(range(-10, 120), 0.0), None),
    "one run fails": ("data_path", {**dict.fromkeys(range(-10, 120), 0.0), 0: 1.0}, None),
    "every run fails": ("data_path", {**dict.fromkeys(range(-10, 0), 0.0), **dict.fromkeys(range(120), 1.0)}, 2),
    "replication stalls": (
        "replication",
        {minute: max(0.0, 60.0 * minute) for minute in range(-10, 120)},
        8,  # the age is above 300 s in the minutes 6 and 7
    ),
    "replication is as ever": ("replication", dict.fromkeys(range(-10, 120), 61.0), None),
    "one run has failed three tries": ("failover", {**dict.fromkeys(range(-10, 120), 0.0), 0: 1.0}, 1),
    "no run fails": ("failover", dict.fromkeys(range(-10, 120), 0.0), None),
    "no run ends": ("failover", dict.fromkeys(range(-10, 0), 0.0), None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_alarm_fires_after_two_minutes_in_a_row_or_one_for_a_failover(with_canary: Json, fault: str) -> None:
    what, reports, minute = FAULTS[fault]
    assert minutes_until_alarm(_alarm(with_canary, what), reports, phase=0) == minute


@pytest.mark.parametrize("what", ["data_path", "replication"])
def test_a_canary_that_does_not_run_fires_both_alarms(with_canary: Json, what: str) -> None:
    stopped = dict.fromkeys(range(-10, 0), 0.0)
    assert minutes_until_alarm(_alarm(with_canary, what), stopped, phase=0) in range(2, 6)


@pytest.mark.parametrize("phase", [0])
def test_the_alarm_for_a_failover_fires_within_the_time_that_the_budget_counts(with_canary: Json, phase: int) -> None:
    alarm = _alarm(with_canary, "failover")
    # The outage begins right after a run, so that the next one, which fails, comes a minute later.
    reports = {**dict.fromkeys(range(-10, 1), 0.0), **dict.fromkeys(range(1, 120), 1.0)}
    fired = minutes_until_alarm(alarm, reports, phase)
    assert fired is not None
    assert fired * 60 == construct.FAILOVER_SECONDS
    assert construct.FAILOVER_SECONDS + RECORD_TTL_SECONDS <= RTO_TARGET_SECONDS
    assert construct.FAILOVER_SECONDS + ALIAS_TTL_SECONDS <= RTO_TARGET_SECONDS


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_region_is_healthy_while_its_probe_passes_and_its_canary_writes_and_reads(
    with_canary: Json, side: str
) -> None:
    name = {"east": "primary", "west": "secondary"}[side]
    region = {"east": "current", "west": "current_secondary"}[side]
    follows = resource(with_canary, "aws_route53_health_check", f"dns_{name}_alarm_health_check")
    alarm = f"aws_cloudwatch_metric_alarm.data_canary_failover_{side}_alarm"
    assert follows["cloudwatch_alarm_name"] == f"${{{alarm}.alarm_name}}"
    assert follows["cloudwatch_alarm_region"] == f"${{data.aws_region.{region}.name}}"
    decides = f"${{aws_route53_health_check.dns_{name}_calculated_health_check.id}}"
    assert resource(with_canary, "aws_route53_record", f"dns_{name}_record")["health_check_id"] == decides
    watched = resource(with_canary, "aws_cloudwatch_metric_alarm", f"dns_{name}_health_check_alarm")
    assert watched["dimensions"] == {"HealthCheckId": decides}
    assert with_canary["output"][f"{name}_health_check_id"]["value"] == decides


def test_a_stack_whose_canary_is_too_slow_for_its_target_fails_at_synth(new_app: Callable[[], App]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"alarm_seconds=120 . ttl_seconds=30 is 150 s, beyond rto_target_secon"
    ):
        DisasterRecoveryStack(new_app(), "payment-dr", data_canary=True, rto_target_seconds=149)
    DisasterRecoveryStack(new_app(), "without", rto_target_seconds=149)


def test_it_works_alone_with_its_defaults_and_then_has_no_alarm(
    synthesize: Synthesize, pair: tuple[Region, Region]
) -> None:
    stack = synthesize(
        lambda scope: DataCanary(
            scope, "canary", primary=pair[0], secondary=pair[1], environment="prod", table_name="orders"
        )
    )
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]
    assert len(stack["resource"]["aws_lambda_function"]) == 2


def test_everything_can_be_set(synthesize: Synthesize, pair: tuple[Region, Region], tmp_path: Path) -> None:
    source = tmp_path / "other.py"
    source.write_text("def handler(event, context): ...\n")
    stack = synthesize(
        lambda scope: DataCanary(
            scope,
            "canary",
            primary=pair[0],
            secondary=pair[1],
            environment="prod",
            table_name="orders",
            primary_alarms=AlarmTarget(topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts"),
            stale_after_seconds=600,
            purpose="orders-canary",
            log_retention_days=7,
            source=source,
        )
    )
    alarms = {alarm["alarm_name"]: alarm for alarm in stack["resource"]["aws_cloudwatch_metric_alarm"].values()}
    assert {name.rpartition("-")[0] for name in alarms} == {
        "alarm-orders-canary-data-path-west",
        "alarm-orders-canary-replication-west",
        "alarm-orders-canary-failover-west",
        "alarm-orders-canary-errors-west",
        "alarm-orders-canary-throttles-west",
    }
    assert alarms["alarm-orders-canary-replication-west-prod"]["threshold"] == 600
    assert {group["retention_in_days"] for group in stack["resource"]["aws_cloudwatch_log_group"].values()} == {7}
    assert {function["handler"] for function in stack["resource"]["aws_lambda_function"].values()} == {"other.handler"}


@pytest.mark.parametrize("seconds", [119, 3601])
def test_an_age_out_of_range_and_one_region_twice_fail_in_one_error(
    their_stack: TerraformStack, pair: tuple[Region, Region], seconds: int
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DataCanary(
            their_stack,
            "canary",
            primary=pair[0],
            secondary=pair[0],
            environment="dev",
            table_name="orders",
            stale_after_seconds=seconds,
        )
    assert len(raised.value.mistakes) == 2
    assert "stale_after_seconds" in raised.value.mistakes[0]
