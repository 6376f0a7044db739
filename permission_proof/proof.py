"""The proof: removes each right and each condition for a moment, and requests what no right covers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.checks import CheckFailed, check_parameter_follows, check_second_plan_is_empty
from embedded_aws.deployment import Deployment
from payment_dr.side import SIDES, Side
from permission_proof.claims import ALL_CLAIMS, ALL_REFUSED, CLAIMS, Claim, Claims
from permission_proof.excess import Asked, ask_neighbours, excess_in, not_refused
from permission_proof.policies import (
    Document,
    Policy,
    Row,
    deployed_policies,
    rows_of,
    with_condition_value,
    without,
    without_statements,
)
from permission_proof.scenarios import Run, Scenario
from permission_proof.stage import NotPassed, Outcome, Refusal, Stage

PASSES = "passes"
_Failed = (NotPassed, CheckFailed, BotoCoreError, ClientError)


@dataclass(frozen=True)
class Proof:
    """A line of the table.

    Attributes:
        row: The right or condition.
        scenario: The scenario that ran.
        how: The setup: another value in the condition, or statements set aside.
        with_it: The result with the right or condition.
        without_it: The result without it.
        proven: Whether both results are as they must be.
    """

    row: Row
    scenario: Scenario
    how: str
    with_it: str
    without_it: str
    proven: bool


@dataclass(frozen=True)
class Refused:
    """A request that the policies as deployed must refuse."""

    owner: str
    side: Side
    action: str
    scenario: Scenario
    found: str
    proven: bool


@dataclass(frozen=True)
class Report:
    """All results of a proof.

    Attributes:
        proofs: A line for each right and condition that has a scenario.
        refused: A line for each request that must be refused.
        asked: A request for each neighbour of what is granted.
        gaps: What is not proven, one line each. Empty when all is proven.
    """

    proofs: list[Proof]
    refused: list[Refused]
    asked: list[Asked]
    gaps: list[str]


def prove(
    stack: Deployment,
    on_step: Callable[[str], None] = lambda _: None,
    claims: Claims = CLAIMS,
    owners: Collection[str] = (),
) -> Report:
    """Prove the rights of a deployed stack, and leave it as it was.

    Args:
        stack: The stack, applied.
        on_step: Called with each step before it begins.
        claims: `CLAIMS`, `PRODUCTION_CLAIMS` of the production preset, or `SERVICE_CLAIMS`.
        owners: Whose policies to prove, such as "service role". Default: all in the account.
    """
    deployed = deployed_policies(stack)
    policies = [policy for policy in deployed if not owners or policy.owner in owners]
    rows = [row for policy in policies for row in rows_of(policy)]
    on_step("look for grants that are too wide")
    gaps = excess_in(stack, policies, claims)
    if not owners:
        on_step("run the jobs of the functions")
        gaps += list(_jobs_not_done(stack))
    with Stage(stack, deployed) as stage:
        proofs = list(_proofs(stage, [row for row in rows if row.claim in ALL_CLAIMS], on_step))
        on_step("request what no right covers")
        refused = list(_refused(stage, rows))
        on_step("request the neighbours of each granted resource")
        asked = ask_neighbours(stage, policies)
    gaps += [f"not proven: {p.row}: with it {p.with_it}, without it {p.without_it}" for p in proofs if not p.proven]
    gaps += [f"not refused: {r.owner} ({r.side}): {r.scenario.text}: {r.found}" for r in refused if not r.proven]
    gaps += not_refused(asked)
    on_step("check that all policies are as deployed")
    gaps += list(_not_restored(stack, deployed))
    place = {row: number for number, row in enumerate(rows)}
    return Report(sorted(proofs, key=lambda proof: place[proof.row]), refused, asked, gaps)


def _jobs_not_done(stack: Deployment) -> Iterator[str]:
    """Check that the rules as deployed copy parameters."""
    for source, target in (SIDES, SIDES[::-1]):
        try:
            check_parameter_follows(stack, source, target)
        except _Failed as failed:
            yield f"job not done: config sync ({source}): {failed}"


def _not_restored(stack: Deployment, policies: Sequence[Policy]) -> Iterator[str]:
    now = {(p.owner, p.side, p.part): p for p in deployed_policies(stack)}
    for policy in policies:
        found = now.pop((policy.owner, policy.side, policy.part), None)
        if found is None or _statements(found.document) != _statements(policy.document):
            yield f"not restored: {policy.owner} ({policy.side}), {policy.part}"
    for policy in now.values():
        yield f"left behind: {policy.owner} ({policy.side}), {policy.part}"
    try:
        check_second_plan_is_empty(stack)
    except CheckFailed as failed:
        yield f"not restored: Terraform {failed}"


def _statements(document: Document) -> list[str]:
    return sorted(str(statement) for statement in document["Statement"])


def _proofs(stage: Stage, rows: Sequence[Row], on_step: Callable[[str], None]) -> Iterator[Proof]:
    groups: dict[object, list[Row]] = {}
    for row in rows:
        claim = ALL_CLAIMS[row.claim]
        # Rights that the same scenario needs are removed one after the other, in one set-up.
        alone = row if row.condition and not row.value else None
        same_setup = claim.scenario.text, row.policy.side, claim.about(row), claim.hidden_by, alone
        groups.setdefault(same_setup, []).append(row)
    subject = ""
    for group in groups.values():
        claim, side = ALL_CLAIMS[group[0].claim], group[0].policy.side
        if subject != (subject := f"{group[0].policy.owner} ({side})"):
            on_step(f"prove the rights of {subject}")
        try:
            with claim.scenario.play(stage, side, claim.about(group[0])) as run:
                yield from _prove_group(stage, group, claim, run)
        except _Failed as failed:
            for row in group:
                yield Proof(row, claim.scenario, "", f"setup failed: {failed}", "", proven=False)


def _prove_group(stage: Stage, group: Sequence[Row], claim: Claim, run: Run) -> Iterator[Proof]:
    base = without_statements(group[0].policy.document, claim.hidden_by)
    lacking: list[Outcome] = []
    for row in group:
        document = base if claim.hidden_by else row.policy.document
        with row.policy.changed(without(document, row)):
            lacking.append(stage.outcome(run))
    first = group[0]
    is_condition = bool(first.condition and not first.value)
    if is_condition and claim.wrong_value:
        base = with_condition_value(base, first, *claim.wrong_value(stage, first.policy.side))
    with first.policy.changed(base):
        having = stage.outcome(run)
    how = []
    if claim.wrong_value and is_condition:
        how.append(f"the condition names {claim.wrong_value(stage, first.policy.side)[1]}")
    how += [f"{sid} set aside" for sid in claim.hidden_by]
    for row, lack in zip(group, lacking, strict=True):
        refused, passed = (having, lack) if is_condition else (lack, having)
        yield Proof(
            row,
            claim.scenario,
            "; ".join(how),
            _text(having, row),
            _text(lack, row),
            proven=passed.passed and not refused.passed and _named(refused, row) is not None,
        )


def _named(outcome: Outcome, row: Row) -> Refusal | None:
    """The refusal that the missing right of the row causes, if there is one."""
    principals = row.principal.split(", ")
    by = [name for principal in principals for kind, _, name in [principal.partition(" ")] if kind == "Service"]
    if row.policy.part == "permissions":
        by = [row.policy.name.rsplit("/", 1)[1]]
    for refusal in outcome.refusals:
        is_action = any(fnmatchcase(refusal.action, action) for action in row.action.split(", "))
        is_resource = any(fnmatchcase(refusal.resource, resource) for resource in row.resource.split(", "))
        if is_action and is_resource and (not by or any(name in refusal.principal for name in by)):
            return refusal
    return None


def _text(outcome: Outcome, row: Row) -> str:
    if outcome.passed:
        return PASSES
    refusal = _named(outcome, row)
    return f"refused: {refusal.action}" if refusal else f"failed for another reason: {outcome.why}"


def _refused(stage: Stage, rows: Sequence[Row]) -> Iterator[Refused]:
    asked: set[tuple[str, str, str, str]] = set()
    for row in rows:
        if row.claim not in ALL_CLAIMS or row.condition:
            continue
        for scenario in ALL_CLAIMS[row.claim].outside:
            key = (row.policy.owner, row.policy.side, row.action, scenario.text)
            if key not in asked:
                asked.add(key)
                yield _ask(stage, row.policy.owner, row.policy.side, row.action, scenario)
    owners = {(row.policy.owner, row.policy.side) for row in rows}  # the switch is in one region only
    for owner, action, scenario in ALL_REFUSED:
        for side in (side for side in SIDES if (owner, side) in owners):
            yield _ask(stage, owner, side, action, scenario)


def _ask(stage: Stage, owner: str, side: Side, action: str, scenario: Scenario) -> Refused:
    by = stage.policy(owner, side, "trust").name.rsplit("/", 1)[1]
    with suppress(*_Failed), scenario.play(stage, side, "") as run:
        outcome = stage.outcome(run)
        resources = {r.resource for r in outcome.refusals if r.action == action and by in r.principal}
        proven = not outcome.passed and bool(resources)
        found = f"refused: {action} on {', '.join(sorted(resources))}" if proven else outcome.why or PASSES
        return Refused(owner, side, action, scenario, found, proven)
    return Refused(owner, side, action, scenario, "setup failed", proven=False)
