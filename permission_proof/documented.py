"""What AWS documents about rights that a service uses without being called, and what it does not."""

from dataclasses import dataclass

_AWS = "https://docs.aws.amazon.com"


@dataclass(frozen=True)
class Basis:
    """Why a service needs a right, or meets a condition, where nothing here calls the service.

    Attributes:
        page: The page.
        section: The section of the page.
        says: Its statement, in our words.
        documented: Whether the page says it about exactly this service and call. If not, the line relies on experience.
    """

    page: str
    section: str
    says: str
    documented: bool = True


_CONDITION_KEYS = f"{_AWS}/IAM/latest/UserGuide/reference_policies_condition-keys.html"
_S3 = f"{_AWS}/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html"
_SNS = f"{_AWS}/sns/latest/dg/sns-key-management.html"

LAMBDA_LOGS = Basis(
    f"{_AWS}/lambda/latest/dg/monitoring-cloudwatchlogs.html",
    "Required IAM permissions",
    "Lambda writes logs with the execution role, which needs `logs:CreateLogStream` and `logs:PutLogEvents` (and "
    "`logs:CreateLogGroup`, if no log group exists).",
)
LAMBDA_ASSUMES = Basis(
    f"{_AWS}/lambda/latest/dg/lambda-intro-execution-role.html",
    "introduction",
    "Lambda assumes the execution role to run the function. The role's trust policy must name `lambda.amazonaws.com`.",
)
LAMBDA_NAMES_FUNCTION = Basis(
    "https://github.com/aws/aws-parallelcluster/pull/6926",
    "description",
    "No page of AWS says that Lambda sends `aws:SourceArn` and `aws:SourceAccount` when it assumes an execution role. "
    "A change of AWS ParallelCluster relies on it, and reports that creating a function outside of a VPC works.",
    documented=False,
)
RULE_INVOKES = Basis(
    f"{_AWS}/eventbridge/latest/userguide/eb-use-resource-based.html",
    "AWS Lambda permissions",
    "A rule invokes a function if the function's policy lets `events.amazonaws.com` do so, with the rule's ARN as "
    "source.",
)
API_INVOKES = Basis(
    f"{_AWS}/lambda/latest/dg/services-apigateway.html",
    "Permissions",
    "The function's policy lets API Gateway invoke the function. The source's ARN can limit that to one API, stage, "
    "method and path.",
)
S3_ASSUMES = Basis(_S3, "Creating an IAM role", "S3 assumes the role. Its trust policy names `s3.amazonaws.com`.")
S3_SETTINGS = Basis(
    _S3,
    "Creating an IAM role",
    "`s3:GetReplicationConfiguration` and `s3:ListBucket` on the source bucket let S3 read the settings and list it.",
)
S3_VERSIONS = Basis(
    _S3,
    "Creating an IAM role",
    "`s3:GetObjectVersionForReplication` and `s3:GetObjectVersionAcl` on the objects of the source let S3 read a "
    "version and its access control list.",
)
S3_TAGS = Basis(
    _S3,
    "Creating an IAM role",
    "`s3:GetObjectVersionTagging` lets S3 read the tags of an object. Without it S3 replicates the object "
    "without them.",
)
S3_WRITES = Basis(
    _S3,
    "Creating an IAM role",
    "`s3:ReplicateObject` on the objects of the destination lets S3 write replicas, with their tags and metadata.",
)
ALARM_PUBLISHES = Basis(
    f"{_AWS}/sns/latest/dg/sns-access-policy-use-cases.html",
    "Allow CloudWatch alarms to publish to a topic",
    "An alarm publishes if the topic's policy lets `cloudwatch.amazonaws.com` do so, which can be limited to the "
    "alarms of an account and region by `aws:SourceArn`. The page says that CloudWatch sends `aws:SourceAccount`.",
)
ALARM_ENCRYPTS = Basis(
    _SNS,
    "Enable compatibility between event sources from AWS services and encrypted topics",
    "For an encrypted topic, the key's policy must let `cloudwatch.amazonaws.com` use `kms:GenerateDataKey*` and "
    "`kms:Decrypt`, which can be limited by `aws:SourceAccount` and `aws:SourceArn`.",
)
SNS_ENCRYPTS = Basis(
    f"{_AWS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html",
    "Configure KMS permissions for AWS services",
    "SNS delivers to an encrypted queue if the policy of the queue's key lets `sns.amazonaws.com` use "
    "`kms:GenerateDataKey*` and `kms:Decrypt`. The stack's own subscriber is an email address, which needs no key.",
)
SNS_NAMES_ACCOUNT = Basis(
    _CONDITION_KEYS,
    "aws:SourceAccount",
    "A service sends `aws:SourceAccount` when it acts for a resource of an account, if it supports that. No page says "
    "that SNS does so for KMS. If it did not, deliveries to an encrypted queue would fail; email would not.",
    documented=False,
)
