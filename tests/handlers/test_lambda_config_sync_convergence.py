"""Both config-sync functions, everybody's writes and every kind of failure, in any order of API calls.

A history is what people, Terraform, EventBridge, the network and the clocks do; the functions in it are the handler's
real code, each invocation in a thread of its own that stops before every API call until the history says what becomes
of it. More of them than in the tests:

    CONFIG_SYNC_SEED=1 python -m tests.handlers.test_lambda_config_sync_convergence 100000
"""

from __future__ import annotations

import contextlib
import io
import json
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from handlers.lambda_config_sync import SEED as SEED_MARK
from handlers.lambda_config_sync import STAMP_AGE_MAX, ParameterSync, Settings, Stamp, SyncFailed, Write, run
from tests.handlers.config_sync_seed import HISTORIES, SEED, VARIABLE
from tests.handlers.parameter_store import AWS_MANAGED_KEY, Clock, ParameterStore, StoredVersion, api_error

EAST, WEST = "us-east-1", "us-west-2"
OTHER = {EAST: WEST, WEST: EAST}
NAMES = ("/payment-app/dev/database-url", "/payment-app/dev/api-key")
NAME = NAMES[0]
KEYS = {region: f"arn:aws:kms:{region}:111122223333:key/{region}" for region in OTHER}
TOTALS = Counter[str]()
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


class Crash(BaseException):
    """The function's process ends here: nothing of it runs any more."""


@dataclass(frozen=True)
class UserWrite:
    region: str
    at_ms: int
    value: str
    replaced: frozenset[str]  # every value that this region had held before
    number: int = 0
    modified: datetime = datetime.min
    is_seed: bool = False
    claims: Write | None = None  # the write of which it looks like a copy, by a description that people gave it


