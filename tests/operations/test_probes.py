"""A probe has the limits of Route 53's health checkers, against real sockets."""

import datetime
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from payment_dr.operations import probes
from tests.handlers.loopback import Manner, Server, closes, http, is_silent, replies
from tests.operations.stack import Stack


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of another host, that has expired, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now - datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


HEALTHY = '{"status": "healthy", "reason": null}'
SICK = '{"status": "unhealthy", "reason": "dynamodb_timeout"}'


def stalls(server: Server, connection: socket.socket) -> None:
    """Gives up in the middle of the body."""
    server.read(connection)
    connection.sendall(http("200 OK", HEALTHY, length=999))
    server.stopped.wait(60)


@pytest.mark.parametrize(
    ("manner", "told"),
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
def test_a_region_is_judged_as_route_53_judges_it(monkeypatch: pytest.MonkeyPatch, manner: Manner, told: str) -> None:
    stack = Stack()
    with Server(manner) as server:
        monkeypatch.setattr(stack, "endpoint_url", server.url)
        assert str(probes.health(stack, "primary")) == told


def test_nobody_there_fails() -> None:
    assert str(probes.health(Stack(), "primary")).startswith("fails: no connection: ")


def test_a_certificate_is_not_looked_at(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def over_tls(server: Server, connection: ssl.SSLSocket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            replies("200 OK", HEALTHY)(server, wrapped)

    with Server(over_tls) as server:  # type: ignore[arg-type]
        result, body = probes.probe(f"{server.url.replace('http:', 'https:')}/health")
    assert (result.status, result.error, body) == (200, None, HEALTHY.encode())
