"""The rights that operating, planning and drilling a deployed stack need, derived from recorded work.

The stack is deployed on an embedded AWS that records each action. Each job has its own role.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_VARIABLES
from embedded_aws.emulated_stack import EmulatedStack
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import DEFAULT_REGION, TYPICAL_REPLICATION_SECONDS, EmbeddedAws
from payment_dr.operations import cli
from payment_dr.operations.deployed import OF_A_SWITCH
from payment_dr.operations.drill import live
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.drill.run import PREFIX
from payment_dr.operations.iam_policies import (
    ACCOUNT_ID,
    ENVIRONMENT,
    GAME_DAY,
    OPERATE,
    PLAN,
    PLAN_CUSTOM_DOMAIN,
    Document,
)
from payment_dr.operations.terraform.runner import Terraform
from permission_proof.deployer import Deployer, Used, by_use, document_of, scope_of, statements
from permission_proof.deployer_scopes import OF_A_CUSTOM_DOMAIN, PAYMENTS, SCOPES, SWITCH
from permission_proof.recorder import authorized

_BY_SWITCH = ("--reason", "a proof", "--for", "60m")
ITEMS = frozenset(f"dynamodb:{operation}" for operation in ("DeleteItem", "GetItem", "PutItem", "Query"))
COMPARED = frozenset(f"dynamodb:{operation}" for operation in ("BatchGetItem", "Scan"))
SETTINGS = frozenset(f"lambda:Get{name}" for name in ("FunctionConcurrency", "FunctionConfiguration", "Policy"))
STREAM = frozenset(f"dynamodb:{operation}" for operation in ("DescribeStream", "GetRecords", "GetShardIterator"))

# An operator changes only the health monitor functions, whose reserved concurrency is the fence, reads the settings of
# all functions, and describes only the table of the payments.
_SCOPES_OF_OPERATORS: Mapping[str, tuple[str, ...]] = {
    **SCOPES,
    "dynamodb": (PAYMENTS,),
    "lambda": (f"arn:aws:lambda:*:{ACCOUNT_ID}:function:lambda-health-monitor-*-{ENVIRONMENT}",),
}
_SCOPES_OF_PARTS: Mapping[str, tuple[str, ...]] = {
    "items": (PAYMENTS,),
    "compared items": (PAYMENTS,),
    # AWS chooses its label, which is its creation time:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-read-stream-only.html
    "stream": (f"{PAYMENTS}/stream/*",),
    "switch": (SWITCH,),
    "secrets": (f"arn:aws:kms:*:{ACCOUNT_ID}:key/*",),
    "functions": SCOPES["lambda"],
}
# AWS chooses the ids of keys, but Parameter Store names the parameter that it decrypts:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
_OF_THE_STACKS_PARAMETERS = {"StringLike": {"kms:EncryptionContext:PARAMETER_ARN": [*SCOPES["ssm"]]}}


def policies_of_operators(used: Mapping[str, Used]) -> dict[str, Document]:
    """The policies, by name: what was used, on the resources of the stack.

    Args:
        used: What operating, planning and the game day used.

    Raises:
        EmbeddedAwsError: The resources of an action are not known.
    """
    planned, planned_with_domain = by_use(used[PLAN], _part)
    operated, _ = by_use(used[OPERATE], _part_of_operators)
    drilled, _ = by_use(used[GAME_DAY], _part)
    return {
        OPERATE: document_of(_narrowed(statements(operated, {**_SCOPES_OF_OPERATORS, **_SCOPES_OF_PARTS}))),
        PLAN: document_of(_narrowed(statements(planned, {**SCOPES, **_SCOPES_OF_PARTS}))),
        PLAN_CUSTOM_DOMAIN: document_of(statements(planned_with_domain, OF_A_CUSTOM_DOMAIN)),
        GAME_DAY: document_of(_narrowed(statements(drilled, {**_SCOPES_OF_OPERATORS, **_SCOPES_OF_PARTS}))),
    }


def _part(action: str, arn: str) -> str:
    if action == "kms:Decrypt":
        return "secrets"
    if action in ITEMS:
        return "switch" if ":table/table-switch-" in arn else "items"
    if action in COMPARED:
        return "compared items"
    if action in STREAM:
        return "stream"
    return scope_of(action, arn)


def _part_of_operators(action: str, arn: str) -> str:
    """Who drills looks at the health functions alone."""
    return "functions" if action in SETTINGS else _part(action, arn)


def _narrowed(found: Iterator[Document]) -> Iterator[Document]:
    """Add conditions: only the items of a drill, only the stack's secrets."""
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    own_items = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{PREFIX}*"]}}
    conditions = {"Items": own_items, "Secrets": _OF_THE_STACKS_PARAMETERS}
    for statement in found:
        condition = conditions.get(statement["Sid"])
        yield {**statement, **({"Condition": condition} if condition else {})}


