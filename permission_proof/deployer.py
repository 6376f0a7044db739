"""The rights that a deployment needs, derived from a recorded one.

The embedded AWS records the action of each call of Terraform. `deployer_scopes` has the resources of each action, and
what AWS requires beyond that, with its page.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_VARIABLES
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import DEFAULT_REGION, EmbeddedAws, at_new_port
from payment_dr.operations.iam_policies import (
    CHANGE,
    DEPLOY,
    DOCUMENTED_ONLY,
    WITH_CUSTOM_DOMAIN,
    Document,
    read,
)
from payment_dr.operations.terraform.runner import Terraform, workspace
from permission_proof.deployer_scopes import (
    ANYWHERE,
    ASKED_OTHERWISE,
    ASKED_OTHERWISE_FOR_ENDPOINTS,
    DOCUMENTED,
    DOCUMENTED_FOR_CUSTOM_DOMAIN,
    DOCUMENTED_FOR_ENDPOINTS,
    FREE,
    OF_A_CUSTOM_DOMAIN,
    OF_ENDPOINTS,
    SCOPES,
)
from permission_proof.recorder import RecordingAws, authorized

DEPLOYER = "deployer"
# Characters of a managed policy, without white space:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST_POLICY = 6144
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}

Used = Iterable[tuple[str, str]]
"""Recorded IAM actions with their ARNs, in any order."""


def policies_of(deployed: Used, changed: Used) -> dict[str, Document]:
    """The policies, by name: what was used, on the resources of the stack, and what AWS requires beyond that.

    Args:
        deployed: What creating and destroying the stack used.
        changed: What changing it in place used.

    Raises:
        EmbeddedAwsError: The resources of an action are not known.
    """
    always, with_domain = by_use(deployed)
    to_change, to_change_domain = by_use(changed)
    domain = statements(with_domain | to_change_domain, OF_A_CUSTOM_DOMAIN)
    return {
        DEPLOY: document_of(statements(always, SCOPES)),
        CHANGE: document_of(statements(to_change - always, SCOPES, prefix="Change")),
        WITH_CUSTOM_DOMAIN: document_of([*domain, *DOCUMENTED_FOR_CUSTOM_DOMAIN]),
        DOCUMENTED_ONLY: document_of(DOCUMENTED),
    }


def policy_of_endpoints(used: Used) -> Document:
    """The policy of what only endpoints in a network need, in addition to the policies of the stack.

    Args:
        used: What creating, changing and destroying a network with endpoints used.
    """
    of_the_stack = {
        action for name in (DEPLOY, CHANGE) for each in read(name)["Statement"] for action in each["Action"]
    }
    more = {(scope_of(action, arn), action) for action, arn in used if action not in of_the_stack | FREE}
    return document_of([*statements(more, OF_ENDPOINTS), *DOCUMENTED_FOR_ENDPOINTS])


def scope_of(action: str, arn: str) -> str:
    """The service, or the part of it with its own resources."""
    service = action.partition(":")[0]
    if service == "apigateway" and "::/tags/" in arn:
        return "apigateway tags"
    if service == "cloudwatch" and "Dashboard" in action:
        return "cloudwatch dashboards"
    if service == "s3" and "/" in arn:
        return "s3 objects"
    return service


def by_use(
    used: Used, scope: Callable[[str, str], str] = scope_of
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Scopes and actions that every stack needs, and those that the custom domain needs."""
    seen = {(scope(action, arn), action, _is_of_a_custom_domain(action, arn)) for action, arn in used}
    always, with_domain = (
        {(where, action) for where, action, is_of_domain in seen if is_of_domain is each and action not in FREE}
        for each in (False, True)
    )
    return always, with_domain


def _is_of_a_custom_domain(action: str, arn: str) -> bool:
    return action.startswith("acm:") or ("/domainnames" in unquote(arn) and action.startswith("apigateway:"))


def statements(
    used: Iterable[tuple[str, str]], scopes: Mapping[str, tuple[str, ...]], *, prefix: str = ""
) -> Iterator[Document]:
    """A statement for each scope, and one for actions without a resource.

    Args:
        used: Scopes and actions.
        scopes: The resources of each scope.
        prefix: The beginning of the names of the statements.

    Raises:
        EmbeddedAwsError: The resources of an action are not known.
    """
    by_scope: dict[str, list[str]] = {}
    anywhere = []
    for scope, action in sorted(used):
        if action in ANYWHERE:
            anywhere.append(action)
        elif scope in scopes:
            by_scope.setdefault(scope, []).append(action)
        else:
            raise EmbeddedAwsError(
                f"{action} was used, and its resources are not known",
                hint="add its service to SCOPES in permission_proof/deployer_scopes.py",
            )
    for scope, found in by_scope.items():
        sid = scope.title().replace(" ", "")
        yield {"Sid": f"{prefix}{sid}", "Action": found, "Resource": [*scopes[scope]]}
    if anywhere:
        yield {"Sid": f"{prefix}Anywhere", "Action": anywhere, "Resource": ["*"]}


