"""Faults of records and health checks are named by `dr status` and by a drill, and harmless changes are not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.deployment import Deployment
from embedded_aws.drill import place_of
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations import cli
from payment_dr.operations.deployed_zone import read_zone
from payment_dr.operations.drill import preflight
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import SIDES, Side
from tests.deploy.test_drill import change_records, regions_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

Change = Callable[[Deployment], None]


def check_ids(stack: Deployment) -> dict[Side, str]:
    return {side: stack.value(f"{side}_health_check_id") for side in SIDES}


def updated(*sides: Side, **config: Any) -> Change:
    """Changes the health checks of these sides, or of both."""

    def change(stack: Deployment) -> None:
        for side in sides or SIDES:
            given = {name: value(stack) if callable(value) else value for name, value in config.items()}
            stack.client("route53", "primary").update_health_check(HealthCheckId=check_ids(stack)[side], **given)

    return change


def host_of(side: Side) -> Callable[[Deployment], str]:
    return lambda stack: f"{stack.value(f'{side}_api_id')}.execute-api.{stack.region(side)}.amazonaws.com"


def replaced(side: Side, **config: Any) -> Change:
    """Gives the record of a side another health check than before, with some other values."""

    def change(stack: Deployment) -> None:
        client = stack.client("route53", "primary")
        found = client.get_health_check(HealthCheckId=check_ids(stack)[side])["HealthCheck"]["HealthCheckConfig"]
        made = client.create_health_check(CallerReference="another", HealthCheckConfig={**found, **config})[
            "HealthCheck"
        ]
        id_ = made["Id"]
        change_records(stack, lambda r: r | {"HealthCheckId": id_} if r["SetIdentifier"] == side else r)

    return change


def deleted(stack: Deployment) -> None:
    stack.client("route53", "primary").delete_health_check(HealthCheckId=check_ids(stack)["secondary"])


def shared(stack: Deployment) -> None:
    change_records(stack, lambda record: record | {"HealthCheckId": check_ids(stack)["primary"]})


FAULTS: dict[str, tuple[Change, list[str]]] = {
    "both checks on a path without a route": (
        updated(ResourcePath="/nope"),
        ["primary record (us-east-1) probes a path that", "secondary record (us-west-2) probes a path that"],
    ),
    "primary on port 80": (updated("primary", Port=80), ["primary record (us-east-1) probes port 80"]),
    "without SNI": (updated("primary", EnableSNI=False), ["primary record (us-east-1) sends no SNI"]),
    "secondary's check on the primary's host": (
        updated("secondary", FullyQualifiedDomainName=host_of("primary")),
        ["secondary record (us-west-2) probes "],
    ),
    "a foreign host": (
        updated("secondary", FullyQualifiedDomainName="status.acme.io"),
        ["secondary record (us-west-2) probes status.acme.io, which is not that region"],
    ),
    "inverted": (updated("secondary", Inverted=True), ["secondary record (us-west-2) is inverted"]),
    "disabled": (updated("primary", Disabled=True), ["primary record (us-east-1) is disabled"]),
    "another threshold": (updated("secondary", FailureThreshold=1), ["detect at different speeds"]),
    "a string that the answer lacks": (
        replaced("primary", Type="HTTPS_STR_MATCH", SearchString="all is well"),
        ["primary record (us-east-1) fails although its region answers"],
    ),
    "HTTP": (replaced("primary", Type="HTTP"), ["primary record (us-east-1) is of type HTTP,"]),
    "TCP": (replaced("secondary", Type="TCP"), ["secondary record (us-west-2) is of type TCP,"]),
    "the check is gone": (deleted, ["secondary record (us-west-2) has no known status"]),
    "one check for both": (shared, ["the secondary record (us-west-2) has the health check of us-east-1"]),
}


def tagged(stack: Deployment) -> None:
    for id_ in check_ids(stack).values():
        stack.client("route53", "primary").change_tags_for_resource(
            ResourceType="healthcheck",
            ResourceId=id_,
            AddTags=[{"Key": "Name", "Value": "x"}, {"Key": "of", "Value": "y"}],
        )


def described(stack: Deployment) -> None:
    client = stack.client("cloudwatch", "primary")
    kept = client.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    for alarm in client.describe_alarms()["MetricAlarms"]:
        given = {name: value for name, value in alarm.items() if name in kept and value not in ("", [], None)}
        client.put_metric_alarm(**given | {"AlarmDescription": "another"})


def another_record(stack: Deployment) -> None:
    record = {
        "Name": f"www.{stack.value('application_fqdn')}",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": "192.0.2.1"}],
    }
    stack.client("route53", "primary").change_resource_record_sets(
        HostedZoneId=stack.value("hosted_zone_id"),
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]},
    )


HARMLESS: dict[str, Change] = {
    "another name and a tag": tagged,
    "descriptions of alarms": described,
    "three regions of checkers": updated(Regions=["us-east-1", "us-west-2", "eu-west-1"]),
    "a simple record of another name": another_record,
    "a string that the answer has": replaced("primary", Type="HTTPS_STR_MATCH", SearchString="healthy"),
}


@pytest.fixture
def named(
    branched: Deployment, outputs_for_dr: Callable[[Deployment], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Change], tuple[str, list[str]]]:
    """Changes the stack, and gives what `dr status` says of a failover and what a drill's preflight finds."""
    monkeypatch.setattr(cli, "Deployed", EmulatedStack)
    outputs = outputs_for_dr(branched)

    def name(change: Change) -> tuple[str, list[str]]:
        change(branched)
        found = CliRunner().invoke(cli.app, ["status", "--json", "--outputs", str(outputs)])
        cell = json.loads(found.stdout)["failover"]
        assert (cell["state"], found.exit_code > 0) in (("ok", False), ("bad", True)), found.stdout
        with place_of(branched, seed=1) as place:
            zone = read_zone(place.stack)
            faults = ZoneFaults(place.stack, zone)
            unfit = preflight.unfit_to_start(place.stack, faults)
            return cell["found"], list(dict.fromkeys([*unfit, *faults.all()]))

    return name


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_status_and_by_the_drill(
    fault: str, named: Callable[[Change], tuple[str, list[str]]]
) -> None:
    change, sentences = FAULTS[fault]
    by_status, by_the_drill = named(change)
    assert by_status == "; ".join(by_the_drill)
    assert len(by_the_drill) == len(sentences)
    for found, sentence in zip(by_the_drill, sentences, strict=True):
        assert sentence in found


