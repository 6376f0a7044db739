"""`dr drill --live` on the embedded AWS, which it takes for the user's own stack; its clock runs fast."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from embedded_aws import checks
from embedded_aws.deployment import PROJECT, Deployment
from embedded_aws.server import TYPICAL_REPLICATION_SECONDS
from payment_dr.operations import cli, probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill import live
from payment_dr.operations.drill.live_dns import Clock
from payment_dr.side import SIDES
from tests.operations.drill.dns_server import NameServer, name_server_of

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.slow]

SPEED = 10.0
Dr = Callable[..., Result]


@pytest.fixture
def outputs(drilled: Deployment, outputs_for_dr: Callable[[Deployment], Path]) -> Iterator[Path]:
    """A file of the stack's outputs; the stack is well, and its replication takes time."""
    path = outputs_for_dr(drilled)
    for side in SIDES:  # functions may be cold: too slow for Route 53 on a busy machine
        checks.check_health(drilled, side)
    drilled.aws.set_replication_lag(TYPICAL_REPLICATION_SECONDS, seed=1)
    yield path
    drilled.aws.set_replication_lag(0)
    function = drilled.value("primary_health_monitor_function_name")
    drilled.client("lambda", "primary").delete_function_concurrency(FunctionName=function)


@pytest.fixture
def stack(outputs: Path) -> Deployed:
    """The stack as `dr` knows it."""
    return Deployed.read(outputs=outputs)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The drill's own clock."""
    clock = Clock(SPEED)
    monkeypatch.setattr(live, "Clock", lambda: clock)
    return clock


@pytest.fixture
def dr(outputs: Path, tmp_path: Path) -> Dr:
    """Runs `dr drill`."""

    def run(*arguments: str, answer: str = "") -> Result:
        told = ["drill", "--outputs", str(outputs), "--report-dir", str(tmp_path / "reports"), *arguments]
        return CliRunner().invoke(cli.app, told, input=answer)

    return run


def left_in(drilled: Deployment) -> set[str]:
    """Ids of what is in one of the tables."""
    name = drilled.value("dynamodb_table_name")
    return {
        item["transaction_id"]["S"]
        for side in ("primary", "secondary")
        for page in drilled.client("dynamodb", side).get_paginator("scan").paginate(TableName=name)
        for item in page["Items"]
    }


@pytest.fixture
def before(drilled: Deployment) -> set[str]:
    """What others have left in the tables."""
    return left_in(drilled)


def journal_in(directory: Path) -> Any:
    (path,) = (directory / "reports").glob("*.json")
    assert {each.suffix for each in path.parent.iterdir()} == {".json", ".html", ".png"}
    return json.loads(path.read_text())


def test_a_fence_fails_over_and_back_and_nothing_of_the_drill_is_left(
    drilled: Deployment, before: set[str], stack: Deployed, clock: Clock, dr: Dr, tmp_path: Path
) -> None:
    ours = {"transaction_id": {"S": "a-client's"}, "timestamp": {"N": "1"}}
    table = drilled.value("dynamodb_table_name")
    drilled.client("dynamodb", "primary").put_item(TableName=table, Item=ours)
    with name_server_of(stack, clock, tmp_path) as server:
        done = dr("--yes", "--name-server", server.address)
    assert done.exit_code == 0, done.output
    journal = journal_in(tmp_path)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    answers = [event["region"] for event in journal["events"] if event["kind"] == "answer"]
    assert answers == ["us-east-1", "us-west-2", "us-east-1"]
    for way in ("failover", "failback"):
        measured = journal["rto"][way]
        assert 0 < measured["detect"] < measured["total"] <= 180
    confirmed = journal["rpo"]["confirmed"]
    assert confirmed["acknowledged"] > 20
    assert (confirmed["missing_at_switch"], confirmed["missing_after_recovery"]) == ([], [])
    assert "real, the zone's name servers" in {target["how"] for target in journal["targets"]}
    assert {e["name"]: e["undone"] for e in journal["events"] if e["kind"] == "action"} == {
        "fence us-east-1": True,
        f"write transactions dr-drill-{journal['id']}-…": True,
    }
    assert left_in(drilled) == before | {"a-client's"}
    assert probes.reserved_concurrency(stack, "primary") is None
    for side in SIDES:  # what is not the drill's is neither counted nor touched
        client = drilled.client("dynamodb", side)
        assert client.get_item(TableName=table, Key=ours).get("Item") == ours
    assert (
        journal["after"]["items"]["primary"]
        == confirmed["acknowledged_in_all"] + (journal["rpo"]["local"]["acknowledged_in_all"])
    )
    for side in SIDES:  # at once, whatever the replication's lag
        drilled.client("dynamodb", side).delete_item(TableName=table, Key=ours)


