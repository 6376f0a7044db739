"""The drill on a deployed stack: every kind of outage, and faults that it has to find."""

import io
import itertools
import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws import drill as embedded_drill
from embedded_aws.__main__ import app
from embedded_aws.deployment import PROJECT, STACK, Deployment, synthesized
from embedded_aws.drill import place_of
from main import TWO_WAY_DOCUMENTS
from payment_dr.operations.drill import clients
from payment_dr.operations.drill.journal import MODES, overwritten
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.errors import OperationError
from payment_dr.operations.verify import INCONCLUSIVE, verify

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.slow]

SEEDS = itertools.count(1)
Run = Callable[[str], Any]


@pytest.fixture
def stack(branched: Deployment) -> Deployment:
    """A deployment of a drill's own, which needs all of it to itself."""
    return branched


@pytest.fixture
def drill(stack: Deployment, tmp_path: Path) -> Run:
    """Runs a drill of a kind, and gives what its journal holds."""

    def run(kind: str) -> Any:
        seed = next(SEEDS)
        with place_of(stack, seed) as place:
            return Drill(place, kind, seed=seed, directory=tmp_path).run().content

    return run


def regions_of(journal: Any, kind: str) -> list[Any]:
    return [event["region"] for event in journal["events"] if event["kind"] == kind]


def verified(journal: Any) -> list[str]:
    """What differs when the figures of a journal are made again; it is as it was sealed."""
    found = verify(json.dumps(journal).encode())
    assert found.exit_code != INCONCLUSIVE
    return found.differing


@pytest.mark.parametrize(
    "kind",
    [
        "region",
        "hang",
        "dynamodb",
        "api",
        "health",
        "fence",
        "control-plane",
        "dns-name",
        "functions",
        "recovery-backlog",
    ],
)
def test_an_outage_fails_over_and_back_within_the_target_and_loses_nothing_that_was_confirmed(
    kind: str, drill: Run, stack: Deployment
) -> None:
    bucket = stack.value("primary_bucket_name")  # tests that share the stack may have written documents
    before = stack.client("s3", "primary").list_objects_v2(Bucket=bucket)["KeyCount"]
    journal = drill(kind)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1", "us-west-2", "us-east-1"]
    for way in ("failover", "failback"):
        measured, bound = journal["rto"][way], journal["rto"]["distribution"][way]["phases"]["total"]["bound"]
        assert 0 < measured["detect"] <= measured["total"] <= bound
    confirmed, local = journal["rpo"]["confirmed"], journal["rpo"]["local"]
    assert confirmed["acknowledged"] >= clients.RUSH_ACKNOWLEDGED
    assert (confirmed["missing_at_switch"], confirmed["missing_after_recovery"]) == ([], [])
    # What stays behind is what a region that has lost its table could not send; it arrives after the recovery.
    assert (local["missing_at_switch"] != []) == (kind in ("region", "hang", "dynamodb", "recovery-backlog"))
    # After a backlog Route 53 returns clients to a region that lacks what the other one has acknowledged meanwhile.
    at_failback = [found["missing_at_failback"] != [] for found in (confirmed, local)]
    assert at_failback == [kind == "recovery-backlog"] * 2
    assert local["missing_after_recovery"] == []
    # Only where the local client lost something has the run shown that the other one is protected.
    at_switch = next(each for each in journal["targets"] if "at the failover" in each["what"])
    assert (at_switch["tested"], at_switch["met"]) == ((True, True) if local["missing_at_switch"] else (False, None))
    assert confirmed["acknowledged_in_secondary"] > 0
    assert local["acknowledged_in_secondary"] > 20  # this client pays once a second of drill time
    for mode, rpo in journal["rpo"].items():
        paid = [each for each in journal["payments"] if each["mode"] == mode and each["acknowledged"]]
        assert len(paid) == rpo["acknowledged_in_all"] == sum(each["acknowledged"] for each in rpo["figures"])
        assert sum(not each["confirmed"] for each in paid) == rpo["acknowledged_by_one_region"]
        for way in ("failover", "failback"):  # a confirmed payment waits for the other region too
            waited = rpo["recovery"][way] - journal["rto"][way]["total"]
            is_held_back = (kind, mode, way) == ("recovery-backlog", "confirmed", "failback")
            assert (waited > 60) == is_held_back
            if mode == "local":  # its first payment in a region is the one that the drill measures
                assert -0.05 < waited < 5
    assert journal["after"]["items"]["equal"]
    assert journal["after"]["undone"]
    documents = journal["after"]["documents"]  # of which those of the secondary are not copied back
    assert verified(journal) == []
    assert documents["written"] == {"primary": before + 2, "secondary": 3}
    assert (documents["missing"]["primary"], len(documents["missing"]["secondary"])) == ([], 3)
    assert stack.aws.failed_regions() == []


def test_with_two_way_documents_what_the_secondary_has_written_is_in_the_primary_after_recovery(
    drill: Run, stack: Deployment
) -> None:
    with synthesized(settings={TWO_WAY_DOCUMENTS: "1"}) as out:
        shutil.copy(out / "stacks" / STACK / "cdk.tf.json", stack.terraform.directory)
    stack.apply()
    journal = drill("region")
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    documents = journal["after"]["documents"]
    assert (documents["copied_back"], documents["missing"]) == (True, {"primary": [], "secondary": []})
    assert len(documents["deleted_in_one_region"]) == 2


