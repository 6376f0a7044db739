"""A stack of another team gets the versions that this library was tested with."""

from collections.abc import Callable

import pytest

from payment_dr import ConfigurationError, TerraformStack, require_versions
from tests.constructs.documents import Json

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]


def test_the_whole_line_of_each_provider_is_allowed(synthesize: Synthesize) -> None:
    terraform = synthesize(lambda stack: require_versions(stack, "aws", "archive"))["terraform"]
    assert terraform["required_version"] == ">= 1.5"
    assert terraform["required_providers"] == {
        "aws": {"source": "hashicorp/aws", "version": "~> 5.0"},
        "archive": {"source": "hashicorp/archive", "version": "~> 2.0"},
    }


def test_a_provider_of_another_library_fails_at_synth(their_stack: TerraformStack) -> None:
    with pytest.raises(
        ConfigurationError, match="'azurerm' is not a provider of this library; use aws, archive, random"
    ):
        require_versions(their_stack, "aws", "azurerm")
