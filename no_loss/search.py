"""Searches a small world completely: every order in which things can happen in it, and every outcome.

Two clients pay under one key, the same payment or different ones, from the same region or from both. One region may be
away for some time, which may begin and end at any moment. One process may crash at any call and start again, in either
region. One call may lose its answer or its request, or be done late. Replication may take any time. Clocks may be the
same, or either region's may be ahead for good. Operators refuse or accept one region alone, in each region.

A state is what the replicas hold, what is on its way, and what each call has been answered so far. The client is the
same code as everywhere: what it does next is a function of its answers, see `no_loss.replay`. States that were seen
are not searched again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

from no_loss.world import EAST, NO_ANSWER, OTHER, REGIONS, WEST, condition_failed
from payment_dr.confirmed import Confirmed, ConfirmedPayments, OneRegion, Refused

PATIENCE = 1.2
KEY = {"transaction_id": {"S": "a"}, "timestamp": {"N": "0"}}

Token = tuple[Any, ...]


class Held(NamedTuple):
    """A version of the one item: the larger (at, region) wins."""

    at: int
    region: str
    payment: str
    write_id: str


class Caller(NamedTuple):
    """One client's call: which, where, what, and what it has been answered. `ended` is how it ended."""

    call: int
    region: str
    payment: str
    answers: tuple[Token, ...] = ()
    ended: str = ""


class State(NamedTuple):
    """A state of the small world."""

    callers: tuple[Caller, ...]
    east: Held | None = None
    west: Held | None = None
    sent: frozenset[tuple[str, Held]] = frozenset()  # to a region, on its way
    late: frozenset[tuple[str, str, int, str]] = (
        frozenset()
    )  # region, payment, call and write id of puts that are still to be done
    away: str = ""  # the region; "over" when it is back
    crashed: bool = False
    faults: int = 0
    time: int = 0  # of the next write
    claims: frozenset[tuple[str, Any]] = frozenset()


class World(NamedTuple):
    """What does not change within a search."""

    ahead: str  # the region whose clock is ahead, or ""
    alone: tuple[tuple[str, str], ...]


class Found(NamedTuple):
    """What a search has found."""

    worlds: int
    states: int
    steps: int
    outcomes: tuple[tuple[str, int], ...]
    violations: tuple[str, ...]

    def __str__(self) -> str:
        ended = ", ".join(f"{count:,} {name}" for name, count in self.outcomes)
        lines = [
            f"complete search: {self.states:,} states and {self.steps:,} steps in {self.worlds} small worlds, "
            f"{len(self.violations)} wrong",
            f"  ways in which calls end there: {ended}",
        ]
        return "\n".join([*lines, *(f"  {each}" for each in self.violations[:10])])


class _Asks(BaseException):
    def __init__(self, *what: Any) -> None:
        self.what = what


def _item(payment: str, write_id: str) -> dict[str, Any]:
    return {**KEY, "amount": {"N": payment}, "write_id": {"S": write_id}}


class _Answers:
    """The answers of one call, given one by one; time passes with them."""

    def __init__(self, answers: tuple[Token, ...]) -> None:
        self._answers, self._at, self.now = answers, 0, 0.0

    def take(self, *asked: Any) -> Any:
        if self._at == len(self._answers):
            raise _Asks(*asked)
        kind, *rest = self._answers[self._at]
        self._at += 1
        if kind == "slept":
            self.now += rest[0]
            return None
        if kind == "lost":
            self.now += 1.0
            raise NO_ANSWER.with_traceback(None)
        self.now += 0.03
        if kind == "held":
            raise condition_failed(_item(*rest))
        return {} if kind in ("done", "nothing") else {"Item": _item(*rest)}


