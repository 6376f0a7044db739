"""`make deploy-local`: deploys, checks and destroys the whole stack, and reports the checks."""

import dataclasses
import json
import sys
import time
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from embedded_aws.checks import OUTPUT, Check, CheckFailed, checks_of, run_check
from embedded_aws.deployment import Deployment
from embedded_aws.inventory import inventory
from payment_dr.operations.command import DONE, MISSED, progress_of


def deploy_local(console: Console, *, as_json: bool, port: int | None = None, stack_dir: Path | None = None) -> int:
    """Deploy the stack on an embedded AWS, check everything, destroy it.

    Args:
        console: Console for progress (stderr). The report goes to stdout.
        as_json: Print the report as JSON.
        port: Port of the embedded AWS. Default: a free one.
        stack_dir: A synthesized stack. Default: synthesizes this project's.

    Returns:
        The exit code: 0 when every check passed, 1 when one failed.

    Raises:
        EmbeddedAwsError: A step failed, so the result is inconclusive.
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
            return f"{changes.add} resources destroyed; keys wait for seven days, as on AWS"

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
    return DONE if report["passed"] else MISSED


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
    verdict = "all checks passed" if report["passed"] else "[red]some checks failed[/red]"
    out.print(f"{report['resources']} resources in two regions, {verdict}, {report['seconds']:.0f} s in all")
