"""The ledger: what is missing is missing by key and content."""

from typing import Any

from payment_dr.operations.drill.ledger import Ledger, different, missing, written_twice


def item(id_: str, timestamp: int = 1, amount: int = 5) -> dict[str, Any]:
    return {"transaction_id": {"S": id_}, "timestamp": {"N": str(timestamp)}, "amount": {"N": str(amount)}}


def test_an_acknowledged_payment_is_missing_unless_key_and_content_are_there() -> None:
    ledger = Ledger()
    for each in ("same", "gone", "changed", "moved"):
        ledger.acknowledge(item(each), "local", "us-east-1", 0.01)
    there = [item("same"), item("changed", amount=6), item("moved", timestamp=2), item("new")]
    assert missing(ledger.acknowledged("local"), there) == ["gone", "changed", "moved"]


def test_attributes_that_the_client_did_not_send_are_not_compared() -> None:
    ledger = Ledger()
    ledger.acknowledge(item("a"), "confirmed", "us-east-1", 0.5)
    stored = {**item("a"), "amount": {"N": "5.0"}, "write_id": {"S": "f.1"}}
    assert missing(ledger.acknowledged("confirmed"), [stored]) == []
    assert missing(ledger.acknowledged("confirmed"), [{**item("a", amount=6), "write_id": {"S": "f.1"}}]) == ["a"]
    assert different([stored], [{**stored, "write_id": {"S": "f.2"}}]) == ["a"]


def test_one_of_two_contents_acknowledged_with_one_key_is_enough() -> None:
    ledger = Ledger()
    for amount in (5, 6):
        ledger.acknowledge(item("both", amount=amount), "local", "us-east-1", 0.01)
    found = {amount: missing(ledger.acknowledged("local"), [item("both", amount=amount)]) for amount in (5, 6, 7)}
    assert found == {5: [], 6: [], 7: ["both", "both"]}


def test_modes_are_separate_and_open_payments_are_taken_once() -> None:
    ledger = Ledger()
    ledger.acknowledge(item("a"), "local", "us-east-1", 0.01)
    ledger.acknowledge(item("b"), "confirmed", "us-east-1", 0.5, confirmed=False)
    ledger.leave_open(item("c"), "confirmed")
    assert [entry.id for entry in ledger.acknowledged("confirmed")] == ["b"]
    assert ledger.take_open() == [("confirmed", item("c"))]
    assert ledger.take_open() == []


def test_tables_differ_in_items_that_are_not_the_same_in_both() -> None:
    attributes_in_another_order = dict(reversed(item("a").items()))
    assert different([item("a")], [attributes_in_another_order]) == []
    assert different([item("a"), item("b")], [item("b", amount=6), item("c")]) == ["a", "b", "c"]


def test_one_transaction_under_two_keys_was_written_twice() -> None:
    assert written_twice([item("a"), item("b"), item("a", timestamp=2)]) == ["a"]
