"""`dr` as an operator meets it: streams, exit codes, questions."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedded_aws.__main__ import app as embedded_command
from payment_dr import __version__
from payment_dr.operations import adoption, cli, records, state_bucket
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.outages import OUTAGES
from tests.operations.stack import ACCOUNT, NAMES, Stack


@pytest.fixture
def dr(make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line against a stack of fakes."""

    def run(stack: Stack, *arguments: str, typed: str = "") -> Result:
        monkeypatch.setattr(Deployed, "read", lambda **_: stack)
        return CliRunner().invoke(cli.app, arguments, input=typed)

    return run


Dr = Callable[..., Result]


def test_status_is_a_table_or_json_and_its_exit_code_shows_the_result(dr: Dr, stack: Stack) -> None:
    well = dr(stack, "status")
    assert (well.exit_code, well.stderr) == (0, "")
    assert "us-east-1 (primary)" in well.stdout
    stack.tables["primary"] = "CREATING"
    done = dr(stack, "status", "--json")
    assert done.exit_code == json.loads(done.stdout)["exit_code"] == 1


def test_an_error_has_a_hint_on_stderr_and_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CliRunner().invoke(cli.app, ["status", "--outputs", str(tmp_path / "none.json")])
    assert (found.exit_code, found.stdout) == (2, "")
    error, hint = found.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint == "hint: write it with 'terraform output -json'"


def test_a_failed_check_exits_with_1(dr: Dr, stack: Stack) -> None:
    stack.tables["secondary"] = "CREATING"
    found = dr(stack, "failover", "--yes")
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.splitlines()[-2:] == [
        "error: us-west-2 could not serve: the table in us-west-2 is CREATING",
        "hint: run 'dr status' and fix the cause; --force skips this check",
    ]


@pytest.mark.parametrize(("typed", "code", "reserved"), [("y\n", 0, 0), ("n\n", 2, None), ("", 2, None)])
def test_on_an_embedded_aws_yes_is_enough(dr: Dr, stack: Stack, typed: str, code: int, reserved: int | None) -> None:
    found = dr(stack, "failover", typed=typed)
    assert (found.exit_code, stack.reserved["primary"]) == (code, reserved)
    assert f"This fences us-east-1 in account {ACCOUNT}: clients go to us-west-2." in found.stderr


@pytest.mark.parametrize(
    ("typed", "arguments", "code", "reserved"),
    [
        (f"{ACCOUNT}/us-east-1\n", (), 0, 0),
        ("y\n", (), 2, None),
        ("", (), 2, None),
        ("", ("--yes",), 0, 0),
    ],
)
def test_on_aws_account_and_region_must_be_typed(
    dr: Dr, make_stack: Callable[..., Stack], typed: str, arguments: tuple[str, ...], code: int, reserved: int | None
) -> None:
    stack = make_stack(live=True)
    found = dr(stack, "failover", *arguments, typed=typed)
    assert (found.exit_code, stack.reserved["primary"]) == (code, reserved)


