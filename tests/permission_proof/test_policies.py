"""Policies taken apart and changed, without an AWS."""

import json
from typing import Any

import pytest

from permission_proof.policies import (
    Document,
    Policy,
    Row,
    normal,
    rows_of,
    with_condition_value,
    without,
    without_statements,
)

QUEUE = {
    "Sid": "Send",
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": ["sqs:SendMessage", "sqs:ReceiveMessage"],
    "Resource": ["arn:q1", "arn:q2"],
    "Condition": {"ArnEquals": {"aws:SourceArn": ["arn:r1", "arn:r2"]}, "StringEquals": {"aws:SourceAccount": "1"}},
}


def policy(*statements: dict[str, Any]) -> Policy:
    return Policy("queue", "primary", "policy", "arn:q", json.dumps({"Statement": list(statements)}), print)


def row(action: str = "", resource: str = "", condition: str = "", value: str = "") -> Row:
    return Row(policy(QUEUE), "Send", action, resource, "Service events.amazonaws.com", condition, value)


def granted(document: Document) -> set[tuple[str, str, str]]:
    """Every action, resource and principal that a policy allows."""
    return {
        (action, resource, name)
        for statement in document["Statement"]
        for action in statement["Action"]
        for resource in statement.get("Resource", [""])
        for names in statement.get("Principal", {"": [""]}).values()
        for name in names
    }


def test_every_action_resource_principal_condition_and_value_is_a_row() -> None:
    two = {**QUEUE, "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}}
    found = {(r.action, r.resource, r.principal, r.condition, r.value) for r in rows_of(policy(two))}
    all_actions, all_resources = "sqs:ReceiveMessage, sqs:SendMessage", "arn:q1, arn:q2"
    both = "Service events.amazonaws.com, Service sns.amazonaws.com"
    arn, account = "ArnEquals aws:SourceArn", "StringEquals aws:SourceAccount"
    assert found == {
        *(
            (action, resource, f"Service {service}.amazonaws.com", "", "")
            for action in ("sqs:SendMessage", "sqs:ReceiveMessage")
            for resource in ("arn:q1", "arn:q2")
            for service in ("events", "sns")
        ),
        (all_actions, all_resources, both, arn, ""),
        (all_actions, all_resources, both, arn, "arn:r1"),
        (all_actions, all_resources, both, arn, "arn:r2"),
        (all_actions, all_resources, both, account, ""),
    }


def test_a_statement_of_everything_but_some_actions_is_a_row_that_nothing_claims() -> None:
    statement = {"Sid": "All", "Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}
    assert [r.claim for r in rows_of(policy(statement))] == [("queue", "All", "NotAction")]


def test_exactly_one_action_on_one_resource_for_one_principal_is_taken_away() -> None:
    two = policy({**QUEUE, "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}})
    before = granted(two.document)
    for taken in (r for r in rows_of(two) if not r.condition):
        after = granted(without(two.document, taken))
        principal = taken.principal.removeprefix("Service ")
        assert before - after == {(taken.action, taken.resource, principal)}
        assert after <= before


def test_what_is_left_keeps_its_conditions() -> None:
    left = without(policy(QUEUE).document, row("sqs:SendMessage", "arn:q1"))["Statement"]
    assert {json.dumps(statement["Condition"], sort_keys=True) for statement in left} == {
        json.dumps(normal({"Statement": [QUEUE]})["Statement"][0]["Condition"], sort_keys=True)
    }


def test_one_condition_or_one_of_its_values_is_taken_away() -> None:
    document = policy(QUEUE).document
    dropped = without(document, row(condition="ArnEquals aws:SourceArn"))["Statement"][0]["Condition"]
    assert dropped == {"ArnEquals": {}, "StringEquals": {"aws:SourceAccount": ["1"]}}
    fewer = without(document, row(condition="ArnEquals aws:SourceArn", value="arn:r1"))["Statement"][0]["Condition"]
    assert fewer["ArnEquals"] == {"aws:SourceArn": ["arn:r2"]}


def test_a_condition_gets_another_value_and_no_other_condition_does() -> None:
    document = with_condition_value(policy(QUEUE).document, row(condition="StringEquals aws:SourceAccount"), "1", "2")
    condition = document["Statement"][0]["Condition"]
    assert condition["StringEquals"] == {"aws:SourceAccount": ["2"]}
    assert condition["ArnEquals"] == {"aws:SourceArn": ["arn:r1", "arn:r2"]}


@pytest.mark.parametrize(
    "change",
    [
        lambda document: without(document, Row(policy(), "Read", "s3:GetObject", "arn:b")),
        lambda document: without_statements(document, ["Read"]),
    ],
    ids=["the only action", "the only statement"],
)
def test_a_policy_without_its_only_right_is_still_one_and_grants_nothing(change: Any) -> None:
    only = policy({"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:b"})
    assert granted(change(only.document)) == {("s3:NothingAtAll", "arn:b", "")}


def test_a_policy_is_put_back_whatever_happens_meanwhile() -> None:
    put: list[str] = []
    deployed = Policy("queue", "primary", "policy", "arn:q", json.dumps({"Statement": [QUEUE]}), put.append)
    other = without_statements(deployed.document, ["Send"])
    with pytest.raises(KeyboardInterrupt), deployed.changed(other):
        raise KeyboardInterrupt
    assert put == [json.dumps(other), deployed.text]
