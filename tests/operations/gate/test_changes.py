"""What the gate stops, and what it lets pass."""

import pytest

from payment_dr.operations.gate.verdict import Judgement
from tests.operations.gate.changes import BREAKING, HARMLESS, Change
from tests.operations.gate.plans import document, judged


def made(change: Change) -> Judgement:
    found = document(change.stack)
    for step in change.steps:
        step(found)
    return judged(found)


def test_there_are_as_many_as_are_claimed() -> None:
    assert len(BREAKING) >= 60
    assert len(HARMLESS) >= 50
    assert len({(each.stack, each.what) for each in [*BREAKING, *HARMLESS]}) == len(BREAKING) + len(HARMLESS)


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: f"{change.stack}: {change.what}")
def test_a_change_that_breaks_a_failover_is_stopped_with_its_cause(change: Change) -> None:
    found = made(change)
    assert (found.verdict, found.exit_code) == ("breaks", 1)
    causes = [(each.rule, each.address) for each in found.stopping if each.new]
    assert (change.rule, change.address) in causes, causes


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: f"{change.stack}: {change.what}")
def test_a_harmless_change_is_not_stopped(change: Change) -> None:
    found = made(change)
    assert (found.verdict, [each.sentence for each in found.findings if each.new]) == ("holds", [])
