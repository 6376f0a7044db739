"""Both config-sync functions, anybody's writes and every kind of failure, in any order of API calls."""

from __future__ import annotations

import contextlib
import io
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.lambda_config_sync import ParameterSync, Settings, SyncFailed, run
from tests.handlers.parameter_store import Clock, ParameterStore, api_error

EAST, WEST = "us-east-1", "us-west-2"
OTHER = {EAST: WEST, WEST: EAST}
NAME = "/payment-app/dev/database-url"
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
CHANGE = {
    "source": "aws.ssm",
    "detail-type": "Parameter Store Change",
    "detail": {"name": NAME, "operation": "Update"},
}


class Crash(BaseException):
    """The function's process ends here: nothing of it runs any more."""


@dataclass(frozen=True)
class UserWrite:
    region: str
    at_ms: int
    value: str
    replaced: frozenset[str]  # every value that this region had held before


class World:
    """Two regions, their functions and their users."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.clock = Clock(offsets_ms={WEST: skew_ms})
        self.stores = {region: ParameterStore(region, self.clock, page_max=3) for region in (EAST, WEST)}
        self.writes: list[UserWrite] = []
        self.log = io.StringIO()
        self.changed_regions: list[str] = []  # one for each change, as EventBridge would tell
        for store in self.stores.values():
            store.on_change = self._changed

    def _changed(self, region: str, _name: str, _operation: str) -> None:
        self.changed_regions.append(region)

    def write(self, region: str, description: str | None = None) -> None:
        value = f"secret-{len(self.writes)}-of-{region}"
        store = self.stores[region]
        replaced = frozenset(version.value for version in store.parameters.get(NAME, []))
        store.put_parameter(Name=NAME, Value=value, Type="SecureString", Overwrite=True, Description=description)
        self.writes.append(UserWrite(region, self.clock.now_ms, value, replaced))

    def function(
        self, region: str, wrap: Callable[[ParameterStore], Any] = lambda store: store
    ) -> Callable[[Any], Any]:
        """The function of a region; `wrap` may put itself between it and the stores."""
        home, target = wrap(self.stores[region]), wrap(self.stores[OTHER[region]])
        parameters = ParameterSync(
            region,
            OTHER[region],
            f"arn:aws:kms:{OTHER[region]}:111122223333:key/1",
            home=home,
            target=target,
            target_writer=target,
            now=self.clock.now,
            sleep=lambda seconds: self.clock.advance(round(seconds * 1000)),
        )
        configuration = Settings((NAME,), region, OTHER[region], "key", "role", ("Test", f"sync-{region}"))

        def invoke(event: Any) -> Any:
            with contextlib.redirect_stdout(self.log):
                return run(event, configuration, lambda: parameters)

        return invoke

    def copies(self) -> int:
        return sum(len(store.parameters.get(NAME, [])) for store in self.stores.values()) - len(self.writes)

    def check_no_secret_in_log(self) -> None:
        text = self.log.getvalue()
        assert "secret" not in text

    def check_converged(self, skew_ms: int = 0) -> None:
        values = {store.value(NAME) for store in self.stores.values()}
        if not self.writes:
            assert values == {None}
            return
        (value,) = values
        (winner,) = (write for write in self.writes if write.value == value)
        assert not [write for write in self.writes if winner.value in write.replaced], "what was replaced came back"
        newer = [write for write in self.writes if write.at_ms > winner.at_ms + abs(skew_ms)]
        assert not newer, "a write is lost that is newer by more than the clocks differ"


class Stepper:
    """Runs functions in threads of their own, one API call at a time, as the test says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.late_puts: list[Callable[[], object]] = []
        self._actors: list[Actor] = []

    def start(self, region: str, event: Any) -> None:
        actor = Actor(self, region, event)
        self._actors.append(actor)
        actor.resume("start")

    def alive(self) -> list[Actor]:
        return [actor for actor in self._actors if not actor.done]

    def finish(self) -> None:
        for actor in self.alive():
            while not actor.done:
                actor.resume("")

    def kill(self) -> None:
        for actor in self.alive():
            actor.resume("crash before")


