"""What the health monitor makes of the other region: the real handler, over real TLS, against real sockets."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trustme

from handlers import lambda_health_monitor as monitor
from tests.handlers.health_faults import PROBE, SCHEDULE
from tests.handlers.loopback import Manner, Server, closes, dribbles, has_table, is_silent, publishes, replies, resets

PATH = "/health/aPathThatNobodyElseKnows"
healthy = replies("200 OK", '{"status": "healthy"}')
unhealthy = replies("503 Service Unavailable", '{"status": "unhealthy"}')


class Peer:
    """The other region, and this one, which watches it."""

    def __init__(
        self, open_: contextlib.ExitStack, environment: pytest.MonkeyPatch, log: Callable[[], str], folder: Path
    ) -> None:
        self.open, self.environment, self._log = open_, environment, log
        authority = trustme.CA()
        self._authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(self._authority)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._tls)
        self.seen: list[str] = []  # what was asked, of whom, in its order
        self.requests: list[bytes] = []
        self.is_trusted()
        self.dynamodb = self._serve("DYNAMODB", has_table("ACTIVE"))
        self.sns = self._serve("SNS", publishes)
        self.server = open_.enter_context(Server(self._over_tls(healthy)))
        self.is_at(self.server.url)

    def is_trusted(self) -> None:
        self.environment.setenv("SSL_CERT_FILE", str(self._authority))

    def is_at(self, url: str) -> None:
        self.environment.setenv("PEER_HEALTH_URL", url.replace("http://", "https://") + PATH)

    def is_(self, *manners: Manner) -> None:
        self.server.manners = [self._over_tls(manner) for manner in manners]

    def run(self, event: Any = SCHEDULE) -> Any:
        return monitor.handler(event, None)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged since the last look."""
        text = self._log()
        assert PATH.rpartition("/")[2] not in text
        return [json.loads(line) for line in text.splitlines()]

    def found(self) -> dict[str, Any]:
        """The line about the other region."""
        (line,) = (each for each in self.lines() if each["message"] == "other region")
        return line

    def _serve(self, service: str, *manners: Manner) -> Server:
        server = self.open.enter_context(Server(*(self._noting(service, manner) for manner in manners)))
        self.environment.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        return server

    def _noting(self, whom: str, manner: Manner) -> Manner:
        def noted(server: Server, connection: Any) -> None:
            self.seen.append(whom)
            manner(server, connection)

        return noted

    def _over_tls(self, manner: Manner) -> Manner:
        def over_tls(server: Server, connection: socket.socket) -> None:
            self.seen.append("PEER")
            with self._tls.wrap_socket(connection, server_side=True) as tls:
                manner(server, self._kept(tls))

        return over_tls

    def _kept(self, tls: Any) -> Any:
        received = tls.recv

        def recv(size: int) -> bytes:
            data: bytes = received(size)
            self.requests.append(data)
            return data

        kept = mock.Mock(wraps=tls)
        kept.recv = recv
        return kept


@pytest.fixture
def peer(
    new_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Peer]:
    monkeypatch.setattr(monitor, "PEER_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambda-health-monitor-east-dev")
    with contextlib.ExitStack() as open_:
        yield Peer(open_, monkeypatch, lambda: capsys.readouterr().out, tmp_path)


def refuses_connections(peer: Peer) -> None:
    peer.server.close()


def has_no_name(peer: Peer) -> None:
    peer.is_at("http://peer.invalid")


def speaks_no_tls(peer: Peer) -> None:
    peer.environment.setattr(monitor, "PEER_CONNECT_SECONDS", 0.2)
    peer.server.manners = [healthy]


def leaves_connections_unanswered(peer: Peer) -> None:
    peer.environment.setattr(monitor, "PEER_CONNECT_SECONDS", 0.2)
    full = peer.open.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):  # the kernel ignores further handshakes once the queue is full
        client = peer.open.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(full.getsockname())
    peer.is_at(f"http://127.0.0.1:{full.getsockname()[1]}")


def says_nothing(peer: Peer) -> None:
    peer.environment.setattr(monitor, "PEER_ANSWER_SECONDS", 0.2)
    peer.is_(is_silent)


