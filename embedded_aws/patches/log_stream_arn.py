"""The ARN that authorizes a CloudWatch Logs call.

AWS: ``arn:aws:logs:REGION:ACCOUNT:log-group:GROUP:log-stream:STREAM`` for calls on a stream, and a log group's ARN
with a trailing ``:*`` for the others
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html).

ministack 1.5.33: the log group's ARN with nothing behind it, for all of them.

Why it matters: a policy for ``<log group>:*``, which AWS requires, was denied.
"""

from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]

_ON_A_STREAM = frozenset({"CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents"})
_ON_TAGS = frozenset({"ListTagsForResource", "TagResource", "UntagResource"})  # these name the bare group on AWS too


def apply() -> None:
    """Check Logs calls against AWS's form of the ARN."""
    extract_resource_arn = iam_actions.extract_resource_arn

    def extract(service: str, method: str, path: str, headers: Any, body: Any, *rest: Any) -> Any:
        arn = extract_resource_arn(service, method, path, headers, body, *rest)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service != "logs" or ":log-group:" not in arn or action in _ON_TAGS:
            return arn
        if action in _ON_A_STREAM:
            return f"{arn}:log-stream:{iam_actions._safe_json_field(body, 'logStreamName') or ''}"
        return f"{arn}:*"

    iam_actions.extract_resource_arn = extract
