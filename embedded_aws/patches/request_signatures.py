"""Every request needs a secret, except to the routes of an API and for the code of a function.

AWS: checks the signature of every request, whoever's key it names
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). Routes of an HTTP API without an authorizer are
open to anyone, and the address of a function's code is a presigned one.

ministack 1.5.33: does not check signatures of an account's root: a 12-digit access key may do everything with any
signature, and so may a header ``Authorization`` of an unknown kind. Its own paths (``/_ministack/reset`` ...) need no
credentials at all, nor does what it answers without the body (OPTIONS, ``/health``, Cognito's pages) and MQTT over a
websocket. The credentials of a function can be computed from its ARN and its role's.

Why it matters: functions are processes of the user who runs the embedded AWS. Without a secret, everybody who reaches
its port can create a function, and so run code as that user.

The secret is ``AWS_SECRET_ACCESS_KEY`` in the emulator's environment. The roots of all accounts sign with it. The
emulator's own paths, and websockets that are not an API's, take it as ``Authorization: Bearer``.
"""

import hmac
import os
from contextvars import ContextVar
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_evaluator, lambda_runtime, responses  # type: ignore[import-untyped]
from ministack.services import s3  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage

_OWN_PATHS = "/_"
# Answered to GET alone; AWS presigns these addresses, ministack does not.
_CODE_PATHS = ("/_ministack/lambda-code/", "/_ministack/lambda-layers/")

_is_pinning: ContextVar[bool] = ContextVar("embedded_aws_is_pinning", default=False)


def apply() -> None:
    """Check every signature, and require the secret on the emulator's own paths."""
    serve, pin_signed_request, is_root_key = app.app, iam_evaluator.pin_signed_request, iam_evaluator._is_root_key
    answer_without_body, answer_special_request = app._handle_pre_body_request, app._handle_post_body_shortcuts
    execution_credentials = lambda_runtime.execution_credentials

    async def serve_who_knows_the_secret(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or not _needs_the_secret(scope) or _knows_the_secret(scope):
            await serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await region_outage.is_read(receive)
            await region_outage.respond_json(send, 403, {"message": "this path needs the secret of this embedded AWS"})

    def pin_every_key(*args: Any, **kwargs: Any) -> None:
        token = _is_pinning.set(True)
        try:
            pin_signed_request(*args, **kwargs)
        finally:
            _is_pinning.reset(token)

    def is_trusted_root_key(access_key: str) -> bool:
        return not _is_pinning.get() and bool(is_root_key(access_key))

    # ministack does not look at signatures before this.
    async def answer_unsigned(method: str, path: str, headers: Any, query_params: Any, request_id: str) -> Any:
        if _needs_signature(path):
            return None
        return await answer_without_body(method, path, headers, query_params, request_id)

    # The first that ministack does with a request that it has read.
    async def answer_if_signed(
        method: str, path: str, headers: Any, body: bytes, query_params: Any, request_id: str
    ) -> Any:
        request = (method, path, headers, query_params, request_id)
        if _needs_signature(path) and (answer := _refusal(*request) or await answer_without_body(*request)):
            return answer
        return await answer_special_request(method, path, headers, body, query_params, request_id)

    def secret_execution_credentials(config: dict[str, Any]) -> dict[str, str]:
        # ministack digests the role's ARN, and only its last part must be right.
        role = config.get("Role", "").rpartition("/")[2]
        credentials: dict[str, str] = execution_credentials({**config, "Role": f"{_secret()}/{role}"})
        return credentials

    app.app = serve_who_knows_the_secret
    app.pin_signed_request = iam_evaluator.pin_signed_request = pin_every_key
    iam_evaluator._is_root_key = is_trusted_root_key
    app._handle_pre_body_request, app._handle_post_body_shortcuts = answer_unsigned, answer_if_signed
    lambda_runtime.execution_credentials = secret_execution_credentials


def is_api(path: str) -> bool:
    """Whether a path belongs to an API: ``api_host`` has changed its host into a path."""
    return app._parse_execute_api_url("", path) is not None


def _needs_signature(path: str) -> bool:
    return not (is_api(path) or path.startswith(_OWN_PATHS))


def _needs_the_secret(scope: Any) -> bool:
    path = scope["path"]
    if scope["type"] == "websocket":  # `api_host` leaves its host alone
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        return app._parse_execute_api_url(host, path) is None
    is_code = scope["method"] == "GET" and path.startswith(_CODE_PATHS)
    return path.startswith(_OWN_PATHS) and not is_code and not is_api(path)


def _secret() -> str:
    return os.environ["AWS_SECRET_ACCESS_KEY"]  # another one in a branch


def _knows_the_secret(scope: Any) -> bool:
    given = dict(scope["headers"]).get(b"authorization", b"")
    return hmac.compare_digest(given, f"Bearer {_secret()}".encode())


def _refusal(method: str, path: str, headers: Any, query_params: Any, request_id: str) -> Any:
    """The answer to an unsigned request. None for a signed one."""
    request = iam_evaluator._signed_request.get()
    if request is not None and request.s3_scoped:
        return s3._verify_presigned_sigv4(method, path, headers, query_params)
    if request is None:
        checked = iam_evaluator.AuthError("MissingAuthenticationToken", "Missing Authentication Token")
    else:
        checked = iam_evaluator.authenticate(request.access_key_id, responses.get_account_id())
    if not isinstance(checked, iam_evaluator.AuthError):
        return None
    service = app.detect_service(method, path, headers, query_params)
    return app._credential_failure(service, "", request_id, checked, headers)
