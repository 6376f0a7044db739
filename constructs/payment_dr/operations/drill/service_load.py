"""The load of a drill through the service behind the name: its payments go the way that those of clients go."""

import json
from collections.abc import Sequence

from payment_dr.operations.drill.ledger import Item
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.side import Side

ROUTE = "POST /payments"


def refuse_without_load(*, confirms: bool, has_load: bool) -> None:
    """Reject --confirms without a service or an endpoint that takes payments.

    Raises:
        OperationError: There is none.
    """
    if confirms and not has_load:
        raise OperationError("--confirms needs a service", hint="add --service")


def refuse_without_service(routes: Sequence[str], *, has_custom_domain: bool) -> None:
    """Reject a stack whose service cannot take payments.

    Args:
        routes: The routes of its service.
        has_custom_domain: Whether its name is served over TLS.

    Raises:
        OperationError: It has no such service, or its name is not served over TLS.
    """
    where = "see docs/put-your-service-behind-it.md, or leave --service out"
    if ROUTE not in routes:
        what = f"its service has {', '.join(routes)}" if routes else "it has no service"
        raise OperationError(f"the stack does not take {ROUTE}: {what}", hint=f"give it service=Service(...), {where}")
    if not has_custom_domain:
        raise OperationError(
            "the stack's name is not served over TLS, so no client reaches its service by name",
            hint=f"give it custom_domain=True, {where}",
        )


class ServiceClient:
    """The service of a region, called by the name that clients use, in the place of DynamoDB's client.

    It is sent ``POST /payments`` with the transaction's id as ``Idempotency-Key`` and the JSON object
    ``{"amount": …, "currency": …}``. With a status of 2xx it acknowledges the payment: it has written an item with that
    transaction_id, the timestamp 0, this amount (a number) and this currency to the table of its region. The same
    payment with the same key may come again. What further attributes the item has is the service's own business.

    Args:
        tls: A client of the name.
        side: The side of the region that DNS has answered with.
    """

    def __init__(self, tls: TlsClient, side: Side) -> None:
        self._tls, self._side = tls, side

    def put_item(self, *, TableName: str, Item: Item) -> None:  # noqa: N803, ARG002 - in the place of boto3's
        """Send one payment.

        Raises:
            NotServedError: It was not acknowledged.
        """
        payment = {"amount": int(Item["amount"]["N"]), "currency": Item["currency"]["S"]}
        status = self._tls.send(
            self._side,
            *ROUTE.split(" "),
            headers={"Content-Type": "application/json", "Idempotency-Key": Item["transaction_id"]["S"]},
            body=json.dumps(payment).encode(),
        )
        if not 200 <= status < 300:
            raise NotServedError(f"HTTP status {status}")
