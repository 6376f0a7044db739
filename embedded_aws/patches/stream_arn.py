"""The stream that a call of DynamoDB Streams is about.

AWS: DescribeStream, GetShardIterator and GetRecords are authorized on the ARN of the stream, so that a policy can be
for the streams of one table
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-read-stream-only.html).

ministack 1.5.33: asks about ``*``, so that only a policy for everything allows these calls.

Why it matters: who operates the stack reads the stream of its table, and must not need more than that.
"""

from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.services import dynamodb_streams  # type: ignore[import-untyped]


def apply() -> None:
    """Ask about the stream that a call names, by itself or by its iterator."""
    extract_resource_arn = iam_actions.extract_resource_arn

    def extract(service: str, method: str, path: str, headers: Any, body: Any, *rest: Any) -> Any:
        if not headers.get("x-amz-target", "").startswith("DynamoDBStreams_"):
            return extract_resource_arn(service, method, path, headers, body, *rest)
        iterator = dynamodb_streams._decode_iterator(str(iam_actions._safe_json_field(body, "ShardIterator")))
        return iam_actions._safe_json_field(body, "StreamArn") or (iterator or {}).get("arn") or "*"

    iam_actions.extract_resource_arn = extract
