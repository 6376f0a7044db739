"""The command line: what goes where, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from embedded_aws.deployment import PROJECT
from hcl import __main__ as module
from hcl.library import HEADER

CONTENTS = {"provider.tf": HEADER, "main.tf": HEADER}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes these files, whatever the stack."""
    monkeypatch.setattr(module, "files", lambda _: CONTENTS)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(module.app, arguments)


def test_the_names_are_the_data_and_the_rest_is_progress(tmp_path: Path, written: None) -> None:
    told = run("--out", str(tmp_path / "lib"))
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [str(tmp_path / "lib" / name) for name in CONTENTS]
    assert told.stderr == "reading the schemas of the providers\n"
    assert {path.name: path.read_text() for path in (tmp_path / "lib").iterdir()} == CONTENTS


def test_json_is_all_of_stdout(tmp_path: Path, written: None) -> None:
    told = run("--out", str(tmp_path), "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout) == {"files": [str(tmp_path / name) for name in CONTENTS]}


def test_without_a_stack_it_says_what_to_run(tmp_path: Path) -> None:
    told = run("--stack", str(tmp_path / "none"), "--out", str(tmp_path / "lib"), "--json")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-2:] == [
        f"error: {tmp_path}/none has no synthesized stack",
        "hint: run 'make synth' first",
    ]
    assert not (tmp_path / "lib").exists()


def test_without_terraform_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cdk.tf.json").write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TERRAFORM_BINARY_NAME", raising=False)
    told = run("--stack", str(tmp_path), "--out", str(tmp_path / "lib"))
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-2:] == [
        "error: terraform is not on the PATH",
        "hint: install Terraform 1.5 or newer, or set TERRAFORM_BINARY_NAME",
    ]
    assert not (tmp_path / "lib").exists()


def test_your_files_are_named_and_kept(tmp_path: Path, written: None) -> None:
    (tmp_path / "main.tf").write_text("mine")
    told = run("--out", str(tmp_path))
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-2:] == [
        f"error: not written by this command: {tmp_path}/main.tf",
        "hint: move it, or choose another --out",
    ]
    assert (tmp_path / "main.tf").read_text() == "mine"


def test_an_interruption_is_no_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(stack: Path) -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "files", interrupted)
    assert run("--out", str(tmp_path)).exit_code == 130


@pytest.mark.parametrize(("setting", "coloured"), [({"NO_COLOR": "1"}, False), ({}, True)])
def test_colour_can_be_turned_off(tmp_path: Path, setting: dict[str, str], coloured: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    told = subprocess.run(
        [sys.executable, "-m", "hcl", "--stack", str(tmp_path)],
        cwd=PROJECT,
        env={**environment, "FORCE_COLOR": "1", "TERM": "xterm", **setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert ("\x1b[31m" in told.stderr) == coloured
    assert "hint: run 'make synth' first" in told.stderr
