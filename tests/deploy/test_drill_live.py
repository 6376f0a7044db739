"""`dr drill` on the embedded AWS, which it takes for the user's own stack.

Its clock runs fast, its stack detects an outage at the first failure, and its records have a short TTL. A call takes as
long as on the embedded AWS, whatever the machine takes for it.
"""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from embedded_aws.deployment import PROJECT, Deployment
from embedded_aws.emulated_stack import EmulatedStack
from embedded_aws.server import TYPICAL_REPLICATION_SECONDS
from payment_dr.operations import cli, probes, standby_writes
from payment_dr.operations.drill import clients, live, live_dns, outages, run
from payment_dr.operations.verify import VERIFIED, verify
from payment_dr.side import SIDES
from tests.embedded_aws.processes import killed_at_the_end
from tests.operations.drill.dns_server import FollowedClock, NameServer, name_server_of

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.slow]

SPEED = 20.0
TTL = 5
QUIET_SECONDS, SERVING_SECONDS = 10.0, 20.0
Dr = Callable[..., Result]


@pytest.fixture
def outputs(
    branched: Deployment, outputs_for_dr: Callable[[Deployment], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A file of the stack's outputs; the stack is quick to fail over, and its replication takes time."""
    monkeypatch.setattr(cli, "Deployed", EmulatedStack)
    monkeypatch.setattr(run, "QUIET_SECONDS", QUIET_SECONDS)
    monkeypatch.setattr(outages, "SERVING_SECONDS", SERVING_SECONDS)
    monkeypatch.setattr(standby_writes, "EMPTY_SECONDS", 0.0)  # what is written is in the stream at once
    monkeypatch.setattr(live_dns, "ANSWER_SECONDS", 60.0)  # the name server answers when the machine gets round to it
    route53, zone = branched.client("route53", "primary"), branched.value("hosted_zone_id")
    found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    records = [record for record in found if "HealthCheckId" in record]
    for record in records:
        route53.update_health_check(HealthCheckId=record["HealthCheckId"], FailureThreshold=1)
    # All go before any comes: weighted records of a name have one TTL.
    changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in records]
    changes += [{"Action": "CREATE", "ResourceRecordSet": record | {"TTL": TTL}} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    branched.aws.set_replication_lag(TYPICAL_REPLICATION_SECONDS, seed=1)
    return outputs_for_dr(branched)


@pytest.fixture
def stack(outputs: Path) -> EmulatedStack:
    """The stack as `dr` knows it."""
    return EmulatedStack.read(outputs=outputs)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FollowedClock:
    """The drill's own clock."""
    clock = FollowedClock(SPEED)
    monkeypatch.setattr(live, "Clock", lambda: clock)
    return clock


@pytest.fixture
def dr(outputs: Path, tmp_path: Path) -> Dr:
    """Runs `dr drill`."""

    def drill(*arguments: str, answer: str = "") -> Result:
        told = ["drill", "--outputs", str(outputs), "--report-dir", str(tmp_path / "reports"), *arguments]
        return CliRunner().invoke(cli.app, told, input=answer)

    return drill


def left_in(branched: Deployment) -> set[str]:
    """Ids of what is in one of the tables."""
    name = branched.value("dynamodb_table_name")
    return {
        item["transaction_id"]["S"]
        for side in ("primary", "secondary")
        for page in branched.client("dynamodb", side).get_paginator("scan").paginate(TableName=name)
        for item in page["Items"]
    }


@pytest.fixture
def before(branched: Deployment) -> set[str]:
    """What others have left in the tables."""
    return left_in(branched)


def journal_in(directory: Path) -> Any:
    (path,) = (directory / "reports").glob("*.json")
    assert {each.suffix for each in path.parent.iterdir()} == {".json", ".html", ".png"}
    return json.loads(path.read_text())


def test_a_fence_fails_over_and_back_and_nothing_of_the_drill_is_left(
    branched: Deployment, before: set[str], stack: EmulatedStack, clock: FollowedClock, dr: Dr, tmp_path: Path
) -> None:
    ours = {"transaction_id": {"S": "a-client's"}, "timestamp": {"N": "1"}}
    table = branched.value("dynamodb_table_name")
    branched.client("dynamodb", "primary").put_item(TableName=table, Item=ours)
    with name_server_of(stack, clock, tmp_path) as server:
        done = dr("--yes", "--no-end", "--name-server", server.address)
    assert done.exit_code == 0, done.output
    journal = journal_in(tmp_path)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    answers = [event["region"] for event in journal["events"] if event["kind"] == "answer"]
    assert answers == ["us-east-1", "us-west-2", "us-east-1"]
    for way in ("failover", "failback"):
        measured = journal["rto"][way]
        assert 0 < measured["detect"] <= measured["total"] <= 180
    confirmed = journal["rpo"]["confirmed"]
    assert confirmed["acknowledged"] >= clients.RUSH_ACKNOWLEDGED
    assert (confirmed["missing_at_switch"], confirmed["missing_after_recovery"]) == ([], [])
    assert confirmed["missing_at_failback"] == []
    untested = {each["what"].partition(",")[0]: each["how"] for each in journal["targets"] if not each["tested"]}
    assert untested == {
        "health checks whose alarm did not fire": "not tested here: nothing evaluates alarms",
        "health functions that do not report a failing table": "not tested on a stack that others use",
        "parameter rotated and not copied": "not tested on a stack that others use",
        "alarms that reached nobody": "not tested on a stack that others use",
        "confirmed mode: missing in us-west-2 at the failover": "not tested by this outage: replication goes on",
    }
    assert "real, the zone's name servers" in {target["how"] for target in journal["targets"]}
    found = verify(json.dumps(journal).encode())
    assert (found.exit_code, found.differing) == (VERIFIED, [])
    assert {e["name"]: e["undone"] for e in journal["events"] if e["kind"] == "action"} == {
        "fence us-east-1": True,
        f"write transactions dr-drill-{journal['id']}-…": True,
    }
    assert left_in(branched) == before | {"a-client's"}
    assert probes.reserved_concurrency(stack, "primary") is None
    for side in SIDES:  # what is not the drill's is neither counted nor touched
        client = branched.client("dynamodb", side)
        assert client.get_item(TableName=table, Key=ours).get("Item") == ours
    assert (
        journal["after"]["items"]["primary"]
        == confirmed["acknowledged_in_all"] + (journal["rpo"]["local"]["acknowledged_in_all"])
    )


def test_payments_go_to_the_endpoint_that_the_user_gives(
    branched: Deployment, before: set[str], stack: EmulatedStack, clock: FollowedClock, dr: Dr, tmp_path: Path
) -> None:
    taken: list[str] = []

    class Payments(http.server.BaseHTTPRequestHandler):
        """Somebody's payment service, which follows the same DNS."""

        def do_POST(self) -> None:
            paid = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            side = next(side for side in SIDES if stack.output(side, "api_id") in server.answers[0])
            item = {name: {"N" if isinstance(value, int) else "S": str(value)} for name, value in paid.items()}
            stack.client("dynamodb", side).put_item(TableName=stack.outputs["dynamodb_table_name"], Item=item)
            taken.append(paid["transaction_id"])
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with (
        name_server_of(stack, clock, tmp_path) as server,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Payments) as service,
    ):
        threading.Thread(target=service.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{service.server_port}/payments"
        done = dr("--yes", "--no-end", "--name-server", server.address, "--endpoint", address)
        service.shutdown()
    assert done.exit_code == 0, done.output
    journal = journal_in(tmp_path)
    assert journal["load"] == {"way": "endpoint", "to": address, "confirms": False}
    rpo = journal["rpo"]  # the service is the local mode; the confirmed mode is the drill's own client
    assert rpo["local"]["acknowledged_in_all"] == len(set(taken)) > 0
    assert all("-local-" in id_ for id_ in taken)
    assert rpo["confirmed"]["acknowledged_in_all"] >= clients.RUSH_ACKNOWLEDGED
    assert left_in(branched) == before


def test_at_its_time_limit_it_ends_undoes_all_and_is_inconclusive(
    branched: Deployment,
    before: set[str],
    stack: EmulatedStack,
    clock: FollowedClock,
    dr: Dr,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "SERVING_SECONDS", 900.0)  # the outage goes on beyond the limit
    with NameServer() as server:  # which goes on answering with the primary
        server.answers = [f"{stack.target('primary')}."]
        done = dr("--yes", "--no-end", "--name-server", server.address, "--limit", "12")
    assert done.exit_code == 2, done.output
    assert "the time limit is reached" in done.stderr, done.stderr
    assert "every change was undone" in done.stderr
    journal = journal_in(tmp_path)
    assert "fence us-east-1" in [event["name"] for event in journal["events"] if event["kind"] == "action"]
    assert (journal["verdict"], journal["after"]["undone"]) == ("inconclusive", True)
    assert probes.reserved_concurrency(stack, "primary") is None
    assert left_in(branched) == before


def test_a_zone_that_does_not_answer_is_not_drilled(
    stack: EmulatedStack, clock: FollowedClock, dr: Dr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_dns, "ANSWER_SECONDS", 0.2)
    with NameServer() as server:
        done = dr("--yes", "--no-end", "--name-server", server.address)
    assert done.exit_code == 2
    assert "no name server of the zone answers for app.payment-app.test" in done.stderr
    assert "fence us-east-1" not in (tmp_path / "reports").joinpath(journal_in(tmp_path)["id"] + ".json").read_text()


def test_nothing_is_touched_without_a_yes(branched: Deployment, clock: FollowedClock, dr: Dr, tmp_path: Path) -> None:
    done = dr("--no-end", "--name-server", "127.0.0.1:1", answer="n\n")
    assert done.exit_code == 2
    assert "This drills account" in done.stderr
    assert "it fences us-east-1, which sends ALL clients of app.payment-app.test to us-west-2" in done.stderr
    assert "not confirmed; nothing was changed" in done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_degraded_stack_is_not_drilled(
    branched: Deployment, stack: EmulatedStack, clock: FollowedClock, dr: Dr
) -> None:
    branched.aws.fail_region("us-west-2", service="execute-api")
    done = dr("--yes", "--no-end", "--name-server", "127.0.0.1:1")
    assert done.exit_code == 2
    assert "does not start from a degraded state" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_interrupted_leaves_no_fence_and_no_transaction(
    number: signal.Signals, branched: Deployment, before: set[str], stack: EmulatedStack, tmp_path: Path, outputs: Path
) -> None:
    with NameServer() as server:
        server.answers = [f"{stack.target('primary')}."]
        arguments = ["--yes", "--no-end", "--outputs", str(outputs), "--name-server", server.address]
        faster = (
            "from embedded_aws.emulated_stack import EmulatedStack; "
            "from payment_dr.operations import cli, entry_point; from payment_dr.operations.drill import live, run; "
            f"c = live.Clock({SPEED}); live.Clock = lambda: c; cli.Deployed = EmulatedStack; "
            f"run.QUIET_SECONDS = {QUIET_SECONDS}; entry_point.main()"
        )
        begun = subprocess.Popen(
            [sys.executable, "-c", faster, "drill", *arguments, "--report-dir", str(tmp_path)],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
        )
        with killed_at_the_end(begun) as started:
            assert started.stderr
            for line in started.stderr:
                if "detection" in line:
                    assert probes.reserved_concurrency(stack, "primary") == 0
                    assert left_in(branched) > before
                    started.send_signal(number)
                    break
            said = started.stderr.read()
    assert started.returncode == 128 + number, said
    assert probes.reserved_concurrency(stack, "primary") is None
    assert left_in(branched) == before


def test_an_alarm_that_rings_is_told_and_has_to_be_silent_again(
    branched: Deployment, stack: EmulatedStack, clock: FollowedClock, dr: Dr, tmp_path: Path
) -> None:
    alarms = boto3.client("cloudwatch", region_name="us-west-2", endpoint_url=stack.endpoint_url)
    name = next(name for name in stack.outputs["alarm_names"] if "west" in name)

    def ring(state: str) -> None:
        alarms.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")

    def silence() -> None:
        while clock.now() < 3600 and "failback" not in reached:
            if ended.wait(0.1):
                return
        ring("OK")

    reached: list[str] = []
    ended = threading.Event()
    threading.Thread(target=silence, daemon=True).start()
    with name_server_of(stack, clock, tmp_path) as server, ExitStack() as at_the_end:
        at_the_end.callback(ended.set)

        def tell(step: str) -> None:
            reached.append(step)
            if step == "detection":
                ring("ALARM")

        journal = live.drill(
            stack,
            seed=1,
            directory=tmp_path / "reports",
            tell=tell,
            confirm=lambda *_: None,
            limit_minutes=30,
            no_end=True,
            name_servers=[server.address],
            clock=clock,
        ).content
    assert journal["verdict"] == "passed"
    assert journal["after"]["alarms"] == {"expected": {}, "fired": [name], "still": [], "undelivered": None}
    states = [event["state"] for event in journal["events"] if event["kind"] == "alarm"]
    assert states == ["ALARM", "OK"]