@pytest.mark.parametrize("kind", ["blip", "partial", "permission"])
def test_what_is_no_outage_does_not_fail_over(kind: str, drill: Run) -> None:
    journal = drill(kind)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1"]
    assert journal["rto"]["failover"] is None
    assert verified(journal) == []


@pytest.mark.parametrize("kind", ["replication", "secondary"])
def test_while_the_other_region_gets_nothing_clients_stay_and_only_local_payments_go_on(kind: str, drill: Run) -> None:
    journal = drill(kind)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1"]
    assert journal["rto"]["failover"] is None
    fault = [e for e in journal["events"] if e["kind"] == "action" and e["name"].startswith("fail ")]
    began, recovered = (event["at"] for event in fault)
    payments = [each for each in journal["payments"] if began < each["at"] < recovered]
    during = {mode: [each["acknowledged"] for each in payments if each["mode"] == mode] for mode in MODES}
    assert set(during["local"]) == {True}
    assert set(during["confirmed"]) == {False}
    assert [mode for mode in journal["rpo"] if journal["rpo"][mode]["missing_after_recovery"]] == []


def test_in_a_split_brain_both_regions_take_payments_and_what_was_overwritten_is_named(drill: Run) -> None:
    journal = drill("partition")
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1"]
    began, recovered = (e["at"] for e in journal["events"] if e["kind"] == "action" and e["name"] == "fail us-east-1")
    during = [each for each in journal["payments"] if began < each["at"] < recovered]
    for mode, acknowledged in (("local", True), ("confirmed", False)):
        for region in ("us-east-1", "us-west-2"):
            paid = [each["acknowledged"] for each in during if (each["mode"], each["region"]) == (mode, region)]
            assert set(paid) == {acknowledged}
    # Whatever has a key of its own is in both regions, and of two versions of one key the later one is.
    assert [found["missing_after_recovery"] for found in journal["rpo"].values()] == [[], []]
    assert journal["after"]["items"]["equal"]
    found = journal["after"]["split_brain"]
    assert len(found["conflicts"]) > 5
    for conflict in found["conflicts"]:
        first, last = conflict["versions"]
        assert {first["region"], last["region"]} == {"us-east-1", "us-west-2"}
        assert conflict["seen"]["primary"] != conflict["seen"]["secondary"]
        assert set(conflict["after"].values()) == {last["amount"]}
        assert overwritten(conflict) == [first]
    assert {conflict["versions"][0]["region"] for conflict in found["conflicts"]} == {"us-east-1", "us-west-2"}
    assert min(found["unseen"].values()) > 50
    # The parameter that was rotated in the secondary meanwhile could not be copied before the link was back.
    assert journal["after"]["rotation"]["copied"] == {"primary": True, "secondary": True}
    assert verified(journal) == []


def test_a_fault_of_the_data_plane_is_seen_by_no_probe_and_fails_the_payments(drill: Run) -> None:
    journal = drill("dataplane")
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer") == ["us-east-1"]
    assert journal["rto"]["failover"] is None
    events = journal["events"]
    began, recovered = (e["at"] for e in events if e["kind"] == "action" and e["name"] == "fail us-east-1")
    during = [event for event in events if began < event["at"] <= recovered]
    probes = [event["ok"] for event in during if event["kind"] == "probe"]
    assert probes.count(False) < len(probes) / 20  # on a busy machine one may come too late
    # they are counted by whole seconds, of which the first and the last are those of the fault in part
    paid = [e["acknowledged"] for e in during if e["kind"] == "transactions" and began < e["at"] < int(recovered)]
    assert paid
    assert sum(paid) == 0


def test_while_both_regions_are_down_dns_stays_where_it_is(drill: Run) -> None:
    journal = drill("both")
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert regions_of(journal, "answer")[-1] == "us-east-1"
    probed = {e["region"] for e in journal["events"] if e["kind"] == "probe" and not e["ok"]}
    assert probed == {"us-east-1", "us-west-2"}


def test_a_ttl_of_300_seconds_misses_the_target(drill: Run, stack: Deployment) -> None:
    change_records(stack, lambda record: record | {"TTL": 300})
    journal = drill("region")
    assert journal["verdict"] == "missed"
    assert "TTL of app.payment-app.test is 300 s" in journal["causes"][0]
    missed = [target["what"] for target in journal["targets"] if not target["met"]]
    assert "failover, bound of the model" in missed


def test_a_secondary_record_without_a_health_check_is_found(drill: Run, stack: Deployment) -> None:
    def drop(record: dict[str, Any]) -> dict[str, Any]:
        is_secondary = record["SetIdentifier"] == "secondary"
        return {name: value for name, value in record.items() if name != "HealthCheckId" or not is_secondary}

    change_records(stack, drop)
    journal = drill("region")
    assert journal["verdict"] == "missed"
    assert journal["causes"] == [
        "the secondary record (us-west-2) has no health check, so Route 53 considers it healthy even when it is not"
    ]


