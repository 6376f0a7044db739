"""``python -m permission_proof.deployer``: the rights that deploying the stack takes, found by watching a deployment.

The embedded AWS tells which action it was asked for at each call of Terraform; where each of them may happen is said
here, by the names of the stack. What AWS asks for beyond that is in ``DOCUMENTED``, with its page. All of it is longer
than a managed policy may be, so there are four: to create and destroy, to change, for the custom domain, not proven.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import typer
from rich.console import Console

from embedded_aws.__main__ import command
from embedded_aws.deployment import PROJECT, STACK, synthesized
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.server import DEFAULT_REGION
from embedded_aws.terraform import Terraform, workspace
from permission_proof.recorder import RecordingAws

POLICIES = PROJECT / "docs" / "deployer-policies"
DEPLOY, CHANGE, WITH_CUSTOM_DOMAIN, DOCUMENTED_ONLY = NAMES = ("deploy", "change", "custom-domain", "documented")
DEPLOYER = "deployer"
# Of the page, and of every example of AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples.html
ACCOUNT_ID, ENVIRONMENT = "123456789012", "dev"
_ENVIRONMENT_IN_ARN = re.compile(rf"(?<=[-/]){ENVIRONMENT}(?=[-/:]|$)")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of a managed policy, without white space.
LONGEST_POLICY = 6144
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}

Document = dict[str, Any]

# Tags are read, set and removed by GET, POST and DELETE on a path of their own:
# https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html. It ends with the encoded ARN of
# what is tagged, whose id AWS chooses; which characters it encodes no page says, so the pattern is not narrower.
_TAGS_OF_APIS = ("arn:aws:apigateway:*::/tags/*",)

# Where the actions of a service happen; names that AWS chooses (ids of keys, networks, APIs, zones) cannot be known.
SCOPES: Mapping[str, tuple[str, ...]] = {
    "apigateway": ("arn:aws:apigateway:*::/apis", "arn:aws:apigateway:*::/apis/*"),
    "apigateway tags": _TAGS_OF_APIS,
    "cloudwatch": (f"arn:aws:cloudwatch:*:{ACCOUNT_ID}:alarm:alarm-*-{ENVIRONMENT}",),
    "dynamodb": (f"arn:aws:dynamodb:*:{ACCOUNT_ID}:table/transactions",),
    "ec2": tuple(f"arn:aws:ec2:*:{ACCOUNT_ID}:{kind}/*" for kind in ("route-table", "security-group", "subnet", "vpc")),
    "events": (f"arn:aws:events:*:{ACCOUNT_ID}:rule/event-rule-*-{ENVIRONMENT}",),
    "iam": (
        f"arn:aws:iam::{ACCOUNT_ID}:policy/iam-policy-*-{ENVIRONMENT}",
        f"arn:aws:iam::{ACCOUNT_ID}:role/iam-role-*-{ENVIRONMENT}",
    ),
    "kms": (f"arn:aws:kms:*:{ACCOUNT_ID}:alias/dr-encryption-*-{ENVIRONMENT}", f"arn:aws:kms:*:{ACCOUNT_ID}:key/*"),
    "lambda": (f"arn:aws:lambda:*:{ACCOUNT_ID}:function:lambda-*-{ENVIRONMENT}",),
    "logs": tuple(
        f"arn:aws:logs:*:{ACCOUNT_ID}:log-group:{group}-*-{ENVIRONMENT}{end}"
        for group in ("/aws/lambda/lambda", "/aws/vendedlogs/apigateway/api")
        for end in ("", ":*")
    ),
    "route53": ("arn:aws:route53:::healthcheck/*", "arn:aws:route53:::hostedzone/*"),
    "s3": (f"arn:aws:s3:::s3-payment-docs-*-{ENVIRONMENT}-{ACCOUNT_ID}",),
    "s3 objects": (f"arn:aws:s3:::s3-payment-docs-*-{ENVIRONMENT}-{ACCOUNT_ID}/*",),
    "sns": (f"arn:aws:sns:*:{ACCOUNT_ID}:sns-dr-alerts-*-{ENVIRONMENT}",),
    "sqs": (f"arn:aws:sqs:*:{ACCOUNT_ID}:sqs-config-sync-dead-letters-*-{ENVIRONMENT}",),
    "ssm": (f"arn:aws:ssm:*:{ACCOUNT_ID}:parameter/payment-app/{ENVIRONMENT}/*",),
}
OF_A_CUSTOM_DOMAIN: Mapping[str, tuple[str, ...]] = {
    "acm": (f"arn:aws:acm:*:{ACCOUNT_ID}:certificate/*",),
    "apigateway": ("arn:aws:apigateway:*::/domainnames", "arn:aws:apigateway:*::/domainnames/*"),
    "apigateway tags": _TAGS_OF_APIS,
}
# What names no resource, by https://docs.aws.amazon.com/service-authorization/latest/reference/ and the page of the
# service there; DescribeAlarms and DescribeLogGroups are lists, which Terraform filters by prefix.
ANYWHERE = frozenset(
    {
        "acm:RequestCertificate",
        "cloudwatch:DescribeAlarms",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "kms:CreateKey",
        "kms:ListAliases",
        "logs:DescribeLogGroups",
        "route53:CreateHealthCheck",
        "route53:CreateHostedZone",
        "sns:GetSubscriptionAttributes",
        "sns:Unsubscribe",
        "ssm:DescribeParameters",
    }
)
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: no permissions are required.
_FREE = frozenset({"sts:GetCallerIdentity"})

# What ministack 1.5.33 asks about another ARN than AWS, mostly "*": the proof must allow it there as well.
ASKED_OTHERWISE = frozenset(
    {
        "cloudwatch:DeleteAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
        "dynamodb:ListTagsOfResource",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "ec2:CreateTags",
        "ec2:CreateVpc",
        "ec2:DeleteTags",
        "ec2:DisassociateRouteTable",
        "events:DeleteRule",
        "events:DescribeRule",
        "events:ListTagsForResource",
        "events:ListTargetsByRule",
        "events:PutRule",
        "events:PutTargets",
        "events:RemoveTargets",
        "events:TagResource",
        "events:UntagResource",
        "iam:CreatePolicy",
        "kms:CreateAlias",
        "kms:DeleteAlias",
        "lambda:CreateFunction",
        "route53:ChangeTagsForResource",
        "route53:DeleteHealthCheck",
        "route53:GetHealthCheck",
        "route53:ListTagsForResource",
        "route53:UpdateHealthCheck",
        "sns:ListTagsForResource",
        "sns:TagResource",
        "sns:UntagResource",
    }
)

# What AWS asks for and the embedded AWS does not: from AWS's pages, not proven.
DOCUMENTED: tuple[Document, ...] = (
    {
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
        "Sid": "DocumentedPassRole",
        "Action": ["iam:PassRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/iam-role-*-{ENVIRONMENT}"],
        "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "s3.amazonaws.com"]}},
    },
    {
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2gt_IAM.html
        "Sid": "DocumentedReplicationRole",
        "Action": ["iam:CreateServiceLinkedRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/replication.dynamodb.amazonaws.com/*"],
        "Condition": {"StringEquals": {"iam:AWSServiceName": "replication.dynamodb.amazonaws.com"}},
    },
    {
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2gt_IAM.html
        "Sid": "DocumentedReplicas",
        "Action": [
            "dynamodb:BatchWriteItem",
            "dynamodb:CreateTableReplica",
            "dynamodb:DeleteItem",
            "dynamodb:DeleteTableReplica",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        ],
        "Resource": [*SCOPES["dynamodb"]],
    },
    {
        # Tags given at creation are asked for by themselves, and PUT is the older way to change them:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
        "Sid": "DocumentedApis",
        "Action": ["apigateway:PUT", "apigateway:TagResource"],
        "Resource": [*SCOPES["apigateway"], *SCOPES["apigateway tags"]],
    },
    {
        # A policy has five versions at most; the sixth takes the place of the oldest:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html
        "Sid": "DocumentedVersions",
        "Action": ["iam:DeletePolicyVersion"],
        "Resource": [*SCOPES["iam"]],
    },
    {
        # The embedded AWS takes these for lambda:UpdateFunctionCode or asks for nothing.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
        "Sid": "DocumentedRetries",
        "Action": [
            "lambda:DeleteFunctionEventInvokeConfig",
            "lambda:GetFunctionEventInvokeConfig",
            "lambda:PutFunctionEventInvokeConfig",
        ],
        "Resource": [*SCOPES["lambda"]],
    },
    {
        # Access logs: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
        # Changes: https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html
        "Sid": "DocumentedAnywhere",
        "Action": [
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
            "route53:GetChange",
        ],
        "Resource": ["*"],
    },
)


# The same for the custom domain alone.
DOCUMENTED_FOR_CUSTOM_DOMAIN: tuple[Document, ...] = (
    {
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
        "Sid": "DocumentedDomainRole",
        "Action": ["iam:CreateServiceLinkedRole"],
        "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/ops.apigateway.amazonaws.com/*"],
        "Condition": {"StringEquals": {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"}},
    },
    {
        # A new certificate is a change of the domain name.
        "Sid": "DocumentedDomains",
        "Action": ["apigateway:PATCH", "apigateway:PUT", "apigateway:TagResource"],
        "Resource": [*OF_A_CUSTOM_DOMAIN["apigateway"], *OF_A_CUSTOM_DOMAIN["apigateway tags"]],
    },
)


Used = Iterable[tuple[str, str]]
"""IAM actions that were seen, with the ARN that was asked about, in any order."""


def policies_of(deployed: Used, changed: Used) -> dict[str, Document]:
    """The policies that allow what was used where the stack needs it, and what AWS asks for beyond, by name.

    Args:
        deployed: What creating and destroying the stack took.
        changed: What changing it in place took.

    Raises:
        EmbeddedAwsError: It is not known where an action happens.
    """
    always, with_domain = _by_use(deployed)
    to_change, to_change_domain = _by_use(changed)
    domain = _statements(with_domain | to_change_domain, OF_A_CUSTOM_DOMAIN)
    return {
        DEPLOY: _document(_statements(always, SCOPES)),
        CHANGE: _document(_statements(to_change - always, SCOPES, prefix="Change")),
        WITH_CUSTOM_DOMAIN: _document([*domain, *DOCUMENTED_FOR_CUSTOM_DOMAIN]),
        DOCUMENTED_ONLY: _document(DOCUMENTED),
    }


def _by_use(used: Used) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Scopes and actions that every stack needs, and those that the custom domain needs."""
    seen = {(_scope(action, arn), action, _is_of_a_custom_domain(action, arn)) for action, arn in used}
    always, with_domain = (
        {(scope, action) for scope, action, is_of_domain in seen if is_of_domain is each and action not in _FREE}
        for each in (False, True)
    )
    return always, with_domain


