"""`make mutants`: change the code in one place, run its tests, and report each change that none of them notices."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mutants.operators import Mutant, mutants_of
from payment_dr.operations.command import DONE, MISSED, command, progress, say
from payment_dr.operations.errors import OperationError
from payment_dr.operations.owned_directory import OwnedDirectory

# Where the code is, and where the tests are that judge it; folders below have theirs below, or none of their own.
PARTS = {
    "constructs/payment_dr/confirmed.py": "tests/no_loss",
    "constructs/payment_dr/operations": "tests/operations",
    "constructs/payment_dr": "tests/constructs",
    "handlers": "tests/handlers",
}
LEFT_OUT = {
    "constructs/payment_dr/operations/adoption.py",  # its tests are all slow
    "constructs/payment_dr/operations/report/figures.py",  # where a picture has its lines is for the eye
}
# Hypothesis works without its plugin, which takes as long to load as many a test file runs.
PYTEST = "-x -q -n0 -p no:hypothesispytest -p no:cacheprovider -p no:randomly"
TESTS = "not slow"
PASSED = (0, 5)  # pytest's exit codes: passed, and all are slow
PATIENCE = 4  # a mutant may take this many times as long as the unchanged code,
GRACE = 20  # and these seconds more: the machine has other things to do

_LINKED = (".venv", "node_modules")
_NOT_COPIED = (
    *_LINKED,
    *(".git", ".audit", ".linters", ".pipenv", ".*_cache", ".hypothesis", "__pycache__", "cdktf.out", "build", "dist"),
)

Tests = tuple[str, ...]


class Copy:
    """A copy of the project in which files are changed and tests run.

    Args:
        project: The project's folder.
        folder: An empty folder for the copy and for what tests leave behind.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.root = folder / "project"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._output = folder / "output"
        (folder / "tmp").mkdir(parents=True)
        shutil.copytree(project, self.root, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
        for name in _LINKED:
            if (project / name).exists():
                (self.root / name).symlink_to((project / name).resolve())
        # Changed code may do anything: it gets no credentials.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": os.pathsep.join((str(self.root / "constructs"), str(self.root))),
            "PYTHONDONTWRITEBYTECODE": "1",  # two changes in one second could have the same time and length
            "TMPDIR": str(folder / "tmp"),
        }

    def run(self, tests: Tests, seconds: float | None = None) -> int | None:
        """Run tests; return pytest's exit code, or None after so many seconds."""
        arguments = [sys.executable, "-m", "pytest", *PYTEST.split(), "-m", TESTS, *tests]
        with self._output.open("wb") as output:
            with self._lock:
                if self._stopped:
                    return None
                self._process = process = subprocess.Popen(
                    arguments,
                    cwd=self.root,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                self._end()

    def seconds(self, tests: Tests) -> float:
        """How long tests take while nothing is changed."""
        began = time.monotonic()
        if self.run(tests) not in PASSED:
            said = self._output.read_text(errors="replace").rstrip().splitlines()[-1:]
            raise OperationError(
                f"tests fail before anything is changed: {' '.join(tests)}: {' '.join(said)}",
                hint="run them with pytest; they must pass in a copy of the project, without AWS_* variables",
            )
        return time.monotonic() - began

    def survives(self, mutant: Mutant, tests: Tests, seconds: float) -> bool | None:
        """Whether no test notices a change; None when they were not done after so many seconds."""
        file = self.root / mutant.path
        file.write_text(mutant.after, encoding="utf-8")
        try:
            code = self.run(tests, seconds)
        finally:
            file.write_text(mutant.before, encoding="utf-8")
        return None if code is None else code in PASSED

    def stop(self) -> None:
        """End the tests that run, and start none any more."""
        with self._lock:
            self._stopped = True
            self._end()

    def _end(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):  # what the tests have started and not ended is in their group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def named_like(project: Path, path: str) -> Tests:
    """The test files that are named after a file."""
    return _tests(project, path, f"test_*{Path(path).stem}*.py")


def beside(project: Path, path: str) -> Tests:
    """All test files of the folder that has the tests of a file."""
    return _tests(project, path, "test_*.py")


def _tests(project: Path, path: str, pattern: str) -> Tests:
    code = next(part for part in PARTS if Path(path).is_relative_to(part))
    folder = project / PARTS[code] / Path(path).relative_to(code).parent
    while not any(folder.glob("test_*.py")) and folder != project / PARTS[code]:
        folder = folder.parent
    return tuple(sorted(str(file.relative_to(project)) for file in folder.glob(pattern)))


@dataclass
class Result:
    """What became of the mutants that were tried."""

    possible: int
    left_out: int
    tried: int
    timed_out: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    def as_json(self) -> str:
        """The result for programs."""
        survivors = [
            {name: getattr(each, name) for name in ("path", "line", "what", "diff")} for each in self.survivors
        ]
        figures = {name: getattr(self, name) for name in ("possible", "left_out", "tried", "timed_out")}
        return json.dumps({"tests": TESTS, **figures, "survivors": survivors}, indent=2)

    def as_text(self) -> str:
        """The survivors as diffs, and a line of figures."""
        return "".join(f"{each.what}\n{each.diff}\n" for each in self.survivors) + (
            f"{self.tried} of {self.possible} mutants tried, with the tests that are {TESTS}: "
            f"{len(self.survivors)} survived, {self.timed_out} timed out. {self.left_out} are left out by comments."
        )


def judge(project: Path, mutants: list[Mutant], result: Result, jobs: int) -> None:
    """Run the tests of each mutant: first those named like its file, then, if it survives, all of their folder."""
    with _copies(project, jobs) as (copies, pool), _progress() as display:
        free = SimpleQueue[Copy]()
        for each in copies:
            free.put(each)

        def verdict(mutant: Mutant, tests: Tests, seconds: float) -> bool | None:
            copy = free.get()
            try:
                survived = copy.survives(mutant, tests, seconds)
            finally:
                free.put(copy)
                display.advance(task)
            if survived:  # reported at once: a long run may be ended before its result
                say(f"survives {what}: {mutant.path}:{mutant.line} {mutant.what}")
            return survived

        result.survivors = mutants
        passed: dict[Mutant, Tests] = dict.fromkeys(mutants, ())
        for tests_of, what in ((named_like, "tests named like its file"), (beside, "all tests of its folder")):
            tests = {mutant: tests_of(project, mutant.path) for mutant in result.survivors}
            todo = [mutant for mutant in result.survivors if tests[mutant] != passed[mutant]]
            task = display.add_task(what, total=len(todo))
            limits = {each: copies[0].seconds(each) * PATIENCE + GRACE for each in {tests[mutant] for mutant in todo}}
            running = [pool.submit(verdict, each, tests[each], limits[tests[each]]) for each in todo]
            verdicts = dict(zip(todo, (each.result() for each in running), strict=True))
            result.timed_out += sum(verdict is None for verdict in verdicts.values())
            result.survivors = [each for each in result.survivors if verdicts.get(each, True)]
            passed = tests
            say(f"{what}: {len(result.survivors)} of {result.tried} mutants survive")


@contextmanager
def _copies(project: Path, jobs: int) -> Iterator[tuple[list[Copy], ThreadPoolExecutor]]:
    """Copies of the project and threads that use them; all is ended and removed again."""
    with OwnedDirectory("mutants-") as folder:
        copies = [Copy(project, Path(folder, str(number))) for number in range(jobs)]
        pool = ThreadPoolExecutor(jobs)
        try:
            yield copies, pool
        finally:
            for each in copies:
                each.stop()
            pool.shutdown(cancel_futures=True)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=progress, transient=True, disable=not progress.is_terminal)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main(
    only: Annotated[
        list[str] | None, typer.Option(help="A file or folder; all code if unset. Can be repeated.")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Try so many mutants, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Which sample is drawn.")] = 0,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="How many to try at once.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Change the code in one place, run its tests in a copy of the project, and report what no test notices.

    Only tests that are not slow judge. Exits with 0 when no mutant survived, 1 when one did, 2 when nothing can be
    said.
    """
    project = Path.cwd()
    files = {
        str(file.relative_to(project))
        for part in PARTS
        for file in (project / part).rglob("*.py")
        if not only or any(file.is_relative_to(project / each) for each in only)
    }
    found = [mutants_of(path, (project / path).read_text(encoding="utf-8")) for path in sorted(files - LEFT_OUT)]
    mutants = [mutant for each, _ in found for mutant in each]
    result = Result(possible=len(mutants), left_out=sum(left_out for _, left_out in found), tried=0)
    if not mutants:
        raise OperationError("nothing to change", hint=f"name a file or folder below {', '.join(PARTS)}")
    if sample:
        random.Random(seed).shuffle(mutants)  # noqa: S311 - no secret
    chosen = list(islice((mutant for mutant in mutants if mutant.changes_something), sample))
    result.tried = len(chosen)
    say(f"{len(chosen)} mutants, {jobs} at once; the first tests run without a change")
    judge(project, chosen, result, jobs)
    sys.stdout.write(f"{result.as_json() if as_json else result.as_text()}\n")
    raise typer.Exit(MISSED if result.survivors else DONE)


if __name__ == "__main__":
    app(prog_name="python -m mutants")
