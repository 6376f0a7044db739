"""Outages: each is undone, whatever happens meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import OUTAGES, Action, action_of, undone
from payment_dr.operations.errors import OperationError
from tests.operations.stack import GONE, Stack


class Maker:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.failing: dict[str, Any] = {}
        self.forbidden = False

    def fail(self, region: str, **fault: Any) -> None:
        self.failing[region] = fault

    def restore(self, region: str) -> None:
        del self.failing[region]

    def forbid_describe_table(self) -> None:
        self.forbidden = True

    def allow_describe_table(self) -> None:
        self.forbidden = False


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, {"kind": "region"})


def well() -> None:
    """The place is there."""


def told(journal: Journal) -> list[tuple[str, bool]]:
    return [(event["name"], event["undone"]) for event in journal["events"]]


@pytest.mark.parametrize(
    ("kind", "failing"),
    [
        ("region", {"us-east-1": {"seed": 3}}),
        ("blip", {"us-east-1": {"seed": 3}}),
        ("hang", {"us-east-1": {"seed": 3, "kind": "hang"}}),
        ("dynamodb", {"us-east-1": {"seed": 3, "service": "dynamodb"}}),
        ("api", {"us-east-1": {"seed": 3, "service": "execute-api"}}),
        ("partial", {"us-east-1": {"seed": 3, "share": 0.3}}),
        ("both", {"us-east-1": {"seed": 3}, "us-west-2": {"seed": 3}}),
    ],
)
@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_an_outage_fails_what_it_says_and_is_undone_at_any_end(
    kind: str, failing: dict[str, Any], end: type[BaseException] | None, stack: Stack, journal: Journal
) -> None:
    maker = Maker()
    with suppress(*[end] if end else []), undone(action_of(OUTAGES[kind], stack, maker, 3), journal, well):
        assert maker.failing == failing
        if end:
            raise end
    assert maker.failing == {}
    name = f"fail {' and '.join(failing)}"
    assert told(journal) == [(name, False), (name, True)]


@pytest.mark.parametrize("kind", ["health", "fence"])
def test_a_stopped_health_function_and_a_fence_are_lifted(kind: str, stack: Stack, journal: Journal) -> None:
    with suppress(KeyboardInterrupt), undone(action_of(OUTAGES[kind], stack, Maker(), 3), journal, well):
        assert stack.reserved["primary"] == 0
        raise KeyboardInterrupt
    assert stack.reserved == {"primary": None, "secondary": None}


def test_a_fence_is_lifted_even_if_an_operator_would_be_refused_and_that_is_said(
    stack: Stack, journal: Journal
) -> None:
    outage = action_of(OUTAGES["fence"], stack, Maker(), 3)
    with (
        pytest.raises(OperationError, match=r"fence us-east-1: lifted by force: .*config differs"),
        undone(outage, journal, well),
    ):
        stack.parameters["primary"].clear()
    assert stack.reserved["primary"] is None


def test_a_right_that_was_taken_is_given_back(stack: Stack, journal: Journal) -> None:
    maker = Maker()
    with undone(action_of(OUTAGES["permission"], stack, maker, 3), journal, well):
        assert maker.forbidden
    assert not maker.forbidden


def test_what_was_done_in_part_is_undone(journal: Journal) -> None:
    done: list[str] = []

    def do() -> None:
        done.append("first")
        raise GONE

    with pytest.raises(type(GONE)), undone(Action("both", do, done.clear), journal, well):
        pass
    assert done == []


def test_an_undo_that_fails_is_told_and_not_noted_as_done(journal: Journal) -> None:
    def fail() -> None:
        raise GONE

    with pytest.raises(OperationError, match="undoing failed: it"), undone(Action("it", well, fail), journal, well):
        pass
    assert told(journal) == [("it", False)]


def test_what_is_gone_with_its_place_needs_no_undo(journal: Journal) -> None:
    def gone() -> None:
        raise OperationError("it ended", hint="start it")

    calls: list[Callable[[], object]] = []
    with undone(Action("it", well, lambda: calls.append(well)), journal, gone):
        pass
    assert (calls, told(journal)) == ([], [("it", False), ("it", True)])
