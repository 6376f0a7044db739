"""The printed result of a drill: its targets, its losses, and the paths of journal and report."""

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from payment_dr.operations.command import DONE, MISSED, say
from payment_dr.operations.drill.journal import (
    PASSED,
    WAYS,
    Content,
    InconclusiveError,
    Journal,
    Target,
    load_in_words,
    mode_of_service,
)
from payment_dr.operations.errors import OperationError
from payment_dr.operations.printable import printable
from payment_dr.operations.report.content import ReportContent
from payment_dr.operations.report.write import write_report

COLUMNS: Final = 80
WHAT: Final = 48  # of them for what a target measures
DIGITS: Final = 7  # of the commit, as git shortens it
NAMED: Final = 5  # of the payments that are overwritten
WIDTHS: Final = (8, 7, 13, 14, 13, 11)  # of the cells of payments


def reported(drill: Callable[[], Journal], *, as_json: bool) -> int:
    """Do a drill, write its report and print its result.

    Args:
        drill: Does it, and returns its journal.
        as_json: Print JSON.

    Returns:
        The exit code: 0 when every target was met, 1 when one was missed.

    Raises:
        InconclusiveError: The result is inconclusive. The report shows how far the drill came.
    """
    try:
        journal = drill()
    except InconclusiveError as error:
        try:
            for path in (error.journal, *write_report(error.journal)):
                say(str(path))
        except (OperationError, OSError) as unwritten:  # the drill's message about its undo is more important
            say(str(unwritten))
        raise
    paths = (journal.path, *write_report(journal.path))
    content = journal.content
    if as_json:
        result = {
            "id": content["id"],
            "verdict": content["verdict"],
            "causes": content["causes"],
            "system": content.get("system"),
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


def result_of(content: Content, paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The printed result, a line each with its style: one screen of 80 columns that names system, person and verdict.

    Args:
        content: The journal.
        paths: The files that were written, of one name.
    """
    drill = ReportContent(content, content["id"], "")
    outage = drill.outage()
    lasted = f", for {outage[1] - outage[0]:.0f} s" if outage else ""
    yield from _wrapped(f"{drill.kind}: {content['outage']['description']}{lasted}", style="bold")
    if system := content.get("system"):
        yield from _wrapped(f"{system['fqdn']}, account {system['account']}, zone {system['zone']['id']}")
        yield from _wrapped(f"by {drill.person(DIGITS)}")
    if load := content.get("load"):
        yield from _wrapped(f"load: {load_in_words(load)}")
    yield from _targets(content["targets"])
    for line in [*drill.bounds()][-1:]:
        yield from _wrapped(line)
    yield from _payments(content)
    documents = content["after"].get("documents")
    if documents and not documents["copied_back"] and (count := documents["written"]["secondary"]):
        missing = len(documents["missing"]["secondary"])
        lost = f"{missing} of {count} documents of {drill.secondary} are not in {drill.primary}"
        yield from _wrapped(f"{lost}: the stack copies one way")
    if split_brain := drill.split_brain:
        yield from _wrapped(f"split brain: {', '.join(drill.unseen(split_brain))}, until they reached each other")
        conflicts = list(drill.conflicts(split_brain))
        named = "; ".join(f"{id_}: {lost}" for id_, _, _, lost in conflicts[:NAMED])
        more = f"; {len(conflicts) - NAMED} more are in the report" if len(conflicts) > NAMED else ""
        yield from _wrapped(f"overwritten: {named or 'none'}{more}")
    for cause in content["causes"]:
        yield from _wrapped(f"cause: {cause}", style="red")
    first, *others = paths
    yield ", ".join([str(first), *(path.suffix for path in others)]), ""
    verdict = f"{drill.headline}. {drill.loss}." if drill.loss else drill.headline
    yield from _wrapped(verdict, style="bold green" if content["verdict"] == PASSED else "bold red")


def _wrapped(text: str, *, style: str = "", indent: str = "  ") -> Iterator[tuple[str, str]]:
    for line in textwrap.wrap(printable(text), COLUMNS, subsequent_indent=indent, break_on_hyphens=False):
        yield line, style


def _targets(targets: Sequence[Target]) -> Iterator[tuple[str, str]]:
    """A row for each target, except for counts of 0 that meet theirs: one line has how many there are."""
    yield f"{'target':<{WHAT}}{'result':>10}{'at most':>8}", "bold"
    zeros: list[Target] = []
    for target in targets:
        if target["met"] and target["measured"] == target["target"] == 0 and target["unit"] != "s":
            zeros.append(target)
            continue
        unit = " s" if target["unit"] == "s" else ""
        measured = (
            "" if not target["tested"] else "?" if target["measured"] is None else f"{target['measured']:g}{unit}"
        )
        judged, style = _judged(target)
        # Where the value is no count, how it came about stands beside it; so does why there is no result.
        explains = target["unit"] == "s" or target["met"] is None
        text = printable(f"{target['what']}: {target['how']}" if explains else target["what"])
        first, *rest = _in_the_first_column(text)
        at_most = f"{target['target']:g}{unit}"
        yield f"{first:<{WHAT}}{measured:>10}{at_most:>8}  {judged}", style
        yield from ((line, "") for line in rest)
    if zeros:
        how = printable(zeros[0]["how"])
        yield f"{f'{len(zeros)} counts that must be 0: {how}':<{WHAT}}{0:>10}{0:>8}  met", ""


def _in_the_first_column(text: str) -> Iterator[str]:
    """The lines of what a target measures. A phrase after a semicolon begins a line, so that none is cut in two."""
    for place, phrase in enumerate(text.split("; ")):
        yield from textwrap.wrap(
            phrase, WHAT - 1, initial_indent="  " * bool(place), subsequent_indent="  ", break_on_hyphens=False
        )


def _judged(target: Target) -> tuple[str, str]:
    if not target["tested"]:
        return "not tested", ""
    return {True: ("met", ""), False: ("MISSED", "red"), None: ("inconclusive", "red")}[target["met"]]


def _payments(content: Content) -> Iterator[tuple[str, str]]:
    """A row for the payments of each client mode."""
    if not content["rpo"]:
        return
    yield _row("payments", "acknow-", "by one", "missing at", "missing at", "failover,", "p50, p95"), "bold"
    yield _row("(counted)", "ledged", "region", "the failover", "the failback", "failback s", "real ms"), "bold"
    of_service = mode_of_service(content.get("load"))
    for mode, rpo in content["rpo"].items():
        paid, alone, missing = rpo["acknowledged_in_all"], rpo["acknowledged_by_one_region"], rpo["missing_at_failback"]
        took = [rpo["recovery"][way] for way in WAYS]
        latencies = [rpo["latency_ms"]["p50"], rpo["latency_ms"]["p95"]]
        row = _row(
            "the service" if mode == of_service else f"{mode} mode",
            str(paid),
            "-" if mode == of_service else "all" if alone == paid else str(alone),
            f"{len(rpo['missing_at_switch'])} of {rpo['acknowledged']}",
            "-" if missing is None else f"{len(missing)} of {rpo['acknowledged_in_secondary']}",
            ", ".join("-" if seconds is None else f"{seconds:.1f}" for seconds in took),
            ", ".join("-" if latency is None else f"{latency:.0f}" for latency in latencies),
        )
        yield row, ""


def _row(name: str, *cells: str) -> str:
    return f"{name:<14}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


def _print(content: Content, paths: Iterable[Path]) -> None:
    out = Console(highlight=False, soft_wrap=True)
    for line, style in result_of(content, paths):
        out.print(Text(printable(line), style))
