"""Payments through the service behind the name: what is sent, what counts as acknowledged, and what is refused."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from payment_dr.confirmed import ConfirmedPayments
from payment_dr.operations.drill import payments
from payment_dr.operations.drill.journal import LoadRecord, load_in_words, mode_of_service
from payment_dr.operations.drill.ledger import missing
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.service_load import ServiceClient, refuse_without_load, refuse_without_service
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.side import SIDES, Side
from tests.operations.drill.parts import place_on
from tests.operations.stack import Clock, Stack

ROUTES = ["POST /payments", "GET /payments/{id}"]


class Service(TlsClient):
    """A service of both regions, which writes to the tables of a stack of fakes.

    Attributes:
        status: What it answers.
        sent: What was sent to it: the side, the method and path, the headers and the body.
        adds: Attributes that it adds to each item.
    """

    def __init__(self, stack: Stack) -> None:
        self._of = stack
        self.status = 201
        self.sent: list[tuple[Side, str, Mapping[str, str], Any]] = []
        self.adds: dict[str, Any] = {"taken_at": {"S": "now"}}

    def call(self, side: Side) -> None:  # noqa: ARG002 - as its class has it
        raise AssertionError("a payment through the service calls its region itself")

    def send(
        self, side: Side, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> int:
        payment = json.loads(body or b"")
        self.sent.append((side, f"{method} {path}", headers or {}, payment))
        if self.status < 300:
            item = {
                "transaction_id": {"S": (headers or {})["Idempotency-Key"]},
                "timestamp": {"N": "0"},
                "amount": {"N": str(payment["amount"])},
                "currency": {"S": payment["currency"]},
            }
            self._of.client("dynamodb", side).put_item(TableName="transactions", Item={**item, **self.adds})
        return self.status


@pytest.fixture
def service(stack: Stack) -> Service:
    return Service(stack)


@pytest.fixture
def paying(stack: Stack, service: Service) -> Payments:
    return Payments(stack, "dr-drill-1", tls=service, service=True)


@pytest.mark.parametrize("mode", ["local", "confirmed"])
@pytest.mark.parametrize("side", SIDES)
def test_a_payment_is_sent_to_the_region_that_dns_answered_with_under_its_id(
    mode: str, side: Side, service: Service, stack: Stack
) -> None:
    paying = Payments(stack, "dr-drill-1", tls=service, service=True, confirms=mode == "confirmed")
    assert paying.modes[0] == mode
    assert paying.transact(mode, side, 0.0)
    ((where, route, headers, body),) = service.sent
    assert (where, route) == (side, "POST /payments")
    assert (headers["Idempotency-Key"], headers["Content-Type"]) == (f"dr-drill-1-{mode}-0", "application/json")
    assert body == {"amount": 100, "currency": "EUR"}
    assert stack.calls == [("put_item", side)]  # the service's own
    (entry,) = paying.ledger.acknowledged(mode)
    assert (entry.id, entry.confirmed) == (f"dr-drill-1-{mode}-0", False)  # nobody looks after the service
    assert entry.key["timestamp"] == {"N": "0"}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_status_of_2xx_acknowledges(status: int, paying: Payments, service: Service) -> None:
    service.status = status
    assert paying.transact("local", "primary", 0.0)


@pytest.mark.parametrize("status", [302, 400, 403, 404, 409, 422, 429, 500, 503])
def test_another_status_leaves_the_payment_open(status: int, paying: Payments, service: Service) -> None:
    service.status = status
    assert not paying.transact("local", "primary", 0.0)
    assert paying.ledger.acknowledged("local") == []
    ((_, item),) = paying.ledger.take_open()
    service.status = 201
    assert paying.transact("local", "secondary", 1.0, item)
    assert [sent[2]["Idempotency-Key"] for sent in service.sent] == ["dr-drill-1-local-0"] * 2


def test_a_service_may_add_attributes_and_a_changed_one_is_a_loss(
    paying: Payments, service: Service, stack: Stack
) -> None:
    assert paying.transact("local", "primary", 0.0)
    assert "taken_at" in paying.items("secondary")[0]
    assert missing(paying.ledger.acknowledged("local"), paying.items("primary")) == []
    service.adds = {"amount": {"N": "1"}}
    assert paying.transact("local", "primary", 0.0)
    assert missing(paying.ledger.acknowledged("local"), paying.items("primary")) == ["dr-drill-1-local-1"]


@pytest.mark.parametrize("confirms", [False, True])
def test_an_acknowledgement_of_a_service_counts_whatever_the_other_region_has(
    stack: Stack, service: Service, *, confirms: bool
) -> None:
    stack.replicates = False
    paying = Payments(stack, "dr-drill-1", tls=service, service=True, confirms=confirms)
    mode = "confirmed" if confirms else "local"
    assert paying.transact(mode, "primary", 0.0)
    assert missing(paying.ledger.acknowledged(mode), paying.items("secondary")) == [f"dr-drill-1-{mode}-0"]


@pytest.mark.parametrize("confirms", [False, True])
def test_the_other_mode_is_the_drills_own_client_of_the_table(
    stack: Stack, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, confirms: bool
) -> None:
    called: list[Side] = []
    monkeypatch.setattr(service, "call", called.append)
    monkeypatch.setattr(
        payments, "ConfirmedPayments", partial(ConfirmedPayments, clock=clock.monotonic, sleep=clock.sleep)
    )
    paying = Payments(stack, "dr-drill-1", tls=service, service=True, confirms=confirms)
    other = paying.modes[1]
    assert other == ("local" if confirms else "confirmed")
    assert paying.transact(other, "primary", 0.0)
    assert (service.sent, called) == ([], ["primary"])
    (entry,) = paying.ledger.acknowledged(other)
    assert (entry.confirmed, entry.key["timestamp"] == {"N": "0"}) == (not confirms, not confirms)
    assert missing([entry], paying.items("secondary")) == []
    stack.replicates = False
    assert paying.transact(other, "primary", 1.0) == confirms


def test_a_region_that_does_not_serve_the_name_has_not_acknowledged() -> None:
    class Gone(TlsClient):
        def __init__(self) -> None:
            """No addresses."""

        def send(self, *_: Any, **__: Any) -> int:
            raise NotServedError("no answer")

    item = {"transaction_id": {"S": "a"}, "timestamp": {"N": "0"}, "amount": {"N": "1"}, "currency": {"S": "EUR"}}
    with pytest.raises(NotServedError):
        ServiceClient(Gone(), "primary").put_item(TableName="t", Item=item)


@pytest.mark.parametrize(
    ("routes", "has_custom_domain", "message", "hint"),
    [
        ([], True, "the stack does not take POST /payments: it has no service", "give it service=Service(...), see"),
        (["GET /x"], True, "does not take POST /payments: its service has GET /x", "give it service=Service(...), see"),
        (ROUTES, False, "the stack's name is not served over TLS", "give it custom_domain=True, see docs/put-your-"),
    ],
)
def test_a_stack_without_such_a_service_is_an_error_with_a_fix(
    routes: list[str], has_custom_domain: bool, message: str, hint: str
) -> None:
    refuse_without_service(ROUTES, has_custom_domain=True)
    with pytest.raises(OperationError, match=re.escape(message)) as raised:
        refuse_without_service(routes, has_custom_domain=has_custom_domain)
    assert raised.value.hint.startswith(hint)
    assert raised.value.hint.endswith("or leave --service out")


@pytest.mark.parametrize(
    ("props", "way", "words", "mode"),
    [
        ({}, "table", "payments written to the table transactions directly", None),
        (
            {"endpoint": "https://pay.acme.io"},
            "endpoint",
            "payments sent to https://pay.acme.io (judged as local mode)",
            "local",
        ),
        (
            {"service": True},
            "service",
            "POST /payments to app.pay.acme.io over TLS, in the region that DNS answered with (judged as local",
            "local",
        ),
        (
            {"endpoint": "https://pay.acme.io", "confirms": True},
            "endpoint",
            "payments sent to https://pay.acme.io (judged as confirmed mode). Local mode: the drill's own",
            "confirmed",
        ),
    ],
)
def test_the_journal_says_which_way_payments_went(
    props: Any, way: str, words: str, mode: str | None, stack: Stack
) -> None:
    place: Place = place_on(stack, **props)
    load: LoadRecord = place.load
    assert load["way"] == way
    assert load_in_words(load).startswith(words)
    assert mode_of_service(load) == mode


def test_nothing_is_judged_by_what_a_service_confirms_where_there_is_none() -> None:
    refuse_without_load(confirms=False, has_load=False)
    refuse_without_load(confirms=True, has_load=True)
    with pytest.raises(OperationError, match="--confirms needs a service"):
        refuse_without_load(confirms=True, has_load=False)


def test_the_outputs_of_a_stack_say_what_its_service_takes(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    assert stack.service_routes == []
    stack.outputs["service_routes"] = ROUTES
    assert stack.service_routes == ROUTES