def _scope(action: str, arn: str) -> str:
    """The service, or the part of it that has resources of its own."""
    service = action.partition(":")[0]
    if service == "apigateway" and "::/tags/" in arn:
        return "apigateway tags"
    if service == "s3" and "/" in arn:
        return "s3 objects"
    return service


def _is_of_a_custom_domain(action: str, arn: str) -> bool:
    return action.startswith("acm:") or ("/domainnames" in unquote(arn) and action.startswith("apigateway:"))


def _statements(
    used: Iterable[tuple[str, str]], scopes: Mapping[str, tuple[str, ...]], *, prefix: str = ""
) -> Iterator[Document]:
    by_scope: dict[str, list[str]] = {}
    anywhere = []
    for scope, action in sorted(used):
        if action in ANYWHERE:
            anywhere.append(action)
        elif scope in scopes:
            by_scope.setdefault(scope, []).append(action)
        else:
            raise EmbeddedAwsError(
                f"{action} was used, and nothing says on which resources",
                hint="add its service to SCOPES in permission_proof/deployer.py",
            )
    for scope, found in by_scope.items():
        sid = scope.title().replace(" ", "")
        yield {"Sid": f"{prefix}{sid}", "Action": found, "Resource": [*scopes[scope]]}
    if anywhere:
        yield {"Sid": f"{prefix}Anywhere", "Action": anywhere, "Resource": ["*"]}


