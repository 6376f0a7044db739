"""Rules for data: copies in another region, their backups, keys and rights."""

from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.plan import Resource
from payment_dr.operations.gate.rules.base import RELIABILITY, Found, Rule, State


def _copy_lost(after: State, before: State) -> Iterator[Found]:
    have = {(copy.source, copy.region) for copy in after.copies}
    names = {(copy.kind, copy.name, copy.region) for copy in after.copies}
    elsewhere = {copy.source for copy in after.copies if copy.region in after.regions}
    for copy in before.copies:
        if (copy.source, copy.region) in have or (copy.kind, copy.name, copy.region) in names:
            continue
        if copy.source_region and copy.region == copy.source_region:
            continue
        if copy.source in elsewhere and copy.region not in after.regions:  # names lead to another copy
            continue
        if not copy.region or (copy.source not in after.view.resources and copy.by[0] not in after.view.resources):
            yield Found(copy.source, f"is destroyed together with its copy in {copy.region}")
        else:
            yield Found(copy.by[0], f"no longer copies the {copy.kind} {copy.name} to {copy.region}")


def _copy_same_region(after: State, before: State) -> Iterator[Found]:
    """A copy that was in another region: others may be an archive."""
    far = {copy.source for copy in before.copies if copy.source_region != copy.region}
    for copy in after.copies:
        if copy.source_region and copy.source_region == copy.region and copy.source in far:
            what = f"copies the {copy.kind} {copy.name} within {copy.region}, so one outage takes both"
            yield Found(copy.by[0], what)


def _copy_stopped(state: State) -> Iterator[Found]:
    replicated = {bucket.address for bucket in _replicated_buckets(state)}
    for versioning in state.view.of_type("aws_s3_bucket_versioning"):
        if bucket := state.topology.bucket_of(versioning, "bucket"):
            status = versioning.text("versioning_configuration", 0, "status")
            if bucket.address in replicated and status not in ("Enabled", ""):
                yield Found(versioning.address, f"suspends the versioning of {bucket.address}, so replication stops")
    for table in state.view.of_type("aws_dynamodb_table"):
        modes = [table.text("replica", number, "consistency_mode") for number in range(len(table.items("replica")))]
        if any(mode != "STRONG" for mode in modes) and table.get("stream_enabled") is False:
            yield Found(table.address, "has replicas but no stream, which replication needs")


def _buckets_of(state: State, rules: Resource) -> Iterator[str]:
    if source := state.topology.bucket_of(rules, "bucket"):
        yield source.address
    for number, _ in enumerate(rules.items("rule")):
        if target := state.topology.bucket_of(rules, "rule", number, "destination", 0, "bucket"):
            yield target.address


def _rights_lost(after: State, before: State) -> Iterator[Found]:
    """The role that replicates, or that answers, keeps its name and loses what it may do."""
    roles = {
        role.address
        for rules in after.view.of_type("aws_s3_bucket_replication_configuration")
        for role in after.view.behind(rules, "role", types=("aws_iam_role",)).resources
    }
    roles |= {
        role.address
        for function in after.view.of_type("aws_lambda_function")
        for role in after.view.behind(function, "role", types=("aws_iam_role",)).resources
        if after.topology.region_of(function) in after.regions
    }
    has = _with_policies(after)
    for kind in ("aws_iam_role_policy", "aws_iam_role_policy_attachment"):
        for role, policy in before.parents(kind, "role", "aws_iam_role").items():
            if role in roles and role not in has:
                yield Found(policy, f"is the last policy of {role}, which is still in use")


def _with_policies(state: State) -> set[str]:
    """The roles that have a policy, by whichever resource."""
    found = {
        role
        for kind, attribute in (
            ("aws_iam_role_policy", "role"),
            ("aws_iam_role_policy_attachment", "role"),
            ("aws_iam_policy_attachment", "roles"),
        )
        for role in state.parents(kind, attribute, "aws_iam_role")
    }
    # A role that nothing changes lists what is attached to it by other resources, too.
    own = (role for role in state.view.of_type("aws_iam_role") if role.action != "no-op" and _has_own_policy(role))
    return found | {role.address for role in own}


def _has_own_policy(role: Resource) -> bool:
    return bool(role.items("managed_policy_arns")) or any(each != {} for each in role.items("inline_policy"))


