"""The proof on the stack with the production preset, and what it says when that stack is granted too much."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import PRODUCTION_SETTINGS, PROJECT, STACK, Deployment
from permission_proof import __main__ as command_line
from permission_proof import proof
from permission_proof.claims import CLAIMS, PRODUCTION_CLAIMS
from permission_proof.excess import PRINCIPALS, _neighbours, _too_wide, excess_in, gaps_between
from permission_proof.policies import Document, Policy, deployed_policies, rows_of
from permission_proof.report import as_data, as_markdown
from permission_proof.stage import Stage
from tests.deploy.conftest import Deployed
from tests.permission_proof.conftest import run_command
from tests.permission_proof.widening import any_route, branch_of_account, changed_statement, without_condition

CANARY = "data canary role", "permissions"
CANARY_FUNCTION = "data canary function", "policy", "AllowSchedule"
OF_KEYS = "ForAllValues:StringEquals", "dynamodb:LeadingKeys"
TABLE = "arn:aws:dynamodb:us-east-1:{account}:table/transactions"


@pytest.fixture(scope="module")
def account(with_options: Deployed) -> Iterator[Deployment]:
    """The stack in a branch of its AWS."""
    with branch_of_account(with_options) as branch:
        yield branch


@pytest.fixture(scope="module")
def policies(account: Deployment) -> list[Policy]:
    return deployed_policies(account)


@pytest.fixture(scope="module")
def stage(account: Deployment, policies: list[Policy]) -> Iterator[Stage]:
    with Stage(account, policies) as ready:
        yield ready


Changed = Callable[[Stage], tuple[Policy, Document]]


def statement(owner: str, part: str, sid: str, **changes: Any) -> Changed:
    """A policy of the primary region, and what it is when elements of a statement are others."""

    def change(stage: Stage) -> tuple[Policy, Document]:
        policy = stage.policy(owner, "primary", part)
        return policy, changed_statement(policy, sid, stage.stack, **changes)

    return change


def keys(*values: str, operator: str = OF_KEYS[0]) -> Any:
    """Changes the keys of the items that a statement is for."""

    def change(conditions: Document) -> None:
        del conditions[OF_KEYS[0]]
        conditions[operator] = {OF_KEYS[1]: list(values)}

    return change


@pytest.mark.slow
@pytest.mark.xdist_group("options")
def test_every_right_of_the_production_stack_is_proven_and_the_pages_say_so(with_options: Deployed) -> None:
    with with_options.branch() as branch:
        data = as_data(branch, proof.prove(branch, claims=PRODUCTION_CLAIMS))
    assert data["gaps"] == []
    lines = [*data["rights"], *data["refused"], *data["neighbours"]]
    assert [line for line in lines if not line["proven"]] == []
    assert [job["function"] for job in data["jobs"] if not job["done"]] == []
    page = (PROJECT / "docs/permissions-production.md").read_text(encoding="utf-8")
    assert page == as_markdown(data, production=True)
    # The other page has what both stacks are granted.
    common = (PROJECT / "docs/permissions.md").read_text(encoding="utf-8")
    for title in ("Rights", "Refused", "Too wide"):
        rows = rows_below(common, title)
        assert len(rows) > 20
        assert sorted([*rows, *rows_below(page, title)]) == sorted(rows_below(as_markdown(data), title))


def rows_below(page: str, title: str) -> list[str]:
    """The rows of the table of a section, without its head and the numbers of sentences, which each page counts."""
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [re.sub(r"documented, \d+ \|$", "documented |", row) for row in rows]


@pytest.mark.slow
@pytest.mark.xdist_group("options")
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param(
            statement(*CANARY, "WriteOwnItem", Condition=keys("dr-canary/*", operator="ForAllValues:StringLike")),
            "too wide: data canary role (primary), permissions, statement WriteOwnItem: "
            "ForAllValues:StringLike dynamodb:LeadingKeys = dr-canary/*",
            id="all items whose keys begin as the canary's",
        ),
        pytest.param(
            statement(*CANARY, "WriteOwnItem", Condition=keys("dr-canary/us-east-1", "dr-canary/us-west-2")),
            "no scenario: data canary role (primary), permissions, statement WriteOwnItem: each value of "
            "ForAllValues:StringEquals dynamodb:LeadingKeys dr-canary/us-west-2",
            id="to write the other region's item",
        ),
        *(
            pytest.param(
                statement(*CANARY, sid, Condition=without_condition(*condition)),
                f"dropped: data canary role (primary), statement {sid}: {' '.join(condition)}",
                id=f"{sid} without {condition[0]}",
            )
            for sid in ("WriteOwnItem", "ReadBothItems")
            for condition in (OF_KEYS, ("Null", OF_KEYS[1]))
        ),
        *(
            pytest.param(
                statement(*CANARY, sid, Resource="arn:aws:dynamodb:us-east-1:{account}:table/*"),
                f"too wide: data canary role (primary), permissions, statement {sid}: resource "
                "arn:aws:dynamodb:us-east-1:000000000000:table/*",
                id=f"{sid} of all tables",
            )
            for sid in ("WriteOwnItem", "ReadBothItems")
        ),
        pytest.param(
            statement(*CANARY, "WriteOwnItem", Action=["dynamodb:PutItem", "dynamodb:DeleteItem"]),
            "no scenario: data canary role (primary), permissions, statement WriteOwnItem: dynamodb:DeleteItem",
            id="another action",
        ),
        pytest.param(
            statement(*CANARY, "WriteOwnLog", Resource="arn:aws:logs:us-east-1:{account}:log-group:/aws/lambda/*"),
            "too wide: data canary role (primary), permissions, statement WriteOwnLog: resource "
            "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/*",
            id="the logs of all functions",
        ),
        pytest.param(
            statement(
                "data canary role",
                "trust",
                "AssumedByItsFunction",
                Condition=without_condition("ArnEquals", "aws:SourceArn"),
            ),
            "dropped: data canary role (primary), statement AssumedByItsFunction: ArnEquals aws:SourceArn",
            id="a trust in all functions",
        ),
        pytest.param(
            statement("data canary role", "trust", "AssumedByItsFunction", Principal={"AWS": "*"}),
            "too wide: data canary role (primary), trust, statement AssumedByItsFunction: principal AWS *",
            id="a trust in everyone",
        ),
        pytest.param(
            statement("health monitor function", "policy", "AllowPrivateHealthRoute", Condition=any_route),
            "too wide: health monitor function (primary), policy, statement AllowPrivateHealthRoute: "
            "ArnLike AWS:SourceArn = arn:aws:execute-api:",
            id="every route of the API",
        ),
        pytest.param(
            statement(*CANARY_FUNCTION, Condition={"ArnLike": {"AWS:SourceArn": ["arn:aws:events:*:*:rule/*"]}}),
            "too wide: data canary function (primary), policy, statement AllowSchedule: "
            "ArnLike AWS:SourceArn = arn:aws:events:*:*:rule/*",
            id="every rule",
        ),
        pytest.param(
            statement(*CANARY_FUNCTION, Principal={"Service": ["sns.amazonaws.com"]}),
            "too wide: data canary function (primary), policy, statement AllowSchedule: "
            "principal Service sns.amazonaws.com",
            id="another service",
        ),
    ],
)
def test_a_widening_is_named_by_reading(stage: Stage, policies: list[Policy], changed: Changed, named: str) -> None:
    policy, document = changed(stage)
    now = replace(policy, text=json.dumps(document))
    rows = [row for each in policies for row in rows_of(now if each is policy else each)]
    found = [*gaps_between(rows, PRODUCTION_CLAIMS), *_too_wide(now, stage.stack)]
    assert [each for each in found if each.startswith(named)], found


@pytest.mark.slow
@pytest.mark.xdist_group("options")
@pytest.mark.parametrize(
    ("changes", "requests"),
    [
        pytest.param(
            {"Condition": {}},
            {
                "The role reads a payment",
                "The role reads an item whose key begins with that of its own item",
                "The role writes a payment",
                "The role writes an item whose key begins with that of its own item",
                "The role writes the item of the other region's canary",
            },
            id="all items",
        ),
        pytest.param(
            {"Resource": ["arn:aws:dynamodb:us-east-1:{account}:table/*"]},
            {"The role reads its item from another table", "The role writes its item to another table"},
            id="all tables",
        ),
        pytest.param(
            {"Resource": [TABLE, TABLE.replace("us-east-1", "us-west-2")]},
            {"The role reads its item in the other region", "The role writes its item in the other region"},
            id="both regions",
        ),
    ],
)
def test_a_request_that_a_widening_lets_in_is_named(stage: Stage, changes: dict[str, Any], requests: set[str]) -> None:
    role = stage.policy("data canary role", "primary", "permissions")
    rows = [row for row in rows_of(role) if row.sid in {"WriteOwnItem", "ReadBothItems"}]
    wide = role
    for sid in ("WriteOwnItem", "ReadBothItems"):
        wide = replace(wide, text=json.dumps(changed_statement(wide, sid, stage.stack, **changes)))
    with role.changed(wide.document):
        refused = list(proof._refused(stage, rows))
        asked = list(_neighbours(stage, rows))
    assert {each.scenario.text for each in refused if not each.proven} == requests
    region = {ask.action for ask in asked if not ask.refused and ask.neighbour == "the other region"}
    assert region == ({"dynamodb:GetItem"} if len(changes.get("Resource", "")) == 2 else set())


@pytest.mark.slow
@pytest.mark.xdist_group("options")
def test_a_key_more_that_the_canary_does_not_need_is_not_proven(stage: Stage) -> None:
    more = keys("dr-canary/us-east-1", "dr-canary/us-west-2", "payment")
    policy, document = statement(*CANARY, "ReadBothItems", Condition=more)(stage)
    rows = rows_of(replace(policy, text=json.dumps(document)))
    with policy.changed(document):
        found = list(proof._proofs(stage, [row for row in rows if row.sid == "ReadBothItems" and row.value], print))
    assert [each.row.value for each in found] == ["dr-canary/us-east-1", "dr-canary/us-west-2", "payment"]
    assert [each.row.value for each in found if not each.proven] == ["payment"]


@pytest.mark.slow
@pytest.mark.xdist_group("options")
def test_what_only_the_preset_has_is_a_gap_in_the_default_stack(account: Deployment, policies: list[Policy]) -> None:
    rows = [row for policy in policies for row in rows_of(policy) if row.claim not in CLAIMS]
    options = ("data canary", "switch", "switch takeover")
    of_options = {f"{option} {what}" for option in options for what in ("role", "function")}
    assert {row.policy.owner for row in rows} == {*of_options, "health monitor function"}
    gaps = excess_in(account, policies)
    assert {gap for gap in gaps if gap.startswith("no scenario: ")} == {f"no scenario: {row}" for row in rows}
    assert excess_in(account, policies, PRODUCTION_CLAIMS) == []


@pytest.mark.slow
@pytest.mark.xdist_group("options")
def test_each_statement_with_a_principal_has_the_one_that_it_is_for(policies: list[Policy]) -> None:
    statements = [(p.owner, s) for p in policies for s in p.document["Statement"] if s["Effect"] == "Allow"]
    of_the_stack = {(owner, sid) for owner, sid in PRINCIPALS if not owner.startswith("service ")}
    assert {(owner, each["Sid"]) for owner, each in statements if "Principal" in each} == of_the_stack


def test_the_option_proves_the_production_preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    class Stack:
        def apply(self) -> None:
            """There is nothing to apply."""

    def synthesized(*, settings: Any) -> nullcontext[Path]:
        asked.append(settings)
        return nullcontext(tmp_path)

    def prove(_: Stack, __: Any, claims: Any) -> None:
        asked.append(claims)

    def deployment(*, stack_dir: Path, **_: Any) -> nullcontext[Stack]:
        assert stack_dir == tmp_path / "stacks" / STACK
        return nullcontext(Stack())

    nothing = {"passed": True, "gaps": [], "rights": [], "refused": [], "neighbours": [], "jobs": []}
    monkeypatch.setattr(command_line, "synthesized", synthesized)
    monkeypatch.setattr(command_line, "Deployment", deployment)
    monkeypatch.setattr(command_line, "prove", prove)
    monkeypatch.setattr(command_line, "as_data", lambda *_: nothing)
    page = tmp_path / "page.md"
    assert run_command("--production", "--write", str(page)).exit_code == 0
    assert asked == [PRODUCTION_SETTINGS, PRODUCTION_CLAIMS]
    assert page.read_text(encoding="utf-8") == as_markdown(nothing, production=True)