def _document(statements: Iterable[Document]) -> Document:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Sid": each["Sid"], "Effect": "Allow", **each} for each in statements],
    }


def filled_in(document: Document, *, account_id: str, environment: str) -> Document:
    """A policy for one account and one environment.

    Args:
        document: As ``policies_of`` makes it, or as its file holds it: for ``ACCOUNT_ID`` and ``ENVIRONMENT``.
        account_id: Twelve digits.
        environment: The stack's variable ``environment``.
    """

    def filled(arn: str) -> str:
        return _ENVIRONMENT_IN_ARN.sub(environment, arn).replace(ACCOUNT_ID, account_id)

    statements = [{**each, "Resource": [filled(arn) for arn in each["Resource"]]} for each in document["Statement"]]
    return {**document, "Statement": statements}


def allows(document: Document, action: str, resource_arn: str) -> bool:
    """Whether a policy of this module allows an action on a resource, conditions aside."""
    return any(
        action in statement["Action"] and any(fnmatchcase(resource_arn, arn) for arn in statement["Resource"])
        for statement in document["Statement"]
    )


def for_the_embedded_aws(document: Document) -> Document:
    """The same policy with what the embedded AWS asks about another ARN than AWS."""
    named = {action for statement in document["Statement"] for action in statement["Action"]}
    extra = {
        "Sid": "AskedOtherwise",
        "Effect": "Allow",
        "Action": sorted(ASKED_OTHERWISE & named),
        "Resource": ["*"],
    }
    return {**document, "Statement": [*document["Statement"], *([extra] if extra["Action"] else [])]}


