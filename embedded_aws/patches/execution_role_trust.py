"""A function gets a role only if the role trusts Lambda for this function.

AWS: CreateFunction and UpdateFunctionConfiguration refuse a role that Lambda cannot assume
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html). Lambda names the account and the
function as ``aws:SourceAccount`` and ``aws:SourceArn`` when it assumes the role.

ministack 1.5.33: takes any role that exists.

Why it matters: the execution roles trust Lambda for their own function only; a mistake in that condition would first
show on AWS.
"""

from typing import Any

from ministack.core.responses import error_response_json  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

from embedded_aws.patches import rights


def apply() -> None:
    """Reject roles that do not trust Lambda for the function."""
    create_function, update_configuration = lambda_svc._create_function, lambda_svc._update_config

    def create(data: dict[str, Any]) -> Any:
        return _refusal(data.get("FunctionName", ""), data) or create_function(data)

    def update(name: str, data: dict[str, Any]) -> Any:
        return _refusal(name, data) or update_configuration(name, data)

    lambda_svc._create_function = create
    lambda_svc._update_config = update


def _refusal(function_name: str, data: dict[str, Any]) -> Any:
    role_arn = data.get("Role")
    if not role_arn or rights.service_may_assume("lambda.amazonaws.com", role_arn, lambda_svc._func_arn(function_name)):
        return None
    return error_response_json(
        "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.", 400
    )
