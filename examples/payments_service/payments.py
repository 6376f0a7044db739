"""A payments service: `POST /payments` takes each payment once, `GET /payments/{id}` returns it.

    POST /payments           Idempotency-Key: order-1001, and {"amount": 1250, "currency": "EUR"} (1250 cents)
        201                  the payment; also when the same key comes again with the same payment
        422                  the key is that of another payment, which the answer names
        400                  the key or the payment is not valid
    GET /payments/order-1001
        200, 404             the payment, or none

After any other answer (500, 503), or none: send the same payment with the same key again, to the region that the name
leads to then.

The key is the payment's id and the key of its item, and the item has only what the client sent. So a payment that is
written in two regions is the same item in both, and nothing is paid twice.

    transaction_id = order-1001, timestamp = 0, amount = 1250, currency = EUR

The service acknowledges a payment when it is in the table of this region. The global table copies it to the other
region, usually within a second. A payment acknowledged just before the region fails reaches the other region only when
the first one is back.

Environment: DYNAMODB_TABLE_NAME; AWS_REGION is set by Lambda.
Permissions: dynamodb:PutItem and dynamodb:GetItem on the table; logs:CreateLogStream and logs:PutLogEvents on the
function's log group.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# Two attempts take 6 s at worst, of the 10 s that the function has.
CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})
KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
CURRENCY = re.compile(r"[A-Z]{3}")
LARGEST_AMOUNT = 10**12  # in the currency's smallest unit

Payment = dict[str, Any]
Answer = dict[str, Any]


class Table(Protocol):
    """The part of a DynamoDB client that is used here."""

    def put_item(self, **kwargs: Any) -> Any: ...  # noqa: D102

    def get_item(self, **kwargs: Any) -> Any: ...  # noqa: D102


class BadRequestError(Exception):
    """The request is not valid; the message names the fault."""


def handler(event: Mapping[str, Any], context: object) -> Answer:  # noqa: ARG001
    """Answer one request of API Gateway (payload format 2.0).

    Raises:
        Exception: DynamoDB did not answer, or rejected the call. API Gateway answers 500, and the alarm on errors
            counts it.
    """
    return serve(event, _dynamodb(), os.environ["DYNAMODB_TABLE_NAME"])


def serve(event: Mapping[str, Any], dynamodb: Table, table: str) -> Answer:
    """Answer one request with a client of DynamoDB in this region.

    Args:
        event: The request.
        dynamodb: The client.
        table: Name of the table.
    """
    route = event["routeKey"]
    try:
        if route == "POST /payments":
            return _pay(event, dynamodb, table)
        return _show(event["pathParameters"]["id"], dynamodb, table)
    except BadRequestError as error:
        _log("WARNING", "refused", route=route, reason=str(error))
        return _answer(400, {"error": str(error)})
    except Exception as error:
        _log("ERROR", "failed", route=route, error=f"{type(error).__name__}: {error}")
        raise


def _pay(event: Mapping[str, Any], dynamodb: Table, table: str) -> Answer:
    payment = {"id": _key_of(event), **_content_of(event)}
    item = {
        "transaction_id": {"S": payment["id"]},
        "timestamp": {"N": "0"},
        "amount": {"N": str(payment["amount"])},
        "currency": {"S": payment["currency"]},
    }
    try:
        # Insert-only: an item that is there is never overwritten.
        dynamodb.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(transaction_id)")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        existing = _find(payment["id"], dynamodb, table)
        if existing != payment:
            _log("WARNING", "the key is that of another payment", id=payment["id"])
            return _answer(422, {"error": "this Idempotency-Key is that of another payment", "existing": existing})
        _log("INFO", "paid before", id=payment["id"])
        return _answer(201, payment)
    _log("INFO", "paid", id=payment["id"])
    return _answer(201, payment)


def _show(id_: str, dynamodb: Table, table: str) -> Answer:
    payment = _find(id_, dynamodb, table) if KEY.fullmatch(id_) else None
    return _answer(200, payment) if payment else _answer(404, {"error": "there is no such payment"})


def _find(id_: str, dynamodb: Table, table: str) -> Payment | None:
    key = {"transaction_id": {"S": id_}, "timestamp": {"N": "0"}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return item and {"id": id_, "amount": int(item["amount"]["N"]), "currency": item["currency"]["S"]}


def _key_of(event: Mapping[str, Any]) -> str:
    key: str = event.get("headers", {}).get("idempotency-key", "")  # API Gateway writes names in lower case
    if not KEY.fullmatch(key):
        raise BadRequestError("the header Idempotency-Key needs 1 to 128 letters, digits, '-' and '_'")
    return key


def _content_of(event: Mapping[str, Any]) -> Payment:
    body = event.get("body") or ""
    try:
        content = json.loads(base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body)
    except ValueError as error:
        raise BadRequestError("the body is not JSON") from error
    if not isinstance(content, dict) or content.keys() != {"amount", "currency"}:
        raise BadRequestError("the body needs amount and currency, and nothing else")
    amount, currency = content["amount"], content["currency"]
    if type(amount) is not int or not 1 <= amount <= LARGEST_AMOUNT:
        raise BadRequestError(f"amount needs a whole number from 1 to {LARGEST_AMOUNT}, in the smallest unit")
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        raise BadRequestError("currency needs three capital letters, such as EUR")
    return {"amount": amount, "currency": currency}


def _answer(status: int, body: Payment) -> Answer:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=CONFIG)


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")
