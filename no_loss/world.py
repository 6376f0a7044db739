"""The world that the client runs in: two replicas of a global table, the ways between them, and all that goes wrong.

Each rule of the table is one of AWS's:

- A write is acknowledged by its own region and replicated afterwards, usually within a second; items replicate
  individually. https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html
- Of two writes to one item, the later one wins in all replicas, by a private timestamp of DynamoDB's. (same page)
- A condition is checked against the item of the region that is written to. A strongly consistent read returns that
  region's item. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
- What an isolated region has not replicated stays pending, in both directions, and is resumed later. (same page)
- A call that is throttled (400) has done nothing; one that answers 500, or nothing, may have been done.
  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
- Numbers are returned without trailing zeros, and sets in no order.
  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html

Beyond AWS's pages the model assumes that an update's timestamp is later than that of the version it changes, and that
deletions do not happen. Regions' clocks may be apart by any time.
"""

import heapq
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from no_loss.replay import Run

EAST, WEST = REGIONS = ("us-east-1", "us-west-2")
OTHER = {EAST: WEST, WEST: EAST}
LATENCY = {True: 0.01, False: 0.06}  # of a call, in the caller's region and across
CLIENT_TIMEOUT = 1.0
LAG = 0.5

Item = Mapping[str, Any]

# What may become of one call, besides being served.
FATES = (
    "answer lost",  # done, no answer
    "request lost",  # not done, no answer
    "done late",  # no answer; done after the caller has given up
    "done twice",  # done and answered; its duplicate arrives later
    "throttled",  # 400, not done
    "500 done",
    "500 not done",
    "not sent",  # no connection
)
# What may be wrong with a region for some time: whether it serves calls, whether it replicates, and what a caller sees.
FAULTS = {
    "hangs": (False, False, "request lost"),
    "answers 503": (False, False, "500 not done"),
    "has no name": (False, False, "not sent"),
    "does not replicate": (True, False, ""),
    "throttles": (False, True, "throttled"),
    "is away, and replicates": (False, True, "request lost"),
}


class Version(NamedTuple):
    """One version of an item: versions with larger (at, region) win."""

    at: float
    region: str
    item: Item


class Change(NamedTuple):
    """Something that the checker must know."""

    at: float
    what: str  # "insert", "replace", "update", "replicate"; "begin" of a call, or what ends ("pay"...); "crash"
    where: str
    key: str
    old: Item | None
    new: Any
    call: int = 0
    payment: Item | None = None


