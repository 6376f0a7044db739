"""The versions of Terraform and its providers that this library was tested with."""

from collections.abc import Mapping
from typing import Final

from .bindings import TerraformStack
from .errors import reject

TERRAFORM: Final = ">= 1.5"
PROVIDERS: Final[Mapping[str, str]] = {"aws": "~> 5.0", "archive": "~> 2.0", "random": "~> 3.0"}


def require_versions(stack: TerraformStack, *providers: str) -> None:
    """Allow a stack to use Terraform 1.5 or newer, and all versions of the same line of each of these providers.

    The prebuilt classes of cdktf pin one exact version of a provider, but work with all versions of that line.

    Args:
        stack: The stack, which has these providers.
        providers: Some of "aws", "archive" and "random".

    Raises:
        ConfigurationError: This library does not use such a provider.

    Example:
        >>> require_versions(stack, "aws", "archive")
    """
    reject(
        "require_versions",
        [
            f"{name!r} is not a provider of this library; use {', '.join(PROVIDERS)}"
            for name in providers
            if name not in PROVIDERS
        ],
    )
    stack.add_override("terraform.required_version", TERRAFORM)
    for name in providers:
        stack.add_override(
            f"terraform.required_providers.{name}", {"source": f"hashicorp/{name}", "version": PROVIDERS[name]}
        )
