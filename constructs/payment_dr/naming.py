"""Deterministic names: {resource-type}-{purpose}-{region}-{environment}."""

from collections.abc import Sequence

from .bindings import Construct
from .checks import LONGEST_TOKEN, NAMES, length_of
from .region import Region, account_id


def name(resource_type: str, purpose: str, region: Region, environment: str) -> str:
    """A resource's name.

    Example:
        >>> name("lambda", "health-monitor", Region(name="us-east-1"), "dev")
        'lambda-health-monitor-east-dev'
    """
    return f"{resource_type}-{purpose}-{region.label}-{environment}"


def mistakes_in_names(
    prop: str, purpose: str, regions: Sequence[Region], environment: str, *templates: str
) -> list[str]:
    """Report the prop that makes a name longer than AWS allows. Of several such names, only the longest.

    Args:
        prop: The prop whose value the names carry.
        purpose: Its value.
        regions: The regions whose labels they carry.
        environment: The environment that they carry.
        templates: The names up to the region's label, with {} for the purpose: "lambda-{}".

    Example:
        >>> mistakes_in_names("purpose", "sweep", [Region(name="us-east-1")], "dev", "lambda-{}")
        []
    """
    worst = ("", 0, "", 0)
    for template in templates:
        kind = template.partition("{")[0]
        for region in regions:
            made = f"{template.format(purpose)}-{region.label}-{environment}"
            length = length_of(made) + (1 + LONGEST_TOKEN if kind == "s3-" else 0)
            limit = NAMES[kind]
            excess = length - limit.longest
            if excess > worst[1]:
                worst = (made, excess, limit.takes, length)
    made, excess, takes, length = worst
    if not excess:
        return []
    return [
        f"{prop}={purpose!r} makes the name {made!r}, {length} characters, but AWS allows {takes}; "
        f"shorten {prop} by {excess}"
    ]


def bucket_name(scope: Construct, purpose: str, region: Region, environment: str) -> str:
    """A bucket's name. It ends with the account id, because all AWS accounts share the names of buckets."""
    return f"{name('s3', purpose, region, environment)}-{account_id(scope)}"


def parameter_name(application: str, environment: str, config_key: str) -> str:
    """The hierarchical name of a parameter: /{application}/{environment}/{config-key}."""
    return f"/{application}/{environment}/{config_key}"


def logical(text: str) -> str:
    """`text` as part of a construct id, which becomes part of a Terraform address."""
    return text.replace("-", "_").replace("/", "_").replace(".", "_")
