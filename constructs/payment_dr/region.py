"""An AWS region: its name, its label in resource names, and the provider that deploys to it."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from botocore.session import Session

from .bindings import (
    Annotations,
    AwsProvider,
    Construct,
    DataAwsAvailabilityZones,
    DataAwsAvailabilityZonesFilter,
    DataAwsCallerIdentity,
    DataAwsRegion,
    TerraformStack,
    Token,
)
from .checks import is_token, mistakes_in_props
from .errors import reject

T = TypeVar("T", DataAwsCallerIdentity, DataAwsRegion, DataAwsAvailabilityZones)

# ARNs in this library are written for the commercial partition; China and GovCloud have their own Route 53.
PARTITION = "aws"

# Each account must enable every region launched after 20 March 2019, so no name will be added here.
# https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
ENABLED_BY_DEFAULT = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    }
)


@cache
def known_regions() -> frozenset[str]:
    """Names of all regions of the commercial partition, from botocore."""
    return frozenset(Session().get_available_regions("dynamodb", partition_name=PARTITION))


@cache
def _partition_of(name: str) -> str | None:
    session = Session()
    partitions = session.get_available_partitions()
    return next((p for p in partitions if name in session.get_available_regions("dynamodb", partition_name=p)), None)


def mistakes_in_region_name(prop: str, name: str) -> list[str]:
    """Report why the stack cannot deploy to the region `name`."""
    if name in known_regions():
        return []
    elsewhere = _partition_of(name)
    if elsewhere:
        return [
            f"{prop}={name!r} is in the partition {elsewhere}, but ARNs and Route 53 are those of the partition "
            f"{PARTITION} here; use a commercial AWS region such as 'us-east-1'"
        ]
    alike = get_close_matches(name.lower().replace("_", "-"), sorted(known_regions()), n=1)
    instead = f"did you mean {alike[0]!r}?" if alike else "use a name such as 'us-east-1'"
    return [f"{prop}={name!r} is not a commercial AWS region; {instead}"]


@dataclass(frozen=True, kw_only=True)
class Region:
    """One AWS region to deploy to.

    Args:
        name: Region name, for example "us-east-1".
        label: The region's part of resource names. Default: the middle of the name ("east").
        provider: The AWS provider of this region. Default: the stack's default provider.

    Raises:
        ConfigurationError: A prop is outside its limit, or the name is not a region of the commercial partition.

    Example:
        >>> east = Region(name="us-east-1")
        >>> west = Region(name="us-west-2", provider=AwsProvider(stack, "west", alias="west", region="us-west-2"))
        >>> west.label
        'west'
    """

    name: str
    label: str = ""
    provider: AwsProvider | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        reject("Region", mistakes_in_props(Region, vars(self)) + mistakes_in_region_name("name", self.name))
        if not self.label:
            object.__setattr__(self, "label", self.name.split("-")[1])


def labels_of(first: str, second: str) -> tuple[str, str]:
    """Two different labels: the middle of each name, or the whole name where the middles are equal.

    Example:
        >>> labels_of("us-east-1", "us-west-2"), labels_of("us-west-1", "eu-west-1")
        (('east', 'west'), ('uswest1', 'euwest1'))
    """
    middles = first.split("-")[1], second.split("-")[1]
    return middles if middles[0] != middles[1] else (first.replace("-", ""), second.replace("-", ""))


def warn_of_opt_in(scope: Construct, *regions: Region) -> None:
    """Warn at synth about regions that the account must enable before the first deployment."""
    for region in regions:
        if region.name not in ENABLED_BY_DEFAULT:
            Annotations.of(scope).add_warning(
                f"{region.name} is an opt-in region; before the first deployment enable it in the account: "
                f"aws account enable-region --region-name {region.name}"
            )


def mistakes_in_providers(scope: Construct, *regions: Region) -> list[str]:
    """Report regions whose provider deploys to another region.

    A stack without a default provider, and a provider whose region is a Terraform value, cannot be checked.
    """
    default = _default_provider(scope)
    mistakes = []
    for region in regions:
        provider = region.provider or default
        deploys_to = provider.region if provider else None
        if deploys_to and not Token.is_unresolved(deploys_to) and deploys_to != region.name:
            which = f"provider {provider.alias!r}" if region.provider and provider else "the default provider"
            mistakes.append(
                f"region {region.name!r} would be deployed by {which} to {deploys_to!r}; "
                f"give Region a provider=AwsProvider(..., region={region.name!r})"
            )
    return mistakes


def _default_provider(scope: Construct) -> AwsProvider | None:
    return next((p for p in TerraformStack.of(scope).node.children if isinstance(p, AwsProvider) and not p.alias), None)


def mistakes_in_global_provider(scope: Construct, *regions: Region) -> list[str]:
    """Report a stack without a default provider, which roles and DNS need because they belong to no region.

    Without one, Terraform makes a provider from any credentials that it finds.
    https://developer.hashicorp.com/terraform/language/providers/configuration#default-provider-configurations
    """
    aliases = [region.provider.alias for region in regions if region.provider]
    if len(aliases) < len(regions) or not all(aliases) or _default_provider(scope):
        return []
    return [
        f"regions {' and '.join(repr(region.name) for region in regions)} have providers with an alias, and the stack "
        "has no default provider for roles and DNS; add an AwsProvider without an alias before this construct"
    ]


def mistakes_in_home(region: Region, **arns: str | None) -> list[str]:
    """Report ARNs of another region than the one that uses them."""
    return [
        f"{prop}={arn_!r} is in {arn_.split(':')[3]}; use one in {region.name}"
        for prop, arn_ in arns.items()
        if arn_ and not is_token(arn_) and arn_.count(":") > 3 and arn_.split(":")[3] != region.name
    ]


def mistakes_in_same_region(primary: str, secondary: str) -> list[str]:
    """Report two names that are the same region."""
    if primary != secondary:
        return []
    return [f"secondary region {secondary!r} is the primary region too, so one outage affects both; choose another"]


def mistakes_in_pair(scope: Construct, primary: Region, secondary: Region) -> list[str]:
    """Report why two regions cannot hold copies of each other's resources."""
    mistakes = mistakes_in_same_region(primary.name, secondary.name)
    if mistakes:
        return mistakes
    mistakes = mistakes_in_providers(scope, primary, secondary)
    mistakes += mistakes_in_global_provider(scope, primary, secondary)
    if primary.label == secondary.label:
        mistakes.append(
            f"regions {primary.name!r} and {secondary.name!r} have the same label {primary.label!r}, so their "
            "resources would have the same names; give one of them a label"
        )
    if not mistakes and _suffix(primary) == _suffix(secondary):
        mistakes.append(
            f"regions {primary.name!r} and {secondary.name!r} use the same provider; "
            "give one of them a provider with an alias"
        )
    return mistakes


