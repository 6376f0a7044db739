"""Regions can fail.

AWS: regions are isolated from each other, and one can be unreachable as a whole
(https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/regions.html). Control planes of global
services, Route 53's and IAM's among them, live in us-east-1 and fail with it
(https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html).

ministack 1.5.33: every region is always up.

Why it matters: without an outage there is nothing to fail over from.

``PUT /_fault/{region}`` fails a region, ``DELETE`` restores it, ``GET /_fault`` lists. In a failed region every call
that is signed for it, and every request to an API deployed in it, answers 503, and EventBridge delivers nothing. What
replicates on its own (global tables, buckets) still arrives: it is there when the region comes back, as it would be
after catching up.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ministack import app  # type: ignore[import-untyped]
from ministack.core import responses, router  # type: ignore[import-untyped]
from ministack.services import apigateway, apigateway_v1, eventbridge  # type: ignore[import-untyped]

_FAULT_PATH = "/_fault"
# What a load balancer says when nobody is behind it. SDKs take an HTML answer for what it is, whatever their protocol.
_NOBODY_THERE = b"<html><body><b>Http/1.1 Service Unavailable</b></body></html>"

_failed: set[str] = set()


def apply() -> None:
    """Answer for failed regions before ministack does."""
    serve, invoke_target = app.app, eventbridge._invoke_target

    async def serve_what_is_up(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await serve(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"].startswith(_FAULT_PATH):
            status, answer = _switch(scope["method"], scope["path"].removeprefix(_FAULT_PATH).strip("/"))
            await _respond(send, status, "application/json", json.dumps(answer).encode())
        elif _region(headers, scope) in _failed:
            await _respond(send, 503, "text/html", _NOBODY_THERE)
        else:
            await serve(scope, receive, send)

    def invoke_what_is_up(target: Any, event: Any, rule: Any, view: Any = None) -> None:
        if responses.get_region() not in _failed:
            invoke_target(target, event, rule, view)

    app.app = serve_what_is_up
    eventbridge._invoke_target = invoke_what_is_up


def _switch(method: str, region: str) -> tuple[int, dict[str, Any]]:
    if method == "PUT" and region:
        _failed.add(region)
    elif method == "DELETE" and region:
        _failed.discard(region)
    elif method != "GET" or region:
        return 400, {"message": f"PUT or DELETE {_FAULT_PATH}/{{region}}, or GET {_FAULT_PATH}"}
    return 200, {"regions": sorted(_failed)}


def _region(headers: dict[str, str], scope: Any) -> str | None:
    if not _failed:
        return None
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    api = app._parse_execute_api_url(headers.get("host", ""), scope["path"])
    if api is None:
        signed: str | None = router.extract_signed_region(headers, query)
        return signed
    stores = (apigateway._apis, apigateway_v1._rest_apis)
    return next((region for store in stores for (_, region, api_id), _ in store.all_items() if api_id == api[0]), None)


async def _respond(send: Callable[[Any], Awaitable[None]], status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
