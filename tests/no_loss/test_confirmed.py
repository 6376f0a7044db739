"""The client outside of the simulator: what it takes, raises, counts, and does in the background."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError

from no_loss.parameter_store import Clock, ParameterStore
from payment_dr.confirmed import (
    Breaker,
    Confirmed,
    ConfirmedPayments,
    Live,
    OneRegion,
    Outcome,
    Refused,
    Unknown,
    comparable,
    connect,
    parameter,
    print_metrics,
)

PAYMENT = {"amount": {"N": "1250"}}
GONE = EndpointConnectionError(endpoint_url="https://dynamodb")


def refusal(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Anything")


class Region:
    """A region's table. Everything arrives in the other one at once, unless it fails."""

    meta = SimpleNamespace(config=SimpleNamespace(retries={"total_max_attempts": 1}))

    def __init__(self, items: dict[str, Any]) -> None:
        self.items = items
        self.fails: Exception | None = None
        self.ready = threading.Event()
        self.ready.set()

    def put_item(self, **arguments: Any) -> Any:
        if self.fails:
            raise self.fails
        item = arguments["Item"]
        assert arguments["TableName"] == "transactions"
        assert arguments["ConditionExpression"] == "attribute_not_exists(#key)"
        assert arguments["ExpressionAttributeNames"] == {"#key": "transaction_id"}
        assert arguments["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
        self.items[item["transaction_id"]["S"]] = item
        return {}

    def get_item(self, **arguments: Any) -> Any:
        assert (arguments["TableName"], arguments["ConsistentRead"]) == ("transactions", True)
        assert self.ready.wait(60)
        if self.fails:
            raise self.fails
        item = self.items.get(arguments["Key"]["transaction_id"]["S"])
        return {"Item": item} if item else {}


class Table:
    """Both regions, and a client whose time passes when it sleeps."""

    def __init__(self, alone: Any = "refuse", **options: Any) -> None:
        items: dict[str, Any] = {}
        self.home, self.other = Region(items), Region(items)
        self.lines: list[Any] = []
        self.now = 1000.0
        self.payments = ConfirmedPayments(
            self.home,
            self.other,
            "transactions",
            alone=lambda: alone,
            metrics=self.lines.append,
            clock=lambda: self.now,
            sleep=self._sleep,
            **options,
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_payment_is_stored_under_its_key_with_a_write_id() -> None:
    table = Table(new_id=lambda: "w1")
    outcome = table.payments.pay("order-1", PAYMENT)
    item = {**PAYMENT, "transaction_id": {"S": "order-1"}, "timestamp": {"N": "0"}, "write_id": {"S": ANY}}
    assert outcome == Confirmed(item, ANY, 1)
    assert outcome.seconds == pytest.approx(0.3)
    assert table.home.items == {"order-1": item}
    assert re.fullmatch(r"[0-9a-f]{32}\.w1", table.home.items["order-1"]["write_id"]["S"])


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"amount": {"N": "1250.0"}}, True),
        ({"amount": {"N": "1251"}}, False),
        ({"amount": {"S": "1250"}}, False),
        ({"refund": {"N": "1250"}}, False),
        ({**PAYMENT, "tip": {"N": "1"}}, False),
    ],
)
def test_only_equal_payments_have_the_same_write_id(other: dict[str, Any], same: bool) -> None:
    """Regions that hold two of them agree that they hold one payment."""
    table = Table()
    table.payments.pay("order-1", PAYMENT)
    table.payments.pay("order-2", other)
    first, second = (table.home.items[key]["write_id"]["S"].partition(".")[0] for key in ("order-1", "order-2"))
    assert (first == second) is same


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"N": "1.0"}, {"N": "1"}, True),
        ({"N": "1E+2"}, {"N": "100"}, True),
        ({"N": "-0"}, {"N": "0"}, True),
        ({"N": "12345678901234567890123456789012345678"}, {"N": "12345678901234567890123456789012345679"}, False),
        ({"N": "1"}, {"S": "1"}, False),
        ({"N": "-1"}, {"N": "-2"}, False),
        ({"SS": ["a", "b"]}, {"SS": ["b", "a"]}, True),
        ({"NS": ["1", "2.0"]}, {"NS": ["2", "1.0"]}, True),
        ({"BS": [b"a", b"b"]}, {"BS": [b"b", b"a"]}, True),
        ({"L": [{"N": "1"}, {"N": "2"}]}, {"L": [{"N": "2"}, {"N": "1"}]}, False),
        ({"L": [{"N": "1.0"}]}, {"L": [{"N": "1"}]}, True),
        ({"M": {"a": {"B": b"x"}, "b": {"BOOL": True}}}, {"M": {"b": {"BOOL": True}, "a": {"B": b"x"}}}, True),
        ({"M": {"a": {"N": "1"}}}, {"M": {"a": {"N": "2"}}}, False),
        ({"B": b"eA=="}, {"S": "eA=="}, False),
        ({"NULL": True}, {"BOOL": True}, False),
        ({"S": ""}, {"S": " "}, False),
        ({"S": "a"}, {"S": "b"}, False),
        ({"NS": ["1"]}, {"SS": ["1"]}, False),
        ({"NS": ["1"]}, {"NS": ["2"]}, False),
        ({"SS": ["a"]}, {"SS": ["b"]}, False),
        ({"SS": ["a"]}, {"BS": ["a"]}, False),
        ({"M": {"a": {"N": "1.0"}}}, {"M": {"a": {"N": "1"}}}, True),
        ({"L": []}, {"M": {}}, False),
    ],
)
def test_values_are_equal_as_dynamodb_considers_them_equal(one: Any, other: Any, equal: bool) -> None:
    assert (repr(comparable(one)) == repr(comparable(other))) is equal