def _suffix(region: Region) -> str:
    alias = region.provider.alias if region.provider else None
    return f"_{alias}" if alias else ""


_found: WeakKeyDictionary[Construct, dict[str, Any]] = WeakKeyDictionary()  # each look into the stack asks Node


def _of_stack(scope: Construct, kind: type[T], id_: str, logical_id: str, **config: Any) -> T:
    """The one element of this id in a scope's stack. The first call creates it."""
    known = _found.setdefault(scope, {})
    element = known.get(id_)
    if not isinstance(element, kind):
        stack = TerraformStack.of(scope)
        element = stack.node.try_find_child(id_)
        if not isinstance(element, kind):
            element = kind(stack, id_, **config)
            element.override_logical_id(logical_id)
        known[id_] = element
    return element


def account_id(scope: Construct) -> str:
    """The account of the deployment: `data.aws_caller_identity.current`, one for the stack."""
    return _of_stack(scope, DataAwsCallerIdentity, "caller_identity", "current").account_id


def region_name(scope: Construct, region: Region) -> str:
    """The region's name as its provider reports it: `data.aws_region.current` (or `current_<alias>`)."""
    suffix = _suffix(region)
    return _of_stack(scope, DataAwsRegion, f"region{suffix}", f"current{suffix}", provider=region.provider).name


def availability_zones(scope: Construct, region: Region) -> DataAwsAvailabilityZones:
    """The usable zones of a region: `data.aws_availability_zones.available` (or `available_<alias>`)."""
    suffix = _suffix(region)
    return _of_stack(
        scope,
        DataAwsAvailabilityZones,
        f"availability_zones{suffix}",
        f"available{suffix}",
        state="available",
        # Without it the list also has the Local Zones that the account has opted into.
        # https://docs.aws.amazon.com/local-zones/latest/ug/concepts-local-zones.html
        filter=[DataAwsAvailabilityZonesFilter(name="opt-in-status", values=["opt-in-not-required"])],
        provider=region.provider,
    )


def arn(scope: Construct, service: str, region: Region, resource: str) -> str:
    """An ARN in this account and region. Policies need it before the resource exists."""
    return f"arn:{PARTITION}:{service}:{region_name(scope, region)}:{account_id(scope)}:{resource}"


def role_arn(scope: Construct, role_name: str) -> str:
    """The ARN of a role of this account, by name."""
    return f"arn:{PARTITION}:iam::{account_id(scope)}:role/{role_name}"


def account_root(scope: Construct) -> str:
    """The account itself as a principal: everyone that its IAM policies allow."""
    return f"arn:{PARTITION}:iam::{account_id(scope)}:root"
