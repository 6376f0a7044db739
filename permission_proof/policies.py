"""The deployed policies: reads them from AWS, splits them into rows to prove, changes one for a moment, restores it."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.deployment import Deployment
from payment_dr.operations.deployed import OF_A_SERVICE, OF_TWO_WAY_DOCUMENTS
from payment_dr.side import SIDES, Side

Document = dict[str, Any]
# The order of owners in the report. An owner that is not listed is a gap.
OWNERS = (
    "health monitor role",
    "config sync role",
    "cross-region role",
    "replication role",
    "key",
    "topic",
    "health monitor function",
    "config sync function",
    "bucket",
    "data canary role",
    "data canary function",
    "switch role",
    "switch function",
    "switch takeover role",
    "switch takeover function",
    "service role",
    "service function",
)
# The stack has no output for role and function of these options and of a service: the handler identifies them.
_OPTIONS = {
    "lambda_data_canary.handler": "data canary",
    "lambda_switch.handler": "switch",
    "lambda_standby_takeover.handler": "switch takeover",
}
_OWN_HANDLERS = (*_OPTIONS, "lambda_health_monitor.handler", "lambda_config_sync.handler")


@dataclass(frozen=True)
class Policy:
    """One deployed policy.

    Attributes:
        owner: What it is attached to, such as ``health monitor role``. The name, if it is not part of the stack.
        side: ``primary`` or ``secondary``. A cross-region role belongs to the side whose function assumes it.
        part: ``permissions`` and ``trust`` of a role, else ``policy``.
        name: Name or ARN of the role, key, topic or function.
        text: The policy as deployed.
        put: Replaces it.
    """

    owner: str
    side: Side
    part: str
    name: str
    text: str
    put: Callable[[str], None]

    @property
    def document(self) -> Document:
        """The policy in the form of `normal`."""
        return normal(json.loads(self.text))

    @contextmanager
    def changed(self, document: Document) -> Iterator[None]:
        """Put another policy in its place, and restore it at the end."""
        if document == self.document:
            yield
            return
        try:
            self.put(json.dumps(document))
            yield
        finally:
            self.put(self.text)


@dataclass(frozen=True)
class Row:
    """One statement to prove: an action on a resource is needed, or a condition holds.

    Attributes:
        policy: The policy.
        sid: The statement.
        action: The action; for a condition, all actions of the statement.
        resource: The resource; for a condition, all resources of the statement.
        principal: The principal, such as ``Service s3.amazonaws.com``; for a condition, all of them; empty in a role's
            own policy.
        condition: The condition to prove, such as ``StringEquals aws:SourceAccount``; empty for an action.
        value: The value to prove, if the condition has several.
        denies: Whether the statement denies its actions. That is proven for each resource and condition.
    """

    policy: Policy
    sid: str
    action: str
    resource: str
    principal: str = ""
    condition: str = ""
    value: str = ""
    denies: bool = False

    @property
    def claim(self) -> tuple[str, str, str]:
        """The key of its claim: owner, statement, and action or condition."""
        what = f"each value of {self.condition}" if self.value else self.condition or self.action
        return self.policy.owner, self.sid, f"deny {self.action}: {what}" if self.denies else what

    def __str__(self) -> str:
        owner, sid, what = self.claim
        value = f" {self.value}" if self.value else ""
        who = f" by {self.principal}" if self.principal else ""
        return (
            f"{owner} ({self.policy.side}), {self.policy.part}, statement {sid}: {what}{value}{who} on {self.resource}"
        )


def normal(document: Document) -> Document:
    """Return the policy with every action, resource, principal and condition value in a sorted list."""

    def listed(value: Any) -> list[str]:
        return [value] if isinstance(value, str) else sorted(value)

    whole = copy.deepcopy(document)
    for statement in whole["Statement"]:
        for name in ("Action", "Resource"):
            if name in statement:
                statement[name] = listed(statement[name])
        if "Principal" in statement and not isinstance(statement["Principal"], dict):
            statement["Principal"] = {"AWS": statement["Principal"]}
        for keys in (*statement.get("Condition", {}).values(), statement.get("Principal", {})):
            keys.update({key: listed(values) for key, values in keys.items()})
    return whole


def principals_of(statement: Document) -> list[str]:
    """The principals of a statement, such as ``Service s3.amazonaws.com``; none in a role's own policy."""
    return [f"{kind} {name}" for kind, names in statement.get("Principal", {}).items() for name in names]


