"""Changes of the application's records and health checks, at each moment of which the name is answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.deployment import Deployment
from payment_dr.operations import cli
from payment_dr.operations.terraform.runner import ResourceEvent, TerraformFailed
from payment_dr.side import SIDES
from tests.deploy.conftest import Deployed, Reshape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

RECORDS = tuple(f"aws_route53_record.dns_{side}_record" for side in SIDES)


@pytest.fixture
def dr(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs `dr` as an operator does whose credentials are of the embedded AWS."""

    def run(deployment: Deployment, command: str, *options: str) -> str:
        for name, value in deployment.aws.environment().items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(cli.app, [command, str(deployment.terraform.directory), *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def records_of(deployment: Deployment) -> list[dict[str, Any]]:
    """The records of the application's name."""
    found = deployment.client("route53", "primary").list_resource_record_sets(
        HostedZoneId=deployment.value("hosted_zone_id")
    )["ResourceRecordSets"]
    return [record for record in found if record["Name"] == f"{deployment.value('application_fqdn')}."]


def test_another_interval_replaces_a_health_check_once_its_successor_is_named(
    deployment: Deployed, reshape: Reshape
) -> None:
    """Route 53 lets a check be deleted that a record names, and answers by chance from then on."""
    events: list[tuple[str, str, str]] = []

    def note(event: ResourceEvent) -> None:
        events.append((event.address, event.action, event.phase))

    with deployment.branch(on_event=note) as branch:
        reshape(branch, "request_interval_seconds=10")
        branch.terraform.apply(refresh=False)
        route53, cloudwatch = branch.client("route53", "primary"), branch.client("cloudwatch", "primary")
        checks = {check["Id"]: check["HealthCheckConfig"] for check in route53.list_health_checks()["HealthChecks"]}
        named = {record["SetIdentifier"]: record["HealthCheckId"] for record in records_of(branch)}
        watched = {
            dimension["Value"]
            for alarm in cloudwatch.describe_alarms()["MetricAlarms"]
            for dimension in alarm.get("Dimensions", [])
            if dimension["Name"] == "HealthCheckId"
        }

    for side in SIDES:
        check = f"aws_route53_health_check.dns_{side}_health_check"
        record = f"aws_route53_record.dns_{side}_record"
        deleted, renamed = (check, "delete", "start"), (record, "update", "complete")
        assert events.index(renamed) < events.index(deleted)
    assert {check["RequestInterval"] for check in checks.values()} == {10}
    assert set(named.values()) == watched == set(checks)


def test_data_canary_and_switch_are_turned_on_and_off_and_each_record_names_a_check_that_exists(
    deployment: Deployed, reshape: Reshape
) -> None:
    events: list[tuple[str, str, str]] = []

    def note(event: ResourceEvent) -> None:
        events.append((event.address, event.action, event.phase))

    def look(branch: Deployment) -> tuple[dict[str, Any], list[str]]:
        route53 = branch.client("route53", "primary")
        checks = {check["Id"]: check["HealthCheckConfig"] for check in route53.list_health_checks()["HealthChecks"]}
        return checks, [record["HealthCheckId"] for record in records_of(branch)]

    with deployment.branch(on_event=note) as branch:
        probes, named_before = look(branch)
        reshape(branch, "data_canary=True, switch=True")
        branch.terraform.apply(refresh=False)
        checks, named = look(branch)
        assert branch.plan().actions == {}
        turned_on, events[:] = list(events), []
        reshape(branch, "")
        branch.terraform.apply(refresh=False)
        assert look(branch) == (probes, named_before)

    of_others = {"primary": ["CLOUDWATCH_METRIC", "HTTPS"], "secondary": ["CLOUDWATCH_METRIC"]}  # HTTPS: the switch
    for side, id_, probe in zip(SIDES, named, named_before, strict=True):
        children = checks[id_]["ChildHealthChecks"]
        assert (checks[id_]["Type"], checks[id_]["HealthThreshold"]) == ("CALCULATED", len(children))
        assert sorted(checks[child]["Type"] for child in {*children} - {probe}) == of_others[side]
    assert [check["ResourcePath"] for check in checks.values() if check.get("Inverted")] == ["/switch"]
    for side in SIDES:
        renamed = f"aws_route53_record.dns_{side}_record", "update"
        names = [f"dns_{side}_{what}_health_check" for what in ("alarm", "calculated")]
        for name in [*names, *(["dns_switch_health_check"] if side == "primary" else [])]:
            check = f"aws_route53_health_check.{name}"
            assert turned_on.index((check, "create", "complete")) < turned_on.index((*renamed, "start"))
            assert events.index((*renamed, "complete")) < events.index((check, "delete", "start"))


def test_another_ttl_is_refused_by_record_and_taken_in_one_batch(
    branched: Deployment, reshape: Reshape, dr: Callable[..., str]
) -> None:
    reshape(branched, "ttl_seconds=60")
    with pytest.raises(TerraformFailed, match="weighted sets must contain the same TTL"):
        branched.terraform.apply(targets=RECORDS, refresh=False)
    assert [record["TTL"] for record in records_of(branched)] == [30, 30]

    said = dr(branched, "records", "--yes").splitlines()

    assert [line.split(":")[0] for line in said] == ["delete", "delete", "create", "create"]
    assert {(record["SetIdentifier"], record["TTL"]) for record in records_of(branched)} == {
        (side, 60) for side in SIDES
    }
    assert branched.plan().actions == {}


def test_weighted_records_take_the_place_of_a_live_applications(branched: Deployment, dr: Callable[..., str]) -> None:
    """As docs/from-one-region.md says."""
    wanted = records_of(branched)
    simple = {"Name": wanted[0]["Name"], "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": "live.acme.io"}]}
    changes = [*(("DELETE", record) for record in wanted), ("CREATE", simple)]
    branched.client("route53", "primary").change_resource_record_sets(
        HostedZoneId=branched.value("hosted_zone_id"),
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]},
    )
    forget_records(branched)
    with pytest.raises(TerraformFailed, match="a non-weighted set exists with the same name and type"):
        branched.terraform.apply(targets=RECORDS, refresh=False)
    switch = json.loads(dr(branched, "records", "--dry-run", "--json"))
    assert records_of(branched) == [simple]
    route53 = branched.client("route53", "primary")
    route53.change_resource_record_sets(**switch)
    assert records_of(branched) == wanted
    route53.change_resource_record_sets(**opposite(switch))
    assert records_of(branched) == [simple]

    dr(branched, "records", "--yes")
    assert records_of(branched) == wanted
    assert [line.split()[:2] for line in dr(branched, "adopt").splitlines()] == [
        ["adopted:", address] for address in RECORDS
    ]
    assert branched.plan().actions == {}


def opposite(batch: dict[str, Any]) -> dict[str, Any]:
    """What the page's jq makes of a batch."""
    changes = [
        {**change, "Action": "DELETE" if change["Action"] == "CREATE" else "CREATE"}
        for change in batch["ChangeBatch"]["Changes"]
    ]
    ordered = sorted(changes, key=lambda change: str(change["Action"]), reverse=True)
    return {**batch, "ChangeBatch": {"Changes": ordered}}


def forget_records(deployment: Deployment) -> None:
    """Take them out of Terraform's state."""
    path = deployment.terraform.directory / "terraform.tfstate"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["resources"] = [each for each in state["resources"] if each["type"] != "aws_route53_record"]
    path.write_text(json.dumps({**state, "serial": state["serial"] + 1}), encoding="utf-8")