class Operator:
    """An operator who works on a deployed stack with the credentials of a role with one policy.

    Args:
        aws: A recording embedded AWS.
        name: The name of the role.
    """

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        self._aws, self._name = aws, name
        self._iam = aws.client("iam", DEFAULT_REGION)
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{aws.account_id}:root"},
            "Action": "sts:AssumeRole",
        }
        role = self._iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )["Role"]
        sts = aws.client("sts", DEFAULT_REGION)
        self.credentials = sts.assume_role(RoleArn=role["Arn"], RoleSessionName=name)["Credentials"]
        self.environment = {
            **aws.environment(),
            "AWS_ACCESS_KEY_ID": self.credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self.credentials["SessionToken"],
        }

    def gets(self, document: Document) -> None:
        """Give the role this policy and no other."""
        self._iam.put_role_policy(RoleName=self._name, PolicyName=self._name, PolicyDocument=json.dumps(document))

    @property
    def used(self) -> set[tuple[str, str]]:
        """Each action that was allowed so far, with its ARN."""
        return set(authorized(self._aws, self.credentials["AccessKeyId"]))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Use the role's AWS settings in this process until the end."""
        with mock.patch.dict(os.environ, self.environment):
            os.environ.pop("AWS_PROFILE", None)
            yield


@contextmanager
def dr_on(outputs: Mapping[str, Any], directory: Path) -> Iterator[Callable[..., str]]:
    """Make a function that runs `dr` in this process, on a stack of an embedded AWS.

    DNS is modelled, because nothing answers it there. Queries need no right.

    Args:
        outputs: The outputs of the stack.
        directory: Folder for a file of the outputs, and for the journals of drills.

    Yields:
        The function. It takes the command and its arguments, returns the output, and raises EmbeddedAwsError if the
        exit code is not 0.
    """
    file = directory / "outputs.json"
    file.write_text(json.dumps({name: {"value": value} for name, value in outputs.items()}), encoding="utf-8")

    def dr(*arguments: str) -> str:
        done = CliRunner().invoke(cli.app, [*arguments, "--outputs", str(file)])
        if done.exit_code:
            raise EmbeddedAwsError(f"dr {arguments[0]} exits with {done.exit_code}: {done.output}", hint="run it again")
        return done.output

    with (
        mock.patch.object(cli, "Deployed", EmulatedStack),
        mock.patch.object(live, "drill", partial(live.drill, dns=ModelledDns)),
    ):
        yield dr


@contextmanager
def another_policy(aws: EmbeddedAws, outputs: Mapping[str, Any]) -> Iterator[None]:
    """Give config sync an inline policy of somebody's own, which `dr status` reads, until the end."""
    iam = aws.client("iam", DEFAULT_REGION)
    role = outputs["lambda_execution_role_arns"]["primary_config_sync"].rpartition("/")[2]
    statement = {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}
    iam.put_role_policy(
        RoleName=role,
        PolicyName="another",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    yield
    iam.delete_role_policy(RoleName=role, PolicyName="another")


def work(user: Deployer, policy_of: Callable[[str], Document], directory: Path) -> dict[str, set[tuple[str, str]]]:
    """Do the work of each policy, with a role that has nothing else.

    Args:
        user: The deployer of the stack.
        policy_of: Returns the policy of `OPERATE`, `GAME_DAY` or `PLAN`, the last with that of a custom domain.
        directory: Folder for the drill's journal.

    Returns:
        By policy, each action that was allowed, with its ARN.

    Raises:
        OperationError: A right is missing, or the work did not succeed.
    """
    outputs = {name: output.value for name, output in user.terraform.output().items()}
    people = {name: Operator(user.aws, name) for name in (OPERATE, GAME_DAY, PLAN)}
    for name, person in people.items():
        person.gets(policy_of(name))
    user.aws.set_replication_lag(TYPICAL_REPLICATION_SECONDS, seed=1)
    with dr_on(outputs, directory) as dr:
        with people[OPERATE].working(), another_policy(user.aws, outputs):
            dr("status")
            dr("failover", "--yes", "--wait", *_BY_SWITCH)
            dr("failback", "--yes", "--wait")
        with people[GAME_DAY].working():
            dr("drill", "--yes", f"--report-dir={directory}")
            dr("failover", "--yes", *_BY_SWITCH)  # the switch, in case a drill leaves it
            dr("failback", "--yes")
    with dr_on({name: value for name, value in outputs.items() if name not in OF_A_SWITCH}, directory) as dr:
        for name in (OPERATE, GAME_DAY):  # as of a stack without a switch
            with people[name].working():
                dr("failover", "--yes")
                dr("failback", "--yes", *(("--since", "2d") if name == OPERATE else ()))
    with Terraform(
        user.terraform.directory, people[PLAN].environment, variables=PRODUCTION_VARIABLES, stand_ins=stand_in_providers
    ) as planning:
        planning.init()
        if actions := planning.plan().actions:
            raise EmbeddedAwsError(f"the plan would change {', '.join(sorted(actions))}", hint="run it again")
    return {name: person.used for name, person in people.items()}
