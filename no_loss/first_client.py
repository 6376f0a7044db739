"""The example client that this project had first: the control group, in which a search must find faults."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from no_loss.histories import Call
from no_loss.world import Item
from payment_dr.confirmed import Confirmed, OneRegion, Outcome, Refused, Unknown

PATIENCE = 5.0


class FirstClient:
    """Writes, reads the other region, and compares what it finds with what it wrote."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def pay(self, key: str, payment: Item) -> Outcome:
        """Write and confirm, with the outcomes of the client of today for what it returned or raised."""
        call = self._call
        item = {**payment, "transaction_id": {"S": key}, "timestamp": {"N": "0"}}
        alone = call.alone()  # was a constant of the constructor
        started = call.clock()
        try:
            call.home.put_item(TableName="transactions", Item=item)
            return self._confirm(item, alone, started)
        except (ClientError, BotoCoreError) as error:
            return Refused(f"this region did not take it: {type(error).__name__}", None, call.clock() - started, 1)

    def _confirm(self, item: Item, alone: str, started: float) -> Outcome:
        call, pause = self._call, 0.05
        key = {name: item[name] for name in ("transaction_id", "timestamp")}
        while True:
            try:
                answer: Any = call.other.get_item(TableName="transactions", Key=key, ConsistentRead=True)
            except (ClientError, BotoCoreError) as error:
                if not _is_away(error):
                    raise
                if alone == "accept":
                    return OneRegion(item, "", call.clock() - started, 1)
                answer = {}
            if answer.get("Item") == item:
                return Confirmed(item, call.clock() - started, 1)
            if call.clock() - started > PATIENCE:
                return Unknown("it is not confirmed: write it again", item, call.clock() - started, 1)
            call.sleep(pause)
            pause = min(2 * pause, 0.25)

    def lookup(self, key: str) -> Outcome:
        """It had none: write again."""
        return self.pay(key, self._call.payer.payment)

    void = lookup

    def pay_later(self, key: str, payment: Item, then: Callable[[Outcome], object], pool: Any) -> Outcome:  # noqa: ARG002
        """It had none: wait."""
        return self.pay(key, payment)


def _is_away(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500)
    return isinstance(error, NoConnectionError | HTTPClientError)
