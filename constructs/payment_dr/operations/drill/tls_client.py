"""A client of the stack's custom domain, which verifies certificates as every payments client does."""

import ssl
from collections.abc import Callable, Mapping
from functools import partial

import urllib3
from urllib3.exceptions import HTTPError, SSLError
from urllib3.exceptions import TimeoutError as NoAnswerInTime

from payment_dr.operations.deployed import Deployed, called_in_time
from payment_dr.side import SIDES, Side

SECONDS = 2.0  # that a call is given


class NotServedError(Exception):
    """A region does not serve the name: the message says why."""


class TlsClient:
    """Calls the API of a region by the name that clients use, over a new connection each time.

    It asks for the root, which the stack's API does not have: API Gateway answers 404 by itself, and runs no function.

    Args:
        host: The name.
        addresses: Host and port of each side's region.
        authority: The authority's certificate (PEM) to verify with. Default: those that this machine trusts.
        limit: Gives the real seconds for those that a call may take, see `Deployed.limit`. Default: the same.

    Example:
        >>> TlsClient("app.pay.acme.io", {"primary": ("d-1.execute-api.us-east-1.amazonaws.com", 443)}).call(
        ...     "primary"
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        host: str,
        addresses: Mapping[Side, tuple[str, int]],
        authority: str | None = None,
        limit: Callable[[Side, float], float] = lambda _, seconds: seconds,
    ) -> None:
        self._host, self._addresses, self._limit = host, addresses, limit
        self._tls = ssl.create_default_context(cadata=authority)

    def call(self, side: Side) -> None:
        """Let the region of a side take a call.

        Raises:
            NotServedError: It does not: the certificate is not for the name, there is no API mapping, or no answer.
        """
        status = self.send(side, "GET", "/")
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-mappings.html
        if status == 403:
            raise NotServedError("HTTP status 403, as of a name without an API mapping")
        if status >= 500:
            raise NotServedError(f"HTTP status {status}")

    def send(
        self, side: Side, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> int:
        """Send one request to the region of a side; its status. To send it twice must do no harm.

        Args:
            side: The side of the region.
            method: The method.
            path: The path.
            headers: Headers beside the name. Default: none.
            body: The body. Default: none.

        Raises:
            NotServedError: The certificate is not for the name, or there is no answer.
        """

        def status(seconds: float) -> int:
            address, port = self._addresses[side]
            with urllib3.HTTPSConnectionPool(
                address, port, ssl_context=self._tls, server_hostname=self._host, retries=False, timeout=seconds
            ) as pool:
                return pool.request(method, path, headers={**(headers or {}), "Host": self._host}, body=body).status

        try:
            return called_in_time(status, SECONDS, partial(self._limit, side), (NoAnswerInTime,))
        except SSLError as error:
            rejected = any(isinstance(each, ssl.SSLCertVerificationError) for each in error.args)
            what = "its certificate is rejected" if rejected else "the TLS handshake failed"
            raise NotServedError(f"{what}: {error}") from error
        except HTTPError as error:
            raise NotServedError(f"no answer: {error}") from error


def tls_client_of(stack: Deployed) -> TlsClient | None:
    """A client of a deployed stack's name where AWS serves it over TLS; an embedded AWS serves it elsewhere."""
    if not (stack.has_custom_domain and stack.is_live):
        return None
    return TlsClient(str(stack.outputs["application_fqdn"]), {side: (stack.target(side), 443) for side in SIDES})
