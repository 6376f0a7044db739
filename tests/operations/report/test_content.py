"""What figures draw of a journal: the numbers behind each line and bar."""

from typing import Any

from payment_dr.operations.drill.journal import Event
from payment_dr.operations.report.content import ReportContent
from tests.operations.report import journals


def content(*events: Event) -> ReportContent:
    journal: Any = journals.passed() | {"events": list(events)}
    return ReportContent(journal, "drill.json", "0" * 64)


def paid(at: float, *, region: str = "us-east-1", mode: str = "local", per: int = 1) -> Event:
    return {
        "kind": "transactions",
        "at": at,
        "region": region,
        "mode": mode,
        "acknowledged": 6,
        "failed": 2,
        "per": per,
    }


def test_transactions_of_several_seconds_are_spread_over_them() -> None:
    found = content(paid(1), paid(3, per=2), paid(3, region="us-west-2"), paid(3, mode="confirmed"))

    assert found.per_second("us-east-1", "local", "acknowledged").tolist() == [0, 6, 0, 3, 3]
    assert found.per_second("us-east-1", "local", "failed").tolist() == [0, 2, 0, 1, 1]
    assert found.per_second("us-west-2", "confirmed", "failed").tolist() == [0] * 5


def test_answers_of_dns_are_told_from_other_events() -> None:
    answer: Event = {"kind": "answer", "at": 2.0, "region": "us-west-2"}

    assert content(paid(1), answer).answers == [answer]
