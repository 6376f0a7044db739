import pytest

from tests.embedded_aws.tenant import Tenant, allow

RIGHTS = ["logs:CreateLogStream", "logs:PutLogEvents"]
SOURCE = """
    def handler(event, context):
        print("hello")
"""


def logged(account: Tenant, rights: list[str], group: str = "/aws/lambda/greeter") -> list[str]:
    """What a function that prints has logged, given these rights on a group."""
    logs = account.client("logs")
    logs.create_log_group(logGroupName="/aws/lambda/greeter")
    streams = f"arn:aws:logs:us-east-1:{account.account_id}:log-group:{group}:*"
    function = account.function(SOURCE, *([allow(rights, streams)] if rights else []), name="greeter")
    assert "FunctionError" not in account.client("lambda").invoke(FunctionName=function)
    events = logs.filter_log_events(logGroupName="/aws/lambda/greeter")["events"]
    return [event["message"] for event in events]


def test_a_function_with_both_rights_is_logged(account: Tenant) -> None:
    assert "hello" in logged(account, RIGHTS)


@pytest.mark.parametrize("missing", RIGHTS)
def test_a_function_without_one_of_them_runs_and_nothing_is_logged(account: Tenant, missing: str) -> None:
    assert logged(account, [right for right in RIGHTS if right != missing]) == []
    refusal = f"{account.account_id}:role/greeter-role is not authorized to perform: {missing} on resource: "
    assert f"{refusal}arn:aws:logs:us-east-1:{account.account_id}:log-group:/aws/lambda/greeter:log-stream:" in (
        account.aws.log_text()
    )


def test_rights_on_another_group_are_not_enough(account: Tenant) -> None:
    assert logged(account, RIGHTS, group="/aws/lambda/other") == []


def test_upstream_still_logs_without_rights(unpatched_account: Tenant) -> None:
    assert "hello" in logged(unpatched_account, [])  # if not: upstream asks the role, function_logs may go
