"""The data canary against a table that fails on demand, and against DynamoDB's own rules for requests."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from typing import Any

import boto3
import botocore.exceptions as aws
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from handlers import lambda_data_canary as canary
from handlers.lambda_data_canary import CanaryFault, Finding, handler, key_of, look

HOME, PEER = "us-east-1", "us-west-2"
NOW = 1_790_000_000_000
URL = "http://127.0.0.1"


def api_error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutItem")


class Table:
    """A table of one region, with what replication has brought.

    Attributes:
        fails: Raised by the call of this name.
        loses: Whether what is written is gone at once.
    """

    def __init__(self, peer_wrote_at: int | None = None) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.fails: dict[str, Exception] = {}
        self.loses = False
        self.closed = 0
        if peer_wrote_at is not None:
            self.items[f"dr-canary/{PEER}"] = {**key_of(PEER), "written_at": {"N": str(peer_wrote_at)}}

    def put_item(self, **request: Any) -> Any:
        self._fail("put_item")
        assert request["TableName"] == "transactions"
        if not self.loses:
            self.items[request["Item"]["transaction_id"]["S"]] = request["Item"]
        return {}

    def get_item(self, **request: Any) -> Any:
        region = request["Key"]["transaction_id"]["S"].removeprefix("dr-canary/")
        self._fail(f"get_item {region}")
        assert request["ConsistentRead"]
        item = self.items.get(request["Key"]["transaction_id"]["S"])
        return {"Item": item} if item else {}

    def close(self) -> None:
        self.closed += 1

    def _fail(self, call: str) -> None:
        if call in self.fails:
            raise self.fails[call]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause, which takes no time."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.fixture
def records(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], dict[str, Any]]:
    """Runs the handler on a table."""
    for name, value in {
        "AWS_REGION": HOME,
        "PEER_REGION": PEER,
        "DYNAMODB_TABLE_NAME": "transactions",
        "AWS_LAMBDA_FUNCTION_NAME": "lambda-data-canary-east-dev",
    }.items():
        monkeypatch.setenv(name, value)

    def invoke(table: Table) -> dict[str, Any]:
        monkeypatch.setattr(canary, "_dynamodb", lambda: table)
        monkeypatch.setattr(time, "time", lambda: NOW / 1000)
        return handler({}, None)

    return invoke


def test_a_table_that_takes_and_gives_back_is_well_and_the_age_of_the_peers_item_is_known() -> None:
    table = Table(peer_wrote_at=NOW - 42_000)
    assert look(table, "transactions", HOME, PEER, NOW) == Finding(None, 42.0)
    key = {"transaction_id": {"S": f"dr-canary/{HOME}"}, "timestamp": {"N": "0"}}
    assert table.items[f"dr-canary/{HOME}"] == {**key, "written_at": {"N": str(NOW)}}
    assert table.closed == 1  # the next run opens a new connection


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    assert look(Table(NOW + 500), "transactions", HOME, PEER, NOW) == Finding(None, 0.0)


def test_without_the_peers_item_its_age_is_not_known() -> None:
    assert look(Table(), "transactions", HOME, PEER, NOW) == Finding(None, None)


def test_a_second_run_at_the_same_time_is_no_failure() -> None:
    class Crossed(Table):
        def put_item(self, **request: Any) -> Any:
            super().put_item(**request)
            self.items[f"dr-canary/{HOME}"] = {**key_of(HOME), "written_at": {"N": str(NOW + 7)}}

    assert look(Crossed(NOW), "transactions", HOME, PEER, NOW) == Finding(None, 0.0)


@pytest.mark.parametrize("before", [None, NOW - 60_000], ids=["no item", "the item of the last run"])
def test_a_write_that_is_not_given_back_is_a_failure(before: int | None) -> None:
    table = Table(peer_wrote_at=NOW)
    table.loses = True
    if before:
        table.items[f"dr-canary/{HOME}"] = {**key_of(HOME), "written_at": {"N": str(before)}}
    assert look(table, "transactions", HOME, PEER, NOW) == Finding("the written item is missing", None)


OF_DYNAMODB = [
    api_error("InternalServerError", 500),
    api_error("ServiceUnavailable", 503),
    api_error("ResourceNotFoundException", 400),
    aws.EndpointConnectionError(endpoint_url=URL),
    aws.ConnectTimeoutError(endpoint_url=URL),
    aws.ReadTimeoutError(endpoint_url=URL),
    aws.ConnectionClosedError(endpoint_url=URL),
    aws.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    aws.SSLError(endpoint_url=URL, error=ssl.SSLError("EOF occurred")),
]
ITS_OWN = [
    api_error("AccessDeniedException", 400),
    api_error("ValidationException", 400),
    api_error("ExpiredTokenException", 400),
    api_error("ThrottlingException", 400),
    api_error("LimitExceededException", 500),
    api_error("ProvisionedThroughputExceededException", 500),
    api_error("RequestLimitExceeded", 503),
    api_error("Throttling", 503),
    api_error("ThrottlingException", 503),
    aws.ProxyConnectionError(proxy_url=URL),
    aws.SSLError(endpoint_url=URL, error=ssl.SSLError("CERTIFICATE_VERIFY_FAILED")),
    aws.NoCredentialsError(),
    RuntimeError("a defect"),
]


@pytest.mark.parametrize("call", ["put_item", f"get_item {HOME}", f"get_item {PEER}"])
@pytest.mark.parametrize("error", OF_DYNAMODB, ids=lambda error: f"{type(error).__name__} {error}"[:60])
def test_a_fault_of_dynamodb_in_any_call_is_a_failure_of_the_data_path(
    run: Callable[[Table], dict[str, Any]], records: Callable[[], list[Any]], call: str, error: Exception
) -> None:
    table = Table(peer_wrote_at=NOW)
    table.fails[call] = error
    assert run(table) == {"failure": f"{type(error).__name__}: {error}", "replication_age_seconds": None}
    *attempts, record = records()
    assert [(attempt["level"], attempt["failure"], "_aws" in attempt) for attempt in attempts] == [
        ("WARNING", f"{type(error).__name__}: {error}", False)
    ] * 2
    assert (record["level"], record["DataPathFailures"], "ReplicationAge" in record) == ("ERROR", 1, False)
    assert table.closed == 3


class FailsAtFirst(Table):
    """A table of which the first calls fail."""

    def __init__(self, count: int) -> None:
        super().__init__(peer_wrote_at=NOW)
        self.failures = [aws.EndpointConnectionError(endpoint_url=URL)] * count

    def put_item(self, **request: Any) -> Any:
        if self.failures:
            raise self.failures.pop()
        return super().put_item(**request)


@pytest.mark.parametrize(("failed", "failures", "paused"), [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 1, 2)])
def test_what_works_in_one_of_three_attempts_is_no_failure(
    run: Callable[[Table], dict[str, Any]],
    records: Callable[[], list[Any]],
    pauses: list[float],
    failed: int,
    failures: int,
    paused: int,
) -> None:
    table = FailsAtFirst(failed)
    assert (run(table)["failure"] is not None) == bool(failures)
    assert repr(records()[-1]["DataPathFailures"]) == str(failures)  # CloudWatch takes no true
    assert pauses == [canary.PAUSE_SECONDS] * paused
    assert table.closed == paused + 1  # each attempt opens new connections


def test_a_run_counts_for_the_minute_in_which_it_began(
    run: Callable[[Table], dict[str, Any]], records: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(FailsAtFirst):
        def put_item(self, **request: Any) -> Any:
            monkeypatch.setattr(time, "time", lambda: NOW / 1000 + 50)
            return super().put_item(**request)

    run(Slow(3))
    assert records()[-1]["_aws"]["Timestamp"] == NOW


@pytest.mark.parametrize("call", ["put_item", f"get_item {HOME}", f"get_item {PEER}"])
@pytest.mark.parametrize("error", ITS_OWN, ids=lambda error: f"{type(error).__name__} {error}"[:60])
def test_a_fault_of_its_own_raises_and_publishes_no_metric(
    run: Callable[[Table], dict[str, Any]], records: Callable[[], list[Any]], call: str, error: Exception
) -> None:
    table = Table(peer_wrote_at=NOW)
    table.fails[call] = error
    with pytest.raises(CanaryFault, match="inconclusive") as raised:
        run(table)
    assert raised.value.__cause__ is error
    (record,) = records()
    assert record == {"level": "ERROR", "message": "inconclusive", "error": f"{type(error).__name__}: {error}"}
    assert table.closed == 1


def test_the_metrics_are_cloudwatchs_embedded_format(
    run: Callable[[Table], dict[str, Any]], records: Callable[[], list[Any]]
) -> None:
    assert run(Table(peer_wrote_at=NOW - 61_500)) == {"failure": None, "replication_age_seconds": 61.5}
    assert records() == [
        {
            "level": "INFO",
            "message": "data path",
            "failure": None,
            "_aws": {
                "Timestamp": NOW,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "PaymentApp/DataCanary",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [
                            {"Name": "DataPathFailures", "Unit": "Count"},
                            {"Name": "ReplicationAge", "Unit": "Seconds"},
                        ],
                    }
                ],
            },
            "FunctionName": "lambda-data-canary-east-dev",
            "DataPathFailures": 0,
            "ReplicationAge": 61.5,
        }
    ]


def test_the_alarms_read_the_namespace_that_the_function_is_given(
    run: Callable[[Table], dict[str, Any]], records: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRIC_NAMESPACE", "Other")
    run(Table())
    assert records()[-1]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Other"


@pytest.mark.parametrize("name", ["DYNAMODB_TABLE_NAME", "AWS_REGION", "PEER_REGION"])
def test_a_missing_setting_raises(
    run: Callable[[Table], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, " ")
    with pytest.raises(CanaryFault):
        run(Table())


def test_the_requests_are_valid_for_botocore() -> None:
    client: Any = boto3.client("dynamodb", region_name=HOME, aws_access_key_id="AKIA", aws_secret_access_key="secret")
    item = {**key_of(HOME), "written_at": {"N": str(NOW)}}
    with Stubber(client) as stub:
        stub.add_response("put_item", {}, {"TableName": "transactions", "Item": item})
        for region in (HOME, PEER):
            request = {"TableName": "transactions", "Key": key_of(region), "ConsistentRead": True}
            stub.add_response("get_item", {"Item": item}, request)
        assert look(client, "transactions", HOME, PEER, NOW) == Finding(None, 0.0)
        stub.assert_no_pending_responses()


def test_three_attempts_of_three_calls_that_hang_leave_time_before_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, HOME)
    config = canary._dynamodb.__wrapped__().meta.config
    tries, backoff = config.retries["total_max_attempts"], 1  # at most, before the first retry
    call = tries * (config.connect_timeout + config.read_timeout) + (tries - 1) * backoff
    assert canary.ATTEMPTS * 3 * call + (canary.ATTEMPTS - 1) * canary.PAUSE_SECONDS == 49
