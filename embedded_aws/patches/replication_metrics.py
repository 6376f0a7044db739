"""S3 publishes the metrics of a replication rule that enables them.

AWS: OperationsFailedReplication is published in the source's region for each operation, with 0 for one that succeeds;
OperationsPendingReplication in the destination's. Both have the dimensions SourceBucket, DestinationBucket and RuleId
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html#s3-cloudwatch-replication-metrics).

ministack 1.5.33: keeps the setting and publishes nothing.

Why it matters: a document that fails to replicate would be visible nowhere, and no alarm on it could be tested.

Unlike AWS, this publishes the metrics when a document is replicated, and not once a minute.
"""

from typing import Any

from ministack.core.responses import get_account_id, request_scope  # type: ignore[import-untyped]
from ministack.services import cloudwatch, s3  # type: ignore[import-untyped]


def apply() -> None:
    """Publish the result of each replication."""
    replicate = s3._maybe_replicate

    def replicate_and_publish(
        bucket: str, key: str, obj: dict[str, Any], data: Any, tags: dict[str, str] | None = None
    ) -> None:
        replicate(bucket, key, obj, data, tags)
        rule, _ = s3._replication_rule_for(bucket, key, tags)
        if rule is not None and rule["Destination"].get("Metrics", {}).get("Status") == "Enabled":
            _publish(bucket, rule, obj["replication_status"])

    s3._maybe_replicate = replicate_and_publish


def _publish(bucket: str, rule: dict[str, Any], status: str) -> None:
    destination = rule["Destination"]["Bucket"].rpartition(":")[2]
    dimensions = {"SourceBucket": bucket, "DestinationBucket": destination, "RuleId": rule["ID"]}
    for name, of, value in (
        ("OperationsFailedReplication", bucket, status == "FAILED"),
        ("OperationsPendingReplication", destination, status == "PENDING"),
    ):
        if region := s3._replication_destination_region(of):
            with request_scope(get_account_id(), region):
                cloudwatch.record_metric("AWS/S3", name, float(value), "Count", dimensions)
