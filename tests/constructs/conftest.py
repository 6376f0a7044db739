"""One synthesis of the default stack for all tests: loading the provider's classes is the slow part."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from payment_dr import App, DisasterRecoveryStack, Region, TerraformStack
from payment_dr.bindings import AwsProvider, Testing

Json = dict[str, Any]


@pytest.fixture(scope="session")
def new_app(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], App]:
    """An app that writes where pytest cleans up; `Testing.app` would leave a folder behind for each."""
    return lambda: App(outdir=str(tmp_path_factory.mktemp("cdktf.out")))


@pytest.fixture(scope="session")
def stack_text(new_app: Callable[[], App]) -> str:
    """The default stack as cdktf writes it."""
    return Testing.synth(DisasterRecoveryStack(new_app(), "payment-dr"))


@pytest.fixture(scope="session")
def stack_json(stack_text: str) -> Json:
    """The default stack, parsed."""
    parsed: Json = json.loads(stack_text)
    return parsed


@pytest.fixture
def their_stack(new_app: Callable[[], App]) -> TerraformStack:
    """An empty stack of another team."""
    return TerraformStack(new_app(), "theirs")


@pytest.fixture
def pair(their_stack: TerraformStack) -> tuple[Region, Region]:
    """Two regions of the other team's stack, each with its provider."""
    AwsProvider(their_stack, "aws", region="eu-west-1")
    second = AwsProvider(their_stack, "second", alias="second", region="eu-central-1")
    return Region(name="eu-west-1"), Region(name="eu-central-1", provider=second)


@pytest.fixture
def synthesize(their_stack: TerraformStack) -> Callable[[Callable[[TerraformStack], object]], Json]:
    """Synthesize another team's stack, which a function fills with one construct."""

    def run(fill: Callable[[TerraformStack], object]) -> Json:
        fill(their_stack)
        parsed: Json = json.loads(Testing.synth(their_stack))
        return parsed

    return run