# What a newer version of the stack may change in place, by type of resource.
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
    "aws_route53_health_check": {"failure_threshold": 2},
    "aws_route53_zone": {"comment": "newer"},
    "aws_s3_bucket_server_side_encryption_configuration": {
        "rule": [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}, "bucket_key_enabled": True}]
    },
    "aws_sns_topic": {"display_name": "newer"},
    "aws_sqs_queue": {"message_retention_seconds": 86400},
}


def _newer(stack: Document) -> Document:
    """Change a synthesized stack in place: attributes, every policy, and a tag of everything that has tags."""
    for type_, attributes in _NEWER.items():
        for resource in stack["resource"][type_].values():
            resource.update(attributes)
    for policy in stack["data"]["aws_iam_policy_document"].values():
        policy["statement"][0]["sid"] = "Newer"
    for provider in stack["provider"]["aws"]:
        tags = provider["default_tags"][0]["tags"]
        tags["Team"] = tags.pop("Owner")
    return stack


class Deployer:
    """An IAM user who deploys the stack on a recording embedded AWS, having one policy.

    Attributes:
        aws: The embedded AWS.
        terraform: Terraform with the user's credentials.
        deployed, changed: What the cycle took: each action that was allowed, with the ARN that the embedded AWS asked
            about, to create and destroy the stack, and to change it.
    """

    def __init__(self, aws: RecordingAws, directory: Path) -> None:
        self.aws = aws
        self._directory = directory
        self._iam = aws.client("iam", DEFAULT_REGION)
        self._iam.create_user(UserName=DEPLOYER)
        key = self._iam.create_access_key(UserName=DEPLOYER)["AccessKey"]
        self._key_id = key["AccessKeyId"]
        self._credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        self.terraform = self._terraform()
        self.deployed: set[tuple[str, str]] = set()
        self.changed: set[tuple[str, str]] = set()

    def _terraform(self, **variables: str) -> Terraform:
        return Terraform(self._directory, {**self.aws.environment(), **self._credentials}, variables=variables)

    def gets(self, document: Document) -> None:
        """Have this policy and no other."""
        self._iam.put_user_policy(UserName=DEPLOYER, PolicyName=DEPLOYER, PolicyDocument=json.dumps(document))

    def cycle(self) -> None:
        """Plan, apply, plan again, change all that may be changed in place, plan again, destroy with documents in it.

        Raises:
            EmbeddedAwsError: A step of the deployment failed, or a plan after an apply is not empty.
        """
        self.terraform.apply(self.terraform.plan())
        self._expect_no_changes(self.terraform)
        begin = len(self._log)
        with self.newer_stack(), self._terraform(alert_email="other@example.com") as newer:
            newer.init()
            newer.apply()
            self._expect_no_changes(newer)
        end = len(self._log)
        self.keep_a_document_in_each_bucket()
        self.terraform.destroy()
        log = self._log
        self.deployed, self.changed = {*log[:begin], *log[end:]}, set(log[begin:end])

    def keep_a_document_in_each_bucket(self) -> None:
        """Put a document into each bucket: to destroy one that is empty takes fewer rights."""
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
        """Have what a newer version of the stack may change in place changed, for a while."""
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
        return list(self.aws.authorized(self._key_id))


