"""The policies in the files are enough to operate, plan and drill the stack, and hold nothing unused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_VARIABLES
from embedded_aws.emulated_stack import EmulatedStack
from embedded_aws.errors import EmbeddedAwsError
from payment_dr.operations import probes, standby_writes, switch
from payment_dr.operations.deployed import OF_A_SWITCH
from payment_dr.operations.drill import live
from payment_dr.operations.drill.journal import CONFIRMED, LOCAL
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.drill.outages import LIVE_OUTAGE, OUTAGES, Action, action_of
from payment_dr.operations.drill.payments import NotAcknowledgedError, Payments
from payment_dr.operations.drill.run import PREFIX
from payment_dr.operations.errors import OperationError
from payment_dr.operations.iam_policies import (
    ENVIRONMENT,
    GAME_DAY,
    OF_OTHERS,
    OPERATE,
    PLAN,
    PLAN_CUSTOM_DOMAIN,
    Document,
    filled_in,
    path_of,
    read,
    written,
)
from payment_dr.operations.standby_writes import StandbyWrites
from payment_dr.operations.terraform.runner import Terraform, TerraformFailed
from permission_proof.deployer import Deployer, allows, for_the_embedded_aws
from permission_proof.deployer_scopes import ASKED_OTHERWISE, FREE
from permission_proof.operators import Operator, another_policy, dr_on, policies_of_operators, work
from tests.deploy.conftest import Deployers
from tests.deploy.iam_policies import proven, without_actions
from tests.operations.stack import Clock

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployer policy")]  # whose deployment this is

Used = dict[str, set[tuple[str, str]]]
Client = Callable[[str], Any]
FILES = {OPERATE: [OPERATE], GAME_DAY: [GAME_DAY], PLAN: [PLAN, PLAN_CUSTOM_DOMAIN]}


@pytest.fixture(scope="module")
def user(deployers: Deployers) -> Deployer:
    """Who has deployed the stack, on which others work here."""
    return deployers.for_operators


@pytest.fixture(scope="module")
def used(user: Deployer, tmp_path_factory: pytest.TempPathFactory) -> Used:
    """What three roles have used, each with nothing but its policy, that could do all that the policy is for."""
    clock = Clock(real_seconds=0.2)  # of the three intervals of a health check; replication takes its time
    with mock.patch.object(switch, "time", clock), mock.patch.object(standby_writes, "EMPTY_SECONDS", 0.0):
        return work(
            user, lambda name: for_the_embedded_aws(proven(user, FILES[name])), tmp_path_factory.mktemp("operators")
        )


@pytest.mark.parametrize("name", OF_OTHERS)
def test_the_files_hold_what_was_used_and_no_more(used: Used, name: str) -> None:
    assert path_of(name).read_text(encoding="utf-8") == written(policies_of_operators(used)[name]), (
        "run: python -m permission_proof.iam_policies"
    )


@pytest.mark.parametrize("name", FILES)
def test_only_what_is_known_is_asked_about_another_arn(user: Deployer, used: Used, name: str) -> None:
    account_id = user.aws.account_id
    documents = [filled_in(read(each), account_id=account_id, environment=ENVIRONMENT) for each in FILES[name]]
    otherwise = {action for action, arn in used[name] if not any(allows(each, action, arn) for each in documents)}
    assert otherwise <= ASKED_OTHERWISE | FREE


@pytest.fixture(scope="module")
def switched(user: Deployer) -> EmulatedStack:
    """The deployed stack, which has a switch."""
    return EmulatedStack(
        {name: output.value for name, output in user.terraform.output().items()}, user.aws.endpoint_url
    )


@pytest.fixture(scope="module")
def stack(user: Deployer, switched: EmulatedStack) -> EmulatedStack:
    """The same as one without a switch, which is fenced."""
    outputs = {name: value for name, value in switched.outputs.items() if name not in OF_A_SWITCH}
    return EmulatedStack(outputs, user.aws.endpoint_url)


@pytest.fixture(scope="module")
def working_as(user: Deployer) -> Callable[[Document], Any]:
    """Makes this process's AWS settings those of a role with one policy, for a `with` block."""
    numbers = count()

    @contextmanager
    def work_as(document: Document) -> Iterator[Operator]:
        person = Operator(user.aws, f"operator-{next(numbers)}")
        person.gets(for_the_embedded_aws(document))
        with person.working():
            yield person

    return work_as


