"""The proof on the deployed stack, and what it says of policies with a right too many, too few or too wide."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from embedded_aws.deployment import PROJECT, Deployment
from permission_proof import __main__ as command_line
from permission_proof import proof
from permission_proof.claims import CLAIMS
from permission_proof.excess import gaps_between
from permission_proof.policies import Document, Policy, Row, deployed_policies, rows_of, without
from permission_proof.stage import Outcome, Refusal, Stage
from tests.permission_proof.conftest import Run, run_command

pytestmark = [pytest.mark.xdist_group("permissions"), pytest.mark.slow]


@pytest.fixture(scope="module")
def branch(deployment: Deployment) -> Iterator[Deployment]:
    with deployment.branch() as own:
        yield own


@pytest.fixture(scope="module")
def policies(branch: Deployment) -> list[Policy]:
    return deployed_policies(branch)


@pytest.fixture(scope="module")
def stage(branch: Deployment, policies: list[Policy]) -> Iterator[Stage]:
    with Stage(branch, policies) as ready:
        yield ready


def find(policies: list[Policy], owner: str, sid: str, what: str) -> Row:
    rows = (row for policy in policies if policy.side == "primary" for row in rows_of(policy))
    return next(row for row in rows if row.claim == (owner, sid, what))


def with_document(row: Row, document: Document) -> Row:
    return replace(row, policy=replace(row.policy, text=json.dumps(document)))


def gaps_after(policies: list[Policy], changed: Policy, document: Document) -> list[str]:
    """What is said if one policy had another text."""
    others = [policy for policy in policies if policy is not changed]
    now = [*others, replace(changed, text=json.dumps(document))]
    return gaps_between([row for policy in now for row in rows_of(policy)])


def test_every_right_is_proven_every_outside_request_refused_and_all_is_put_back(run: Run) -> None:
    assert run.data["gaps"] == []
    assert [line for line in (*run.data["rights"], *run.data["refused"]) if not line["proven"]] == []
    assert [job["function"] for job in run.data["jobs"] if not job["done"]] == []
    assert run.exit_code == 0


def test_the_document_is_what_a_run_writes(run: Run) -> None:
    assert (PROJECT / "docs/permissions.md").read_text(encoding="utf-8") == run.document


def test_all_that_the_owner_asked_to_be_refused_is_among_the_requests(run: Run) -> None:
    found = {(line["role"].partition(",")[0], line["request"]) for line in run.data["refused"]}
    assert found >= {
        ("health monitor role", "The health monitor's role assumes the cross-region role"),
        ("config sync role", "Another function with the same role assumes the cross-region role"),
        ("cross-region role", "The role writes a parameter that is not ours"),
        ("cross-region role", "The role writes in the wrong region"),
        ("cross-region role", "The role writes with another key"),
        ("health monitor role", "The role publishes to the other region's topic"),
        ("health monitor role", "The role describes another table"),
    }
    without_key = [
        line
        for line in run.data["rights"]
        if line["action"] == "kms:Decrypt" and "Read" in line["role"] and not line["condition"]
    ]
    assert len(without_key) == 2
    assert {line["without"] for line in without_key} == {"refused: kms:Decrypt"}


def test_a_line_that_a_service_causes_says_what_it_rests_on(policies: list[Policy]) -> None:
    """A service is the principal, writes the log, or replicates."""
    by_service = {
        row.claim
        for policy in policies
        for row in rows_of(policy)
        if row.principal.startswith("Service ") or row.action.startswith(("logs:", "s3:Get", "s3:List", "s3:Replicate"))
    }
    # Whatever asks the key for Parameter Store is a caller, whom IAM decides on; so is whoever asks the API.
    called = {claim for claim in by_service if claim[1] == "ParameterStoreEncryptsAndDecrypts"}
    called.add(("health monitor function", "AllowHealthRoute", "lambda:InvokeFunction"))
    assert {claim for claim in by_service if CLAIMS[claim].basis is None} == called & by_service
    assert {claim for claim in CLAIMS if CLAIMS[claim].basis} == by_service - called


def test_an_action_or_a_condition_less_is_named(policies: list[Policy]) -> None:
    for policy in policies:
        for row in rows_of(policy):
            document = policy.document
            for same in rows_of(policy):  # on all resources
                if same.claim == row.claim and not row.value:
                    document = without(document, same)
            if row.value:  # a single value left is the condition itself
                document = without(document, row)
            owner, sid, what = row.claim
            assert f"dropped: {owner} ({policy.side}), statement {sid}: {what}" in gaps_after(
                policies, policy, document
            )


def test_an_action_or_a_condition_more_is_named(policies: list[Policy]) -> None:
    for policy in policies:
        for number, statement in enumerate(policy.document["Statement"]):
            document = policy.document
            changed = document["Statement"][number]
            changed["Action"].append("ec2:RunInstances")
            changed.setdefault("Condition", {})["Bool"] = {"aws:SecureTransport": ["true"]}
            gaps = gaps_after(policies, policy, document)
            where = f"no scenario: {policy.owner} ({policy.side}), {policy.part}, statement {statement['Sid']}: "
            if statement["Effect"] == "Deny":  # which an action more makes another one
                assert [gap for gap in gaps if gap.startswith(f"{where}deny ec2:RunInstances, s3:*: ")]
                continue
            assert [gap for gap in gaps if gap.startswith(f"{where}ec2:RunInstances")]
            assert [gap for gap in gaps if gap.startswith(f"{where}Bool aws:SecureTransport")]


def test_a_statement_or_a_policy_more_is_named(policies: list[Policy]) -> None:
    more = {"Sid": "More", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    for policy in policies:
        document = policy.document
        gaps = gaps_after(policies, policy, {**document, "Statement": [*document["Statement"], more]})
        assert gaps == [
            f"no scenario: {policy.owner} ({policy.side}), {policy.part}, statement More: s3:GetObject on *"
        ]
    hidden = replace(policies[0], owner="somebody", part="inline policy x", text=json.dumps({"Statement": [more]}))
    rows = [row for policy in (*policies, hidden) for row in rows_of(policy)]
    assert gaps_between(rows) == ["no scenario: somebody (primary), inline policy x, statement More: s3:GetObject on *"]


def test_a_role_of_the_stack_has_a_request_for_something_else_for_each_action(policies: list[Policy]) -> None:
    key = ("config sync role", "WriteToOtherRegion", "sts:AssumeRole")
    claims = {**CLAIMS, key: replace(CLAIMS[key], outside=())}
    gaps = gaps_between([row for policy in policies for row in rows_of(policy)], claims)
    assert [gap.partition(" (")[0] for gap in gaps] == ["no request outside of it: config sync role"] * 2


def test_a_right_that_nothing_needs_is_not_proven(stage: Stage, policies: list[Policy]) -> None:
    row = find(policies, "health monitor role", "DescribeTable", "dynamodb:DescribeTable")
    wider = row.policy.document
    more = "arn:aws:dynamodb:us-east-1:000000000000:table/other"
    next(s for s in wider["Statement"] if s["Sid"] == row.sid)["Resource"].append(more)
    (found,) = proof._proofs(stage, [replace(with_document(row, wider), resource=more)], print)
    assert (found.with_it, found.without_it, found.proven) == ("passes", "passes", False)
    row.policy.put(row.policy.text)


def test_a_condition_that_holds_nobody_back_is_not_proven(stage: Stage, policies: list[Policy]) -> None:
    row = find(policies, "config sync role", "WriteToOtherRegion", "ArnEquals lambda:SourceFunctionArn")
    wide = row.policy.document
    statement = next(s for s in wide["Statement"] if s["Sid"] == row.sid)
    statement["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"] = ["arn:aws:lambda:*:*:function:*"]
    with row.policy.changed(wide):
        (found,) = proof._proofs(stage, [with_document(row, wide)], print)
    assert (found.with_it, found.without_it, found.proven) == ("passes", "passes", False)


def test_a_resource_too_wide_lets_the_outside_in(stage: Stage, policies: list[Policy]) -> None:
    row = find(policies, "health monitor role", "PublishAlerts", "sns:Publish")
    wide = row.policy.document
    next(s for s in wide["Statement"] if s["Sid"] == "PublishAlerts")["Resource"] = ["*"]
    next(s for s in wide["Statement"] if s["Sid"] == "EncryptAlerts")["Resource"] = ["*"]
    del next(s for s in wide["Statement"] if s["Sid"] == "EncryptAlerts")["Condition"]
    (scenario,) = CLAIMS[row.claim].outside
    with row.policy.changed(wide):
        assert not proof._ask(stage, "health monitor role", "primary", "sns:Publish", scenario).proven
    assert proof._ask(stage, "health monitor role", "primary", "sns:Publish", scenario).proven


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("role/iam-role-health-monitor-east-dev", "sns:Subscribe", "TOPIC"),
        Refusal("role/iam-role-health-monitor-east-dev", "sns:Publish", "arn:aws:sns:us-east-1:1:another"),
        Refusal("role/another", "sns:Publish", "TOPIC"),
    ],
    ids=["another action", "another resource", "another role"],
)
def test_a_refusal_for_another_reason_proves_nothing(policies: list[Policy], refusal: Refusal) -> None:
    row = find(policies, "health monitor role", "PublishAlerts", "sns:Publish")
    due = Refusal("role/iam-role-health-monitor-east-dev", "sns:Publish", row.resource)
    refusal = replace(refusal, resource=refusal.resource.replace("TOPIC", row.resource))
    assert proof._named(Outcome(False, "why", (refusal,)), row) is None
    assert proof._named(Outcome(False, "why", (refusal, due)), row) == due


def test_a_changed_stack_fails_the_run_and_each_change_is_named_and_what_was_not_put_back(
    changed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries the rights of the statements that changed, and, for what is outside, leaves a policy and a role."""
    proofs, tried = proof._proofs, {"WriteOwnLog", "WriteReplicas", "EncryptAlerts", "AssumedByConfigSync"}

    def leave_a_change_and_a_role(stage: Stage, rows: list[Row]) -> list[proof.Refused]:
        row = find([row.policy for row in rows], "topic", "AlarmsPublish", "StringEquals aws:SourceAccount")
        row.policy.put(json.dumps(without(row.policy.document, row)))
        trust = json.dumps(stage.policy("replication role", "primary", "trust").document)
        stage.client("iam", "primary").create_role(RoleName="left", AssumeRolePolicyDocument=trust)
        return []

    monkeypatch.setattr(proof, "_proofs", lambda at, rows, say: proofs(at, [r for r in rows if r.sid in tried], say))
    monkeypatch.setattr(proof, "_refused", leave_a_change_and_a_role)
    monkeypatch.setattr(command_line, "Deployment", lambda **_: nullcontext(changed))
    result = run_command()
    assert result.exit_code == 1, result.stderr
    gaps = [line.removeprefix("gap: ") for line in result.stdout.splitlines() if line.startswith("gap: ")]
    for named in (
        "dropped: config sync role (primary), statement WriteOwnLog: logs:PutLogEvents",
        "no scenario: replication role (primary), permissions, statement WriteReplicas: s3:ReplicateDelete",
        "dropped: health monitor role (secondary), statement EncryptAlerts: StringEquals kms:ViaService",
        "not proven: cross-region role (secondary), trust, statement AssumedByConfigSync: ArnEquals aws:PrincipalArn",
        "not restored: topic (primary), policy",
        "left behind: iam role/left (primary), trust",
    ):
        assert [gap for gap in gaps if gap.startswith(named)], (named, gaps)
    assert gaps[-1].startswith("not restored: Terraform ")
    assert "alerting_east_topic_policy" in gaps[-1]


def test_what_cannot_be_deployed_cannot_be_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "permission_proof", "--stack-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 2
    assert "error: " in run.stderr
    assert "hint: " in run.stderr
    assert run.stdout == ""