def test_payments_go_to_the_endpoint_that_the_user_gives(
    drilled: Deployment, before: set[str], stack: Deployed, clock: Clock, dr: Dr, tmp_path: Path
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
        done = dr("--yes", "--name-server", server.address, "--endpoint", address)
        service.shutdown()
    assert done.exit_code == 0, done.output
    rpo = journal_in(tmp_path)["rpo"]
    assert sum(rpo[mode]["acknowledged_in_all"] for mode in rpo) == len(set(taken)) > 20
    assert left_in(drilled) == before


def test_at_its_time_limit_it_ends_undoes_all_and_could_not_tell(
    drilled: Deployment, before: set[str], stack: Deployed, clock: Clock, dr: Dr, tmp_path: Path
) -> None:
    with NameServer() as server:  # which goes on answering with the primary
        server.answers = [f"{stack.target('primary')}."]
        done = dr("--yes", "--name-server", server.address, "--limit", "3")
    assert done.exit_code == 2, done.output
    assert "the time limit is reached" in done.stderr, done.stderr
    assert "all that was done is undone" in done.stderr
    journal = journal_in(tmp_path)
    assert "fence us-east-1" in [event["name"] for event in journal["events"] if event["kind"] == "action"]
    assert (journal["verdict"], journal["after"]["undone"]) == ("could not tell", True)
    assert probes.reserved_concurrency(stack, "primary") is None
    assert left_in(drilled) == before


def test_a_zone_that_does_not_answer_is_not_drilled(stack: Deployed, clock: Clock, dr: Dr, tmp_path: Path) -> None:
    with NameServer() as server:
        done = dr("--yes", "--name-server", server.address)
    assert done.exit_code == 2
    assert "no name server of the zone answers for app.payment-app.test" in done.stderr
    assert "fence us-east-1" not in (tmp_path / "reports").joinpath(journal_in(tmp_path)["id"] + ".json").read_text()


def test_nothing_is_touched_without_a_yes(drilled: Deployment, clock: Clock, dr: Dr, tmp_path: Path) -> None:
    done = dr("--name-server", "127.0.0.1:1", answer="n\n")
    assert done.exit_code == 2
    assert "This drills account" in done.stderr
    assert "us-east-1 is fenced, so that ALL clients of app.payment-app.test go to us-west-2" in done.stderr
    assert "not confirmed; nothing was changed" in done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_degraded_stack_is_not_drilled(drilled: Deployment, stack: Deployed, clock: Clock, dr: Dr) -> None:
    drilled.aws.fail_region("us-west-2", service="execute-api")
    try:
        done = dr("--yes", "--name-server", "127.0.0.1:1")
    finally:
        drilled.aws.restore_region("us-west-2")
    assert done.exit_code == 2
    assert "does not start from a degraded state" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_interrupted_leaves_no_fence_and_no_transaction(
    number: signal.Signals, drilled: Deployment, before: set[str], stack: Deployed, tmp_path: Path, outputs: Path
) -> None:
    with NameServer() as server:
        server.answers = [f"{stack.target('primary')}."]
        arguments = ["--yes", "--outputs", str(outputs), "--name-server", server.address]
        faster = (
            "from payment_dr.operations import entry_point; from payment_dr.operations.drill import live; "
            f"c = live.Clock({SPEED}); live.Clock = lambda: c; entry_point.main()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", faster, "drill", *arguments, "--report-dir", str(tmp_path)],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
        ) as run:
            assert run.stderr
            for line in run.stderr:
                if "detection" in line:
                    assert probes.reserved_concurrency(stack, "primary") == 0
                    assert left_in(drilled) > before
                    run.send_signal(number)
                    break
            said = run.stderr.read()
    assert run.returncode == 128 + number, said
    assert probes.reserved_concurrency(stack, "primary") is None
    assert left_in(drilled) == before


def test_an_alarm_that_rings_is_told_and_has_to_be_silent_again(
    drilled: Deployment, stack: Deployed, clock: Clock, dr: Dr, tmp_path: Path
) -> None:
    alarms = boto3.client("cloudwatch", region_name="us-west-2", endpoint_url=stack.endpoint_url)
    name = next(name for name in stack.outputs["alarm_names"] if "west" in name)

    def ring(state: str) -> None:
        alarms.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")

    def silence() -> None:
        while clock.now() < 3600 and "failback" not in reached:
            ended.wait(0.1)
        ring("OK")

    reached: list[str] = []
    ended = threading.Event()
    threading.Thread(target=silence, daemon=True).start()
    with name_server_of(stack, clock, tmp_path) as server:

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
            name_servers=[server.address],
            clock=clock,
        ).content
    ended.set()
    assert journal["verdict"] == "passed"
    assert journal["after"]["alarms"] == {"fired": [name], "still": []}
    states = [event["state"] for event in journal["events"] if event["kind"] == "alarm"]
    assert states == ["ALARM", "OK"]