def answers_too_late(peer: Peer) -> None:
    peer.environment.setattr(monitor, "PEER_ANSWER_SECONDS", 0.2)

    def answer(server: Server, connection: socket.socket) -> None:
        server.stopped.wait(0.6)
        healthy(server, connection)

    peer.is_(answer)


def answers_byte_by_byte(peer: Peer) -> None:
    ask = monitor._ask_peer
    peer.environment.setattr(monitor, "_ask_peer", lambda url, home: ask(url, home, deadline=0.5))
    peer.is_(dribbles(b"HTTP/1.1 ", b"2" * 1000))


def answers(manner: Manner) -> Callable[[Peer], None]:
    return lambda peer: peer.is_(manner)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answers(unhealthy), "peer_status_503"),
        (answers(replies("404 Not Found", "")), "peer_status_404"),
        (answers(replies("429 Too Many Requests", "")), "peer_status_429"),
        (answers(replies("500 Internal Server Error", "")), "peer_status_500"),
        (answers(resets), "peer_unreachable"),
        (answers(closes), "peer_unreachable"),
        (answers(replies("what is this", "")), "peer_unreachable"),
        (refuses_connections, "peer_unreachable"),
        (has_no_name, "peer_unreachable"),
        (speaks_no_tls, "peer_unreachable"),
        (leaves_connections_unanswered, "peer_unreachable"),
        (says_nothing, "peer_unreachable"),
        (answers_too_late, "peer_unreachable"),
        (answers_byte_by_byte, "peer_unreachable"),
    ],
)
def test_a_region_that_does_not_answer_as_a_healthy_one_is_unhealthy(
    peer: Peer, fault: Callable[[Peer], None], reason: str
) -> None:
    fault(peer)
    assert peer.run()["status"] == "healthy"
    found = peer.found()
    assert (found["level"], found["status"], found["reason"], found["PeerUnhealthy"]) == (
        *("ERROR", "unhealthy"),
        *(reason, 1),
    )


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "301 Moved Permanently", "399 Of The Future"])
def test_what_route_53_takes_for_healthy_is_healthy_and_no_redirect_is_followed(peer: Peer, status: str) -> None:
    peer.is_(replies(status, ""))
    peer.run()
    found = peer.found()
    assert (found["level"], found["status"], found["PeerUnhealthy"]) == ("INFO", "healthy", 0)
    assert peer.seen.count("PEER") == 1


def test_one_attempt_may_fail_and_two_may_not(peer: Peer) -> None:
    peer.is_(unhealthy, healthy)
    peer.run()
    assert peer.found()["PeerUnhealthy"] == 0
    peer.is_(unhealthy, unhealthy, healthy)
    peer.run()
    assert peer.found()["PeerUnhealthy"] == 1


def test_the_metric_is_in_the_embedded_format_and_of_the_time_when_the_run_began(peer: Peer) -> None:
    answer = peer.run()
    found = peer.found()
    (directive,) = found["_aws"]["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "PaymentApp/HealthMonitor",
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": "PeerUnhealthy", "Unit": "Count"}],
    }
    assert found["FunctionName"] == "lambda-health-monitor-east-dev"
    began = datetime.fromisoformat(answer["timestamp"]).timestamp() * 1000
    assert abs(found["_aws"]["Timestamp"] - began) <= 1


def test_it_asks_for_the_path_and_says_which_region_asks(peer: Peer) -> None:
    peer.run()
    request = b"".join(peer.requests).decode().split("\r\n")
    assert request[0] == f"GET {PATH} HTTP/1.1"
    assert "User-Agent: payment-dr-health-monitor/us-east-1" in request


