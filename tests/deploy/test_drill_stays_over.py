"""The drill on a stack whose clients return when an operator returns them."""

from pathlib import Path

import pytest

from embedded_aws.drill import place_of, protect_replica
from payment_dr.operations.drill.run import Drill
from tests.deploy.conftest import Deployed
from tests.deploy.test_drill import regions_of, verified
from tests.deploy.test_standby_switch import SCHEDULE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("options")]


def test_after_a_region_returns_with_a_backlog_no_client_reaches_it_before_its_last_item_does(
    with_options: Deployed, tmp_path: Path
) -> None:
    """Where clients return by themselves, test_drill.py counts what is missing then."""
    with with_options.branch() as branch:
        branch.client("events", "secondary").disable_rule(Name=SCHEDULE)  # the drill runs it in its own time
        protect_replica(branch)
        with place_of(branch, 1) as place:
            journal = Drill(place, "recovery-backlog", seed=1, directory=tmp_path).run().content
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1", "us-west-2", "us-east-1"]
    steps = {event["name"]: event["at"] for event in journal["events"] if event["kind"] == "step"}
    back = next(event for event in reversed(journal["events"]) if event["kind"] == "answer")
    assert steps["recovery"] + 120 < steps["failback"] < back["at"]
    assert journal["rpo"]["local"]["acknowledged_in_secondary"] > 20  # one a second of drill time
    for found in journal["rpo"].values():
        assert found["acknowledged_in_secondary"] > 0
        assert found["missing_at_failback"] == []
    judged = {target["what"]: (target["tested"], target["met"]) for target in journal["targets"]}
    assert judged["returns of DNS to us-east-1 before an operator let clients return"] == (True, True)
    (at_failback,) = (each for what, each in judged.items() if "at the failback" in what)
    assert at_failback == (True, True)
    assert verified(journal) == []
