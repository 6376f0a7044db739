"""`dr drill` and `dr report`: streams, files and exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from drill import DrillError, cli, embedded
from drill.journal import CouldNotTellError, Journal
from tests.drill import journals
from tests.drill.journals import passed


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr(cli.progress, "file", None)  # whatever stderr is by now
    return CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the drill finds; a test may change it."""
    found: dict[str, Any] = passed()

    def drill(kind: str, seed: int, directory: Path, _console: object) -> Journal:
        made = Journal(directory, {**found["outage"], "kind": kind}, seed=seed)
        made.set(**{name: value for name, value in found.items() if name not in ("id", "outage", "seed", "events")})
        made.close(found["verdict"], found["causes"])
        return made

    monkeypatch.setattr(embedded, "drill", drill)
    return found


def test_a_passed_drill_prints_targets_losses_and_files_and_exits_with_0(
    drilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.update(verdict="passed", causes=[])
    done = run(monkeypatch, "drill", "--report-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    confirmed = drilled["rpo"]["confirmed"]
    assert f"lost 0 of {confirmed['acknowledged']} in confirmed mode" in done.stdout
    for kind in ("json", "html", "png"):
        (path,) = tmp_path.glob(f"*.{kind}")
        assert str(path) in done.stdout.replace("\n", "")


def test_a_missed_target_exits_with_1_and_names_the_cause(
    drilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.update(verdict="missed", causes=["TTL of app.pay.acme.io is 300 s"])
    done = run(monkeypatch, "drill", "--report-dir", str(tmp_path), "--json", "--outage", "fence", "--seed", "9")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (told["verdict"], told["causes"]) == ("missed", ["TTL of app.pay.acme.io is 300 s"])
    assert [Path(path).suffix for path in told["files"]] == [".json", ".html", ".png"]
    assert json.loads(Path(told["files"][0]).read_text())["seed"] == 9
    assert told["id"].endswith("-fence")


def test_a_drill_that_could_not_tell_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Journal:
        raise DrillError("could not tell: it ended", hint="run it again")

    monkeypatch.setattr(embedded, "drill", fail)
    done = run(monkeypatch, "drill", "--report-dir", str(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: could not tell: it ended\nhint: run it again\n"


def test_an_outage_that_is_not_known_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, "drill", "--outage", "flood")
    assert done.exit_code == 2
    assert "hint: give one of region, hang, dynamodb, api, health, fence, partial, blip, both" in done.stderr


def test_the_report_is_written_again_beside_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(passed()))
    done = run(monkeypatch, "report", str(path))
    assert done.stdout.splitlines() == [str(path.with_suffix(".html")), str(path.with_suffix(".png"))]
    assert path.with_suffix(".html").read_text().startswith("<!DOCTYPE html>")


def test_a_drill_that_could_not_tell_leaves_a_report_of_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = journals.write(journals.killed(), tmp_path)

    def fail(*_: object) -> Journal:
        raise CouldNotTellError("could not tell: AWS is gone", hint="run it again", journal=made)

    monkeypatch.setattr(embedded, "drill", fail)
    done = run(monkeypatch, "drill")
    assert (done.exit_code, done.stdout) == (2, "")
    assert made.with_suffix(".html").exists()
    assert [str(made.with_suffix(suffix)) for suffix in (".json", ".html", ".png")] == done.stderr.splitlines()[:3]
    assert done.stderr.splitlines()[3:] == ["error: could not tell: AWS is gone", "hint: run it again"]


@pytest.mark.parametrize("outage", ["region", "dynamodb", "permission"])
def test_a_live_stack_is_given_no_outage_but_the_fence(outage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, "drill", "--live", "--outage", outage)
    assert done.exit_code == 2
    assert f"error: a live stack is not given the outage '{outage}'" in done.stderr
