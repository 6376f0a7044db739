"""What happens in a history, drawn from a seed; and playing it in the world with a client.

A history is data: a list of events. Everything random is drawn when the list is made, so that a history plays the same
way again, and stays playable when events are taken out of it.
"""

import random
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from no_loss.replay import Run
from no_loss.world import EAST, FATES, FAULTS, LAG, OTHER, REGIONS, WEST, Change, Item, World
from payment_dr.confirmed import Breaker, Confirmed, ConfirmedPayments, Live, OneRegion, Refused, Unknown

HEALED_AT = 300.0  # by then everything is well again
DEADLINE = HEALED_AT + 120.0  # by then every call must have ended the payment
TTL = 60.0
PATIENCE = 5.0
RETRIES = (1.0, 5.0, 20.0)
TRIES = 6  # of a payer, that may go to any region; by then both serve
KEPT = 5.1  # seconds for which `Live` keeps what it has read, and a last read takes
RESTART = 30.0  # seconds until another operator goes on


class Pay(NamedTuple):
    """Somebody sends a payment, and sends it again until it is acknowledged or refused for good."""

    at: float
    payer: int
    key: str
    amount: str
    then: str = "pay"  # what the payer does about an Unknown: pay again, "lookup", or "void"
    tags: bool = False  # whether the payment has a set of strings
    later: bool = False  # whether the service confirms it in the background

    def __str__(self) -> str:
        more = [" with a set"] * self.tags + [" for later"] * self.later
        more += [f" (if unknown: {self.then})"] * (self.then != "pay")
        return f"{self.at:g} s: payer {self.payer} sends {self.amount} EUR as {self.key}{''.join(more)}"


class Meets(NamedTuple):
    """Something becomes of a payer's nth call to DynamoDB."""

    payer: int
    nth: int
    fate: str

    def __str__(self) -> str:
        return f"call {self.nth} of payer {self.payer}: {self.fate}"


class Crash(NamedTuple):
    """The process that serves a payer ends while its nth call is under way. Whom it served sends again."""

    payer: int
    nth: int

    def __str__(self) -> str:
        return f"call {self.nth} of payer {self.payer}: the process crashes"


class Fault(NamedTuple):
    """A region has a fault for some time."""

    at: float
    until: float
    region: str
    fault: str

    def __str__(self) -> str:
        return f"{self.at:g} s: {self.region} {self.fault}, until {self.until:g} s"


class Lost(NamedTuple):
    """A region is lost for good. An operator accepts the other one alone, and then sends everybody there."""

    at: float
    region: str
    crash: int = 2  # after how many of these two calls the operator's process ends; another one does the rest

    def __str__(self) -> str:
        crash = f"; the operator's process crashes after {self.crash} calls" if self.crash < len(REGIONS) else ""
        return f"{self.at:g} s: {self.region} is lost for good{crash}"


class Dns(NamedTuple):
    """Route 53 answers with a region from now on. Each payer keeps the answer that it has for its TTL."""

    at: float
    region: str

    def __str__(self) -> str:
        return f"{self.at:g} s: Route 53 answers with {self.region}"


class Goes(NamedTuple):
    """A payer's nth try goes to a region, whatever Route 53 answers and however long ago."""

    payer: int
    nth: int
    region: str

    def __str__(self) -> str:
        return f"try {self.nth} of payer {self.payer} goes to {self.region}"


class Alone(NamedTuple):
    """An operator chooses what holds for payments that one region alone has."""

    at: float
    region: str
    choice: str

    def __str__(self) -> str:
        return f"{self.at:g} s: the operator chooses {self.choice} in {self.region}"


class Update(NamedTuple):
    """A consumer of the stream, or another service, updates an item, if there is one."""

    at: float
    region: str
    key: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.at:g} s: a consumer in {self.region} sets {self.name}={self.value} on {self.key}"


class Clock(NamedTuple):
    """A region's clock is ahead."""

    region: str
    seconds: float

    def __str__(self) -> str:
        return f"the clock of {self.region} is ahead by {self.seconds:g} s"


