"""Regions can fail: as a whole, one service of them, some operations of that, a share of their calls, or their links.

AWS: regions are isolated from each other, and one can be unreachable as a whole
(https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/regions.html). Control planes of global
services, Route 53's and IAM's among them, live in us-east-1 and fail with it
(https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html). Services have a
control plane and a data plane, which fail independently of each other
(https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/control-planes-and-data-planes.html).

ministack 1.5.33: every region is always up, and reaches every other one.

Why it matters: without an outage there is no failover. And of two regions that do not reach each other, each considers
the other one down, while clients reach both.

``PUT /_fault/{region}`` fails a region, ``DELETE`` lifts all its faults, ``GET /_fault`` lists the regions with one and
counts the calls so far by access key and region, failed ones included. A fault hits every call that is signed for the
region, those of functions included, and every request to an API deployed in it. The query narrows it: ``kind=hang``
accepts calls and answers nothing until the client gives up or the fault is lifted (then 503) instead of 503 at once,
``kind=unresolved`` answers them (see ``name_resolution``), ``kind=cut`` answers them too, but for those of functions
that run in another region than they call, if either is this region: these hang. ``service`` is a service's signing name
(``execute-api`` for the APIs) or several with commas, ``operations`` names those of its operations that fail, of a
service whose calls name theirs in ``X-Amz-Target``, ``spared`` those that do not (``Invoke`` of Lambda has a name too),
and ``share`` of the calls fail, drawn with ``seed`` in the order they come in. While a region is down as a whole,
EventBridge delivers nothing there. What replicates on its own still arrives unless ``replication_lag`` is set; it does
not pass a link that is cut.

A function says in a header of its HTTP requests where it runs, which AWS does not send.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from ministack import app  # type: ignore[import-untyped]
from ministack.core import lambda_runtime, responses, router  # type: ignore[import-untyped]
from ministack.services import apigateway, apigateway_v1, eventbridge  # type: ignore[import-untyped]

_FAULT_PATH = "/_fault"
UNRESOLVED, CUT = "unresolved", "cut"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/")
_RUNS_IN = "x-embedded-aws-runs-in"
_CALL = "    _ms_install_invoke_depth()\n"
# Runs in the process of a function, before its module is imported. boto3's connections are built on http.client too.
_SAYS_WHERE_IT_RUNS = f"""
def _embedded_aws_say_where_it_runs():
    import http.client, os
    end_headers = http.client.HTTPConnection.endheaders

    def end_headers_with_region(connection, *args, **kwargs):
        connection.putheader("{_RUNS_IN}", os.environ["AWS_REGION"])
        return end_headers(connection, *args, **kwargs)

    http.client.HTTPConnection.endheaders = end_headers_with_region

