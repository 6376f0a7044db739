"""``dr``: the operator's command line, for a stack on AWS or on an embedded AWS."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from payment_dr.operations import switch
from payment_dr.operations.command import DONE, MISSED, command, progress, say, show
from payment_dr.operations.deployed import STACK_DIRECTORY, Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import LIVE_OUTAGE, OUTAGES
from payment_dr.operations.errors import OperationError
from payment_dr.operations.files import write_whole
from payment_dr.operations.iam_policies import ACCOUNT_ID, ENVIRONMENT, TABLE, path_of, policies_for, written
from payment_dr.operations.printable import printable
from payment_dr.operations.readiness import left_to_do
from payment_dr.operations.status import look_at

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Directory = Annotated[
    Path, typer.Option("--dir", help="Folder where Terraform ran. Reads its outputs with 'terraform output -json'.")
]
Outputs = Annotated[Path | None, typer.Option(help="A file of 'terraform output -json', instead of --dir.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Skip the safety checks. Prints each reason against it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Run all checks and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation. For automation.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until Route 53 answers with the other region.")]
Timeout = Annotated[float, typer.Option(min=1, help="Maximum seconds to wait.")]
Endpoint = Annotated[
    str | None, typer.Option(help="Address that takes the payments, by POST of JSON, instead of the table.")
]
ThroughService = Annotated[
    bool, typer.Option("--service", help="Send the payments through the service behind the name, over TLS.")
]
Confirms = Annotated[
    bool, typer.Option("--confirms", help="The service acknowledges only what both regions have: judge it by that.")
]
PauseReplication = Annotated[
    str | None,
    typer.Option(
        metavar="TEMPLATE",
        help="Pause replication of the table with this experiment template of AWS FIS during the outage.",
    ),
]
NameServer = Annotated[
    list[str] | None, typer.Option(help="HOST or HOST:PORT to ask instead of the zone's name servers; repeatable.")
]
Limit = Annotated[float, typer.Option(min=1, help="Minutes after which the drill undoes everything.")]
Seed = Annotated[int, typer.Option(help="Seed of all random choices.")]
List = Annotated[bool, typer.Option("--list", help="List the outages, one a line, and exit.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the history of the switch in the standby region.")]
Lasts = Annotated[
    str | None, typer.Option("--for", help="Time after which the switch ends by itself: 90s, 60m, 2h or 1d.")
]
Since = Annotated[
    str | None,
    typer.Option(help="Compare the items of the last 90s, 60m, 2h or 1d; beyond 23h all of the table."),
]
NoEnd = Annotated[bool, typer.Option("--no-end", help="Keep the switch set until 'dr failback'.")]
FenceHasNoEnd = Annotated[
    bool,
    typer.Option(
        "--no-end", help="Without a switch: set a fence. If this computer is lost, it stays until 'dr failback'."
    ),
]
REPORTS = Path("drill-reports")
ReportDir = Annotated[Path, typer.Option(help="Folder for journal and report.")]
JournalFile = Annotated[Path, typer.Argument(help="The JSON file of a drill.")]
State = Annotated[str, typer.Argument(envvar="PAYMENT_DR_STATE", help="s3://BUCKET/ENVIRONMENT, as main.py reads it.")]
StateRegion = Annotated[str, typer.Option("--region", help="The stack's secondary region, or its state_region.")]
StackDirectory = Annotated[
    Path, typer.Argument(help="Folder where Terraform ran, such as cdktf.out/stacks/payment-dr.")
]


def show_version(asked: bool) -> None:
    """Print the installed version and exit."""
    if asked:
        sys.stdout.write(f"payment-dr {version('payment-dr')}\n")
        raise typer.Exit


@app.callback()
def callback(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show, fail over and fail back a payments stack in two regions.

    Uses your AWS settings, or an embedded AWS if AWS_ENDPOINT_URL is set.
    """