class Lag(NamedTuple):
    """Replication from a region takes this long until everything is well."""

    region: str
    seconds: float

    def __str__(self) -> str:
        return f"replication from {self.region} takes {self.seconds:g} s"


Event = Pay | Meets | Crash | Fault | Lost | Dns | Goes | Alone | Update | Clock | Lag
History = tuple[Event, ...]


class Client(Protocol):
    """What is under test."""

    def pay(self, key: str, payment: Item) -> Any: ...  # noqa: D102

    def lookup(self, key: str) -> Any: ...  # noqa: D102

    def void(self, key: str) -> Any: ...  # noqa: D102

    def pay_later(self, key: str, payment: Item, then: Callable[[Any], object], pool: Any) -> Any: ...  # noqa: D102


class Connection:
    """Stands for boto3's client of DynamoDB in a region, for one call of the client."""

    meta = SimpleNamespace(config=SimpleNamespace(retries={"total_max_attempts": 1}))

    def __init__(self, call: "Call", region: str) -> None:
        self._call, self._region = call, region

    def put_item(self, **arguments: Any) -> Any:
        """As boto3's."""
        call, region = self._call, self._region
        if call.run.is_known():
            return call.run.known()
        item = arguments["Item"]
        insert, give_old = "ConditionExpression" in arguments, "ReturnValuesOnConditionCheckFailure" in arguments
        key = item["transaction_id"]["S"], item["timestamp"]["N"]

        def put() -> Any:
            return call.world.put(region, key, item, insert=insert, give_old=give_old, call=call.number)

        return call.ask(region, put, "put")

    def get_item(self, **arguments: Any) -> Any:
        """As boto3's."""
        call, region = self._call, self._region
        if call.run.is_known():
            return call.run.known()
        key = arguments["Key"]["transaction_id"]["S"], arguments["Key"]["timestamp"]["N"]
        return call.ask(region, lambda: call.world.get(region, key), "get")


class RecordedBreaker:
    """A breaker that several calls share, as one call uses it: each use happens once, however often it is replayed."""

    def __init__(self, run: Run, breaker: Breaker) -> None:
        self._run, self._breaker = run, breaker

    def lets_through(self, now: float) -> bool:
        """As `Breaker.lets_through`."""
        return bool(self._run.note(lambda: self._breaker.lets_through(now)))

    def note(self, now: float, *, confirmed: bool) -> None:
        """As `Breaker.note`."""
        self._run.note(lambda: self._breaker.note(now, confirmed=confirmed))


class Call:
    """One call of a payer to the client in a region: what the client is made of there."""

    def __init__(self, play: "Play", payer: "Payer", region: str, number: int, run: Run) -> None:
        self.play, self.world, self.payer, self.region, self.number, self.run = (
            play,
            play.world,
            payer,
            region,
            number,
            run,
        )
        self.breaker = RecordedBreaker(run, play.breakers[region])
        self.home, self.other = Connection(self, region), Connection(self, OTHER[region])

    def ask(self, region: str, do: Callable[[], Any], what: str) -> Any:
        """A call to DynamoDB."""

        def start(run: Run) -> None:
            payer, nth = self.payer, self.payer.asked
            payer.asked += 1
            fate = payer.meets.get(nth, "")
            self.world.call(run, self.number, self.region, region, fate, do, what)
            if nth in payer.crashes:
                self.play.crash(self.region)

        return self.run.ask(start)

    def clock(self) -> float:
        """The time."""
        return self.run.note(self._now)  # type: ignore[no-any-return]

    def _now(self) -> float:
        return self.world.now

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.run.sleep(seconds)

    def alone(self) -> Any:
        """What the process in this region knows of the operators' choice."""
        return self.run.note(self.play.lives[self.region])

    def new_id(self) -> str:
        """An id that is never the same, and the same in each replay."""
        return f"w{self.number}"


