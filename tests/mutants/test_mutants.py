"""`make mutants`, on a project of one function: what it tries, what it reports, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import mutants.__main__
from mutants.__main__ import GRACE
from mutants.operators import mutants_of
from tests.embedded_aws.processes import killed_at_the_end, runs

PROJECT = Path(__file__).resolve().parents[2]
CODE = """
def allowed(amount: int, limit: int = 10) -> bool:  # mutants: 10 is the value of an example
    return amount <= limit
"""
SWAPPED = "-    return amount <= limit\n+    return (amount < limit)\n"
WEAK = "assert allowed(1, 2) and not allowed(3, 2)"
STRONG = "assert allowed(1, 2) and allowed(2, 2) and not allowed(3, 2)"
HANGS_WHEN_CHANGED = """import os, pathlib, time
    if not allowed(2, 2):
        pathlib.Path('../../pid').write_text(str(os.getpid()))
        time.sleep(600)"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the code of the project and the body of its test, and goes there."""

    def run(test: str, code: str = CODE) -> Path:
        project = tmp_path / "project"
        for path, text in {
            "handlers/limits.py": code,
            "tests/handlers/test_limits.py": f"from handlers.limits import *\n\ndef test_it() -> None:\n    {test}\n",
        }.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        monkeypatch.chdir(project)
        return project

    return run


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mutants.__main__.app, ["-j1", *arguments])


def test_a_change_that_no_test_notices_is_shown_and_fails_the_command(write: Write) -> None:
    project = write(WEAK)
    done = run("--json")
    assert done.exit_code == 1, done.stderr
    found = json.loads(done.stdout)
    (survivor,) = found.pop("survivors")
    assert found == {"tests": "not slow", "possible": 1, "left_out": 1, "tried": 1, "timed_out": 0}
    assert (survivor["path"], survivor["line"], survivor["what"]) == ("handlers/limits.py", 3, "swapped operator")
    assert survivor["diff"].endswith(SWAPPED)
    assert (project / "handlers/limits.py").read_text() == CODE


def test_a_change_that_a_test_notices_does_not(write: Write) -> None:
    project = write("assert allowed(1, 2)")
    (project / "tests/handlers/test_more.py").write_text(
        f"from handlers.limits import allowed\n\ndef test_more() -> None:\n    {STRONG}\n"
    )
    done = run()
    assert done.exit_code == 0, done.stdout
    assert done.stderr.splitlines()[1:] == [
        "survives tests named like its file: handlers/limits.py:3 swapped operator",
        "tests named like its file: 1 of 1 mutants survive",
        "all tests of its folder: 0 of 1 mutants survive",
    ]
    assert done.stdout.startswith("1 of 1 mutants tried, with the tests that are not slow: 0 survived, 0 timed out.")


@pytest.mark.parametrize("weak", [True, False])
def test_a_folder_without_tests_of_its_own_is_judged_by_those_above_it(write: Write, weak: bool) -> None:
    project = write(STRONG)
    (project / "handlers/rules").mkdir()
    (project / "handlers/rules/other.py").write_text(CODE)
    (project / "tests/handlers/test_rules.py").write_text(
        f"from handlers.rules.other import allowed\n\ndef test_rules() -> None:\n    {WEAK if weak else STRONG}\n"
    )
    done = run("--only=handlers/rules")
    assert done.exit_code == int(weak), done.stderr


def test_a_file_can_have_its_tests_in_a_folder_of_their_own(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants.__main__, "PARTS", {"handlers/limits.py": "tests/client", "handlers": "tests/handlers"})
    project = write(WEAK)
    (project / "tests/client").mkdir()
    (project / "tests/client/test_client.py").write_text(
        f"from handlers.limits import allowed\n\ndef test_client() -> None:\n    {STRONG}\n"
    )
    done = run()
    assert (done.exit_code, "all tests of its folder: 0 of 1" in done.stderr) == (0, True), done.stderr


def test_tests_that_fail_anyway_judge_nothing(write: Write) -> None:
    write("assert not allowed(1, 2)")
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert "tests fail before anything is changed: tests/handlers/test_limits.py: 1 failed" in done.stderr


def test_a_change_that_hangs_is_noticed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants.__main__, "GRACE", 1)
    code = (
        "from threading import Event\n\nSECONDS = 0.1  # mutants: any will do\n\n"
        "def pause(ended: Event) -> bool:\n    return ended.wait(timeout=SECONDS)\n"
    )
    write("assert not pause(Event())", code)
    done = run("--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "tests": "not slow",
        "possible": 1,
        "left_out": 1,
        "tried": 1,
        "timed_out": 1,
        "survivors": [],
    }


def test_an_interruption_ends_the_tests_and_leaves_nothing(write: Write, tmp_path: Path) -> None:
    write(HANGS_WHEN_CHANGED)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    begun = subprocess.Popen(
        [sys.executable, "-m", "mutants", "-j1"],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": f"{PROJECT / 'constructs'}{os.pathsep}{PROJECT}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with killed_at_the_end(begun) as command:
        deadline = time.monotonic() + 60
        while not (written := [pid for file in temporary.glob("*/pid") if (pid := file.read_text())]):
            assert time.monotonic() < deadline
            assert command.poll() is None
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=GRACE)  # else the tests were waited for
    assert (command.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert list(temporary.iterdir()) == []
    assert not runs(int(written[0]))


def test_a_sample_is_the_same_for_the_same_seed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(WEAK, "".join(f"def f{number}() -> int:\n    return {number}\n\n" for number in range(40)))
    drawn: list[list[int]] = []
    monkeypatch.setattr(
        mutants.__main__, "judge", lambda _project, chosen, *_: drawn.append([each.line for each in chosen])
    )
    for seed in ("1", "1", "2"):
        run("--sample=5", f"--seed={seed}", "--only=handlers/limits.py")
    assert drawn[0] == drawn[1] != drawn[2]
    assert {len(each) for each in drawn} == {5}
    assert run("--only=handlers/other.py").exit_code == 2


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = [True, 2]", {"x = [False, 2]", "x = [True, 3]", "x = [2]", "x = [True, ]"}),
        ("x = 'é', f(k=1)", {"x = 'éx', f(k=1)", "x = 'é', f(k=2)", "x = 'é', f()", "x = (f(k=1),)", "x = ('é',)"}),
        ("f(a)", {"pass", "(a)"}),
        ("if a:\n    raise b", {"if (not (a)):\n    raise b", "if a:\n    pass"}),
        ("x = 'a sentence'", set()),
        ('"""Says."""\nx: Literal["a"] = f"{1}"', set()),
        ("x = 1  # mutants: nobody reads it", set()),
    ],
)
def test_what_is_changed(code: str, changes: set[str]) -> None:
    found, _ = mutants_of("code.py", code)
    assert {each.after for each in found if each.changes_something} == changes
