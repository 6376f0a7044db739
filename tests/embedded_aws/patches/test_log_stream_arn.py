import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow


def create_a_stream(account: Tenant, granted: str) -> None:
    account.client("logs").create_log_group(logGroupName="/app")
    group = f"arn:aws:logs:us-east-1:{account.account_id}:log-group:/app"
    logs = account.role(allow("logs:CreateLogStream", group + granted)).client("logs")
    logs.create_log_stream(logGroupName="/app", logStreamName="2026/11/22/[$LATEST]0a1b")


@pytest.mark.parametrize("granted", [":*", ":log-stream:*", ":log-stream:2026/11/22/[$LATEST]0a1b"])
def test_a_call_on_a_stream_is_checked_against_the_stream(account: Tenant, granted: str) -> None:
    create_a_stream(account, granted)


@pytest.mark.parametrize("granted", ["", ":log-stream:other"])
def test_a_right_for_something_else_is_not_enough(account: Tenant, granted: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        create_a_stream(account, granted)


def test_upstream_still_checks_against_the_bare_group(unpatched_account: Tenant) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):  # if not: upstream fixed this, log_stream_arn may go
        create_a_stream(unpatched_account, ":*")


def test_a_call_on_a_group_is_checked_with_the_trailing_star(account: Tenant) -> None:
    account.client("logs").create_log_group(logGroupName="/app")
    group = f"arn:aws:logs:us-east-1:{account.account_id}:log-group:/app"

    logs = account.role(allow("logs:PutRetentionPolicy", f"{group}:*")).client("logs")
    logs.put_retention_policy(logGroupName="/app", retentionInDays=7)

    (found,) = account.client("logs").describe_log_groups()["logGroups"]
    assert found["retentionInDays"] == 7
