"""A probe has the limits of Route 53's health checkers, against real sockets."""

import errno
import gc
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from payment_dr.operations import probes
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.errors import ThisMachineError
from payment_dr.operations.route53.checkers import judge
from payment_dr.operations.route53.zone import HealthCheck
from payment_dr.side import Side
from tests.handlers.loopback import Manner, Server, certificate_in, closes, http, is_silent, over_tls, replies
from tests.operations.stack import Stack, host


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return certificate_in(tmp_path)


CHECK = HealthCheck(id="check", host=host("primary"), path="/health")
HEALTHY = '{"status": "healthy", "reason": null}'
SICK = '{"status": "unhealthy", "reason": "dynamodb_timeout"}'


def stalls(server: Server, connection: socket.socket) -> None:
    """Gives up in the middle of the body."""
    server.read(connection)
    connection.sendall(http("200 OK", HEALTHY, length=999))
    server.stopped.wait(60)


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (replies("200 OK", HEALTHY), "passes: HTTP status 200, healthy"),
        (replies("503 Service Unavailable", SICK), "fails: HTTP status 503, unhealthy, dynamodb_timeout"),
        (replies("200 OK", "<html>"), "passes: HTTP status 200"),
        (stalls, "passes: HTTP status 200"),
        (replies("429 Too Many Requests", "[]"), "fails: HTTP status 429"),
        (is_silent, "fails: no answer within 2 s of connecting"),
        (closes, "fails: no answer: Remote end closed connection without response"),
    ],
)
def test_a_region_is_judged_as_route_53_judges_it(
    monkeypatch: pytest.MonkeyPatch, manner: Manner, expected: str
) -> None:
    stack = Stack()
    with Server(manner) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        assert str(probes.health(stack, "primary")) == expected


class VirtualStack(Stack):
    """A stack in a time of its own, of which its answers tell."""

    def limit(self, side: Side, seconds: float) -> float:  # noqa: ARG002
        return 20 * seconds

    def took(self, side: Side, measured: float, headers: Mapping[str, str] | None = None) -> float:  # noqa: ARG002
        return float((headers or {}).get("Took", 0))


def answers_after(real: float, took: str) -> Manner:
    def manner(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        server.stopped.wait(real)
        connection.sendall(http("200 OK", HEALTHY, f"Took: {took}", "Connection: close"))

    return manner


@pytest.mark.parametrize(
    ("made", "real", "took", "expected"),
    [
        (VirtualStack, 2.2, "0.5", "passes: HTTP status 200, healthy"),
        (VirtualStack, 0.0, "2.1", "fails: no answer within 2 s of connecting, healthy"),
        (Stack, 2.2, "0.5", "fails: no answer within 2 s of connecting"),
        (Stack, 0.0, "2.1", "passes: HTTP status 200, healthy"),
    ],
)
def test_the_limits_are_of_the_stacks_own_time(
    made: type[Stack], real: float, took: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = made()
    with Server(answers_after(real, took)) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        assert str(probes.health(stack, "primary")) == expected


def test_a_probe_without_an_answer_fails() -> None:
    assert str(probes.health(Stack(), "primary")).startswith("fails: no connection: ")


def test_a_certificate_is_not_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack()
    with Server(over_tls(certificate, replies("200 OK", HEALTHY))) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url.replace("http:", "https:"))
        result = probes.probe(stack, CHECK)
    assert (result.status, result.error, result.body) == (200, None, HEALTHY.encode())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"port": 80, "type": "HTTP"}, "no connection: {host} listens on port 443 only, not on 80"),
        ({"port": 80}, "no connection: {host} listens on port 443 only, not on 80"),
        ({"port": 80, "type": "TCP"}, "no connection: {host} listens on port 443 only, not on 80"),
        ({"type": "HTTP"}, "no answer: port 443 of {host} speaks TLS only"),
        ({"type": "HTTP_STR_MATCH"}, "no answer: port 443 of {host} speaks TLS only"),
        ({"sni": False}, "no answer: SSL alert handshake_failure, as EnableSNI is false"),
        ({"sni": False, "type": "HTTPS_STR_MATCH"}, "no answer: SSL alert handshake_failure, as EnableSNI is false"),
        ({"sni": False, "type": "TCP"}, None),
        ({"host": "PRIMARY.execute-api.us-east-1.amazonaws.com."}, None),
    ],
)
def test_the_host_of_an_api_answers_https_with_sni_on_port_443_alone(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], expected: str | None
) -> None:
    stack = Stack()
    with Server(replies("200 OK", HEALTHY)) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        result = probes.probe(stack, replace(CHECK, **change))
    assert result.error == (expected and expected.format(host=CHECK.host))
    assert judge(CHECK, result).passed is (expected is None and result.status == 200)


