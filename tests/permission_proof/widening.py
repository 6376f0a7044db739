"""Grants more than is claimed, in an account that a test may change."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from embedded_aws.deployment import Deployment
from permission_proof.policies import Document, Policy, deployed_policies

Widening = Callable[[Deployment], object]


@contextmanager
def branch_of_account(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment in a branch of its AWS; Terraform is not branched, and not needed."""
    assert deployment.outputs  # read once for all branches
    with deployment.aws.branch() as aws:
        branch = copy.copy(deployment)
        branch.aws = aws
        yield branch


def changed_statement(policy: Policy, sid: str, stack: Deployment, **changes: Any) -> Document:
    """A policy with other elements in one of its statements.

    Args:
        policy: As deployed.
        sid: The statement.
        stack: Its account is filled in.
        changes: By element, its new value, in which {account} is filled in, or what changes the value; None: no such
            element.
    """
    document = policy.document
    (found,) = [each for each in document["Statement"] if each["Sid"] == sid]
    for element, value in changes.items():
        if value is None:
            del found[element]
        elif callable(value):
            value(found[element])
        else:
            found[element] = value
    changed: Document = json.loads(json.dumps(document).replace("{account}", stack.aws.account_id))
    return changed


def statement(owner: str, part: str, sid: str, **changes: Any) -> Widening:
    """Change elements of a statement of a policy in the primary region; for the arguments see `changed_statement`."""

    def widen(stack: Deployment) -> None:
        (policy,) = [p for p in deployed_policies(stack) if (p.owner, p.side, p.part) == (owner, "primary", part)]
        policy.put(json.dumps(changed_statement(policy, sid, stack, **changes)))

    return widen


def without_condition(operator: str, key: str) -> Callable[[Document], object]:
    return lambda conditions: conditions[operator].pop(key)


def any_route(conditions: Document) -> None:
    (route,) = conditions["ArnLike"]["AWS:SourceArn"]
    conditions["ArnLike"]["AWS:SourceArn"] = f"{route.partition('/')[0]}/*/*"