READS = {
    "cloudwatch:DescribeAlarms": "CloudWatch in us-east-1 rejects the call: AccessDenied",
    "cloudwatch:GetMetricStatistics": "CloudWatch in us-east-1 rejects the call: AccessDenied",
    "dynamodb:DescribeTable": "DynamoDB in us-east-1 rejects the call: AccessDenied",
    "kms:Decrypt": "Parameter Store in us-east-1 rejects the call: AccessDenied",
    "lambda:GetFunctionConcurrency": "Lambda in us-east-1 rejects the call: AccessDenied",
    "route53:GetHealthCheck": "Route 53's API rejects the call: AccessDenied",
    "route53:ListResourceRecordSets": "Route 53's API rejects the call: AccessDenied",
    "ssm:GetParameters": "Parameter Store in us-east-1 rejects the call: AccessDenied",
}
OF_OPERATORS = {
    **{action: ("status", said) for action, said in READS.items()},
    **{
        f"{service}:{action}": ("status", f"{named} rejects the call: {code}")
        for service, named, code, actions in (
            ("events", "EventBridge in us-east-1", "AccessDenied", ("DescribeRule", "ListRuleNamesByTarget")),
            ("iam", "IAM", "AccessDenied", ("GetPolicy", "GetPolicyVersion", "GetRole", "GetRolePolicy")),
            ("iam", "IAM", "AccessDenied", ("ListAttachedRolePolicies", "ListRolePolicies")),
            ("kms", "KMS in us-east-1", "AccessDenied", ("DescribeKey", "GetKeyPolicy")),
            ("lambda", "Lambda in us-east-1", "AccessDenied", ("GetFunctionConfiguration", "GetPolicy")),
            ("s3", "S3 in us-east-1", "AccessDenied", ("GetBucketVersioning", "GetReplicationConfiguration")),
            ("sns", "SNS in us-east-1", "AuthorizationError", ("GetTopicAttributes", "ListSubscriptionsByTopic")),
            ("ssm", "Parameter Store in us-east-1", "AccessDenied", ("DescribeParameters",)),
        )
        for action in actions
    },
    "lambda:PutFunctionConcurrency": ("failover", "Lambda in us-east-1 rejects the call: AccessDenied"),
    "lambda:DeleteFunctionConcurrency": ("failback", "Lambda in us-east-1 rejects the call: AccessDenied"),
    "s3:ListBucketVersions": ("failback", "S3 in us-east-1 rejects the call: AccessDenied"),
    **{
        f"dynamodb:{action}": ("failback", "DynamoDB in us-west-2 rejects the call: AccessDenied")
        for action in ("BatchGetItem", "DescribeStream", "GetRecords", "GetShardIterator")
    },
    "dynamodb:Scan": ("failback --since=2d", "rejects the call: AccessDenied"),
}
OF_A_SWITCH_ALONE = {
    "dynamodb:Query": ["status"],
    "dynamodb:PutItem": ["failover", "--yes", "--reason", "test", "--for", "1h"],
}


def actions_of(document: Document) -> set[str]:
    return {action for each in document["Statement"] for action in each["Action"]}


