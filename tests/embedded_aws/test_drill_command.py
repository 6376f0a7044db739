"""`python -m embedded_aws drill` and `dr report`: streams, files and exit codes."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedded_aws import EmbeddedAws
from embedded_aws import drill as embedded_drill
from embedded_aws.__main__ import app
from embedded_aws.drill import place_of
from embedded_aws.emulated_stack import PATIENCE_SECONDS, EmulatedStack
from embedded_aws.server import FUNCTION_SECONDS
from payment_dr.operations import cli
from payment_dr.operations.drill.journal import InconclusiveError, Journal
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.errors import OperationError
from payment_dr.side import SIDES
from tests.operations.report import journals
from tests.operations.report.journals import passed
from tests.operations.stack import OUTPUTS


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app if arguments[0] == "drill" else cli.app, arguments)


@pytest.fixture
def drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the drill finds; a test may change it."""
    found: dict[str, Any] = passed()

    def drill(kind: str, seed: int, directory: Path, _console: object, **_options: object) -> Journal:
        made = Journal(directory, {**found["outage"], "kind": kind}, seed=seed)
        made.set(**{name: value for name, value in found.items() if name not in ("id", "outage", "seed", "events")})
        made.close(found["verdict"], found["causes"])
        return made

    monkeypatch.setattr(embedded_drill, "deploy_and_drill", drill)
    return found


def test_a_passed_drill_prints_targets_losses_and_files_and_exits_with_0(
    drilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.update(verdict="passed", causes=[])
    done = run("drill", "--report-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("*.json")
    assert f"{path}, .html, .png\n" in done.stdout
    assert {each.suffix for each in tmp_path.glob(f"{path.stem}.*")} == {".json", ".html", ".png"}
    missing = f"0 of {drilled['rpo']['confirmed']['acknowledged']:,} in confirmed mode."
    assert " ".join(done.stdout.split()).endswith(missing)


def test_a_missed_target_exits_with_1_and_names_the_cause(
    drilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.update(verdict="missed", causes=["TTL of app.pay.acme.io is 300 s"])
    done = run("drill", "--report-dir", str(tmp_path), "--json", "--outage", "fence", "--seed", "9")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (told["verdict"], told["causes"]) == ("missed", ["TTL of app.pay.acme.io is 300 s"])
    assert [Path(path).suffix for path in told["files"]] == [".json", ".html", ".png"]
    assert json.loads(Path(told["files"][0]).read_text())["seed"] == 9
    assert told["id"].endswith("-fence")


def test_an_inconclusive_drill_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **_options: Any) -> Journal:
        raise OperationError("inconclusive: it ended", hint="run it again")

    monkeypatch.setattr(embedded_drill, "deploy_and_drill", fail)
    done = run("drill", "--report-dir", str(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: inconclusive: it ended\nhint: run it again\n"


def test_an_outage_that_is_not_known_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("drill", "--outage", "flood")
    assert done.exit_code == 2
    assert f"hint: give one of {', '.join(OUTAGES)}\n" in done.stderr


@pytest.mark.parametrize(
    ("outputs", "said", "hint"),
    [
        ({}, "error: the stack does not take POST /payments: it has no service", "hint: give it service=Service(...)"),
        (
            {"service_routes": {"value": ["POST /payments"]}},
            "error: the stack's name is not served over TLS",
            "hint: give it custom_domain=True",
        ),
    ],
)
def test_a_load_through_a_service_is_refused_before_anything_is_deployed_where_there_is_none(
    outputs: Any, said: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "cdk.tf.json").write_text(json.dumps({"output": outputs}))
    done = run("drill", "--service", "--stack-dir", str(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-2].startswith(said)
    assert done.stderr.splitlines()[-1].startswith(hint)


def test_the_report_is_written_again_beside_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(passed()))
    done = run("report", str(path))
    assert done.stdout.splitlines() == [str(path.with_suffix(".html")), str(path.with_suffix(".png"))]
    assert path.with_suffix(".html").read_text().startswith("<!DOCTYPE html>")


def test_an_inconclusive_drill_leaves_a_report_of_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = journals.write(journals.killed(), tmp_path)

    def fail(*_: object, **_options: object) -> Journal:
        raise InconclusiveError("inconclusive: AWS is gone", hint="run it again", journal=made)

    monkeypatch.setattr(embedded_drill, "deploy_and_drill", fail)
    done = run("drill")
    assert (done.exit_code, done.stdout) == (2, "")
    assert made.with_suffix(".html").exists()
    assert [str(made.with_suffix(suffix)) for suffix in (".json", ".html", ".png")] == done.stderr.splitlines()[:3]
    assert done.stderr.splitlines()[3:] == ["error: inconclusive: AWS is gone", "hint: run it again"]


class Emulator:
    """Remembers the faults of its regions."""

    def __init__(self) -> None:
        self.failing: dict[str, Any] = {}

    def fail_region(self, region: str, **fault: Any) -> None:
        self.failing[region] = fault

    def restore_region(self, region: str) -> None:
        del self.failing[region]


def test_a_region_that_hangs_is_waited_for_as_long_as_its_clients_would_and_another_one_until_it_answers() -> None:
    stack = EmulatedStack(OUTPUTS, "http://127.0.0.1:1")
    maker = embedded_drill._Maker(SimpleNamespace(aws=Emulator()), stack)  # type: ignore[arg-type]
    answer = {FUNCTION_SECONDS: "0.040"}

    def limits_and_times() -> list[tuple[float, float, float]]:
        return [(stack.limit(side, 2.0), stack.took(side, 3.0), stack.took(side, 3.0, answer)) for side in SIDES]

    virtual, real = (PATIENCE_SECONDS, 0.0, 0.04), (2.0, 3.0, 3.0)
    assert limits_and_times() == [virtual, virtual]
    maker.fail("us-east-1", kind="hang")
    assert limits_and_times() == [real, virtual]
    maker.restore("us-east-1")
    maker.fail("us-west-2", seed=1)
    assert limits_and_times() == [virtual, virtual]


def test_a_drill_uses_no_aws_setting_of_the_user_and_gives_them_back(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    outputs = OUTPUTS | {f"{side}_bucket_name": f"documents-{side}" for side in SIDES}
    deployment: Any = SimpleNamespace(
        aws=aws,
        outputs={name: SimpleNamespace(value=value) for name, value in outputs.items()},
        terraform=SimpleNamespace(binary=SimpleNamespace(version="1.10.0"), directory=tmp_path),
    )
    before = dict(os.environ)
    (tmp_path / "terraform.tfstate").write_text('{"serial": 12, "lineage": "b1f8", "outputs": {"key": "secret"}}')
    with place_of(deployment, seed=1) as place:
        inside = dict(os.environ)
    assert place.terraform == {"serial": 12, "lineage": "b1f8"}
    with place_of(deployment, seed=1):
        os.environ["AWS_SET_MEANWHILE"] = "yes"
    settings = {name: value for name, value in inside.items() if name.startswith("AWS_")}
    assert settings == {name: value for name, value in aws.environment().items() if name.startswith("AWS_")}
    assert inside["PATH"] == before["PATH"]
    assert dict(os.environ) == before


def test_dr_drills_what_is_deployed_and_takes_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli.app, ["drill", "--outage", "region"])
    assert done.exit_code == 2
    assert "No such option: --outage" in done.stderr


def test_dr_drill_without_a_deployed_stack_names_the_drill_that_needs_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["drill", "--outputs", str(tmp_path / "none.json")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(
        "'make drill' needs no deployment: it drills a stack of its own on an embedded AWS"
    )
