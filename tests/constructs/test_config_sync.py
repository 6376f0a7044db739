"""ConfigSync: seeded parameters, two functions that copy changes, and alarms on what stays different."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers.lambda_config_sync import read_history
from payment_dr import AlarmTarget, ConfigSync, ConfigurationError, Region, TerraformStack
from payment_dr.bindings import LambdaFunction
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.config_sync import mistakes_in_config_keys
from tests.constructs.alarms import is_alarm, minutes_until_alarm
from tests.constructs.documents import Json, resource
from tests.handlers.config_sync_faults import ROWS, Row

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
NAMES = [f"/payment-app/${{var.environment}}/{key}" for key in ("database-connection-string", "api-key")]
REGION = {"east": "${data.aws_region.current.name}", "west": "${data.aws_region.current_secondary.name}"}
OTHER = {"east": "west", "west": "east"}
SIDES = ["east", "west"]


def test_every_parameter_exists_in_both_regions_encrypted_with_the_regions_key(stack_json: Json) -> None:
    found = {
        (parameter["name"], parameter["key_id"], parameter["type"], parameter.get("provider"))
        for parameter in stack_json["resource"]["aws_ssm_parameter"].values()
    }
    assert found == {
        (name, f"${{aws_kms_key.encryption_{side}_key.arn}}", "SecureString", provider)
        for name in NAMES
        for side, provider in (("east", None), ("west", "aws.secondary"))
    }


def test_a_plan_never_writes_a_parameter_that_somebody_changed(stack_json: Json) -> None:
    """Of what PutParameter takes, only the name is left to Terraform."""
    for parameter in stack_json["resource"]["aws_ssm_parameter"].values():
        ignored = set(parameter["lifecycle"]["ignore_changes"])
        assert ignored == {"value", "description", "tier", "key_id", "type", "allowed_pattern"}
        assert parameter.keys() - ignored == {"name", "tags", "lifecycle", "provider"} & parameter.keys()


def test_the_sync_knows_what_terraform_created(stack_json: Json) -> None:
    for parameter in stack_json["resource"]["aws_ssm_parameter"].values():
        entry = {"Version": 1, "LastModifiedDate": datetime.now(UTC), "Description": parameter["description"]}
        (version,) = read_history("us-east-1", [entry])
        assert version.own.is_seed


def test_the_output_gives_first_values_and_not_what_a_refresh_reads(stack_json: Json) -> None:
    values = stack_json["output"]["ssm_parameter_values"]["value"]
    assert set(values) == set(NAMES)
    assert "aws_ssm_parameter" not in json.dumps(values)


def test_both_regions_are_seeded_with_the_same_value_given_or_random(stack_json: Json) -> None:
    for key in ("api_key", "database_connection_string"):
        values = {
            resource(stack_json, "aws_ssm_parameter", f"config_sync_parameter_{key}_{side}")["value"] for side in SIDES
        }
        assert values == {
            f'${{lookup(var.initial_secrets, "{key.replace("_", "-")}", random_password.initial_{key}.result)}}'
        }


@pytest.mark.parametrize("side", SIDES)
def test_the_function_is_as_the_brief_asks(stack_text: str, stack_json: Json, side: str) -> None:
    other = OTHER[side]
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        LambdaFunction.TF_RESOURCE_TYPE,
        {
            "function_name": f"lambda-config-sync-{side}-${{var.environment}}",
            "runtime": "python3.11",
            "handler": "lambda_config_sync.handler",
            "memory_size": 256,
            "timeout": 300,
        },
    )
    function = resource(stack_json, "aws_lambda_function", f"config_sync_{side}_function")
    assert "vpc_config" not in function
    variables = dict(function["environment"]["variables"])  # the stack is of all tests
    assert json.loads(variables.pop("PARAMETER_NAMES")) == NAMES
    assert variables == {
        "TARGET_REGION": REGION[other],
        "TARGET_KMS_KEY_ARN": f"${{aws_kms_key.encryption_{other}_key.arn}}",
        "CROSS_REGION_ROLE_ARN": "arn:aws:iam::${data.aws_caller_identity.current.account_id}:role/"
        f"iam-role-config-sync-target-{other}-${{var.environment}}",
        "METRIC_NAMESPACE": "PaymentApp/ConfigSync",
    }
    assert f"aws_iam_role.config_sync_{side}_role" in function["depends_on"]
    assert f"aws_iam_policy.config_sync_{side}_role_policy" in function["depends_on"]
    assert f"aws_iam_role_policy_attachment.config_sync_{side}_role_attachment" in function["depends_on"]
    # destroyed before any parameter, which it would otherwise create anew from the other region
    assert {f"aws_ssm_parameter.{name}" for name in stack_json["resource"]["aws_ssm_parameter"]} <= set(
        function["depends_on"]
    )
    package = stack_json["data"]["archive_file"][f"config_sync_{side}_package"]
    assert Path(package["source_file"]).name == "lambda_config_sync.py"


@pytest.mark.parametrize("side", SIDES)
def test_changes_of_its_own_parameters_and_a_schedule_trigger_it(stack_json: Json, side: str) -> None:
    change = resource(stack_json, "aws_cloudwatch_event_rule", f"config_sync_{side}_change_rule")
    assert json.loads(change["event_pattern"]) == {
        "source": ["aws.ssm"],
        "detail-type": ["Parameter Store Change"],
        "detail": {"name": NAMES, "operation": ["Create", "Update"]},
    }
    reconcile = resource(stack_json, "aws_cloudwatch_event_rule", f"config_sync_{side}_reconcile_rule")
    assert reconcile["schedule_expression"] == "rate(5 minutes)"
    for trigger in ("change", "reconcile"):
        rule = f"aws_cloudwatch_event_rule.config_sync_{side}_{trigger}_rule"
        target = resource(stack_json, "aws_cloudwatch_event_target", f"config_sync_{side}_{trigger}_target")
        assert (target["rule"], target["target_id"], target["arn"]) == (
            f"${{{rule}.name}}",
            trigger,
            f"${{aws_lambda_function.config_sync_{side}_function.arn}}",
        )
        permission = resource(stack_json, "aws_lambda_permission", f"config_sync_{side}_{trigger}_permission")
        assert (permission["principal"], permission["source_arn"]) == ("events.amazonaws.com", f"${{{rule}.arn}}")


@pytest.mark.parametrize("side", SIDES)
def test_an_event_that_fails_is_retried_twice(stack_json: Json, side: str) -> None:
    invoke = resource(stack_json, "aws_lambda_function_event_invoke_config", f"config_sync_{side}_event_invoke_config")
    assert invoke["maximum_retry_attempts"] == 2


def drift_alarm(stack_json: Json, side: str) -> Json:
    return resource(stack_json, "aws_cloudwatch_metric_alarm", f"config_sync_drift_alarm_{side}")


def metric_of(alarm: Json) -> Json:
    """The one metric that an alarm looks at."""
    (metric,) = [query["metric"] for query in alarm["metric_query"] if "metric" in query]
    return dict(metric)


@pytest.mark.parametrize("side", SIDES)
def test_drift_has_an_alarm_with_the_dimensions_that_are_published(stack_json: Json, side: str) -> None:
    alarm, metric = drift_alarm(stack_json, side), metric_of(drift_alarm(stack_json, side))
    assert (metric["namespace"], metric["metric_name"], metric["dimensions"]) == (
        "PaymentApp/ConfigSync",
        "ParameterDrift",
        {"FunctionName": f"lambda-config-sync-{side}-${{var.environment}}"},
    )
    assert (metric["stat"], alarm["threshold"], alarm["evaluation_periods"]) == ("Minimum", 0, 2)
    assert "differ" in alarm["alarm_description"]
    assert "no run has compared them" in alarm["alarm_description"]


@pytest.mark.parametrize("late", [0, 4], ids=["at once", "after four minutes"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
@pytest.mark.parametrize("side", SIDES)
def test_every_fault_fires_an_alarm_in_time(stack_json: Json, side: str, row: Row, late: int) -> None:
    """An hour of good reconciliations, and a fault right after the last of them, wherever a period begins."""
    good = dict.fromkeys(range(-60, 1, 5), 0.0)
    bad = {} if row.value is None else {minute + late: row.value for minute in range(5, 120, 5)}
    worst = [minutes_until_alarm(drift_alarm(stack_json, side), good | bad, phase) for phase in range(5)]
    if row.alarm == "-":
        assert worst == [None] * 5
    else:
        assert row.alarm == "config-sync-drift"
        assert [minutes for minutes in worst if minutes is None or minutes > row.at_most] == []
        assert row.at_most <= 15


@pytest.mark.parametrize("phase", range(5))
def test_no_alarm_fires_when_one_reconciliation_is_missing_or_finds_drift_once(stack_json: Json, phase: int) -> None:
    alarm = drift_alarm(stack_json, "east")
    on_time = dict.fromkeys(range(-60, 180, 5), 0.0)
    assert minutes_until_alarm(alarm, on_time, phase) is None
    assert minutes_until_alarm(alarm, {minute + minute % 2: 0.0 for minute in on_time}, phase) is None
    assert (
        minutes_until_alarm(alarm, {minute: value for minute, value in on_time.items() if minute != 5}, phase) is None
    )
    assert minutes_until_alarm(alarm, on_time | {5: 1.0}, phase) is None


def test_two_silent_intervals_need_the_fill(stack_json: Json) -> None:
    """Why the alarm is on an expression: of the metric alone, CloudWatch decides on what it finds further back."""
    alarm = drift_alarm(stack_json, "east")
    metric = metric_of(alarm)
    plain = {key: value for key, value in alarm.items() if key != "metric_query"} | {
        "statistic": metric["stat"],
        "period": metric["period"],
    }
    good = dict.fromkeys(range(-60, 1, 5), 0.0)
    assert minutes_until_alarm(alarm, good, 0) == 15
    assert minutes_until_alarm(plain, good, 0) == 25


@pytest.mark.parametrize(
    ("points", "breaching", "not_breaching"),
    [
        ("0-X-X", False, False),
        ("0----", False, False),
        ("-----", True, False),
        ("0XX-X", True, True),
        ("--X--", True, False),
    ],
)
def test_missing_data_counts_as_aws_documents(points: str, breaching: bool, not_breaching: bool) -> None:
    """Amazon's examples: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html."""
    values = [{"0": False, "X": True, "-": None}[point] for point in points]
    assert is_alarm(values, periods=3, missing_is_breaching=True) is breaching
    assert is_alarm(values, periods=3, missing_is_breaching=False) is not_breaching