def confirmed_payments(call: Call, kind: Callable[..., Client] = ConfirmedPayments) -> Client:
    """The client of the library."""
    return kind(
        call.home,
        call.other,
        "transactions",
        alone=call.alone,
        breaker=call.breaker,
        patience=PATIENCE,
        metrics=_nothing,
        clock=call.clock,
        sleep=call.sleep,
        new_id=call.new_id,
    )


def _nothing(_line: object) -> None:
    pass


class AtOnce:
    """Stands for an executor: what is submitted goes on in the same call. If that crashes, so does the background."""

    def submit(self, run: Callable[[], object]) -> None:
        """Run it."""
        run()


class Payer:
    """Sends one payment until it is acknowledged or refused for good, and keeps DNS's answer for its TTL."""

    def __init__(self, play: "Play", pay: Pay) -> None:
        self.play, self.pay = play, pay
        self.payment: Item = {"amount": {"N": pay.amount}, "status": {"S": "AUTHORIZED"}}
        if pay.tags:
            self.payment["tags"] = {"SS": ["a", "b"]}
        self.meets: dict[int, str] = {}
        self.crashes: set[int] = set()
        self.goes: dict[int, str] = {}
        self.asked = self.tries = 0
        self.open = True
        self._region, self._expires = EAST, -1.0
        self._run: Run | None = None

    def send(self, what: str = "pay") -> None:
        """Call the service in the region that DNS has answered with, or in any."""
        play, world = self.play, self.play.world
        if world.now >= self._expires:
            self._region, self._expires = play.answers, world.now + TTL
        play.calls += 1
        number, region, key = play.calls, self.goes.get(self.tries, self._region), self.pay.key
        self.tries += 1

        def body(_run: Run) -> Any:
            if what != "pay":
                return getattr(client, what)(key)
            if not self.pay.later:
                return client.pay(key, self.payment)
            ended: list[Any] = []
            begun = client.pay_later(key, self.payment, ended.append, AtOnce())
            return ended[0] if ended else begun

        if world.say:
            world.say(world.now, f"call {number} ({region}): {what} {key} {self.pay.amount if what == 'pay' else ''}")
        world.changes.append(Change(world.now, "begin", region, key, None, None, number))
        play.served[region].append(self)
        self._run = Run(body, lambda outcome: self._ended(what, region, number, outcome), world.after)
        client = play.client(
            Call(play, self, region, number, self._run)
        )  # has no state of its own: one for all replays
        self._run.go()

    def disconnect(self) -> None:
        """The process that served it has ended: it sends the payment again."""
        if self._run:
            self._run.dead = True
        self.play.world.after(2.0, self.send)

    def _ended(self, what: str, region: str, number: int, outcome: Any) -> None:
        world = self.play.world
        self.play.served[region].remove(self)
        world.chosen[len(world.changes)] = world.chosen_since(region, world.now - KEPT)
        world.changes.append(Change(world.now, what, region, self.pay.key, None, outcome, number, self.payment))
        if world.say:
            world.say(world.now, f"call {number}: -> {_outcome(outcome)}")
        kind = type(outcome)
        if kind is Confirmed or kind is OneRegion or (kind is Refused and outcome.existing is not None):
            self.open = False
            return
        if world.now > DEADLINE:
            return
        pause = RETRIES[min(self.tries, len(RETRIES)) - 1]
        if self.tries >= len(RETRIES) and world.now < HEALED_AT:
            pause = HEALED_AT + 15 - world.now
        next_ = self.pay.then if kind is Unknown and what == "pay" else "pay" if kind is not Unknown else self.pay.then
        if what == "lookup" and kind is Unknown:
            next_ = "pay"
        world.after(pause, lambda: self.send(next_))