def test_a_call_ends_when_its_patience_does() -> None:
    table = Table("accept", patience=0.65)  # which ends between the second look and the third
    table.other.items = {}
    assert table.payments.pay("order-1", PAYMENT).seconds == pytest.approx(0.65)


def test_other_tables_have_other_keys() -> None:
    table = Table(key_of=lambda key: {"transaction_id": {"S": f"payment#{key}"}})
    assert isinstance(table.payments.pay("1", PAYMENT), Confirmed)
    assert list(table.home.items) == ["payment#1"]


@pytest.mark.parametrize("payment", [{}, *({**PAYMENT, name: {"S": ""}} for name in ("timestamp", "write_id", "void"))])
def test_a_payment_has_attributes_and_none_of_the_clients_own(payment: dict[str, Any]) -> None:
    table = Table()
    with pytest.raises(ValueError, match="timestamp, transaction_id, void, write_id"):
        table.payments.pay("order-1", payment)
    assert table.home.items == {}


def test_a_client_of_boto3_that_repeats_calls_is_refused() -> None:
    """Its last error says nothing of its earlier attempts, one of which may have been taken."""
    keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    for config in (None, Config(retries={"total_max_attempts": 2, "mode": "standard"})):
        client = boto3.client("dynamodb", config=config, **keys)  # type: ignore[call-overload]
        for home, other in ((client, connect("us-west-2")), (connect("us-east-1"), client)):
            with pytest.raises(ValueError, match=r"make it with connect\(\)"):
                ConfirmedPayments(home, other, "transactions", alone=lambda: "refuse")
    ConfirmedPayments(connect("us-east-1"), connect("us-west-2"), "transactions", alone=lambda: "refuse")