@contextmanager
def deployer(stack_dir: Path) -> Iterator[Deployer]:
    """A deployer of a synthesized stack, with no rights yet."""
    with RecordingAws() as aws, workspace(stack_dir) as directory:
        user = Deployer(aws, directory)
        with user.terraform:
            user.terraform.init()
            yield user


def observed() -> dict[str, Document]:
    """Deploy with all rights and a custom domain, and return the policies of what was used, by name.

    Raises:
        EmbeddedAwsError: A step of the deployment failed, or it is not known where an action happens.
    """
    from main import CUSTOM_DOMAIN  # loads the constructs, which printing should not wait for

    with synthesized(settings={CUSTOM_DOMAIN: "1"}) as out, deployer(out / "stacks" / STACK) as user:
        user.gets({"Version": "2012-10-17", "Statement": [EVERYTHING]})
        user.cycle()
        return policies_of(user.deployed, user.changed)


def written(document: Document) -> str:
    """A policy as its file holds it."""
    return json.dumps(document, indent=2) + "\n"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
progress = Console(stderr=True)


@app.command()
@command
def main(
    account_id: Annotated[str, typer.Option(help="The account to deploy to.")] = ACCOUNT_ID,
    environment: Annotated[str, typer.Option(help="The environment to deploy.")] = ENVIRONMENT,
    out: Annotated[Path | None, typer.Option(help="Folder to write them to, a file each. Default: print all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Watch a deployment, and write the policies anew.")] = False,
) -> None:
    """Print the policies that a deployer of the stack needs; takes no AWS, or with --write an embedded one."""
    if write:
        with progress.status("watching a deployment"):
            for name, document in observed().items():
                _file(POLICIES, name).write_text(written(document), encoding="utf-8")
    policies = {
        name: filled_in(
            json.loads(_file(POLICIES, name).read_text("utf-8")), account_id=account_id, environment=environment
        )
        for name in NAMES
    }
    if out is None:
        sys.stdout.write(json.dumps(policies, indent=2) + "\n")
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, document in policies.items():
        _file(out, name).write_text(written(document), encoding="utf-8")
        sys.stdout.write(f"{_file(out, name)}\n")


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


if __name__ == "__main__":
    app(prog_name="python -m permission_proof.deployer")
