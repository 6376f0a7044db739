"""Requests count as sent over TLS, unless a header says otherwise.

AWS: aws:SecureTransport is true for a request over TLS, and SDKs and Terraform use TLS
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-securetransport).

ministack 1.5.33: a request counts as sent without TLS unless it has `X-Forwarded-Proto: https`, and so do the calls of
a service itself, such as S3's replication.

Why it matters: the embedded AWS listens on loopback without TLS. A bucket that rejects requests without TLS would
reject everyone but the account's root. A test sends `X-Forwarded-Proto: http` to be rejected.
"""

from contextvars import ContextVar
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_evaluator  # type: ignore[import-untyped]

_is_without_tls: ContextVar[bool] = ContextVar("is_without_tls", default=False)


def apply() -> None:
    """Make TLS the default of requests and of services."""
    serve, pin = app.app, iam_evaluator.pin_request_origin
    iam_evaluator._request_origin = ContextVar("request_origin", default=("127.0.0.1", True))

    async def serve_as_over_tls(scope: Any, receive: Any, send: Any) -> None:
        _is_without_tls.set((b"x-forwarded-proto", b"http") in scope.get("headers", ()))
        await serve(scope, receive, send)

    app.app = serve_as_over_tls
    app.pin_request_origin = lambda source_ip, _: pin(source_ip, not _is_without_tls.get())