def _copied(state: State) -> Iterator[tuple[Resource, str]]:
    """What has a copy in another region, and the parts of it."""
    seen: set[str] = set()
    for copy in state.copies:
        for address in (copy.source, *copy.by):
            resource = state.view.resources.get(address)
            if resource and address not in seen:
                seen.add(address)
                yield resource, copy.kind


def _without_recovery(state: State) -> Iterator[Found]:
    for resource, _ in _copied(state):
        if resource.type == "aws_dynamodb_table":
            if not resource.truth("point_in_time_recovery", 0, "enabled"):
                yield Found(resource.address, "has no point-in-time recovery, and replication copies a wrong write")
            for number in range(len(resource.items("replica"))):
                if not resource.truth("replica", number, "point_in_time_recovery"):
                    region = resource.text("replica", number, "region_name")
                    yield Found(resource.address, f"has no point-in-time recovery for its replica in {region}")
        if resource.type == "aws_dynamodb_table_replica" and not resource.truth("point_in_time_recovery"):
            yield Found(resource.address, "has no point-in-time recovery")
        if resource.type in ("aws_rds_cluster", "aws_db_instance"):
            retention = resource.get("backup_retention_period")
            if retention == 0 or (retention == 1 and resource.type == "aws_rds_cluster"):
                yield Found(resource.address, f"keeps its backups for {retention} days")


def _unprotected(state: State) -> Iterator[Found]:
    attributes = {
        "aws_dynamodb_table": "deletion_protection_enabled",
        "aws_rds_global_cluster": "deletion_protection",
        "aws_rds_cluster": "deletion_protection",
        "aws_db_instance": "deletion_protection",
        "aws_docdb_global_cluster": "deletion_protection",
        "aws_docdb_cluster": "deletion_protection",
    }
    for resource, _ in _copied(state):
        attribute = attributes.get(resource.type)
        if attribute and not resource.truth(attribute):
            yield Found(resource.address, f"has no deletion protection: {attribute}")
        if resource.type in ("aws_rds_cluster", "aws_db_instance") and resource.truth("skip_final_snapshot"):
            yield Found(resource.address, "leaves no snapshot when Terraform destroys it: skip_final_snapshot")
    for bucket in _replicated_buckets(state):
        if bucket.truth("force_destroy"):
            yield Found(bucket.address, "can be destroyed with all its objects: force_destroy")
    for balancer in state.view.of_type("aws_lb"):
        if balancer.get("enable_deletion_protection") is False and balancer.address in state.serving:
            yield Found(balancer.address, "has no deletion protection: enable_deletion_protection")


def _replicated_buckets(state: State) -> list[Resource]:
    rules = state.view.of_type("aws_s3_bucket_replication_configuration")
    addresses = dict.fromkeys(address for each in rules for address in _buckets_of(state, each))
    return [state.view.resources[address] for address in addresses]


def _key_elsewhere(state: State) -> Iterator[Found]:
    for kind, its_region, its_key in (
        ("aws_dynamodb_table", "region_name", "kms_key_arn"),
        ("aws_secretsmanager_secret", "region", "kms_key_id"),
    ):
        for resource in state.view.of_type(kind):
            for number in range(len(resource.items("replica"))):
                region, arn = (resource.text("replica", number, each) for each in (its_region, its_key))
                where = arn.split(":")[3] if arn.count(":") >= 5 else ""
                if where and region and where != region:
                    yield Found(resource.address, f"has a replica in {region} with a key of {where}")


def _key_unusable(state: State) -> Iterator[Found]:
    for key in state.view.of_type("aws_kms_key", "aws_kms_replica_key"):
        disabled = key.get("is_enabled") is False or key.get("enabled") is False
        if disabled and _users_of(state, key):
            yield Found(key.address, "is disabled, so data that it encrypted cannot be read")


_KEPT: Final = {
    "aws_route53_zone": "the zone with all its records",
    "aws_dynamodb_table": "the table with all its items",
    "aws_s3_bucket": "the bucket with all its objects",
    "aws_kms_key": "the key, so data that it encrypted cannot be read",
    "aws_kms_replica_key": "the key, so data that it encrypted cannot be read",
    "aws_rds_global_cluster": "the global cluster",
    "aws_rds_cluster": "the database with all its data",
    "aws_db_instance": "the database with all its data",
    "aws_docdb_cluster": "the database with all its data",
    "aws_secretsmanager_secret": "the secret",
    "aws_elasticache_global_replication_group": "the global cache",
}


