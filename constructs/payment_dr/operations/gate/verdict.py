"""The verdict on a plan: holds, breaks with the cause and its address, or cannot tell with what is not known."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from payment_dr.operations.command import DONE, INCONCLUSIVE, MISSED
from payment_dr.operations.gate.executed import Executed, Outage
from payment_dr.operations.gate.plan import Plan
from payment_dr.operations.gate.rules import RULES
from payment_dr.operations.gate.rules.base import Level, State
from payment_dr.operations.gate.rules.dns import blamed
from payment_dr.operations.gate.topology import Copy, Entry, Key
from payment_dr.operations.route53.zone import AlarmCheck, CalculatedCheck, HealthCheck

Verdict = Literal["holds", "breaks", "cannot tell"]
EXIT_CODES: Final[dict[Verdict, int]] = {"holds": DONE, "breaks": MISSED, "cannot tell": INCONCLUSIVE}


@dataclass(frozen=True)
class Finding:
    """A finding of a rule.

    Attributes:
        rule: Its id.
        level: Its level.
        address: The resource.
        what: What is wrong; continues the sentence that the address begins.
        new: Whether the change adds it. Nothing is new in a first plan.
        stops: Whether it stops the plan.
    """

    rule: str
    level: Level
    address: str
    what: str
    new: bool
    stops: bool

    @property
    def sentence(self) -> str:
        """Address and finding."""
        return f"{self.address} {self.what}"


@dataclass(frozen=True)
class NameChange:
    """One name before and after the change.

    Attributes:
        key: The name.
        before, after: What the model found; None if the name does not exist.
    """

    key: Key
    before: Executed | None
    after: Executed | None


@dataclass(frozen=True)
class Judgement:
    """The verdict on a plan, with its reasons.

    Attributes:
        verdict: In one word.
        target_seconds: The longest that a failover may take.
        changed: How many resources the plan changes.
        is_state: Whether it is a state.
        names: The names that fail over, before or after.
        copies: The data that is copied after the change.
        findings: What the rules found; findings that stop the plan come first.
        unclear: What the gate would have to know for a verdict.
        notes: The assumptions.
        takes_part: Whether anything fails over or is copied, before or after.
    """

    verdict: Verdict
    target_seconds: float
    changed: int
    is_state: bool
    names: tuple[NameChange, ...]
    copies: tuple[Copy, ...]
    findings: tuple[Finding, ...]
    unclear: tuple[str, ...]
    notes: tuple[str, ...]
    takes_part: bool

    @property
    def exit_code(self) -> int:
        """0 holds, 1 breaks, 2 cannot tell."""
        return EXIT_CODES[self.verdict]

    @property
    def stopping(self) -> list[Finding]:
        """The findings that stop the plan."""
        return [finding for finding in self.findings if finding.stops]


def judge_plan(plan: Plan, target_seconds: float) -> Judgement:
    """Judge a plan, or a state.

    Args:
        plan: The plan.
        target_seconds: The longest time from an outage until the last client has left the failed region.
    """
    after = State(plan.after)
    before = State(plan.before) if plan.before else None
    known = {(rule, address) for rule, address, _ in _standing(before, None, target_seconds)} if before else set()
    found = [*_standing(after, before, target_seconds)]
    found += [
        (rule.id, each.address, each.what)
        for rule in RULES.values()
        if rule.change and before
        for each in rule.change(after, before)
    ]
    takes_part = after.takes_part or bool(before and before.takes_part)
    there = before.view.resources if before else {}
    findings: dict[tuple[str, str, str], Finding] = {}
    for rule_id, address, what in found:
        rule = RULES[rule_id]
        level = rule.level
        new = before is not None and (rule_id, address) not in known
        lost = new and (address in there or rule.also_created)
        stops = takes_part and (level == "error" or (level == "warning" and lost))
        findings.setdefault((rule_id, address, what), Finding(rule_id, level, address, what, new, stops))
    ordered = tuple(sorted(findings.values(), key=lambda each: (not each.stops, not each.new, each.level == "note")))
    names = tuple(_changes(after, before))
    unclear = [*after.topology.nameless]
    unclear += [what for each in after.model.names.values() for what in each.unclear]
    if not names and not after.copies and not unclear:
        unclear.append("no name in this plan leads to two regions, and it copies no data")
    verdict: Verdict = "breaks" if any(each.stops for each in ordered) else "cannot tell" if unclear else "holds"
    notes = tuple(dict.fromkeys([*after.model.notes, *after.model.within_a_region]))
    return Judgement(
        verdict,
        target_seconds,
        plan.changed,
        plan.is_state,
        names,
        after.copies,
        ordered,
        tuple(dict.fromkeys(unclear)),
        notes,
        takes_part or bool(after.topology.nameless) or bool(names),
    )


def _changes(after: State, before: State | None) -> Iterator[NameChange]:
    old = {each.key: each for each in before.model.names.values()} if before else {}
    new = {each.key: each for each in after.model.names.values()}
    for key in sorted({*old, *new}, key=lambda each: (each.fqdn, each.type)):
        was, is_ = old.get(key), new.get(key)
        if any(each and (each.fails_over or each.unclear) for each in (was, is_)):
            yield NameChange(key, was, is_)


_Found = tuple[str, str, str]  # rule, address, what


def _standing(state: State | None, before: State | None, target_seconds: float) -> Iterator[_Found]:
    """What is wrong on one side of the plan, by the model and by the rules."""
    if state is None:
        return
    for name in state.judged:
        for outage in name.outages:
            if outage.never:
                yield from _why_never(state, before, name, outage)
            elif outage.seconds is not None and outage.seconds > target_seconds:
                yield _why_slow(state, outage, target_seconds)
    for rule in RULES.values():
        for found in rule.check(state) if rule.check else ():
            yield rule.id, found.address, found.what


def _why_slow(state: State, outage: Outage, target_seconds: float) -> _Found:
    record, check = outage.decided_by
    entry = state.topology.entry_at[record]
    settings = state.model.settings(check, entry, outage.region)
    detection = settings.request_interval_seconds * settings.failure_threshold
    beyond = f"so a failover takes {outage.seconds:.0f} s, beyond the target of {target_seconds:.0f} s"
    if settings.ttl_seconds > detection:
        return "beyond-target", record, f"has a TTL of {settings.ttl_seconds} s, {beyond}"
    what = f"needs {settings.failure_threshold} x {settings.request_interval_seconds} s, {beyond}"
    return "beyond-target", check, what


def _why_never(state: State, before: State | None, name: Executed, outage: Outage) -> Iterator[_Found]:
    region = outage.region
    if region not in name.normal:  # the standby region fails, and clients leave the active one
        for entry in state.model.answers(name.key, None):
            if entry.record.health_check_id and not state.model.healthy(entry, region):
                check = entry.record.health_check_id
                kind = state.topology.checks.get(check)
                rule = "alarm-not-followed" if isinstance(kind, AlarmCheck) else "check-probes-elsewhere"
                what = f"is unhealthy when {region} fails, so clients leave {_places(state, entry)}, which still works"
                yield rule, check, what
                return
    for entry in outage.entries:
        yield from _why_stays(state, before, entry, region)


def _why_stays(state: State, before: State | None, entry: Entry, region: str) -> Iterator[_Found]:
    key = state.topology.key_of(entry)
    others = [each for each in state.topology.names[key] if region not in state.model.home(each)]
    old = _former(before, entry.address)
    if not others or entry.record.routing == "simple":
        found = blamed(state, before, state.model.names[key])
        if found:
            yield "no-other-region", found.address, found.what
        else:
            what = f"leads to {region}, and no record of {key.fqdn} leads only to another region"
            yield "no-other-region", entry.address, what
        return
    if state.model.healthy(entry, region):
        check = entry.record.health_check_id
        if check:
            yield _why_healthy(state, entry, check, region)
        elif entry.is_alias and not (old and old.record.health_check_id):
            verb = "no longer evaluates" if old and old.evaluates else "does not evaluate"
            yield "alias-not-evaluated", entry.address, f"{verb} its target's health and has no health check"
        else:
            verb = "loses its health check" if old and old.record.health_check_id else "has no health check"
            yield "no-health-check", entry.address, f"{verb}, so Route 53 answers with it when {region} fails"
        return
    for other in others:
        if not state.model.healthy(other, region):
            check = other.record.health_check_id or other.address
            if check == entry.record.health_check_id:
                yield "check-shared", check, f"decides on both {entry.address} and {other.address}"
            else:
                what = f"is unhealthy too when {region} fails, so {other.address} does not take over"
                yield "standby-not-healthy", check, what
            return
    yield "standby-not-healthy", others[0].address, f"does not take over when {region} fails"


def _why_healthy(state: State, entry: Entry, check: str, region: str) -> _Found:
    for each in state.parts(check):
        found = state.topology.checks[each]
        if isinstance(found, HealthCheck | AlarmCheck | CalculatedCheck) and found.disabled:
            return "check-cannot-fail", each, "is disabled, so it is always healthy"
        if isinstance(found, CalculatedCheck) and found.threshold < len(found.children):
            what = (
                f"stays healthy when {region} fails: it needs {found.threshold} of its {len(found.children)} children"
            )
            return "check-cannot-fail", each, what
        if isinstance(found, AlarmCheck) and found.region == region:
            what = f"follows an alarm in {region}, and is {found.without_data} while that alarm has no data"
            return "alarm-not-followed", each, what
        if isinstance(found, HealthCheck) and region not in state.model.probed_regions(each) and not found.inverted:
            where = ", ".join(sorted(state.model.probed_regions(each))) or found.host
            return "check-probes-elsewhere", each, f"probes {where}, so it stays healthy when {region} fails"
    what = f"stays healthy when {region} fails, so Route 53 still answers with {entry.address}"
    return "check-stays-healthy", check, what


def _places(state: State, entry: Entry) -> str:
    return ", ".join(sorted(state.model.home(entry))) or entry.address


def _former(before: State | None, address: str) -> Entry | None:
    if before is None:
        return None
    return before.topology.entry_at.get(address)
