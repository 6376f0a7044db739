"""Custom domains over HTTPS: API Gateway's regional domain names for a TLS client.

Each region has an address of its own on the loopback interface, as each has its own ``d-….execute-api`` host on AWS.
Both serve the same name, so only the address identifies the region. The certificates come from an authority of this
process.
"""

import contextlib
import http.server
import socketserver
import ssl
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import trustme
import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from embedded_aws.server import EmbeddedAws

HANDSHAKE_SECONDS = 10
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html, "Maximum integration timeout"
INTEGRATION_SECONDS = 30
_LOOK_SECONDS = 0.02  # between two looks whether to end
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}


class CustomDomains:
    """HTTPS in front of an embedded AWS, one address for each region. A context manager.

    As in API Gateway, the name in the handshake selects the certificate: that of the region's domain name once ACM has
    issued it, else the region's own for ``*.execute-api``, which a client that verifies it rejects. The Host header
    must be the same name, and have an API mapping, else the answer is 403:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-mappings.html

    Args:
        aws: A running embedded AWS.
        regions: The regions to serve.

    Attributes:
        authority: The authority's certificate (PEM), which clients need to verify.
        ports: Port on 127.0.0.1 by region.

    Example:
        >>> with CustomDomains(aws, ["us-east-1"]) as domains:  # doctest: +SKIP
        ...     domains.get("us-east-1", "app.pay.acme.io", "/health").status
        200
    """

    def __init__(self, aws: EmbeddedAws, regions: Iterable[str]) -> None:
        self._ca = trustme.CA()
        self.authority: str = self._ca.cert_pem.bytes().decode()
        self._servers = {region: _Server(aws, region, self._ca) for region in regions}
        self.ports = {region: server.server_address[1] for region, server in self._servers.items()}

    def __enter__(self) -> Self:
        for region, server in self._servers.items():
            serve = threading.Thread(
                target=server.serve_forever, args=[_LOOK_SECONDS], name=f"https-{region}", daemon=True
            )
            serve.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def get(self, region: str, host: str, path: str) -> urllib3.BaseHTTPResponse:
        """Get a path of a host from a region, as a client that verifies the certificate does.

        Raises:
            urllib3.exceptions.SSLError: The certificate is not for this host, or the handshake failed.
        """
        with urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            self.ports[region],
            ssl_context=ssl.create_default_context(cadata=self.authority),
            server_hostname=host,
            assert_hostname=host,
            retries=False,
            timeout=HANDSHAKE_SECONDS,
        ) as pool:
            return pool.request("GET", path, headers={"Host": host})


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, aws: EmbeddedAws, region: str, ca: trustme.CA) -> None:
        self.aws = aws
        self._ca = ca
        self._gateway, self._acm = (aws.client(service, region) for service in ("apigatewayv2", "acm"))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._own = f"*.execute-api.{region}.amazonaws.com"
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(HANDSHAKE_SECONDS)
        # A client that turns away is not this server's mistake.
        with contextlib.suppress(OSError), self._context(self._own).wrap_socket(request, server_side=True) as tls:
            _Handler(tls, client_address, self)

    def api(self, host: str) -> str | None:
        """Address of the host's API, if the root of the domain is mapped to one."""
        try:
            mappings = self._gateway.get_api_mappings(DomainName=host)["Items"]
        except self._gateway.exceptions.NotFoundException:
            return None
        for mapping in mappings:
            if not mapping.get("ApiMappingKey"):
                return f"{self.aws.endpoint_url}/_aws/execute-api/{mapping['ApiId']}/{mapping['Stage']}"
        return None

    def _certified(self, host: str) -> str:
        """The name in the certificate for this host."""
        try:
            (configuration,) = self._gateway.get_domain_name(DomainName=host)["DomainNameConfigurations"]
        except self._gateway.exceptions.NotFoundException:
            return self._own
        found = self._acm.describe_certificate(CertificateArn=configuration["CertificateArn"])["Certificate"]
        return str(found["DomainName"]) if found["Status"] == "ISSUED" else self._own

    def _context(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.sni_callback = self._choose
                self._ca.issue_cert(name).configure_cert(context)
                self._contexts[name] = context
            return self._contexts[name]

    def _choose(self, tls: Any, name: str | None, _context: ssl.SSLContext) -> int | None:
        try:
            tls.context = self._context(self._certified(name) if name else self._own)
        except (BotoCoreError, ClientError):  # the region is down
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        tls.asked_for = name
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            address = self.server.api(host) if host and host == getattr(self.connection, "asked_for", None) else None
            if address is None:
                self._answer(403, {"Content-Type": "application/json"}, b'{"message":"Forbidden"}')
                return
            url = address + self.path
            answer = urllib3.request(
                self.command, url, headers=headers, body=body or None, retries=False, timeout=INTEGRATION_SECONDS
            )
        except (BotoCoreError, ClientError, HTTPError):  # the region is down
            self._answer(503, {"Content-Type": "application/json"}, b'{"message":"Service Unavailable"}')
            return
        self._answer(answer.status, dict(answer.headers), answer.data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - the library's names

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {*_HOP_BY_HOP, "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing: the embedded AWS has a log of its own."""