class _Connection:
    meta = SimpleNamespace(config=SimpleNamespace(retries={"total_max_attempts": 1}))

    def __init__(self, answers: _Answers, region: str) -> None:
        self._answers, self._region = answers, region

    def put_item(self, **arguments: Any) -> Any:
        write_id = arguments["Item"]["write_id"]["S"]
        return self._answers.take("put", self._region, "ConditionExpression" in arguments, write_id)

    def get_item(self, **_: Any) -> Any:
        return self._answers.take("get", self._region)


def next_of(client: Callable[..., Any], caller: Caller, alone: str) -> Any:
    """What a call asks for next, as a tuple, or its outcome."""
    answers = _Answers(caller.answers)
    under_test = client(
        _Connection(answers, caller.region),
        _Connection(answers, OTHER[caller.region]),
        "transactions",
        alone=lambda: alone,
        patience=PATIENCE,
        metrics=lambda _: None,
        clock=lambda: answers.now,
        sleep=lambda seconds: answers.take("sleep", seconds),
        new_id=lambda: f"w{caller.call}",
    )
    try:
        return under_test.pay("a", {"amount": {"N": caller.payment}})
    except _Asks as asks:
        return asks.what


class _Search:
    """One search of all worlds."""

    def __init__(self, client: Callable[..., Any]) -> None:
        self.next_of = lru_cache(maxsize=None)(lambda caller, alone: next_of(client, caller, alone))
        self.states = self.steps = 0
        self.violations: list[str] = []
        self.outcomes: dict[str, int] = {}

    def all_of(self, world: World, first: State) -> None:
        """Search every state that can come after the first one."""
        self.alone = dict(world.alone)
        seen, todo = {first}, [first]
        while todo:
            state = todo.pop()
            for after in self._after(world, state):
                self.steps += 1
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
            if not state.sent and not state.late and state.away in ("", "over") and state.east != state.west:
                self.violations.append(f"diverged: {state}")
            if len(self.violations) > 100:
                break
        self.states += len(seen)

    def _after(self, world: World, state: State) -> Iterator[State]:
        up = [region for region in REGIONS if region != state.away]
        for at, caller in enumerate(state.callers):
            if not caller.ended:
                yield from self._steps_of(world, state, at, caller, up)
                if not state.crashed:
                    for region in REGIONS:
                        again = Caller(caller.call + 10, region, caller.payment)
                        yield self._with(state._replace(crashed=True), at, again)
        for target, held in state.sent:
            if len(up) == len(REGIONS):
                yield self._arrived(state._replace(sent=state.sent - {(target, held)}), target, held)
        for put in state.late:
            if put[0] in up:
                yield self._put(world, state._replace(late=state.late - {put}), *put)[0]
        if not state.away:
            yield from (state._replace(away=region) for region in REGIONS)
        elif state.away != "over":
            yield state._replace(away="over")

    def _steps_of(self, world: World, state: State, at: int, caller: Caller, up: list[str]) -> Iterator[State]:
        what, *rest = self.next_of(caller, self.alone[caller.region])
        if what == "sleep":
            yield self._answered(state, at, ("slept", round(rest[0], 6)))
            return
        region = rest[0]
        spoilt = state._replace(faults=1)
        if region in up:
            if what == "put":
                after, token = self._put(world, state, region, caller.payment, caller.call, rest[2], insert=rest[1])
                yield self._answered(after, at, token)
                if not state.faults:
                    yield self._answered(after._replace(faults=1), at, ("lost",))
                    late = spoilt._replace(late=state.late | {(region, caller.payment, caller.call, rest[2])})
                    yield self._answered(late, at, ("lost",))
            else:
                held = state.east if region == EAST else state.west
                yield self._answered(state, at, ("item", held.payment, held.write_id) if held else ("nothing",))
        if region not in up or not state.faults:
            yield self._answered(state if region not in up else spoilt, at, ("lost",))

    def _put(
        self, world: World, state: State, region: str, payment: str, call: int, write_id: str, *, insert: bool = True
    ) -> tuple[State, Token]:
        there = state.east if region == EAST else state.west
        if there and insert:
            return state, ("held", there.payment, there.write_id)
        if ("nothing", call) in state.claims:
            self.violations.append(f"happened: call {call} had written nothing: {state}")
        held = Held(state.time + (100 if region == world.ahead else 0), region, payment, write_id)
        state = state._replace(time=state.time + 1, sent=state.sent | {(OTHER[region], held)})
        return self._hold(state, region, held), ("done",)

    def _arrived(self, state: State, target: str, held: Held) -> State:
        there = state.east if target == EAST else state.west
        return state if there and there[:2] > held[:2] else self._hold(state, target, held)

    def _hold(self, state: State, region: str, held: Held) -> State:
        for kind, payment in state.claims:
            if (kind == "final" and payment != held.payment) or (kind == "never" and payment == held.payment):
                self.violations.append(f"{kind} {payment}, and {region} has {held.payment}: {state}")
        return state._replace(east=held) if region == EAST else state._replace(west=held)

    def _answered(self, state: State, at: int, token: Token) -> State:
        caller = state.callers[at]
        return self._with(state, at, caller._replace(answers=(*caller.answers, token)))

    def _with(self, state: State, at: int, caller: Caller) -> State:
        """The state with a caller in its place; if its call has ended, with what that claims."""
        outcome = self.next_of(caller, self.alone[caller.region])
        claims: set[tuple[str, Any]] = set()
        if type(outcome) is not tuple:
            name = type(outcome).__name__
            self.outcomes[name] = self.outcomes.get(name, 0) + 1
            claims = self._claimed(state, caller, outcome)
            caller = Caller(caller.call, caller.region, caller.payment, (), name)
        callers = (*state.callers[:at], caller, *state.callers[at + 1 :])
        return state._replace(callers=callers, claims=state.claims | claims)

    def _claimed(self, state: State, caller: Caller, outcome: Any) -> set[tuple[str, Any]]:
        held = {region: each.payment if each else None for region, each in ((EAST, state.east), (WEST, state.west))}
        if isinstance(outcome, Confirmed | Refused):
            item = outcome.item if isinstance(outcome, Confirmed) else outcome.existing
            if item is None:
                return {("nothing", caller.call)}
            payment = item["amount"]["N"]
            if set(held.values()) != {payment} or (isinstance(outcome, Confirmed) and payment != caller.payment):
                self.violations.append(f"{type(outcome).__name__} {payment}, and the regions have {held}: {state}")
            return {("final", payment), *({("never", caller.payment)} if payment != caller.payment else ())}
        accepted = held[caller.region] == caller.payment and self.alone[caller.region] == "accept"
        if isinstance(outcome, OneRegion) and not accepted:
            self.violations.append(f"OneRegion {caller.payment}, and the regions have {held}: {state}")
        return set()


WORLDS = [
    (World(ahead, ((EAST, east), (WEST, west))), State((Caller(1, EAST, "100"), Caller(2, region, second))))
    for second, region, ahead, east, west in product(
        ("7", "100"), REGIONS[::-1], ("", *REGIONS), ("refuse", "accept"), ("refuse", "accept")
    )
]
"""Every small world, with its first state."""


def search(world: World, first: State, client: Callable[..., Any] = ConfirmedPayments) -> Found:
    """Search one small world completely.

    Args:
        world: The world.
        first: The state in which it begins.
        client: Makes the client under test.
    """
    one = _Search(client)
    one.all_of(world, first)
    return Found(1, one.states, one.steps, tuple(sorted(one.outcomes.items())), tuple(one.violations))


def together(found: Iterable[Found]) -> Found:
    """What several searches have found."""
    all_of = list(found)
    outcomes = sum((Counter(dict(each.outcomes)) for each in all_of), Counter[str]())
    return Found(
        sum(each.worlds for each in all_of),
        sum(each.states for each in all_of),
        sum(each.steps for each in all_of),
        tuple(sorted(outcomes.items())),
        tuple(wrong for each in all_of for wrong in each.violations),
    )