def test_a_drill_without_a_switch_needs_no_end_before_it_asks(
    dr: Dr, make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack(live=True)
    reports = ("--report-dir", str(tmp_path))
    found = dr(stack, "drill", "--yes", *reports)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.splitlines() == [
        "error: this stack has no switch, and a fence has no end: it stays until 'dr failback'",
        "hint: deploy the stack with switch=True (PAYMENT_DR_SWITCH=1), or add --no-end to drill with a fence",
    ]
    assert stack.calls == []
    found = dr(stack, "drill", "--no-end", *reports, typed="n\n")
    assert "If this computer is lost before that, the fence stays: then run 'dr failback'" in found.stderr
    assert "not confirmed; nothing was changed" in found.stderr
    assert (found.exit_code, stack.calls, list(tmp_path.iterdir())) == (2, [], [])


def test_failback_prints_only_json_on_stdout(dr: Dr, stack: Stack) -> None:
    stack.reserved["primary"] = 0
    found = dr(stack, "failback", "--yes", "--json")
    assert json.loads(found.stdout) == {
        "action": "failback",
        "account_id": ACCOUNT,
        "region": "us-east-1",
        "changed": True,
        "fenced": False,
        "text": "The fence is removed from us-east-1. Its probe passes: HTTP status 200, healthy.",
        "until": None,
    }
    assert "us-east-1 is fenced, so its probe fails: checking its table directly" in found.stderr


def test_options_reach_the_switch(dr: Dr, stack: Stack) -> None:
    stack.reserved["primary"] = 0
    stack.parameters["primary"][NAMES[0]] = "old"
    assert dr(stack, "failback", "--yes", "--force", "--dry-run").exit_code == 0
    assert stack.reserved["primary"] == 0
    assert "according to the model" in dr(stack, "failback", "--yes", "--force", "--wait").stdout
    assert stack.reserved["primary"] is None


def test_what_a_failback_compares_begins_with_since(dr: Dr, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(cli, "_switch_clients", lambda *_, **options: given.update(options))
    assert dr(stack, "failback", "--since", "2h").exit_code == 0
    assert given["since"] == 7200


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "times"),
    [((), "app.acme.io\n", 0, 1), ((), "y\n", 2, 0), (("--yes",), "", 0, 1), (("--dry-run",), "", 0, 0)],
)
def test_records_change_when_their_name_is_typed(
    arguments: tuple[str, ...],
    typed: str,
    code: int,
    times: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record: Any = {"Name": "app.acme.io.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    batch, changed = records.Batch(zone_id="Z1", name="app.acme.io", created=[record]), []
    monkeypatch.setattr(adoption, "terraform_here", lambda _directory: nullcontext((None, None)))
    monkeypatch.setattr(records, "planned_batch", lambda *_: batch)
    monkeypatch.setattr(records, "change_at_once", lambda found, _clients: changed.append(found))
    found = CliRunner().invoke(cli.app, ["records", str(tmp_path), *arguments], input=typed)
    assert (found.exit_code, changed) == (code, [batch] * times)


def test_bootstrap_prints_each_setting_of_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [state_bucket.Setting("versioning", changed=True), state_bucket.Setting("TLS alone", changed=False)]
    monkeypatch.setattr(state_bucket, "bootstrap_state", lambda *_, **__: settings)
    for option, done in ((), "set"), (("--dry-run",), "to be set"):
        found = CliRunner().invoke(cli.app, ["bootstrap", "s3://bucket/dev", *option])
        assert (found.exit_code, found.stdout) == (0, f"{done}: versioning\nalready set: TLS alone\n")


def test_the_version_needs_no_command() -> None:
    found = CliRunner().invoke(cli.app, ["--version"])
    assert (found.exit_code, found.stdout) == (0, f"payment-dr {__version__}\n")


def test_reason_and_end_reach_the_switch_of_the_standby_region(dr: Dr, make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(switch=True)
    failed = dr(stack, "failover", "--yes", "--reason", "payments fail")
    assert failed.exit_code == 2
    assert "hint: dr failover --reason 'payments fail' --for 60m; with --no-end" in failed.stderr
    for wrong in ("60", "m", "0m", "-1h", "1w", "inf"):
        found = dr(stack, "failover", "--yes", "--reason", "payments fail", "--for", wrong)
        assert (found.exit_code, f"error: --for {wrong} is not a duration" in found.stderr) == (2, True), wrong
    assert stack.changes == []
    found = dr(stack, "failover", "--yes", "--reason", "payments fail", "--for", "1.5h", "--json")
    outcome = json.loads(found.stdout)
    assert (found.exit_code, outcome["until"]) == (0, 1000 + 5400)
    assert stack.changes[0]["reason"] == {"S": "payments fail"}
    assert dr(stack, "failback", "--yes", "--reason", "all is well").exit_code == 0
    assert stack.changes[1]["reason"] == {"S": "all is well"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_unwinds_and_sets_the_exit_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The console script, with a Terraform that sends the signal and never answers."""
    terraform = tmp_path / "terraform"
    terraform.write_text(f"#!/bin/sh\nkill -{number.value} $PPID\nexec sleep 60\n")
    terraform.chmod(0o755)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("dr")), "status"],
        env={**os.environ, "TERRAFORM_BINARY_NAME": str(terraform), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    assert "Traceback" not in ended.stderr


def test_an_interrupted_switch_shows_how_to_check_its_state(dr: Dr, stack: Stack) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    stack.passes["secondary"] = interrupt
    found = dr(stack, "failover", "--yes")
    assert (found.exit_code, found.stdout) == (130, "")
    assert found.stderr.splitlines() == [
        "run 'dr status' to check whether a switch or fence keeps clients away from the primary region",
        "interrupted",
    ]


def test_each_outage_is_described_in_one_line(dr: Dr, stack: Stack) -> None:
    done = dr(stack, "drill", "--list")
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert [*lines] == [*OUTAGES]
    assert lines["hang"].split(maxsplit=1)[1] == "no call of the primary region is answered; must fail over (embedded)"
    assert lines["fence"].endswith(
        "the operator fails the primary region over by hand; must fail over (on AWS and embedded)"
    )
    assert lines["blip"].endswith("must not fail over (embedded)")
    as_json = json.loads(dr(stack, "drill", "--list", "--json").stdout)
    assert as_json["permission"]["fails_over"] is False
    assert lines["dataplane"].endswith("must fail over with the data canary, must not without (embedded)")
    assert [name for name, each in as_json.items() if each["with_data_canary_only"]] == ["dataplane"]
    assert lines["replication"].endswith(
        "both serve; must not fail over; local payments go on, confirmed payments stop (embedded)"
    )
    assert as_json["secondary"]["payments_go_on"] == {"local": True, "confirmed": False}
    embedded = CliRunner().invoke(embedded_command, ["drill", "--list"])  # deploys nothing
    assert embedded.stdout == done.stdout
