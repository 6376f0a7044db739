"""A client of the custom domain turns away from what a payments client turns away from."""

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from payment_dr.operations.drill import tls_client
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient

HOST = "app.pay.acme.io"


class Handler(http.server.BaseHTTPRequestHandler):
    status = 404
    seconds = 0.0
    asked: tuple[str | None, str] | None = None

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        type(self).asked = self.headers["Host"], self.path
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(
    status: int, certified: str | None, authority: trustme.CA
) -> Iterator[tuple[tuple[str, int], type[Handler]]]:
    """A region that answers with a status and shows a certificate, or has none: its address, and what it was asked."""

    class Answering(Handler):
        pass

    Answering.status = status
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certified:
        authority.issue_cert(certified).configure_cert(tls)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that turn away
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield ("127.0.0.1", server.server_address[1]), Answering
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def client(address: tuple[str, int], authority: trustme.CA | None) -> TlsClient:
    return TlsClient(HOST, {"primary": address}, authority.cert_pem.bytes().decode() if authority else None)


def test_a_region_with_the_certificate_takes_the_call_by_the_name_that_clients_use(authority: trustme.CA) -> None:
    with served(404, HOST, authority) as (address, handler):
        client(address, authority).call("primary")
    assert handler.asked == (HOST, "/")


@pytest.mark.parametrize(
    ("status", "certified", "why"),
    [
        (404, "*.execute-api.us-east-1.amazonaws.com", r"its certificate is rejected: .*Hostname mismatch"),
        (403, HOST, "HTTP status 403, as of a name without an API mapping"),
        (503, HOST, "HTTP status 503"),
    ],
)
def test_a_status_that_clients_reject_counts_as_not_served(
    status: int, certified: str, why: str, authority: trustme.CA
) -> None:
    with served(status, certified, authority) as (address, _), pytest.raises(NotServedError, match=why):
        client(address, authority).call("primary")


def test_a_certificate_of_an_untrusted_authority_is_rejected(authority: trustme.CA) -> None:
    with served(404, HOST, authority) as (address, _), pytest.raises(NotServedError, match="certificate verify failed"):
        client(address, None).call("primary")


def test_a_broken_handshake_does_not_count_as_a_rejected_certificate(authority: trustme.CA) -> None:
    with (
        served(404, None, authority) as (address, _),
        pytest.raises(NotServedError, match=r"^the TLS handshake failed: "),
    ):
        client(address, authority).call("primary")


def test_a_call_is_given_the_seconds_that_the_stack_needs_for_it(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_client, "SECONDS", 0.2)
    pem = authority.cert_pem.bytes().decode()
    with served(404, HOST, authority) as (address, handler):
        handler.seconds = 0.6
        with pytest.raises(NotServedError, match="no answer"):
            TlsClient(HOST, {"primary": address}, pem).call("primary")
        TlsClient(HOST, {"primary": address}, pem, lambda _, seconds: 100 * seconds).call("primary")


def test_a_region_that_does_not_answer_is_not_served(authority: trustme.CA) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        address = ("127.0.0.1", closed.server_address[1])
    with pytest.raises(NotServedError, match=r"no answer: .*refused"):
        client(address, authority).call("primary")
