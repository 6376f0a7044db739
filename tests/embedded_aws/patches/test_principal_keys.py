import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow

ASSUMES = """
    import boto3

    def handler(event, context):
        try:
            return boto3.client("sts").assume_role(RoleArn=event, RoleSessionName="sync")["AssumedRoleUser"]["Arn"]
        except Exception as error:
            return str(error)
"""


def read_as(account: Tenant, principal_arn: str) -> str:
    account.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    condition = {"ArnEquals": {"aws:PrincipalArn": principal_arn}}
    role = account.role(allow("ssm:GetParameter", "*", condition), name="reader")
    value: str = role.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"]
    return value


def test_a_role_session_is_known_by_the_arn_of_its_role(account: Tenant) -> None:
    assert read_as(account, f"arn:aws:iam::{account.account_id}:role/reader") == "1"


def test_upstream_still_knows_it_by_the_session(unpatched_account: Tenant) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):  # if not: upstream fixed this, that part may go
        read_as(unpatched_account, f"arn:aws:iam::{unpatched_account.account_id}:role/reader")


def test_another_role_is_told_apart(account: Tenant) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        read_as(account, f"arn:aws:iam::{account.account_id}:role/other")


def assume_from_a_function(account: Tenant, source_function: str, trust_condition: dict[str, Any] | None = None) -> str:
    """What a function called ``sync`` gets that may assume a role only as ``source_function``."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account.account_id}:root"},
        "Action": "sts:AssumeRole",
        **({"Condition": trust_condition} if trust_condition else {}),
    }
    target = account.client("iam").create_role(
        RoleName="cross-region", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    function_arn = f"arn:aws:lambda:us-east-1:{account.account_id}:function:{source_function}"
    right = allow("sts:AssumeRole", target, {"ArnEquals": {"lambda:SourceFunctionArn": function_arn}})
    account.function(ASSUMES, right, name="sync")
    answer: Any = account.client("lambda").invoke(FunctionName="sync", Payload=json.dumps(target))
    result: str = json.loads(answer["Payload"].read())
    return result


def only(account: Tenant, role: str) -> dict[str, Any]:
    return {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{account.account_id}:role/{role}"}}


def test_a_function_is_known_by_its_own_arn(account: Tenant) -> None:
    assert ":assumed-role/cross-region/" in assume_from_a_function(account, "sync")


def test_upstream_still_does_not_know_the_function(unpatched_account: Tenant) -> None:
    answer = assume_from_a_function(unpatched_account, "sync")

    assert "AccessDenied" in answer, "upstream knows lambda:SourceFunctionArn: that part of principal_keys may go"


def test_another_function_is_told_apart(account: Tenant) -> None:
    assert "AccessDenied" in assume_from_a_function(account, "other")


def test_a_role_that_trusts_the_functions_role_can_be_assumed(account: Tenant) -> None:
    answer = assume_from_a_function(account, "sync", only(account, "sync-role"))

    assert ":assumed-role/cross-region/" in answer


def test_a_role_that_trusts_another_role_cannot_be_assumed(account: Tenant) -> None:
    assert "AccessDenied" in assume_from_a_function(account, "sync", only(account, "other-role"))
