"""EventBridge delivers events to functions, with retries of those that fail.

AWS: EventBridge invokes a function asynchronously, if the function's policy allows the rule. Lambda retries a failed
event twice (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html).

ministack 1.5.33: runs the function once, whatever its policy says, and forgets failures.

Why it matters: after a short fault, a retry copies a changed parameter, and a rule that may not invoke the function
does nothing. The retries follow after one and two seconds here, one and two minutes on AWS.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.services import eventbridge, lambda_svc  # type: ignore[import-untyped]

from embedded_aws.patches.lambda_permissions import may_invoke

_rule: ContextVar[dict[str, Any]] = ContextVar("embedded_aws_rule")


def apply() -> None:
    """Deliver asynchronously, with retries, to the functions that allow the rule."""
    invoke_target = eventbridge._invoke_target

    def invoke(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        token = _rule.set(rule)
        try:
            invoke_target(target, event, rule, view)
        finally:
            _rule.reset(token)

    eventbridge._invoke_target = invoke
    eventbridge._dispatch_to_lambda = _dispatch_to_lambda


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        eventbridge.logger.warning("EventBridge did not deliver to %s: function not found", arn)
    elif not may_invoke("events.amazonaws.com", function, config, _rule.get()["Arn"]):
        message = f"User: events.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: {arn}"
        eventbridge.logger.warning("EventBridge did not deliver to %s: %s", arn, message)
    else:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )
