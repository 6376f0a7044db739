"""Fixtures that tests of every folder share."""

import os
import signal
from collections.abc import Iterator

import boto3
import pytest

from embedded_aws import EmbeddedAws

pytest_plugins = ["tests.handlers.config_sync_seed"]

# What a busy machine can fail: these run processes against the real clock. Everything else gets one chance.
RUN_AGAIN_ONCE = (
    "tests/deploy/",
    "tests/embedded_aws/",
    "tests/handlers/test_health_monitor_faults.py",
    "tests/operations/drill/",
    "tests/operations/terraform/",
)

MOST_WORKERS = 6  # each has an emulator and runs Terraform: 2 GB at its peak (measured)


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: each waits for sleeps of the AWS provider nearly a third of its time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, MOST_WORKERS)


def pytest_configure() -> None:
    """Let what tests start be interrupted: what a shell starts in the background ignores these signals."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: they come in groups, which one worker runs, and the quick ones then fill the rest.

    A test of RUN_AGAIN_ONCE that fails runs again. The summary lists it as RERUN, which is a fault of the test to fix.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.nodeid.startswith(RUN_AGAIN_ONCE):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """One embedded AWS for all tests: use names of your own, or a 12-digit access key (an account) of your own."""
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(autouse=True)
def no_session_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3.client() keeps the first credentials of its process, and another test's may belong to an AWS that ended."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
