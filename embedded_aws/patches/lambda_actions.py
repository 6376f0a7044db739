"""The action that a call about a function's concurrency, or its retries, is checked against.

AWS: each call has an action of its own, such as ``lambda:GetFunctionConcurrency`` and
``lambda:PutFunctionEventInvokeConfig``
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html).

ministack 1.5.33: takes every call about concurrency for ``lambda:PutFunctionConcurrency``, and those about retries for
``lambda:GetFunction``, ``lambda:UpdateFunctionCode`` and ``lambda:DeleteFunction``.

Why it matters: a principal that may only read a function was denied, or needed a right to change it.
"""

from ministack.core import iam_actions  # type: ignore[import-untyped]

_ACTIONS = {
    "concurrency": {
        "DELETE": "DeleteFunctionConcurrency",
        "GET": "GetFunctionConcurrency",
        "PUT": "PutFunctionConcurrency",
    },
    "event-invoke-config": {
        "DELETE": "DeleteFunctionEventInvokeConfig",
        "GET": "GetFunctionEventInvokeConfig",
        "PUT": "PutFunctionEventInvokeConfig",
    },
}


def apply() -> None:
    """Check these calls against AWS's actions."""
    lambda_action = iam_actions._lambda_action

    def action(method: str, path: str) -> str | None:
        _, _, about = path.rstrip("/").rpartition("/")
        found: str | None = _ACTIONS.get(about, {}).get(method) or lambda_action(method, path)
        return found

    iam_actions._lambda_action = action
