"""Global tables replicate with a lag, and not while a region is down.

AWS: a newly written item is usually propagated to all replicas within a second, and there is no SLA for it. Items
replicate individually, those of one transaction too. Each has a private timestamp of its last write, and a replica
takes a write only if it is newer: the last writer wins
(https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html). Writes that were not
propagated when a region became isolated stay pending, in both directions, and are resumed when it is back
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html). How long each took is
the source region's metric ReplicationLatency
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_monitoring.html).

ministack 1.5.33: every write is in every replica before it is acknowledged, and there is no such metric.

Why it matters: a failover could never lose data, whatever a client does.

Off (as in ministack) unless a lag is set, by ``EMBEDDED_AWS_REPLICATION_LAG`` or ``PUT /_replication``, both in the
form ``seconds=0.5&spread=0.4&seed=0``. ``GET /_replication`` says how many writes are on their way, without those that
an outage holds back. AWS publishes no distribution: lags are drawn from a log-normal one around the
median ``seconds``, so that with those values 96 % are below one second and one in a thousand above 1.7. A region is
down here when ``region_outage`` lets none of its DynamoDB calls through. Where it fails ``dynamodb-replication``, calls
are answered and nothing is replicated to or from there, as when AWS FIS pauses the replication of a global table
(https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html). What that has held back is sent anew,
with a lag of its own, once both regions are back. A link that is cut holds it back too. Order is that of one clock,
this process's, so the last writer is never in doubt. Neither ministack nor this replicates what PartiQL writes.
"""

import copy
import itertools
import os
import time
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ministack import app  # type: ignore[import-untyped]
from ministack.core.responses import get_account_id, get_region, request_scope  # type: ignore[import-untyped]
from ministack.services import cloudwatch, dynamodb  # type: ignore[import-untyped]

from embedded_aws.patches import region_outage

_PATH = "/_replication"

_replicate_at_once = dynamodb._replicate_write


class _Item(NamedTuple):
    account: str
    table: str
    partition_key: str
    sort_key: str


class _Route(NamedTuple):
    """The replication of one item's writes from one region to another."""

    source: str
    target: str
    item: _Item


@dataclass
class _Write:
    order: int
    since: float  # on the monotonic clock
    replica: Any  # the table that it is for: another one of that name must not get it
    old: Any
    new: Any
    arrived: bool = False


@dataclass
class _Lag:
    seconds: float
    spread: float
    random: Random

    @classmethod
    def read(cls, query: str) -> "_Lag":
        given = dict(parse_qsl(query))
        random = Random(int(given.pop("seed", 0)))  # noqa: S311 - it must be reproducible
        lag = cls(float(given.pop("seconds", 0)), float(given.pop("spread", 0)), random)
        if given or not (0 <= lag.seconds < float("inf") and 0 <= lag.spread < float("inf")):
            raise ValueError("a lag has seconds and a spread, both from 0 up, and a seed")
        return lag

    def draw(self) -> float:
        return self.seconds * self.random.lognormvariate(0, self.spread)


_lag = _Lag.read("")
_order = itertools.count()
_pending: dict[_Route, deque[_Write]] = {}
_last_write: dict[tuple[str, _Item], int] = {}  # by region; kept only while something is pending


def apply() -> None:
    """Replicate with a lag, which comes from the environment or from a path of the emulator's own."""
    serve = app.app
    _set(os.environ.get("EMBEDDED_AWS_REPLICATION_LAG", ""))

    async def serve_lag(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH:
            await serve(scope, receive, send)
            return
        try:
            if scope["method"] == "PUT":
                _set(scope["query_string"].decode())
        except ValueError as error:
            await region_outage.respond_json(send, 400, {"message": str(error)})
        else:
            await region_outage.respond_json(send, 200, {"on_their_way": _on_their_way()})

    app.app = serve_lag
    dynamodb._replicate_write = _replicate
    region_outage.on_change.append(_resume)


def _set(query: str) -> None:
    global _lag
    _lag = _Lag.read(query)


def _replicate(table: dict[str, Any], event_name: str, old_item: Any, new_item: Any) -> None:
    if not (_lag.seconds or _pending) or not dynamodb._replica_group(table):
        _replicate_at_once(table, event_name, old_item, new_item)
        return
    key = new_item if new_item is not None else old_item
    names = (table["pk_name"], table["sk_name"])
    item = _Item(get_account_id(), table["TableName"], *(dynamodb._extract_key_val(key.get(name)) for name in names))
    order, home = next(_order), get_region()
    _last_write[home, item] = order
    for region in dynamodb._replica_group(table):
        if region != home:
            replica = dynamodb._tables.get_scoped(item.account, region, item.table)
            write = _Write(order, time.monotonic(), replica, old_item, copy.deepcopy(new_item))
            route = _Route(home, region, item)
            _pending.setdefault(route, deque()).append(write)
            _send(route, write)


def _send(route: _Route, write: _Write) -> None:
    def arrive() -> None:
        write.arrived = True
        _deliver(route)

    if seconds := _lag.draw():
        app._MAIN_LOOP.call_soon_threadsafe(app._MAIN_LOOP.call_later, seconds, arrive)
    else:
        arrive()


def _on_their_way() -> int:
    return sum(not write.arrived for writes in list(_pending.values()) for write in list(writes))


def _is_interrupted(route: _Route) -> bool:
    return region_outage.is_cut(route.source, route.target) or any(
        region_outage.is_down(region, service)
        for region in (route.source, route.target)
        for service in ("dynamodb", "dynamodb-replication")
    )


def _deliver(route: _Route) -> None:
    """Apply the writes that have arrived, in the order of writing."""
    writes = _pending.get(route, deque())
    while writes and writes[0].arrived and not _is_interrupted(route):
        write = writes.popleft()
        item = route.item
        is_there = dynamodb._tables.get_scoped(item.account, route.target, item.table) is write.replica
        if is_there and write.order > _last_write.get((route.target, item), -1):
            _last_write[route.target, item] = write.order
            with request_scope(item.account, route.source):
                group = {"TableName": item.table, "_global_regions": [route.target]}
                _replicate_at_once(group, "", write.old, write.new)
                dimensions = {"TableName": item.table, "ReceivingRegion": route.target}
                milliseconds = (time.monotonic() - write.since) * 1000
                cloudwatch.record_metric("AWS/DynamoDB", "ReplicationLatency", milliseconds, "Milliseconds", dimensions)
    if not writes:
        _pending.pop(route, None)
    if not _pending:
        _last_write.clear()  # whatever is written from now on is newer


def _resume() -> None:
    """Send the writes that an outage has delayed."""
    for route, writes in list(_pending.items()):
        if writes[0].arrived and not _is_interrupted(route):
            for write in [write for write in writes if write.arrived]:
                write.arrived = False
                _send(route, write)
