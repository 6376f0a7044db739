"""Health monitor: every verdict, every way in which DynamoDB can fail to answer, and who is told."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import boto3
import pytest
from botocore import exceptions as aws
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from handlers import lambda_health_monitor as monitor
from handlers.lambda_health_monitor import Announcer, MonitorFault, NoAnswerError, Verdict, handler, judge

TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:sns-alerts-east-dev"
PROBE = {
    "version": "2.0",
    "routeKey": "GET /health",
    "rawPath": "/health",
    "requestContext": {"http": {"method": "GET", "path": "/health"}},
}
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://dynamodb.us-east-1.amazonaws.com"


def api_error(code: str, status: int) -> ClientError:
    message = "User: arn:aws:sts::111122223333:assumed-role/x is not authorized"
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "DescribeTable",
    )


def table(status: object) -> dict[str, Any]:
    return {"Table": {"TableName": "transactions", "TableStatus": status}}


class DynamoDb:
    """Answers DescribeTable with what it was given, an answer or an exception, the last one for ever."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[dict[str, Any]] = []

    def describe_table(self, **request: Any) -> Any:
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Sns:
    """Keeps what was published, or fails."""

    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []
        self.error: Exception | None = None

    def publish(self, **request: Any) -> Any:
        if self.error:
            raise self.error
        self.published.append(request)
        return {"MessageId": "1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A function's environment, and an execution environment that has just started."""
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DYNAMODB_TABLE_NAME": "transactions",
        "SNS_TOPIC_ARN": TOPIC_ARN,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(monitor, "_announcer", Announcer())
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield
    for factory in (_real_dynamodb, _real_sns):
        if factory.cache_info().currsize:
            factory().close()
            factory.cache_clear()


_real_dynamodb, _real_sns = monitor._dynamodb, monitor._sns


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Sns:
    fake = Sns()
    monkeypatch.setattr(monitor, "_sns", lambda: fake)
    return fake


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DynamoDb]:
    def use(*outcomes: Any) -> DynamoDb:
        fake = DynamoDb(*outcomes)
        monkeypatch.setattr(monitor, "_dynamodb", lambda: fake)
        return fake

    return use