class World:
    """Two regions, their functions, their users, and the change events that EventBridge has still to deliver."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = abs(skew_ms)
        self.clock = Clock(offsets_ms={WEST: skew_ms})
        self.stores = {region: ParameterStore(region, self.clock, page_max=3) for region in (EAST, WEST)}
        self.writes: dict[str, list[UserWrite]] = {name: [] for name in NAMES}
        self.copies, self.crossed = Counter[str](), Counter[str]()
        self.faults: list[str] = []  # of copies, seen when they arrive
        self.disturbances = Counter[str]()  # deletes, and writes with another type or key
        self.deleted = Counter[str]()
        self.misled: set[str] = set()  # parameters with a claim that the functions could not check
        self.events: list[tuple[str, Any]] = []
        self.late_puts: list[Callable[[], object]] = []
        self.invocations: list[Invocation] = []
        self.log, self.history = io.StringIO(), list[str]()
        for store in self.stores.values():
            store.on_change = self._changed

    def _changed(self, region: str, name: str, operation: str) -> None:
        detail = {"name": name, "operation": operation}
        self.events.append((region, {"detail-type": "Parameter Store Change", "detail": detail}))

    def tell(self, text: str) -> None:
        self.history.append(f"{self.clock.now():%M:%S.%f} {text}")

    def newest(self, name: str) -> dict[str, tuple[int, datetime]]:
        """The newest version in each region: its number, and its time, as numbers start again after a delete."""
        current = {r: store.parameters[name][-1] for r, store in self.stores.items() if name in store.parameters}
        return {region: (version.number, version.modified) for region, version in current.items()}

    def written(self, name: str, write: Write) -> UserWrite | None:
        """What a stamp names. A write's time may be moved to behind what it replaced."""
        found = [
            each
            for each in self.writes[name]
            if (each.region, each.number) == (write.region, write.version) and each.modified <= write.time
        ]
        return max(found, key=lambda each: each.modified, default=None)

    def is_there(self, name: str, write: UserWrite) -> bool:
        """Whether the write itself, not a copy, is still in its region's history."""
        return any(
            (version.number, version.modified) == (write.number, write.modified)
            for version in self.stores[write.region].parameters.get(name, [])
        )

    def held(self, name: str, region: str, version: StoredVersion) -> UserWrite | None:
        """Whose value a stored version holds."""
        for write in self.writes[name]:
            if (write.region, write.number, write.modified) == (region, version.number, version.modified):
                return write
        stamp = Stamp.split(version.description)[1]
        return self.written(name, stamp.write) if stamp else None

    def write(self, region: str, name: str = NAME, how: str = "plain") -> None:
        here, there = (self.stores[r].parameters.get(name, []) for r in (region, OTHER[region]))
        value = f"secret-{sum(map(len, self.writes.values()))}-of-{region}"
        if how == "same value" and there:
            value = there[-1].value
        # The console fills in the description that was there when its form was opened; people copy from elsewhere.
        forms = {"text": "Payments database", "seed": f"Payments database {SEED_MARK}"}
        forms |= {"current": here[-1].description, "old": here[len(here) // 2].description} if here else {}
        forms |= {"again": here[-1].description} if here else {}
        forms |= {"other region": there[-1].description} if there else {}
        if how in ("again", "seed"):  # Terraform replaces a parameter, or people do with its old description
            self.delete(region, name)
            here = []
        key = {"no key": AWS_MANAGED_KEY}.get(how, KEYS[region])
        request: dict[str, Any] = {"Type": "String" if how == "String" else "SecureString", "KeyId": key}
        request |= {"Tier": "Advanced"} if how == "Advanced" else {}
        self.disturbances[name] += how in ("no key", "String")
        self.tell(f"somebody writes {value} in {region} to {name} ({how})")
        self.stores[region].put_parameter(Name=name, Value=value, Overwrite=True, Description=forms.get(how), **request)
        version = self.stores[region].parameters[name][-1]
        claims = self._claim(region, here, version)
        is_seed = not claims and not here and Stamp.split(version.description)[0].endswith(SEED_MARK)
        replaced = frozenset(v.value for v in here)
        self.writes[name].append(
            UserWrite(region, self.clock.now_ms, value, replaced, version.number, version.modified, is_seed, claims)
        )

    @staticmethod
    def _claim(region: str, here: Sequence[StoredVersion], version: StoredVersion) -> Write | None:
        stamp = Stamp.split(version.description)[1]
        known = any(stamp and stamp.nonce in each.description for each in here)
        if not stamp or known or stamp.region != region or version.modified - stamp.made_at > STAMP_AGE_MAX:
            return None
        return stamp.write

    def delete(self, region: str, name: str) -> None:
        if self.stores[region].value(name) is not None:
            self.tell(f"somebody deletes {name} in {region}")
            self.stores[region].delete_parameter(Name=name)
            self.clock.advance(1)  # or what is created next could not be told from what was there
            self.disturbances[name] += 1
            self.deleted[name] += 1

    def reports(self) -> list[dict[str, Any]]:
        """The warnings of lost writes."""
        return [json.loads(line) for line in self.log.getvalue().splitlines() if '"WritesLost"' in line]

    def start(self, region: str, event: Any = SCHEDULE) -> Invocation:
        self.invocations.append(Invocation(self, region, event))
        return self.invocations[-1]

    def running(self) -> list[Invocation]:
        return [invocation for invocation in self.invocations if not invocation.done]

    def kill(self) -> None:
        for invocation in self.running():
            invocation.resume("killed")

    def finish(self, order: Sequence[int] = (0,), deliver: Callable[[], object] = lambda: None) -> None:
        """Let everything that runs go on undisturbed, taking turns."""
        deliver()
        turn = 0
        while running := self.running():
            running[order[turn % len(order)] % len(running)].resume()
            deliver()
            turn += 1
            assert turn < 5_000, "the functions keep each other busy"

    def check_converged(self) -> None:
        for name, writes in self.writes.items():
            values = {store.value(name) for store in self.stores.values()}
            versions = [(r, version) for r, store in self.stores.items() for version in store.parameters.get(name, [])]
            if not versions:
                assert values == {None}
                continue
            assert len(values) == 1, f"the regions differ: {values}"
            for region, store in self.stores.items():
                current = store.parameters[name][-1]
                assert (current.type, current.key_id) == ("SecureString", KEYS[region])
            assert values <= {write.value for write in writes}, f"nobody wrote {values}"
            if name in self.misled or any(not self._can_be_checked(name, write) for write in writes):
                continue
            alive = {write for region, version in versions if (write := self.held(name, region, version))}
            assert self.deleted[name] or alive == set(writes)
            winners = [write for write in alive if write.value in values]
            assert winners, f"nobody wrote {values}, as far as the histories go"
            winner = max(winners, key=lambda write: (not write.is_seed, write.at_ms))
            if winner.is_seed:
                assert all(write.is_seed for write in alive), "a seed beats a write"
            else:
                newer = [w for w in alive if w.at_ms > winner.at_ms + self.skew_ms and not w.is_seed]
                assert not newer, f"a write is lost that is newer by more than the clocks differ: {newer}"
            if len(winners) == 1:
                replaced = [w for w in alive if winner.value in w.replaced and w.is_seed <= winner.is_seed]
                assert not replaced, "what was replaced came back"

    def _can_be_checked(self, name: str, write: UserWrite) -> bool:
        claimed = self.written(name, write.claims) if write.claims else None
        return not write.claims or bool(claimed and self.is_there(name, claimed))

    def check_copies(self) -> None:
        """A copy is crossed if a region changed between the function's look at it and the copy's arrival.

        An uncrossed copy repairs one region; a write breaks at most one, a delete or a write with another type or key
        one more, and so does a crossed copy. So there are at most writes + disturbances + crossed uncrossed ones.
        Functions that do not overlap cross nothing: one copy a write.
        """
        for name, writes in self.writes.items():
            assert self.copies[name] <= len(writes) + self.disturbances[name] + 2 * self.crossed[name]
        assert self.faults == []
        assert "secret" not in self.log.getvalue()

    def check_reports(self) -> None:
        """Nothing is reported as lost that the later write knew of. What has to be reported is seen at each copy."""
        for report in self.reports():
            name = report["parameter"]
            if self.deleted[name]:  # a run may take what was created again within a second for what was there before
                continue
            lost, kept = (self._named(name, report[which]) for which in ("lost", "kept"))
            if self._is_ambiguous(name, lost):
                continue
            assert not lost.is_seed
            assert lost.region != kept.region
            assert lost.value not in kept.replaced, f"{kept} knew of {lost}"

    def _named(self, name: str, text: str) -> UserWrite:
        region, _, version, _, time = text.split()
        found = self.written(name, Write(datetime.fromisoformat(time).astimezone(UTC), region, int(version)))
        assert found, f"nobody wrote {text}"
        return found

    def _is_ambiguous(self, name: str, write: UserWrite) -> bool:
        return [each.value for each in self.writes[name]].count(write.value) > 1

    def look_at_copy(self, store: ParameterStore, request: dict[str, Any], crossed: bool) -> None:
        """Find what is wrong with a copy that is about to arrive."""
        name, region = request["Name"], store.region
        stamp = Stamp.split(request["Description"])[1]
        assert stamp
        carried = self.written(name, stamp.write)
        current = store.parameters[name][-1] if name in store.parameters else None
        if not carried or carried.value != request["Value"]:
            if self.deleted[name] and not (carried and self.is_there(name, carried)):
                self.misled.add(name)
            else:
                self.faults.append("a copy carries another value than the write it names")
        if not current or not carried:
            return
        replaced = self.held(name, region, current)
        if crossed:
            if replaced and replaced.claims and replaced.modified == current.modified:
                self.misled.add(name)  # only what a region holds now is checked
            return
        if current.value == request["Value"] and (current.type, current.key_id) == ("SecureString", KEYS[region]):
            self.faults.append("a copy is written though nothing differs")
        if (
            replaced
            and (replaced.region, replaced.modified) == (region, current.modified)
            and not replaced.is_seed
            and carried.region != region
            and replaced.value not in {request["Value"], *carried.replaced}
            and not self.deleted[name]
            and replaced
            not in [self._named(name, each["lost"]) for each in self.reports() if each["parameter"] == name]
        ):
            self.faults.append("a write is lost and not reported")


class Invocation:
    """One run of a function, that stops before every API call until it is resumed with the call's fate."""

    def __init__(self, world: World, region: str, event: Any) -> None:
        self.done = False
        self.next_operation = ""
        self.summary: Any = None
        self._world, self._region, self._event = world, region, event
        self._label = f"{region}#{len(world.invocations)}"
        self._read: dict[str, tuple[int, datetime]] = {}
        self._fates: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stops: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        world.tell(f"{self._label} starts: {event['detail'] or 'reconciliation'}")
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        home, target = (Wire(self, self._world.stores[region]) for region in (self._region, OTHER[self._region]))
        sync = ParameterSync(
            self._region,
            OTHER[self._region],
            KEYS[OTHER[self._region]],
            home=home,
            target=target,
            target_writer=target,
            now=lambda: self._world.clock.now(self._region),
            sleep=lambda seconds: self._world.clock.advance(round(seconds * 1000)),
        )
        configuration = Settings(NAMES, self._region, OTHER[self._region], "key", "role", ("Test", "sync"))
        try:
            self.summary = run(self._event, configuration, lambda: sync, choose_first=lambda _: 0)
        except (SyncFailed, Crash) as error:
            self._world.tell(f"{self._label} ends: {error!r}")
        except BaseException as error:
            self._error = error
        self._stops.put(True)

    def resume(self, fate: str = "") -> None:
        self._fates.put(fate)
        self._wait()

    def _wait(self) -> None:
        self.done = self._stops.get(timeout=30)
        if self.done:
            self._thread.join()
        if self._error:
            raise self._error

    def until(self, operation: str) -> Invocation:
        while not self.done and self.next_operation != operation:
            self.resume()
        return self

    def call(self, operation: str, store: ParameterStore, request: dict[str, Any]) -> Any:
        self.next_operation = operation
        self._stops.put(False)
        fate = self._fates.get()
        self._world.clock.advance(1)
        TOTALS["calls"] += 1
        TOTALS["kills"] += fate.startswith("killed")
        self._world.tell(f"{self._label} {operation} {request['Name']} in {store.region} {fate}")
        if fate == "killed":
            raise Crash
        if fate == "throttled":
            raise api_error(operation, "ThrottlingException")
        act = self._act(operation, store, request)
        if fate.endswith("arrives later") and operation == "put_parameter":
            self._world.late_puts.append(act)
        elif not fate.startswith("timeout"):
            answer = act(stale=fate == "stale")
        if fate.startswith("killed"):
            raise Crash
        if fate.startswith("timeout") or fate == "answer lost":
            raise ReadTimeoutError(endpoint_url="https://ssm")
        return answer

    def _act(self, operation: str, store: ParameterStore, request: dict[str, Any]) -> Callable[..., Any]:
        """What the call does when it arrives."""
        world, name, read = self._world, request["Name"].partition(":")[0], dict(self._read)

        def act(*, stale: bool = False) -> Any:
            if operation == "put_parameter":
                crossed = read != world.newest(name)
                world.copies[name] += 1
                world.crossed[name] += crossed
                world.look_at_copy(store, request, crossed)
                world.tell(f"{self._label} {request['Value']} arrives in {store.region}{' crossed' * crossed}")
            elif operation == "get_parameter_history":
                self._read.pop(store.region, None)
            answer = getattr(store, operation)(**request)
            if operation == "get_parameter_history":
                if stale and len(answer["Parameters"]) > 1:
                    answer["Parameters"].pop()
                    answer.pop("NextToken", None)
                last = answer["Parameters"][-1]
                self._read[store.region] = last["Version"], last["LastModifiedDate"]
            if operation == "get_parameter" and stale and (number := answer["Parameter"]["Version"] - 1):
                answer = store.get_parameter(**request | {"Name": f"{name}:{number}"})
            return answer

        return act


class Wire:
    """An SSM client whose calls go through an invocation."""

    def __init__(self, invocation: Invocation, store: ParameterStore) -> None:
        self._invocation, self._store = invocation, store

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: self._invocation.call(operation, self._store, request)


Action = tuple[str, Any, Any]
FATES = [
    "killed",
    "killed, answer lost",
    "killed, arrives later",
    "throttled",
    "timeout",
    "timeout, arrives later",
    "answer lost",
    "stale",
]
regions, indices = st.sampled_from([EAST, WEST]), st.integers(0, 9)
names = st.sampled_from([NAME, NAME, NAME, NAMES[1]])
hows = st.sampled_from(["plain", "plain", "text", "current", "old", "other region", "no key", "String", "Advanced"])
new_values = st.tuples(st.just("write"), regions, st.tuples(names, hows))
writes = st.one_of(
    new_values, new_values, st.tuples(st.just("write"), regions, st.tuples(names, st.just("same value")))
)
advances = st.tuples(st.just("advance"), st.sampled_from([1, 400, 1500]), st.none())
deliveries = st.tuples(st.just("deliver"), indices, st.sampled_from(["once", "and again later", "lost"]))
reconciliations = st.tuples(st.just("reconcile"), regions, st.booleans())
# An invocation makes four to six calls a name if nothing goes wrong: histories, values, and the copy, if there is one.
steps = st.tuples(st.just("step"), indices, st.integers(1, 6))
looks = st.sampled_from(["get_parameter", "put_parameter"])
races, races_of_creations = (
    st.tuples(st.just("race"), regions, st.tuples(regions, looks, st.sampled_from(["", *FATES]), st.just(how)))
    for how in ("plain", "again")
)
eves = st.tuples(st.just("eve of copy"), indices, st.none())
failures = st.tuples(st.just("step"), indices, st.sampled_from(FATES))
late = st.tuples(st.just("late put"), indices, st.none())
seeds = st.tuples(st.just("create"), regions, names)
deletes = st.tuples(st.just("delete"), regions, names)
creations = st.tuples(st.just("write"), regions, st.tuples(names, st.sampled_from(["again", "seed"])))
skews = st.one_of(st.sampled_from([0, 0, -1000, 1000]), st.integers(-1000, 1000))
orders = st.lists(st.integers(0, 5), min_size=1, max_size=20)
property_of_histories = settings(
    max_examples=300, deadline=None, database=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)


def happen(world: World, action: Action) -> None:
    kind, subject, detail = action
    running = world.running()
    if kind == "write":
        world.write(subject, *detail)
    elif kind == "advance":
        world.clock.advance(subject)
    elif kind == "reconcile":
        invocation = world.start(subject)
        while detail and not invocation.done:
            invocation.resume()
    elif kind == "deliver" and world.events:
        index = subject % len(world.events)
        event = world.events[index] if detail == "and again later" else world.events.pop(index)
        if detail != "lost":
            world.start(*event)
    elif kind == "step" and running:
        invocation = running[subject % len(running)]
        for fate in [detail] if isinstance(detail, str) else [""] * detail:
            if not invocation.done:
                invocation.resume(fate)
    elif kind == "eve of copy" and running:
        running[subject % len(running)].until("put_parameter")
    elif kind == "race":  # somebody writes between a function's look at the regions and its copy
        writer, look, fate, how = detail
        invocation = world.start(subject).until(look)
        world.write(writer, how=how)
        if not invocation.until("put_parameter").done:
            invocation.resume(fate)
    elif kind == "late put" and world.late_puts:
        arrive(world.late_puts.pop(subject % len(world.late_puts)))
    elif kind == "create" and not world.stores[subject].value(detail):
        world.write(subject, detail, "seed")
    elif kind == "delete":
        world.delete(subject, detail)


def arrive(put: Callable[[], object]) -> None:
    with contextlib.suppress(ClientError):  # nobody hears that it is refused: the tier has changed meanwhile
        put()


@contextlib.contextmanager
def world_of(skew_ms: int = 0) -> Iterator[World]:
    """A world whose functions do not outlive it, and whose history is printed if this is a failure."""
    world = World(skew_ms)
    try:
        with contextlib.redirect_stdout(world.log):
            yield world
    finally:
        world.kill()
        note("\n".join([f"{VARIABLE}={SEED}", *world.history]))


def reconcile_for_the_last_time(world: World, order: Sequence[int], survivors: bool) -> None:
    """The rest of the history is over; both functions reconcile, at the same time or not."""
    if not survivors:
        world.kill()
    world.finish(order)
    for put in world.late_puts:
        arrive(put)
    for region in (EAST, WEST):
        world.start(region)
    world.finish(order)


anything = st.one_of(
    writes,
    writes,
    advances,
    deliveries,
    deliveries,
    reconciliations,
    steps,
    eves,
    races,
    failures,
    failures,
    late,
    seeds,
)
anything_and_deletes = st.one_of(anything, anything, deletes, creations, races_of_creations)


any_history = given(
    story=st.one_of(st.lists(anything, max_size=50), st.lists(anything_and_deletes, max_size=50)),
    skew_ms=skews,
    order=orders,
    survivors=st.booleans(),
)


@pytest.mark.slow
@seed(SEED)
@settings(property_of_histories, max_examples=HISTORIES)
@any_history
def test_after_the_last_reconciliation_both_regions_hold_the_last_write(
    story: list[Action], skew_ms: int, order: list[int], survivors: bool
) -> None:
    last_write_stays(story, skew_ms, order, survivors)


def last_write_stays(story: list[Action], skew_ms: int, order: list[int], survivors: bool) -> None:
    with world_of(skew_ms) as world:
        for action in story:
            happen(world, action)
        reconcile_for_the_last_time(world, order, survivors)

        TOTALS["histories"] += 1
        world.check_converged()
        world.check_copies()
        copies = world.copies.total()
        world.check_reports()
        missing = [name for name in NAMES if world.stores[EAST].value(name) is None]
        for region in (EAST, WEST):
            world.start(region).until("the end")
            assert world.invocations[-1].summary == {"copied": [], "unchanged": len(NAMES), "drifted": missing}
        assert world.copies.total() == copies, "a round that finds nothing different writes nothing"


# New values only: only the next reconciliation repairs a copy that crosses a write of the very value it replaces.
@seed(SEED)
@property_of_histories
@given(story=st.lists(st.one_of(new_values, advances, steps, eves), max_size=30), order=orders, skew_ms=skews)
def test_events_alone_converge_if_none_is_lost_however_the_functions_overlap(
    story: list[Action], order: list[int], skew_ms: int
) -> None:
    with world_of(skew_ms) as world:

        def deliver() -> None:
            while world.events:
                world.start(*world.events.pop(0))

        for action in story:
            happen(world, action)
            deliver()
        world.finish(order, deliver)

        world.check_copies()
        # Lambda would retry the event: others kept writing, or made the target advanced before the copy arrived.
        if not any(error in world.log.getvalue() for error in ("TryAgainError", "ValidationException")):
            world.check_converged()


@seed(SEED)
@property_of_histories
@given(story=st.lists(st.one_of(anything, deletes)), order=orders)
def test_a_deleted_parameter_comes_back_from_the_other_region_with_a_value_that_somebody_wrote(
    story: list[Action], order: list[int]
) -> None:
    with world_of() as world:
        for action in story:
            happen(world, action)
        there = {name for name in NAMES for store in world.stores.values() if store.value(name)}
        reconcile_for_the_last_time(world, order, survivors=False)

        for name in NAMES:
            (value,) = {store.value(name) for store in world.stores.values()}
            assert value in {write.value for write in world.writes[name]} or (value is None and name not in there)


@pytest.mark.parametrize("in_flight", [0, 1, 2, 5])
def test_the_bound_on_the_number_of_copies_is_reached(in_flight: int) -> None:
    world = World()
    world.write(EAST)
    crossed = [world.start(EAST).until("put_parameter") for _ in range(in_flight)]
    world.start(EAST).until("the end")
    world.clock.advance(1)
    world.write(WEST)
    for invocation in [*crossed, world.start(WEST)]:
        invocation.until("the end")

    assert (len(world.writes[NAME]), world.crossed[NAME]) == (2, in_flight)
    assert world.copies[NAME] == 2 + 2 * in_flight
    world.check_converged()


def main(histories: int) -> None:
    """Search more histories than the tests do, and say how many there were."""
    seed(SEED)(settings(property_of_histories, max_examples=histories)(any_history(last_write_stays)))()
    counts = ", ".join(f"{TOTALS[what]:,} {what}" for what in ("histories", "calls", "kills"))
    sys.stdout.write(f"seed {SEED}: {counts}, none failed\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
