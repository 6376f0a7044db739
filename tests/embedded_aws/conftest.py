"""Accounts to test with, in the embedded AWS and in a ministack without the patches."""

import sys
from collections.abc import Iterator

import pytest

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Tenant


class UnpatchedAws(EmbeddedAws):
    """ministack as it comes, to see which gaps it still has."""

    _command = (
        sys.executable,
        "-c",
        "from embedded_aws import emulator; emulator.end_with_parent(); from ministack import app; app.main()",
    )


@pytest.fixture(scope="session")
def unpatched_aws() -> Iterator[EmbeddedAws]:
    with UnpatchedAws() as running:
        yield running


@pytest.fixture
def account(aws: EmbeddedAws) -> Tenant:
    """An account of the test's own in the embedded AWS."""
    return Tenant(aws)


@pytest.fixture
def unpatched_account(unpatched_aws: EmbeddedAws) -> Tenant:
    """An account in a ministack without the patches. Once it behaves as AWS does, the patch can go."""
    return Tenant(unpatched_aws)
