"""The drill on a stack that others use: what it asks before it changes anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations.drill import live
from payment_dr.operations.drill.replication_pause import ReplicationPause
from payment_dr.operations.errors import OperationError
from tests.operations.stack import ACCOUNT, Stack


class NotConfirmedError(Exception):
    """The user did not type the word."""


def drill(stack: Stack, directory: Path, **options: Any) -> list[tuple[str, str]]:
    """What a user is asked who does not agree."""
    asked: list[tuple[str, str]] = []

    def refuse(what: str, word: str) -> None:
        asked.append((what, word))
        raise NotConfirmedError

    with pytest.raises(NotConfirmedError):
        live.drill(
            stack,
            no_end=not stack.has_switch,
            seed=1,
            directory=directory,
            tell=lambda _: None,
            confirm=refuse,
            limit_minutes=20,
            name_servers=["127.0.0.1"],
            **options,
        )
    return asked


def test_credentials_of_another_account_are_an_error_before_the_confirmation(tmp_path: Path) -> None:
    stack = Stack(live=True)
    stack.account = "999999999999"
    with pytest.raises(OperationError, match=f"of account 999999999999, but the stack is in {ACCOUNT}"):
        drill(stack, tmp_path)


def test_a_declined_confirmation_changes_nothing(tmp_path: Path) -> None:
    stack = Stack(live=True)
    ((what, word),) = drill(stack, tmp_path)
    assert word == f"{ACCOUNT}/us-east-1"
    assert "it fences us-east-1, which sends ALL clients of app.pay.acme.io to us-west-2" in what
    assert "written to the table transactions, and deleted afterwards in both regions" in what
    assert "after 20 minutes at the latest" in what
    assert stack.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("switch", "no_end", "expected", "hint"),
    [
        (False, False, "this stack has no switch, and a fence has no end: it stays until 'dr failback'", "switch=True"),
        (True, True, "this stack has a switch, and --limit ends the switch of a drill", "leave out --no-end"),
    ],
)
def test_no_end_is_required_for_a_fence_and_rejected_for_a_switch(
    tmp_path: Path, switch: bool, no_end: bool, expected: str, hint: str
) -> None:
    stack = Stack(live=True, switch=switch)

    def confirm(*_: str) -> None:
        raise AssertionError("asked, although the drill cannot start")

    with pytest.raises(OperationError, match=expected) as raised:
        live.drill(
            stack,
            seed=1,
            directory=tmp_path,
            tell=lambda _: None,
            confirm=confirm,
            limit_minutes=20,
            no_end=no_end,
            name_servers=["127.0.0.1"],
        )
    assert hint in raised.value.hint
    assert stack.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        (False, "If this computer is lost before that, the fence stays: then run 'dr failback' on another one."),
        (True, "The switch ends by itself after 20 minutes, even if this computer is lost."),
    ],
)
def test_the_confirmation_names_the_state_that_a_lost_computer_leaves(
    tmp_path: Path, switch: bool, expected: str
) -> None:
    ((what, _),) = drill(Stack(live=True, switch=switch), tmp_path)
    assert expected in what


def test_payments_through_the_service_are_announced_and_need_one(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack(live=True, custom_domain=True)
    with pytest.raises(OperationError, match="it has no service"):
        drill(stack, tmp_path, service=True)
    stack.outputs["service_routes"] = ["POST /payments"]
    ((what, _),) = drill(stack, tmp_path, service=True)
    where = "sent to POST /payments of app.pay.acme.io or written to the table transactions, and deleted afterwards"
    assert f"dr-drill- are {where}" in what
    with pytest.raises(OperationError, match="--service and --endpoint are both given"):
        drill(stack, tmp_path, service=True, endpoint="https://pay.acme.io")
    assert stack.calls == []


def test_the_report_says_of_each_part_what_it_is_made_of() -> None:
    assert {kind: bool(parts) for kind, parts in live.MADE_OF.items()} == {
        "real": True,
        "emulated": False,
        "simulated": True,
    }


def test_a_pause_of_replication_is_announced_with_its_length_and_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, asked = Stack(live=True), list[str]()

    def seconds(pause: ReplicationPause) -> float:
        asked.append(pause.template_id)
        return 1200.0

    monkeypatch.setattr(ReplicationPause, "seconds", seconds)
    ((what, _),) = drill(stack, tmp_path, pause_replication="EXT1")
    assert asked == ["EXT1"]
    assert "It pauses replication of the table in both directions for up to 20 minutes, for ALL writers" in what
    assert "$0.10 a minute" in what
    ((what, _),) = drill(stack, tmp_path)
    assert "paused" not in what
    with pytest.raises(OperationError, match="--confirms needs a service"):
        drill(stack, tmp_path, confirms=True)
