"""AWS services on 127.0.0.1 that fail in every way in which a service can: real sockets, for real clients."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Manner = Callable[["Server", socket.socket], None]


class Server:
    """Treats each connection as it is told, the last way for ever.

    Attributes:
        url: Its address, for ``AWS_ENDPOINT_URL_<service>``.
        requests: The bodies of what it was asked.
        connections: How many clients have connected.
    """

    def __init__(self, *manners: Manner) -> None:
        self.manners = list(manners)
        self.requests: list[str] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.05)
        while not self.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.connections += 1
                manner = self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]
                self._start(self._serve, manner, connection)

    def _serve(self, manner: Manner, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            manner(self, connection)

    def read(self, connection: socket.socket) -> None:
        """Read one request and keep its body."""
        data = b""
        while not (head := data.partition(b"\r\n\r\n"))[1]:
            data += self._received(connection)
        length = int((re.search(rb"(?i)^content-length: *([0-9]+)", head[0], re.MULTILINE) or [b"", b"0"])[1])
        body = head[2]
        while len(body) < length:
            body += self._received(connection)
        self.requests.append(body.decode())

    def _received(self, connection: socket.socket) -> bytes:
        connection.settimeout(0.05)
        while not self.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                chunk = connection.recv(4096)
                if not chunk:
                    raise ConnectionAbortedError("the client is gone")
                connection.settimeout(None)
                return chunk
        raise ConnectionAbortedError("the server stops")

    def close(self) -> None:
        """End every conversation; the port is closed from then on. Twice is fine."""
        self.stopped.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


def http(status: str, body: str, *headers: str, length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}", "", ""]
    return ("\r\n".join(head) + body).encode()


def replies(status: str, body: str, *, length: int | None = None) -> Manner:
    def manner(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(http(status, body, "Connection: close", length=length))

    return manner


def keeps_and_replies(status: str, body: str) -> Manner:
    """One connection for all requests."""

    def manner(server: Server, connection: socket.socket) -> None:
        while True:  # until the client closes it
            server.read(connection)
            connection.sendall(http(status, body))

    return manner


def has_table(status: str) -> Manner:
    return replies("200 OK", json.dumps({"Table": {"TableName": "transactions", "TableStatus": status}}))


def refuses_with(code: str, status: str = "400 Bad Request") -> Manner:
    """As DynamoDB says it, and as SNS does."""
    json_body = json.dumps(
        {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "arn:aws:sts::111122223333"}
    )
    xml_body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>"

    def manner(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(http(status, json_body if server.requests[-1][:1] == "{" else xml_body, "Connection: close"))

    return manner


def is_silent(server: Server, _connection: socket.socket) -> None:
    server.stopped.wait(60)


def resets(_server: Server, connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(server: Server, connection: socket.socket) -> None:
    server.read(connection)


def dribbles(start: bytes, rest: bytes) -> Manner:
    def manner(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(start)
        for byte in rest:
            connection.sendall(bytes([byte]))
            if server.stopped.wait(0.2):
                return

    return manner


PUBLISHED = (
    '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
    "<PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
)
publishes = replies("200 OK", PUBLISHED)


def certificate_in(directory: Path) -> Path:
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
    path = directory / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def over_tls(certificate: Path, manner: Manner) -> Manner:
    """The same manner behind a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def shakes_hands(server: Server, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            manner(server, wrapped)

    return shakes_hands
