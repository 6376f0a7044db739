"""``dr``: the operator's command line, for a stack on AWS or on an embedded AWS."""

import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from drill import DrillError, switch
from drill.actions import LIVE_OUTAGE, OUTAGES
from drill.deployed import STACK_DIRECTORY, Deployed
from drill.journal import PASSED, CouldNotTellError, Journal
from drill.status import look_at

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
progress = Console(stderr=True)

Directory = Annotated[
    Path, typer.Option("--dir", help="Where Terraform ran; its outputs are read with 'terraform output -json'.")
]
Outputs = Annotated[Path | None, typer.Option(help="A file of 'terraform output -json', in place of --dir.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Go on against the reasons not to; they are printed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything that only reads; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, for automation.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until Route 53 has switched.")]
Kind = Annotated[str | None, typer.Option("--outage", help=f"What fails: {', '.join(OUTAGES)}. Default: region.")]
Live = Annotated[bool, typer.Option("--live", help="Drill the deployed stack, with the outage fence.")]
Endpoint = Annotated[str | None, typer.Option(help="Takes the payments, by POST of JSON, in place of the table.")]
NameServer = Annotated[
    list[str] | None, typer.Option(help="HOST or HOST:PORT to ask in place of the zone's name servers; repeatable.")
]
Limit = Annotated[float, typer.Option(min=1, help="Minutes after which everything is undone.")]
Seed = Annotated[int, typer.Option(help="Decides what is left to chance.")]
REPORTS = Path("drill-reports")
ReportDir = Annotated[Path, typer.Option(help="Where journal and report go.")]
State = Annotated[str, typer.Argument(envvar="PAYMENT_DR_STATE", help="s3://BUCKET/ENVIRONMENT, as main.py reads it.")]
StateRegion = Annotated[str, typer.Option("--region", help="The stack's secondary region, or its state_region.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds after which waiting ends.")]


