"""What the commands install is checked against a hash, and what is built says what it is made of."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
REQUIRED = sorted((PROJECT / "requirements").glob("*.in"))


def pinned(path: Path) -> dict[str, int]:
    """How many hashes each package has in a list of requirements, by name."""
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", path.read_text(), re.MULTILINE
    )
    return {name: hashes.count("--hash") for name, hashes in entries}


def unlocked(lines: Iterable[str]) -> tuple[int, list[str]]:
    """How many of these commands make pip or pipenv install, and which of them could take what has no hash."""
    installs = [line for line in lines if re.search(r"\b(?:pip|pipenv)\b.* (?:install|wheel|sync|update) ", line)]
    # To build a package, pip fetches its build system without a hash: so no list may have one to build, and what builds
    # this project is in the list before it.
    of_a_list = {"--require-hashes", "--only-binary=:all:"}
    of_this_project = {"--no-deps", "--no-build-isolation", "--no-index"}
    return len(installs), [
        line for line in installs if not (of_a_list <= set(line.split()) or of_this_project <= set(line.split()))
    ]


def test_make_installs_nothing_without_a_hash() -> None:
    everything = ["make", "--dry-run", "--always-make", "setup", "lint", "audit", "wheel"]
    done = subprocess.run(everything, cwd=PROJECT, capture_output=True, text=True, check=True)
    installs, wrong = unlocked(done.stdout.splitlines())
    assert (installs, wrong) == (7, [])  # four lists, the bill's environment, and this project, also as a wheel


def test_the_action_installs_nothing_without_a_hash() -> None:
    steps = yaml.safe_load((PROJECT / "action.yml").read_text())["runs"]["steps"]
    installs, wrong = unlocked(line for step in steps for line in step.get("run", "").splitlines())
    assert (installs, wrong) == (2, [])


def test_what_builds_and_runs_this_project_is_locked_at_a_version_that_it_takes() -> None:
    ours = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    builds, project = ours["build-system"]["requires"], ours["project"]
    runs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    lock = json.loads((PROJECT / "Pipfile.lock").read_text())
    locked = {name: each.get("version", "") for part in ("default", "develop") for name, each in lock[part].items()}
    gate = dict(re.findall(r"^([a-z0-9-]+)(==\S+)", (PROJECT / "requirements/gate.txt").read_text(), re.MULTILINE))
    for needs, found in ((builds, gate), ([*builds, *runs], locked)):
        for need in map(Requirement, needs):
            assert need.specifier.contains(found[need.name].removeprefix("==")), f"{need}: {found[need.name]}"


def test_pipfile_lock_is_up_to_date_for_whoever_has_set_no_package_index() -> None:
    """Otherwise `pipenv install` would resolve all versions again."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [str(PROJECT / ".pipenv/bin/pipenv"), "verify"],
        cwd=PROJECT,
        env={**environment, "PIPENV_IGNORE_VIRTUALENVS": "1", "PIPENV_VENV_IN_PROJECT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("required", REQUIRED, ids=lambda path: path.stem)
def test_a_list_of_requirements_has_all_that_is_required_with_hashes(required: Path) -> None:
    names = re.findall(r"^[a-z0-9-]+", required.read_text(), re.MULTILINE)
    found = pinned(required.with_suffix(".txt"))
    assert set(names) <= set(found)
    assert [name for name, hashes in found.items() if not hashes] == []
    lines = required.with_suffix(".txt").read_text().splitlines()
    assert len(found) == sum(bool(re.match("[^# ]", line)) for line in lines)  # so each was read
    assert re.search(rf"for set in [a-z ]*\b{required.stem}\b", MAKEFILE)  # `make lock` makes it


def test_pipenv_and_npm_have_a_hash_of_each_package() -> None:
    locked = json.loads((PROJECT / "Pipfile.lock").read_text())
    ours = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["name"]
    without = {name for part in ("default", "develop") for name, each in locked[part].items() if not each.get("hashes")}
    assert without == {ours}
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    bundled = {name for name, each in packages.items() if each.get("inBundle")}  # a part of what has a hash
    assert {name for name, each in packages.items() if not each.get("integrity")} - bundled == {""}  # this project
    assert [
        name for name in bundled if not any(name.startswith(f"{other}/") for other in set(packages) - bundled - {""})
    ] == []


def test_no_lock_file_says_where_packages_come_from() -> None:
    assert json.loads((PROJECT / "Pipfile.lock").read_text())["_meta"]["sources"] == []
    assert '"resolved": "http' not in (PROJECT / "package-lock.json").read_text()
    lists = [path.with_suffix(".txt") for path in REQUIRED]
    assert [path.name for path in lists if re.search(r"://|--[a-z-]*(?:index|find|host)", path.read_text())] == []


def test_ci_looks_for_vulnerabilities_and_keeps_the_wheel_with_its_bill_of_materials() -> None:
    workflow = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["supply-chain"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make wheel", "make audit"]
    (artifact,) = (step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    wheel = MAKEFILE[MAKEFILE.index("\nwheel:") :]
    assert f"--wheel-dir {artifact}" in wheel
    assert f'-o "$$(echo {artifact}/*.whl).cdx.json"' in wheel
    assert workflow[True]["schedule"]  # "on", which YAML 1.1 takes for a truth value


def test_each_list_is_audited_by_itself_and_a_package_that_cannot_be_fails() -> None:
    """pip-audit rejects two lists that share a package, and leaves out what it does not find unless it is strict."""
    recipe = MAKEFILE[MAKEFILE.index("\naudit:") : MAKEFILE.index("\nwheel:")]
    (call,) = re.findall(r"\bpip-audit (.*?) \|\|", recipe)
    assert call.split() == ["--strict", "--require-hashes", "--disable-pip", "-r", '"$$list"']
    assert "for list in .audit/Pipfile.txt $(wildcard requirements/*.txt); do" in recipe
