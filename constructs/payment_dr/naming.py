"""Deterministic names: {resource-type}-{purpose}-{region}-{environment}."""

from .bindings import Construct
from .region import Region, account_id

# Terraform checks `environment` against this pattern. Twelve characters keep every role name below IAM's 64 and
# every bucket name below S3's 63 characters, with the longest region label that AWS has.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
ENVIRONMENT_PATTERN = "^[a-z][a-z0-9-]{1,11}$"


def name(resource_type: str, purpose: str, region: Region, environment: str) -> str:
    """A resource's name.

    Example:
        >>> name("lambda", "health-monitor", Region(name="us-east-1"), "dev")
        'lambda-health-monitor-east-dev'
    """
    return f"{resource_type}-{purpose}-{region.label}-{environment}"


def bucket_name(scope: Construct, purpose: str, region: Region, environment: str) -> str:
    """A bucket's name: bucket names are shared by all AWS accounts, so the account id is appended."""
    return f"{name('s3', purpose, region, environment)}-{account_id(scope)}"


def parameter_name(application: str, environment: str, config_key: str) -> str:
    """The hierarchical name of a parameter: /{application}/{environment}/{config-key}."""
    return f"/{application}/{environment}/{config_key}"


def logical(text: str) -> str:
    """`text` as part of a construct id, which becomes part of a Terraform address."""
    return text.replace("-", "_").replace("/", "_").replace(".", "_")
