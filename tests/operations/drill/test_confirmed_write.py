"""The client example: nothing is acknowledged that a disaster could lose, unless it was told to."""

from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from payment_dr.operations.drill import confirmed_write
from payment_dr.operations.drill.confirmed_write import ConfirmedWriter, NotConfirmedError
from tests.operations.stack import GONE, Clock, refusal

ITEM = {"transaction_id": {"S": "a"}, "timestamp": {"N": "1"}, "amount": {"N": "5"}}


class Table:
    """A region's table. `answers` are given to reads one by one, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.written: list[Any] = []

    def put_item(self, **arguments: Any) -> None:
        self.written.append(arguments["Item"])

    def get_item(self, **arguments: Any) -> Any:
        assert arguments["Key"] == {"transaction_id": {"S": "a"}, "timestamp": {"N": "1"}}
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"Item": answer} if answer else {}


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmed_write, "time", Clock())


def writer(home: Table, other: Table, alone: Literal["refuse", "accept"] = "refuse") -> ConfirmedWriter:
    return ConfirmedWriter(home, other, "transactions", alone=alone)


def test_a_payment_is_acknowledged_when_the_other_region_has_it() -> None:
    home, other = Table(None), Table(None, GONE, None, ITEM)
    receipt = writer(home, other).write(ITEM)
    assert receipt.confirmed
    assert receipt.seconds > 0
    assert (home.written, other.written) == ([ITEM], [])


@pytest.mark.parametrize("answer", [None, {**ITEM, "amount": {"N": "6"}}, GONE, refusal(503)])
def test_it_is_not_acknowledged_if_the_other_region_has_not_got_it_or_something_else_or_is_away(answer: Any) -> None:
    with pytest.raises(NotConfirmedError, match="after 5 s the other region"):
        writer(Table(None), Table(answer)).write(ITEM)


@pytest.mark.parametrize("away", [GONE, refusal(503)])
def test_alone_it_is_acknowledged_only_where_that_was_chosen_and_the_receipt_says_so(away: Exception) -> None:
    assert not writer(Table(None), Table(away), "accept").write(ITEM).confirmed
    with pytest.raises(NotConfirmedError):
        writer(Table(None), Table(None), "accept").write(ITEM)


def test_a_region_that_refuses_to_be_read_is_a_mistake_and_not_away() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        writer(Table(None), Table(refusal(400)), "accept").write(ITEM)


def test_what_its_own_region_did_not_take_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise GONE

    home = Table(None)
    monkeypatch.setattr(home, "put_item", refuse)
    with pytest.raises(EndpointConnectionError):
        writer(home, Table(ITEM), "accept").write(ITEM)
