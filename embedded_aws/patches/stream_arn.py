"""The ARN that authorizes a call to DynamoDB Streams.

AWS: authorizes DescribeStream, GetShardIterator and GetRecords on the ARN of the stream, so that a policy can cover the
streams of one table
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-read-stream-only.html).

ministack 1.5.33: checks ``*``, so that only a policy for everything allows these calls.

Why it matters: an operator reads the stream of the stack's table, and must not need more than that.
"""

from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.services import dynamodb_streams  # type: ignore[import-untyped]


def apply() -> None:
    """Check the stream of a call, which the call names directly or by an iterator."""
    extract_resource_arn = iam_actions.extract_resource_arn

    def extract(service: str, method: str, path: str, headers: Any, body: Any, *rest: Any) -> Any:
        if not headers.get("x-amz-target", "").startswith("DynamoDBStreams_"):
            return extract_resource_arn(service, method, path, headers, body, *rest)
        iterator = dynamodb_streams._decode_iterator(str(iam_actions._safe_json_field(body, "ShardIterator")))
        return iam_actions._safe_json_field(body, "StreamArn") or (iterator or {}).get("arn") or "*"

    iam_actions.extract_resource_arn = extract
