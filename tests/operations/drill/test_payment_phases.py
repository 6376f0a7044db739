"""The phases of a drill as its clients live through them."""

from typing import Any

import pytest

from payment_dr.operations.drill.journal import PaymentRecord
from payment_dr.operations.drill.payment_phases import with_phases

STEADY, OUTAGE, AWAY, BACK = "steady", "outage", "secondary serves", "primary serves again"


def paid(at: float, region: str, *, acknowledged: bool = True) -> PaymentRecord:
    return {
        "id": f"dr-drill-1-local-{at}",
        "mode": "local",
        "region": region,
        "at": at,
        "done": at,
        "seconds": 0.01,
        "acknowledged": acknowledged,
        "confirmed": False,
        "phase": "steady",
    }


FAILED_OVER = [
    paid(30, "us-west-2"),
    paid(0, "us-east-1"),
    paid(10, "us-east-1", acknowledged=False),
    paid(12, "us-east-1"),  # a fence leaves the table where it is
    paid(20, "us-west-2", acknowledged=False),
    paid(55, "us-east-1", acknowledged=False),
    paid(60, "us-east-1"),
]
STAYED = [paid(at, "us-east-1") for at in (0, 10, 39, 40)]


@pytest.mark.parametrize(
    ("records", "times", "phases"),
    [
        (FAILED_OVER, (10, 40), [STEADY, OUTAGE, OUTAGE, OUTAGE, AWAY, AWAY, BACK]),
        (FAILED_OVER[:5], (10, None), [STEADY, OUTAGE, OUTAGE, OUTAGE, AWAY]),
        (FAILED_OVER[:5], (None, None), [STEADY] * 5),
        (STAYED, (10, 40), [STEADY, OUTAGE, OUTAGE, BACK]),
        (STAYED, (10, None), [STEADY, OUTAGE, OUTAGE, OUTAGE]),
        (STAYED, (10.0004, 40.0004), [STEADY, OUTAGE, OUTAGE, BACK]),  # records are rounded to a thousandth
        ([], (10, 40), []),
    ],
)
def test_a_payment_belongs_to_the_phase_in_which_it_began(records: Any, times: Any, phases: list[str]) -> None:
    began, recovered = times
    found = with_phases(records, secondary="us-west-2", began=began, recovered=recovered)
    assert [each["at"] for each in found] == sorted(each["at"] for each in records)
    assert [each["phase"] for each in found] == phases
