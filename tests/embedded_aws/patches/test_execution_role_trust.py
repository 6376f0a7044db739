import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant

NOTHING = """
    def handler(event, context):
        return None
"""


def trust(account: Tenant, service: str, function: str | None = None) -> list[dict[str, Any]]:
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if function:
        statement["Condition"] = {
            "StringEquals": {"aws:SourceAccount": account.account_id},
            "ArnEquals": {"aws:SourceArn": f"arn:aws:lambda:us-east-1:{account.account_id}:function:{function}"},
        }
    return [statement]


def role_with(account: Tenant, statements: list[dict[str, Any]]) -> str:
    arn: str = account.client("iam").create_role(
        RoleName="execution",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )["Role"]["Arn"]
    return arn


def create(account: Tenant, statements: list[dict[str, Any]]) -> None:
    account.function(NOTHING, name="monitor", role=role_with(account, statements))


@pytest.mark.parametrize("function", [None, "monitor"])
def test_a_function_gets_a_role_that_trusts_lambda_for_it(account: Tenant, function: str | None) -> None:
    create(account, trust(account, "lambda.amazonaws.com", function))

    assert account.client("lambda").get_function(FunctionName="monitor")["Configuration"]["State"]


@pytest.mark.parametrize(
    ("service", "function"), [("lambda.amazonaws.com", "another"), ("ec2.amazonaws.com", None)], ids=str
)
def test_a_function_does_not_get_a_role_that_does_not(account: Tenant, service: str, function: str | None) -> None:
    with pytest.raises(ClientError, match="cannot be assumed by Lambda") as refused:
        create(account, trust(account, service, function))
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_a_function_cannot_be_given_such_a_role_later(account: Tenant) -> None:
    account.function(NOTHING, name="monitor")
    other = role_with(account, trust(account, "ec2.amazonaws.com"))

    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        account.client("lambda").update_function_configuration(FunctionName="monitor", Role=other)


def test_a_function_can_be_changed_without_its_role(account: Tenant) -> None:
    account.function(NOTHING, name="monitor")

    changed = account.client("lambda").update_function_configuration(FunctionName="monitor", Timeout=7)

    assert changed["Timeout"] == 7


def test_upstream_still_takes_any_role(unpatched_account: Tenant) -> None:
    create(unpatched_account, trust(unpatched_account, "ec2.amazonaws.com"))  # refused: execution_role_trust may go
