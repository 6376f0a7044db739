"""A function's log is written with the rights of its role.

AWS: Lambda writes what a function prints with the rights of the execution role, ``logs:CreateLogStream`` and
``logs:PutLogEvents`` on the group; without them the function runs and nothing is logged
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html).

ministack 1.5.33: writes the log of every function, and makes the group if it is missing.

Why it matters: a function without a log, and without the metrics that it writes there, would first be missed in an
incident.
"""

from typing import Any

from ministack.services import lambda_svc  # type: ignore[import-untyped]

from embedded_aws.patches import rights

_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")


def apply() -> None:
    """Check the role's rights before writing a log."""
    emit_lambda_logs = lambda_svc._emit_lambda_logs

    def emit(function: dict[str, Any], request_id: str, *args: Any, **kwargs: Any) -> None:
        config = function.get("config") or function
        _, _, _, region, account, _, name, *_ = config["FunctionArn"].split(":")
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{request_id}"
        if rights.role_may_all(config["Role"], [(action, stream) for action in _ACTIONS]):
            emit_lambda_logs(function, request_id, *args, **kwargs)

    lambda_svc._emit_lambda_logs = emit
