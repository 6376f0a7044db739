"""EventBridge hands events to functions, and what becomes of those that fail.

AWS: EventBridge invokes a function asynchronously. Lambda runs a failed event twice more and then sends it to the
function's on-failure destination (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html),
with the rights of the function's role. An event that cannot be handed over, because the function is gone or its
policy does not let the rule in, goes to the dead-letter queue of the rule's target if the queue's policy lets the
rule in (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html).

ministack 1.5.33: runs the function once, whatever its policy says, and forgets failures and dead-letter queues.

Why it matters: the stack promises that no change of a parameter is lost without a trace; queues that stay empty could
not show whether that holds. The retries follow after one and two seconds here, one and two minutes on AWS.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.core.arn import parse_arn  # type: ignore[import-untyped]
from ministack.services import eventbridge, lambda_svc, sqs  # type: ignore[import-untyped]

from embedded_aws.patches import rights
from embedded_aws.patches.lambda_permissions import may_invoke

_delivery: ContextVar[tuple[dict[str, Any], dict[str, Any]]] = ContextVar("embedded_aws_delivery")


def apply() -> None:
    """Deliver asynchronously, with retries, destinations and dead-letter queues."""
    invoke_target = eventbridge._invoke_target
    route_async_failure = lambda_svc._route_async_failure

    def invoke(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        token = _delivery.set((target, rule))
        try:
            invoke_target(target, event, rule, view)
        finally:
            _delivery.reset(token)

    def route(target_arn: str, function_name: str, event: Any, result: Any) -> None:
        function = lambda_svc._functions.get(function_name)
        role_arn = function["config"]["Role"] if function else ""
        if ":sqs:" in target_arn and not rights.role_may(role_arn, "sqs:SendMessage", target_arn):
            return
        route_async_failure(target_arn, function_name, event, result)

    eventbridge._invoke_target = invoke
    eventbridge._dispatch_to_lambda = _dispatch_to_lambda
    lambda_svc._route_async_failure = route


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    target, rule = _delivery.get()
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        _dead_letter(target, rule, payload, "NO_RESOURCE", f"Function not found: {arn}")
    elif not may_invoke("events.amazonaws.com", function, config, rule["Arn"]):
        message = f"User: events.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: {arn}"
        _dead_letter(target, rule, payload, "NO_PERMISSIONS", message)
    else:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )


def _dead_letter(target: dict[str, Any], rule: dict[str, Any], payload: str, code: str, message: str) -> None:
    queue_arn = (target.get("DeadLetterConfig") or {}).get("Arn", "")
    eventbridge.logger.warning("EventBridge did not deliver to %s: %s", target["Arn"], message)
    queue = sqs._queue_by_arn(queue_arn)
    if queue is None or not rights.service_may(
        "events.amazonaws.com", "sqs:SendMessage", queue_arn, queue["attributes"].get("Policy"), rule["Arn"]
    ):
        return
    attributes = {"RULE_ARN": rule["Arn"], "TARGET_ARN": target["Arn"], "ERROR_CODE": code, "ERROR_MESSAGE": message}
    eventbridge._dispatch_to_sqs(parse_arn(queue_arn), payload)
    queue["messages"][-1]["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
