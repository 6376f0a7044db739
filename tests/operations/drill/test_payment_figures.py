"""What follows from the records of payments."""

from typing import Any

import pytest

from payment_dr.operations.drill.payment_figures import figures, latency_ms, recovery, with_phases
from tests.operations.drill.parts import paid

STEADY, OUTAGE, AWAY, BACK = "steady", "outage", "secondary serves", "primary serves again"


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
        ([paid(10, "us-west-2", pinned=True), *STAYED], (10, 40), [STEADY, OUTAGE, OUTAGE, OUTAGE, BACK]),
        ([], (10, 40), []),
    ],
)
def test_a_payment_belongs_to_the_phase_in_which_it_began(records: Any, times: Any, phases: list[str]) -> None:
    began, recovered = times
    found = with_phases(records, secondary="us-west-2", began=began, recovered=recovered)
    assert [each["at"] for each in found] == sorted(each["at"] for each in records)
    assert [each["phase"] for each in found] == phases


PAID = [
    paid(1, "us-east-1", mode="confirmed", confirmed=True, seconds=0.5, phase=STEADY),
    paid(2, "us-east-1", mode="confirmed", confirmed=True, seconds=0.9, phase=STEADY),
    paid(3, "us-east-1", mode="confirmed", acknowledged=False, seconds=9.0, phase=STEADY),
    paid(3, "us-east-1", phase=STEADY),
    paid(20, "us-east-1", mode="confirmed", acknowledged=False, phase=OUTAGE),
    paid(21, "us-east-1", mode="confirmed", phase=AWAY),  # began before the switch was seen
    paid(30, "us-west-2", mode="confirmed", done=32.004, seconds=2.0, phase=AWAY),
    paid(31, "us-west-2", mode="confirmed", done=31.5, seconds=0.5, phase=AWAY, confirmed=True),
    paid(33, "us-west-2", mode="confirmed", acknowledged=False, done=33.1, phase=AWAY),
    paid(60, "us-east-1", mode="confirmed", acknowledged=False, done=60.0, phase=BACK),
    paid(61, "us-east-1", mode="confirmed", confirmed=True, done=61.7, phase=BACK),
]


def test_payments_are_counted_by_phase_and_region_in_the_order_of_the_drill() -> None:
    found = [tuple(each.values()) for each in figures(PAID, "confirmed")]
    assert found == [
        (STEADY, "us-east-1", 2, 0, 1, {"p50": 500.0, "p95": 900.0}),
        (OUTAGE, "us-east-1", 0, 0, 1, {"p50": None, "p95": None}),
        (AWAY, "us-east-1", 1, 1, 0, {"p50": 10.0, "p95": 10.0}),
        (AWAY, "us-west-2", 2, 1, 1, {"p50": 500.0, "p95": 2000.0}),
        (BACK, "us-east-1", 1, 0, 1, {"p50": 10.0, "p95": 10.0}),
    ]
    assert [each["acknowledged"] for each in figures(PAID, "local")] == [1]


def test_a_client_has_recovered_when_its_first_payment_is_acknowledged() -> None:
    times = {"began": 10.0, "recovered": 40.0}
    others = [each for each in PAID if (each["phase"], each["region"]) != (AWAY, "us-east-1")]
    assert recovery(others, "confirmed", **times) == {"failover": 21.5, "failback": 21.7}
    assert recovery(others[:-1], "confirmed", **times) == {"failover": 21.5, "failback": None}
    assert recovery(others, "local", **times) == {"failover": None, "failback": None}
    stayed = [paid(50, "us-east-1", phase=BACK)]
    assert recovery(stayed, "local", **times) == {"failover": None, "failback": None}


def test_a_percentile_is_the_nearest_rank_in_milliseconds() -> None:
    assert latency_ms([number / 1000 for number in range(100, 0, -1)]) == {"p50": 50.0, "p95": 95.0}