@app.command()
@command
def status(directory: Directory = STACK_DIRECTORY, outputs: Outputs = None, as_json: AsJson = False) -> None:
    """Show both regions as Route 53 and an operator see them, faults that show only later, and open set-up steps.

    Exits with 0 when all is well, 1 when something is wrong, 2 when a result is inconclusive.
    """
    stack = Deployed.read(outputs=outputs, directory=directory)
    with progress.status("looking at both regions"):
        found = look_at(stack)
        found = dataclasses.replace(found, both={**found.both, **left_to_do(stack, None if outputs else directory)})
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
    reason: Reason = None,
    lasts: Lasts = None,
    no_end: NoEnd = False,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
) -> None:
    """Send clients to the secondary region, until `dr failback` or, with a switch, for the time of --for.

    In a stack with a switch, this sets the switch in the standby region and makes no call to the primary. Give
    --reason, and --for or --no-end. In other stacks it fences the primary with Lambda's API, so that its probe fails.

    It needs no Route 53 API and deletes nothing. It fails while the secondary region is not healthy. Exits with 0 when
    it is done, 1 when a check failed or it had no effect, 2 when the result is inconclusive.
    """
    stack = Deployed.read(outputs=outputs, directory=directory)
    _switch_clients(
        switch.Switch.failover,
        stack,
        yes=yes,
        as_json=as_json,
        reason=reason,
        seconds=seconds_of(lasts, "--for") if lasts else None,
        no_end=no_end,
        force=force,
        dry_run=dry_run,
        wait=wait,
        timeout=timeout,
    )


@app.command()
@command
def failback(
    directory: Directory = STACK_DIRECTORY,
    outputs: Outputs = None,
    reason: Reason = None,
    since: Since = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json: AsJson = False,
) -> None:
    """Return clients to the primary region: release the switch, or remove the fence, of `dr failover`.

    It compares every item that was written in the secondary region in the last 24 hours, the parameters and the
    documents. It names data that the primary lacks and waits for them, until --timeout. Items that clients write later,
    until DNS sends them back, replicate as always. When clients have been away for longer than 23 hours, it compares
    the whole table. The switch records that time. After a fence or an automatic failover, give it with --since.

    It fails while the primary is not healthy, or if data are still missing at the end. Exits with 0 when it is done, 1
    when a check failed or it had no effect, 2 when the result is inconclusive.
    """
    stack = Deployed.read(outputs=outputs, directory=directory)
    _switch_clients(
        switch.Switch.failback,
        stack,
        yes=yes,
        as_json=as_json,
        reason=reason,
        since=seconds_of(since, "--since") if since else None,
        force=force,
        dry_run=dry_run,
        wait=wait,
        timeout=timeout,
    )


def _switch_clients(
    act: Callable[[switch.Switch], switch.Outcome], stack: Deployed, *, yes: bool, as_json: bool, **options: Any
) -> None:
    """Fail over or back, with these options of `Switch`, and print the result."""
    with _asking(stack, yes) as (tell, confirm):
        try:
            outcome = act(switch.Switch(stack=stack, confirm=confirm, tell=tell, **options))
        except (KeyboardInterrupt, SystemExit):  # switching is not undone: the operator decides what is next
            say("run 'dr status' to check whether a switch or fence keeps clients away from the primary region")
            raise
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(outcome), indent=2) + "\n")
    else:
        show(outcome.text)


