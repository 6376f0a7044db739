"""A document waits for replication while the region of either bucket is down, or the link between them is cut.

AWS: while a bucket or a region is unavailable, the replication status of an object stays PENDING, and S3 resumes when
it is back (https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html).

ministack 1.5.33: copies an object into a region that `region_outage` fails or cuts off, at once.

Why it matters: the drill writes documents in the secondary region during an outage of the primary. Where they are
copied back, they must arrive after the outage, and not in a region that is down.
"""

from typing import Any, NamedTuple

from ministack.core.responses import get_account_id, get_region, request_scope  # type: ignore[import-untyped]
from ministack.services import s3  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage


class _Waiting(NamedTuple):
    account: str
    region: str
    bucket: str
    key: str
    object: dict[str, Any]
    data: Any
    tags: dict[str, str] | None


_waiting: list[_Waiting] = []  # in the order in which they were written


def apply() -> None:
    """Keep documents that cannot be copied, and copy them when a region is restored."""
    replicate = s3._maybe_replicate

    def replicate_or_wait(
        bucket: str, key: str, obj: dict[str, Any], data: Any, tags: dict[str, str] | None = None
    ) -> None:
        rule, _ = s3._replication_rule_for(bucket, key, tags)
        if rule is None or not _is_interrupted(bucket, rule):
            replicate(bucket, key, obj, data, tags)
            return
        obj["replication_status"] = "PENDING"
        _waiting.append(_Waiting(get_account_id(), get_region(), bucket, key, obj, data, tags))

    s3._maybe_replicate = replicate_or_wait
    region_outage.on_change.append(_resume)


def _is_interrupted(bucket: str, rule: dict[str, Any]) -> bool:
    source, target = (s3._replication_destination_region(each) for each in (bucket, rule["Destination"]["Bucket"]))
    is_down = any(region is not None and region_outage.is_down(region, "s3") for region in (source, target))
    return is_down or region_outage.is_cut(source, target)


def _resume() -> None:
    """Retry each document. Those that still cannot be copied continue to wait."""
    waiting, _waiting[:] = list(_waiting), []
    for each in waiting:
        with request_scope(each.account, each.region):
            s3._maybe_replicate(each.bucket, each.key, each.object, each.data, each.tags)
            _note_status(each)


def _note_status(each: _Waiting) -> None:
    """Record the status in the version's entry too, and give the replica its tags."""
    for version in s3._object_versions.get((each.bucket, each.key), []):
        if version["version_id"] == each.object.get("version_id"):
            version["replication_status"] = each.object["replication_status"]
    if each.tags and each.object.get("_replica"):
        bucket, version_id, account = each.object["_replica"]
        with request_scope(account, each.region):
            s3._object_tags[(bucket, each.key, version_id)] = dict(each.tags)
