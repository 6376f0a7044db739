"""An AWS region: its name, the label that resource names carry, and the provider that deploys to it."""

from dataclasses import dataclass, field
from functools import cache

from botocore.session import Session

from .bindings import (
    Construct,
    DataAwsAvailabilityZones,
    DataAwsCallerIdentity,
    DataAwsRegion,
    TerraformProvider,
    TerraformStack,
)
from .errors import refuse

# ARNs in this library are written for the commercial partition; China and GovCloud have their own Route 53.
PARTITION = "aws"


@cache
def known_regions() -> frozenset[str]:
    """Names of all regions of the commercial partition, as botocore knows them."""
    return frozenset(Session().get_available_regions("dynamodb", partition_name=PARTITION))


def mistakes_in_region_name(prop: str, name: str) -> list[str]:
    """Say why `name` cannot be deployed to, or nothing."""
    if name in known_regions():
        return []
    return [f"{prop}={name!r} is not a commercial AWS region; use a name such as 'us-east-1'"]


@dataclass(frozen=True, kw_only=True)
class Region:
    """One AWS region to deploy to.

    Args:
        name: Region name, for example "us-east-1".
        label: What stands for the region in resource names. Default: the middle of the name ("east").
        provider: The AWS provider of this region. Default: the stack's default provider.

    Raises:
        ConfigurationError: The name is not a region of the commercial partition.

    Example:
        >>> Region(name="us-west-2").label
        'west'
    """

    name: str
    label: str = ""
    provider: TerraformProvider | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        refuse("Region", mistakes_in_region_name("name", self.name))
        if not self.label:
            object.__setattr__(self, "label", self.name.split("-")[1])


def labels_of(first: str, second: str) -> tuple[str, str]:
    """Two labels that tell the regions apart: the middle of the name, with the number where the middles are equal.

    Example:
        >>> labels_of("us-east-1", "us-west-2"), labels_of("us-west-1", "eu-west-1")
        (('east', 'west'), ('uswest1', 'euwest1'))
    """
    middles = first.split("-")[1], second.split("-")[1]
    return middles if middles[0] != middles[1] else (first.replace("-", ""), second.replace("-", ""))


def _suffix(region: Region) -> str:
    alias = region.provider.alias if region.provider else None
    return f"_{alias}" if alias else ""


def account_id(scope: Construct) -> str:
    """The account that is deployed to: `data.aws_caller_identity.current`, one for the stack."""
    stack = TerraformStack.of(scope)
    found = stack.node.try_find_child("caller_identity")
    if not isinstance(found, DataAwsCallerIdentity):
        found = DataAwsCallerIdentity(stack, "caller_identity")
        found.override_logical_id("current")
    return found.account_id


def region_name(scope: Construct, region: Region) -> str:
    """The region's name as its provider reports it: `data.aws_region.current` (or `current_<alias>`)."""
    stack, suffix = TerraformStack.of(scope), _suffix(region)
    found = stack.node.try_find_child(f"region{suffix}")
    if not isinstance(found, DataAwsRegion):
        found = DataAwsRegion(stack, f"region{suffix}", provider=region.provider)
        found.override_logical_id(f"current{suffix}")
    return found.name


def availability_zones(scope: Construct, region: Region) -> DataAwsAvailabilityZones:
    """The zones of a region that can be used: `data.aws_availability_zones.available` (or `available_<alias>`)."""
    stack, suffix = TerraformStack.of(scope), _suffix(region)
    found = stack.node.try_find_child(f"availability_zones{suffix}")
    if not isinstance(found, DataAwsAvailabilityZones):
        found = DataAwsAvailabilityZones(
            stack, f"availability_zones{suffix}", state="available", provider=region.provider
        )
        found.override_logical_id(f"available{suffix}")
    return found


def arn(scope: Construct, service: str, region: Region, resource: str) -> str:
    """An ARN in this account and region, written before the resource exists (policies need it first)."""
    return f"arn:{PARTITION}:{service}:{region_name(scope, region)}:{account_id(scope)}:{resource}"


def role_arn(scope: Construct, role_name: str) -> str:
    """The ARN of a role of this account, by name."""
    return f"arn:{PARTITION}:iam::{account_id(scope)}:role/{role_name}"


def account_root(scope: Construct) -> str:
    """The account itself as a principal: whoever its IAM policies allow."""
    return f"arn:{PARTITION}:iam::{account_id(scope)}:root"
