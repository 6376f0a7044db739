from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded_aws.tenant import Tenant, allow

ALL = "arn:aws:lambda:*:*:function:function"
CALLS: dict[str, Callable[[Any], Any]] = {
    "lambda:PutFunctionConcurrency": lambda client: client.put_function_concurrency(
        FunctionName="function", ReservedConcurrentExecutions=0
    ),
    "lambda:GetFunctionConcurrency": lambda client: client.get_function_concurrency(FunctionName="function"),
    "lambda:DeleteFunctionConcurrency": lambda client: client.delete_function_concurrency(FunctionName="function"),
    "lambda:PutFunctionEventInvokeConfig": lambda client: client.put_function_event_invoke_config(
        FunctionName="function", MaximumRetryAttempts=1
    ),
    "lambda:GetFunctionEventInvokeConfig": lambda client: client.get_function_event_invoke_config(
        FunctionName="function"
    ),
    "lambda:DeleteFunctionEventInvokeConfig": lambda client: client.delete_function_event_invoke_config(
        FunctionName="function"
    ),
}


def test_each_call_takes_its_own_action_and_no_other(account: Tenant) -> None:
    account.function("def handler(event, context): pass")
    for number, (action, call) in enumerate(CALLS.items()):
        others = [other for other in CALLS if other != action]
        with pytest.raises(ClientError, match=f"not authorized to perform: {action} "):
            call(account.role(allow([*others, "lambda:*Function"], ALL), name=f"without-{number}").client("lambda"))
        call(account.role(allow(action, ALL), name=f"with-{number}").client("lambda"))


@pytest.mark.parametrize(
    ("action", "taken_for"),
    [
        ("lambda:GetFunctionConcurrency", "lambda:PutFunctionConcurrency"),
        ("lambda:DeleteFunctionConcurrency", "lambda:PutFunctionConcurrency"),
        ("lambda:PutFunctionEventInvokeConfig", "lambda:UpdateFunctionCode"),
    ],
)
def test_upstream_still_takes_one_for_another(unpatched_account: Tenant, action: str, taken_for: str) -> None:
    unpatched_account.function("def handler(event, context): pass")
    CALLS[action](unpatched_account.role(allow(taken_for, ALL)).client("lambda"))  # if not: lambda_actions may go