def seconds_of(duration: str, option: str) -> float:
    """The seconds of a duration such as "60m", the value of an option.

    Raises:
        OperationError: It is not a duration.

    Example:
        >>> [seconds_of(each, "--for") for each in ("90s", "60m", "1.5h", "1d")]
        [90.0, 3600.0, 5400.0, 86400.0]
    """
    number, unit = duration[:-1], {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(duration[-1:])
    if unit is None or not re.fullmatch(r"[0-9]+([.][0-9]+)?", number) or not float(number):
        raise OperationError(f"{option} {duration} is not a duration", hint="write it as 90s, 60m, 2h or 1d")
    return float(number) * unit


@app.command()
@command
def drill(
    directory: Directory = STACK_DIRECTORY,
    outputs: Outputs = None,
    endpoint: Endpoint = None,
    service: ThroughService = False,
    confirms: Confirms = False,
    pause_replication: PauseReplication = None,
    name_server: NameServer = None,
    limit: Limit = 30,
    no_end: FenceHasNoEnd = False,
    seed: Seed = 42,
    report_dir: ReportDir = REPORTS,
    yes: Yes = False,
    as_json: AsJson = False,
    list_: List = False,
) -> None:
    """Drill the deployed stack: send its clients to the secondary region, and measure what they see until the return.

    It asks for confirmation first. It sets the switch for the time of --limit, in real time, and undoes everything at
    the end. On a stack without a switch it needs --no-end, and sets a fence.

    `make drill` in a clone of the project needs no AWS: it drills a stack of its own on an embedded AWS, with any
    outage. Exits with 0 when every target was met, 1 when one was missed, 2 when the result is inconclusive.
    """
    # Both load what no other command should wait for: a DNS client, and Matplotlib.
    from payment_dr.operations.drill import live
    from payment_dr.operations.report.summary import reported

    if list_:
        show_outages(as_json=as_json)
        return
    try:
        stack = Deployed.read(outputs=outputs, directory=directory)
    except OperationError as error:
        hint = f"{error.hint}; 'make drill' needs no deployment: it drills a stack of its own on an embedded AWS"
        raise OperationError(error.message, hint=hint) from error

    def run() -> Journal:
        with _asking(stack, yes) as (tell, confirm):
            return live.drill(
                stack,
                tell=tell,
                confirm=confirm,
                seed=seed,
                directory=report_dir,
                limit_minutes=limit,
                no_end=no_end,
                endpoint=endpoint,
                service=service,
                confirms=confirms,
                pause_replication=pause_replication,
                name_servers=name_server or (),
            )

    raise typer.Exit(reported(run, as_json=as_json))


def show_outages(*, as_json: bool) -> None:
    """Print each outage that a drill can make: its name, what fails, and what must happen."""
    primary = "the primary region"
    if as_json:
        outages = {
            name: {
                "description": outage.description.format(region=primary),
                "fails_over": outage.fails_over,
                "with_data_canary_only": outage.no_probe_fails,
                "payments_go_on": dict(outage.payments),
            }
            for name, outage in OUTAGES.items()
        }
        sys.stdout.write(json.dumps(outages, indent=2) + "\n")
        return
    for name, outage in OUTAGES.items():
        where = "on AWS and embedded" if name == LIVE_OUTAGE else "embedded"
        show(f"{name:<16} {outage.description.format(region=primary)}; {outage.expected} ({where})")


@app.command()
@command
def report(
    journal: JournalFile,
    sign_with: Annotated[
        str | None, typer.Option(help="Sign the journal first: kms:ARN of an RSA key, or a private key in PEM.")
    ] = None,
) -> None:
    """Write the report of a drill again, beside its journal.

    With --sign-with it also signs the journal, for `dr verify` to check. Signing fails if the journal was changed.
    """
    from payment_dr.operations.report.write import write_report  # loads Matplotlib

    if sign_with:
        from payment_dr.operations.sign import sign

        sign(journal, sign_with)
        show(str(journal))
    for path in write_report(journal):
        show(str(path))


@app.command()
@command
def verify(
    journal: JournalFile,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of the public key that the journal's signature must match.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the figures of a drill again from its events and payments, and check whether its journal was changed.

    It reads one file and makes no calls. payment_dr/operations/verify.py does the same without this project. Exits with
    0 when everything agrees, 1 when something differs, 2 when the result is inconclusive.
    """
    from payment_dr.operations.verify import verify_file

    found = verify_file(journal, public_key)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(found), indent=2) + "\n")
    for line in [] if as_json else found.lines:
        show(line)
    raise typer.Exit(found.exit_code)


@app.command()
@command
def bootstrap(
    state: State,
    region: StateRegion = "us-west-2",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create the bucket that holds Terraform's state, before the first deployment; run it again to repair the bucket.

    The bucket is versioned, encrypted and private, and requires TLS. Correct settings stay as they are. Exits with 0
    when all settings are correct, or listed in a dry run, 2 when it failed.
    """
    from payment_dr.operations.state_bucket import bootstrap_state  # loads the constructs

    with progress.status("looking at the bucket"):
        settings = bootstrap_state(state, region, dry_run=dry_run)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(setting) for setting in settings], indent=2) + "\n")
        return
    for setting in settings:
        outcome = "already set" if not setting.changed else "to be set" if dry_run else "set"
        show(f"{outcome}: {setting.what}")


@app.command()
@command
def adopt(directory: StackDirectory, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """After an interrupted deployment: import resources that exist in AWS and are missing in Terraform's state.

    Uses your AWS settings and the variable file of the stack. Exits with 0 when the next apply can go ahead, 1 when a
    person must decide something, 2 when the result is inconclusive.
    """
    from payment_dr.operations.adoption import NOT_ADOPTED, adopt_here

    with progress.status("comparing the plan with the account"):
        findings = adopt_here(directory.absolute(), dry_run=dry_run)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2) + "\n")
    for finding in [] if as_json else findings:
        show(" ".join([f"{finding.outcome}:", finding.address, *finding.ids]))
        if finding.reason:
            show(f"  {finding.reason}")
    if not findings:
        say("None of the resources to create exists already.")
    raise typer.Exit(MISSED if any(finding.outcome == NOT_ADOPTED for finding in findings) else DONE)


