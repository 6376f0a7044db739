"""Condition keys that identify the function that calls.

AWS: ``aws:PrincipalArn`` of a role session is the ARN of the role, not of the session
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn),
and ``lambda:SourceFunctionArn`` is the ARN of the function whose code is calling
(https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html).

ministack 1.5.33: the first is the ARN of the session, the second does not exist.

Why it matters: the cross-region role trusts one execution role by ``aws:PrincipalArn``, and that role may assume it
only from one function by ``lambda:SourceFunctionArn``; both were always denied.
"""

import re
from typing import Any

from ministack.core import iam_evaluator, lambda_runtime  # type: ignore[import-untyped]
from ministack.services import iam, sts  # type: ignore[import-untyped]

_ROLE_SESSION = re.compile(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.+")


def apply() -> None:
    """Resolve both keys as AWS does."""
    resolve_condition_key = iam_evaluator._resolve_condition_key
    execution_credentials = lambda_runtime.execution_credentials
    principal_keys = iam_evaluator._principal_keys
    function_of_access_key: dict[str, str] = {}

    def resolve(key: str, context: Any) -> Any:
        session = _ROLE_SESSION.fullmatch(context.principal_arn)
        if key.lower() == "aws:principalarn" and session:
            role = iam._roles.get_scoped(session[1], None, session[2])
            return role["Arn"] if role else context.principal_arn
        return resolve_condition_key(key, context)

    def credentials_of_function(config: dict[str, Any]) -> dict[str, str]:
        credentials: dict[str, str] = execution_credentials(config)
        # The key names the function without a version or an alias.
        unqualified = ":".join(config.get("FunctionArn", "").split(":")[:7])
        function_of_access_key[credentials["AWS_ACCESS_KEY_ID"]] = unqualified
        return credentials

    def keys_of_principal(credential: Any) -> dict[str, Any]:
        keys: dict[str, Any] = principal_keys(credential)
        function_arn = function_of_access_key.get(credential.access_key_id)
        return keys if function_arn is None else {**keys, "lambda:sourcefunctionarn": function_arn}

    iam_evaluator._resolve_condition_key = resolve
    lambda_runtime.execution_credentials = credentials_of_function
    iam_evaluator._principal_keys = keys_of_principal
    sts._principal_keys = keys_of_principal
