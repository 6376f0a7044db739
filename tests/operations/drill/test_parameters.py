"""A parameter that is rotated in each region that serves, and restored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.drill import parameters
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import NOTHING_IS_LEFT, undone
from payment_dr.operations.drill.parameters import Parameters
from payment_dr.side import SIDES, Side
from tests.operations.drill.parts import place_on, well
from tests.operations.stack import NAMES, Clock, Stack, refusal

NAME = NAMES[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(parameters, "time", clock)
    return clock


def rotated(stack: Stack, journal: Journal) -> tuple[Parameters, list[str]]:
    """A rotation in both regions, one after the other, and the values that the primary had meanwhile."""
    made, values = Parameters(place_on(stack)), [stack.parameters["primary"][NAME]]
    with undone(made.rotation(), journal, well):
        for side in SIDES:
            made.rotate(side)
            made.await_copy(side)
            values.append(stack.parameters["primary"][NAME])
    return made, values


def test_both_directions_are_checked_and_the_value_is_restored_and_nowhere_to_be_read(
    stack: Stack, clock: Clock, tmp_path: Path
) -> None:
    before, started = {side: dict(stack.parameters[side]) for side in SIDES}, clock.now
    journal = Journal(tmp_path, {"kind": "region"})
    made, values = rotated(stack, journal)
    assert made.compare() == {"name": NAME, "copied": {"primary": True, "secondary": True}}
    assert len(set(values)) == 3
    assert stack.parameters == before
    assert clock.now == started
    assert not any(value in str(journal.content) for value in values)


@pytest.mark.parametrize("side", SIDES)
def test_a_direction_that_is_not_copied_is_waited_for_and_named_and_the_value_is_restored_in_both(
    stack: Stack, clock: Clock, tmp_path: Path, side: Side
) -> None:
    before, started = {each: dict(stack.parameters[each]) for each in SIDES}, clock.now
    stack.syncs[side] = False
    made, _ = rotated(stack, Journal(tmp_path, {"kind": "region"}))
    assert made.compare() == {"name": NAME, "copied": {each: each != side for each in SIDES}}
    assert stack.parameters == before
    assert parameters.COPIED_SECONDS <= clock.now - started < parameters.COPIED_SECONDS + 1


def test_nothing_is_waited_for_any_more_once_the_latest_value_has_arrived(stack: Stack, clock: Clock) -> None:
    made = Parameters(place_on(stack))
    assert made.all_copied()
    made.rotation().do()
    stack.syncs["primary"] = False
    made.rotate("primary")
    assert not made.all_copied()
    stack.parameters["secondary"][NAME] = stack.parameters["primary"][NAME]
    assert made.all_copied()
    made.rotate("secondary")
    stack.parameters["primary"][NAME] = "of another"
    assert made.compare() == {"name": NAME, "copied": {"primary": True, "secondary": False}}
    assert not made.all_copied()
    assert clock.now == 1000


def test_a_stack_that_others_use_is_left_alone(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    made = Parameters(place_on(stack, shares_its_table=True))
    assert made.name is None
    for side in SIDES:
        made.rotate(side)
        assert made.await_copy(side)
    assert (made.all_copied(), made.compare(), stack.calls) == (True, None, [])


def test_an_undo_that_fails_says_that_no_outage_is_left(stack: Stack) -> None:
    assert Parameters(place_on(stack)).rotation().hint == NOTHING_IS_LEFT


def test_a_rejected_call_quotes_no_value(stack: Stack) -> None:
    made = Parameters(place_on(stack))
    made.rotation().do()
    stack.failing["ssm", "primary", "put_parameter"] = refusal(400, "ValidationException")
    with pytest.raises(CannotTellError) as raised:
        made.rotate("primary")
    assert raised.value.message == "Parameter Store in us-east-1 rejects the call: ValidationException"
