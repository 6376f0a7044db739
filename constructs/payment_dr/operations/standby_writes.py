"""Finds items that were written in the standby region and that the primary lacks. Nothing here changes anything.

AWS replicates each item by itself, so an item that has arrived is no evidence for another one
(https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/overview.html). This compares every
item whose key is in the stream of the standby's replica. The stream has all writes of 24 hours, including those that
came from the primary (https://docs.aws.amazon.com/prescriptive-guidance/latest/dynamodb-global-tables/faq.html). For a
longer time this also scans both tables.

It compares the state of a key on both sides, an item or none, with strongly consistent reads. The last writer wins, so
both sides reach the same state, and it does not matter which region a write was made in. A key that is written all the
time may differ in every read. So the states of later reads are kept: a state that both sides have had shows that all
writes in the standby before the first read have arrived.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from payment_dr.confirmed import comparable
from payment_dr.operations.aws import CannotTellError, NoAnswerError, asked
from payment_dr.operations.deployed import Deployed
from payment_dr.side import SIDES, Side

# "All data in DynamoDB Streams is subject to a 24-hour lifetime", and what is older may be trimmed at any moment
# (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html). An hour is for reading it.
STREAM_SECONDS = 23 * 3600.0
# No answer says that a shard has been read to its end as long as it is open: "it might take multiple calls to get to a
# portion of the shard that contains stream records"
# (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html).
EMPTY_ANSWERS, EMPTY_SECONDS = 10, 0.2
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html: "rounded down to the
# closest second"
ROUNDED_SECONDS = 2.0
KEYS_A_REQUEST = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
LONGEST_PAUSE_SECONDS, BUSY_SECONDS = 5.0, 60.0  # of one request that is throttled
ATTEMPTS = 3  # where nothing answers, besides those of boto3
WORKERS = 32
SEGMENTS = WORKERS // len(SIDES)  # of a scan
PROGRESS_SECONDS = 5.0
BLOCK_BYTES = 4096  # of a read unit
USD_PER_MILLION_READS = 0.125  # https://aws.amazon.com/dynamodb/pricing/on-demand/, in us-east-1 and us-west-2

_THROTTLED = (
    "LimitExceededException",  # of GetRecords
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
)
_LOST_PLACE = ("ExpiredIteratorException", "TrimmedDataAccessException")

Key = tuple[tuple[str, str, Any], ...]
State = bytes | None  # of no item


@dataclass
class _States:
    """The states read of a key that differs, on both sides."""

    secondary: set[State] = field(default_factory=set)
    primary: set[State] = field(default_factory=set)


class StandbyWrites:
    """Compares recent writes in the standby region with the primary.

    Args:
        stack: The deployed stack.
        seconds: Maximum age of the writes to compare. Default: the whole stream, which has 24 hours. Beyond
            `STREAM_SECONDS` the whole table counts.
        tell: Called with progress.

    Attributes:
        is_whole_table: Whether to compare all items of both tables, besides those in the stream.
        compared: Number of compared keys. A key that was written twice may count twice.
    """

    def __init__(self, stack: Deployed, *, seconds: float | None, tell: Callable[[str], None]) -> None:
        self._stack, self._seconds, self._tell = stack, seconds, tell
        self._name = str(stack.outputs["dynamodb_table_name"])
        self.is_whole_table = seconds is not None and seconds > STREAM_SECONDS
        self.compared = 0
        self._differing: dict[Key, _States] = {}
        self._places: dict[str, str] = {}  # the last record of each shard that was read
        self._ended: set[str] = set()  # shards that are read to their end
        self._is_scanned = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @property
    def cost(self) -> str:
        """The cost of comparing the whole table, in words.

        Raises:
            CannotTellError: A call to DynamoDB failed.
        """
        table = self._table()
        items, size = int(table["ItemCount"]), int(table["TableSizeBytes"])  # some hours old
        each = max(1, -(-size // max(1, items) // BLOCK_BYTES))
        units = 2 * -(-size // BLOCK_BYTES) + 4 * items * each  # two scans, and the keys of each are read on both sides
        usd = units * USD_PER_MILLION_READS / 1e6
        return f"{items:,} items, {units:,} read units, about {usd:.2f} USD on demand"

    def missing(self) -> list[Key]:
        """Read all writes until now, and compare them. A later call does not read them again.

        Returns:
            Keys that have had no state in common on both sides since this call began.

        Raises:
            CannotTellError: A call to DynamoDB failed.
        """
        self._differing = {key: _States() for key in self._differing}
        table = self._table()
        self._read_stream(table)
        if self.is_whole_table and not self._is_scanned:
            names = [each["AttributeName"] for each in table["KeySchema"]]
            self._all(partial(self._scan, side, names, segment) for side in SIDES for segment in range(SEGMENTS))
            self._is_scanned = True
        return self.still_missing()

    def still_missing(self) -> list[Key]:
        """Compare only the missing keys again. New writes must not make this endless.

        Raises:
            CannotTellError: A call to DynamoDB failed.
        """
        keys = list(self._differing)
        starts = range(0, len(keys), KEYS_A_REQUEST)
        self._all(partial(self._compare, keys[start : start + KEYS_A_REQUEST]) for start in starts)
        return sorted(self._differing, key=shown)

    def _table(self) -> Any:
        client = self._stack.client("dynamodb", "secondary")
        return self._ask("secondary", lambda: client.describe_table(TableName=self._name))["Table"]

    def _read_stream(self, table: Mapping[str, Any]) -> None:
        arn = table.get("LatestStreamArn")
        if not arn:
            raise CannotTellError(
                f"the table in {self._stack.region('secondary')} has no stream, so the writes there are unknown",
                hint="run terraform apply",
            )
        read: set[str] = set()
        until: float | None = None
        while True:
            described = list(self._described(arn))
            until = until or _time_there(described[0])  # all that was written before is read
            listed = [shard["ShardId"] for answer in described for shard in answer["StreamDescription"]["Shards"]]
            left = [each for each in listed if each not in read | self._ended]
            if not left:
                return
            self._all(partial(self._read_shard, arn, each, until) for each in left)
            read.update(left)  # one that was closed meanwhile goes on in others

    def _described(self, arn: str) -> Iterator[Any]:
        client = self._stack.client("dynamodbstreams", "secondary")
        start: dict[str, str] = {}
        while True:
            answer = self._ask("secondary", partial(client.describe_stream, StreamArn=arn, **start))
            yield answer
            last = answer["StreamDescription"].get("LastEvaluatedShardId")
            if not last:
                return
            start = {"ExclusiveStartShardId": last}

    def _read_shard(self, arn: str, shard: str, until: float) -> None:
        """Compare the writes in a shard, to its end or to a given time."""
        client, region = self._stack.client("dynamodbstreams", "secondary"), self._stack.region("secondary")
        oldest = until - self._seconds - ROUNDED_SECONDS if self._seconds is not None else -math.inf
        had_place, empty = shard in self._places, 0

        def place() -> str | None:
            last = self._places.get(shard)
            where = {"ShardIteratorType": "TRIM_HORIZON"}
            if last:
                where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}
            asking = partial(client.get_shard_iterator, StreamArn=arn, ShardId=shard, **where)
            found: str | None = self._ask("secondary", asking)["ShardIterator"]
            return found

        try:
            iterator = place()
            while iterator:
                try:
                    answer = self._ask("secondary", partial(client.get_records, ShardIterator=iterator))
                except CannotTellError as error:
                    if _code(error) not in _LOST_PLACE or (had_place and _code(error) == "TrimmedDataAccessException"):
                        raise
                    if _code(error) == "TrimmedDataAccessException":  # what is gone is older than 24 hours
                        self._places.pop(shard, None)
                    iterator = place()
                    continue
                records = answer["Records"]
                times = [each["dynamodb"]["ApproximateCreationDateTime"].timestamp() for each in records]
                keys = (key_of(each["dynamodb"]["Keys"]) for each in records)
                self._compare_all(key for key, at in zip(keys, times, strict=True) if at >= oldest)
                if records:
                    self._places[shard] = records[-1]["dynamodb"]["SequenceNumber"]
                    empty = 0
                    if times[-1] > until + ROUNDED_SECONDS:
                        return
                elif answer.get("NextShardIterator"):
                    empty += 1
                    if empty >= EMPTY_ANSWERS:
                        return
                    time.sleep(EMPTY_SECONDS)
                iterator = answer.get("NextShardIterator")
        except CannotTellError as error:
            if _code(error) == "TrimmedDataAccessException":
                raise CannotTellError(
                    f"the stream of the table in {region} has lost writes that were made since the first read",
                    hint="run it again",
                ) from error
            if _code(error) != "ResourceNotFoundException" or had_place:
                raise
            # Its last record is older than 24 hours by now. Were the stream gone, nothing would describe it either.
        self._ended.add(shard)

    def _scan(self, side: Side, names: list[str], segment: int) -> None:
        client = self._stack.client("dynamodb", side)
        aliases = {f"#{number}": name for number, name in enumerate(names)}
        start: dict[str, Any] = {}
        while True:
            answer = self._ask(
                side,
                partial(
                    client.scan,
                    TableName=self._name,
                    Segment=segment,
                    TotalSegments=SEGMENTS,
                    ProjectionExpression=", ".join(aliases),
                    ExpressionAttributeNames=aliases,
                    ConsistentRead=True,
                    **start,
                ),
            )
            self._compare_all(key_of({name: item[name] for name in names}) for item in answer["Items"])
            if not answer.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _compare_all(self, found: Iterable[Key]) -> None:
        keys = list(dict.fromkeys(found))
        for start in range(0, len(keys), KEYS_A_REQUEST):
            self._compare(keys[start : start + KEYS_A_REQUEST])

    def _compare(self, keys: list[Key]) -> None:
        """Compare as many keys as fit in one request. Reads the standby first, so that the primary may be ahead."""
        there, here = (self._states(side, keys) for side in ("secondary", "primary"))
        with self._lock:
            self.compared += len(keys)
            for key in keys:
                states = self._differing.pop(key, None) or _States()
                states.secondary.add(there[key])
                states.primary.add(here[key])
                if not states.secondary & states.primary:
                    self._differing[key] = states

    def _states(self, side: Side, keys: list[Key]) -> dict[Key, State]:
        client, names = self._stack.client("dynamodb", side), [name for name, _, _ in keys[0]]
        states: dict[Key, State] = dict.fromkeys(keys)
        left = {self._name: {"Keys": [_as_asked(key) for key in keys], "ConsistentRead": True}}
        pause = 0.1
        while left:
            answer = self._ask(side, partial(client.batch_get_item, RequestItems=left))
            items = answer["Responses"].get(self._name, [])
            states.update({key_of({name: item[name] for name in names}): state_of(item) for item in items})
            left = answer.get("UnprocessedKeys") or {}
            if left and not items:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return states

    def _ask(self, side: Side, call: Callable[[], Any]) -> Any:
        """Call DynamoDB. Retry while it throttles, and a few times when it does not answer."""
        what, pause, busy, silent = f"DynamoDB in {self._stack.region(side)}", 0.1, 0.0, 0
        while True:
            if self._stopped.is_set():
                raise CannotTellError(f"{what} was not called, because another call failed", hint="run it again")
            try:
                return asked(what, call)
            except CannotTellError as error:
                silent += isinstance(error, NoAnswerError)
                is_busy = _code(error) in _THROTTLED and busy < BUSY_SECONDS
                if not (is_busy or (isinstance(error, NoAnswerError) and silent < ATTEMPTS)):
                    raise
            time.sleep(pause)
            busy += pause
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _all(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Run all. Once one fails, start no more."""
        try:
            with ThreadPoolExecutor(WORKERS) as pool:
                running = {pool.submit(task) for task in tasks}
                try:
                    while running:
                        done, running = wait(running, PROGRESS_SECONDS, FIRST_EXCEPTION)
                        for each in done:
                            each.result()
                        if running:
                            self._tell(f"{self.compared:,} items compared, {len(self._differing):,} differ")
                except BaseException:
                    self._stopped.set()  # what still runs or waits fails in its next call
                    raise
        finally:  # all have ended
            self._stopped.clear()


