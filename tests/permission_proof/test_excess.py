"""Each way of granting more than is claimed, put into the deployed account, is named."""

import json
import re
from collections.abc import Iterator

import pytest

from embedded_aws.deployment import Deployment
from permission_proof.claims import CLAIMS, PRODUCTION_CLAIMS
from permission_proof.excess import ASKS, NOT_ASKED, PRINCIPALS, ask_neighbours, excess_in, not_refused
from permission_proof.policies import deployed_policies
from permission_proof.stage import Stage
from tests.permission_proof.widening import Widening, any_route, branch_of_account, statement, without_condition

pytestmark = [pytest.mark.xdist_group("permissions"), pytest.mark.slow]

HEALTH_LOGS = "arn:aws:logs:us-east-1:{account}:log-group:/aws/lambda/lambda-health*"


@pytest.fixture
def account(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment in a branch of its AWS that a test may change."""
    with branch_of_account(deployment) as branch:
        yield branch


def grant(stack: Deployment) -> None:
    stack.client("kms", "primary").create_grant(
        KeyId=stack.value("primary_kms_key_arn"),
        GranteePrincipal=stack.value("s3_replication_role_arn"),
        Operations=["Decrypt"],
    )


def administrator(stack: Deployment) -> None:
    iam = stack.client("iam", "primary")
    iam.create_user(UserName="eve")
    iam.put_user_policy(UserName="eve", PolicyName="all", PolicyDocument=document_of("*:*"))
    iam.create_access_key(UserName="eve")


THEIRS = "arn:aws:sqs:us-east-1:111111111111:theirs"


def subscriber_elsewhere(stack: Deployment) -> None:
    topic = stack.value("primary_sns_topic_arn")
    stack.client("sns", "primary").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=THEIRS)


def target_elsewhere(stack: Deployment) -> None:
    events = stack.client("events", "primary")
    rule = events.list_rules()["Rules"][0]["Name"]
    events.put_targets(Rule=rule, Targets=[{"Id": "theirs", "Arn": THEIRS}])


def document_of(action: str, principal: str = "") -> str:
    who = {"Principal": principal} if principal else {}
    allowed = {"Sid": "All", "Effect": "Allow", **who, "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


MONITOR = "health monitor role", "permissions"
TOPIC = "topic", "policy", "AlarmsPublish"
CROSS_REGION = "cross-region role", "trust", "AssumedByConfigSync"


@pytest.mark.parametrize(
    ("widening", "named"),
    [
        pytest.param(
            statement(*MONITOR, "PublishAlerts", Resource=["arn:aws:sns:us-east-1:{account}:*"]),
            "too wide: health monitor role (primary), permissions, statement PublishAlerts: resource "
            "arn:aws:sns:us-east-1:000000000000:*",
            id="all topics of the region",
        ),
        pytest.param(
            statement(*MONITOR, "PublishAlerts", Resource=lambda r: r.append("arn:aws:sns:us-west-2:{account}:*")),
            "too wide: health monitor role (primary), permissions, statement PublishAlerts: resource "
            "arn:aws:sns:us-west-2:000000000000:*",
            id="all topics of the other region",
        ),
        pytest.param(
            statement(*MONITOR, "DescribeTable", Resource="arn:aws:dynamodb:us-east-1:{account}:table/transactions*"),
            "too wide: health monitor role (primary), permissions, statement DescribeTable: resource "
            "arn:aws:dynamodb:us-east-1:000000000000:table/transactions*",
            id="a table's name and more",
        ),
        pytest.param(
            statement(*MONITOR, "WriteOwnLog", Resource=HEALTH_LOGS),
            "too wide: health monitor role (primary), permissions, statement WriteOwnLog: resource "
            "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/lambda-health*",
            id="the beginning of a log group's name",
        ),
        pytest.param(
            statement(*TOPIC, Condition=lambda c: c["ArnLike"].update({"aws:SourceArn": "arn:aws:*:us-east-1:*:*"})),
            "too wide: topic (primary), policy, statement AlarmsPublish: ArnLike aws:SourceArn = "
            "arn:aws:*:us-east-1:*:*",
            id="a topic for all services",
        ),
        pytest.param(
            statement("health monitor function", "policy", "AllowHealthRoute", Condition=any_route),
            "too wide: health monitor function (primary), policy, statement AllowHealthRoute: "
            "ArnLike AWS:SourceArn = arn:aws:execute-api:",
            id="every route of an API",
        ),
        pytest.param(grant, "not in the stack: KMS grant of Decrypt on ", id="a KMS grant"),
        pytest.param(administrator, "not in the stack: IAM user eve", id="a user who may do all"),
        pytest.param(
            subscriber_elsewhere,
            f"not in the stack: subscriber {THEIRS} of topic ",
            id="a subscriber elsewhere",
        ),
        pytest.param(target_elsewhere, f"not in the stack: target {THEIRS} of rule ", id="a target elsewhere"),
        pytest.param(
            statement(*MONITOR, "DescribeTable", Action=["dynamodb:DescribeTable", "dynamodb:GetItem"]),
            "no scenario: health monitor role (primary), permissions, statement DescribeTable: dynamodb:GetItem",
            id="another action",
        ),
        pytest.param(
            statement(*MONITOR, "PublishAlerts", Action="sns:*"),
            "no scenario: health monitor role (primary), permissions, statement PublishAlerts: sns:*",
            id="every action",
        ),
        pytest.param(
            statement(*TOPIC, Condition=without_condition("StringEquals", "aws:SourceAccount")),
            "dropped: topic (primary), statement AlarmsPublish: StringEquals aws:SourceAccount",
            id="a condition less",
        ),
        pytest.param(
            statement(*CROSS_REGION, Condition=without_condition("ArnEquals", "aws:PrincipalArn")),
            "dropped: cross-region role (primary), statement AssumedByConfigSync: ArnEquals aws:PrincipalArn",
            id="a trust in the whole account",
        ),
        pytest.param(
            statement(
                *MONITOR,
                "EncryptAlerts",
                Condition={"StringLike": {"kms:ViaService": ["sns.us-east-1.amazonaws.com", "s3.*.amazonaws.com"]}},
            ),
            "too wide: health monitor role (primary), permissions, statement EncryptAlerts: "
            "StringLike kms:ViaService = s3.*.amazonaws.com",
            id="a key for another service",
        ),
        pytest.param(
            statement(*MONITOR, "DescribeTable", Resource=None, NotResource="arn:aws:dynamodb:us-east-1:1:table/x"),
            "too wide: health monitor role (primary), permissions, statement DescribeTable: NotResource",
            id="all tables but one",
        ),
        pytest.param(
            statement(*TOPIC, Principal="*"),
            "too wide: topic (primary), policy, statement AlarmsPublish: principal AWS *",
            id="a public topic",
        ),
    ],
)
def test_a_widening_is_named_by_reading(account: Deployment, widening: Widening, named: str) -> None:
    widening(account)
    assert [gap for gap in excess_in(account, deployed_policies(account)) if gap.startswith(named)]


def test_all_that_can_act_and_is_not_claimed_is_named(account: Deployment) -> None:
    iam, role = account.client("iam", "primary"), account.value("s3_replication_role_arn").rpartition("/")[2]
    iam.create_group(GroupName="admins")
    iam.create_instance_profile(InstanceProfileName="machine")
    iam.create_open_id_connect_provider(Url="https://ci.example")
    iam.create_saml_provider(Name="office", SAMLMetadataDocument="<EntityDescriptor/>".ljust(1000))
    iam.create_policy(PolicyName="spare", PolicyDocument=document_of("*"))
    # Its statement is claimed already, for another resource.
    replicas = {"Sid": "WriteReplicas", "Effect": "Allow", "Action": "s3:ReplicateObject", "Resource": "arn:aws:s3:::x"}
    inline = json.dumps({"Version": "2012-10-17", "Statement": [replicas]})
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=inline)
    iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_role(RoleName="stranger", AssumeRolePolicyDocument=document_of("sts:AssumeRole", "*"))
    lambda_, function = account.client("lambda", "secondary"), account.value("secondary_config_sync_function_name")
    lambda_.create_function_url_config(FunctionName=function, AuthType="NONE")
    version = lambda_.publish_version(FunctionName=function)["Version"]
    may_invoke = {"FunctionName": function, "Action": "lambda:InvokeFunction", "Principal": "*"}
    lambda_.add_permission(StatementId="AllOfVersion", Qualifier=version, **may_invoke)
    lambda_.add_permission(StatementId="All", **may_invoke)
    account.client("events", "primary").put_permission(StatementId="All", Action="events:PutEvents", Principal="*")
    dynamodb = account.client("dynamodb", "secondary")
    table = dynamodb.describe_table(TableName=account.value("dynamodb_table_name"))["Table"]["TableArn"]
    dynamodb.put_resource_policy(ResourceArn=table, Policy=document_of("dynamodb:*", "*"))
    logs = account.client("logs", "primary")
    logs.put_resource_policy(policyName="others", policyDocument=document_of("logs:*", "*"))
    s3 = account.client("s3", "primary")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_bucket_policy(Bucket=bucket, Policy=document_of("s3:*", "*"))

    gaps = excess_in(account, deployed_policies(account))
    for named in (
        "not in the stack: IAM group admins",
        "not in the stack: instance profile machine",
        "not in the stack: identity provider arn:aws:iam::000000000000:oidc-provider/ci.example",
        "not in the stack: identity provider arn:aws:iam::000000000000:saml-provider/office",
        "not in the stack: managed policy spare, which no role has",
        "extra policy: replication role (primary), inline policy more",
        "extra policy: replication role (primary), permissions",
        "no scenario: arn:aws:iam::000000000000:role/stranger (primary), trust",
        f"not in the stack: URL of function {function} for NONE (secondary)",
        f"not in the stack: policy of function {function}:{version} (secondary)",
        "no scenario: config sync function (secondary), policy, statement All: lambda:InvokeFunction by AWS *",
        "not in the stack: policy of event bus default (primary)",
        f"not in the stack: policy of table {account.value('dynamodb_table_name')} (secondary)",
        "not in the stack: policy of log groups others (primary)",
        f"not in the stack: READ for http://acs.amazonaws.com/groups/global/AllUsers in the ACL of bucket {bucket}",
        "no scenario: bucket (primary), policy, statement All: s3:*",
    ):
        assert [gap for gap in gaps if gap.startswith(named)], (named, gaps)


def test_the_key_of_a_user_and_of_the_root_is_named(account: Deployment) -> None:
    administrator(account)
    account.client("iam", "primary").create_access_key()
    gaps = "\n".join(excess_in(account, deployed_policies(account)))
    assert re.search(r"^not in the stack: access key AKIA\w+ of IAM user eve$", gaps, re.MULTILINE)
    assert re.search(r"^not in the stack: access key of the root AKIA\w+$", gaps, re.MULTILINE)


def test_each_neighbour_that_is_not_refused_is_named(account: Deployment) -> None:
    sync = "config sync role", "permissions"
    for widening in (
        statement(*MONITOR, "DescribeTable", Resource="arn:aws:dynamodb:us-east-1:{account}:table/transactions*"),
        statement(*MONITOR, "WriteOwnLog", Resource=HEALTH_LOGS),
        statement(*MONITOR, "PublishAlerts", Resource="arn:aws:sns:*:{account}:sns-dr-alerts-east-dev"),
        statement(*sync, "ReadParameters", Resource="arn:aws:ssm:us-east-1:*:parameter/payment-app/dev/api-key"),
        statement(
            "replication role", "permissions", "ReadReplicationSettings", Resource="arn:aws:s3:::s3-payment-docs*"
        ),
        statement(*CROSS_REGION, Principal="*", Condition={}),
        statement(*TOPIC, Principal="*", Condition={}),
    ):
        widening(account)
    policies = deployed_policies(account)
    with Stage(account, policies) as stage:
        asked = ask_neighbours(stage, policies)
    assert {(ask.owner, ask.side, ask.action, ask.neighbour) for ask in asked if not ask.refused} == {
        ("health monitor role", "primary", "dynamodb:DescribeTable", "a longer name"),
        ("health monitor role", "primary", "logs:CreateLogStream", "a longer name"),
        ("health monitor role", "primary", "logs:PutLogEvents", "a longer name"),
        ("health monitor role", "primary", "sns:Publish", "the other region"),
        ("config sync role", "primary", "ssm:GetParameter", "another account"),
        ("config sync role", "primary", "ssm:GetParameterHistory", "another account"),
        ("replication role", "primary", "s3:ListBucket", "a longer name"),
        ("replication role", "primary", "s3:GetReplicationConfiguration", "a longer name"),
        ("cross-region role", "primary", "sts:AssumeRole", "by another role"),
        ("cross-region role", "primary", "sts:AssumeRole", "by another account's root"),
        ("topic", "primary", "sns:Publish", "by another account's root"),
    }
    assert len(not_refused(asked)) == 11
    assert not_refused(asked)[0].startswith("not refused: health monitor role (primary): dynamodb:DescribeTable on ")


def test_each_claimed_right_has_a_neighbour_that_is_asked_for_and_each_statement_a_principal(
    deployment: Deployment,
) -> None:
    policies = deployed_policies(deployment)
    rights = {action for owner, _, action in PRODUCTION_CLAIMS if owner.endswith("role") and " " not in action}
    assert rights == {*ASKS, *NOT_ASKED}
    statements = [(p.owner, s) for p in policies for s in p.document["Statement"] if s["Effect"] == "Allow"]
    named = {(owner, statement["Sid"]) for owner, statement in statements if "Principal" in statement}
    assert named == {*PRINCIPALS} & {(owner, sid) for owner, sid, _ in CLAIMS}
