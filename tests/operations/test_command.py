"""How every command ends: its undo runs whole, whatever signals arrive, and its exit code says why it ended."""

import errno
import io
import os
import resource
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from payment_dr.operations import command as commands
from payment_dr.operations.command import (
    DONE,
    INCONCLUSIVE,
    MISSED,
    OPEN_FILES,
    command,
    ended_by_signals,
    past_proxies,
    progress_of,
    say,
    undisturbed,
)
from payment_dr.operations.errors import OperationError
from payment_dr.operations.switch import RefusedError
from payment_dr.operations.terraform.runner import ResourceEvent
from tests.embedded_aws.processes import killed_at_the_end

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
# Prints each step; its undo goes on until it has read a line.
PROGRAM = """
import signal, sys, time
from contextlib import nullcontext
import typer
from payment_dr.operations.command import command, undisturbed

app = typer.Typer()

def write(text):
    print(text, flush=True)

@app.command()
@command
def run(plain: bool = False, ends: bool = False) -> None:
    try:
        write("begun")
        while not ends:
            time.sleep(0.05)  # signal.pause() would miss a signal that comes just before it
    finally:
        with nullcontext() if plain else undisturbed():
            write("undoing")
            sys.stdin.readline()
            write("undone")
    write("went on")

app()
"""


@contextmanager
def running(*arguments: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """The program, which has begun; it is killed at the end if need be."""
    begun = subprocess.Popen(
        [sys.executable, "-c", before + PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with killed_at_the_end(begun) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        yield process


@pytest.mark.parametrize("arguments", [(), ("--plain",)], ids=["undisturbed", "plain"])
@pytest.mark.parametrize("second", SIGNALS, ids=lambda each: each.name)
@pytest.mark.parametrize("first", SIGNALS, ids=lambda each: each.name)
def test_a_second_signal_does_not_cut_the_undo_short(
    first: signal.Signals, second: signal.Signals, arguments: tuple[str, ...]
) -> None:
    with running(*arguments) as process:
        assert process.stdout
        process.send_signal(first)
        assert process.stdout.readline() == "undoing\n"
        process.send_signal(second)
        process.send_signal(second)
        rest, errors = process.communicate("\n", timeout=120)
    assert (rest, process.returncode) == ("undone\n", CODES[first])
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_a_signal_during_the_undo_of_a_command_that_ends_by_itself_waits_until_it_is_done(
    number: signal.Signals,
) -> None:
    with running("--ends") as process:
        assert process.stdout
        assert process.stdout.readline() == "undoing\n"
        process.send_signal(number)
        rest, errors = process.communicate("\n", timeout=120)
    assert (rest, process.returncode) == ("undone\n", CODES[number])  # and not "went on"
    assert "Traceback" not in errors


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    with running("--ends", before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n") as process:
        assert process.stdout
        assert process.stdout.readline() == "undoing\n"
        process.send_signal(signal.SIGHUP)
        rest, _ = process.communicate("\n", timeout=120)
    assert (rest, process.returncode) == ("undone\nwent on\n", 0)


def test_exit_codes_are_those_that_pipelines_read() -> None:
    assert (DONE, MISSED, INCONCLUSIVE) == (0, 1, 2)


@pytest.mark.parametrize(("error", "code"), [(OperationError, 2), (RefusedError, 1)])
def test_an_error_is_two_lines_on_stderr_and_its_own_exit_code(error: type[OperationError], code: int) -> None:
    app = typer.Typer()

    @app.command()
    @command
    def run() -> None:
        raise error("[red] is no [b]markup", hint="a long hint " * 20)

    done = CliRunner().invoke(app, [])
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr == f"error: [red] is no [b]markup\nhint: {'a long hint ' * 20}\n"


def test_handlers_are_as_they_were_afterwards() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with ended_by_signals():
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_outside_of_a_command_no_signal_is_delayed() -> None:
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(signal.SIGINT)


def test_every_command_of_this_project_ends_this_way() -> None:
    """Each function that typer runs is wrapped by `command`."""
    project = Path(__file__).resolve().parents[2]
    lacking = []
    for path in [
        *project.glob("*/__main__.py"),
        *project.glob("permission_proof/*.py"),
        *project.glob("constructs/**/cli.py"),
    ]:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.strip().startswith("@app.command(") and lines[number + 1].strip() != "@command":
                lacking.append(f"{path.relative_to(project)}:{number + 1}")
    assert lacking == []


PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("named", [None, "intern.example,10.0.0.1", "*"])
def test_loopback_is_reached_past_a_proxy_and_what_the_user_named_too(
    monkeypatch: pytest.MonkeyPatch, name: str, named: str | None
) -> None:
    for each in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    if named:
        monkeypatch.setenv("NO_PROXY", named)
    before = dict(os.environ)
    with past_proxies():
        for host in ("127.0.0.1:80", "localhost:80", "[::1]:80"):
            assert urllib.request.proxy_bypass(host), host
        assert bool(urllib.request.proxy_bypass("intern.example")) is bool(named)
        assert bool(urllib.request.proxy_bypass("lambda.us-east-1.amazonaws.com")) is (named == "*")
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"]  # which programs that are started read
    assert dict(os.environ) == before


def test_without_a_proxy_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS a variable of these would take the place of the proxies in the system's settings."""
    for each in (*PROXIES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    with past_proxies():
        assert "no_proxy" not in os.environ
        assert "NO_PROXY" not in os.environ


@pytest.mark.parametrize(("soft", "hard", "then"), [(256, 8192, OPEN_FILES), (256, 300, 300), (5000, 8192, 5000)])
def test_a_command_may_open_as_many_files_as_it_needs(soft: int, hard: int, then: int) -> None:
    program = (
        "import resource, typer\nfrom payment_dr.operations.command import command\napp = typer.Typer()\n"
        "@app.command()\n@command\ndef run() -> None:\n    print(*resource.getrlimit(resource.RLIMIT_NOFILE))\napp()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{then} {hard}\n", "")


FULL = Path("/dev/full")
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
needs_a_full_device = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")


@needs_a_full_device
@pytest.mark.parametrize("arguments", [["policies"], ["--version"], ["--help"]])
def test_a_full_disk_under_the_output_is_two_lines_and_inconclusive(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("dr")), *arguments],
            env=BUFFERED,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error in ("error: the disk is full", "error: No space left on device")
    assert hint.startswith("hint: ")


def test_a_full_disk_under_the_progress_does_not_stop_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(commands, "progress", Console(file=Full()))
    say("us-east-1 is fenced")
    with pytest.raises(OSError, match="No space left"):
        commands.progress.print("us-east-1 is fenced")


def test_output_that_nobody_reads_is_inconclusive_and_no_missed_target() -> None:
    program = "import sys; from payment_dr.operations.entry_point import main; sys.stdin.readline(); main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "policies"],
        env=BUFFERED,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdin
        assert run.stdout
        assert run.stderr
        run.stdout.close()
        run.stdin.write("go on\n")
        run.stdin.close()
        errors = run.stderr.read()
    assert run.returncode == 2
    assert errors.splitlines() == [
        "error: the reader closed the output before its end",
        "hint: read all of it, or send it to a file",
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/file"), "error: /a/file: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/file"), "error: /a/file: Permission denied"),
        (OSError("No usable temporary directory"), "error: No usable temporary directory"),
    ],
)
def test_an_error_of_the_system_is_two_lines_and_inconclusive(error: OSError, expected: str) -> None:
    app = typer.Typer()

    @app.command()
    @command
    def run() -> None:
        raise error

    done = CliRunner().invoke(app, [])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == expected
    assert done.stderr.splitlines()[1].startswith("hint: ")


@needs_a_full_device
@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("pass", "error: the disk is full\nhint: free some space, then run it again\n"),
        ("raise typer.Exit(1)", "error: the disk is full\nhint: free some space, then run it again\n"),
        ("raise OperationError('NOT all is undone', hint='see')", "error: NOT all is undone\nhint: see\n"),
    ],
)
def test_a_command_on_a_full_disk_ends_with_2_and_its_own_error_first(ending: str, expected: str) -> None:
    program = (
        "import sys, typer\nfrom payment_dr.operations.command import command\n"
        "from payment_dr.operations.errors import OperationError\napp = typer.Typer()\n"
        f"@app.command()\n@command\ndef run() -> None:\n    sys.stdout.write('begun')\n    {ending}\napp()"
    )
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], env=BUFFERED, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, expected)


