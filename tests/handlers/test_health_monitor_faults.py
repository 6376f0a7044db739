"""Every row of docs/health-faults.md happens: the real handler with its real clients, against real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self

import boto3
import pytest

from handlers import lambda_health_monitor as monitor
from handlers.lambda_health_monitor import MonitorFault, handler
from tests.handlers.health_faults import EXPECTATIONS, PROBE, ROUTE_53_BUDGET_SECONDS, SCHEDULE, Expectation
from tests.handlers.loopback import (
    Manner,
    Server,
    closes,
    dribbles,
    has_table,
    http,
    is_silent,
    keeps_and_replies,
    publishes,
    refuses_with,
    replies,
    resets,
)

pytestmark = pytest.mark.usefixtures("new_environment")


class Stage:
    """The monitor's surroundings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, open_until_the_end: contextlib.ExitStack) -> None:
        self.monkeypatch, self._open = monkeypatch, open_until_the_end
        self.dynamodb = self.serve("DYNAMODB", has_table("ACTIVE"))
        self.sns = self.serve("SNS", publishes)
        self._check = monitor._check
        monkeypatch.setattr(monitor, "_check", self._check_again_if_late)
        self.times_out = False

    def _check_again_if_late(self) -> monitor.Verdict:
        """Check the table. A busy machine can make any answer late, but only a fault can make each of them late."""
        give_up = time.monotonic() + 30
        while True:
            started = time.monotonic()
            verdict = self._check()
            took = time.monotonic() - started
            is_late = verdict.reason == "dynamodb_timeout" or took >= ROUTE_53_BUDGET_SECONDS
            if self.times_out or not is_late or time.monotonic() > give_up:
                assert took < ROUTE_53_BUDGET_SECONDS
                return verdict

    def serve(self, service: str, *manners: Manner) -> Server:
        server = self._open.enter_context(Server(*manners))
        self.monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        return server

    def dynamodb_is(self, manner: Manner) -> None:
        self.dynamodb.manners = [manner]

    def dynamodb_is_at(self, url: str) -> None:
        self.monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)

    def dynamodb_leaves_connections_unanswered(self) -> None:
        full = self._open.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the kernel ignores further handshakes once the queue is full
            client = self._open.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        self.dynamodb_is_at(f"http://127.0.0.1:{full.getsockname()[1]}")

    def resolver(self, behave: Callable[[], None]) -> None:
        """A name for DynamoDB's server, and a resolver that does this first."""
        resolve = socket.getaddrinfo

        def resolve_as_told(host: Any, *arguments: Any, **more: Any) -> Any:
            if host == "dynamodb.test":
                behave()
                host = "127.0.0.1"
            return resolve(host, *arguments, **more)

        self.monkeypatch.setattr(socket, "getaddrinfo", resolve_as_told)
        self.dynamodb_is_at(self.dynamodb.url.replace("127.0.0.1", "dynamodb.test"))

    def resolver_hangs(self) -> None:
        released = threading.Event()
        self._open.callback(released.set)

        def hang() -> None:
            released.wait(30)
            raise UNRESOLVED

        self.resolver(hang)

    def resolver_fails_once(self) -> None:
        failures = [UNRESOLVED]

        def fail_once() -> None:
            if failures:
                raise failures.pop()

        self.resolver(fail_once)

    def with_open_connection(self, break_resolver: Callable[[], None]) -> None:
        """A first probe leaves a connection that is as good as ever."""
        self.dynamodb_is(keeps_and_replies("200 OK", ACTIVE))
        self.resolver(lambda: None)
        assert probe() == (200, "healthy", "-")
        break_resolver()

    def resolver_fails(self) -> None:
        def fail() -> None:
            raise UNRESOLVED

        self.resolver(fail)

    def credentials_are_missing(self) -> None:
        self.monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        for name, value in {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_CONFIG_FILE": "/nonexistent",
        }.items():
            self.monkeypatch.setenv(name, value)

    def clock_jumps(self, hours: int) -> None:
        class Jumping(datetime):
            looks = 0

            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                cls.looks += 1
                return super().now(tz) + cls.looks * timedelta(hours=hours)

        self.dynamodb_is(has_table("DELETING"))
        self.monkeypatch.setattr(monitor, "datetime", Jumping)

    def arrange(self, fault: str) -> None:
        """Make the fault happen."""
        if match := re.match(r"table `(\w+)`", fault):
            self.dynamodb_is(has_table(match[1]))
        elif match := re.match(r"(\d+) `(\w+)`", fault):
            self.dynamodb_is(refuses_with(match[2], f"{match[1]} Reason"))
        elif match := re.match(r"`(\w+)` missing", fault):
            self.monkeypatch.delenv(match[1])
        else:
            FAULTS[fault](self)