class World:
    """Virtual time, the two replicas, and what happens to calls.

    Args:
        say: Gets a line for each thing that happens, for a person to read.

    Attributes:
        now: Seconds since the world began.
        changes: All changes and ends so far, in order.
        alone: What operators have chosen in each region.
        chosen: What their choice was in the last seconds before a call ended, by the position of that end in `changes`.
        lag: Seconds that replication from a region takes.
        skew: Seconds by which a region's clock is ahead.
        unserved: Calls of the client whose own region did not serve them once.
        read_by: What each call of the client was answered by its reads.
    """

    def __init__(self, say: Callable[[float, str], None] | None = None) -> None:
        self.now = 0.0
        self.changes: list[Change] = []
        self.replicas: dict[str, dict[tuple[str, str], Version]] = {EAST: {}, WEST: {}}
        self.alone = {EAST: "refuse", WEST: "accept"}
        self.chosen: dict[int, frozenset[str]] = {}
        self._choices = {region: [(float("-inf"), choice)] for region, choice in self.alone.items()}
        self.lag = {EAST: LAG, WEST: LAG}
        self.skew = {EAST: 0.0, WEST: 0.0}
        self.faults: dict[str, list[str]] = {EAST: [], WEST: []}
        self.destroyed: set[str] = set()
        self.unserved: set[int] = set()
        self.read_by: dict[int, list[Item]] = {}
        self.say = say
        self._pending: list[tuple[str, tuple[str, str], Version]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._busy: dict[int, str] = {}

    def at(self, time: float, happens: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, happens))

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        self.at(self.now + seconds, happens)

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, happens = heapq.heappop(events)
            happens()
        self.now = until

    def fail(self, region: str, fault: str) -> None:
        """A fault begins."""
        if self.say:
            self.say(self.now, f"{region} {fault}")
        self.faults[region].append(fault)

    def recover(self, region: str, fault: str) -> None:
        """A fault ends, and what it has held back is sent."""
        if fault in self.faults[region] and region not in self.destroyed:
            if self.say:
                self.say(self.now, f"{region} no longer {fault}")
            self.faults[region].remove(fault)
            pending, self._pending = self._pending, []
            for source, key, version in pending:
                self._send(source, key, version)

    def destroy(self, region: str) -> None:
        """A region is lost for good, with what it has not replicated."""
        self.fail(region, "hangs")
        self.destroyed.add(region)

    def choose(self, region: str, choice: str) -> None:
        """An operator chooses whether one region alone is enough."""
        self.alone[region] = choice
        self._choices[region].append((self.now, choice))

    def chosen_since(self, region: str, time: float) -> frozenset[str]:
        """What the choice in a region has been since then."""
        before = [choice for at, choice in self._choices[region] if at <= time]
        return frozenset({before[-1], *(choice for at, choice in self._choices[region] if at > time)})

    def serves(self, region: str) -> bool:
        """Whether a region serves calls."""
        return all(FAULTS[fault][0] for fault in self.faults[region])

    def call(self, run: Run, number: int, home: str, region: str, fate: str, do: Callable[[], Any], what: str) -> None:
        """A call of a client in `home` to a region: what is done, and when what answer comes."""
        faults = self.faults[region]
        if faults:
            fate = next((FAULTS[fault][2] for fault in faults if not FAULTS[fault][0]), fate)
        latency = LATENCY[home == region]
        if fate and home == region:
            self.unserved.add(number)
        if self.say and fate:
            self.say(self.now, f"call {number}: {what} in {region}: {fate}")
        if not fate:

            def served() -> None:
                answer = do()
                if what == "get" and answer:
                    self.read_by.setdefault(number, []).append(answer["Item"])
                if self.say:
                    self.say(self.now, f"call {number}: {what} in {region}: {_short(answer, what)}")
                self.after(latency / 2, lambda: run.answer(answer))

            self.after(latency / 2, served)
            return
        if fate in ("answer lost", "500 done", "done twice"):
            results: list[Any] = []
            self.after(latency / 2, lambda: results.append(do()))
            if fate == "done twice":
                self.after(latency, lambda: run.answer(results[0]))
                self.after(2.0, lambda: (do(), None)[1])
                return
        elif fate == "done late":
            self.after(CLIENT_TIMEOUT + 2.5, lambda: (do(), None)[1])
        seconds, answer = {
            "500": (latency, SERVER_ERROR),
            "throttled": (latency, THROTTLED),
            "not sent": (0.001, NOT_SENT),
        }.get(fate.partition(" done")[0].partition(" not done")[0], (CLIENT_TIMEOUT, NO_ANSWER))
        self.after(seconds, lambda: run.answer(answer))

    def put(self, region: str, key: tuple[str, str], item: Item, *, insert: bool, give_old: bool, call: int) -> Any:
        """PutItem, as the region does it."""
        old = self.replicas[region].get(key)
        if insert and old is not None:
            return condition_failed(old.item if give_old else None)
        self._store("replace" if old else "insert", region, key, {n: _normal(v) for n, v in item.items()}, call)
        return {}

    def get(self, region: str, key: tuple[str, str]) -> Any:
        """GetItem, strongly consistent."""
        found = self.replicas[region].get(key)
        return {"Item": dict(found.item)} if found else {}

    def update(self, region: str, key: tuple[str, str], attributes: Item) -> None:
        """UpdateItem on an item that is there, as a consumer of the stream does it."""
        old = self.replicas[region].get(key)
        if old is not None and self.serves(region):
            self._store("update", region, key, {**old.item, **attributes}, 0)

    def _store(self, what: str, region: str, key: tuple[str, str], item: Item, call: int) -> None:
        items = self.replicas[region]
        old = items.get(key)
        at = self.now + self.skew[region]
        if old is not None and at <= old.at:
            at = old.at + 1e-6
        version = Version(at, region, item)
        items[key] = version
        self.changes.append(Change(self.now, what, region, key[0], old.item if old else None, item, call))
        self._send(region, key, version)

    def _send(self, source: str, key: tuple[str, str], version: Version) -> None:
        self.after(self.lag[source], lambda: self._arrive(source, key, version))

    def _arrive(self, source: str, key: tuple[str, str], version: Version) -> None:
        target = OTHER[source]
        if not all(FAULTS[fault][1] for region in REGIONS for fault in self.faults[region]):
            self._pending.append((source, key, version))
            return
        old = self.replicas[target].get(key)
        if old is None or version[:2] > old[:2]:
            self.replicas[target][key] = version
            if self.say:
                self.say(self.now, f"{target} gets {short(version.item)} from {source}")
            old_item = old.item if old else None
            self.changes.append(Change(self.now, "replicate", target, key[0], old_item, version.item))


def _error(status: int, code: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Call")


THROTTLED = _error(400, "ProvisionedThroughputExceededException")
SERVER_ERROR = _error(500, "InternalServerError")
NO_ANSWER = ReadTimeoutError(endpoint_url="https://dynamodb")
NOT_SENT = EndpointConnectionError(endpoint_url="https://dynamodb")


def condition_failed(item: Item | None) -> ClientError:
    """The answer to an insert where something is."""
    error = _error(400, "ConditionalCheckFailedException")
    if item is not None:
        error.response["Item"] = dict(item)  # type: ignore[typeddict-unknown-key]
    return error


_normalized: dict[str, str] = {}


def _normal(value: Any) -> Any:
    """An attribute value as DynamoDB returns it."""
    if "N" in value:
        number = value["N"]
        if number not in _normalized:
            _normalized[number] = f"{Decimal(number).normalize():f}"
        return {"N": _normalized[number]}
    if "SS" in value:
        return {"SS": sorted(value["SS"], reverse=True)}
    return value


def short(item: Item) -> str:
    """An item for a person to read."""
    words = [f"{item['transaction_id']['S']}={item['amount']['N']} EUR" if "amount" in item else "void"]
    words += [item[name]["S"] for name in ("status",) if name in item] + ["set"] * ("tags" in item)
    known = ("transaction_id", "timestamp", "write_id", "amount", "status", "tags", "void")
    return " ".join(words + [f"{name}={value['S']}" for name, value in item.items() if name not in known])


def _short(answer: Any, what: str) -> str:
    if isinstance(answer, ClientError):
        item = answer.response.get("Item")
        return answer.response["Error"]["Code"] + (f": {short(item)}" if item else "")  # type: ignore[arg-type]
    return short(answer["Item"]) if answer else "done" if what == "put" else "nothing"
