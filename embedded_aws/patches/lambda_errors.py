"""What the client of an HTTP API sees of a failed function.

AWS: 500 with ``{"message":"Internal Server Error"}``, whatever went wrong inside the function
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html).

ministack 1.5.33: 502 with the function's error and stack trace.

Why it matters: a probe or a test that looks at the code, and one that makes sure that nothing leaks, would be told
something else than on AWS.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.services import apigateway, lambda_svc  # type: ignore[import-untyped]

_for_http_api: ContextVar[bool] = ContextVar("embedded_aws_for_http_api", default=False)
INTERNAL_SERVER_ERROR = (
    500,
    {"Content-Type": "application/json"},
    json.dumps({"message": "Internal Server Error"}, separators=(",", ":")).encode(),
)


def apply() -> None:
    """Answer 500 in place of what the function failed with."""
    invoke_lambda_proxy = apigateway._invoke_lambda_proxy
    to_proxy_response = lambda_svc.lambda_execute_result_to_api_proxy_response

    async def invoke(*args: Any, **kwargs: Any) -> Any:
        token = _for_http_api.set(True)
        try:
            return await invoke_lambda_proxy(*args, **kwargs)
        finally:
            _for_http_api.reset(token)

    def respond(result: dict[str, Any]) -> Any:
        if _for_http_api.get() and result.get("error") and not result.get("throttle"):
            status, headers, body = INTERNAL_SERVER_ERROR
            return {"statusCode": status, "headers": headers, "body": body.decode()}, None
        return to_proxy_response(result)

    apigateway._invoke_lambda_proxy = invoke
    lambda_svc.lambda_execute_result_to_api_proxy_response = respond
