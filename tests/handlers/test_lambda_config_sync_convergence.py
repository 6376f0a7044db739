"""What holds for any order of events, failures and API calls, in 2,000 histories of the world that no_loss has for it.

`make prove-no-loss` plays more of them, and breaks the handler to see that they notice.
"""

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from no_loss.config_sync import NAME, NAMES, World
from no_loss.config_sync_histories import (
    Action,
    advances,
    any_history,
    anything,
    deletes,
    eves,
    happen,
    hours_of,
    last_write_stays,
    new_values,
    orders,
    reconcile_for_the_last_time,
    skews,
    steps,
)
from no_loss.world import EAST, WEST
from tests.handlers.config_sync_seed import HISTORIES, SEED

property_of_histories = settings(
    max_examples=300, deadline=None, database=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
@seed(SEED)
@settings(property_of_histories, max_examples=HISTORIES)
@any_history
def test_after_the_last_reconciliation_both_regions_hold_the_last_write(
    story: list[Action], skew_ms: int, order: list[int], survivors: bool
) -> None:
    with World(skew_ms) as world:
        last_write_stays(story, order, world, survivors=survivors)


def test_a_write_of_the_value_that_is_there_does_not_replace_that_value() -> None:
    """The copy of the second write is all that the deletes leave, and its value is no old one that came back."""
    story: list[Action] = [
        ("write", EAST, (NAME, "plain")),
        ("write", WEST, (NAME, "same value")),
        ("write", WEST, (NAME, "same value")),
        ("delete", EAST, NAME),
        ("reconcile", WEST, True),
        ("delete", WEST, NAME),
    ]
    with World() as world:
        last_write_stays(story, [0], world, survivors=False)


def test_a_value_that_is_written_again_after_it_was_replaced_has_not_come_back() -> None:
    """Deletes leave only copies of the write that replaced the value, and of the one that wrote it again."""
    with World() as world:
        world.write(EAST)
        world.start(EAST).until("the end")
        world.write(EAST)
        slow = world.start(EAST).until("put_parameter")
        world.write(EAST, how="same value")  # the first one's, which the other region still holds
        world.delete(WEST, NAME)
        slow.until("the end")
        world.start(EAST).until("the end")
        world.delete(EAST, NAME)
        world.start(WEST).until("the end")
        world.check_converged()


def test_a_copy_in_a_parameter_that_was_created_again_is_not_taken_for_the_write_that_had_its_number() -> None:
    """In a region whose clock is behind both have the same time too, the first moment after what they replaced."""
    story: list[Action] = [
        ("replace", WEST, (NAME, "plain")),
        ("race", WEST, (EAST, "get_parameter", "", "again")),
        ("write", WEST, (NAME, "again")),
    ]
    with World(skew_ms=-1000) as world:
        last_write_stays(story, [0], world, survivors=False)


# New values only: only the next reconciliation repairs a copy that crosses a write of the very value it replaces.
@seed(SEED)
@property_of_histories
@given(
    story=st.lists(st.one_of(new_values, advances, steps, eves, hours_of("away", "no events")), max_size=30),
    order=orders,
    skew_ms=skews,
)
def test_events_alone_converge_if_none_is_lost_however_the_functions_overlap(
    story: list[Action], order: list[int], skew_ms: int
) -> None:
    with World(skew_ms) as world:

        def deliver() -> None:
            while world.events:
                world.start(*world.events.pop(0))

        for action in story:
            if action[0] == "hour":  # it ends what runs, and Lambda would retry that
                world.finish(order, deliver)
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
    with World() as world:
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
