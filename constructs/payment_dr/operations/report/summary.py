"""What a drill prints when it has ended: its targets, what was lost, and where journal and report are."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from payment_dr.operations.command import DONE, MISSED, say
from payment_dr.operations.drill.journal import (
    PASSED,
    WAYS,
    Content,
    CouldNotTellError,
    Journal,
    Rpo,
    load_in_words,
    mode_of_service,
)
from payment_dr.operations.errors import OperationError
from payment_dr.operations.printable import printable
from payment_dr.operations.report.write import write_report
from payment_dr.side import SIDES


def reported(drill: Callable[[], Journal], *, as_json: bool) -> int:
    """Do a drill, write its report and print its result.

    Args:
        drill: Does it, and returns its journal.
        as_json: Print JSON.

    Returns:
        The exit code: 0 when every target was met, 1 when one was missed.

    Raises:
        CouldNotTellError: The drill ended without a result; its report shows how far it came.
    """
    try:
        journal = drill()
    except CouldNotTellError as error:
        try:
            for path in (error.journal, *write_report(error.journal)):
                say(str(path))
        except (OperationError, OSError) as unwritten:  # what the drill says of its undo is more important
            say(str(unwritten))
        raise
    paths = (journal.path, *write_report(journal.path))
    content = journal.content
    if as_json:
        result = {
            "id": content["id"],
            "verdict": content["verdict"],
            "causes": content["causes"],
            "load": content.get("load"),
            "targets": content["targets"],
            "rto": {way: content["rto"][way] for way in WAYS},
            "rpo": content["rpo"],
            "after": content["after"],
            "files": [str(path) for path in paths],
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(content, paths)
    return DONE if content["verdict"] == PASSED else MISSED


def payments_in_words(rpo: Rpo, *, by_service: bool = False) -> str:
    """What became of the payments of one client mode: a line."""
    alone, count, latency = rpo["acknowledged_by_one_region"], rpo["acknowledged_in_all"], rpo["latency_ms"]
    whose = "by the service" if by_service else f"{alone if alone < count else 'all'} of them by one region alone"
    said = [
        f"{count} acknowledged{' ' if by_service else ', '}{whose}",
        f"{len(rpo['missing_at_switch'])} of {rpo['acknowledged']} missing at the switch",
    ]
    if rpo["missing_at_failback"] is not None:
        said.append(f"{len(rpo['missing_at_failback'])} of {rpo['acknowledged_in_secondary']} missing at the failback")
    for way in WAYS:
        if (seconds := rpo["recovery"][way]) is not None:
            said.append(f"{way} {seconds:.1f} s")
    said.append(f"{latency['p50'] or 0:.0f} ms each (p95 {latency['p95'] or 0:.0f} ms)")
    return "; ".join(said)


def _print(content: Content, paths: Iterable[Path]) -> None:
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 110  # of a log file or a pipe
    title = Text(printable(f"Drill: {content['outage']['description']}"))
    table = Table("target", "at most", "measured", "", "how", title=title)
    for target in content["targets"]:
        measured = "nothing" if target["measured"] is None else f"{target['measured']:g} {target['unit']}"
        met = Text("met", "green") if target["met"] else Text("MISSED", "red")
        if not target["tested"]:
            measured, met = "", Text("not tested")
        cells = (target["what"], f"{target['target']:g} {target['unit']}", measured, target["how"])
        what, at_most, found, how = (Text(printable(each)) for each in cells)
        table.add_row(what, at_most, found, met, how)
    out.print(table)
    if load := content.get("load"):
        out.print(printable(f"load: {load_in_words(load)}"), markup=False)
    of_service = mode_of_service(load)
    for mode, rpo in content["rpo"].items():
        out.print(f"{mode} mode: {payments_in_words(rpo, by_service=mode == of_service)}")
    documents = content["after"].get("documents")
    if documents and not documents["copied_back"] and (count := documents["written"]["secondary"]):
        first, second = (content["regions"][side] for side in SIDES)
        missing = len(documents["missing"]["secondary"])
        out.print(f"{missing} of {count} documents of {second} are not in {first}: the stack does not copy them back")
    for cause in content["causes"]:
        out.print(printable(f"cause: {cause}"), markup=False, style="red")
    for path in paths:
        out.print(printable(str(path)), markup=False, soft_wrap=True)
    out.print(f"{content['verdict']}", style="green" if content["verdict"] == PASSED else "red")
