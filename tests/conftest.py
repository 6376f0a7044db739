"""Fixtures that tests of every folder share."""

import signal
from collections.abc import Iterator

import boto3
import pytest

from embedded_aws import EmbeddedAws

pytest_plugins = ["tests.handlers.config_sync_seed"]


def pytest_configure() -> None:
    """Let what tests start be interrupted: what a shell starts in the background ignores these signals."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: they come in groups, which one worker runs, and the quick ones then fill the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """One embedded AWS for all tests: use names of your own, or a 12-digit access key (an account) of your own."""
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(autouse=True)
def no_session_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3.client() keeps the first credentials of its process, and another test's may belong to an AWS that ended."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
