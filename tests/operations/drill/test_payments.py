"""Payments, of which each is made once, whatever the machine does meanwhile."""

import errno
import os
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from payment_dr.operations.drill import payments
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.errors import ThisMachineError
from payment_dr.side import SIDES, Side
from tests.operations.stack import Stack


class SlowStack(Stack):
    """A stack whose calls take so many real seconds; its own time may be another.

    Attributes:
        seconds: What a call takes.
        patience: Real seconds in which a call is answered by its own time. None: time is real.
        waited: How long each call was waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.patience: float | None = None
        self.late: type[ConnectTimeoutError | ReadTimeoutError] = ReadTimeoutError
        self.waited: list[float] = []

    def limit(self, side: Side, seconds: float) -> float:
        return super().limit(side, seconds) if self.patience is None else self.patience

    def client(self, service: str, side: Side, *, seconds: float | None = None) -> Any:
        if seconds is not None:
            self.waited.append(seconds)
            if self.seconds > seconds:
                raise self.late(endpoint_url="https://...")
        return super().client(service, side)


@pytest.fixture
def slow() -> SlowStack:
    return SlowStack()


@pytest.mark.parametrize("mode", ["local", "confirmed"])
@pytest.mark.parametrize("late", [ConnectTimeoutError, ReadTimeoutError])
def test_a_payment_that_is_slow_by_real_time_alone_is_acknowledged(
    mode: str, late: type[ConnectTimeoutError | ReadTimeoutError], slow: SlowStack
) -> None:
    slow.seconds, slow.patience, slow.late = 10.0, 60.0, late
    paying = Payments(slow, "dr-drill-1")
    assert paying.transact(mode, "primary", 0.0)
    assert set(slow.waited) == {payments.CLIENT_SECONDS, 60.0}
    (entry,) = paying.ledger.acknowledged(mode)
    written = {entry["transaction_id"]["S"] for side in SIDES for entry in slow.items[side]}
    assert written == {entry.id}


def test_a_payment_that_is_slow_by_the_stacks_time_has_failed(slow: SlowStack) -> None:
    slow.seconds = 10.0
    paying = Payments(slow, "dr-drill-1")
    assert not paying.transact("local", "primary", 0.0)
    assert slow.waited == [payments.CLIENT_SECONDS]
    assert [mode for mode, _ in paying.ledger.take_open()] == ["local"]


def test_a_payment_that_this_machine_cannot_make_has_not_failed(
    slow: SlowStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: object, **__: object) -> None:
        no_file = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise EndpointConnectionError(endpoint_url="https://...", error=no_file) from no_file

    monkeypatch.setattr(slow, "client", lacks)
    paying = Payments(slow, "dr-drill-1")
    with pytest.raises(ThisMachineError, match="cannot open any more files or connections"):
        paying.transact("confirmed", "primary", 0.0)
    assert list(paying.ledger.take_open()) == []
