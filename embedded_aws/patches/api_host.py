"""The host of an HTTP API serves that API and nothing else, within its quotas.

AWS: every request to ``{api}.execute-api.{region}.amazonaws.com`` is the API's
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html), OPTIONS included unless the
API has a CORS configuration (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html). The
request line and header values may have 10,240 bytes together, the payload 10 MB
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html). The page does not say what is
answered beyond that: 431 and 413 are what HTTP has for it.

ministack 1.5.33: knows the host ``{api}.execute-api.localhost`` alone, keeps its own paths (``/_ministack/health``,
``/v2/`` ...) on every host, serves ``/$default/health`` as ``/health``, answers OPTIONS with 403, and takes requests of
any size.

Why it matters: a test that attacks the public address would reach the emulator instead of the gateway, and pass events
to the function that no function ever gets. And functions call an API by its host on AWS (see ``function_https``).
"""

import json
import re
from typing import Any
from urllib.parse import quote

from ministack import app  # type: ignore[import-untyped]
from ministack.services import apigateway  # type: ignore[import-untyped]

HEADERS_MAX_BYTES = 10_240
PAYLOAD_MAX_BYTES = 10 * 1024 * 1024
HOST_ON_AWS = re.compile(r"([a-z0-9]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")
_BY_PATH = "/_aws/execute-api/"


def apply() -> None:
    """Change a request to an API's host into one to that API's path, and reject requests that are too large."""
    serve, parse_url, preflight = app.app, app._parse_execute_api_url, apigateway._cors_preflight_response

    async def serve_api(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        api = _api_of(headers.get(b"host", b"").decode("latin-1"))
        stages = apigateway.stages_for_api(api) if api and scope["type"] == "http" else {}
        if "$default" in stages:
            if refused := _too_large(scope, headers):
                status, message = refused
                body = json.dumps({"message": message})
                await app._send_response(send, status, {"Content-Type": "application/json"}, body)
                return
            first = scope["path"].lstrip("/").partition("/")[0]
            stage = "" if first in stages and first != "$default" else "/$default"  # a path may name another stage
            prefix = f"{_BY_PATH}{api}{stage}" + ("" if scope["path"].startswith("/") else "/")
            raw_path = prefix.encode() + (scope.get("raw_path") or quote(scope["path"]).encode())
            scope = {**scope, "path": prefix + scope["path"], "raw_path": raw_path}
        await serve(scope, receive, send)

    def parse_path_first(host: str, path: str) -> Any:
        return parse_url("" if path.startswith(_BY_PATH) else host, path)

    def preflight_if_configured(cors: dict[str, Any], origin: str) -> Any:
        return preflight(cors, origin) if cors else apigateway._http_api_not_found()

    app.app = serve_api
    app._parse_execute_api_url = parse_path_first
    apigateway._cors_preflight_response = preflight_if_configured


def _api_of(host: str) -> str | None:
    """The API of a host. On AWS an API has a host in its own region only."""
    if on_aws := HOST_ON_AWS.fullmatch(host):
        is_there = any(key[1:] == (on_aws[2], on_aws[1]) for key, _ in apigateway._apis.all_items())
        return on_aws[1] if is_there else None
    found = app._EXECUTE_API_RE.match(host)
    return found and str(found[1])


def _too_large(scope: Any, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
    line = f"{scope['method']} {scope['path']}?{scope['query_string']} HTTP/1.1"
    if len(line) + sum(len(value) for _, value in scope["headers"]) > HEADERS_MAX_BYTES:
        return 431, "Request Header Fields Too Large"
    if int(headers.get(b"content-length", 0)) > PAYLOAD_MAX_BYTES:  # the server beneath made sure that it is a number
        return 413, "Request Entity Too Large"
    return None
