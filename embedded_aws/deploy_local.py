"""`make deploy-local`: the whole stack deployed, checked and destroyed, with a report of what was checked."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from embedded_aws.terraform import ResourceEvent
from embedded_aws.verification import OUTPUT, Check, CheckFailed, checks_of, run_check

PASSED, MISSED = 0, 1


@contextmanager
def progress_of(console: Console) -> Iterator[tuple[Callable[[str], None], Callable[[ResourceEvent], None]]]:
    """Show what goes on: one line that changes on a terminal, one line a step elsewhere.

    Yields:
        What to call with each step, and with each event of Terraform.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, now="")
        done: list[str] = []

        def on_step(step: str) -> None:
            done.clear()
            progress.reset(task, description=step, now="")
            if not console.is_terminal:
                console.print(f"{step} ...", highlight=False)

        def on_event(event: ResourceEvent) -> None:
            if event.phase == "complete" and event.action in {"create", "update", "delete"}:
                done.append(event.address)
                progress.update(task, now=f"{len(done)} done, last {event.address}")

        yield on_step, on_event


def deploy_local(console: Console, *, as_json: bool, port: int | None = None, stack_dir: Path | None = None) -> int:
    """Deploy the stack on an embedded AWS, check everything, destroy it.

    Args:
        console: Where progress goes (stderr). The report goes to stdout.
        as_json: Print the report as JSON.
        port: Port of the embedded AWS. Default: a free one.
        stack_dir: A synthesized stack. Default: this project's, synthesized anew.

    Returns:
        The exit code: 0 when every check passed, 1 when one did not.

    Raises:
        EmbeddedAwsError: A step failed, so that nothing can be said.
    """
    started = time.monotonic()
    with (
        progress_of(console) as (on_step, on_event),
        Deployment(on_step=on_step, on_event=on_event, port=port, stack_dir=stack_dir) as stack,
    ):
        for notice in stack.terraform.notices:
            console.print(f"note: {notice}", highlight=False, markup=False, soft_wrap=True)
        regions = stack.regions
        nothing = inventory(stack.aws, regions)
        changes = stack.apply(stack.plan())
        checks = []
        last = ""
        for name, check in checks_of(stack).items():
            what = "outputs" if name.startswith(OUTPUT) else name
            if what != last:
                on_step(f"check {what}")
            last = what
            checks.append(run_check(name, check))
        stack.destroy()
        on_step("look for leftovers")

        def leaves_nothing() -> str:
            left = inventory(stack.aws, regions) - nothing
            if left or stack.terraform.state_resources():
                raise CheckFailed(f"left behind: {sorted(left) + stack.terraform.state_resources()}")
            return f"{changes.add} resources gone; keys wait out their seven days, as on AWS"

        checks.append(run_check("destroy leaves nothing", leaves_nothing))
        steps = dict(stack.seconds)
        binary = stack.terraform.binary.version
    report = {
        "passed": all(check.passed for check in checks),
        "seconds": round(time.monotonic() - started, 1),
        "steps": {step: round(seconds, 1) for step, seconds in steps.items()},
        "resources": changes.add,
        "versions": {"terraform": binary, "ministack": version("ministack"), "cdktf": version("cdktf")},
        "checks": [{**dataclasses.asdict(check), "seconds": round(check.seconds, 2)} for check in checks],
    }
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _print_report(report, checks)
    return PASSED if report["passed"] else MISSED


def _print_report(report: dict[str, Any], checks: list[Check]) -> None:
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 110  # of a log file or a pipe
    table = Table(title="Checked on the embedded AWS", title_justify="left", header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("result")
    table.add_column("seconds", justify="right")
    table.add_column("found", overflow="fold")
    for step, seconds in report["steps"].items():
        table.add_row(step, "done", f"{seconds:.1f}", "")
    table.add_section()
    for outputs, rows in groupby(checks, key=lambda check: check.passed and check.name.startswith(OUTPUT)):
        group = list(rows)
        if outputs:  # one row for all that agree; --json lists them
            seconds = sum(check.seconds for check in group)
            table.add_row("outputs", "ok", f"{seconds:.1f}", f"{len(group)} outputs as deployed")
            continue
        for check in group:
            result = "ok" if check.passed else "[red]MISSED[/red]"
            table.add_row(check.name, result, f"{check.seconds:.1f}", check.found)
    out.print(table)
    verdict = "all checks passed" if report["passed"] else "[red]some checks missed[/red]"
    out.print(f"{report['resources']} resources in two regions, {verdict}, {report['seconds']:.0f} s in all")