@pytest.mark.parametrize("event", [PROBE, {}, {"detail-type": "Something Else"}])
def test_only_the_scheduled_run_asks(peer: Peer, event: Any) -> None:
    peer.run(event)
    assert "PEER" not in peer.seen
    assert [line["message"] for line in peer.lines()] == ["health"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_nobody_is_asked_without_an_address(peer: Peer, value: str | None) -> None:
    if value is None:
        peer.environment.delenv("PEER_HEALTH_URL")
    else:
        peer.environment.setenv("PEER_HEALTH_URL", value)
    peer.run()
    assert [line["message"] for line in peer.lines()] == ["health"]


def is_no_url(peer: Peer) -> None:
    peer.environment.setenv("PEER_HEALTH_URL", "no address")


def is_without_tls(peer: Peer) -> None:
    peer.environment.setenv("PEER_HEALTH_URL", peer.server.url + PATH)


def has_a_space_in_its_path(peer: Peer) -> None:
    peer.is_at(f"{peer.server.url}/a b")


def has_a_port_that_is_none(peer: Peer) -> None:
    peer.environment.setenv("PEER_HEALTH_URL", f"https://127.0.0.1:port{PATH}")


def has_no_file_descriptor_left(peer: Peer) -> None:
    no_more = OSError(errno.EMFILE, "Too many open files")
    peer.environment.setattr(http.client.HTTPSConnection, "connect", mock.Mock(side_effect=no_more))


def is_not_trusted_here(peer: Peer) -> None:
    peer.environment.delenv("SSL_CERT_FILE")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (is_no_url, "monitor_setting"),
        (is_without_tls, "monitor_setting"),
        (has_a_space_in_its_path, "monitor_setting"),
        (has_a_port_that_is_none, "monitor_setting"),
        (has_no_file_descriptor_left, "monitor_error"),
        (is_not_trusted_here, "monitor_connection"),
    ],
)
def test_a_fault_of_this_side_is_not_published_as_one_of_the_other_side(
    peer: Peer, fault: Callable[[Peer], None], reason: str
) -> None:
    fault(peer)
    peer.run()
    found = peer.found()
    assert (found["level"], found["status"], found["reason"]) == ("ERROR", "unknown", reason)
    assert not {"_aws", "PeerUnhealthy"} & found.keys()


def test_without_a_thread_to_ask_in_nothing_is_known(peer: Peer) -> None:
    with mock.patch.object(threading, "Thread", side_effect=RuntimeError("can't start new thread")):
        outcome = monitor._ask_peer(peer.server.url, "us-east-1")
    assert monitor.judge_peer(outcome, monitor.Verdict(monitor.HEALTHY)).status == monitor.UNKNOWN


def test_whoever_reaches_nobody_cannot_tell_who_is_gone(peer: Peer) -> None:
    peer.dynamodb.close()
    peer.server.close()
    assert peer.run()["reason"] == "dynamodb_unreachable"
    found = peer.found()
    assert (found["status"], found["reason"]) == ("unknown", "monitor_connection")
    assert "_aws" not in found


def test_an_answer_is_evidence_whatever_this_side_reaches_otherwise(peer: Peer) -> None:
    peer.dynamodb.close()
    peer.is_(unhealthy)
    peer.run()
    assert peer.found()["PeerUnhealthy"] == 1


def test_a_region_that_serves_nothing_still_sees_that_the_other_one_is_gone(peer: Peer) -> None:
    peer.dynamodb.manners = [has_table("DELETING")]
    peer.server.close()
    assert peer.run()["reason"] == "table_not_serving"
    assert peer.found()["PeerUnhealthy"] == 1


def test_the_log_has_the_kind_of_the_error_and_none_where_there_is_none(peer: Peer) -> None:
    """Not its text, which can quote a private path: `Peer.lines` looks for that."""
    peer.run()
    assert "error" not in peer.found()
    peer.server.close()
    peer.run()
    assert peer.found()["error"] == "ConnectionRefusedError"


def test_the_own_verdict_is_mailed_first_and_an_own_fault_is_raised_as_ever(peer: Peer) -> None:
    peer.dynamodb.manners = [replies("400 Bad Request", '{"__type": "x#AccessDeniedException"}')]
    peer.is_(unhealthy)
    with pytest.raises(monitor.MonitorFault, match="the table's health is unknown: monitor_refused"):
        peer.run()
    assert [whom for whom in peer.seen if whom != "DYNAMODB"] == ["SNS", "PEER", "PEER"]
    assert peer.found()["PeerUnhealthy"] == 1


def test_a_region_that_is_gone_mails_nothing_itself_and_leaves_the_own_verdict(peer: Peer) -> None:
    peer.server.close()
    for _ in range(3):
        assert peer.run()["status"] == "healthy"
    assert "SNS" not in peer.seen
