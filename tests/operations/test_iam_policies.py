"""`dr policies`: for the account and the environment that are given, as files that AWS takes."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_dr.operations import cli
from payment_dr.operations.iam_policies import (
    ACCOUNT_ID,
    ENVIRONMENT,
    GAME_DAY,
    NAMES,
    OF_OTHERS,
    OPERATE,
    PLAN,
    PLAN_CUSTOM_DOMAIN,
    policies_for,
    read,
)
from permission_proof.deployer import LONGEST_POLICY


def test_each_fits_into_a_managed_policy_with_the_longest_environment() -> None:
    printed = CliRunner().invoke(cli.app, ["policies", "--environment", "a-long-stage"])
    lengths = {
        name: len(json.dumps(policy, separators=(",", ":"))) for name, policy in json.loads(printed.stdout).items()
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_POLICY} == {}


def test_the_command_prints_all_for_another_account_and_environment() -> None:
    printed = CliRunner().invoke(cli.app, ["policies", "--account-id", "111122223333", "--environment", "prod"])
    assert printed.exit_code == 0
    assert ACCOUNT_ID not in printed.stdout
    policies = json.loads(printed.stdout)
    assert tuple(policies) == NAMES
    arns = [arn for policy in policies.values() for each in policy["Statement"] for arn in each["Resource"]]
    assert "arn:aws:s3:::s3-payment-docs-*-prod-111122223333" in arns
    assert [arn for arn in arns if ENVIRONMENT in arn.replace(":", "-").replace("/", "-").split("-")] == []


def test_the_command_prints_all_for_another_table() -> None:
    printed = CliRunner().invoke(
        cli.app, ["policies", "--environment", "prod"], env={"PAYMENT_DR_TABLE": "payments-dev"}
    )
    for arn in ("table/payments-dev", "table/payments-dev/stream/*"):
        assert f'"arn:aws:dynamodb:*:123456789012:{arn}"' in printed.stdout
    assert "table/transactions" not in printed.stdout


def test_the_command_writes_files_that_aws_takes_as_they_are(tmp_path: Path) -> None:
    printed = CliRunner().invoke(
        cli.app, ["policies", "--account-id", "111122223333", "--out", str(tmp_path / "policies")]
    )
    assert printed.stdout.splitlines() == [str(tmp_path / "policies" / f"{name}.json") for name in NAMES]
    for path in map(Path, printed.stdout.splitlines()):
        assert set(json.loads(path.read_text(encoding="utf-8"))) == {"Version", "Statement"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--account-id", "12"], "error: '12' is not an AWS account id"),
        (["--account-id", "12345678901x"], "error: '12345678901x' is not an AWS account id"),
        (["--environment", "Prod"], "error: 'Prod' is not an environment of the stack"),
        (["--table", "a/b"], "error: 'a/b' is not a name of a table"),
        (["--environment", "prod\n"], "error: 'prod\\n' is not an environment of the stack"),
    ],
)
def test_an_invalid_account_or_environment_is_an_error(arguments: list[str], error: str) -> None:
    done = CliRunner().invoke(cli.app, ["policies", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == error
    assert done.stderr.splitlines()[1].startswith("hint: ")


LOOKS = re.compile(r"[a-z0-9-]+:((Describe|Get|List)|(GET|Decrypt|Query)$)")


def actions_of(name: str) -> set[str]:
    return {action for each in read(name)["Statement"] for action in each["Action"]}


@pytest.mark.parametrize("name", [PLAN, PLAN_CUSTOM_DOMAIN])
def test_a_role_that_plans_can_only_read(name: str) -> None:
    assert {action for action in actions_of(name) if not LOOKS.match(action)} == set()


@pytest.mark.parametrize("name", [OPERATE, GAME_DAY])
def test_a_role_that_operates_or_drills_changes_only_fence_switch_and_items_of_a_drill(
    name: str,
) -> None:
    touched = {
        (action, *each["Resource"], json.dumps(each.get("Condition")))
        for each in read(name)["Statement"]
        for action in each["Action"]
        if not LOOKS.match(action) or action.endswith(("Item", ":Query", ":GetRecords"))
    }
    functions = f"arn:aws:lambda:*:{ACCOUNT_ID}:function:lambda-health-monitor-*-{ENVIRONMENT}"
    payments, switch = (
        f"arn:aws:dynamodb:*:{ACCOUNT_ID}:table/{table}" for table in ("transactions", f"table-switch-*-{ENVIRONMENT}")
    )
    own_items = json.dumps({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["dr-drill-*"]}})
    compares = {("dynamodb:BatchGetItem", payments, "null"), ("dynamodb:GetRecords", f"{payments}/stream/*", "null")}
    more = {
        OPERATE: {("dynamodb:Scan", payments, "null")},
        GAME_DAY: {(f"dynamodb:{action}Item", payments, own_items) for action in ("Put", "Get", "Delete")}
        | {("dynamodb:Query", payments, own_items)},
    }
    assert touched == compares | more[name] | {
        *((f"lambda:{action}FunctionConcurrency", functions, "null") for action in ("Put", "Delete")),
        *((f"dynamodb:{action}", switch, "null") for action in ("PutItem", "Query")),
    }


def test_after_a_game_day_the_same_role_can_fail_back() -> None:
    # of `dr status` alone, and of a failback after more than 23 hours, which no drill takes
    assert actions_of(OPERATE) - actions_of(GAME_DAY) == {
        "dynamodb:Scan",
        "sns:ListSubscriptionsByTopic",
        *("events:DescribeRule", "events:ListRuleNamesByTarget"),
        *("iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy"),
        *("iam:ListAttachedRolePolicies", "iam:ListRolePolicies"),
        *("kms:DescribeKey", "kms:GetKeyPolicy"),
        *("lambda:GetFunctionConfiguration", "lambda:GetPolicy"),
        *("s3:GetBucketVersioning", "s3:GetReplicationConfiguration"),
        *("sns:GetTopicAttributes", "ssm:DescribeParameters"),
    }


@pytest.mark.parametrize("name", [OPERATE, PLAN, GAME_DAY])
def test_only_the_parameters_of_the_stack_are_decrypted(name: str) -> None:
    document = policies_for("111122223333", "prod")[name]
    (condition,) = (each.get("Condition") for each in document["Statement"] if "kms:Decrypt" in each["Action"])
    parameters = "arn:aws:ssm:*:111122223333:parameter/payment-app/prod/*"
    assert condition == {"StringLike": {"kms:EncryptionContext:PARAMETER_ARN": [parameters]}}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_statement_without_a_resource_changes_nothing(name: str) -> None:
    anywhere = {action for each in read(name)["Statement"] if each["Resource"] == ["*"] for action in each["Action"]}
    assert {action for action in anywhere if not LOOKS.match(action)} == set()