UNRESOLVED = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
ACTIVE = '{"Table": {"TableStatus": "ACTIVE"}}'
HTML = "<html><body>busy</body></html>"
FAULTS: dict[str, Callable[[Stage], None]] = {
    "none": lambda _stage: None,
    "DynamoDB accepts connections and does not answer": lambda stage: stage.dynamodb_is(is_silent),
    "DynamoDB answers byte by byte": lambda stage: stage.dynamodb_is(dribbles(b"", http("200 OK", ACTIVE))),
    "DynamoDB sends the head at once and the body byte by byte": lambda stage: stage.dynamodb_is(
        dribbles(http("200 OK", "", length=len(ACTIVE)), ACTIVE.encode())
    ),
    "DynamoDB closes the connection during its answer": lambda stage: stage.dynamodb_is(
        replies("200 OK", ACTIVE, length=len(ACTIVE) + 10)
    ),
    "DynamoDB refuses connections": lambda stage: stage.dynamodb.close(),
    "DynamoDB leaves connections unanswered": Stage.dynamodb_leaves_connections_unanswered,
    "DynamoDB resets connections": lambda stage: stage.dynamodb_is(resets),
    "DynamoDB closes connections": lambda stage: stage.dynamodb_is(closes),
    "DynamoDB does not use TLS": lambda stage: stage.dynamodb_is_at(stage.dynamodb.url.replace("http", "https")),
    # too long for DNS, so that no resolver asks anybody
    "DynamoDB's name does not resolve": lambda stage: stage.dynamodb_is_at(f"http://{'.'.join(['a' * 50] * 5)}"),
    "DynamoDB's name no longer resolves, and a connection is open": lambda stage: stage.with_open_connection(
        stage.resolver_fails
    ),
    "the resolver fails once": Stage.resolver_fails_once,
    "the resolver hangs": Stage.resolver_hangs,
    "the resolver hangs, and a connection is open": lambda stage: stage.with_open_connection(stage.resolver_hangs),
    "503 with a page of HTML": lambda stage: stage.dynamodb_is(replies("503 Service Unavailable", HTML)),
    "503 with an empty body": lambda stage: stage.dynamodb_is(replies("503 Service Unavailable", "")),
    "403 with a page of HTML": lambda stage: stage.dynamodb_is(replies("403 Forbidden", HTML)),
    "200 without a table": lambda stage: stage.dynamodb_is(replies("200 OK", "{}")),
    "200 with a page of HTML": lambda stage: stage.dynamodb_is(replies("200 OK", HTML)),
    "credentials missing": Stage.credentials_are_missing,
    "`AWS_ENDPOINT_URL_DYNAMODB` malformed": lambda stage: stage.dynamodb_is_at("not a url"),
    "the clock jumps ahead by an hour at every reading": lambda stage: stage.clock_jumps(1),
    "the clock jumps back by an hour at every reading": lambda stage: stage.clock_jumps(-1),
}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with contextlib.ExitStack() as open_until_the_end:
        yield Stage(monkeypatch, open_until_the_end)
    deadline = time.monotonic() + 60
    while len(monitor._idle) < len([each for each in threading.enumerate() if each.name == "describe-table"]):
        assert time.monotonic() < deadline, "a call outlives its server"
        time.sleep(0.01)


def probe() -> tuple[int, str, str]:
    """HTTP status, verdict and reason that Route 53 gets, in time. The client exists before, as in Lambda."""
    with contextlib.suppress(ValueError):  # a malformed URL
        monitor._dynamodb()
    answer = handler(PROBE, None)
    body = json.loads(answer["body"])
    return answer["statusCode"], body["status"], body["reason"] or "-"


def scheduled_run_fails() -> bool:
    try:
        handler(SCHEDULE, None)
    except MonitorFault:
        return True
    return False