class Shown(Progress):
    """The progress display that a command shows, to look at."""

    last: "Shown"

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **{**options, "auto_refresh": False})
        Shown.last = self

    @property
    def now(self) -> tuple[str, str]:
        (task,) = self.tasks
        return task.description, task.fields["now"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payment_dr.operations.command.Progress", Shown)


def event(address: str, action: str = "create", phase: str = "complete") -> ResourceEvent:
    return ResourceEvent(address, action, phase, elapsed=1)


@pytest.mark.usefixtures("shown")
def test_a_terminal_shows_the_step_and_how_many_resources_are_done() -> None:
    out = io.StringIO()
    with progress_of(Console(file=out, force_terminal=True, width=120)) as (on_step, on_event):
        assert Shown.last.now == ("", "")
        on_step("[red]apply\x1b")
        assert Shown.last.now == (r"\[red]apply\x1b", "")
        for each in ("create", "update", "delete"):
            on_event(event(f"aws_vpc.{each}[0]", each))
        assert Shown.last.now == (r"\[red]apply\x1b", "3 done, last aws_vpc.delete[0]")
        for other in (event("aws_vpc.other", phase="start"), event("aws_vpc.other", "read")):
            on_event(other)
        assert Shown.last.now[1] == "3 done, last aws_vpc.delete[0]"
        Shown.last.refresh()
        assert "[red]apply" in out.getvalue()
        on_step("destroy")
        assert Shown.last.now == ("destroy", "")
        on_event(event("aws_vpc.[red]\x1b", "delete"))
        assert Shown.last.now == ("destroy", r"1 done, last aws_vpc.\[red]\x1b")
    assert " ..." not in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # nothing is left of it on the terminal


@pytest.mark.usefixtures("shown")
def test_a_log_has_a_line_for_each_step_and_nothing_else() -> None:
    out = io.StringIO()
    with progress_of(Console(file=out, force_terminal=False, width=20)) as (on_step, on_event):
        on_step("[red]apply\x1b")
        on_event(event("aws_vpc.net"))
        Shown.last.refresh()
        on_step("destroy")
    assert out.getvalue() == "[red]apply\\x1b ...\ndestroy ...\n"
