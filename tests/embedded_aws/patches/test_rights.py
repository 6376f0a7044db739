"""Each refusal is in the log, in AWS's words."""

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow


def refusal(principal: str, action: str, resource: str) -> str:
    return f"{principal} is not authorized to perform: {action} on resource: {resource}"


def test_a_refused_call_is_logged_with_who_what_and_on_what(account: Tenant) -> None:
    role = account.role(allow("sqs:SendMessage", "*"))
    with pytest.raises(ClientError):
        role.client("dynamodb").describe_table(TableName="orders")
    table = f"arn:aws:dynamodb:us-east-1:{account.account_id}:table/orders"
    assert refusal(role.session_arn, "dynamodb:DescribeTable", table) in account.aws.log_text()


def test_a_role_that_does_not_trust_the_caller_is_logged(account: Tenant) -> None:
    trusted = account.role_for({"Service": "lambda.amazonaws.com"}, name="trusts-lambda")
    role = account.role(allow("sts:AssumeRole", "*"))
    with pytest.raises(ClientError):
        role.client("sts").assume_role(RoleArn=trusted, RoleSessionName="session")
    assert refusal(role.session_arn, "sts:AssumeRole", trusted) in account.aws.log_text()


def test_what_is_allowed_is_not_logged(account: Tenant) -> None:
    role = account.role(allow("sqs:ListQueues", "*"))
    role.client("sqs").list_queues()
    assert f"{role.session_arn} is not authorized" not in account.aws.log_text()