def test_swapped_weights_are_found_and_nothing_is_broken_then(drill: Run, stack: Deployment) -> None:
    change_records(stack, lambda record: record | {"Weight": 100 - record["Weight"]})
    journal = drill("region")
    assert journal["verdict"] == "missed"
    assert "the weights of app.payment-app.test are us-east-1 0, us-west-2 100" in journal["causes"][0]
    assert [event for event in journal["events"] if event["kind"] == "action"] == []


def test_a_dropped_replica_is_found_and_nothing_is_broken_then(drill: Run, stack: Deployment) -> None:
    dropped = [{"Delete": {"RegionName": "us-west-2"}}]
    stack.client("dynamodb", "primary").update_table(
        TableName=stack.value("dynamodb_table_name"), ReplicaUpdates=dropped
    )
    journal = drill("region")
    assert journal["verdict"] == "missed"
    assert journal["causes"][0].startswith("no replica in us-west-2: the table transactions of us-east-1")
    assert [event for event in journal["events"] if event["kind"] == "action"] == []


def test_a_health_function_that_takes_a_missing_right_for_an_outage_is_found(drill: Run, stack: Deployment) -> None:
    change_health_function(stack, '    return UNKNOWN, "monitor_refused"', '    return UNHEALTHY, "monitor_refused"')
    journal = drill("permission")
    assert journal["verdict"] == "missed"
    assert "the health function of us-east-1 calls AccessDenied unhealthy" in journal["causes"][0]


def test_a_degraded_stack_is_not_drilled(drill: Run, stack: Deployment) -> None:
    stack.aws.fail_region("us-west-2", service="execute-api")
    with pytest.raises(OperationError, match=r"does not start from a degraded state: .*health of us-west-2"):
        drill("region")


def test_a_health_function_that_answers_too_late_for_a_checker_is_not_drilled(drill: Run, stack: Deployment) -> None:
    began = "    started = time.monotonic()\n    event ="
    change_health_function(stack, began, f"    time.sleep(2.1)\n{began}")
    with pytest.raises(OperationError, match=r"health of us-east-1: fails: no answer within 2 s of connecting"):
        drill("region")


def test_an_interrupted_drill_is_undone_and_leaves_its_journal(stack: Deployment, tmp_path: Path) -> None:
    def tell(step: str) -> None:
        if step == "switch":
            assert stack.aws.failed_regions() == ["us-east-1"]
            raise KeyboardInterrupt

    with place_of(stack, 1) as place, pytest.raises(KeyboardInterrupt):
        Drill(place, "region", seed=1, directory=tmp_path, tell=tell).run()
    assert stack.aws.failed_regions() == []
    (path,) = tmp_path.glob("*.json")
    left = json.loads(path.read_text())
    assert (left["verdict"], left["causes"]) == ("inconclusive", ["interrupted: KeyboardInterrupt"])
    assert left["after"]["undone"]


def test_a_drill_whose_aws_ends_midway_exits_with_2_and_says_so(
    stack: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command line; what it would deploy is there already."""
    plan, applied = object(), list[object]()

    def deployment(**given: Any) -> AbstractContextManager[Deployment]:
        assert given == {"on_step": end_aws, "on_event": ignore, "stack_dir": None}
        monkeypatch.setattr(stack, "plan", lambda: plan)
        monkeypatch.setattr(stack, "apply", applied.append)
        return nullcontext(stack)

    def end_aws(step: str) -> None:
        if step == "detection":
            os.killpg(stack.aws.pid, signal.SIGKILL)

    def ignore(_: object) -> None:
        """No progress is shown."""

    monkeypatch.setattr(embedded_drill, "Deployment", deployment)
    monkeypatch.setattr(embedded_drill, "progress_of", lambda _: nullcontext((end_aws, ignore)))
    found = CliRunner().invoke(app, ["drill", "--report-dir", str(tmp_path)])
    assert found.exit_code == 2, found.output
    assert applied == [plan]
    assert "error: inconclusive: the embedded AWS ended by itself" in found.stderr
    assert "every change was undone" in found.stderr
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["verdict"] == "inconclusive"


def change_records(stack: Deployment, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the two weighted records."""
    client, zone = stack.client("route53", "primary"), stack.value("hosted_zone_id")
    records = [
        record
        for record in client.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        if record["Type"] == "CNAME"
    ]
    # All go before any comes: weighted records of a name have one TTL.
    changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in records]
    changes += [{"Action": "CREATE", "ResourceRecordSet": change(record)} for record in records]
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def change_health_function(stack: Deployment, old: str, new: str) -> None:
    """Let the primary's health function run other code."""
    code = (PROJECT / "handlers/lambda_health_monitor.py").read_text(encoding="utf-8")
    assert code.count(old) == 1
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("lambda_health_monitor.py", code.replace(old, new))
    stack.client("lambda", "primary").update_function_code(
        FunctionName=stack.value("primary_health_monitor_function_name"), ZipFile=packed.getvalue()
    )
