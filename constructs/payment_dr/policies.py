"""IAM: policy statements as data, policy documents, and roles without wildcards."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .bindings import (
    Construct,
    DataAwsIamPolicyDocument,
    DataAwsIamPolicyDocumentStatement,
    DataAwsIamPolicyDocumentStatementCondition,
    DataAwsIamPolicyDocumentStatementPrincipals,
    IamPolicy,
    IamRole,
    IamRolePolicyAttachment,
    TerraformResource,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .region import Region, account_id, arn
from .suppressions import suppress

# AssumeRole sessions end after an hour; it is also the most that role chaining allows.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html
MAX_SESSION_SECONDS = 3600


@dataclass(frozen=True)
class Condition:
    """One condition of a statement: `Condition("StringEquals", "aws:SourceAccount", [account])`.

    Raises:
        ConfigurationError: An argument is outside its limit.
    """

    test: str
    variable: str
    values: Sequence[str]

    def __post_init__(self) -> None:
        reject("Condition", mistakes_in_props(Condition, vars(self)))


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement of a policy.

    Args:
        sid: Its name: letters and digits that describe its purpose.
        actions: IAM actions.
        resources: ARNs. Empty in a trust policy, which has none.
        principals: Principals by type: `{"Service": ["lambda.amazonaws.com"]}`. Empty in an identity policy.
        conditions: All must be true.
        effect: "Allow", or "Deny" in the policy of a resource. Default "Allow".
        suppressed: Findings of a policy linter that do not apply, with the reason. See `suppress`.

    Raises:
        ConfigurationError: A prop is outside its limit.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str] = ()
    principals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    conditions: Sequence[Condition] = ()
    effect: str = "Allow"
    suppressed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reject("Statement", mistakes_in_props(Statement, vars(self)))


def policy_document(scope: Construct, id_: str, statements: Sequence[Statement]) -> str:
    """An `aws_iam_policy_document`; returns its JSON (a token)."""
    return DataAwsIamPolicyDocument(
        scope,
        id_,
        statement=[
            DataAwsIamPolicyDocumentStatement(
                sid=statement.sid,
                effect=statement.effect,
                actions=list(statement.actions),
                resources=list(statement.resources) or None,
                principals=[
                    DataAwsIamPolicyDocumentStatementPrincipals(type=kind, identifiers=list(identifiers))
                    for kind, identifiers in statement.principals.items()
                ]
                or None,
                condition=[
                    DataAwsIamPolicyDocumentStatementCondition(
                        test=condition.test, variable=condition.variable, values=list(condition.values)
                    )
                    for condition in statement.conditions
                ]
                or None,
            )
            for statement in statements
        ],
    ).json


_WILDCARD = re.compile(r"[*?]")
# Account and name may be Terraform values, which stand in the ARN as ${...} tokens.
_LOG_STREAMS = re.compile(r"arn:aws:logs:[^:]+:[^:]+:log-group:[^:]+:\*")
_OBJECTS = re.compile(r"(arn:aws:s3:::[^/:]+|\$\{[^}]+\})/\*")


def _has_wildcard(resource: str) -> bool:
    allowed = _LOG_STREAMS.fullmatch(resource) or _OBJECTS.fullmatch(resource)
    return bool(_WILDCARD.search(resource[:-1] if allowed else resource))


def mistakes_in_permissions(statements: Sequence[Statement]) -> list[str]:
    """Report every wildcard in an identity policy, and what makes IAM reject it.

    A resource may end in `:*` when it is one log group, because Lambda makes the names of its streams. It may end in
    `/*` when it is one bucket (a name, or an attribute of a bucket resource). Neither can be listed in advance.
    """
    found = []
    for statement in statements:
        found += [
            f"action {action!r} of statement {statement.sid} has a wildcard; name each action"
            for action in statement.actions
            if _WILDCARD.search(action)
        ]
        found += [
            f"resource {resource!r} of statement {statement.sid} has a wildcard; name the ARN"
            for resource in statement.resources
            if _has_wildcard(resource)
        ]
        if not statement.resources or statement.principals:
            found.append(
                f"statement {statement.sid} of the permissions must have resources and no principals; change it"
            )
    return found + _mistakes_in_sids(statements)


def mistakes_in_trust(statements: Sequence[Statement]) -> list[str]:
    """Report why IAM would reject a trust policy.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """
    return [
        f"statement {statement.sid} of the trust must have principals and no resources; change it"
        for statement in statements
        if statement.resources or not statement.principals
    ] + _mistakes_in_sids(statements)


def _mistakes_in_sids(statements: Sequence[Statement]) -> list[str]:
    sids = [statement.sid for statement in statements]
    return [
        f"the sid {sid} is used twice in one policy; rename one"
        for sid in sorted({s for s in sids if sids.count(s) > 1})
    ]


class Role(Described):
    """A role with one customer managed policy, its trust and permissions given as statements.

    Args:
        name: Role name.
        policy_name: Name of its policy.
        description: The service or function that assumes it, and why.
        trust: Statements that allow principals to assume it.
        permissions: Statements of what it may do.

    Attributes:
        arn: The role's ARN.
        name: The role's name.
        ready: The role, its policy and the attachment. A resource that needs the permissions at creation must depend on
            these, because IAM is eventually consistent:
            https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency

    Raises:
        ConfigurationError: A prop is outside its limit, a permission has a wildcard, or IAM would reject a policy.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        policy_name: str,
        description: str,
        trust: Sequence[Statement],
        permissions: Sequence[Statement],
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(Role, locals())
        reject(f"Role {name}", mistakes + mistakes_in_trust(trust) + mistakes_in_permissions(permissions))
        role = IamRole(
            self,
            "role",
            name=name,
            description=description,
            assume_role_policy=policy_document(self, "trust", trust),
            max_session_duration=MAX_SESSION_SECONDS,
        )
        policy = IamPolicy(
            self,
            "policy",
            name=policy_name,
            description=f"What {name} may do",
            policy=policy_document(self, "permissions", permissions),
        )
        for statement in permissions:
            suppress(policy, **statement.suppressed)
        attachment = IamRolePolicyAttachment(self, "attachment", role=role.name, policy_arn=policy.arn)
        self.arn: Final = role.arn
        self.name: Final = role.name
        self.ready: Final[tuple[TerraformResource, ...]] = (role, policy, attachment)


