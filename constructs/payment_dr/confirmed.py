"""Takes each payment once into a global table of two regions, and reports what is certain. Needs boto3 alone.

A global table with two regions acknowledges a write before it replicates it, "usually within a second". What a region
has acknowledged in its last moment before it fails is missing in the other one until the first is back
(https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html). So this client inserts
a payment here, reads it in the other region, and answers with one of four outcomes:

``Confirmed``  Both regions have the payment. The loss of either region does not lose it, and no other payment will
               ever take its place.
``OneRegion``  This region has it, and `alone` accepts that. It is lost if this region never comes back, or if the
               other region has taken another payment with the same key. `lookup` reports later what became of it.
``Unknown``    It may have been taken and may still arrive. Call `pay` again with the same key and payment, or `lookup`,
               or `void`, which ends it for certain. Do not acknowledge it.
``Refused``    With `existing`: both regions hold that under the key, so this payment does not exist and never will.
               Without: this call has written nothing, so try again. An earlier call for the key may still be Unknown.

An error that waiting does not end (no right, no such table, a wrong attribute) raises boto3's exception. Nothing is
written then.

What each state of the two regions means for `pay`:

both serve and replicate          Confirmed after the lag of replication.
the other one is away             `alone` "refuse": Refused, or Unknown for the first calls that notice it.
                                  `alone` "accept": OneRegion.
replication stalls                The same, after `patience` seconds.
this one is away                  Refused if nothing was sent, else Unknown. Pay with a client whose home is the other.

Two clients may pay in different regions at once, because a condition is checked in one region alone. If they use one
key for two payments, at most one of them is ever Confirmed. The client assumes:

- This client alone writes payments. Other code may update their items, and never deletes or replaces one.
- An update has a later timestamp than the version of the item that it changes. The clocks of the regions may differ.
- The table has two replicas, with multi-Region eventual consistency. With three regions take strong consistency.

Example:
    >>> payments = ConfirmedPayments(
    ...     connect("us-east-1"), connect("us-west-2"), "transactions", alone=lambda: "refuse"
    ... )  # doctest: +SKIP
    >>> match payments.pay("order-1001", {"amount": {"N": "1250"}, "currency": {"S": "EUR"}}):  # doctest: +SKIP
    ...     case Confirmed():
    ...         acknowledge()
    ...     case OneRegion(why=why):
    ...         acknowledge(at_risk=why)
    ...     case Refused(existing=existing) if existing:
    ...         reject(existing)
    ...     case Unknown() | Refused():
    ...         try_again_later()

In asyncio: ``await asyncio.to_thread(payments.pay, key, payment)``.
"""

import hashlib
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

Item = Mapping[str, Any]
"""An item, or some attributes of one, in DynamoDB's own JSON."""

Alone = Literal["refuse", "accept"]
"""Whether a payment that the other region is not known to have is acknowledged."""

# One attempt: boto3 reports only the last error of several, and an earlier attempt may have been taken.
CONFIG = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1, "mode": "standard"})
WRITE_ID = "write_id"
VOID: Item = {"void": {"BOOL": True}}
NAMESPACE = "PaymentApp/ConfirmedPayments"

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html (OK to retry? Yes)
_BUSY = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionConflictException",
}
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
_LONGEST_PAUSE = 1.0
_DIGITS = Context(
    prec=38
)  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TOO_MANY = "the other region has not confirmed the latest payments"


@dataclass(frozen=True)
class Confirmed:
    """Both regions have the payment, for good.

    Attributes:
        item: As it is stored now. Others may have updated it.
        seconds, reads: Time, and reads in both regions.
    """

    item: Item
    seconds: float
    reads: int


@dataclass(frozen=True)
class OneRegion:
    """The client's own region has the payment. The other one is not known to, and `alone` accepts that.

    Attributes:
        item: As it was seen last.
        why: How the other region behaved.
        seconds, reads: As in `Confirmed`.
    """

    item: Item
    why: str
    seconds: float
    reads: int


@dataclass(frozen=True)
class Unknown:
    """The payment may be taken or not, now or later.

    Attributes:
        why: The reason.
        existing: What a region holds under the key, if that was seen.
        seconds, reads: As in `Confirmed`.
    """

    why: str
    existing: Item | None
    seconds: float
    reads: int