def document_of(statements: Iterable[Document]) -> Document:
    """A policy of these statements, each with the effect Allow."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Sid": each["Sid"], "Effect": "Allow", **each} for each in statements],
    }


def allows(document: Document, action: str, resource_arn: str) -> bool:
    """Whether a policy of this module allows an action on a resource. Ignores conditions."""
    return any(
        action in statement["Action"] and any(fnmatchcase(resource_arn, arn) for arn in statement["Resource"])
        for statement in document["Statement"]
    )


def for_the_embedded_aws(document: Document) -> Document:
    """Return the policy with the actions for which the embedded AWS checks another ARN than AWS."""
    named = {action for statement in document["Statement"] for action in statement["Action"]}
    extra = {
        "Sid": "AskedOtherwise",
        "Effect": "Allow",
        "Action": sorted((ASKED_OTHERWISE | ASKED_OTHERWISE_FOR_ENDPOINTS) & named),
        "Resource": ["*"],
    }
    return {**document, "Statement": [*document["Statement"], *([extra] if extra["Action"] else [])]}


# Attributes that a newer version of the stack may change in place, by type of resource.
_NEWER: Mapping[str, Mapping[str, Any]] = {
    "aws_apigatewayv2_api": {"description": "newer"},
    "aws_apigatewayv2_stage": {"default_route_settings": {"throttling_burst_limit": 40, "throttling_rate_limit": 20}},
    "aws_cloudwatch_event_rule": {"description": "newer"},
    "aws_cloudwatch_log_group": {"retention_in_days": 3},
    "aws_cloudwatch_metric_alarm": {"alarm_description": "newer"},
    "aws_dynamodb_table": {"ttl": {"attribute_name": "newer", "enabled": True}},
    "aws_iam_role": {"description": "newer", "max_session_duration": 7200},
    "aws_kms_key": {"description": "newer"},
    "aws_lambda_function": {"description": "newer", "memory_size": 512},
    "aws_lambda_function_event_invoke_config": {"maximum_event_age_in_seconds": 3600},
    "aws_route53_health_check": {"disabled": True},  # which every type of health check has
    "aws_route53_zone": {"comment": "newer"},
    "aws_s3_bucket_server_side_encryption_configuration": {
        "rule": [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}, "bucket_key_enabled": True}]
    },
    "aws_security_group": {"ingress": []},
    "aws_sns_topic": {"display_name": "newer"},
}
# Types that need no line above, with the reason.
_NOT_NEWER: Mapping[str, str] = {
    "aws_acm_certificate": "its tags change; another name replaces it",
    "aws_acm_certificate_validation": "creates nothing",
    "aws_apigatewayv2_api_mapping": "the right is documented, in DOCUMENTED_FOR_CUSTOM_DOMAIN",
    "aws_apigatewayv2_domain_name": "its tags change; the right to the rest is in DOCUMENTED_FOR_CUSTOM_DOMAIN",
    "aws_apigatewayv2_integration": "needs the same right as its API, PATCH",
    "aws_apigatewayv2_route": "needs the same right as its API, PATCH",
    "aws_cloudwatch_dashboard": "changes by the call that creates it, PutDashboard",
    "aws_cloudwatch_event_target": "changes by the call that creates it, PutTargets",
    "aws_default_security_group": "its tags change; it has no rules",
    "aws_iam_policy": "every policy changes",
    "aws_iam_role_policy_attachment": "another one replaces it",
    "aws_kms_alias": "always names the same key: no other can decrypt the data",
    "aws_lambda_permission": "another one replaces it",
    "aws_route53_record": "changes by the call that creates it, ChangeResourceRecordSets",
    "aws_route_table": "its tags change; it has no routes",
    "aws_route_table_association": "a subnet has no other table",
    "aws_s3_bucket": "its tags change; its settings are types of their own",
    "aws_s3_bucket_policy": "every policy changes",
    "aws_s3_bucket_public_access_block": "changes by the call that creates it, PutPublicAccessBlock",
    "aws_s3_bucket_replication_configuration": "changes by the call that creates it, PutBucketReplication",
    "aws_s3_bucket_versioning": "changes by the call that creates it, PutBucketVersioning",
    "aws_sns_topic_policy": "every policy changes",
    "aws_sns_topic_subscription": "another address replaces it",
    "aws_ssm_parameter": "its tags change; the rest by the call that creates it, PutParameter",
    "aws_subnet": "its tags change; another range replaces it",
    "aws_vpc": "its tags change; the rest by the call that creates it, ModifyVpcAttribute",
    "aws_vpc_endpoint": "its policy changes, and its tags",
    "random_password": "not in AWS",
    "terraform_data": "not in AWS",
}


def _newer(stack: Document) -> Document:
    """Change a synthesized stack in place: attributes, every policy, and a tag of everything that has tags."""
    for type_, attributes in _NEWER.items():
        for resource in stack["resource"].get(type_, {}).values():
            resource.update(attributes)
    for policy in stack["data"]["aws_iam_policy_document"].values():
        policy["statement"][0]["sid"] = "Newer"
    for provider in stack["provider"]["aws"]:
        tags = provider["default_tags"][0]["tags"]
        tags["Team"] = tags.pop("Owner")
    return stack


class Deployer:
    """An IAM user with one policy who deploys the stack on a recording embedded AWS.

    Args:
        aws: A `RecordingAws`, or a branch of one.
        directory: Working directory of Terraform, with the stack.
        credentials: The user's, as environment variables.

    Attributes:
        aws: The embedded AWS.
        terraform: Terraform with the user's credentials.
        deployed, changed: Each action that was allowed so far, with its ARN: to create and destroy the stack, and to
            change it.
    """

    def __init__(self, aws: EmbeddedAws, directory: Path, credentials: Mapping[str, str]) -> None:
        self.aws = aws
        self._directory = directory
        self._credentials = credentials
        self.terraform = self._terraform()
        self.deployed: set[tuple[str, str]] = set()
        self.changed: set[tuple[str, str]] = set()

    def _terraform(self, **variables: str) -> Terraform:
        environment = {**self.aws.environment(), **self._credentials}
        return Terraform(
            self._directory, environment, variables={**PRODUCTION_VARIABLES, **variables}, stand_ins=stand_in_providers
        )

    def gets(self, document: Document) -> None:
        """Give the user this policy and no other."""
        iam = self.aws.client("iam", DEFAULT_REGION)
        iam.put_user_policy(UserName=DEPLOYER, PolicyName=DEPLOYER, PolicyDocument=json.dumps(document))

    def deploy(self) -> None:
        """Apply, and plan again.

        Raises:
            EmbeddedAwsError: A step failed, or the plan after the apply is not empty.
        """
        with self._recording(self.deployed):
            self.terraform.apply()
            self._expect_no_changes(self.terraform)

    def change(self) -> None:
        """Change everything that can be changed in place, and plan again.

        Without a refresh, because the plan before compared the state with the deployment; the same for `destroy`.
        """
        with (
            self._recording(self.changed),
            self.newer_stack(),
            self._terraform(alert_email="other@acme.io") as newer,
        ):
            newer.init()
            newer.apply(refresh=False)
            self._expect_no_changes(newer)

    def destroy(self) -> None:
        """Destroy, with documents in the buckets."""
        self.keep_a_document_in_each_bucket()
        with self._recording(self.deployed):
            self.terraform.destroy(refresh=False)

    @contextmanager
    def _recording(self, used: set[tuple[str, str]]) -> Iterator[None]:
        begin = len(self._log)
        yield
        used.update(self._log[begin:])

    @contextmanager
    def branch(self) -> Iterator["Deployer"]:
        """Copy this deployer with everything it has now. Neither sees what the other does later."""
        with self.aws.branch() as aws, workspace(self._directory) as directory:
            state = self._directory / "terraform.tfstate"
            (directory / state.name).write_text(at_new_port(state.read_text(), self.aws.port, aws.port))
            branched = Deployer(aws, directory, self._credentials)
            with branched.terraform:
                branched.terraform.init()
                yield branched

    def keep_a_document_in_each_bucket(self) -> None:
        """Put a document into each bucket, because destroying an empty bucket needs fewer rights."""
        s3 = self.aws.client("s3", DEFAULT_REGION)
        for bucket in s3.list_buckets()["Buckets"]:
            s3.put_object(Bucket=bucket["Name"], Key="document", Body=b"")

    @staticmethod
    def _expect_no_changes(terraform: Terraform) -> None:
        if actions := terraform.plan().actions:
            raise EmbeddedAwsError(
                f"the plan after an apply would change {', '.join(sorted(actions))}", hint="run it again"
            )

    @contextmanager
    def newer_stack(self) -> Iterator[None]:
        """Change what a newer version of the stack may change in place, and restore it at the end."""
        stack = self._directory / "cdk.tf.json"
        handlers = list(self._directory.rglob("lambda_*.py"))
        before = {path: path.read_text(encoding="utf-8") for path in (stack, *handlers)}
        stack.write_text(json.dumps(_newer(json.loads(before[stack]))), encoding="utf-8")
        for handler in handlers:
            handler.write_text(f"{before[handler]}\n# newer\n", encoding="utf-8")
        try:
            yield
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")

    @property
    def _log(self) -> list[tuple[str, str]]:
        return list(authorized(self.aws, self._credentials["AWS_ACCESS_KEY_ID"]))


@contextmanager
def deployer(stack_dir: Path) -> Iterator[Deployer]:
    """A deployer of a synthesized stack, with no rights yet."""
    with RecordingAws() as aws, workspace(stack_dir) as directory:
        iam = aws.client("iam", DEFAULT_REGION)
        iam.create_user(UserName=DEPLOYER)
        key = iam.create_access_key(UserName=DEPLOYER)["AccessKey"]
        credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        user = Deployer(aws, directory, credentials)
        with user.terraform:
            user.terraform.init()
            yield user
