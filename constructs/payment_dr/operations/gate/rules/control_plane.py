"""Rules for what a failover must not need: APIs of one region, Terraform and its state."""

import json
import re
from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.plan import Resource
from payment_dr.operations.gate.rules.base import RELIABILITY, Found, Rule, State

_CONTROL_PLANE: Final = re.compile(
    r"^(route53:(ChangeResourceRecordSets|UpdateHealthCheck|ChangeTagsForResource|\*)"
    r"|iam:(PutRolePolicy|AttachRolePolicy|UpdateAssumeRolePolicy|\*))$",
    re.IGNORECASE,
)


def _control_plane(state: State) -> Iterator[Found]:
    """Rights of a program that runs by itself to change records or roles."""
    for kind in ("aws_iam_role_policy", "aws_iam_policy"):
        for policy in state.view.of_type(kind):
            actions = sorted(set(filter(_CONTROL_PLANE.match, _allowed(policy.text("policy")))))
            if actions and any(_runs_by_itself(state, each) for each in _given_by(state, policy)):
                yield Found(policy.address, f"lets a program call {', '.join(actions)}, which only us-east-1 accepts")


def _given_by(state: State, policy: Resource) -> list[Resource]:
    """What gives a policy to a role."""
    if policy.type == "aws_iam_role_policy":
        return [policy]
    return state.belonging("aws_iam_role_policy_attachment", "policy_arn").get(policy.address, [])


def _runs_by_itself(state: State, given: Resource) -> bool:
    """Whether its role is that of a program of AWS: people and clusters have their own reasons to change records."""
    roles = state.view.behind(given, "role", types=("aws_iam_role",)).resources
    trusted = " ".join(role.text("assume_role_policy") for role in roles)
    return any(f"{each}.amazonaws.com" in trusted for each in ("lambda", "states", "ssm", "events"))


def _allowed(policy: str) -> list[str]:
    try:
        document = json.loads(policy)
    except (ValueError, RecursionError):
        return []
    statements = document.get("Statement") if isinstance(document, dict) else None
    found: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, dict) and statement.get("Effect") == "Allow":
            actions = statement.get("Action")
            found += [each for each in (actions if isinstance(actions, list) else [actions]) if isinstance(each, str)]
    return found


def _remote_state(state: State) -> Iterator[Found]:
    for data in state.view.of_type("data.terraform_remote_state"):
        region = data.text("config", "region")
        if data.text("backend") == "s3" and region and region in state.regions:
            what = f"reads the state of another stack in {region}, so no plan works while that region is down"
            yield Found(data.address, what)


def _needs_both(state: State) -> Iterator[Found]:
    targets = (target for name in state.judged for entry in name.entries for target in entry.targets)
    busy = {state.region_of(target.address) for target in targets}
    if len(busy & state.regions) > 1:
        first = state.judged[0].entries[0].address
        both = " and ".join(sorted(busy & state.regions))
        yield Found(
            first,
            f"is in one plan with resources in {both}, and Terraform needs both regions to apply it",
        )


_FAULTS: Final = "https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/"

RULES: Final = (
    Rule(
        "control-plane-needed",
        "A program may change DNS records or IAM policies, and only us-east-1 accepts such changes.",
        "Let health checks move clients, and create roles and policies in advance.",
        f"{_FAULTS}global-services.html",
        "warning",
        check=_control_plane,
        also_created=True,
    ),
    Rule(
        "state-in-a-region",
        "The plan reads Terraform state from a bucket in one of the failover's regions.",
        "Replicate the bucket to the other region, or pass the values as variables.",
        f"{_FAULTS}regional-services.html",
        "note",
        check=_remote_state,
    ),
    Rule(
        "apply-needs-both",
        "One plan manages both regions, so Terraform cannot apply all of it while one of them is down.",
        "Make sure that no failover needs an apply, or split the stack by region.",
        f"{RELIABILITY}rel_withstand_component_failures_avoid_control_plane.html",
        "note",
        check=_needs_both,
    ),
)
