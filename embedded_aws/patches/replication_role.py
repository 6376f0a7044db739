"""S3 replicates with the rights of the replication role.

AWS: the role must trust S3, and must have the rights to read the versions of the source and to write to the
destination. Otherwise the replication status of the object becomes FAILED. Without the right to read tags, the object
is replicated without them
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html).

ministack 1.5.33: replicates within an account with any role.

Why it matters: missing documents would first be noticed in the other region, after a failover.
"""

from contextvars import ContextVar
from typing import Any

from ministack.services import s3  # type: ignore[import-untyped]

from embedded_aws.patches import rights

_ON_BUCKET = ("s3:GetReplicationConfiguration", "s3:ListBucket")
_ON_OBJECTS = ("s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl")
_ON_TAGS = "s3:GetObjectVersionTagging"
_write_action: ContextVar[str] = ContextVar("embedded_aws_replica_write", default="s3:ReplicateObject")


def apply() -> None:
    """Skip the destination for a role that may not write there, and the tags for one that may not read them."""
    find_destination, replicate_delete_marker = s3._replication_destination, s3._maybe_replicate_delete_marker
    replicate = s3._maybe_replicate

    def find(bucket: str, key: str, rule: dict[str, Any], role_arn: str) -> Any:
        found = find_destination(bucket, key, rule, role_arn)
        if found is None or not _may_replicate(role_arn, f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{found[0]}", key):
            return None
        return found

    def replicate_object(
        bucket: str, key: str, obj: dict[str, Any], data: Any, tags: dict[str, str] | None = None
    ) -> None:
        rule, role_arn = s3._replication_rule_for(bucket, key, tags)
        may_read_tags = rule is None or rights.role_may(role_arn, _ON_TAGS, f"arn:aws:s3:::{bucket}/{key}")
        replicate(bucket, key, obj, data, tags)
        if not may_read_tags:
            obj.pop("_replica", None)  # by which ministack finds where to write the tags

    def replicate_marker(bucket: str, key: str) -> None:
        token = _write_action.set("s3:ReplicateDelete")
        try:
            replicate_delete_marker(bucket, key)
        finally:
            _write_action.reset(token)

    s3._replication_destination = find
    s3._maybe_replicate = replicate_object
    s3._maybe_replicate_delete_marker = replicate_marker


def _may_replicate(role_arn: str, source_arn: str, destination_arn: str, key: str) -> bool:
    needed = [
        *((action, source_arn) for action in _ON_BUCKET),
        *((action, f"{source_arn}/{key}") for action in _ON_OBJECTS),
        (_write_action.get(), f"{destination_arn}/{key}"),
    ]
    return rights.service_may_assume("s3.amazonaws.com", role_arn, source_arn) and rights.role_may_all(role_arn, needed)
