"""The data canary on the embedded AWS, with IAM enforced and a table that replicates with a lag."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from embedded_aws.drill import place_of, protect_replica
from payment_dr.data_canary import FAILOVER_SECONDS
from payment_dr.operations.drill.run import Drill
from payment_dr.side import OTHER, SIDES, Side
from tests.deploy.conftest import Deployed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("options")]

LABELS = {"primary": "east", "secondary": "west"}


@pytest.fixture
def branch(with_options: Deployed) -> Iterator[Deployment]:
    with with_options.branch() as branch:
        yield branch


def function(side: Side) -> str:
    return f"lambda-data-canary-{LABELS[side]}-dev"


def run(deployment: Deployment, side: Side) -> dict[str, Any]:
    """What the canary of a region has found, or the error that it ended with."""
    answer = deployment.client("lambda", side).invoke(FunctionName=function(side))
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


def test_each_canary_sees_its_own_region_and_what_the_other_one_has_sent(branch: Deployment) -> None:
    for side in SIDES:
        run(branch, side)

    found = [run(branch, side) for side in SIDES]
    assert [each["failure"] for each in found] == [None, None]
    assert all(each["replication_age_seconds"] >= 0 for each in found)


@pytest.mark.parametrize("side", SIDES)
def test_replication_that_stalls_makes_the_other_regions_item_old(branch: Deployment, side: Side) -> None:
    for each in SIDES:
        run(branch, each)
    before = run(branch, side)["replication_age_seconds"]
    branch.aws.set_replication_lag(3600)

    def is_older() -> bool:
        run(branch, OTHER[side])  # which does not arrive
        return bool(run(branch, side)["replication_age_seconds"] > before + 1)

    eventually(is_older, "an older item")
    assert run(branch, side)["failure"] is None


@pytest.mark.parametrize("side", SIDES)
def test_a_function_may_not_touch_another_item(branch: Deployment, side: Side) -> None:
    configuration = branch.client("lambda", side).get_function_configuration(FunctionName=function(side))
    variables = configuration["Environment"]["Variables"] | {"PEER_REGION": "eu-west-1"}
    branch.client("lambda", side).update_function_configuration(
        FunctionName=function(side), Environment={"Variables": variables}
    )
    assert run(branch, side)["errorMessage"] == "the canary is inconclusive: ClientError"


def test_a_fault_of_the_data_plane_that_no_probe_sees_fails_over_and_back(branch: Deployment, tmp_path: Path) -> None:
    protect_replica(branch)
    with place_of(branch, seed=1) as place:
        journal: Any = Drill(place, "dataplane", seed=1, directory=tmp_path).run().content
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    events = journal["events"]
    assert [e["region"] for e in events if e["kind"] == "answer"] == ["us-east-1", "us-west-2", "us-east-1"]
    probes = [e["ok"] for e in events if e["kind"] == "probe"]
    assert probes.count(False) < len(probes) / 20  # on a busy machine one may come too late
    for way in ("failover", "failback"):
        bounds = {name: phase["bound"] for name, phase in journal["rto"]["distribution"][way]["phases"].items()}
        assert bounds["detect"] == FAILOVER_SECONDS
        assert {name for name, bound in bounds.items() if journal["rto"][way][name] > bound} == set()
    assert journal["rpo"]["confirmed"]["missing_at_switch"] == []
    # The standby sees the alarm, and holds the switch until an operator lets clients return.
    stays = [target for target in journal["targets"] if "before an operator" in target["what"]]
    assert [(target["measured"], target["met"]) for target in stays] == [(0, True)]


def test_the_rule_runs_it_and_its_metrics_are_in_its_log(branch: Deployment) -> None:
    rule = branch.client("events", "primary").describe_rule(Name="event-rule-data-canary-east-dev")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    run(branch, "primary")
    logs, group = branch.client("logs", "primary"), f"/aws/lambda/{function('primary')}"

    def metrics_are_logged() -> bool:
        messages = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
        records = [json.loads(message) for message in messages if message.startswith("{")]
        return [record["DataPathFailures"] for record in records if "_aws" in record] != []

    eventually(metrics_are_logged, "metrics in the log")