"""
# What a load balancer says when nobody is behind it. SDKs take an HTML answer for what it is, whatever their protocol.
_NOBODY_THERE = b"<html><body><b>Http/1.1 Service Unavailable</b></body></html>"


@dataclass
class _Fault:
    kind: str
    share: float
    random: Random
    operations: frozenset[str] | None  # None is all of them
    spared: frozenset[str]
    lifted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_whole(self) -> bool:
        """Whether it leaves no call through."""
        return self._fails_calls and self.share == 1 and self.operations is None and not self.spared

    def hits(self, operation: str) -> bool:
        """Whether it hits calls of an operation."""
        is_meant = self.operations is None or operation in self.operations
        return self._fails_calls and is_meant and operation not in self.spared

    @property
    def _fails_calls(self) -> bool:
        """Whether it hits calls wherever they come from."""
        return self.kind not in (UNRESOLVED, CUT)


_faults: dict[str, dict[str | None, _Fault]] = {}  # by region, then by service; None is every service
_calls: Counter[str] = Counter()  # by the access key and the region that they are signed with
on_change: list[Callable[[], None]] = []  # called whenever a region fails or is restored


def apply() -> None:
    """Answer for failed regions before ministack does."""
    serve, invoke_target = app.app, eventbridge._invoke_target

    async def serve_what_is_up(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await serve(scope, receive, send)
            return
        _count(scope)
        if scope["path"].startswith(_FAULT_PATH):
            await respond_json(send, *_switch(scope))
        elif (fault := _fault_of_call(scope)) is None:
            await serve(scope, receive, send)
        elif await (_is_waited_out(fault, receive) if fault.kind in ("hang", CUT) else is_read(receive)):
            await _respond(send, 503, "text/html", _NOBODY_THERE)

    def invoke_what_is_up(target: Any, event: Any, rule: Any, view: Any = None) -> None:
        if not is_down(responses.get_region(), "events"):
            invoke_target(target, event, rule, view)

    app.app = serve_what_is_up
    eventbridge._invoke_target = invoke_what_is_up
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_CALL) != 1:
        raise RuntimeError("ministack starts functions in another way: adapt region_outage")
    told = script.replace(_CALL, f"{_CALL}    _embedded_aws_say_where_it_runs()\n")
    lambda_runtime._PYTHON_WORKER_SCRIPT = _SAYS_WHERE_IT_RUNS + told


def _count(scope: Any) -> None:
    """Count a call for whom it is signed by, and for which region."""
    authorization = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
    if found := _CREDENTIAL.search(authorization.decode("latin-1")):
        access_key, region = found.groups()
        _calls[f"{access_key} {region}"] += 1


def is_down(region: str, service: str) -> bool:
    """Whether no call of this service, by its signing name, is served in this region."""
    faults = [_faults.get(region, {}).get(name) for name in (None, service)]
    return any(fault is not None and fault.is_whole for fault in faults)


def is_cut(one: str | None, other: str | None) -> bool:
    """Whether the link between two regions is cut; False where one is not known."""
    return _cut_between(one, other) is not None


def _cut_between(one: str | None, other: str | None) -> _Fault | None:
    if one is None or other is None or one == other:
        return None
    faults = (_faults.get(region, {}).get(None) for region in (one, other))
    return next((fault for fault in faults if fault is not None and fault.kind == CUT), None)


def unresolved() -> list[tuple[str, str]]:
    """The regions and services whose names do not resolve there."""
    return [
        (region, service)
        for region, faults in _faults.items()
        for service, fault in faults.items()
        if service and fault.kind == UNRESOLVED
    ]


def _switch(scope: Any) -> tuple[int, dict[str, Any]]:
    method, region = scope["method"], scope["path"].removeprefix(_FAULT_PATH).strip("/")
    if method == "PUT" and region:
        try:
            services, fault = _read_fault(scope["query_string"].decode())
        except ValueError as error:
            return 400, {"message": str(error)}
        faults = _faults.setdefault(region, {})
        replaced = [faults.pop(service) for service in services if service in faults]
        faults.update(dict.fromkeys(services, fault))
        _lift(replaced)
    elif method == "DELETE" and region:
        _lift(list(_faults.pop(region, {}).values()))
    elif method != "GET" or region:
        return 400, {"message": f"PUT or DELETE {_FAULT_PATH}/{{region}}, or GET {_FAULT_PATH}"}
    return 200, {"regions": sorted(_faults), "calls": dict(_calls)}


def _read_fault(query: str) -> tuple[list[str | None], _Fault]:
    given = dict(parse_qsl(query))
    services: list[str | None] = [*given.pop("service").split(",")] if "service" in given else [None]
    random = Random(int(given.pop("seed", 0)))  # noqa: S311 - it must be reproducible
    operations = frozenset(given.pop("operations").split(",")) if "operations" in given else None
    spared = frozenset(given.pop("spared", "").split(",")) - {""}
    fault = _Fault(given.pop("kind", "error"), float(given.pop("share", 1)), random, operations, spared)
    needs_service = operations or spared or fault.kind == UNRESOLVED
    if (
        given
        or fault.kind not in ("error", "hang", UNRESOLVED, CUT)
        or not 0 < fault.share <= 1
        or (needs_service and services == [None])
        or (fault.kind == CUT and (services != [None] or fault.share != 1))
    ):
        raise ValueError(
            "a fault has a kind (error, hang, unresolved or cut), services and their operations, or those that are "
            "spared, a share (above 0, at most 1) and a seed; a cut is of the region as a whole"
        )
    return services, fault


def _lift(faults: list[_Fault]) -> None:
    for fault in faults:
        fault.lifted.set()
    for tell in on_change:
        tell()


def _fault_of_call(scope: Any) -> _Fault | None:
    if not _faults:
        return None
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    region, service = _callee(headers, scope)
    if cut := _cut_between(headers.get(_RUNS_IN), region):
        return cut
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if service == "lambda" and re.search(r"/functions/[^/]+/invocations$", scope["path"]):
        operation = "Invoke"
    found = (
        fault
        for name, fault in _faults.get(region or "", {}).items()
        if name in (None, service) and fault.hits(operation)
    )
    return next((fault for fault in found if fault.random.random() < fault.share), None)


def _callee(headers: dict[str, str], scope: Any) -> tuple[str | None, str | None]:
    """Region and service that a call is for."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    api = app._parse_execute_api_url(headers.get("host", ""), scope["path"])
    if api is None:
        credential = headers.get("authorization") or query.get("X-Amz-Credential", [""])[0]
        service = re.search(r"/([^/]+)/aws4_request", credential)
        return router.extract_signed_region(headers, query), service and service[1]
    apis = (key for store in (apigateway._apis, apigateway_v1._rest_apis) for key, _ in store.all_items())
    return next((region for _, region, api_id in apis if api_id == api[0]), None), "execute-api"


async def is_read(receive: Callable[[], Awaitable[Any]]) -> bool:
    """Take all of a call: answered before that, its connection is closed, and the client may miss the answer."""
    message = {"type": "http.request", "more_body": True}
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
    return message["type"] == "http.request"


async def _is_waited_out(fault: _Fault, receive: Callable[[], Awaitable[Any]]) -> bool:
    """Wait until the fault is lifted, which is True, or until the client has given up."""

    async def give_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    waiting = [asyncio.create_task(fault.lifted.wait()), asyncio.create_task(give_up())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return not waiting[1].done()
    finally:
        for task in waiting:
            task.cancel()


async def respond_json(send: Callable[[Any], Awaitable[None]], status: int, answer: dict[str, Any]) -> None:
    """Answer a call of the emulator's own."""
    await _respond(send, status, "application/json", json.dumps(answer).encode())


async def _respond(send: Callable[[Any], Awaitable[None]], status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
