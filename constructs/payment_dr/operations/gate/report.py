"""The verdict as text, JSON, Markdown and SARIF."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath
from textwrap import wrap
from typing import Any, Final

from payment_dr.operations.command import DONE, INCONCLUSIVE, MISSED
from payment_dr.operations.gate.executed import Executed, Outage
from payment_dr.operations.gate.rules import RULES
from payment_dr.operations.gate.rules.base import Rule
from payment_dr.operations.gate.verdict import Finding, Judgement, NameChange
from payment_dr.operations.printable import printable
from payment_dr.operations.terraform.plan_markdown import folded

COLUMNS: Final = 80
MOST_NAMES: Final = 20
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True)
class Judged:
    """A file and the verdict on it."""

    file: str
    judgement: Judgement


def exit_code_of(judged: Sequence[Judged]) -> int:
    """1 if a plan breaks failover, else 2 if one has no verdict, else 0."""
    codes = {each.judgement.exit_code for each in judged}
    return next((code for code in (MISSED, INCONCLUSIVE) if code in codes), DONE)


# Words


def time_of(executed: Executed | None, region: str, *, back: bool = False) -> str:
    """How long clients of a name need to leave a failed region, in a word or two."""
    if executed is None or not (executed.fails_over or executed.unclear):
        return "-"
    if executed.unclear:
        return "unknown"
    outage = next((each for each in executed.outages if each.region == region), None)
    if outage is None:
        return "-"
    if outage.never:
        return "never" if not back else "-"
    if region not in executed.normal:
        return "unaffected"
    seconds = outage.back_seconds if back else outage.seconds
    return "no bound" if seconds is None else f"{seconds:.0f} s"


def headline(judgement: Judgement) -> str:
    """The verdict in one sentence."""
    if judgement.verdict == "breaks":
        first = judgement.stopping[0]
        times = _times_of(judgement, first)
        if first.new:
            return f"This plan would break failover: {times}{first.sentence}"
        where = "in this state" if judgement.is_state else "after this plan"
        verb = "stays" if any(each.before for each in judgement.names) else "is"
        return f"Failover {verb} broken {where}: {times}{first.sentence}"
    if judgement.verdict == "cannot tell":
        return f"Cannot tell whether failover holds: {judgement.unclear[0]}"
    slowest = [(outage, name) for name in judgement.names if (outage := _slowest(name.after))]
    if not slowest:
        return "Failover holds."
    outage, name = max(slowest, key=lambda each: each[0].seconds if each[0].seconds is not None else -1)
    if outage.seconds is None:
        return f"Failover holds: {name.key.fqdn} leaves {outage.region}; AWS publishes no time for its detection"
    target = f"{judgement.target_seconds:.0f} s"
    return f"Failover holds: {name.key.fqdn} leaves {outage.region} within {outage.seconds:.0f} s, target {target}"


def hint_of(judgement: Judgement) -> str:
    """What to do next; empty if failover holds."""
    if judgement.verdict == "breaks":
        return RULES[judgement.stopping[0].rule].hint
    if judgement.verdict == "cannot tell":
        if not judgement.takes_part:
            return "Gate the plan of the stack that has the Route 53 records, or leave this stack out."
        return "Apply the plan and gate the state (terraform show -json > state.json), or set what is not known."
    return ""


def _slowest(executed: Executed | None) -> Outage | None:
    return executed.slowest if executed else None


def _times_of(judgement: Judgement, finding: Finding) -> str:
    """How the recovery time changes for the name of a finding: "failover 127 s -> never: ", or nothing."""
    for name in judgement.names:
        about = {entry.address for each in (name.before, name.after) if each for entry in each.entries}
        about |= {
            entry.record.health_check_id or "" for each in (name.before, name.after) if each for entry in each.entries
        }
        if finding.address in about or len(judgement.names) == 1:
            for region in _regions_of(name):
                was, is_ = time_of(name.before, region), time_of(name.after, region)
                if was != is_ and not {was, is_} & {"-", "unaffected"}:
                    return f"failover {was} -> {is_}: "
    return ""


def _regions_of(name: NameChange) -> list[str]:
    return sorted(frozenset().union(*(each.regions for each in (name.after, name.before) if each)))


def _what_happens(name: NameChange, region: str) -> str:
    executed = name.after or name.before
    outage = next((each for each in executed.outages if each.region == region), None) if executed else None
    if outage is None or executed is None or region not in executed.normal or outage.never:
        return f"{region} fails"
    return f"{region} fails, clients get {', '.join(sorted(outage.to))}"


# Text


def text(judged: Judged) -> Iterator[str]:
    """The lines for a terminal of 80 columns."""
    judgement = judged.judgement
    changes = "a state" if judgement.is_state else _count(judgement.changed, "change")
    yield from _wrapped(f"{judged.file}: {changes}, target {judgement.target_seconds:.0f} s", indent="")
    names = sorted(judgement.names, key=lambda each: _is_well(each.after))
    for name in names[:MOST_NAMES]:
        yield from _name_lines(name)
    if len(names) > MOST_NAMES:
        yield f"... and {_count(len(names) - MOST_NAMES, 'name')} more (--json has all)"
    if judgement.copies:
        copies = [f"{copy.kind} {copy.name} {copy.source_region or '?'} -> {copy.region}" for copy in judgement.copies]
        yield from _wrapped(f"copied: {'; '.join(copies[:MOST_NAMES])}", indent="")
    for finding in judgement.findings:
        if finding.level == "note" and not finding.new:
            continue
        kind = "breaks" if finding.stops else "note" if finding.level == "note" else "warning"
        age = ", new" if finding.new else "" if judgement.is_state else ", not new"
        yield from _wrapped(f"{kind}{age}: {finding.sentence} [{finding.rule}]", indent="")
    for what in judgement.unclear[:MOST_NAMES]:
        yield from _wrapped(f"not known: {what}", indent="")
    for note in judgement.notes[:MOST_NAMES]:
        yield from _wrapped(f"assumed: {note}", indent="")
    if hint := hint_of(judgement):
        yield from _wrapped(f"hint: {hint}", indent="")
    if judgement.stopping:
        yield f"AWS's page: dr gate --explain {judgement.stopping[0].rule}"
    yield from _wrapped(headline(judgement), indent="")


def _is_well(executed: Executed | None) -> bool:
    return bool(executed and executed.outages and not any(each.never for each in executed.outages))


def _name_lines(name: NameChange) -> Iterator[str]:
    yield _row(f"{name.key.fqdn} ({name.key.type})", "before", "after")
    for region in _regions_of(name):
        was, is_ = time_of(name.before, region), time_of(name.after, region)
        yield _row(f"  {_what_happens(name, region)}", was, is_)
        if {was, is_} - {"-", "unknown", "unaffected", "never"}:
            yield _row("    failback", *(time_of(each, region, back=True) for each in (name.before, name.after)))
    if not _regions_of(name):
        yield _row("  a region fails", "unknown" if name.before else "-", "unknown")


def _row(what: str, before: str, after: str) -> str:
    times = f" {before:>10} {after:>10}"
    room = COLUMNS - len(times)
    what = printable(what)
    return f"{what if len(what) <= room else what[: room - 3] + '...':<{room}}{times}"


def _wrapped(line: str, indent: str) -> list[str]:
    return wrap(
        printable(line), COLUMNS, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# JSON


def as_json(judged: Sequence[Judged]) -> dict[str, Any]:
    """Everything, for programs."""
    code = exit_code_of(judged)
    return {"exit_code": code, "plans": [{"file": each.file, **_plan_json(each.judgement)} for each in judged]}


def _plan_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "summary": headline(judgement),
        "hint": hint_of(judgement),
        "target_seconds": judgement.target_seconds,
        "changes": judgement.changed,
        "names": [
            {
                "name": name.key.fqdn,
                "type": name.key.type,
                "before": _executed_json(name.before),
                "after": _executed_json(name.after),
            }
            for name in judgement.names
        ],
        "copies": [
            {"kind": copy.kind, "address": copy.source, "from": copy.source_region, "to": copy.region}
            for copy in judgement.copies
        ],
        "findings": [
            {
                "rule": finding.rule,
                "level": finding.level,
                "address": finding.address,
                "what": finding.what,
                "new": finding.new,
                "stops": finding.stops,
                "hint": RULES[finding.rule].hint,
                "page": RULES[finding.rule].page,
            }
            for finding in judgement.findings
        ],
        "not_known": list(judgement.unclear),
        "assumed": list(judgement.notes),
    }


def _executed_json(executed: Executed | None) -> dict[str, Any] | None:
    if executed is None:
        return None
    return {
        "fails_over": executed.fails_over,
        "regions": sorted(executed.regions),
        "normal": sorted(executed.normal),
        "records": [entry.address for entry in executed.entries],
        "outages": [
            {
                "region": outage.region,
                "clients_get": sorted(outage.to),
                "never": outage.never,
                "failover_seconds": None if outage.never else outage.seconds,
                "failback_seconds": None if outage.never else outage.back_seconds,
            }
            for outage in executed.outages
        ],
        "not_known": list(executed.unclear),
    }


# Markdown


def markdown(judged: Judged) -> str:
    """The summary of a pull request."""
    judgement = judged.judgement
    parts = [f"**dr gate: {judgement.verdict}.** {_inline(headline(judgement))}"]
    rows = [
        f"| {_cell(f'{name.key.fqdn} ({name.key.type})')} | {_cell(_what_happens(name, region))} "
        f"| {time_of(name.before, region)} | {time_of(name.after, region)} |"
        for name in judgement.names[:MOST_NAMES]
        for region in _regions_of(name)
    ]
    if rows:
        parts.append("\n".join(["| name | outage | before | after |", "|---|---|---|---|", *rows]))
    stopping = [
        f"- {_inline(each.sentence)} ([{each.rule}]({RULES[each.rule].page})){'' if each.new else ', not new'}."
        f" {_inline(RULES[each.rule].hint)}"
        for each in judgement.stopping[:MOST_NAMES]
    ]
    if stopping:
        parts.append("\n".join(stopping))
    if judgement.unclear:
        lines = [f"- not known: {_inline(what)}" for what in judgement.unclear[:MOST_NAMES]]
        if judgement.verdict == "cannot tell":
            lines.append(f"- hint: {_inline(hint_of(judgement))}")
        parts.append("\n".join(lines))
    rest = [f"{each.level}: {each.sentence} [{each.rule}]" for each in judgement.findings if not each.stops]
    rest += [f"assumed: {note}" for note in judgement.notes]
    if rest:
        parts.append(folded("What does not stop it", map(printable, rest)))
    return "\n\n".join(parts) + "\n"


def _inline(what: str) -> str:
    """Text of a plan, escaped: no Markdown, no HTML and no mention takes effect."""
    return re.sub(r"([\\`*_\[\]<>&|#~@!])", r"\\\1", printable(what)).replace("\\@", "@\u200b")


def _cell(what: str) -> str:
    return _inline(what)


# SARIF


def sarif(judged: Sequence[Judged]) -> dict[str, Any]:
    """SARIF 2.1.0, as code hosts take it.

    https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
    """
    order = list(RULES)
    return {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "dr gate",
                        "semanticVersion": version("payment-dr"),
                        "rules": [_sarif_rule(rule) for rule in RULES.values()],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "exitCode": exit_code_of(judged),
                        "toolExecutionNotifications": [
                            {"level": "warning", "message": {"text": printable(f"not known: {what}")}}
                            for each in judged
                            for what in each.judgement.unclear
                        ],
                    }
                ],
                "results": [
                    _sarif_result(each.file, finding, order.index(finding.rule))
                    for each in judged
                    for finding in each.judgement.findings
                ],
            }
        ],
    }


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("-")),
        "shortDescription": {"text": rule.sentence},
        "fullDescription": {"text": f"{rule.sentence} {rule.hint}"},
        "helpUri": rule.page,
        "help": {
            "text": f"{rule.sentence}\n{rule.hint}\n{rule.page}",
            "markdown": f"{rule.sentence} {rule.hint} [AWS]({rule.page})",
        },
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["availability"]},
    }


def _sarif_result(file: str, finding: Finding, index: int) -> dict[str, Any]:
    address = printable(finding.address)
    same = hashlib.sha256(f"{finding.rule}\n{finding.address}".encode(errors="replace")).hexdigest()
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": "error" if finding.stops else "note" if finding.level == "note" else "warning",
        "message": {"text": printable(finding.sentence)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(file)}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": address, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"ruleAndAddress/v1": same},
        "properties": {"new": finding.new},
    }


def _uri(file: str) -> str:
    """A file's path as a relative URI: code hosts show results of files inside of the repository."""
    path = PurePath(file)
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()


# Rules


def explained(rule: Rule) -> Iterator[str]:
    """What is wrong, what to change, and AWS's page."""
    added = "adds it" if rule.also_created else "adds it to an existing resource"
    stops = {
        "error": "stops every plan that has it",
        "warning": f"stops a plan that {added}, and warns otherwise",
        "note": "never stops a plan",
    }[rule.level]
    yield from _wrapped(f"{rule.id}: {stops}", indent="")
    yield from _wrapped(rule.sentence, indent="")
    yield from _wrapped(f"hint: {rule.hint}", indent="")
    yield rule.page
