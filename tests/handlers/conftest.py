"""The health monitor as Lambda would start it."""

from collections.abc import Iterator

import pytest

from handlers import lambda_health_monitor as monitor
from tests.handlers.health_faults import TOPIC_ARN


@pytest.fixture
def new_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A function's environment variables, and an execution environment that has just started."""
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DYNAMODB_TABLE_NAME": "transactions",
        "SNS_TOPIC_ARN": TOPIC_ARN,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(monitor, "_announcer", monitor.Announcer())
    factories = (monitor._dynamodb, monitor._sns)  # a test may replace them
    yield
    for factory in factories:
        if factory.cache_info().currsize:
            factory().close()
            factory.cache_clear()