class Play:
    """One history, played with a client.

    Args:
        history: What happens.
        client: Makes the client under test.
        say: Gets a line for everything that happens.
        world, breaker, live: Make the world, and in each region the client's breaker and what reads the operators'
            choice there.

    Attributes:
        world: The world; its `changes` are for the checker.
        payers: Those who sent payments.
    """

    def __init__(
        self,
        history: Iterable[Event],
        client: Callable[[Call], Client] = confirmed_payments,
        say: Callable[[float, str], None] | None = None,
        world: Callable[..., World] = World,
        breaker: Callable[[], Any] = Breaker,
        live: Callable[..., Any] = Live,
    ) -> None:
        self.client = client
        self.world = world(say)
        self._breaker, self._live = breaker, live
        self.breakers, self.lives = dict[str, Any](), dict[str, Any]()
        for region in REGIONS:
            self._start(region)
        self.served: dict[str, list[Payer]] = {EAST: [], WEST: []}
        self.answers = EAST
        self.calls = 0
        self.payers: dict[int, Payer] = {}
        rest = []
        for event in history:
            if type(event) is Pay:
                payer = self.payers[event.payer] = Payer(self, event)
                self.world.at(event.at, payer.send)
            else:
                rest.append(event)
        for event in rest:
            self._plan(event)
        self.world.at(HEALED_AT, self._heal)

    def run(self) -> World:
        """Play it to its end."""
        self.world.run(DEADLINE + 60)
        return self.world

    def crash(self, region: str) -> None:
        """The process that serves payers in a region ends, with all its calls, and another one begins."""
        if self.world.say:
            self.world.say(self.world.now, f"the process in {region} crashes and restarts")
        self.world.changes.append(Change(self.world.now, "crash", region, "", None, None))
        self._start(region)
        payers, self.served[region] = self.served[region], []
        for payer in payers:
            payer.disconnect()

    def _start(self, region: str) -> None:
        """A process that serves payers in a region begins."""
        world = self.world
        self.breakers[region] = self._breaker()
        self.lives[region] = self._live(lambda: world.alone[region], clock=lambda: world.now)

    def _plan(self, event: Event) -> None:
        world = self.world
        match event:
            case Meets(payer, nth, fate) if payer in self.payers:
                self.payers[payer].meets[nth] = fate
            case Crash(payer, nth) if payer in self.payers:
                self.payers[payer].crashes.add(nth)
            case Goes(payer, nth, region) if payer in self.payers:
                self.payers[payer].goes[nth] = region
            case Fault(at, until, region, fault):
                world.at(at, lambda: world.fail(region, fault))
                world.at(until, lambda: world.recover(region, fault))
            case Lost(at, region, crash):
                operates = (lambda: world.choose(OTHER[region], "accept"), lambda: self._answer_with(OTHER[region]))
                world.at(at, lambda: world.destroy(region))
                for nth, call in enumerate(operates):
                    world.at(at if nth < crash else at + RESTART, call)
            case Dns(at, region):
                world.at(at, lambda: self._answer_with(region))
            case Alone(at, region, choice):
                world.at(at, lambda: world.choose(region, choice))
            case Update(at, region, key, name, value):
                world.at(at, lambda: world.update(region, (key, "0"), {name: {"S": value}}))
            case Clock(region, seconds):
                world.skew[region] = seconds
            case Lag(region, seconds):
                world.lag[region] = seconds

    def _answer_with(self, region: str) -> None:
        self.answers = OTHER[region] if region in self.world.destroyed else region

    def _heal(self) -> None:
        world = self.world
        world.lag = dict.fromkeys(REGIONS, LAG)
        for region in REGIONS:
            for fault in list(world.faults[region]):
                world.recover(region, fault)


def _outcome(outcome: Any) -> str:
    existing = getattr(outcome, "existing", None)
    reason = getattr(outcome, "why", "") or (str(outcome) if isinstance(outcome, Exception) else "")
    what = type(outcome).__name__ + (f": {reason}" if reason else "")
    return what + (f" [{existing['amount']['N'] if 'amount' in existing else 'void'}]" if existing else "")


_MOMENTS = (0.0, 0.0, 0.004, 0.02, 0.3, 0.6, 1.5, 4.0, 8.0, 40.0, 100.0)
_LENGTHS = (0.3, 2.0, 20.0, 100.0, 200.0)
_AMOUNTS = ("100", "7", "10.50", "3", "45", "6")
_FAULTS = tuple(FAULTS)