def source_account(scope: Construct) -> Condition:
    """The condition that an AWS service makes the request on behalf of this account."""
    return Condition("StringEquals", "aws:SourceAccount", [account_id(scope)])


def via_service(service: str, region: str) -> Condition:
    """The condition that `service` calls KMS on the caller's behalf.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    return Condition("StringEquals", "kms:ViaService", [f"{service}.{region}.amazonaws.com"])


def publish_to_encrypted_topic(region: str, topic_arn: str, key_arn: str) -> list[Statement]:
    """The permissions that a publisher to a topic with a customer managed key needs.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#sns-what-permissions-for-sse
    """
    return [
        Statement(sid="PublishAlerts", actions=["sns:Publish"], resources=[topic_arn]),
        Statement(
            sid="EncryptAlerts",
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=[key_arn],
            conditions=[via_service("sns", region)],
        ),
    ]


def function_trust(scope: Construct, region: Region, function_name: str) -> list[Statement]:
    """A trust statement: Lambda may assume the role, for one function only.

    The Lambda service sends both condition keys when it assumes an execution role outside a VPC. The function does not
    exist yet when its role is made, so the statement spells out the ARN.
    """
    return [
        Statement(
            sid="AssumedByItsFunction",
            actions=["sts:AssumeRole"],
            principals={"Service": ["lambda.amazonaws.com"]},
            conditions=[
                source_account(scope),
                Condition("ArnEquals", "aws:SourceArn", [arn(scope, "lambda", region, f"function:{function_name}")]),
            ],
        )
    ]
