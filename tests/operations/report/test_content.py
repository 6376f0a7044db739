"""What figures draw of a journal: the numbers behind each line and bar."""

from typing import Any

from payment_dr.operations.drill.journal import Event
from payment_dr.operations.report.content import ReportContent
from tests.operations.report import journals


def content(*events: Event) -> ReportContent:
    journal: Any = journals.passed() | {"events": list(events)}
    return ReportContent(journal, "drill.json", "0" * 64)


def paid(at: float, *, region: str = "us-east-1", mode: str = "local", acknowledged: int = 6, failed: int = 2) -> Event:
    return {
        "kind": "transactions",
        "at": at,
        "region": region,
        "mode": mode,
        "acknowledged": acknowledged,
        "failed": failed,
        "per": 1,
    }


def test_how_payments_end_holds_until_the_next_one_and_pauses_are_no_outage() -> None:
    found = content(
        paid(1, failed=0),
        paid(40, failed=0),  # nothing was paid in between
        paid(41),
        paid(42, acknowledged=0),
        paid(60, acknowledged=0),
        paid(61, region="us-west-2", failed=0),
        paid(43, mode="confirmed", acknowledged=0),  # the next one in this mode comes after the cache has expired
        paid(70, mode="confirmed", region="us-west-2", failed=0),
    )

    assert list(found.outcomes("local")) == [
        (1, 41, ("us-east-1", True, False, 12, 0)),
        (41, 42, ("us-east-1", True, True, 6, 2)),
        (42, 61, ("us-east-1", False, True, 0, 4)),
        (61, 70, ("us-west-2", True, False, 6, 0)),
    ]
    assert list(found.outcomes("confirmed")) == [
        (43, 61, ("us-east-1", False, True, 0, 2)),
        (61, 70, ("us-west-2", True, False, 6, 0)),
    ]


def test_answers_of_dns_are_distinguished_from_other_events() -> None:
    answer: Event = {"kind": "answer", "at": 2.0, "region": "us-west-2"}

    assert content(paid(1), answer).answers == [answer]


def test_a_client_may_change_the_region_within_a_second() -> None:
    found = content(paid(1), paid(2), paid(2, region="us-west-2"), paid(9, region="us-west-2"))

    assert [(start, end, outcome.region) for start, end, outcome in found.outcomes("local")] == [
        (1, 2, "us-east-1"),
        (2, 9, "us-west-2"),
    ]