def drawn(seed: int) -> History:
    """The history of a seed."""
    rng = random.Random(seed)  # noqa: S311 - it must be reproducible
    draw, pick = rng.random, rng.choice

    def moment() -> float:
        return round(pick(_MOMENTS) + draw() * 0.5, 3)

    events: list[Event] = []
    crowded = draw() < 0.08
    number = 4 + int(draw() * 3) if crowded else 1 + int(draw() * 3)
    payments: list[tuple[str, str, bool]] = []
    for payer in range(1, number + 1):
        if payments and draw() < 0.6:
            key, amount, tags = pick(payments)  # the same payment again, or another one with its key
            if draw() < 0.5:
                amount = _AMOUNTS[payer - 1]
            elif draw() < 0.2:
                tags = not tags  # another payment too
        else:
            key, amount, tags = "abcdef"[len(payments) % 6], _AMOUNTS[payer - 1], draw() < 0.1
        payments.append((key, amount, tags))
        events.append(Pay(moment(), payer, key, amount, pick(("pay", "pay", "lookup", "void")), tags))
    if draw() < 0.06:  # two payments want one key in two regions, of which one is soon away
        for payer, amount in ((1, "8"), (2, "9")):
            events = [each for each in events if not (isinstance(each, Pay) and each.payer == payer)]
            events.append(Pay(round(draw() * 0.4, 3), payer, "a", amount, pick(("pay", "lookup"))))
        payments.append(("a", "8", False))
        number = max(number, 2)
        events.append(Dns(round(draw() * 0.4, 3), WEST))
        events.append(Alone(0.0, EAST, "accept"))
        begins = round(draw(), 3)
        fault = pick(("is away, and replicates", "throttles", "hangs"))
        events.append(Fault(begins, begins + pick((2.0, 20.0)), pick(REGIONS), fault))
        events.append(Clock(pick(REGIONS), pick((0.05, 2.0))))
    for _ in range(int(draw() * 3.5)):
        events.append(Meets(1 + int(draw() * number), int(draw() * 8), pick(FATES)))
    if draw() < 0.12:  # a bad moment of one payer
        payer, first = 1 + int(draw() * number), int(draw() * 3)
        worst = pick(FATES)
        for nth in range(first, first + 7):
            events.append(Meets(payer, nth, worst if draw() < 0.7 else pick(FATES)))
    if draw() < 0.25:
        events.append(Crash(1 + int(draw() * number), int(draw() * 5)))
    for _ in range(int(draw() * 2.5)):
        begins = moment()
        events.append(Fault(begins, round(begins + pick(_LENGTHS), 3), pick(REGIONS), pick(_FAULTS)))
    if draw() < 0.06:
        events.append(Lost(moment(), pick(REGIONS)))
    for _ in range(int(draw() * 2.5)):
        events.append(Dns(moment(), pick((WEST, WEST, EAST))))
    for _ in range(int(draw() * 2)):
        events.append(Alone(moment(), pick(REGIONS), pick(("refuse", "accept"))))
    for _ in range(int(draw() * 2.2)):
        name, value = pick((("seen", "yes"), ("status", "REFUNDED")))
        events.append(Update(moment(), pick(REGIONS), pick(payments)[0], name, value))
    if draw() < 0.4:
        events.append(Clock(pick(REGIONS), pick((0.05, 2.0, 300.0))))
    if draw() < 0.4:
        events.append(Lag(pick(REGIONS), pick((0.01, 3.0, 20.0))))
    varied = [_varied(event, draw) for event in events]
    if draw() < 0.3:  # DNS reaches a payer late, or answers differently each time
        payer = 1 + int(draw() * number)
        varied += [Goes(payer, nth, pick(REGIONS)) for nth in range(TRIES) if draw() < 0.7]
    return tuple(varied)


def _varied(event: Event, draw: Callable[[], float]) -> Event:
    if isinstance(event, Pay) and draw() < 0.1:
        return event._replace(later=True)
    if isinstance(event, Lost) and draw() < 0.5:
        return event._replace(crash=int(draw() * 2))
    return event