def key_of(key: Mapping[str, Mapping[str, Any]]) -> Key:
    """A hashable key, with its attributes in the order of their names."""
    return tuple((name, kind, value) for name, each in sorted(key.items()) for kind, value in each.items())


def shown(key: Key) -> str:
    """A key in words.

    Example:
        >>> shown(key_of({"transaction_id": {"S": "payment-1"}, "timestamp": {"N": "1790000000"}}))
        'timestamp=1790000000 transaction_id=payment-1'
    """
    return " ".join(f"{name}={value}" for name, _, value in key)


def state_of(item: Mapping[str, Any]) -> bytes:
    """A digest that is the same for items that DynamoDB considers equal.

    Numbers are equal with any trailing zeros, and sets in any order.

    Example:
        >>> item = {"n": {"N": "1.0"}, "s": {"SS": ["a", "b"]}}
        >>> state_of(item) == state_of({"s": {"SS": ["b", "a"]}, "n": {"N": "1"}})
        True
    """
    return sha256(repr(comparable({"M": item})).encode()).digest()


def _as_asked(key: Key) -> dict[str, dict[str, Any]]:
    return {name: {kind: value} for name, kind, value in key}


def _code(error: CannotTellError) -> str:
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""


def _time_there(answer: Mapping[str, Any]) -> float:
    """The time of AWS's clock, which also stamps the records. This machine's clock may be wrong."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).timestamp() if date else time.time()