@dataclass(frozen=True)
class Refused:
    """The payment is not taken: by this call, or never if there is `existing`.

    Attributes:
        why: The reason.
        existing: What both regions hold under the key, for good.
        seconds, reads: As in `Confirmed`.
    """

    why: str
    existing: Item | None
    seconds: float
    reads: int


Outcome = Confirmed | OneRegion | Unknown | Refused


def connect(region: str, service: Literal["dynamodb", "ssm"] = "dynamodb") -> Any:
    """A client of boto3 with short time limits and the single attempt that `ConfirmedPayments` needs."""
    return boto3.client(service, region_name=region, config=CONFIG)


class Breaker:
    """Spares callers the wait for a region that has not confirmed the latest payments.

    Args:
        failures: Payments in a row without a confirmation, after which it opens.
        pause: Seconds after which one payment tries again while it is open.
    """

    def __init__(self, failures: int = 3, pause: float = 10.0) -> None:
        self._failures, self._pause = failures, pause
        self._failed, self._next = 0, 0.0
        self._lock = threading.Lock()

    def lets_through(self, now: float) -> bool:
        """Whether a payment that begins now waits for the other region."""
        with self._lock:
            if self._failed < self._failures:
                return True
            if now < self._next:
                return False
            self._next = now + self._pause
            return True

    def note(self, now: float, *, confirmed: bool) -> None:
        """Note how a payment ended that has waited for the other region."""
        with self._lock:
            self._failed = 0 if confirmed else self._failed + 1
            if self._failed == self._failures:
                self._next = now + self._pause


