"""The preset for real payments: what it changes, what has precedence over it, and what it asks for."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from payment_dr import App, ConfigurationError, DisasterRecoveryStack
from payment_dr.alerting import description_parts
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.checks import PLACEHOLDER_EMAIL_PATTERN, props_of
from payment_dr.production import Settings, settings_of
from tests.constructs.documents import Json

NewApp = Callable[[], App]
RUNBOOK = "https://wiki.acme.io/payments-dr"
PAGE = Path(__file__).resolve().parents[2] / "docs/runbook.md"
PRESET = {"production": True, "runbook": RUNBOOK}


def synthesized(new_app: NewApp, **arguments: Any) -> Json:
    parsed: Json = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", **arguments)))
    return parsed


@pytest.fixture(scope="module")
def production(new_app: NewApp) -> Json:
    return synthesized(new_app, **PRESET)


def values(stack: Json, kind: str, attribute: str) -> set[Any]:
    """What the resources of a type have as an attribute."""
    return {each.get(attribute) for each in stack["resource"][f"aws_{kind}"].values()}


def test_each_setting_is_an_argument_of_the_stack_that_is_none_by_default() -> None:
    arguments = {each.name: each.default for each in props_of(DisasterRecoveryStack)}
    assert {each.name: arguments[each.name] for each in fields(Settings)} == dict.fromkeys(
        each.name for each in fields(Settings)
    )


def test_each_setting_differs_from_its_default_and_says_why() -> None:
    for each in fields(Settings):
        assert each.metadata["production"] != each.default, each.name
        assert len(each.metadata["why"]) > 15, each.name


def test_an_argument_has_precedence_over_the_preset_and_the_preset_over_the_default() -> None:
    for each in fields(Settings):
        preset = each.metadata["production"]
        if preset is not None:
            assert getattr(settings_of({"production": True}), each.name) == preset
        assert getattr(settings_of({"production": False}), each.name) == each.default
        assert getattr(settings_of({"production": True, each.name: each.default}), each.name) == each.default


def test_the_preset_reaches_the_resources(production: Json) -> None:
    assert values(production, "dynamodb_table", "deletion_protection_enabled") == {True}
    assert values(production, "s3_bucket", "force_destroy") == {False}
    assert values(production, "cloudwatch_log_group", "retention_in_days") == {365}
    assert values(production, "kms_key", "deletion_window_in_days") == {30}
    assert len(production["resource"]["aws_s3_bucket_replication_configuration"]) == 2
    assert len(production["resource"]["aws_apigatewayv2_domain_name"]) == 2
    names = values(production, "lambda_function", "function_name")
    assert {name for name in names if "data-canary" in name} != set()
    assert {name for name in names if "switch" in name} == {
        "lambda-switch-west-${var.environment}",
        "lambda-switch-takeover-west-${var.environment}",
    }
    descriptions = values(production, "cloudwatch_metric_alarm", "alarm_description")
    assert [each for each in descriptions if f"Runbook: {RUNBOOK}#" not in each] == []


def test_each_alarm_has_a_section_of_the_runbook_that_says_what_to_check_and_fix(production: Json) -> None:
    parts = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        bold = re.findall(r"^- \*\*(.+)\.\*\*", text, re.MULTILINE)
        parts[heading] = [part for each in bold for part in each.split(", ")]
    descriptions = values(production, "cloudwatch_metric_alarm", "alarm_description")
    linked = {description_parts(each)[1].removeprefix(f"{RUNBOOK}#") for each in descriptions}
    linked |= {"service-errors", "service-throttles"}  # of an app with a `Service`
    assert linked == {heading for heading, found in parts.items() if "Escalate" in found}
    assert {tuple(parts[each]) for each in linked} == {("Meaning", "Check", "Fix", "Escalate")}


def test_payments_get_the_higher_throttle_and_health_routes_keep_theirs(production: Json, new_app: NewApp) -> None:
    for stage in production["resource"]["aws_apigatewayv2_stage"].values():
        assert stage["default_route_settings"] == {"throttling_rate_limit": 1000, "throttling_burst_limit": 2000}
        own = [(each["throttling_rate_limit"], each["throttling_burst_limit"]) for each in stage["route_settings"]]
        with_switch = any("/switch/" in each["route_key"] for each in stage["route_settings"])
        assert own == [(200, 400)] * (3 if with_switch else 2)
    alone = synthesized(new_app, requests_per_second=50, burst=60)
    for stage in alone["resource"]["aws_apigatewayv2_stage"].values():
        assert stage["default_route_settings"] == {"throttling_rate_limit": 50, "throttling_burst_limit": 60}
        assert stage["route_settings"] == [
            {"route_key": "GET /health", "throttling_rate_limit": 200, "throttling_burst_limit": 400}
        ]


def test_the_new_arguments_work_without_the_preset(new_app: NewApp) -> None:
    stack = synthesized(new_app, log_retention_days=30, key_deletion_window_days=14, replication_lag_alarm_ms=5000)
    assert values(stack, "cloudwatch_log_group", "retention_in_days") == {30}
    assert values(stack, "kms_key", "deletion_window_in_days") == {14}
    alarms = stack["resource"]["aws_cloudwatch_metric_alarm"]
    assert {each["threshold"] for name, each in alarms.items() if "replication_latency" in name} == {5000}


def test_important_variables_are_required(production: Json) -> None:
    without_default = {name for name, each in production["variable"].items() if each.get("default") is None}
    assert without_default == {"alert_email", "domain_name"}
    _, rule = production["variable"]["alert_email"]["validation"]
    assert f'!can(regex("{PLACEHOLDER_EMAIL_PATTERN}", var.alert_email))' in rule["condition"]


@pytest.mark.parametrize(
    ("address", "is_placeholder"),
    [
        ("dr-alerts@example.com", True),
        ("a@mail.example.org", True),
        ("a@Example.COM", True),
        ("a@payment-app.test", True),
        ("a@x.invalid", True),
        ("oncall@acme.io", False),
        ("oncall@myexample.com", False),
        ("example.com@acme.io", False),
        ("a@testing.io", False),
    ],
)
def test_placeholders_and_real_addresses_are_distinguished(address: str, is_placeholder: bool) -> None:
    assert bool(re.search(PLACEHOLDER_EMAIL_PATTERN, address)) == is_placeholder


@pytest.mark.parametrize(
    ("runbook", "sentence"),
    [
        (None, "runbook is missing, which production=True needs"),
        ("docs/runbook.md", "runbook 'docs/runbook.md' is not an address that a mail can link to"),
        ("http://wiki.acme.io/dr", "runbook 'http://wiki.acme.io/dr' is not an address"),
        ("https://wiki.acme.io/dr#top", "runbook 'https://wiki.acme.io/dr#top' is not an address"),
    ],
)
def test_a_runbook_that_a_mail_cannot_link_to_fails_with_all_other_mistakes(
    runbook: str | None, sentence: str, new_app: NewApp
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DisasterRecoveryStack(
            new_app(), "payment-dr", production=True, runbook=runbook, log_retention_days=2, key_deletion_window_days=6
        )
    retention, window, last = raised.value.mistakes
    assert retention.startswith("log_retention_days=2 is not 0, 1, 3, 5, 7, 14")
    assert window.startswith("key_deletion_window_days=6 is not a whole number from 7 to 30")
    assert last.startswith(sentence)
    assert last.endswith("use an https:// address without '#', such as 'https://wiki.acme.io/payments-dr'")


def test_a_suppression_that_the_preset_makes_needless_is_not_in_its_output(new_app: NewApp) -> None:
    def suppressed(**arguments: Any) -> set[str]:
        app = new_app()
        DisasterRecoveryStack(app, "payment-dr", **arguments)
        app.synth()
        stack = json.loads(Path(app.outdir, "stacks", "payment-dr", "cdk.tf.json").read_text(encoding="utf-8"))
        return {
            check
            for named in stack["resource"].values()
            for body in named.values()
            for check in body["//"].get("suppressed", {})
        }

    default, production = suppressed(), suppressed(**PRESET)
    assert default - production == {"CKV_AWS_338"}
    assert production < default