def test_what_waiting_does_not_end_is_raised_if_nothing_was_written() -> None:
    table = Table()
    table.home.fails = refusal("AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        table.payments.pay("order-1", PAYMENT)
    with pytest.raises(ClientError, match="AccessDenied"):
        table.payments.lookup("order-1")


def test_a_key_that_no_region_has_is_looked_up_for_as_long_as_a_payment_waits() -> None:
    table = Table()
    outcome = table.payments.lookup("order-1")
    assert isinstance(outcome, Unknown)
    assert 3 < outcome.seconds <= 5
    assert outcome.reads < 30


def test_a_void_key_is_stored_as_such_and_no_payment_takes_it() -> None:
    table = Table()
    assert isinstance(table.payments.void("order-1"), Refused)
    assert table.home.items["order-1"]["void"] == {"BOOL": True}


def test_a_region_that_refuses_to_be_read_is_a_mistake_and_not_away() -> None:
    table = Table("accept")
    table.other.fails = refusal("AccessDeniedException")
    outcome = table.payments.pay("order-1", PAYMENT)
    assert isinstance(outcome, Unknown)
    assert outcome.why.startswith("cannot read the other region: An error occurred (AccessDeniedException)")
    assert outcome.seconds == pytest.approx(0.3)
    assert outcome.reads == 1
    assert outcome.existing == table.home.items["order-1"]


@pytest.mark.parametrize("alone", ["refuse", "accept"])
def test_a_payment_that_does_not_arrive_names_the_region_that_lacks_it(alone: str) -> None:
    table = Table(alone)
    table.other.items = {}
    outcome = table.payments.pay("order-1", PAYMENT)
    why = "the other region does not have it"
    if alone == "accept":
        assert (type(outcome), outcome.why) == (OneRegion, why)  # type: ignore[union-attr]
    else:
        assert (type(outcome), outcome.why) == (Unknown, f"this region has it, and {why}")  # type: ignore[union-attr]
    assert outcome.seconds == table.now - 1000


def test_a_payment_that_differs_in_the_other_region_is_not_accepted_once_that_one_is_away() -> None:
    table = Table("accept")
    theirs = {"amount": {"N": "7"}, "write_id": {"S": "theirs.w2"}}
    table.other.items = {"order-1": theirs}

    def answer_once(**arguments: Any) -> Any:
        found = Region.get_item(table.other, **arguments)
        table.other.fails = GONE
        return found

    table.other.get_item = answer_once  # type: ignore[method-assign]
    outcome = table.payments.pay("order-1", PAYMENT)
    assert isinstance(outcome, Unknown)
    assert outcome.why == "the regions hold different payments, of which the later will win"
    assert outcome.existing == table.home.items["order-1"]


def test_what_was_never_sent_is_refused_and_what_may_have_been_is_unknown() -> None:
    never_sent = GONE, ConnectTimeoutError(endpoint_url="https://dynamodb"), ProxyConnectionError(proxy_url="http://p")
    for error, expected in (*((each, Refused) for each in never_sent), (refusal("InternalServerError", 500), Unknown)):
        table = Table("accept")
        table.home.fails = error
        outcome = table.payments.pay("order-1", PAYMENT)
        assert isinstance(outcome, expected)
        assert outcome.seconds == table.now - 1000 == pytest.approx(5, abs=1)


def test_a_mistake_after_a_write_that_may_have_been_taken_is_unknown_at_once() -> None:
    table = Table("accept")
    errors: Iterator[Exception] = iter((refusal("InternalServerError", 500), refusal("AccessDeniedException")))

    def fail(**_: Any) -> Any:
        raise next(errors)

    table.home.put_item = fail  # type: ignore[method-assign]
    assert isinstance(table.payments.pay("order-1", PAYMENT), Unknown)
    assert next(errors, None) is None


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    ],
)
def test_what_dynamodb_is_too_busy_for_is_tried_again_and_is_not_written(code: str) -> None:
    table = Table("accept")
    table.home.fails = refusal(code)
    assert isinstance(table.payments.pay("order-1", PAYMENT), Refused)
    assert table.now > 1000 + 4


def test_a_confirmation_ends_the_count_of_payments_without_one() -> None:
    table = Table(breaker=Breaker(failures=2))
    for number, fails in enumerate((GONE, None, GONE, None)):
        table.other.fails = fails
        table.payments.pay(f"order-{number}", PAYMENT)
    assert [line["Confirmed"] for line in table.lines] == [0, 1, 0, 1]


def test_later_the_caller_gets_the_outcome_in_the_background() -> None:
    table, outcomes = Table(), list[Outcome]()
    table.other.ready.clear()
    with ThreadPoolExecutor(1) as pool:
        at_once = table.payments.pay_later("order-1", PAYMENT, outcomes.append, pool)
        assert at_once == OneRegion(ANY, "it is being confirmed", 0.0, 0)
        assert (outcomes, table.lines) == ([], [])
        table.other.ready.set()
    assert [type(each) for each in outcomes] == [Confirmed]
    assert [line["Confirmed"] for line in table.lines] == [1]