def test_without_one_action_a_command_is_refused(
    user: Deployer,
    stack: EmulatedStack,
    switched: EmulatedStack,
    working_as: Callable[[Document], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    operate = proven(user, [OPERATE])
    assert actions_of(operate) == OF_OPERATORS.keys() | OF_A_SWITCH_ALONE.keys()
    with dr_on(switched.outputs, tmp_path) as dr:
        for action, arguments in OF_A_SWITCH_ALONE.items():
            with working_as(without_actions({action}, operate)), pytest.raises(EmbeddedAwsError) as refused:
                dr(*arguments)
            assert "DynamoDB in us-west-2 rejects the call: AccessDenied" in str(refused.value), (action, refused.value)
    function = stack.output("primary", "health_monitor_function_name")
    fence = user.aws.client("lambda", stack.region("primary"))
    payment = {"transaction_id": {"S": "compared"}, "timestamp": {"N": "1"}}
    user.aws.client("dynamodb", stack.region("secondary")).put_item(
        TableName=stack.outputs["dynamodb_table_name"], Item=payment
    )
    with dr_on(stack.outputs, tmp_path) as dr, another_policy(user.aws, switched.outputs):
        for action, (command, said) in OF_OPERATORS.items():
            if command.startswith("failback"):
                fence.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
            arguments = [command] if command == "status" else [*command.split(), "--yes"]
            with working_as(without_actions({action}, operate)), pytest.raises(EmbeddedAwsError) as refused:
                dr(*arguments)
            assert said in str(refused.value), (action, refused.value)
            assert "exits with 2" in str(refused.value), (action, refused.value)
            fence.delete_function_concurrency(FunctionName=function)


def test_without_one_action_to_look_with_a_drill_does_not_start(
    user: Deployer, switched: EmulatedStack, working_as: Callable[[Document], Any], tmp_path: Path
) -> None:
    game_day = proven(user, [GAME_DAY])
    assert actions_of(game_day) == {*READS, *DRILLED}
    for action in READS:
        steps: list[str] = []
        with working_as(without_actions({action}, game_day)), pytest.raises(OperationError, match="AccessDenied"):
            live.drill(
                EmulatedStack(switched.outputs, user.aws.endpoint_url),
                seed=1,
                directory=tmp_path,
                tell=steps.append,
                confirm=lambda *_: None,
                limit_minutes=30,
                dns=ModelledDns,
            )
        assert steps == ["preflight"], action


def pay(payments: Payments, mode: str) -> None:
    payments._pay(mode, "primary", payments.new_item(mode), pinned=False)


# What a drill does once it has started, and the same role to fail back afterwards, by the action that it needs.
DRILLED: dict[str, Callable[[Payments, Action], object]] = {
    "dynamodb:PutItem": lambda payments, _: pay(payments, LOCAL),
    "dynamodb:GetItem": lambda payments, _: pay(payments, CONFIRMED),
    "dynamodb:Query": lambda payments, _: payments.items("primary"),
    "dynamodb:DeleteItem": lambda payments, _: payments.delete(),
    "lambda:PutFunctionConcurrency": lambda _, fence: fence.do(),
    "lambda:DeleteFunctionConcurrency": lambda _, fence: fence.undo(),
    "s3:ListBucketVersions": lambda payments, _: probes.documents_of_secondary(payments._stack, 60),
    **{
        f"dynamodb:{action}": lambda payments, _: StandbyWrites(payments._stack, seconds=None, tell=print).missing()
        for action in ("BatchGetItem", "DescribeStream", "GetRecords", "GetShardIterator")
    },
}


def test_without_one_action_of_a_drill_its_payments_or_its_fence_are_refused(
    user: Deployer, stack: EmulatedStack, working_as: Callable[[Document], Any]
) -> None:
    game_day = proven(user, [GAME_DAY])
    function = stack.output("primary", "health_monitor_function_name")
    lambda_ = user.aws.client("lambda", stack.region("primary"))
    for number, (action, act) in enumerate(DRILLED.items()):
        with working_as(game_day):  # somebody whose rights are taken away in the middle of a drill
            paid = Payments(EmulatedStack(stack.outputs, user.aws.endpoint_url), f"{PREFIX}{number}", by_key=True)
            assert paid.transact(LOCAL, "primary", at=0.0)
        with working_as(without_actions({action}, game_day)):
            refused_stack = EmulatedStack(stack.outputs, user.aws.endpoint_url)
            payments = Payments(refused_stack, paid.prefix, by_key=True)
            payments._made = paid._made
            fence = action_of(OUTAGES[LIVE_OUTAGE], refused_stack, live._NoMaker(), seed=1)
            if action == "lambda:DeleteFunctionConcurrency":
                fence.do()
            with pytest.raises((ClientError, OperationError, NotAcknowledgedError), match="AccessDenied"):
                act(payments, fence)
        lambda_.delete_function_concurrency(FunctionName=function)


def test_what_is_not_the_stacks_or_not_a_test_item_is_refused(
    user: Deployer, stack: EmulatedStack, working_as: Callable[[Document], Any]
) -> None:
    root, region, table = user.aws.client, stack.region("primary"), stack.outputs["dynamodb_table_name"]
    payment = {"transaction_id": {"S": "a-payment"}, "timestamp": {"N": "1"}}
    root("dynamodb", region).put_item(TableName=table, Item=payment)
    their_key = root("kms", region).create_key()["KeyMetadata"]["KeyId"]
    root("ssm", region).put_parameter(Name="/theirs", Value="x", Type="SecureString", KeyId=their_key)
    parameter = stack.outputs["ssm_parameter_names"][0]
    listed = root("ssm", region).describe_parameters()["Parameters"]
    (key_id,) = (each["KeyId"] for each in listed if each["Name"] == parameter)
    secret = root("kms", region).encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    function = f"lambda-config-sync-east-{ENVIRONMENT}"
    compares = "read a payment to compare it"
    touched: dict[str, Callable[[Client], Any]] = {
        "write a payment": lambda client: client("dynamodb").put_item(TableName=table, Item=payment),
        "delete a payment": lambda client: client("dynamodb").delete_item(TableName=table, Key=payment),
        "read a payment": lambda client: client("dynamodb").get_item(TableName=table, Key=payment),
        "read all payments": lambda client: client("dynamodb").scan(TableName=table),
        compares: lambda client: client("dynamodb").batch_get_item(RequestItems={table: {"Keys": [payment]}}),
        "stop another function": lambda client: client("lambda").put_function_concurrency(
            FunctionName=function, ReservedConcurrentExecutions=0
        ),
        "read another secret": lambda client: client("ssm").get_parameters(Names=["/theirs"], WithDecryption=True),
        "decrypt what is no parameter": lambda client: client("kms").decrypt(CiphertextBlob=secret, KeyId=key_id),
        "write a parameter": lambda client: client("ssm").put_parameter(Name=parameter, Value="x", Overwrite=True),
    }
    not_refused = []
    for name in FILES:
        with working_as(proven(user, FILES[name])) as person:
            for what, touch in touched.items():
                try:
                    touch(partial(user.aws.client, region=region, credentials=person.credentials))
                    not_refused.append((name, what, "done"))
                except ClientError as error:
                    if "AccessDenied" not in str(error):
                        not_refused.append((name, what, str(error)))
    # Who fails back reads what is compared, and who operates the whole table.
    assert not_refused == [
        (OPERATE, "read all payments", "done"),
        (OPERATE, compares, "done"),
        (GAME_DAY, compares, "done"),
    ]


OF_A_PLAN = [
    "kms:Decrypt",
    "apigateway:GET",
    "cloudwatch:ListTagsForResource",
    "dynamodb:DescribeTimeToLive",
    "ec2:DescribeVpcAttribute",
    "events:ListTagsForResource",
    "iam:ListAttachedRolePolicies",
    "logs:ListTagsForResource",
    "s3:GetBucketAcl",
    "sns:GetSubscriptionAttributes",
    "acm:DescribeCertificate",
]


def test_without_its_rights_a_plan_is_refused_and_names_them(
    user: Deployer, working_as: Callable[[Document], Any]
) -> None:
    """One plan, and of each statement one action; what needs a resource that cannot be read is not looked at."""
    document = without_actions(set(OF_A_PLAN), proven(user, FILES[PLAN]))
    with (
        working_as(document) as person,
        Terraform(
            user.terraform.directory, person.environment, variables=PRODUCTION_VARIABLES, stand_ins=stand_in_providers
        ) as terraform,
    ):
        terraform.init()
        with pytest.raises(TerraformFailed) as refused:
            terraform.plan()
    said = " ".join(map(str, refused.value.diagnostics))
    assert [action for action in OF_A_PLAN if action not in said] == [], said
