"""No function runs while Lambda fails: APIs answer 503, and EventBridge delivers after the outage.

AWS: Lambda can fail alone, as on 2023-06-13, when invocations failed in one region and other services were up
(https://aws.amazon.com/message/061323/). An HTTP API in front of a function answers 5xx then
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html). EventBridge tries
to deliver an event for 24 hours while its target is unavailable
(https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html).

ministack 1.5.33: APIs and rules run functions in the same process, and never meet a Lambda that fails.

Why it matters: the calls of Lambda that ``region_outage`` fails are those of clients. Without this the health function
would go on answering probes.

503 with ``{"message":"Service Unavailable"}`` is what ``lambda_errors`` says too; no page names the status. An event is
delivered as soon as the fault is lifted, without EventBridge's pauses between its attempts.
"""

import contextvars
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region  # type: ignore[import-untyped]
from ministack.services import apigateway, eventbridge  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage
from embedded_aws.patches.lambda_errors import SERVICE_UNAVAILABLE

_waiting: list[tuple[str, Callable[[], None]]] = []  # deliveries by region, in their order


def apply() -> None:
    """Run no function for an API or a rule while Lambda fails."""
    invoke_lambda_proxy, dispatch = apigateway._invoke_lambda_proxy, eventbridge._dispatch_to_lambda

    async def invoke(*args: Any, owner_region: str | None = None, **kwargs: Any) -> Any:
        if region_outage.is_down(owner_region or get_region(), "lambda"):
            return SERVICE_UNAVAILABLE
        return await invoke_lambda_proxy(*args, owner_region=owner_region, **kwargs)

    def dispatch_or_wait(arn: str, payload: str) -> None:
        region = arn.split(":")[3]
        if region_outage.is_down(region, "lambda"):
            context = contextvars.copy_context()
            _waiting.append((region, lambda: context.run(dispatch, arn, payload)))
        else:
            dispatch(arn, payload)

    apigateway._invoke_lambda_proxy = invoke
    eventbridge._dispatch_to_lambda = dispatch_or_wait
    region_outage.on_change.append(_resume)


def _resume() -> None:
    waiting, _waiting[:] = list(_waiting), []
    for region, deliver in waiting:
        if region_outage.is_down(region, "lambda"):
            _waiting.append((region, deliver))
        else:
            deliver()
