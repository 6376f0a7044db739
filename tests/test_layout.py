"""The project's own shape: what is at the top, what it depends on, and which package `constructs` is."""

import json
import os
import tomllib
from pathlib import Path

import constructs
import pytest

import payment_dr

PROJECT = Path(__file__).resolve().parents[1]


def test_the_top_level_holds_what_was_asked_for() -> None:
    files = {"main.py", "cdktf.json", "Pipfile", "README.md"}
    folders = {"constructs", "handlers", "tests"}
    assert {name for name in files if not (PROJECT / name).is_file()} == set()
    assert {name for name in folders if not (PROJECT / name).is_dir()} == set()


def test_the_packages_that_were_asked_for_are_in_the_pipfile() -> None:
    pipfile = tomllib.loads((PROJECT / "Pipfile").read_text(encoding="utf-8"))
    assert set(pipfile["packages"]) >= {
        "cdktf",
        "cdktf-cdktf-provider-aws",
        "cdktf-cdktf-provider-archive",
        "cdktf-cdktf-provider-random",
        "constructs",
        "boto3",
    }
    assert "pytest" in pipfile["dev-packages"]


def test_cdktf_runs_the_python_app() -> None:
    settings = json.loads((PROJECT / "cdktf.json").read_text(encoding="utf-8"))
    assert settings["language"] == "python"
    assert settings["app"].split()[-1] == "main.py"


def test_the_folder_constructs_does_not_hide_the_library_of_that_name() -> None:
    assert not Path(str(constructs.__file__)).is_relative_to(PROJECT / "constructs")
    assert Path(str(payment_dr.__file__)).is_relative_to(PROJECT / "constructs")


def test_nothing_is_written_in_hcl() -> None:
    ours = ("constructs", "handlers", "embedded_aws", "tests", "docs")
    assert [*PROJECT.glob("*.tf"), *(found for folder in ours for found in (PROJECT / folder).rglob("*.tf"))] == []


@pytest.mark.xdist_group("a group")
def test_tests_that_share_a_deployment_are_kept_on_one_worker(request: pytest.FixtureRequest) -> None:
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@a group")