def command(run: Callable[P, T]) -> Callable[P, T]:
    """Give a command its ends: unwound after SIGTERM, 130 after Ctrl-C, error and hint lines with their exit code."""

    def terminate(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        before = signal.signal(signal.SIGTERM, terminate)
        try:
            return run(*args, **kwargs)
        except DrillError as error:
            progress.print(f"error: {error.message}", style="red", markup=False, highlight=False, soft_wrap=True)
            progress.print(f"hint: {error.hint}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1 if isinstance(error, switch.RefusedError) else 2) from error
        except KeyboardInterrupt as interrupt:
            progress.print("interrupted; 'dr status' shows who is fenced", highlight=False)
            raise typer.Exit(128 + signal.SIGINT) from interrupt
        finally:
            signal.signal(signal.SIGTERM, before)

    return guarded


def show_version(asked: bool) -> None:
    """Print the installed version and end."""
    if asked:
        sys.stdout.write(f"payment-dr {version('payment-dr')}\n")
        raise typer.Exit


@app.callback()
def callback(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Look at, fail over and fail back a payments stack in two regions.

    Uses your AWS settings; with AWS_ENDPOINT_URL set, an embedded AWS.
    """


@app.command()
@command
def status(directory: Directory = STACK_DIRECTORY, outputs: Outputs = None, as_json: AsJson = False) -> None:
    """Show both regions as Route 53 and an operator see them.

    Exits with 0 when all is well, 1 when something is not as it should be, 2 when something could not be told.
    """
    stack = Deployed.read(outputs=outputs, directory=directory)
    with progress.status("looking at both regions"):
        found = look_at(stack)
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    else:
        Console().print(found.table())
    raise typer.Exit(found.exit_code)


@app.command()
@command
def failover(
    directory: Directory = STACK_DIRECTORY,
    outputs: Outputs = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
) -> None:
    """Send clients to the secondary region: fence the primary, so that its probe fails until `dr failback`.

    It needs no Route 53 API and deletes nothing. It is refused while the secondary region is not healthy. Exits with 0
    when it is done, 1 when it was refused or has no effect, 2 when it could not be told.
    """
    with _switch(directory, outputs, yes, force=force, dry_run=dry_run, wait=wait, timeout=timeout) as made:
        outcome = made.failover()
    _print(outcome, as_json=as_json)


@app.command()
@command
def failback(
    directory: Directory = STACK_DIRECTORY,
    outputs: Outputs = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
) -> None:
    """Let clients return to the primary region: remove the fence that `dr failover` has set.

    It is refused while the primary is not healthy, config differs or replication lags. To see the latter, an item
    whose key begins with "dr-canary-" is written in the secondary region, read in the primary one and deleted. Exits
    with 0 when it is done, 1 when it was refused or has no effect, 2 when it could not be told.
    """
    with _switch(directory, outputs, yes, force=force, dry_run=dry_run, wait=wait, timeout=timeout) as made:
        outcome = made.failback()
    _print(outcome, as_json=as_json)


@app.command("drill")
@command
def drill_(
    outage: Kind = None,
    seed: Seed = 42,
    report_dir: ReportDir = REPORTS,
    live: Live = False,
    directory: Directory = STACK_DIRECTORY,
    outputs: Outputs = None,
    endpoint: Endpoint = None,
    name_server: NameServer = None,
    limit: Limit = 30,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let a region fail and come back, and measure what its clients see.

    Without --live it deploys the stack on an embedded AWS of its own, where any outage can be chosen. With --live it
    drills the deployed stack: the primary region is fenced as `dr failover` does, in real time, after you have agreed;
    --dir, --outputs, --endpoint, --name-server, --limit and --yes are for that. Exits with 0 when every target was met,
    1 when one was missed, 2 when it could not tell.
    """
    kind = outage or (LIVE_OUTAGE if live else "region")
    if kind not in OUTAGES:
        raise DrillError(f"there is no outage {kind!r}", hint=f"give one of {', '.join(OUTAGES)}")
    if live and kind != LIVE_OUTAGE:
        raise DrillError(
            f"a live stack is not given the outage {kind!r}",
            hint=f"leave --outage out: {LIVE_OUTAGE} is the one that deletes and changes nothing",
        )
    try:
        if live:
            journal = _drill_live(
                Deployed.read(outputs=outputs, directory=directory),
                yes=yes,
                seed=seed,
                directory=report_dir,
                limit_minutes=limit,
                endpoint=endpoint,
                name_servers=name_server or (),
            )
        else:
            journal = _drill_embedded(kind, seed, report_dir)
    except CouldNotTellError as error:
        for path in (error.journal, *_write_report(error.journal)):  # how far it came
            progress.print(str(path), markup=False, highlight=False, soft_wrap=True)
        raise
    paths = (journal.path, *_write_report(journal.path))
    if as_json:
        told = {name: journal[name] for name in ("id", "verdict", "causes", "targets", "rto", "rpo", "after")}
        del told["rto"]["distribution"], told["rto"]["sensitivity"]
        sys.stdout.write(json.dumps(told | {"files": [str(path) for path in paths]}, indent=2) + "\n")
    else:
        _print_drill(journal, paths)
    raise typer.Exit(0 if journal["verdict"] == PASSED else 1)


def _drill_embedded(kind: str, seed: int, directory: Path) -> Journal:
    sys.path.append(str(Path(__file__).parent.parent))  # the embedded AWS is not installed, it lies beside this package
    try:
        from drill import embedded
    except ModuleNotFoundError as error:
        raise DrillError(f"no embedded AWS here: {error}", hint="drill in a clone of the project") from error
    return embedded.drill(kind, seed, directory, progress)


def _drill_live(stack: Deployed, *, yes: bool, **options: Any) -> Journal:
    from drill import live  # loads what asks DNS, which no other command should wait for

    with _asking(stack, yes) as (tell, confirm):
        return live.drill(stack, tell=tell, confirm=confirm, **options)


@app.command()
@command
def report(journal: Annotated[Path, typer.Argument(help="The JSON file of a drill.")]) -> None:
    """Write the report of a drill again, beside its journal."""
    for path in _write_report(journal):
        sys.stdout.write(f"{path}\n")


@app.command()
@command
def bootstrap(
    state: State,
    region: StateRegion = "us-west-2",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the bucket that Terraform's state is kept in, before the first deployment; mend it at any time.

    Versioned, encrypted, private, reached over TLS alone. What is right already is left as it is. Exits with 0 when all
    is as it should be, or in a dry run has been told, 2 when it could not be done.
    """
    from drill.state_bucket import bootstrap_state  # loads the constructs, which no other command should wait for

    with progress.status("looking at the bucket"):
        settings = bootstrap_state(state, region, dry_run=dry_run)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(setting) for setting in settings], indent=2) + "\n")
        return
    for setting in settings:
        outcome = "right already" if not setting.changed else "to be set" if dry_run else "set"
        sys.stdout.write(f"{outcome}: {setting.what}\n")


def _write_report(journal: Path) -> tuple[Path, Path]:
    from drill.report import write_report  # loads Matplotlib, which no other command should wait for

    return write_report(journal)


def _print_drill(journal: Journal, paths: Iterable[Path]) -> None:
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 110  # of a log file or a pipe
    table = Table("target", "at most", "measured", "", "how", title=f"Drill: {journal['outage']['description']}")
    for target in journal["targets"]:
        measured = "nothing" if target["measured"] is None else f"{target['measured']:g} {target['unit']}"
        met = Text("met", "green") if target["met"] else Text("MISSED", "red")
        table.add_row(target["what"], f"{target['target']:g} {target['unit']}", measured, met, target["how"])
    out.print(table)
    for mode, found in journal["rpo"].items():
        lost, latency = len(found["missing_at_switch"]), found["latency_ms"]
        out.print(
            f"lost {lost} of {found['acknowledged']} in {mode} mode at the switch, acknowledged in "
            f"{latency['p50'] or 0:.0f} ms (p95 {latency['p95'] or 0:.0f} ms)"
        )
    for cause in journal["causes"]:
        out.print(f"cause: {cause}", markup=False, style="red")
    for path in paths:
        out.print(str(path), markup=False, soft_wrap=True)
    out.print(f"{journal['verdict']}", style="green" if journal["verdict"] == PASSED else "red")


@contextmanager
def _switch(directory: Path, outputs: Path | None, yes: bool, **options: Any) -> Iterator[switch.Switch]:
    stack = Deployed.read(outputs=outputs, directory=directory)
    with _asking(stack, yes) as (tell, confirm):
        yield switch.Switch(stack=stack, confirm=confirm, tell=tell, **options)


@contextmanager
def _asking(stack: Deployed, yes: bool) -> Iterator[tuple[Callable[[str], None], Callable[[str, str], None]]]:
    """A spinner, which tells progress and gives way to a question."""
    with progress.status("looking at both regions") as spinner:

        def tell(text: str) -> None:
            progress.print(text, markup=False, highlight=False, soft_wrap=True)
            spinner.update(Text(text))

        def confirm(what: str, word: str) -> None:
            if yes:
                return
            spinner.stop()
            if not _agreed(what, word, typed=stack.is_live):
                raise DrillError("not confirmed; nothing was changed", hint="answer the question, or give --yes")
            spinner.start()

        yield tell, confirm


def _print(outcome: switch.Outcome, *, as_json: bool) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(outcome), indent=2) if as_json else outcome.text)
    sys.stdout.write("\n")


def _agreed(what: str, word: str, *, typed: bool) -> bool:
    try:
        if typed:
            answer: str = typer.prompt(f"{what}\nType {word} to go on", default="", show_default=False, err=True)
            return answer.strip() == word
        return typer.confirm(f"{what} Go on?", err=True)
    except typer.Abort:  # nobody is there to answer
        return False


def main() -> None:
    """Run the command line."""
    app(prog_name="dr")
