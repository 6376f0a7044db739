"""The payments service of the examples: each payment once, whatever a client sends and how often."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from examples.payments_service import payments

EUROS = {"amount": 1250, "currency": "EUR"}
PAYMENT = {"id": "order-1001", **EUROS}
ITEM = {
    "transaction_id": {"S": "order-1001"},
    "timestamp": {"N": "0"},
    "amount": {"N": "1250"},
    "currency": {"S": "EUR"},
}


class Table:
    """A table that keeps conditions.

    Attributes:
        items: What it holds, by id.
        calls: Names of the calls, and what they were given.
        fault: Raised by each call, if set.
        loses_answers: Whether a write is done and then not answered.
    """

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fault: Exception | None = None
        self.loses_answers = False

    def put_item(self, **given: Any) -> None:
        self.calls.append(("put_item", given))
        if self.fault:
            raise self.fault
        assert given["ConditionExpression"] == "attribute_not_exists(transaction_id)"
        id_ = given["Item"]["transaction_id"]["S"]
        if id_ in self.items:
            raise refusal("ConditionalCheckFailedException", 400)
        self.items[id_] = given["Item"]
        if self.loses_answers:
            raise ReadTimeoutError(endpoint_url="https://...")

    def get_item(self, **given: Any) -> Any:
        self.calls.append(("get_item", given))
        if self.fault:
            raise self.fault
        assert given["ConsistentRead"]
        assert given["Key"]["timestamp"] == {"N": "0"}
        item = self.items.get(given["Key"]["transaction_id"]["S"])
        return {"Item": item} if item else {}


def refusal(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutItem")


@pytest.fixture
def table() -> Table:
    return Table()


def pay(table: Table, body: Any = EUROS, key: str | None = "order-1001", **event: Any) -> tuple[int, Any]:
    request = {
        "routeKey": "POST /payments",
        "headers": {} if key is None else {"idempotency-key": key},
        "body": body if isinstance(body, str) else json.dumps(body),
        **event,
    }
    return answered(payments.serve(request, table, "transactions"))


def show(table: Table, id_: str) -> tuple[int, Any]:
    request = {"routeKey": "GET /payments/{id}", "pathParameters": {"id": id_}}
    return answered(payments.serve(request, table, "transactions"))


def answered(answer: Any) -> tuple[int, Any]:
    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return answer["statusCode"], json.loads(answer["body"])


def test_a_payment_is_an_item_of_what_the_client_has_sent(table: Table) -> None:
    assert pay(table) == (201, PAYMENT)
    assert table.items == {"order-1001": ITEM}
    ((_, given),) = table.calls
    assert given["TableName"] == "transactions"
    assert show(table, "order-1001") == (200, PAYMENT)


def test_the_same_payment_again_gets_the_first_answer_and_changes_nothing(table: Table) -> None:
    first = pay(table)
    assert pay(table) == pay(table, '{"currency": "EUR", "amount": 1250}') == first
    assert table.items == {"order-1001": ITEM}


def test_a_retry_of_a_write_whose_answer_was_lost_is_acknowledged(table: Table) -> None:
    table.loses_answers = True
    with pytest.raises(ReadTimeoutError):
        pay(table)
    table.loses_answers = False
    assert pay(table) == (201, PAYMENT)
    assert table.items == {"order-1001": ITEM}


@pytest.mark.parametrize("other", [{"amount": 1251, "currency": "EUR"}, {"amount": 1250, "currency": "USD"}])
def test_the_key_of_another_payment_is_refused_with_that_payment(table: Table, other: Any) -> None:
    pay(table)
    status, said = pay(table, other)
    assert (status, said["existing"]) == (422, PAYMENT)
    assert "another payment" in said["error"]
    assert table.items == {"order-1001": ITEM}


@pytest.mark.parametrize("key", [None, "", "a b", "a/b", "dr-canary/us-east-1", "é", "k" * 129, "a\n"])
def test_a_key_that_this_does_not_take_is_refused(table: Table, key: str | None) -> None:
    status, said = pay(table, key=key)
    assert status == 400
    assert "Idempotency-Key" in said["error"]
    assert table.calls == []


@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "[]", "{", '"x"', "{}", "NaN"),
        {"amount": 1},
        {"amount": 1, "currency": "EUR", "timestamp": 5},
        {"amount": 0, "currency": "EUR"},
        {"amount": -5, "currency": "EUR"},
        {"amount": 1.5, "currency": "EUR"},
        {"amount": True, "currency": "EUR"},
        {"amount": "1", "currency": "EUR"},
        {"amount": 10**12 + 1, "currency": "EUR"},
        {"amount": 1, "currency": "eur"},
        {"amount": 1, "currency": "EURO"},
        {"amount": 1, "currency": None},
    ],
)
def test_a_body_that_is_no_payment_is_refused(table: Table, body: Any) -> None:
    status, said = pay(table, body)
    assert (status, list(said)) == (400, ["error"])
    assert table.calls == []


def test_a_body_in_base64_is_read(table: Table) -> None:
    assert pay(table, base64.b64encode(json.dumps(EUROS).encode()).decode(), isBase64Encoded=True) == (201, PAYMENT)
    assert pay(table, "%%%", isBase64Encoded=True)[0] == 400


@pytest.mark.parametrize("id_", ["order-1002", "dr-canary/us-east-1", "", "k" * 129])
def test_a_payment_that_is_not_there_is_not_found(table: Table, id_: str) -> None:
    assert show(table, id_) == (404, {"error": "there is no such payment"})


@pytest.mark.parametrize(
    "fault",
    [refusal("AccessDeniedException", 400), refusal("InternalServerError", 500), ReadTimeoutError(endpoint_url="")],
)
def test_what_dynamodb_does_not_take_is_not_acknowledged_and_counts_as_an_error(table: Table, fault: Exception) -> None:
    table.fault = fault
    with pytest.raises(type(fault)):
        pay(table)
    with pytest.raises(type(fault)):
        show(table, "order-1001")


def test_the_log_is_json_and_holds_no_amount(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    pay(table)
    pay(table)
    pay(table, {"amount": 99, "currency": "EUR"})
    pay(table, "{")
    table.fault = refusal("InternalServerError", 500)
    with pytest.raises(ClientError):
        pay(table)
    lines = capsys.readouterr().out.splitlines()
    assert [(line["level"], line["message"]) for line in map(json.loads, lines)] == [
        ("INFO", "paid"),
        ("INFO", "paid before"),
        ("WARNING", "the key is that of another payment"),
        ("WARNING", "refused"),
        ("ERROR", "failed"),
    ]
    assert not [line for line in lines if "1250" in line or "99" in line]


def test_the_handler_uses_the_table_of_its_environment(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_TABLE_NAME", "payments")
    monkeypatch.setattr(payments, "_dynamodb", lambda: table)
    request = {"routeKey": "GET /payments/{id}", "pathParameters": {"id": "order-1001"}}
    assert payments.handler(request, None)["statusCode"] == 404
    assert table.calls[0][1]["TableName"] == "payments"