class Actor:
    """One invocation. It stops before every API call until it is resumed with the call's fate."""

    def __init__(self, stepper: Stepper, region: str, event: Any) -> None:
        self.done = False
        self.next_operation = ""
        self._stepper = stepper
        self._fates: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stops: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._error: BaseException | None = None
        invoke = stepper.world.function(region, lambda store: Wire(self, store))
        self._thread = threading.Thread(target=self._run, args=(invoke, event), daemon=True)

    def _run(self, invoke: Callable[[Any], Any], event: Any) -> None:
        self._fates.get()
        try:
            invoke(event)
        except (SyncFailed, Crash):
            pass
        except BaseException as error:
            self._error = error
        self._stops.put(True)

    def resume(self, fate: str) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        self._fates.put(fate)
        self.done = self._stops.get(timeout=30)
        if self.done:
            self._thread.join()
        if self._error:
            raise self._error

    def call(self, operation: str, store: ParameterStore, request: dict[str, Any]) -> Any:
        self.next_operation = operation
        self._stops.put(False)
        fate = self._fates.get()
        self._stepper.world.clock.advance(1)
        method = getattr(store, operation)
        if fate == "crash before":
            raise Crash
        if fate == "throttled":
            raise api_error(operation, "ThrottlingException")
        if fate == "timeout, arrives later" and operation == "put_parameter":
            self._stepper.late_puts.append(lambda: method(**request))
        if fate.startswith("timeout"):
            raise ReadTimeoutError(endpoint_url="https://ssm")
        answer = method(**request)
        if fate == "crash after":
            raise Crash
        if fate == "answer lost":
            raise ReadTimeoutError(endpoint_url="https://ssm")
        if fate == "stale" and operation == "get_parameter_history" and len(answer["Parameters"]) > 1:
            answer["Parameters"].pop()
            answer.pop("NextToken", None)
        return answer


class Wire:
    """An SSM client whose calls go through an actor."""

    def __init__(self, actor: Actor, store: ParameterStore) -> None:
        self._actor, self._store = actor, store

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: self._actor.call(operation, self._store, request)


FATES = ["crash before", "crash after", "throttled", "timeout", "timeout, arrives later", "answer lost", "stale"]
regions = st.sampled_from([EAST, WEST])
# How a user's write comes by its description: none given, the form as it was when it was opened, or another region's.
descriptions = st.sampled_from(["keep", "text", "current", "old", "other region"])
writes = st.tuples(st.just("write"), regions, descriptions)
advances = st.tuples(st.just("advance"), st.sampled_from([1, 400, 1500]), st.none())
starts = st.tuples(st.just("start"), regions, st.sampled_from(["schedule", "change"]))
rounds = st.tuples(st.just("round"), regions, st.none())
# An invocation makes four to six calls if nothing goes wrong: histories, values, and the copy, if there is one.
steps = st.tuples(st.just("step"), st.integers(0, 2), st.integers(1, 6))
failures = st.tuples(st.just("step"), st.integers(0, 2), st.sampled_from(FATES))
eves = st.tuples(st.just("eve of copy"), st.integers(0, 2), st.none())
late = st.tuples(st.just("late"), st.integers(0, 2), st.none())
stories = st.lists(st.one_of(writes, writes, advances, starts, rounds, steps, eves, failures, late), max_size=40)