def test_later_what_is_not_taken_is_said_at_once() -> None:
    table = Table()
    table.home.fails = GONE
    with ThreadPoolExecutor(1) as pool:
        outcome = table.payments.pay_later("order-1", PAYMENT, lambda _: pytest.fail("called"), pool)
    assert isinstance(outcome, Refused)


def test_it_can_be_awaited() -> None:
    table = Table()

    async def pay() -> Outcome:
        return await asyncio.to_thread(table.payments.pay, "order-1", PAYMENT)

    assert isinstance(asyncio.run(pay()), Confirmed)


def test_each_call_is_a_line_of_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("accept")
    table.payments.pay("order-1", PAYMENT)
    table.other.fails = GONE
    table.payments.pay("order-2", PAYMENT)
    counts = [{name: line[name] for name in ("Confirmed", "OneRegion", "Unknown", "Refused")} for line in table.lines]
    assert counts == [
        {"Confirmed": 1, "OneRegion": 0, "Unknown": 0, "Refused": 0},
        {"Confirmed": 0, "OneRegion": 1, "Unknown": 0, "Refused": 0},
    ]
    assert (table.lines[0]["Reads"], table.lines[0]["Seconds"]) == (1, 0.3)
    assert 3 < table.lines[1]["Seconds"] <= 5
    units = {**dict.fromkeys(counts[0], "Count"), "Seconds": "Seconds", "Reads": "Count"}
    directive = {
        "Namespace": "PaymentApp/ConfirmedPayments",
        "Dimensions": [["Table"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    assert table.lines[0]["_aws"] == {"Timestamp": ANY, "CloudWatchMetrics": [directive]}
    assert table.lines[0]["_aws"]["Timestamp"] == pytest.approx(time.time() * 1000, abs=600_000)
    assert table.lines[0]["Table"] == "transactions"
    assert {repr(line["Refused"]) for line in table.lines} == {"0"}  # CloudWatch takes no false
    print_metrics(table.lines[0])
    assert capsys.readouterr().out.startswith('{"_aws": {')


class Setting:
    """A parameter that operators change, and that may not be readable."""

    def __init__(self, *values: Any) -> None:
        self.values: Iterator[Any] = iter(values)

    def __call__(self) -> Any:
        value = next(self.values)
        if isinstance(value, Exception):
            raise value
        return value


def test_a_setting_that_cannot_be_read_again_is_kept_for_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    values = (GONE, "accept", GONE, GONE, GONE, "accept", "nonsense")
    alone = Live(Setting(*values), clock=lambda: now[0])
    seen = []
    for now[0] in (0.0, 4.9, 5.0, 10.0, 64.0, 69.0, 74.0, 79.0):
        seen.append(alone())
    assert seen == ["refuse", "refuse", "accept", "accept", "accept", "refuse", "accept", "refuse"]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"level": "WARNING", "message": f"cannot read `alone`, {each!r} holds", "error": str(GONE)}
        for each in ("refuse", "accept", "accept", "refuse")
    ]


def test_operators_choose_in_a_parameter_of_the_region() -> None:
    for value, expected in (("accept", "accept"), ("refuse", "refuse"), ("Accept", "refuse"), (None, "refuse")):
        store = ParameterStore("us-east-1", Clock())
        if value:
            store.put_parameter(Name="/pay/alone", Value=value, Type="String")
        assert parameter(store, "/pay/alone")() == expected


def test_a_client_of_the_parameter_store_gives_up_as_soon_as_one_of_the_table() -> None:
    for client in (connect("us-east-1"), connect("us-east-1", "ssm")):
        config = client.meta.config
        assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 1, 1)


def test_an_open_breaker_lets_one_payment_through_each_time() -> None:
    breaker = Breaker()
    for now in (0.0, 0.5, 1.0):
        assert breaker.lets_through(now)
        breaker.note(now, confirmed=False)
    assert [breaker.lets_through(now) for now in (1.1, 10.9, 11.0, 11.1, 21.0)] == [False, False, True, False, True]
    breaker.note(21.0, confirmed=True)
    assert breaker.lets_through(21.1)


def test_it_needs_boto3_alone() -> None:
    others = {"cdktf", "jsii", "constructs", "typer", "rich"}
    look = f"import sys, payment_dr.confirmed; print(*({others} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