@pytest.mark.parametrize("side", SIDES)
def test_a_lost_write_fires_an_alarm_at_once(stack_json: Json, side: str) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"config_sync_lost_write_alarm_{side}")
    assert (alarm["namespace"], alarm["metric_name"], alarm["dimensions"]) == (
        "PaymentApp/ConfigSync",
        "WritesLost",
        {"FunctionName": f"lambda-config-sync-{side}-${{var.environment}}"},
    )
    assert (alarm["statistic"], alarm["threshold"], alarm["evaluation_periods"]) == ("Sum", 0, 1)
    assert alarm["alarm_description"].endswith("#config-sync-lost-write")
    assert minutes_until_alarm(alarm, {0: 1.0}, 0) == 5


@pytest.mark.parametrize("phase", range(5))
def test_only_drift_shows_a_sync_that_always_fails(stack_json: Json, phase: int) -> None:
    """Lambda tries a failed event again after one and after two more minutes: three errors in five minutes.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    errors = resource(stack_json, "aws_cloudwatch_metric_alarm", "config_sync_east_errors_alarm")
    assert (errors["threshold"], errors["comparison_operator"]) == (3, "GreaterThanThreshold")
    runs = range(5, 120, 5)
    failed = {minute + later: 1.0 for minute in runs for later in (0, 1, 3)}
    assert minutes_until_alarm(errors, failed, phase) is None
    good = dict.fromkeys(range(-60, 1, 5), 0.0)
    drift = good | dict.fromkeys(failed, 1.0)
    minutes = minutes_until_alarm(drift_alarm(stack_json, "east"), drift, phase)
    assert minutes is not None
    assert minutes <= 15


EAST_KEY, WEST_KEY = "arn:aws:kms:eu-west-1:123456789012:key/a", "arn:aws:kms:eu-central-1:123456789012:key/b"


def test_it_works_alone_under_another_applications_name(synthesize: Synthesize, pair: tuple[Region, Region]) -> None:
    stack = synthesize(
        lambda scope: ConfigSync(
            scope,
            "config",
            primary=pair[0],
            secondary=pair[1],
            environment="prod",
            parameters={"smtp/password": "?"},
            application="shop",
            reconcile_every_minutes=15,
            primary_key_arn=EAST_KEY,
            secondary_key_arn=WEST_KEY,
        )
    )
    assert {p["name"] for p in stack["resource"]["aws_ssm_parameter"].values()} == {"/shop/prod/smtp/password"}
    rules = stack["resource"]["aws_cloudwatch_event_rule"].values()
    assert "rate(15 minutes)" in {rule.get("schedule_expression") for rule in rules}
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]


def test_all_mistakes_are_named_in_one_error(their_stack: TerraformStack, pair: tuple[Region, Region]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ConfigSync(
            their_stack,
            "config",
            primary=pair[0],
            secondary=pair[0],
            environment="dev",
            parameters={"api key": "?", "/leading": "?", "x" * 600: "?", "good-one": "", "good.one": "ä" * 2049},
            reconcile_every_minutes=1,
            primary_key_arn=EAST_KEY,
            secondary_key_arn=EAST_KEY,
        )
    often, same, alike, blank, leading, long, empty, too_much = raised.value.mistakes
    assert empty == "parameters has 0 bytes for the key 'good-one'; use 1 to 4,096"
    assert too_much == "parameters has 4,098 bytes for the key 'good.one'; use 1 to 4,096"
    assert "is the primary region too" in same
    assert blank.startswith("parameters has the key 'api key'; use letters")
    assert leading.startswith("parameters has the key '/leading'; use letters")
    assert "too long or too deep" in long
    assert alike == "parameters has the keys 'good-one' and 'good.one', which clash; rename one"
    assert often.startswith("reconcile_every_minutes=1 is not a whole number from 2 to 60; use a value such as 5")


def test_an_empty_sync_fails_at_synth(their_stack: TerraformStack, pair: tuple[Region, Region]) -> None:
    with pytest.raises(ConfigurationError, match="parameters is empty; name at least one key"):
        ConfigSync(
            their_stack,
            "config",
            primary=pair[0],
            secondary=pair[1],
            environment="dev",
            parameters={},
            primary_key_arn=EAST_KEY,
            secondary_key_arn=WEST_KEY,
        )


def test_more_keys_than_a_policy_can_name_fail_at_synth() -> None:
    def keys(count: int) -> list[str]:
        return [f"some-service/secret-{number}" for number in range(count)]

    assert mistakes_in_config_keys("parameters", keys(25)) == []
    (too_many,) = mistakes_in_config_keys("parameters", keys(26))
    assert too_many.startswith("parameters has 26 keys, more than one IAM policy can name")


@pytest.mark.parametrize(("allowed", "refused"), [("/".join("a" * 13), "/".join("a" * 14)), ("a" * 230, "a" * 231)])
def test_a_key_may_be_as_long_and_deep_as_parameter_store_allows(allowed: str, refused: str) -> None:
    assert mistakes_in_config_keys("parameters", [allowed]) == []
    (mistake,) = mistakes_in_config_keys("parameters", [refused])
    assert mistake.endswith("use at most 230 characters and 13 levels")


def test_drift_is_measured_over_two_reconciliations_however_far_apart(
    synthesize: Synthesize, pair: tuple[Region, Region]
) -> None:
    stack = synthesize(
        lambda scope: ConfigSync(
            scope,
            "config",
            primary=pair[0],
            secondary=pair[1],
            environment="prod",
            parameters={"api-key": "?"},
            primary_key_arn=EAST_KEY,
            secondary_key_arn=WEST_KEY,
            primary_alarms=AlarmTarget(topic_arn="arn:aws:sns:eu-west-1:123456789012:t"),
            reconcile_every_minutes=60,
            purpose="shop-sync",
        )
    )
    alarms = {alarm["alarm_name"]: alarm for alarm in stack["resource"]["aws_cloudwatch_metric_alarm"].values()}
    drift = alarms["alarm-shop-sync-drift-west-prod"]
    assert (metric_of(drift)["period"], drift["evaluation_periods"]) == (3600, 2)


@pytest.mark.parametrize("side", SIDES)
def test_no_event_comes_before_the_other_regions_role_exists(stack_json: Json, side: str) -> None:
    direction = f"config_sync_{side}_to_{OTHER[side]}"
    for trigger in ("change", "reconcile"):
        target = resource(stack_json, "aws_cloudwatch_event_target", f"config_sync_{side}_{trigger}_target")
        assert {
            f"aws_iam_role.{direction}_role",
            f"aws_iam_policy.{direction}_policy",
            f"aws_iam_role_policy_attachment.{direction}_attachment",
            f"aws_lambda_permission.config_sync_{side}_{trigger}_permission",
        } == set(target["depends_on"])