def described(world: World, region: str, how: str) -> str | None:
    history, other = (world.stores[r].parameters.get(NAME, []) for r in (region, OTHER[region]))
    if how == "text":
        return "Payments database"
    if how == "current" and history:
        return history[-1].description
    if how == "old" and history:
        return history[len(history) // 2].description
    if how == "other region" and other:
        return other[-1].description
    return None


def tell(world: World, stepper: Stepper, story: list[tuple[str, Any, Any]]) -> None:
    for action, subject, detail in story:
        if action == "write":
            world.write(subject, described(world, subject, detail))
        elif action == "advance":
            world.clock.advance(subject)
        elif action == "start":
            stepper.start(subject, SCHEDULE if detail == "schedule" else CHANGE)
        elif action == "round":
            world.function(subject)(SCHEDULE)
        elif action == "step" and stepper.alive():
            actor = stepper.alive()[subject % len(stepper.alive())]
            for fate in [detail] if isinstance(detail, str) else [""] * detail:
                if not actor.done:
                    actor.resume(fate)
        elif action == "eve of copy" and stepper.alive():
            actor = stepper.alive()[subject % len(stepper.alive())]
            while not actor.done and actor.next_operation != "put_parameter":
                actor.resume("")
        elif action == "late" and stepper.late_puts:
            stepper.late_puts.pop(subject % len(stepper.late_puts))()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=stories,
    skew_ms=st.sampled_from([0, 0, -1000, -300, 300, 1000]),
    others_crash=st.booleans(),
    last_two=st.permutations([EAST, WEST]),
)
def test_after_one_undisturbed_round_both_regions_hold_the_last_write(
    story: list[tuple[str, Any, Any]], skew_ms: int, others_crash: bool, last_two: list[str]
) -> None:
    world = World(skew_ms)
    stepper = Stepper(world)
    try:
        tell(world, stepper, story)
        if others_crash:
            stepper.kill()
        stepper.finish()
    finally:
        stepper.kill()
    for put in stepper.late_puts:
        put()

    for region in last_two:
        world.function(region)(SCHEDULE)

    world.check_converged(skew_ms)
    copies = world.copies()
    for region in last_two:
        summary = world.function(region)(SCHEDULE)
        assert summary["copied"] == []
        assert summary["drifted"] == [NAME] * (not world.writes)
    assert world.copies() == copies, "a round that finds nothing different writes nothing"
    world.check_no_secret_in_log()


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(st.one_of(writes, advances, st.tuples(st.just("deliver"), st.integers(0, 9), st.booleans()))),
    skew_ms=st.sampled_from([0, -1000, 1000]),
)
def test_events_in_any_order_and_number_cause_at_most_one_copy_a_write(
    story: list[tuple[str, Any, Any]], skew_ms: int
) -> None:
    world = World(skew_ms)
    pending = world.changed_regions

    def deliver(index: int, twice: bool) -> None:
        region = pending[index % len(pending)] if twice else pending.pop(index % len(pending))
        world.function(region)(CHANGE)

    for action, subject, detail in story:
        if action == "write":
            world.write(subject, described(world, subject, detail))
        elif action == "advance":
            world.clock.advance(subject)
        elif pending:
            deliver(subject, detail)
    while pending:
        deliver(0, twice=False)

    world.check_converged(skew_ms)
    assert world.copies() <= len(world.writes)


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(st.one_of(writes, advances, steps, eves), max_size=30),
    order=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    skew_ms=st.sampled_from([0, -1000, 1000]),
)
def test_events_alone_converge_if_none_is_lost_however_the_functions_overlap(
    story: list[tuple[str, Any, Any]], order: list[int], skew_ms: int
) -> None:
    world = World(skew_ms)
    stepper = Stepper(world)
    pending = world.changed_regions

    def deliver() -> None:
        while pending:
            stepper.start(pending.pop(0), CHANGE)

    try:
        for action in story:
            tell(world, stepper, [action])
            deliver()
        turn = 0
        while stepper.alive():
            stepper.alive()[order[turn % len(order)] % len(stepper.alive())].resume("")
            turn += 1
            deliver()
            assert turn < 5_000, "the functions keep each other busy"
    finally:
        stepper.kill()

    if "TryAgainError" not in world.log.getvalue():  # then Lambda would retry the event
        world.check_converged(skew_ms)


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(
        st.one_of(writes, advances, starts, rounds, steps, st.tuples(st.just("delete"), regions, st.none()))
    ),
    last_two=st.permutations([EAST, WEST]),
)
def test_a_deleted_parameter_comes_back_from_the_other_region_with_a_value_that_somebody_wrote(
    story: list[tuple[str, Any, Any]], last_two: list[str]
) -> None:
    world = World()
    stepper = Stepper(world)
    try:
        for action, subject, detail in story:
            if action == "delete":
                world.stores[subject].parameters.pop(NAME, None)
            else:
                tell(world, stepper, [(action, subject, detail)])
        stepper.finish()
    finally:
        stepper.kill()
    for put in stepper.late_puts:
        put()

    for region in last_two:
        world.function(region)(SCHEDULE)

    (value,) = {store.value(NAME) for store in world.stores.values()}
    assert value in {None, *(write.value for write in world.writes)}


@pytest.mark.parametrize("first", [EAST, WEST])
def test_a_value_written_while_its_predecessor_is_being_copied_is_not_reverted_by_the_other_function(
    first: str,
) -> None:
    world = World()
    world.write(first)
    stepper = Stepper(world)
    stepper.start(first, CHANGE)
    while not world.stores[OTHER[first]].parameters:
        if len(world.writes) == 1 and stepper.alive():
            stepper.alive()[0].resume("")
            stepper.alive()[0].resume("")
            world.write(first)
        stepper.alive()[0].resume("")
        world.clock.advance(100)
    stepper.finish()

    world.function(OTHER[first])(CHANGE)
    world.function(first)(CHANGE)

    assert {store.value(NAME) for store in world.stores.values()} == {world.writes[-1].value}