def rows_of(policy: Policy) -> list[Row]:
    """Every row to prove of a policy, in an order that does not depend on the order of its statements."""
    rows = []
    for statement in sorted(policy.document["Statement"], key=lambda each: str(each.get("Sid", ""))):
        conditions = {
            f"{operator} {key}": values
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        }
        actions, resources = statement.get("Action", ["NotAction"]), statement.get("Resource", [policy.name])
        row = partial(Row, policy, statement.get("Sid", ""))
        principals = ", ".join(principals_of(statement))
        if statement["Effect"] == "Deny":
            denied = partial(row, action=", ".join(actions), principal=principals, denies=True)
            rows += [denied(resource=resource, condition=each) for resource in resources for each in sorted(conditions)]
            continue
        rows += [
            row(action=action, resource=resource, principal=principal)
            for action in actions
            for resource in resources
            for principal in principals_of(statement) or [""]
        ]
        whole = partial(row, action=", ".join(actions), resource=", ".join(resources), principal=principals)
        for condition, values in sorted(conditions.items()):
            rows.append(whole(condition=condition))
            rows += [whole(condition=condition, value=value) for value in values if len(values) > 1]
    return rows


def without(document: Document, row: Row) -> Document:
    """Return the policy without exactly the row. The rest of its statement stays."""
    changed: list[Document] = []
    for statement in copy.deepcopy(document)["Statement"]:
        if statement.get("Sid", "") != row.sid:
            changed.append(statement)
        elif row.denies:
            others = [resource for resource in statement["Resource"] if resource != row.resource]
            changed += [{**statement, "Resource": others}] if others else []
        elif row.condition:
            operator, key = row.condition.split()
            if row.value:
                statement["Condition"][operator][key].remove(row.value)
            else:
                del statement["Condition"][operator][key]
            changed.append(statement)
        else:
            # What stays: the other actions, and this action on the other resources and by the other principals.
            apart = [{**statement, "Action": [a for a in statement["Action"] if a != row.action]}]
            alone = {**statement, "Action": [row.action]}
            if "Resource" in statement:
                others = [r for r in statement["Resource"] if r != row.resource]
                apart.append({**alone, "Sid": f"{row.sid}2", "Resource": others})
            for principal in principals_of(statement):
                kind, _, name = principal.partition(" ")
                if principal != row.principal:
                    apart.append({**alone, "Sid": f"{row.sid}3", "Principal": {kind: [name]}})
            changed += [part for part in apart if part["Action"] and part.get("Resource", True)]
    return {**document, "Statement": changed or [_nothing(document)]}


def without_statements(document: Document, sids: Sequence[str]) -> Document:
    """Return the policy without these statements."""
    left = [statement for statement in document["Statement"] if statement.get("Sid", "") not in sids]
    return {**document, "Statement": left or [_nothing(document)]}


def with_condition_value(document: Document, row: Row, old: str, new: str) -> Document:
    """Return the policy with another value in the row's condition."""
    changed = copy.deepcopy(document)
    operator, key = row.condition.split()
    for statement in changed["Statement"]:
        if statement.get("Sid", "") == row.sid:
            values = statement["Condition"][operator][key]
            statement["Condition"][operator][key] = [value.replace(old, new) for value in values]
    return changed


def _nothing(document: Document) -> Document:
    """A statement that grants nothing, because a policy must have one."""
    first = document["Statement"][0]
    return {**first, "Action": [f"{first['Action'][0].partition(':')[0]}:NothingAtAll"]}


def deployed_policies(stack: Deployment) -> list[Policy]:
    """Every policy in the account, whoever created it; the stack's in the order of `OWNERS`."""
    owners = owners_of(stack)

    def policy(name: str, part: str, text: Any, put: Callable[[str], None]) -> Policy:
        owner, side = owners.get(name, (name, "primary"))
        return Policy(owner, side, part, name, text if isinstance(text, str) else json.dumps(text), put)

    found = []
    iam = stack.client("iam", "primary")
    for role in iam.list_roles()["Roles"]:
        name, arn = role["RoleName"], role["Arn"]
        for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            text = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]
            put_managed = partial(_put_managed, iam, attached["PolicyArn"])
            found.append(policy(arn, "permissions", text["Document"], put_managed))
        for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            text = iam.get_role_policy(RoleName=name, PolicyName=inline)["PolicyDocument"]
            put_inline = partial(_put, iam.put_role_policy, "PolicyDocument", RoleName=name, PolicyName=inline)
            found.append(policy(arn, f"inline policy {inline}", text, put_inline))
        put_trust = partial(_put, iam.update_assume_role_policy, "PolicyDocument", RoleName=name)
        found.append(policy(arn, "trust", role["AssumeRolePolicyDocument"], put_trust))
    for side in SIDES:
        found += [policy(*parts) for parts in _policies_of_resources(stack, side)]
    known = {owner: place for place, owner in enumerate(OWNERS)}
    return sorted(found, key=lambda p: (known.get(p.owner, len(known)), p.owner, p.side, p.part))