def _destroyed(after: State, before: State) -> Iterator[Found]:
    kept = {resource.address for resource, _ in _copied(before)} | {
        each.address for each in _replicated_buckets(before)
    }
    kept |= {name.key.zone for name in before.judged}
    for kind, what in _KEPT.items():
        for resource in before.view.of_type(kind):
            gone, replaced = resource.address not in after.view.resources, resource.action == "replace"
            if not gone and not replaced:
                continue
            users = _users_of(before, resource) if "kms" in kind else set()
            if resource.address in kept or users & after.view.resources.keys():
                yield Found(resource.address, f"is {'replaced' if replaced else 'destroyed'}: {what}")
    for name in before.judged:
        for entry in name.entries:
            if entry.resource.action == "replace" and entry.address in after.view.resources:
                yield Found(entry.address, f"is replaced, so {name.key.fqdn} is without it in the meantime")


def _users_of(state: State, key: Resource) -> set[str]:
    """The resources that name a key."""
    names = {text for text in (key.text("arn"), key.text("key_id")) if text}
    return {
        other.address
        for other in state.view.resources.values()
        if other.address != key.address
        and other.type not in ("aws_kms_alias", "aws_iam_policy_document", "aws_kms_key_policy")
        and _mentions(other.values, names)
    }


def _mentions(value: object, names: set[str]) -> bool:
    if isinstance(value, str):
        return value in names
    if isinstance(value, dict):
        return any(_mentions(each, names) for each in value.values())
    return isinstance(value, list) and any(_mentions(each, names) for each in value)


_DYNAMODB: Final = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
_KMS: Final = "https://docs.aws.amazon.com/kms/latest/developerguide/"
_S3: Final = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/"

RULES: Final = (
    Rule(
        "copy-lost",
        "Data is no longer copied to the region that takes over.",
        "Keep the replica or the replication rule, or create the new one before you remove the old one.",
        f"{RELIABILITY}rel_planning_for_recovery_disaster_recovery.html",
        change=_copy_lost,
    ),
    Rule(
        "copy-in-same-region",
        "A copy moves into the region of its source, so one outage takes both.",
        "Keep the copy in another region.",
        f"{RELIABILITY}rel_fault_isolation_multiaz_region_system.html",
        change=_copy_same_region,
    ),
    Rule(
        "copy-stopped",
        "Replication stops: S3 needs versioning on both buckets, DynamoDB a stream (not with strong consistency).",
        "Set the versioning status to Enabled, and keep stream_enabled = true.",
        # DynamoDB: "For Multi-Region Strong Consistency (MRSC), Streams are not required", says
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-globaltable-streamspecification.html
        f"{_S3}replication-requirements.html",
        check=_copy_stopped,
    ),
    Rule(
        "rights-lost",
        "A role that copies data or serves clients loses its last policy.",
        "Attach the new policy before you remove the old one.",
        f"{_S3}setting-repl-config-perm-overview.html",
        change=_rights_lost,
    ),
    Rule(
        "no-recovery",
        "Data has no backup in one region, and replication copies a wrong write there.",
        "Enable point-in-time recovery for the table and each replica, and keep database backups for more than a day.",
        f"{_DYNAMODB}Point-in-time-recovery.html",
        "warning",
        check=_without_recovery,
    ),
    Rule(
        "unprotected",
        "One call can delete copied data, or a load balancer that serves a name.",
        "Enable deletion protection, and remove force_destroy and skip_final_snapshot.",
        f"{_DYNAMODB}WorkingWithTables.Basics.html",
        "warning",
        check=_unprotected,
    ),
    Rule(
        "key-elsewhere",
        "A replica uses a key of another region.",
        "Use a key of the replica's region.",
        f"{_KMS}multi-region-keys-overview.html",
        check=_key_elsewhere,
    ),
    Rule(
        "key-unusable",
        "A key is disabled, so data that it encrypted cannot be read.",
        "Enable the key.",
        f"{_KMS}enabling-keys.html",
        "warning",
        check=_key_unusable,
    ),
    Rule(
        "destroyed",
        "The plan destroys or replaces a zone, a record, data or a key that a failover needs.",
        "Change it in place, or create the new one first. lifecycle.prevent_destroy stops this earlier.",
        f"{RELIABILITY}rel_planning_for_recovery_config_drift.html",
        change=_destroyed,
    ),
)