@pytest.fixture
def records(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- verdicts


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (table("ACTIVE"), "healthy", None),
        (table("UPDATING"), "healthy", None),
        (table("CREATING"), "unhealthy", "table_not_serving"),
        (table("DELETING"), "unhealthy", "table_not_serving"),
        (table("ARCHIVING"), "unhealthy", "table_not_serving"),
        (table("ARCHIVED"), "unhealthy", "table_not_serving"),
        (table("INACCESSIBLE_ENCRYPTION_CREDENTIALS"), "unhealthy", "table_not_serving"),
        (table("REPLICATION_NOT_AUTHORIZED"), "unhealthy", "table_not_serving"),
        (table("HIBERNATING"), "unknown", "unexpected_table_status"),
        (table(None), "unknown", "unexpected_answer"),
        ({"Table": {}}, "unknown", "unexpected_answer"),
        ({"Table": []}, "unknown", "unexpected_answer"),
        ({}, "unknown", "unexpected_answer"),
        (None, "unknown", "unexpected_answer"),
        (api_error("ResourceNotFoundException", 400), "unhealthy", "table_not_found"),
        (api_error("InternalServerError", 500), "unhealthy", "dynamodb_error"),
        (api_error("ServiceUnavailable", 503), "unhealthy", "dynamodb_error"),
        (api_error("502", 502), "unhealthy", "dynamodb_error"),
        (api_error("AccessDeniedException", 400), "unknown", "monitor_refused"),
        (api_error("UnrecognizedClientException", 400), "unknown", "monitor_refused"),
        (api_error("ExpiredTokenException", 400), "unknown", "monitor_refused"),
        (api_error("InvalidSignatureException", 400), "unknown", "monitor_refused"),
        (api_error("OptInRequired", 403), "unknown", "monitor_refused"),
        (api_error("ValidationException", 400), "unknown", "monitor_refused"),
        (api_error("SomethingNew", 418), "unknown", "monitor_refused"),
        (ClientError({}, "DescribeTable"), "unknown", "monitor_refused"),
        (api_error("ThrottlingException", 400), "unknown", "monitor_throttled"),
        (api_error("RequestLimitExceeded", 400), "unknown", "monitor_throttled"),
        (api_error("Throttling", 503), "unknown", "monitor_throttled"),
        (NoAnswerError(), "unhealthy", "dynamodb_timeout"),
        (aws.EndpointConnectionError(endpoint_url=URL), "unhealthy", "dynamodb_unreachable"),
        (aws.ConnectTimeoutError(endpoint_url=URL), "unhealthy", "dynamodb_unreachable"),
        (aws.ReadTimeoutError(endpoint_url=URL), "unhealthy", "dynamodb_unreachable"),
        (aws.ConnectionClosedError(endpoint_url=URL), "unhealthy", "dynamodb_unreachable"),
        (aws.ConnectionError(error=OSError("?")), "unhealthy", "dynamodb_unreachable"),
        (aws.HTTPClientError(error="?"), "unhealthy", "dynamodb_unreachable"),
        (aws.ResponseStreamingError(error="?"), "unhealthy", "dynamodb_unreachable"),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), "unhealthy", "dynamodb_unreachable"),
        (aws.SSLError(endpoint_url=URL, error=OSError("EOF in handshake")), "unhealthy", "dynamodb_unreachable"),
        (aws.SSLError(endpoint_url=URL, error=OSError("CERTIFICATE_VERIFY_FAILED")), "unknown", "monitor_connection"),
        (aws.ProxyConnectionError(proxy_url="http://proxy"), "unknown", "monitor_connection"),
        (aws.NoCredentialsError(), "unknown", "monitor_error"),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), "unknown", "monitor_error"),
        (aws.CredentialRetrievalError(provider="env", error_msg="x"), "unknown", "monitor_error"),
        (aws.NoRegionError(), "unknown", "monitor_error"),
        (aws.ParamValidationError(report="x"), "unknown", "monitor_error"),
        (aws.EndpointProviderError(msg="x"), "unknown", "monitor_error"),
        (
            aws.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
            "unknown",
            "monitor_error",
        ),
        (ResponseParserError("not JSON"), "unknown", "monitor_error"),
        (monitor.MissingSettingError("x"), "unknown", "monitor_setting"),
        (KeyError("a defect of ours"), "unknown", "monitor_error"),
        (MemoryError(), "unknown", "monitor_error"),
        (SystemExit(), "unknown", "monitor_error"),
    ],
    ids=repr,
)
def test_each_outcome_has_its_verdict(outcome: Any, status: str, reason: str | None) -> None:
    verdict = judge(outcome)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_every_status_that_botocore_knows_is_judged() -> None:
    shape = boto3.client("dynamodb").meta.service_model.shape_for("TableStatus")
    assert set(shape.enum) == monitor.SERVING | monitor.NOT_SERVING  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("outcome", "http_status"),
    [(table("ACTIVE"), 200), (table("DELETING"), 503), (api_error("AccessDeniedException", 400), 200)],
    ids=["healthy", "unhealthy", "unknown"],
)
def test_only_unhealthy_fails_a_probe(answers: Callable[..., DynamoDb], outcome: Any, http_status: int) -> None:
    dynamodb = answers(outcome)
    assert handler(PROBE, None)["statusCode"] == http_status
    assert dynamodb.requests == [{"TableName": "transactions"}]


def test_a_probe_is_answered_in_json_that_nobody_may_keep(answers: Callable[..., DynamoDb]) -> None:
    answers(table("UPDATING"))
    answer = handler(PROBE, None)
    assert answer["headers"] == {"content-type": "application/json", "cache-control": "no-store"}
    body = json.loads(answer["body"])
    timestamp = datetime.fromisoformat(body.pop("timestamp"))
    assert timestamp.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - timestamp) < timedelta(minutes=1)
    assert body == {"status": "healthy", "region": "us-east-1", "table_status": "UPDATING", "reason": None}


