"""A function's own policy decides which service may invoke it.

AWS: EventBridge and API Gateway invoke a function only if its resource-based policy allows it, with the rule's or the
route's ARN as ``aws:SourceArn`` (https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html).
Without it an HTTP API answers 500, and EventBridge drops the event.

ministack 1.5.33: stores the policy, and never checks it.

Why it matters: with a missing or mistyped ``aws_lambda_permission`` the function never runs on AWS.
"""

from typing import Any

from ministack.services import apigateway, lambda_svc  # type: ignore[import-untyped]

from embedded_aws.patches import rights
from embedded_aws.patches.lambda_errors import INTERNAL_SERVER_ERROR


def apply() -> None:
    """Check the function's policy when API Gateway invokes it. ``event_delivery`` checks it for EventBridge."""
    invoke_lambda_proxy = apigateway._invoke_lambda_proxy

    async def invoke(
        integration: dict[str, Any], api_id: str, stage: str, path: str, method: str, *args: Any, **kwargs: Any
    ) -> Any:
        reference = apigateway._extract_lambda_ref_from_integration_uri(integration.get("integrationUri", ""))
        account, region = kwargs["owner_account_id"], kwargs["owner_region"]
        function, config, _ = lambda_svc._get_func_record_for_ref_in_scope(reference, account_id=account, region=region)
        _, _, _, route_key, *_ = args
        route = route_key.partition(" ")[2] or path  # not the path: //health is the route GET /health too
        route_arn = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{method}{route}"
        if not function or not may_invoke("apigateway.amazonaws.com", function, config, route_arn):
            status, headers, body = INTERNAL_SERVER_ERROR
            return status, dict(headers), body  # every answer gets a request id
        return await invoke_lambda_proxy(integration, api_id, stage, path, method, *args, **kwargs)

    apigateway._invoke_lambda_proxy = invoke


def may_invoke(service: str, function: dict[str, Any], config: dict[str, Any], source_arn: str) -> bool:
    """Whether the function's policy allows this service to invoke it for this source."""
    return rights.service_may(service, "lambda:InvokeFunction", config["FunctionArn"], function["policy"], source_arn)
