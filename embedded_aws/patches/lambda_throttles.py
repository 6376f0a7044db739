"""What the client of an HTTP API sees of a throttled function.

AWS: a reserved concurrency of 0 stops a function from processing any event
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html). Invoke answers 429, the HTTP API in front
of it 503 with ``{"message":"Service Unavailable"}``. No page says the latter of throttles; see the access log in
https://repost.aws/questions/QUY-RwZFRdTAa-rf6JrNTLRQ/status-codes-http-api-gateway-proxy for an integration that gives
no response.

ministack 1.5.33: 429 with Lambda's own error.

Why it matters: throttling its health function is how an operator takes a region out, and a caller who sees 429 would
slow down rather than go elsewhere.
"""

import json
from typing import Any

from ministack.services import lambda_svc  # type: ignore[import-untyped]

from embedded_aws.patches import lambda_errors

_SERVICE_UNAVAILABLE = {
    "statusCode": 503,
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps({"message": "Service Unavailable"}, separators=(",", ":")),
}


def apply() -> None:
    """Answer 503 in place of Lambda's 429."""
    to_proxy_response = lambda_svc.lambda_execute_result_to_api_proxy_response

    def respond(result: dict[str, Any]) -> Any:
        if lambda_errors._for_http_api.get() and result.get("throttle"):
            return _SERVICE_UNAVAILABLE, None
        return to_proxy_response(result)

    lambda_svc.lambda_execute_result_to_api_proxy_response = respond
