"""What happens in a history of config sync, and what must hold when it is over.

Hypothesis draws the histories and makes one that fails short.
"""

import base64
import contextlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from handlers import lambda_config_sync
from no_loss.config_sync import NAME, NAMES, World, must
from no_loss.world import EAST, OTHER, REGIONS, WEST

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
# Not st.integers: it draws constants of the loaded modules too, and a seed would not play the same everywhere.
regions, indices = st.sampled_from(REGIONS), st.sampled_from(range(10))
names = st.sampled_from([NAME, NAME, NAME, NAMES[1]])
hows = st.sampled_from(
    ["plain", "plain", "text", "current", "old", "other region", "no key", "String", "Advanced", "long"]
)
new_values = st.tuples(st.just("write"), regions, st.tuples(names, hows))
writes = st.one_of(
    new_values, new_values, st.tuples(st.just("write"), regions, st.tuples(names, st.just("same value")))
)
advances = st.tuples(st.just("advance"), st.sampled_from([1, 400, 1500]), st.none())
deliveries = st.tuples(st.just("deliver"), indices, st.sampled_from(["once", "and again later", "lost"]))
reconciliations = st.tuples(st.just("reconcile"), regions, st.booleans())
# An invocation makes four to six calls a name if nothing goes wrong: histories, values, and the copy, if there is one.
steps = st.tuples(st.just("step"), indices, st.sampled_from(range(1, 7)))
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
replacements = st.tuples(st.just("replace"), regions, st.tuples(names, st.sampled_from(["again", "seed", "plain"])))


def hours_of(*troubles: str) -> st.SearchStrategy[tuple[str, Any, Any]]:
    """An hour with one of these troubles, in which people write."""
    writes_then = st.lists(st.tuples(regions, names, hows), min_size=1, max_size=6)
    return st.tuples(st.just("hour"), regions, st.tuples(st.sampled_from(troubles), writes_then, st.booleans()))


hours = hours_of("away", "throttles", "no events")
# AWS refuses requests of a function whose clock is further apart.
FIVE_MINUTES_MS = 300_000
skews = st.one_of(
    st.sampled_from([0, 0, -1000, 1000, -FIVE_MINUTES_MS, FIVE_MINUTES_MS]),
    st.sampled_from(range(-1000, 1001)),
    st.sampled_from(range(-FIVE_MINUTES_MS, FIVE_MINUTES_MS + 1)),
)
orders = st.lists(st.sampled_from(range(6)), min_size=1, max_size=20)


def happen(world: World, action: Action) -> None:
    """Let one action of a history happen."""
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
    elif kind == "replace":  # somebody writes over a copy, or deletes it and creates the parameter again
        world.write(OTHER[subject], detail[0])
        world.start(OTHER[subject]).until("the end")
        world.write(subject, *detail)
    elif kind == "hour":
        trouble, written, backwards = detail
        world.hour(trouble, subject, written, backwards=backwards)


def arrive(put: Callable[[], object]) -> None:
    """A copy arrives that its function has given up."""
    with contextlib.suppress(ClientError):  # nobody hears that it is refused: the tier has changed meanwhile
        put()


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
    hours,
)
anything_and_deletes = st.one_of(anything, anything, deletes, creations, replacements, races_of_creations)
with_an_end = st.builds(
    lambda story, end: [*story, end], st.lists(anything_and_deletes, max_size=20), st.one_of(hours, replacements)
)
any_history = given(
    story=st.one_of(st.lists(anything, max_size=50), st.lists(anything_and_deletes, max_size=50), with_an_end),
    skew_ms=skews,
    order=orders,
    survivors=st.booleans(),
)


def last_write_stays(story: list[Action], order: list[int], world: World, *, survivors: bool) -> None:
    """After a history and one more reconciliation in each region, both hold the last write, and rest.

    Args:
        story: The history.
        order: In which order the functions of the reconciliations take turns.
        world: The world.
        survivors: Whether the functions that still run go on.
    """
    for action in story:
        happen(world, action)
    reconcile_for_the_last_time(world, order, survivors)
    world.check_converged()
    world.check_copies()
    copies = world.copies.total()
    world.check_reports()
    missing = [name for name in NAMES if world.stores[EAST].value(name) is None]
    quiet = {"copied": [], "unchanged": len(NAMES), "drifted": missing}
    for region in (EAST, WEST):
        world.start(region).until("the end")
        must(world.invocations[-1].summary == quiet, f"a round more ends with {world.invocations[-1].summary}")
    must(world.copies.total() == copies, "a round that finds nothing different writes a copy")


@dataclass
class Played:
    """What came of some histories.

    Attributes:
        histories, calls, kills: How many histories, API calls, and functions that were killed.
        failure: The shortest history that fails, and why; empty if none does.
        again: That history, for `play_again`.
    """

    histories: int = 0
    calls: int = 0
    kills: int = 0
    failure: tuple[str, ...] = ()
    again: str = ""

    def add(self, other: "Played") -> None:
        """Add others. The first failure stays."""
        self.again = self.again or other.again
        self.histories += other.histories
        self.calls += other.calls
        self.kills += other.kills
        self.failure = self.failure or other.failure


def play(first: int, histories: int, handler: ModuleType = lambda_config_sync) -> Played:
    """Play histories of config sync.

    Args:
        first: Seed of what is drawn.
        histories: How many.
        handler: The handler's code.
    """
    played, last = Played(), list[Any]()

    def one(story: list[Action], skew_ms: int, order: list[int], survivors: bool) -> None:
        last[:] = story, skew_ms, order, survivors
        _play_one(played, handler, story, skew_ms, order, survivors)

    searched = settings(
        max_examples=histories,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    try:
        seed(first)(searched(any_history(one)))()
    except Exception as error:  # the handler's own too
        played.failure = _failure(error)
        played.again = base64.urlsafe_b64encode(zlib.compress(json.dumps(last).encode(), 9)).decode()
    return played


def play_again(again: str, handler: ModuleType = lambda_config_sync) -> Played:
    """Play one history.

    Args:
        again: The history, as `Played` has it.
        handler: The handler's code.

    Raises:
        ValueError: It is no history.
    """
    try:
        story, skew_ms, order, survivors = json.loads(zlib.decompress(base64.urlsafe_b64decode(again)))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{again!r} is no history") from error
    played = Played(again=again)
    try:
        _play_one(played, handler, story, skew_ms, order, survivors)
    except Exception as error:
        played.failure = _failure(error)
    return played


def _play_one(
    played: Played, handler: ModuleType, story: list[Action], skew_ms: int, order: list[int], survivors: bool
) -> None:
    world = World(skew_ms, handler)
    with world:
        last_write_stays(story, order, world, survivors=survivors)
    played.histories += 1
    played.calls += world.calls
    played.kills += world.kills


def _failure(error: Exception) -> tuple[str, ...]:
    wrong = str(error) if isinstance(error, AssertionError) else repr(error)
    return (*error.__notes__[0].splitlines(), f"WRONG: {wrong:.300}")
