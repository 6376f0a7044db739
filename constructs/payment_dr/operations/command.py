"""How every command of this project ends: signals, errors and exit codes."""

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from payment_dr.operations.errors import OperationError, lack_of_this_machine
from payment_dr.operations.printable import printable
from payment_dr.operations.terraform.runner import ResourceEvent

P = ParamSpec("P")
T = TypeVar("T")

DONE, MISSED, INCONCLUSIVE = 0, 1, 2

progress = Console(stderr=True)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OPEN_FILES = 4096  # a drill has a connection for each payment under way, and macOS allows 256
_LOOPBACK = "localhost,127.0.0.1,::1,[::1]"


class _Ending:
    """The state of the signals of this process."""

    def __init__(self) -> None:
        self.begun = False
        self.undisturbed = 0  # blocks that are open
        self.waiting: int | None = None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        if self.begun:  # a second signal must not interrupt the undo that the first one started
            return
        if self.undisturbed:
            self.waiting = number
            return
        self.begin(number)

    def begin(self, number: int) -> None:
        self.begun = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


_ending = _Ending()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP unwind the ``with`` blocks inside, once.

    The first signal raises ``KeyboardInterrupt`` (SIGINT) or ``SystemExit(128 + signal)``. Later ones have no effect,
    so that the undo finishes. A signal that was ignored before, as under ``nohup``, stays ignored. Enter it in the main
    thread, outside the blocks that must be undone.

    Example:
        >>> with ended_by_signals(), EmbeddedAws() as aws:  # doctest: +SKIP
        ...     deploy(aws)
    """
    global _ending
    before_ending, _ending = _ending, _Ending()
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    caught = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    for each in caught:
        # A handler, not SIG_IGN: children that the undo starts must not inherit deaf ears.
        signal.signal(each, _ending.receive)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, before[each])
        _ending = before_ending


@contextmanager
def undisturbed() -> Iterator[None]:
    """Defer signals until the block ends: an undo that has begun finishes, even when nothing went wrong.

    It works inside `ended_by_signals`. Elsewhere signals work as usual.
    """
    ending = _ending
    ending.undisturbed += 1
    try:
        yield
    finally:
        ending.undisturbed -= 1
        if ending.waiting is not None and not (ending.undisturbed or ending.begun):
            ending.begin(ending.waiting)


@contextmanager
def past_proxies() -> Iterator[None]:
    """Reach this machine itself without the user's proxy, in this process and in the programs that it starts.

    Most libraries send calls to the loopback address to the proxy too. Other hosts in ``NO_PROXY`` stay there.
    """
    before = dict(os.environ)
    if any(os.environ.get(name) for name in before if name.lower() in ("http_proxy", "https_proxy", "all_proxy")):
        for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):  # some read the one, some the other
            named = before.get(name, before.get(other, ""))
            os.environ[name] = named if named == "*" else ",".join(filter(None, (named, _LOOPBACK)))
    try:
        yield
    finally:
        for name in ("no_proxy", "NO_PROXY"):
            os.environ.pop(name, None)
            os.environ.update({name: before[name]} if name in before else {})


def allow_open_files() -> None:
    """Raise the limit of open files as far as allowed, for this process and the programs that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a system may have a limit beside the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def command(run: Callable[P, T]) -> Callable[P, T]:
    """Run a command with this project's environment, signals and exit codes.

    Calls to loopback bypass any proxy, and the limit of open files suits a drill.

    A signal undoes the command's changes and exits with 128 + its number, 130 after Ctrl-C. An `OperationError` prints
    an ``error:`` and a ``hint:`` line on stderr and exits with its code. An error of the operating system, such as a
    full disk, prints them too and exits with 2: a command that could not write has no result.
    """

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            allow_open_files()
            with ended_by_signals(), past_proxies():
                try:
                    done = run(*args, **kwargs)
                except typer.Exit:
                    sys.stdout.flush()
                    raise
                sys.stdout.flush()  # once Python ends, nobody can say any more that there is no room for it
                return done
        except (OperationError, OSError) as caught:
            error = caught if isinstance(caught, OperationError) else _as_operation_error(caught)
            say(f"error: {error.message}", style="red")
            say(f"hint: {error.hint}")
            raise typer.Exit(error.exit_code) from caught
        except KeyboardInterrupt as interrupt:
            say("interrupted")
            raise typer.Exit(128 + signal.SIGINT) from interrupt
        finally:
            leave_stdout()

    return guarded


def _as_operation_error(error: OSError) -> OperationError:
    """An error of the operating system, with a hint."""
    if error.errno == errno.EPIPE:
        return OperationError(
            "the reader closed the output before its end", hint="read all of it, or send it to a file"
        )
    what = error.strerror or str(error) or type(error).__name__
    return lack_of_this_machine(error) or OperationError(
        f"{error.filename}: {what}" if error.filename else what, hint="fix that, then run it again"
    )


def leave_stdout() -> None:
    """Keep Python from failing a second time at exit, with its own exit code, when stdout has no room."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # in a test it is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str, *, style: str | None = None) -> None:
    """Print a line of progress on stderr, without markup, terminal commands and wrapping.

    If it cannot be printed, for example because a disk is full, the command continues: it may be in the middle of a
    failover.
    """
    with suppress(OSError):
        progress.print(printable(text, lines=True), style=style, markup=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """Print a line of a command's result on stdout, without terminal commands."""
    sys.stdout.write(f"{printable(text)}\n")


@contextmanager
def progress_of(console: Console) -> Iterator[tuple[Callable[[str], None], Callable[[ResourceEvent], None]]]:
    """Show progress: one line that changes on a terminal, one line a step elsewhere.

    Yields:
        A function to call with each step, and one for each event of Terraform.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("", total=None, now="")
        done: list[str] = []

        def on_step(step: str) -> None:
            done.clear()
            display.reset(task, description=escape(printable(step)), now="")
            if not console.is_terminal:
                console.print(f"{printable(step)} ...", highlight=False, markup=False)

        def on_event(event: ResourceEvent) -> None:
            if event.phase == "complete" and event.action in {"create", "update", "delete"}:
                done.append(event.address)
                display.update(task, now=escape(printable(f"{len(done)} done, last {event.address}")))

        yield on_step, on_event