@app.command()
@command
def records(directory: StackDirectory, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Change the records of the application's name to those of Terraform's plan, in one batch.

    Route 53 rejects some changes when Terraform makes them one record at a time: another TTL, the custom domain on or
    off, weighted records instead of a simple one. In a batch, the name resolves at all times. Terraform's state does
    not change: docs/upgrading.md has the next steps.

    Exits with 0 when the records are as planned, 2 when it failed.
    """
    from payment_dr.operations.adoption import terraform_here
    from payment_dr.operations.records import change_at_once, planned_batch

    with terraform_here(directory.absolute()) as (terraform, clients):
        with progress.status("comparing the plan with the zone"):
            batch = planned_batch(terraform, clients)
        if as_json:
            sys.stdout.write(json.dumps(batch.as_json(), indent=2) + "\n")
        for line in [] if as_json else batch.lines:
            show(line)
        if not batch.changes:
            say("The records are as planned.")
        elif not dry_run:
            if not yes and not _agreed(
                f"This changes the answers that clients of {batch.name} get.", batch.name, typed=True
            ):
                raise OperationError("not confirmed; nothing was changed", hint="answer the question, or give --yes")
            with progress.status("waiting until all name servers have the batch"):
                change_at_once(batch, clients)


@app.command()
@command
def policies(
    account_id: Annotated[str, typer.Option(help="The account of the stack.")] = ACCOUNT_ID,
    environment: Annotated[str, typer.Option(help="The environment of the stack.")] = ENVIRONMENT,
    table: Annotated[
        str, typer.Option(envvar="PAYMENT_DR_TABLE", help="The name of the stack's table, as main.py reads it.")
    ] = TABLE,
    out: Annotated[Path | None, typer.Option(help="Folder for one file a policy. Default: print all.")] = None,
) -> None:
    """Print the IAM policies to deploy, plan, operate and drill the stack. Makes no call to AWS."""
    documents = policies_for(account_id, environment, table)
    if out is None:
        sys.stdout.write(json.dumps(documents, indent=2) + "\n")
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        write_whole(path_of(name, out), written(document).encode())
        show(str(path_of(name, out)))


@app.command()
@command
def gate(
    plans: Annotated[
        list[Path] | None, typer.Argument(help="Files of 'terraform show -json', plans or states; - reads stdin.")
    ] = None,
    target: Annotated[str, typer.Option(help="Maximum time of a failover, such as 180s or 3m.")] = "180s",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a summary for a pull request.")] = False,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0 for a code host.")] = False,
    explain: Annotated[str | None, typer.Option(metavar="RULE", help="Explain a rule and its fix.")] = None,
) -> None:
    """Check whether a Terraform plan would still fail over between regions. Makes no call to AWS or Terraform.

    It works on any stack. Each region fails on a model of Route 53, before and after the change. Exit code 0: failover
    holds. 1: the plan breaks it. 2: the gate cannot tell from the plan.
    """
    from payment_dr.operations.gate.command import explain_rule, judge_files, printed

    if explain is not None:
        explain_rule(explain)
        return
    formats = [name for name, asked in (("json", as_json), ("markdown", markdown), ("sarif", sarif)) if asked]
    judged = judge_files(plans or [], seconds_of(target, "--target"), formats)
    raise typer.Exit(printed(judged, formats[0] if formats else "text"))


@contextmanager
def _asking(stack: Deployed, yes: bool) -> Iterator[tuple[Callable[[str], None], Callable[[str, str], None]]]:
    """A spinner that shows progress and stops for a question."""
    with progress.status("looking at both regions") as spinner:

        def tell(text: str) -> None:
            say(text)
            spinner.update(Text(printable(text)))

        def confirm(what: str, word: str) -> None:
            if yes:
                return
            spinner.stop()
            if not _agreed(what, word, typed=stack.is_live):
                raise OperationError("not confirmed; nothing was changed", hint="answer the question, or give --yes")
            spinner.start()

        yield tell, confirm


def _agreed(what: str, word: str, *, typed: bool) -> bool:
    what, word = printable(what), printable(word)
    try:
        if typed:
            answer: str = typer.prompt(f"{what}\nType {word} to go on", default="", show_default=False, err=True)
            return answer.strip() == word
        return typer.confirm(f"{what} Go on?", err=True)
    except typer.Abort:  # nobody is there to answer
        return False