@pytest.mark.parametrize("expected", EXPECTATIONS, ids=lambda expected: expected.fault)
def test_a_fault_is_judged_answered_mailed_and_counted_as_the_table_says(stage: Stage, expected: Expectation) -> None:
    stage.arrange(expected.fault)
    stage.times_out = expected.reason == "dynamodb_timeout"

    started = time.monotonic()
    assert probe() == expected.answer()
    assert time.monotonic() - started >= float(expected.seconds)
    assert not stage.sns.connections

    assert scheduled_run_fails() == (expected.errors == "yes")
    assert expected.mailed(stage.sns.requests)


def test_every_table_status_and_every_fault_is_in_the_table() -> None:
    shape: Any = boto3.client("dynamodb").meta.service_model.shape_for("TableStatus")
    assert {f"table `{status}`" for status in shape.enum} | set(FAULTS) <= {row.fault for row in EXPECTATIONS}


@pytest.mark.parametrize(
    "manner",
    [
        is_silent,
        None,
        resets,
        closes,
        replies("200 OK", HTML),
        refuses_with("InternalFailure", "500 Internal Server Error"),
        replies("503 Service Unavailable", HTML),
        refuses_with("Throttling"),
        refuses_with("AuthorizationError", "403 Forbidden"),
        refuses_with("ExpiredToken", "403 Forbidden"),
        refuses_with("KMSAccessDenied"),
        refuses_with("NotFound", "404 Not Found"),
    ],
    ids=[
        "silent",
        "refusing",
        "resetting",
        "closing",
        "garbage",
        "500",
        "503",
        "throttling",
        "denied",
        "expired token",
        "key denied",
        "topic missing",
    ],
)
def test_a_failing_sns_changes_no_answer_and_fires_errors_when_there_is_something_to_mail(
    stage: Stage, manner: Manner | None
) -> None:
    if manner:
        stage.sns.manners = [manner]
    else:
        stage.sns.close()
    assert not scheduled_run_fails()
    assert probe() == (200, "healthy", "-")
    assert not stage.sns.connections

    stage.dynamodb_is(has_table("DELETING"))
    assert probe() == (503, "unhealthy", "table_not_serving")
    with pytest.raises(MonitorFault, match=r"^the verdict unhealthy could not be published: "):
        handler(SCHEDULE, None)
    attempts = stage.sns.connections
    assert probe() == (503, "unhealthy", "table_not_serving")
    assert stage.sns.connections == attempts


def test_a_connection_that_died_while_lambda_had_us_frozen_is_replaced(stage: Stage) -> None:
    stage.dynamodb.manners = [resets, has_table("ACTIVE")]
    assert probe()[0] == 200


def test_a_connection_is_kept_between_probes(stage: Stage) -> None:
    stage.dynamodb_is(keeps_and_replies("200 OK", ACTIVE))
    assert [probe()[0], probe()[0]] == [200, 200]
    assert stage.dynamodb.connections == 1


def test_a_warm_monitor_sees_what_a_cold_one_sees_when_names_do_not_resolve(stage: Stage) -> None:
    stage.with_open_connection(stage.resolver_fails)
    assert [probe()[0] for _ in range(10)] == [503] * 10
    assert stage.dynamodb.connections == 1
    assert len(stage.dynamodb.requests) == 1


def test_behind_a_proxy_the_proxy_resolves_names(stage: Stage) -> None:
    stage.dynamodb_is(keeps_and_replies("200 OK", ACTIVE))
    stage.monkeypatch.setenv("HTTP_PROXY", stage.dynamodb.url)
    stage.dynamodb_is_at("http://dynamodb.test")
    assert probe() == (200, "healthy", "-")


@pytest.mark.parametrize(
    "request_context",
    [{"http": {"method": "GET"}}, {"httpMethod": "GET", "path": "/health"}, {"elb": {"targetGroupArn": "arn"}}],
    ids=["HTTP API", "REST API", "load balancer"],
)
def test_every_kind_of_http_caller_gets_an_http_answer(stage: Stage, request_context: dict[str, Any]) -> None:
    stage.dynamodb_is(has_table("DELETING"))
    answer = handler({"requestContext": request_context}, None)
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["status"] == "unhealthy"
    assert not stage.sns.connections