@pytest.mark.parametrize("change", [{"host": "status.acme.io"}, {"address": "192.0.2.1"}])
def test_a_host_outside_the_stack_is_inconclusive_on_an_embedded_aws(change: dict[str, Any]) -> None:
    with pytest.raises(CannotTellError, match=r"the embedded AWS does not serve (status\.acme\.io|192\.0\.2\.1)"):
        probes.probe(Stack(), replace(CHECK, **change))


@pytest.mark.parametrize(
    ("change", "connects_to", "name", "host_header"),
    [
        ({}, (host("primary"), 443), host("primary"), host("primary")),
        ({"sni": False}, (host("primary"), 443), None, host("primary")),
        ({"address": "192.0.2.1", "port": 8443}, ("192.0.2.1", 8443), host("primary"), f"{host('primary')}:8443"),
        ({"host": "192.0.2.1", "address": "192.0.2.1"}, ("192.0.2.1", 443), None, "192.0.2.1"),
    ],
)
def test_on_aws_host_address_port_and_sni_are_those_of_the_check(
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    connects_to: tuple[str, int],
    name: str | None,
    host_header: str,
) -> None:
    names, connected, heads = [], [], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _tls, named, _context: names.append(named)

    def over_tls(_server: Server, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            heads.append(wrapped.recv(65536).decode())
            wrapped.sendall(http("200 OK", HEALTHY, "Connection: close"))

    connect = socket.create_connection
    monkeypatch.setenv("no_proxy", "*")
    with Server(over_tls) as server:
        local = urlsplit(server.url)

        def redirect(address: tuple[str, int], limit: float) -> socket.socket:
            connected.append(address)
            return connect((str(local.hostname), int(local.port or 0)), limit)

        monkeypatch.setattr(socket, "create_connection", redirect)
        result = probes.probe(Stack(live=True), replace(CHECK, path="/health?deep=1", **change))
    assert (result.status, result.body) == (200, HEALTHY.encode())
    assert (connected, names) == ([connects_to], [name])
    line, *headers = heads[0].split("\r\n")
    assert line == "GET /health?deep=1 HTTP/1.1"
    assert [each for each in headers if each.lower().startswith("host:")] == [f"Host: {host_header}"]


def answers_in_two_parts(seconds: float) -> Manner:
    def manner(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(http("200 OK", "", length=len(HEALTHY)))
        server.stopped.wait(seconds)
        connection.sendall(HEALTHY.encode())

    return manner


@pytest.mark.parametrize(("seconds", "passes"), [(0.1, True), (2.5, False)])
def test_a_string_is_waited_for_as_long_as_a_checker_waits(
    monkeypatch: pytest.MonkeyPatch, seconds: float, passes: bool
) -> None:
    stack = Stack()
    check = replace(CHECK, type="HTTPS_STR_MATCH", search_string='"healthy"')
    with Server(answers_in_two_parts(seconds)) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        assert judge(check, probes.probe(stack, check)).passed is passes


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the user's proxy."""

    def set_proxy(url: str) -> None:
        for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("http_proxy", url)

    return set_proxy


def passes_on_to(certificate: Path, manner: Manner) -> Manner:
    """A proxy, and what it connects to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def connect(server: Server, connection: socket.socket) -> None:
        server.requests.append(connection.recv(65536).decode())
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as wrapped:
            manner(server, wrapped)

    return connect


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (replies("200 OK", HEALTHY), "passes: HTTP status 200, healthy"),
        (replies("503 Service Unavailable", SICK), "fails: HTTP status 503, unhealthy, dynamodb_timeout"),
        (closes, "fails: no answer: Remote end closed connection without response"),
    ],
)
def test_behind_a_proxy_the_probe_of_a_public_url_goes_through_it(
    behind: Callable[[str], None], certificate: Path, manner: Manner, expected: str
) -> None:
    with Server(passes_on_to(certificate, manner)) as proxy:
        behind(proxy.url.replace("http://", "http://operator:p%40ss@"))
        assert str(probes.health(Stack(live=True), "primary")) == expected
    connect, *headers = proxy.requests[0].split("\r\n")
    assert connect.startswith("CONNECT primary.execute-api.us-east-1.amazonaws.com:443 ")
    assert "Proxy-Authorization: Basic b3BlcmF0b3I6cEBzcw==" in headers


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize(
    "manner", [replies("407 Proxy Authentication Required", ""), replies("503 Service Unavailable", ""), closes]
)
def test_a_probe_that_a_proxy_rejects_is_no_fault_of_the_region(
    behind: Callable[[str], None], manner: Manner, scheme: str
) -> None:
    with Server(manner) as proxy:
        behind(proxy.url.replace("http://", f"{scheme}://operator:secret@"))
        with pytest.raises(CannotTellError, match=r"us-east-1\S+ cannot be probed through the proxy 127") as raised:
            probes.health(Stack(live=True), "primary")
    assert "secret" not in raised.value.message + raised.value.hint
    assert "HTTPS_PROXY" in raised.value.hint


def test_a_proxy_that_rejects_a_probe_leaves_no_connection_open(behind: Callable[[str], None]) -> None:
    with Server(replies("407 Proxy Authentication Required", "")) as proxy:
        behind(proxy.url)
        with pytest.raises(CannotTellError) as raised:
            probes.health(Stack(live=True), "primary")
    assert raised.value.__cause__  # whose traceback keeps what was not closed
    answers = [each for each in gc.get_objects() if isinstance(each, HTTPResponse)]
    assert [each for each in answers if not each.isclosed()] == []


def test_a_proxy_that_is_gone_is_no_fault_of_the_region(behind: Callable[[str], None]) -> None:
    behind("http://127.0.0.1:1")
    with pytest.raises(CannotTellError, match="Connection refused"):
        probes.health(Stack(live=True), "primary")


def test_no_proxy_hosts_and_an_embedded_aws_are_probed_directly(
    behind: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    behind("http://127.0.0.1:1")
    stack = Stack()
    with Server(replies("200 OK", HEALTHY)) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        assert probes.health(stack, "primary").verdict.passed
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(stack, "endpoint_url", "https://127.0.0.1:1")
    result = probes.probe(stack, CHECK)
    assert str(result.error).startswith("no connection: ")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_probe_that_this_machine_cannot_make_is_no_fault_of_the_region(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(ThisMachineError, match="cannot open any more files or connections"):
        probes.health(Stack(), "primary")


def test_a_table_is_asked_for_its_state_and_that_of_its_replica() -> None:
    stack = Stack()
    stack.tables["primary"], stack.replicas["primary"] = "UPDATING", "CREATING"
    assert probes.table(stack, "primary") == probes.Table("UPDATING", "CREATING")
    assert probes.table(stack, "secondary") == probes.Table("ACTIVE", "ACTIVE")


def test_the_worst_minute_of_replication_counts() -> None:
    stack = Stack()
    assert probes.replication_latency_ms(stack, "primary", 1000.0) is None
    stack.latencies["primary"] = [120.0, 900.0, 80.0]
    assert probes.replication_latency_ms(stack, "primary", 1000.0) == 900.0