@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_difference_is_not_named(change: str, named: Callable[[Change], tuple[str, list[str]]]) -> None:
    assert named(HARMLESS[change]) == ("records and health checks are correct", [])


def test_a_drill_of_checks_that_fail_from_the_start_breaks_nothing(branched: Deployment, tmp_path: Path) -> None:
    updated(ResourcePath="/nope")(branched)
    with place_of(branched, seed=1) as place:
        journal = Drill(place, "region", seed=1, directory=tmp_path).run().content
    assert journal["verdict"] == "missed"
    assert len(journal["causes"]) == 2
    assert regions_of(journal, "action") == []


def test_a_drill_probes_what_the_deployed_check_names(branched: Deployment, tmp_path: Path) -> None:
    """The secondary's check sees the primary: both fail with that, and Route 53 goes on answering with the primary."""
    updated("secondary", FullyQualifiedDomainName=host_of("primary"))(branched)
    with place_of(branched, seed=1) as place:
        journal = Drill(place, "region", seed=1, directory=tmp_path).run().content
    assert journal["verdict"] == "missed"
    assert "probes " in journal["causes"][0]
    assert regions_of(journal, "answer")[-1] == "us-east-1"
    failed = {event["region"] for event in journal["events"] if event["kind"] == "verdict" and not event["healthy"]}
    assert failed == {"us-east-1", "us-west-2"}
