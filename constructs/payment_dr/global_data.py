"""GlobalData: the application's table and documents, replicated from the primary to the secondary region."""

from collections.abc import Mapping, Sequence
from typing import Final

from .alerting import AlarmTarget, Metric, metric_alarm, topic_of
from .bindings import (
    Construct,
    DynamodbTable,
    DynamodbTableAttribute,
    DynamodbTablePointInTimeRecovery,
    DynamodbTableReplica,
    S3Bucket,
    S3BucketPolicy,
    S3BucketPublicAccessBlock,
    S3BucketReplicationConfigurationA,
    S3BucketReplicationConfigurationRule,
    S3BucketReplicationConfigurationRuleDeleteMarkerReplication,
    S3BucketReplicationConfigurationRuleDestination,
    S3BucketReplicationConfigurationRuleDestinationMetrics,
    S3BucketReplicationConfigurationRuleFilter,
    S3BucketReplicationConfigurationRuleSourceSelectionCriteria,
    S3BucketReplicationConfigurationRuleSourceSelectionCriteriaReplicaModifications,
    S3BucketServerSideEncryptionConfigurationA,
    S3BucketServerSideEncryptionConfigurationRuleA,
    S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA,
    S3BucketVersioningA,
    S3BucketVersioningVersioningConfiguration,
    TerraformResourceLifecycle,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import bucket_name, mistakes_in_names, name
from .policies import Condition, Role, Statement, policy_document
from .region import PARTITION, Region, account_id, mistakes_in_home, mistakes_in_pair, region_name
from .side import Side
from .suppressions import suppress

# A metric-math alarm takes at most ten metrics; these are the calls that a payments application makes.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
OPERATIONS = (
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "Query",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactGetItems",
    "TransactWriteItems",
)
REPLICATION_LAG_ALARM_MS = 3000
LAG_PERIODS = 3
RULE_ID = "all-documents"
# Most objects replicate within 15 minutes, which are three periods of five.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-troubleshoot.html
PENDING_DOCUMENTS = 100
PENDING_PERIODS = 3


class GlobalData(Described):
    """A DynamoDB global table and a pair of S3 buckets, both with a copy in the secondary region.

    The table is one resource with a replica. Global tables replicate asynchronously, typically within a second, and the
    last writer wins. So a write that was acknowledged just before an outage can be missing in the other region until
    the region recovers: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html

    Every object of the source bucket is replicated to the destination bucket. Both keep all versions, and reject
    requests without TLS.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html

    By default documents replicate in that direction only. A document written in the secondary region stays there, and a
    later version from the primary region becomes current over a correction made there. With `two_way_documents` both
    buckets are source and destination of each other. Deletions never replicate.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/mrap-create-two-way-replication-rules.html

    Args:
        primary, secondary: Source and destination of the replication.
        environment: Environment name; may be a Terraform variable.
        table_name: Default "transactions". Part of the names of alarms.
        bucket_purpose: Part of the names of buckets and of the replication role. Default "payment-docs".
        primary_alarms, secondary_alarms: Where the regions' alarms go. Default: no alarms.
        replication_lag_alarm_ms: Mean replication latency, in milliseconds, above which an alarm fires. Default 3000.
        deletion_protection: Protect the table from deletion. AWS then rejects the deletion in the primary region, and
            Terraform fails before it deletes anything. Protect the replica by hand, see "Protect the table" in
            docs/deploy.md. Default False.
        two_way_documents: Replicate documents from the secondary region to the primary one too. Default False. Set it
            to True with real documents.
        force_destroy: Delete the buckets with their contents. Default True. Set it to False with real documents.
        operations: DynamoDB calls whose SystemErrors are summed, at most ten. Default: those of a payments application.

    Attributes:
        table_name, table_arn, stream_arn: The table in the primary region.
        replica_arn: The table in the secondary region.
        primary_bucket_name, primary_bucket_arn, secondary_bucket_name, secondary_bucket_arn: The buckets.
        replication_role_arn: The role that S3 uses to replicate.
        replication_back_role_arn: The role that S3 uses to replicate to the primary region. None without
            `two_way_documents`.
        alarm_names: Names of the alarms in both regions.

    Raises:
        ConfigurationError: A prop is outside its limit, a name becomes too long, the regions cannot hold copies of each
            other, or a topic is in another region than its alarms. The error lists all mistakes.

    Example:
        >>> GlobalData(self, "data", primary=east, secondary=west, environment="dev")
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        primary: Region,
        secondary: Region,
        environment: str,
        table_name: str = "transactions",
        bucket_purpose: str = "payment-docs",
        primary_alarms: AlarmTarget | None = None,
        secondary_alarms: AlarmTarget | None = None,
        replication_lag_alarm_ms: int = REPLICATION_LAG_ALARM_MS,
        deletion_protection: bool = False,
        two_way_documents: bool = False,
        force_destroy: bool = True,
        operations: Sequence[str] = OPERATIONS,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(GlobalData, locals())
        mistakes += mistakes_in_pair(self, primary, secondary)
        mistakes += mistakes_in_home(primary, primary_alarms=topic_of(primary_alarms))
        mistakes += mistakes_in_home(secondary, secondary_alarms=topic_of(secondary_alarms))
        labels = [primary, secondary]
        mistakes += mistakes_in_names("table_name", table_name, labels, environment, "alarm-{}-replication-latency")
        mistakes += mistakes_in_names(
            "bucket_purpose",
            bucket_purpose,
            labels,
            environment,
            *("s3-{}", "iam-role-{}-replication", "iam-policy-{}-replication"),
        )
        reject("GlobalData", mistakes)

        table = DynamodbTable(
            self,
            "table",
            name=table_name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="transaction_id",
            range_key="timestamp",
            attribute=[
                DynamodbTableAttribute(name="transaction_id", type="S"),
                DynamodbTableAttribute(name="timestamp", type="N"),
            ],
            stream_enabled=True,
            stream_view_type="NEW_AND_OLD_IMAGES",
            point_in_time_recovery=DynamodbTablePointInTimeRecovery(enabled=True),
            replica=[
                DynamodbTableReplica(
                    region_name=region_name(self, secondary),
                    # Neither is inherited from the table.
                    point_in_time_recovery=True,
                    propagate_tags=True,
                )
            ],
            deletion_protection_enabled=deletion_protection,
            # AWS protects each region's table by itself. The provider's replica block has no such argument, and a
            # destroy deletes the replica before AWS refuses to delete the table.
            # https://github.com/hashicorp/terraform-provider-aws/issues/42846
            lifecycle=TerraformResourceLifecycle(prevent_destroy=True) if deletion_protection else None,
            tags={"Name": name("dynamodb", table_name, primary, environment)},
            provider=primary.provider,
        )
        suppress(
            table,
            CKV_AWS_119="encrypted with the key that DynamoDB owns; a disabled customer key takes a replica down",
        )
        self.table_name: Final = table.name
        self.table_arn: Final = table.arn
        self.stream_arn: Final = table.stream_arn
        self.replica_arn: Final = (
            f"arn:{PARTITION}:dynamodb:{region_name(self, secondary)}:{account_id(self)}:table/{table_name}"
        )

        source, source_versioning = self._bucket("source", primary, environment, bucket_purpose, force_destroy)
        destination, destination_versioning = self._bucket(
            "destination", secondary, environment, bucket_purpose, force_destroy
        )
        buckets = {primary: source, secondary: destination}
        directions: list[tuple[str, Side, Region, Region]] = [("replication", "secondary", primary, secondary)]
        if two_way_documents:
            directions.append(("replication_back", "primary", secondary, primary))
        roles = []
        for replication, receiver, home, receiving in directions:
            role = self._replication_role(
                f"s3_{replication}", receiver, home, environment, bucket_purpose, buckets[home], buckets[receiving]
            )
            versioning = [source_versioning, destination_versioning]
            self._replicate(replication, home, receiving, buckets, role, versioning, two_way=two_way_documents)
            roles.append(role)
        self.primary_bucket_name: Final = source.bucket
        self.primary_bucket_arn: Final = source.arn
        self.secondary_bucket_name: Final = destination.bucket
        self.secondary_bucket_arn: Final = destination.arn
        self.replication_role_arn: Final = roles[0].arn
        self.replication_back_role_arn: Final = roles[1].arn if two_way_documents else None

        self.alarm_names: Final[list[str]] = []
        for region, receiving, target in (
            (primary, secondary, primary_alarms),
            (secondary, primary, secondary_alarms),
        ):
            if target:
                self._alarms(region, receiving, target, environment, table_name, operations, replication_lag_alarm_ms)
        targets = {primary: primary_alarms, secondary: secondary_alarms}
        for _, _, home, receiving in directions:
            copies = {
                "SourceBucket": buckets[home].bucket,
                "DestinationBucket": buckets[receiving].bucket,
                "RuleId": RULE_ID,
            }
            self._document_alarms(home, receiving, targets, environment, bucket_purpose, copies)

    def _bucket(
        self, side: str, region: Region, environment: str, purpose: str, force_destroy: bool
    ) -> tuple[S3Bucket, S3BucketVersioningA]:
        bucket = S3Bucket(
            self,
            f"{side}_bucket",
            bucket=bucket_name(self, purpose, region, environment),
            force_destroy=force_destroy,
            tags={"Name": name("s3", purpose, region, environment)},
            provider=region.provider,
        )
        suppress(
            bucket,
            CKV_AWS_18="data events are the account's CloudTrail's; a log bucket here would need a log bucket too",
            CKV_AWS_145="keys that S3 manages replicate without a further grant",
            CKV2_AWS_61="documents are records: nothing may expire by itself",
            CKV2_AWS_62="nothing consumes events of this bucket",
        )
        versioning = S3BucketVersioningA(
            self,
            f"{side}_versioning",
            bucket=bucket.id,
            versioning_configuration=S3BucketVersioningVersioningConfiguration(status="Enabled"),
            provider=region.provider,
        )
        S3BucketServerSideEncryptionConfigurationA(
            self,
            f"{side}_encryption",
            bucket=bucket.id,
            rule=[
                S3BucketServerSideEncryptionConfigurationRuleA(
                    apply_server_side_encryption_by_default=(
                        S3BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultA(
                            sse_algorithm="AES256"
                        )
                    )
                )
            ],
            provider=region.provider,
        )
        public_access_block = S3BucketPublicAccessBlock(
            self,
            f"{side}_public_access_block",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            provider=region.provider,
        )
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html#transit
        tls_only = Statement(
            sid="TlsOnly",
            effect="Deny",
            actions=["s3:*"],
            resources=[bucket.arn, f"{bucket.arn}/*"],
            principals={"*": ["*"]},
            conditions=[Condition("Bool", "aws:SecureTransport", ["false"])],
        )
        S3BucketPolicy(
            self,
            f"{side}_policy",
            bucket=bucket.id,
            policy=policy_document(self, f"{side}_policy_document", [tls_only]),
            # S3 refuses two changes of a bucket's access at once (OperationAborted).
            # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
            depends_on=[public_access_block],
            provider=region.provider,
        )
        return bucket, versioning

    def _replicate(
        self,
        id_: str,
        home: Region,
        receiving: Region,
        buckets: Mapping[Region, S3Bucket],
        role: Role,
        versioning: Sequence[S3BucketVersioningA],
        *,
        two_way: bool,
    ) -> None:
        # Tags and access control lists that are changed on a replica go back to its source. Both rules need it.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-for-metadata-changes.html
        modifications = S3BucketReplicationConfigurationRuleSourceSelectionCriteria(
            replica_modifications=S3BucketReplicationConfigurationRuleSourceSelectionCriteriaReplicaModifications(
                status="Enabled"
            )
        )
        S3BucketReplicationConfigurationA(
            self,
            id_,
            bucket=buckets[home].id,
            role=role.arn,
            rule=[
                S3BucketReplicationConfigurationRule(
                    id=RULE_ID,
                    status="Enabled",
                    priority=1,
                    filter=S3BucketReplicationConfigurationRuleFilter(prefix=""),
                    # A deletion, by mistake or malice, stays in the region where it was made.
                    delete_marker_replication=S3BucketReplicationConfigurationRuleDeleteMarkerReplication(
                        status="Disabled"
                    ),
                    destination=S3BucketReplicationConfigurationRuleDestination(
                        bucket=buckets[receiving].arn,
                        storage_class="STANDARD",
                        # No event threshold: S3 refuses one without Replication Time Control.
                        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html
                        metrics=S3BucketReplicationConfigurationRuleDestinationMetrics(status="Enabled"),
                    ),
                    source_selection_criteria=modifications if two_way else None,
                )
            ],
            depends_on=[*versioning, *role.ready],
            provider=home.provider,
        )

    def _replication_role(
        self,
        id_: str,
        receiver: Side,
        home: Region,
        environment: str,
        purpose: str,
        source: S3Bucket,
        destination: S3Bucket,
    ) -> Role:
        # S3's trust carries no condition: no AWS page says that S3 sends aws:SourceArn when it assumes this role, and
        # with a condition that is never met replication fails without a sound.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
        return Role(
            self,
            id_,
            name=name("iam-role", f"{purpose}-replication", home, environment),
            policy_name=name("iam-policy", f"{purpose}-replication", home, environment),
            description=f"S3 replicates {purpose} to the {receiver} region with it",
            trust=[
                Statement(sid="AssumedByS3", actions=["sts:AssumeRole"], principals={"Service": ["s3.amazonaws.com"]})
            ],
            permissions=[
                Statement(
                    sid="ReadReplicationSettings",
                    actions=["s3:GetReplicationConfiguration", "s3:ListBucket"],
                    resources=[source.arn],
                ),
                Statement(
                    sid="ReadSourceVersions",
                    actions=[
                        "s3:GetObjectVersionAcl",
                        "s3:GetObjectVersionForReplication",
                        "s3:GetObjectVersionTagging",
                    ],
                    resources=[f"{source.arn}/*"],
                ),
                # Tags come with the object, without s3:ReplicateTags (see the page above). Deletions do not come along.
                Statement(sid="WriteReplicas", actions=["s3:ReplicateObject"], resources=[f"{destination.arn}/*"]),
            ],
        )

    def _alarms(
        self,
        region: Region,
        receiving: Region,
        target: AlarmTarget,
        environment: str,
        table_name: str,
        operations: Sequence[str],
        lag_ms: int,
    ) -> None:
        # Which dimensions a metric is published with:
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
        table = {"TableName": table_name}
        alarms: dict[str, tuple[list[Metric], str]] = {
            "user-errors": (
                [Metric(namespace="AWS/DynamoDB", name="UserErrors", dimensions={})],
                f"DynamoDB in {region.name} rejects requests, to any table of the account: look for DynamoDB errors in "
                "the logs of its callers.",
            ),
            "system-errors": (
                [
                    Metric(namespace="AWS/DynamoDB", name="SystemErrors", dimensions={**table, "Operation": operation})
                    for operation in operations
                ],
                f"DynamoDB fails calls on {table_name} in {region.name}: look at AWS Health, and be ready to fail "
                "over.",
            ),
            "read-throttles": (
                [Metric(namespace="AWS/DynamoDB", name="ReadThrottleEvents", dimensions=table)],
                f"Reads of {table_name} are throttled in {region.name}: look for a hot partition or a quota.",
            ),
            "write-throttles": (
                [Metric(namespace="AWS/DynamoDB", name="WriteThrottleEvents", dimensions=table)],
                f"Writes to {table_name} are throttled in {region.name}: look for a hot partition or a quota.",
            ),
        }
        for what, (metrics, what_to_do) in alarms.items():
            self.alarm_names.append(
                metric_alarm(
                    self,
                    f"{what.replace('-', '_')}_{region.label}_alarm",
                    purpose=f"{table_name}-{what}",
                    section=f"dynamodb-{what}",
                    region=region,
                    environment=environment,
                    target=target,
                    metrics=metrics,
                    what_to_do=what_to_do,
                )
            )
        self.alarm_names.append(
            metric_alarm(
                self,
                f"replication_latency_{region.label}_alarm",
                purpose=f"{table_name}-replication-latency",
                section="dynamodb-replication-latency",
                region=region,
                environment=environment,
                target=target,
                metrics=[
                    Metric(
                        namespace="AWS/DynamoDB",
                        name="ReplicationLatency",
                        dimensions={**table, "ReceivingRegion": receiving.name},
                        statistic="Average",
                        period_seconds=60,
                    )
                ],
                what_to_do=f"Writes in {region.name} take more than {lag_ms} ms to reach {receiving.name}. "
                "A failover now would leave the writes of that time behind.",
                threshold=lag_ms,
                periods=LAG_PERIODS,
            )
        )

    # Both metrics have these dimensions, and S3 publishes them in different regions:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html#s3-cloudwatch-replication-metrics
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html
    def _document_alarms(
        self,
        source: Region,
        receiving: Region,
        targets: Mapping[Region, AlarmTarget | None],
        environment: str,
        purpose: str,
        copies: Mapping[str, str],
    ) -> None:
        # Published in the source's region, and not while nothing is replicated.
        if target := targets[source]:
            self.alarm_names.append(
                metric_alarm(
                    self,
                    f"documents_failed_{source.label}_alarm",
                    purpose=f"{purpose}-replication-failed",
                    section="s3-replication-failed",
                    region=source,
                    environment=environment,
                    target=target,
                    metrics=[Metric(namespace="AWS/S3", name="OperationsFailedReplication", dimensions=copies)],
                    what_to_do=f"S3 failed to copy documents of {source.name} to {receiving.name}, and does not retry: "
                    "find the cause, then copy them yourself.",
                    threshold=0,
                )
            )
        # Published in the destination's region, also while nothing is replicated. It stops when the destination is
        # deleted, or the rule or its metrics are.
        if target := targets[receiving]:
            self.alarm_names.append(
                metric_alarm(
                    self,
                    f"documents_pending_{receiving.label}_alarm",
                    purpose=f"{purpose}-replication-pending",
                    section="s3-replication-pending",
                    region=receiving,
                    environment=environment,
                    target=target,
                    metrics=[
                        Metric(
                            namespace="AWS/S3",
                            name="OperationsPendingReplication",
                            dimensions=copies,
                            statistic="Maximum",
                        )
                    ],
                    what_to_do=f"More than {PENDING_DOCUMENTS} documents of {source.name} have waited 15 minutes for "
                    f"their copy to {receiving.name}, or S3 no longer reports how many wait. A failover now would "
                    "leave them behind.",
                    threshold=PENDING_DOCUMENTS,
                    periods=PENDING_PERIODS,
                    treat_missing_data="breaching",
                )
            )
