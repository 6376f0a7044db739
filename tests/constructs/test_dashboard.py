"""The dashboard of each region: what it shows, and who leads to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from payment_dr import AlarmTarget, App, DisasterRecoveryStack, Metric, Region, TerraformStack, metric_alarm
from payment_dr.bindings import Testing as CdktfTesting
from tests.constructs.documents import Json

NewApp = Callable[[], App]
RUNBOOK = "https://wiki.acme.io/payments-dr"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"
SIDES = {"east": ("us-east-1", None), "west": ("us-west-2", "aws.secondary")}


@pytest.fixture(scope="module")
def stack(new_app: NewApp) -> Json:
    made = DisasterRecoveryStack(new_app(), "payment-dr", dashboards=True, data_canary=True, runbook=RUNBOOK)
    parsed: Json = json.loads(CdktfTesting.synth(made))
    return parsed


def widgets_of(stack: Json, label: str) -> list[dict[str, Any]]:
    dashboard = stack["resource"]["aws_cloudwatch_dashboard"][f"dashboard_{label}"]
    assert dashboard["dashboard_name"] == f"dashboard-dr-{label}-${{var.environment}}"
    widgets: list[dict[str, Any]] = json.loads(dashboard["dashboard_body"])["widgets"]
    return widgets


def alarms_of(stack: Json, label: str) -> dict[str, Json]:
    _, provider = SIDES[label]
    alarms = stack["resource"]["aws_cloudwatch_metric_alarm"].items()
    return {
        f"${{aws_cloudwatch_metric_alarm.{name}.arn}}": alarm
        for name, alarm in alarms
        if alarm.get("provider") == provider
    }


def test_the_default_stack_has_none(stack_json: Json) -> None:
    assert "aws_cloudwatch_dashboard" not in stack_json["resource"]


@pytest.mark.parametrize("label", SIDES)
def test_each_alarm_of_the_region_and_no_other_is_on_its_dashboard(stack: Json, label: str) -> None:
    status, *others = widgets_of(stack, label)
    alarms = alarms_of(stack, label)
    assert status["type"] == "alarm"
    assert set(status["properties"]["alarms"]) == alarms.keys()
    graphs = [each["properties"] for each in others if each["type"] == "metric"]
    assert {arn for graph in graphs for arn in graph["annotations"]["alarms"]} == alarms.keys()
    for graph in graphs:
        (arn,) = graph["annotations"]["alarms"]
        assert (graph["title"], graph["region"]) == (alarms[arn]["alarm_name"], SIDES[label][0])


@pytest.mark.parametrize("label", SIDES)
def test_each_graph_stands_below_what_to_do_with_a_link_to_the_runbook(stack: Json, label: str) -> None:
    _, *others = widgets_of(stack, label)
    for text, graph in zip(others[::2], others[1::2], strict=True):
        (arn,) = graph["properties"]["annotations"]["alarms"]
        what_to_do, _, rest = alarms_of(stack, label)[arn]["alarm_description"].partition(" Runbook: ")
        assert text["properties"]["markdown"] == f"{what_to_do} [Runbook]({rest.partition(' ')[0]})"
        assert (text["x"], text["y"] + text["height"]) == (graph["x"], graph["y"])


def test_no_widgets_overlap(stack: Json) -> None:
    for label in SIDES:
        taken = [
            (x, y)
            for each in widgets_of(stack, label)
            for x in range(each["x"], each["x"] + each["width"])
            for y in range(each["y"], each["y"] + each["height"])
        ]
        assert len(taken) == len(set(taken))
        assert max(x for x, _ in taken) == 23


@pytest.mark.parametrize("label", SIDES)
def test_each_alarm_leads_to_the_runbook_and_to_the_dashboard_of_its_region(stack: Json, label: str) -> None:
    region, _ = SIDES[label]
    end = f"home?region={region}#dashboards/dashboard/dashboard-dr-{label}-${{var.environment}}"
    for alarm in alarms_of(stack, label).values():
        assert f" Runbook: {RUNBOOK}#" in alarm["alarm_description"]
        assert alarm["alarm_description"].endswith(
            f" Dashboard: https://{region}.console.aws.amazon.com/cloudwatch/{end}"
        )


def test_a_description_without_room_for_the_dashboard_has_the_runbook_alone(their_stack: TerraformStack) -> None:
    target = AlarmTarget(topic_arn=TOPIC, runbook=RUNBOOK, dashboard="https://console.aws.amazon.com/" + "d" * 400)
    for id_, letters in (("short", 10), ("long", 700)):
        metric_alarm(
            their_stack,
            id_,
            purpose=id_,
            region=Region(name="us-east-1"),
            environment="dev",
            target=target,
            section="drift",
            metrics=[Metric(namespace="AWS/Lambda", name="Errors", dimensions={})],
            what_to_do="l" * letters,
        )
    alarms = json.loads(CdktfTesting.synth(their_stack))["resource"]["aws_cloudwatch_metric_alarm"]
    assert [" Dashboard: " in alarms[id_]["alarm_description"] for id_ in ("short", "long")] == [True, False]
    assert alarms["long"]["alarm_description"].endswith(f" Runbook: {RUNBOOK}#drift")