class Live:
    """Reads a setting that operators change, at most once in `seconds`.

    Args:
        read: Reads it.
        first: What holds before the first read, and when the last one is too old.
        seconds: How long a value is kept without a new read.
        keep: How long a value still holds while new reads fail.

    Example:
        >>> alone = parameter(connect("us-east-1", "ssm"), "/pay/alone")  # doctest: +SKIP
        >>> ConfirmedPayments(home, other, "transactions", alone=alone)  # doctest: +SKIP
    """

    def __init__(
        self,
        read: Callable[[], Alone],
        *,
        first: Alone = "refuse",
        seconds: float = 5.0,
        keep: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._value, self._seconds, self._clock = read, first, seconds, clock
        self._first, self._keep = first, keep
        self._until = self._kept_until = float("-inf")
        self._lock = threading.Lock()

    def __call__(self) -> Alone:
        """The value that holds now."""
        with self._lock:
            now = self._clock()
            if now >= self._until:
                self._until = now + self._seconds
                try:
                    value = self._read()
                except (BotoCoreError, ClientError) as error:
                    if now >= self._kept_until:
                        self._value = self._first
                    _log("WARNING", f"cannot read `alone`, {self._value!r} holds", error=str(error))
                else:
                    self._value = "accept" if value == "accept" else "refuse"
                    self._kept_until = now + self._keep
            return self._value


def parameter(ssm: Any, name: str) -> Live:
    """An operator's choice in an SSM parameter of the region, for `alone`.

    Only the value "accept" accepts. "refuse" holds where the parameter is missing, or cannot be read for a minute.
    It needs the right ssm:GetParameter on this name. Each process reads it every 5 s at most, because AWS limits reads
    by account and region (https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-throughput.html).

    Args:
        ssm: `connect(region, "ssm")`, with the region of the client's `home`.
        name: Of a parameter of type String.
    """
    return Live(lambda: ssm.get_parameter(Name=name)["Parameter"]["Value"])


def print_metrics(line: Mapping[str, Any]) -> None:
    """Print a line of metrics in CloudWatch's embedded metric format, which Lambda's log makes metrics of."""
    sys.stdout.write(json.dumps(line) + "\n")


@dataclass
class _Call:
    """One call: the key it is about, what it inserts, and what it has taken so far."""

    key: Item
    wanted: Item
    started: float
    waits: bool = True  # for the other region
    reads: int = 0


class ConfirmedPayments:
    """Takes payments in one region and acknowledges those that the other one has. Safe to share between threads.

    Args:
        home: `connect` of the region that payments are written to, the one that this code runs in.
        other: `connect` of the other region.
        table: Name of the global table.
        alone: Called when it matters: whether a payment that this region alone has is acknowledged. An operator's
            choice: `parameter` reads it from SSM.
        key_of: Makes the item's primary key of a payment's key. It must give the same one each time: a time in it
            would make two payments of a retry.
        patience: Seconds that a call may take before it answers.
        first_look: Seconds until the other region is read first. About the usual lag of replication.
        breaker: For the other region.
        metrics: Gets a line of metrics for each call, in CloudWatch's embedded metric format.
        clock, sleep, new_id: Time in seconds, waiting, and ids that are never the same; for tests.

    Raises:
        ValueError: A boto3 client retries its calls by itself.
    """

    def __init__(
        self,
        home: Any,
        other: Any,
        table: str,
        *,
        alone: Callable[[], Alone],
        key_of: Callable[[str], Item] = lambda key: {"transaction_id": {"S": key}, "timestamp": {"N": "0"}},
        patience: float = 5.0,
        first_look: float = 0.3,
        breaker: Breaker | None = None,
        metrics: Callable[[Mapping[str, Any]], None] = print_metrics,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        for client in (home, other):
            if client.meta.config.retries.get("total_max_attempts") != 1:
                raise ValueError("a boto3 client retries its calls: make it with connect(), or with CONFIG")
        self._home, self._other, self._table, self._alone, self._key_of = home, other, table, alone, key_of
        self._patience, self._first_look, self._breaker = patience, first_look, breaker or Breaker()
        self._metrics, self._clock, self._sleep, self._new_id = metrics, clock, sleep, new_id

    def pay(self, key: str, payment: Item) -> Outcome:
        """Take a payment, once, however often this is called with the same key and payment.

        Args:
            key: The payment's id, chosen by who sends it, and the same in every retry.
            payment: All other attributes. What is stored has the attribute `write_id` too:
                a hash of the payment, which differs for every other payment, and an id of the call.

        Raises:
            ValueError: The payment has no attributes, or one of the key's, `write_id` or `void`.
            ClientError, BotoCoreError: DynamoDB cannot take it as it is, or this client has no right to it.
        """
        begun = self._begin(key, self._checked(key, payment))
        return self._counted(begun if isinstance(begun, Unknown | Refused) else self._settle(*begun))

    def pay_later(self, key: str, payment: Item, then: Callable[[Outcome], object], pool: Executor) -> Outcome:
        """Take a payment and confirm it in the background, for callers who cannot wait for the replication.

        Args:
            key: As in `pay`.
            payment: As in `pay`.
            then: Called in the pool with what `pay` would have returned.
            pool: Where the payment is confirmed. If this process ends first, `lookup` takes its place.

        Returns:
            OneRegion if this region holds something under the key now, whatever `alone` says: it is up to you
            to acknowledge that. Unknown or Refused as in `pay`; `then` is not called after these.
        """
        begun = self._begin(key, self._checked(key, payment))
        if isinstance(begun, Unknown | Refused):
            return self._counted(begun)
        call, stored = begun
        if _is_another(stored, call.wanted):
            return self._counted(self._settle(call, stored))
        at_once = OneRegion(stored, "it is being confirmed", self._clock() - call.started, call.reads)
        pool.submit(lambda: then(self._counted(self._settle(call, stored))))  # which counts on in `call`
        return at_once

    def lookup(self, key: str) -> Outcome:
        """What has become of a key. Writes nothing.

        Returns:
            Confirmed, OneRegion or Unknown about the payment that is stored; Refused if the key is void. Unknown if no
            region holds anything: a request that is under way may still arrive.
        """
        return self._counted(self._fate(self._settle(self._call(key, None), None)))

    def void(self, key: str) -> Outcome:
        """End an Unknown: take the key, so that no payment ever has it, unless one has it already.

        Returns:
            Refused: no payment has this key or ever will. Confirmed: that payment was there. Else call again.
        """
        begun = self._begin(key, VOID)
        if isinstance(begun, Refused):  # it is the void that was not written
            begun = Unknown(begun.why, None, begun.seconds, begun.reads)
        return self._counted(begun if isinstance(begun, Unknown) else self._fate(self._settle(*begun)))

    def _checked(self, key: str, payment: Item) -> Item:
        reserved = {*self._key_of(key), *VOID, WRITE_ID}
        if not payment or payment.keys() & reserved:
            raise ValueError(f"a payment needs attributes, and none of them is {', '.join(sorted(reserved))}")
        return payment

    def _call(self, key: str, attributes: Item | None) -> _Call:
        names = self._key_of(key)
        wanted: Item = {}
        if attributes:
            write_id = f"{_fingerprint(attributes)}.{self._new_id()}"
            wanted = {**attributes, **names, WRITE_ID: {"S": write_id}}
        return _Call(names, wanted, self._clock())

    def _begin(self, key: str, payment: Item) -> tuple[_Call, Item] | Unknown | Refused:
        call = self._call(key, payment)
        call.waits = self._breaker.lets_through(call.started)
        if not call.waits and self._alone() != "accept":
            return self._refused(call, _TOO_MANY)
        return self._insert(call)

    def _insert(self, call: _Call) -> tuple[_Call, Item] | Unknown | Refused:
        """Insert what is wanted. With the call comes what this region holds then, which may be another payment."""
        names = {"#key": next(iter(call.key))}
        pause, may_be_taken = 0.05, False
        while True:
            try:
                self._home.put_item(
                    TableName=self._table,
                    Item=call.wanted,
                    ConditionExpression="attribute_not_exists(#key)",
                    ExpressionAttributeNames=names,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
                return call, call.wanted
            except (ClientError, BotoCoreError) as error:
                if _code(error) == "ConditionalCheckFailedException":
                    return call, error.response["Item"]  # type: ignore[typeddict-item, union-attr]
                if not _passes(error) and not may_be_taken:
                    raise
                # A 500 is no proof that nothing was written, and an answer that does not come is none.
                may_be_taken |= not (_code(error) in _BUSY or isinstance(error, _NEVER_SENT))
                why = f"this region does not answer: {error}"
                if not _passes(error) or self._clock() + pause - call.started > self._patience:
                    return self._unknown(call, why) if may_be_taken else self._refused(call, why)
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _settle(self, call: _Call, stored: Item | None) -> Outcome:
        """Read until both regions hold the same thing under the key.

        If the other region holds what this one holds, it has won against everything that either of them has taken:
        a replica keeps the later of two writes, and no insert succeeds where something is. So it stays.

        Args:
            call: The call; if it wants nothing, this only looks.
            stored: What this region holds, as far as that is known.
        """
        found: Item | None = None
        why, differ, pause = _TOO_MANY, False, self._first_look if stored else 0.05
        while call.waits:
            if stored:
                self._sleep(min(pause, max(0.0, call.started + self._patience - self._clock())))
            found, failed = self._read("other", call)
            why = failed or "the other region does not have it"
            if stored is None or (found and not _agree(found, stored)):
                at_home, failed_at_home = self._read("home", call)
                stored = at_home or (stored if failed_at_home else None)
            if found and stored and _agree(found, stored):
                self._breaker.note(self._clock(), confirmed=True)
                if _is_another(found, call.wanted):
                    return self._refused(call, "the key is that of another payment", found)
                return Confirmed(found, self._clock() - call.started, call.reads)
            differ = differ or bool(found and stored)  # the other one may be gone from sight, but it is there
            if failed is not None and failed.startswith("cannot"):
                return self._unknown(call, failed, stored or found)  # a mistake, which waiting does not end
            if self._clock() + pause - call.started > self._patience:
                self._breaker.note(self._clock(), confirmed=False)
                break
            if not stored:
                self._sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        if differ:
            return self._unknown(call, "the regions hold different payments, of which the later will win", stored)
        if not stored:
            return self._unknown(call, "this region is not known to have it", found)
        if _is_another(stored, call.wanted):
            return self._unknown(call, f"this region holds another payment, and {why}", stored)
        if self._alone() != "accept":
            return self._unknown(call, f"this region has it, and {why}", stored)
        if call.waits:  # meanwhile the other region's payment may have come and won
            at_home, failed = self._read("home", call)
            if at_home is None or not _agree(at_home, stored):
                return self._unknown(call, failed or "the regions have taken different payments", at_home or stored)
        return OneRegion(stored, why, self._clock() - call.started, call.reads)

    def _read(self, which: Literal["home", "other"], call: _Call) -> tuple[Item | None, str | None]:
        """What a region holds under the key, or why that is not known."""
        call.reads += 1
        region, name = (self._home, "this region") if which == "home" else (self._other, "the other region")
        try:
            return region.get_item(TableName=self._table, Key=call.key, ConsistentRead=True).get("Item"), None
        except (ClientError, BotoCoreError) as error:
            if not call.wanted and not _passes(error):
                raise
            return None, f"{name} does not answer: {error}" if _passes(error) else f"cannot read {name}: {error}"

    def _fate(self, outcome: Outcome) -> Outcome:
        """What an outcome for whatever has the key says about the payment with that key."""
        match outcome:
            case Confirmed(item, seconds, reads) if _is_void(item):
                return Refused("the key is void", item, seconds, reads)
            case OneRegion(item, why, seconds, reads) if _is_void(item):
                return Unknown(f"the key is void in this region alone: {why}", item, seconds, reads)
            case Refused(_, item, seconds, reads) if item and not _is_void(item):
                return Confirmed(item, seconds, reads)
        return outcome

    def _refused(self, call: _Call, why: str, existing: Item | None = None) -> Refused:
        return Refused(why, existing, self._clock() - call.started, call.reads)

    def _unknown(self, call: _Call, why: str, existing: Item | None = None) -> Unknown:
        return Unknown(why, existing, self._clock() - call.started, call.reads)

    def _counted(self, outcome: Outcome) -> Outcome:
        counts = {kind.__name__: int(isinstance(outcome, kind)) for kind in (Confirmed, OneRegion, Unknown, Refused)}
        values = {**counts, "Seconds": round(outcome.seconds, 4), "Reads": outcome.reads}
        units = [{"Name": name, "Unit": "Seconds" if name == "Seconds" else "Count"} for name in values]
        directive = {"Namespace": NAMESPACE, "Dimensions": [["Table"]], "Metrics": units}
        emf = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
        self._metrics({"_aws": emf, "Table": self._table, **values})
        return outcome


def _agree(one: Item, other: Item) -> bool:
    """Whether two items were written as the same payment, by one call or by two. Others may have updated them."""
    return bool(_written_as(one)) and _written_as(one) == _written_as(other)


def _is_another(stored: Item, wanted: Item) -> bool:
    """Whether an item is not what is wanted: another payment, or this one of another call and changed since."""
    if not wanted or stored.get(WRITE_ID) == wanted[WRITE_ID]:
        return False
    return not _agree(stored, wanted) or any(
        name not in stored or comparable(stored[name]) != comparable(value)
        for name, value in wanted.items()
        if name != WRITE_ID
    )


def _written_as(item: Item) -> str:
    """The part of the write id that is the same for each write of one payment."""
    return str(item.get(WRITE_ID, {}).get("S", "")).partition(".")[0]


def _fingerprint(payment: Item) -> str:
    content = repr(sorted((name, comparable(value)) for name, value in payment.items()))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def comparable(value: Mapping[str, Any]) -> Any:
    """An attribute value such that equal ones are those that DynamoDB takes for equal, with one text for each.

    Numbers are equal whatever their zeros, and sets whatever their order.

    Example:
        >>> comparable({"L": [{"N": "10.50"}]}) == comparable({"L": [{"N": "10.5"}]})
        True
    """
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return kind, _number(content)
        case "NS":
            return kind, sorted(map(_number, content))
        case "SS" | "BS":
            return kind, sorted(content)
        case "L":
            return kind, [comparable(each) for each in content]
        case "M":
            return kind, sorted((name, comparable(each)) for name, each in content.items())
    return kind, content


def _number(text: str) -> str:
    return f"{_DIGITS.normalize(_DIGITS.plus(Decimal(text))):f}"


def _is_void(item: Item) -> bool:
    return "void" in item


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _passes(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or _code(error) in _BUSY
    return isinstance(error, NoConnectionError | HTTPClientError)


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")
