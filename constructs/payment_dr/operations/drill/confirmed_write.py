"""A client of a global table that never loses a transaction it has acknowledged. Copy it; it needs boto3 alone.

A global table with two regions replicates after it has acknowledged, "usually within a second": what a region has
acknowledged in its last moment before it fails is missing in the other one until the first is back
(https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html). So do not
acknowledge a payment before its item, all of it, has been read in the other region. That costs the replication's lag
once per payment; `dr drill` measures it.

If a write is not confirmed it may still have happened, and may still arrive. Write the same item again, here or in the
other region: the key is yours and the content the same, so that nothing is paid twice.

If the other region does not answer, nothing can be confirmed. `alone` says what happens then, and has to be chosen:

``refuse``  No payment is acknowledged while either region is away. For a client in its usual region: a disaster
            there loses nothing, a disaster elsewhere stops payments until someone decides.
``accept``  Payments are acknowledged by one region, and the receipt says so. For a client that has failed over: the
            other region is known to be away, and a second disaster before it is back would lose these payments.
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError


class NotConfirmedError(Exception):
    """The item was written, or may have been, but is not known to be in the other region. Write it again."""


@dataclass(frozen=True)
class Receipt:
    """An acknowledged transaction.

    Attributes:
        confirmed: Whether both regions have it.
        seconds: What that took.
    """

    confirmed: bool
    seconds: float


class ConfirmedWriter:
    """Writes items into one region and acknowledges those that are in the other one.

    Args:
        home: A boto3 client of DynamoDB in the region that is written to.
        other: One in the other region. Give both short timeouts.
        table_name: Name of the global table.
        key_names: Its key attributes.
        alone: What happens while the other region does not answer.
        patience: Seconds that replication may take.

    Example:
        >>> writer = ConfirmedWriter(east, west, "transactions", alone="refuse")  # doctest: +SKIP
        >>> writer.write({"transaction_id": {"S": "a"}, "timestamp": {"N": "1"}})  # doctest: +SKIP
        Receipt(confirmed=True, seconds=0.52)
    """

    def __init__(
        self,
        home: Any,
        other: Any,
        table_name: str,
        *,
        alone: Literal["refuse", "accept"],
        key_names: tuple[str, ...] = ("transaction_id", "timestamp"),
        patience: float = 5.0,
    ) -> None:
        self._home, self._other, self._table = home, other, table_name
        self._alone, self._key_names, self._patience = alone, key_names, patience

    def write(self, item: dict[str, Any]) -> Receipt:
        """Write an item, in DynamoDB's own JSON with numbers as DynamoDB returns them.

        Raises:
            NotConfirmedError: It cannot be acknowledged.
            ClientError, BotoCoreError: This region did not take it, or the other one refuses to be read.
        """
        started = time.monotonic()
        self._home.put_item(TableName=self._table, Item=item)
        key = {name: item[name] for name in self._key_names}
        pause = 0.05
        while True:
            try:
                answer = self._other.get_item(TableName=self._table, Key=key, ConsistentRead=True)
                why = "has not got it"
            except (ClientError, BotoCoreError) as error:
                if not _is_away(error):
                    raise
                if self._alone == "accept":
                    return Receipt(confirmed=False, seconds=time.monotonic() - started)
                answer, why = {}, f"does not answer: {error}"
            if answer.get("Item") == item:
                return Receipt(confirmed=True, seconds=time.monotonic() - started)
            if time.monotonic() - started > self._patience:
                raise NotConfirmedError(f"after {self._patience:.0f} s the other region {why}")
            time.sleep(pause)
            pause = min(2 * pause, 0.25)


def _is_away(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500)
    return isinstance(error, NoConnectionError | HTTPClientError)
