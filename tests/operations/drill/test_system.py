"""Which system a drill was of, and who did it."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill import system
from payment_dr.operations.drill.system import identified, state_of, system_of
from tests.operations.stack import ACCOUNT, GONE, OUTPUTS, Stack


def test_everything_in_the_outputs_is_known_without_aws(make_stack: Callable[..., Stack]) -> None:
    found = system_of(make_stack(), {"serial": 3, "lineage": "b1f8"})
    assert found["is_emulated"]
    assert not system_of(make_stack(live=True))["is_emulated"]
    assert (found["account"], found["fqdn"], found["zone"]["id"]) == (ACCOUNT, "app.pay.acme.io", "Z1")
    assert found["health_checks"] == {"primary": "check-primary", "secondary": "check-secondary"}
    assert (found["terraform"], found["host"]) == ({"serial": 3, "lineage": "b1f8"}, platform.node())
    assert "hunter2" not in json.dumps(found)


def test_the_caller_is_whoever_sts_says_and_tables_have_the_ids_that_dynamodb_gave(
    make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack()
    stack.table_ids = {"primary": "t-1", "secondary": "t-2"}
    stack.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/driller/ada"
    found = identified(stack, system_of(stack))
    assert found["caller"] == stack.arn
    assert found["table"] == {"arn": OUTPUTS["dynamodb_table_arn"], "ids": stack.table_ids}
    stack.failing["sts", "secondary"] = stack.failing["dynamodb", "primary"] = GONE
    found = identified(stack, system_of(stack))
    assert (found["caller"], found["table"]["ids"]) == (None, {"primary": None, "secondary": "t-2"})


def test_a_state_is_known_by_serial_and_lineage_and_a_file_of_outputs_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = json.dumps({name: {"value": value} for name, value in OUTPUTS.items()})
    (tmp_path / "outputs.json").write_text(outputs)
    stack = Deployed.read(outputs=tmp_path / "outputs.json")
    assert state_of(stack) == {"outputs_sha256": hashlib.sha256(outputs.encode()).hexdigest()}

    state = json.dumps({"version": 4, "serial": 9, "lineage": "b1f8", "outputs": {"key": {"value": "hunter2"}}})
    terraform = tmp_path / "terraform"
    (tmp_path / "state.json").write_text(state)
    terraform.write_text(
        f'#!/bin/sh\nif [ "$2" = output ]; then cat {tmp_path}/outputs.json; '
        f"elif [ \"$2 $3\" = 'state pull' ]; then cat {tmp_path}/state.json; else exit 1; fi\n"
    )
    terraform.chmod(0o755)
    monkeypatch.setenv("TERRAFORM_BINARY_NAME", str(terraform))
    assert state_of(Deployed.read(directory=tmp_path)) == {"serial": 9, "lineage": "b1f8"}
    (tmp_path / "state.json").write_text("")  # Terraform prints nothing where there is no state
    assert state_of(Deployed.read(directory=tmp_path)) is None
    assert state_of(Deployed(OUTPUTS)) is None


def test_a_commit_is_named_of_a_file_that_git_knows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.io"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    file = tmp_path / "system.py"
    file.write_text("")
    assert system._commit(file) is None
    git("init")
    assert system._commit(file) is None
    git("add", "system.py")
    git("commit", "-m", "First")
    assert system._commit(file) == git("rev-parse", "HEAD")
    git("tag", "--annotate", "v1", "--message", "Version 1")
    assert system._commit(file) == git("rev-parse", "HEAD")
    file.write_text("changed")
    assert system._commit(file) == git("rev-parse", "HEAD") + "-dirty"
    assert system._commit(tmp_path / "installed.py") is None