def _policies_of_resources(stack: Deployment, side: Side) -> Iterator[tuple[str, str, Any, Callable[[str], None]]]:
    kms, sns = (stack.client(service, side) for service in ("kms", "sns"))
    for key in kms.list_keys()["Keys"]:
        arn = key["KeyArn"]
        if kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion":
            continue
        text = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
        yield arn, "policy", text, partial(_put, kms.put_key_policy, "Policy", KeyId=arn, PolicyName="default")
    for topic in sns.list_topics()["Topics"]:
        arn = topic["TopicArn"]
        text = sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]
        put = partial(_put, sns.set_topic_attributes, "AttributeValue", TopicArn=arn, AttributeName="Policy")
        yield arn, "policy", text, put
    lambda_ = stack.client("lambda", side)
    for function in lambda_.list_functions()["Functions"]:
        try:
            text = lambda_.get_policy(FunctionName=function["FunctionName"])["Policy"]
        except lambda_.exceptions.ResourceNotFoundException:
            continue
        yield function["FunctionArn"], "policy", text, partial(_put_function, lambda_, function["FunctionName"])
    s3 = stack.client("s3", side)
    for bucket in s3.list_buckets()["Buckets"] if side == "primary" else ():
        try:
            text = s3.get_bucket_policy(Bucket=bucket["Name"])["Policy"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
                raise
            continue
        yield bucket["Name"], "policy", text, partial(_put, s3.put_bucket_policy, "Policy", Bucket=bucket["Name"])


def owners_of(stack: Deployment) -> Mapping[str, tuple[str, Side]]:
    """Owner and side by the name or ARN of the role, key, topic, bucket or function."""
    value = stack.value
    owners: dict[str, tuple[str, Side]] = {}
    for side in SIDES:
        for name, arn in value("lambda_execution_role_arns").items():
            if name.startswith(f"{side}_"):
                owners[arn] = (f"{name.removeprefix(f'{side}_').replace('_', ' ')} role", side)
        for name, arn in value("cross_region_role_arns").items():
            if name.startswith(f"{side}_"):
                owners[arn] = ("cross-region role", side)
    owners[value("s3_replication_role_arn")] = ("replication role", "primary")
    if OF_TWO_WAY_DOCUMENTS in stack.outputs:  # without them, the proof reports a gap
        owners[value(OF_TWO_WAY_DOCUMENTS)] = ("replication role", "secondary")
    for side in SIDES:
        owners[value(f"{side}_kms_key_arn")] = ("key", side)
        owners[value(f"{side}_sns_topic_arn")] = ("topic", side)
        owners[value(f"{side}_bucket_name")] = ("bucket", side)
        owners[value(f"{side}_health_monitor_function_arn")] = ("health monitor function", side)
        owners[value(f"{side}_config_sync_function_arn")] = ("config sync function", side)
        for function in stack.client("lambda", side).list_functions()["Functions"]:
            if option := _OPTIONS.get(function["Handler"]):
                owners[function["Role"]] = (f"{option} role", side)
                owners[function["FunctionArn"]] = (f"{option} function", side)
            elif OF_A_SERVICE in stack.outputs and function["Handler"] not in _OWN_HANDLERS:
                owners[function["Role"]] = ("service role", side)
                owners[function["FunctionArn"]] = ("service function", side)
    return owners


def _put(call: Callable[..., Any], argument: str, text: str, **arguments: Any) -> None:
    call(**arguments, **{argument: text})


def _put_managed(iam: Any, arn: str, text: str) -> None:
    """Put a new version and delete all others, because a policy can have only five."""
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _put_function(lambda_: Any, name: str, text: str) -> None:
    for statement in json.loads(lambda_.get_policy(FunctionName=name)["Policy"])["Statement"]:
        lambda_.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    for statement in normal(json.loads(text))["Statement"]:
        conditions = {
            key.removeprefix("AWS:"): values[0]
            for keys in statement.get("Condition", {}).values()
            for key, values in keys.items()
        }
        lambda_.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action=statement["Action"][0],
            Principal=statement["Principal"]["Service"][0],
            **conditions,
        )
