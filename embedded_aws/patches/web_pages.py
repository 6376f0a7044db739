"""Requests from web pages are rejected.

AWS: serves every signed request, from any origin.

ministack 1.5.33: does so too, and lets every web page read every answer (``Access-Control-Allow-Origin: *``).

Why it matters: a browser on this machine reaches the loopback address, and sends requests there for any page that it
shows. A page needs no permission to send a form or plain text. It only may not read the answer. This patch does not
depend on a secret, and ``request_signatures`` does not depend on the browser's headers: each of them blocks a page.

A browser sends the origin of a request: in ``Origin`` when it may change something
(https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Origin), and always in ``Sec-Fetch-Site``
(https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site). If a page's own name resolves to this
machine (DNS rebinding), that name is in ``Host``. Names under ``localhost`` cannot be used for that
(https://www.rfc-editor.org/rfc/rfc6761#section-6.3), nor can an API's host on AWS, which only AWS can resolve. The
routes of an API are open to web pages, as on AWS: the API itself decides which pages may read them.
"""

import re
from collections.abc import Iterable
from typing import Any

from ministack import app  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage
from embedded_aws.patches.api_host import HOST_ON_AWS
from embedded_aws.patches.request_signatures import is_api

_OWN_HOST = re.compile(rb"(127\.0\.0\.1|([a-z0-9-]+\.)*localhost)(:\d+)?", re.IGNORECASE)
_CORS = b"access-control-"


def apply() -> None:
    """Reject a browser's requests for another site's page, and let no page read an answer."""
    serve = app.app

    async def serve_own_callers(scope: Any, receive: Any, send: Any) -> None:
        async def send_without_cors(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [header for header in message["headers"] if not header[0].lower().startswith(_CORS)]
                message = {**message, "headers": headers}
            await send(message)

        if scope["type"] == "lifespan":
            await serve(scope, receive, send)
        elif (refusal := _refusal(scope["path"], scope["headers"])) is None:
            await serve(scope, receive, send if is_api(scope["path"]) else send_without_cors)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await region_outage.is_read(receive)
            await region_outage.respond_json(send, 403, {"message": refusal})

    app.app = serve_own_callers


def _refusal(path: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    given = {name.lower(): value for name, value in headers}
    host = given.get(b"host", b"")
    is_on_aws = is_api(path) and HOST_ON_AWS.fullmatch(host.decode("latin-1"))
    if not (_OWN_HOST.fullmatch(host) or is_on_aws):
        return "the embedded AWS answers to 127.0.0.1, and to names under localhost"
    own_origin = b"http://" + host
    own_sites = (b"none", b"same-origin")  # "none": the user has typed the address
    is_own = given.get(b"origin", own_origin) == own_origin and given.get(b"sec-fetch-site", b"none") in own_sites
    return None if is_own or is_api(path) else "the embedded AWS rejects requests from web pages"