def test_the_public_body_says_nothing_of_an_errors_inside_but_the_log_does(
    answers: Callable[..., DynamoDb], records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(api_error("AccessDeniedException", 400))
    body = handler(PROBE, None)["body"]
    assert "111122223333" not in body
    assert "arn:" not in body
    assert "AccessDenied" not in body
    (record,) = records()
    assert (record["level"], record["trigger"], record["reason"]) == ("ERROR", "probe", "monitor_refused")
    assert "111122223333" in record["error"]


@pytest.mark.parametrize("value", [None, "", " "])
def test_a_probe_without_a_table_name_is_unknown(
    answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    dynamodb = answers(table("ACTIVE"))
    monkeypatch.delenv("DYNAMODB_TABLE_NAME")
    if value is not None:
        monkeypatch.setenv("DYNAMODB_TABLE_NAME", value)
    answer = handler(PROBE, None)
    assert (answer["statusCode"], json.loads(answer["body"])["reason"]) == (200, "monitor_setting")
    assert not dynamodb.requests


def test_a_probe_is_answered_even_if_no_client_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    answer = handler(PROBE, None)
    assert (answer["statusCode"], json.loads(answer["body"])["reason"]) == (200, "monitor_error")


def test_a_probe_without_credentials_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    answer = handler(PROBE, None)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "unknown")


@pytest.mark.parametrize(
    "event", [{}, None, "health", [], {"requestContext": None}, {"detail-type": ["Scheduled Event"]}]
)
def test_any_other_event_gets_the_result_and_mails_nobody(
    answers: Callable[..., DynamoDb], sns: Sns, event: Any, records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(table("DELETING"))
    result = handler(event, None)
    assert (result["status"], result["table_status"]) == ("unhealthy", "DELETING")
    assert not sns.published
    assert records()[0]["trigger"] == "manual"


def test_the_request_is_valid_for_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_response("describe_table", {"Table": {"TableStatus": "ACTIVE"}}, {"TableName": "transactions"})
        monkeypatch.setattr(monitor, "_dynamodb", lambda: client)
        assert handler({}, None)["status"] == "healthy"
        stub.assert_no_pending_responses()


# --- one more attempt


@pytest.mark.parametrize(
    "error",
    [
        aws.ConnectionClosedError(endpoint_url=URL),
        aws.ReadTimeoutError(endpoint_url=URL),
        api_error("InternalServerError", 500),
    ],
    ids=["closed", "timeout", "500"],
)
def test_one_failure_to_reach_dynamodb_is_not_an_outage(answers: Callable[..., DynamoDb], error: Exception) -> None:
    answers(error, table("ACTIVE"))
    assert handler({}, None)["status"] == "healthy"


@pytest.mark.parametrize("error", [api_error("ThrottlingException", 400), api_error("ResourceNotFoundException", 400)])
def test_an_answer_is_not_asked_for_twice(answers: Callable[..., DynamoDb], error: Exception) -> None:
    dynamodb = answers(error, table("ACTIVE"))
    assert handler({}, None)["status"] != "healthy"
    assert len(dynamodb.requests) == 1


# --- a DynamoDB that does not answer, on real sockets


class Server:
    """A TCP server on 127.0.0.1 that treats each connection as it is told, the last way for ever."""

    def __init__(self, *manners: Callable[[socket.socket, threading.Event], None]) -> None:
        self._manners = list(manners)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.05)
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                manner = self._manners.pop(0) if len(self._manners) > 1 else self._manners[0]
                self._start(self._serve, manner, connection)

    def _serve(self, manner: Callable[[socket.socket, threading.Event], None], connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            manner(connection, self._stop)

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


def request_of(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b'"}'):
        chunk = connection.recv(4096)
        if not chunk:
            break
        data += chunk
    return data


def http(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: application/x-amz-json-1.0", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body) if length is None else length}", "", ""]).encode() + body


ACTIVE = json.dumps(table("ACTIVE")).encode()


def replies(status: str, body: bytes, *headers: str, length: int | None = None) -> Any:
    def manner(connection: socket.socket, _stop: threading.Event) -> None:
        request_of(connection)
        connection.sendall(http(status, body, "Connection: close", *headers, length=length))

    return manner


def is_silent(_connection: socket.socket, stop: threading.Event) -> None:
    stop.wait(30)


def resets(connection: socket.socket, _stop: threading.Event) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(connection: socket.socket, _stop: threading.Event) -> None:
    request_of(connection)


def dribbles(start: bytes, text: bytes) -> Any:
    def manner(connection: socket.socket, stop: threading.Event) -> None:
        request_of(connection)
        connection.sendall(start)
        for byte in text:
            connection.sendall(bytes([byte]))
            if stop.wait(0.2):
                return

    return manner


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a server and point a real client at it, as AWS_ENDPOINT_URL does."""
    servers: list[Server] = []

    def start(*manners: Any, scheme: str = "http") -> Server:
        servers.append(Server(*manners))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{servers[-1].port}")
        monitor._dynamodb()  # Lambda makes it before the first probe
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "describe-table"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "never came about"
        time.sleep(0.01)


def probe() -> tuple[int, str | None, float]:
    """Status, reason and duration in seconds of one probe."""
    started = time.monotonic()
    answer = handler(PROBE, None)
    return answer["statusCode"], json.loads(answer["body"])["reason"], time.monotonic() - started


ROUTE_53_BUDGET = 1.5


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (is_silent, "dynamodb_unreachable"),
        (resets, "dynamodb_unreachable"),
        (closes, "dynamodb_unreachable"),
        (dribbles(b"", http("200 OK", ACTIVE)), "dynamodb_timeout"),
        (dribbles(http("200 OK", b"", length=len(ACTIVE)), ACTIVE), "dynamodb_timeout"),
        (replies("200 OK", ACTIVE, length=len(ACTIVE) + 10), "dynamodb_unreachable"),
        (replies("500 Internal Server Error", b'{"__type":"InternalServerError"}'), "dynamodb_error"),
        (replies("503 Service Unavailable", b"<html><body>busy</body></html>"), "dynamodb_error"),
        (replies("503 Service Unavailable", b""), "dynamodb_error"),
    ],
    ids=["silent", "reset", "closed", "slow head", "slow body", "cut short", "500", "503 html", "503 empty"],
)
def test_a_dynamodb_that_fails_is_unhealthy_before_route_53_gives_up(
    serve: Callable[..., Server], manner: Any, reason: str
) -> None:
    serve(manner)
    status, said, seconds = probe()
    assert (status, said) == (503, reason)
    assert seconds < ROUTE_53_BUDGET


@pytest.mark.parametrize(
    ("manner", "status", "reason"),
    [
        (replies("200 OK", ACTIVE), 200, None),
        (replies("200 OK", b"<html>not DynamoDB</html>"), 200, "unexpected_answer"),
        (replies("400 Bad Request", b'{"__type":"com.amazon.coral#AccessDeniedException"}'), 200, "monitor_refused"),
        (replies("400 Bad Request", b'{"__type":"x#ThrottlingException"}'), 200, "monitor_throttled"),
        (replies("400 Bad Request", b'{"__type":"x#ResourceNotFoundException"}'), 503, "table_not_found"),
        (replies("403 Forbidden", b"<html>a proxy says no</html>"), 200, "monitor_refused"),
    ],
    ids=["active", "garbage", "denied", "throttled", "no table", "403"],
)
def test_an_answer_is_judged_as_it_comes_over_the_wire(
    serve: Callable[..., Server], manner: Any, status: int, reason: str | None
) -> None:
    serve(manner)
    assert probe()[:2] == (status, reason)


def test_a_closed_port_is_unhealthy(serve: Callable[..., Server]) -> None:
    serve(is_silent).close()
    status, reason, seconds = probe()
    assert (status, reason) == (503, "dynamodb_unreachable")
    assert seconds < ROUTE_53_BUDGET


def test_a_host_that_accepts_no_connection_is_unhealthy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # the kernel ignores further handshakes once the queue is full
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{full.getsockname()[1]}")
        monitor._dynamodb()
        status, reason, seconds = probe()
    assert (status, reason) == (503, "dynamodb_unreachable")
    assert seconds < ROUTE_53_BUDGET


def test_a_host_that_does_not_speak_tls_is_unhealthy(serve: Callable[..., Server]) -> None:
    serve(replies("200 OK", ACTIVE), scheme="https")
    assert probe()[:2] == (503, "dynamodb_unreachable")


def test_a_name_that_does_not_resolve_is_unhealthy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    serve(replies("200 OK", ACTIVE))
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert probe()[:2] == (503, "dynamodb_unreachable")


def test_a_resolver_that_hangs_is_unhealthy_in_time(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*_arguments: Any) -> Any:
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    serve(replies("200 OK", ACTIVE))
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    status, reason, seconds = probe()
    released.set()
    assert (status, reason) == (503, "dynamodb_timeout")
    assert seconds < ROUTE_53_BUDGET


def test_a_connection_that_died_while_lambda_had_us_frozen_is_replaced(serve: Callable[..., Server]) -> None:
    serve(resets, replies("200 OK", ACTIVE))
    assert probe()[:2] == (200, None)


def test_a_connection_is_kept_between_probes(serve: Callable[..., Server]) -> None:
    connections: list[int] = []

    def keeps(connection: socket.socket, _stop: threading.Event) -> None:
        connections.append(1)
        for _ in range(2):
            request_of(connection)
            connection.sendall(http("200 OK", ACTIVE))

    serve(keeps)
    assert [probe()[0], probe()[0]] == [200, 200]
    assert len(connections) == 1


def test_calls_that_never_end_do_not_use_up_all_threads_and_are_forgotten_when_they_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    waiting: list[int] = []

    class Hanging:
        def describe_table(self, **_request: Any) -> Any:
            waiting.append(1)
            released.wait(30)
            return table("ACTIVE")

    for _ in range(monitor.HUNG_CALLS_MAX):
        assert isinstance(monitor.describe(Hanging(), "transactions", deadline=0), NoAnswerError)
    assert isinstance(monitor.describe(DynamoDb(table("ACTIVE")), "transactions"), NoAnswerError)
    wait_until(lambda: len(waiting) == monitor.HUNG_CALLS_MAX)
    released.set()
    wait_until(lambda: monitor.describe(DynamoDb(table("ACTIVE")), "transactions") == table("ACTIVE"))


def test_no_thread_to_be_had_is_the_monitors_own_fault(
    answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    answers(table("ACTIVE"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(monitor.HUNG_CALLS_MAX + 1):
            assert handler({}, None)["reason"] == "monitor_error"
    assert handler({}, None)["status"] == "healthy"


def test_two_attempts_fit_into_the_deadline_and_the_deadline_into_route_53s_budget() -> None:
    configuration: Any = monitor.DYNAMODB_CONFIG
    assert configuration.retries["total_max_attempts"] == 1
    assert 2 * (configuration.connect_timeout + configuration.read_timeout) < ROUTE_53_BUDGET
    assert monitor.DEADLINE_SECONDS < ROUTE_53_BUDGET


# --- who is told


class Minutes:
    """Scheduled runs, minute by minute."""

    def __init__(self) -> None:
        self.announcer, self.sns, self.now = Announcer(), Sns(), NOON

    def pass_by(self, *statuses: str) -> list[str]:
        """Which subjects were mailed while these verdicts came in."""
        before = len(self.sns.published)
        for status in statuses:
            verdict = Verdict(status, None if status == "healthy" else "reason", "ACTIVE")
            with contextlib.suppress(RuntimeError):
                self.announcer.announce(verdict, self.sns, TOPIC_ARN, "transactions", "us-east-1", self.now)
            self.now += timedelta(minutes=1)
        return [message["Subject"].rpartition(" ")[2] for message in self.sns.published[before:]]


def test_a_new_environment_mails_at_once_when_things_are_bad_and_not_at_all_when_they_are_good() -> None:
    assert Minutes().pass_by("healthy", "healthy") == []
    assert Minutes().pass_by("unhealthy") == ["unhealthy"]
    assert Minutes().pass_by("unknown") == ["unknown"]


def test_every_change_of_verdict_is_mailed_once() -> None:
    minutes = Minutes()
    told = minutes.pass_by("healthy", "unhealthy", "unhealthy", "unknown", "unknown", "healthy", "healthy", "unhealthy")
    assert told == ["unhealthy", "unknown", "healthy", "unhealthy"]


@pytest.mark.parametrize("status", ["unhealthy", "unknown"])
def test_a_bad_verdict_is_mailed_again_every_15_minutes(status: str) -> None:
    minutes = Minutes()
    assert minutes.pass_by(*[status] * 15) == [status]
    assert minutes.pass_by(*[status] * 15) == [status]
    assert minutes.pass_by(*[status] * 15) == [status]


def test_good_news_is_not_repeated() -> None:
    minutes = Minutes()
    minutes.pass_by("unhealthy", "healthy")
    assert minutes.pass_by(*["healthy"] * 40) == []


def test_what_could_not_be_mailed_is_tried_again_in_the_next_minute_with_its_first_time() -> None:
    minutes = Minutes()
    minutes.sns.error = RuntimeError("no topic")
    assert minutes.pass_by("healthy", "unhealthy", "unhealthy") == []
    minutes.sns.error = None
    assert minutes.pass_by("unhealthy", "unhealthy") == ["unhealthy"]
    assert "Since:        2026-11-22T12:01:00+00:00" in minutes.sns.published[0]["Message"]


def test_nobody_is_told_of_a_recovery_from_what_nobody_was_told_of() -> None:
    minutes = Minutes()
    minutes.sns.error = RuntimeError("no topic")
    minutes.pass_by("unhealthy")
    minutes.sns.error = None
    assert minutes.pass_by("healthy") == []


def test_a_message_says_what_is_wrong_since_when_and_what_to_do() -> None:
    announcer, sns = Announcer(), Sns()
    verdict = Verdict("unhealthy", "table_not_serving", "DELETING")
    announcer.announce(verdict, sns, TOPIC_ARN, "transactions", "us-east-1", NOON)
    (message,) = sns.published
    assert message["TopicArn"] == TOPIC_ARN
    assert message["Subject"] == "Payment health in us-east-1 is unhealthy"
    assert message["Message"].splitlines() == [
        "Region:       us-east-1",
        "Verdict:      unhealthy (table_not_serving)",
        "Table:        transactions",
        "Table status: DELETING",
        "Since:        2026-11-22T12:00:00+00:00",
        "",
        "Route 53 moves traffic to the other region after three failed checks in a row, if that one is healthy. See "
        "the AWS Health Dashboard for DynamoDB in this region, and the table with: "
        "aws dynamodb describe-table --table-name transactions --region us-east-1",
    ]


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "unknown"])
def test_a_subject_is_what_sns_accepts(status: str) -> None:
    announcer, sns = Announcer(), Sns()
    announcer.announce(Verdict("unhealthy"), sns, TOPIC_ARN, "t", "r" * 99, NOON)
    announcer.announce(Verdict(status), sns, TOPIC_ARN, "t", "r" * 99, NOON + timedelta(hours=1))
    for message in sns.published:
        assert len(message["Subject"]) < 100
        assert message["Subject"].isascii()
        assert "not known" in message["Message"]


def test_a_scheduled_run_mails_a_change(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    assert handler(SCHEDULE, None)["status"] == "unhealthy"
    handler(SCHEDULE, None)
    assert [message["Subject"] for message in sns.published] == ["Payment health in us-east-1 is unhealthy"]


def test_a_probe_mails_nobody_and_leaves_the_memory_alone(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    for _ in range(3):
        assert handler(PROBE, None)["statusCode"] == 503
    assert not sns.published
    handler(SCHEDULE, None)
    assert len(sns.published) == 1


def test_an_event_that_looks_like_both_is_a_probe(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("DELETING"))
    assert handler(PROBE | SCHEDULE, None)["statusCode"] == 503
    assert not sns.published


def test_a_scheduled_run_that_cannot_tell_mails_and_raises(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(api_error("AccessDeniedException", 400))
    with pytest.raises(MonitorFault, match=r"^the table's health is unknown: monitor_refused$") as caught:
        handler(SCHEDULE, None)
    assert isinstance(caught.value.__cause__, ClientError)
    assert [message["Subject"] for message in sns.published] == ["Payment health in us-east-1 is unknown"]


@pytest.mark.parametrize("outcome", [table("DELETING"), api_error("AccessDeniedException", 400)])
def test_a_scheduled_run_that_cannot_mail_logs_it_raises_and_tries_again(
    answers: Callable[..., DynamoDb], sns: Sns, outcome: Any, records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(outcome)
    sns.error = aws.ConnectTimeoutError(endpoint_url="https://sns")
    for _ in range(2):
        with pytest.raises(MonitorFault, match=r"could not be published: ConnectTimeoutError$"):
            handler(SCHEDULE, None)
    assert [record["message"] for record in records()] == ["health", "publish failed"] * 2
    sns.error = None
    with contextlib.suppress(MonitorFault):
        handler(SCHEDULE, None)
    assert len(sns.published) == 1


def test_a_failing_sns_does_not_change_what_probes_are_told(answers: Callable[..., DynamoDb], sns: Sns) -> None:
    answers(table("ACTIVE"))
    sns.error = aws.ConnectTimeoutError(endpoint_url="https://sns")
    assert handler(SCHEDULE, None)["status"] == "healthy"
    assert handler(PROBE, None)["statusCode"] == 200


@pytest.mark.parametrize("name", ["SNS_TOPIC_ARN", "DYNAMODB_TABLE_NAME", "AWS_REGION"])
def test_a_scheduled_run_without_a_setting_raises_even_when_all_is_well(
    answers: Callable[..., DynamoDb], sns: Sns, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answers(table("ACTIVE"))
    monkeypatch.delenv(name)
    with pytest.raises(MonitorFault, match="MissingSettingError"):
        handler(SCHEDULE, None)


def test_the_message_is_valid_for_botocore(answers: Callable[..., DynamoDb], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(table("DELETING"))
    client: Any = boto3.client("sns", config=Config())
    sent: list[Any] = []
    client.meta.events.register("before-parameter-build.sns.Publish", lambda params, **_: sent.append(params))
    with Stubber(client) as stub:
        stub.add_response("publish", {"MessageId": "1"})
        monkeypatch.setattr(monitor, "_sns", lambda: client)
        handler(SCHEDULE, None)
        stub.assert_no_pending_responses()
    assert sent[0]["TopicArn"] == TOPIC_ARN


# --- log and start


def test_a_log_record_is_one_line_of_json(answers: Callable[..., DynamoDb], capsys: pytest.CaptureFixture[str]) -> None:
    answers(api_error("AccessDenied\nException", 400))
    handler(PROBE, None)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "unknown"


def test_a_healthy_probe_logs_its_duration_and_no_error(
    answers: Callable[..., DynamoDb], records: Callable[[], list[dict[str, Any]]]
) -> None:
    answers(table("ACTIVE"))
    handler(PROBE, None)
    (record,) = records()
    assert (record["level"], record["message"], record["error"]) == ("INFO", "health", None)
    assert isinstance(record["duration_ms"], int)


def load_as_lambda_does() -> Any:
    specification = spec_from_file_location("loaded_by_lambda", monitor.__file__)
    assert specification is not None
    assert specification.loader is not None
    module = module_from_spec(specification)
    sys.modules["loaded_by_lambda"] = module
    try:
        specification.loader.exec_module(module)
    finally:
        del sys.modules["loaded_by_lambda"]
    return module


def test_lambda_makes_the_client_while_it_loads_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambda-health-monitor-east-dev")
    module = load_as_lambda_does()
    assert module._dynamodb.cache_info().currsize == 1
    assert module._sns.cache_info().currsize == 0
    assert module._dynamodb() is module._dynamodb()
    module._dynamodb().close()


def test_a_client_that_cannot_be_made_while_loading_does_not_fail_the_region_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambda-health-monitor-east-dev")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    assert load_as_lambda_does().handler(PROBE, None)["statusCode"] == 200
