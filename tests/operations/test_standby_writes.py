"""What was written in the standby region and the primary lacks: every branch of reading the stream and both tables."""

import itertools
import threading
from typing import Any

import pytest

from payment_dr.operations import standby_writes
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.standby_writes import BUSY_SECONDS, STREAM_SECONDS, StandbyWrites, key_of, shown, state_of
from payment_dr.side import Side
from tests.operations.stack import GONE, Clock, Shard, Stack, refusal

DAY = 24 * 3600.0


def writes(stack: Stack, *, seconds: float | None = None) -> StandbyWrites:
    return StandbyWrites(stack, seconds=seconds, tell=lambda _: None)


def names(found: list[Any]) -> list[str]:
    """The payments of these keys."""
    return [{name: value for name, _, value in key}["transaction_id"] for key in found]


def test_where_nothing_was_written_nothing_is_compared(stack: Stack) -> None:
    found = writes(stack)
    assert (found.missing(), found.compared) == ([], 0)
    assert {operation for operation, _, _ in stack.asked} == {"get_records"}


def test_a_key_is_missing_where_its_state_differs(stack: Stack) -> None:
    stack.pay("equal", amount={"N": "1.50"})
    stack.pay("new", "secondary")
    corrected = stack.pay("corrected", amount={"N": "1"})
    stack.pay("corrected", "secondary", amount={"N": "2"})
    deleted = stack.pay("deleted")
    stack.delete(deleted, "secondary")
    gone = stack.pay("gone")
    stack.delete(gone, "primary", "secondary")
    found = writes(stack)
    assert names(found.missing()) == ["corrected", "deleted", "new"]
    assert corrected in [each["Keys"] for each in (record["dynamodb"] for record in stack.shards["shard-1"].records)]
    stack.items["primary"] = list(stack.items["secondary"])
    assert found.still_missing() == []


def test_an_item_that_was_written_later_in_the_primary_is_missing_only_until_it_is_here_too(stack: Stack) -> None:
    stack.pay("ours", amount={"N": "1"})
    stack.items["primary"] = [{**stack.items["primary"][0], "amount": {"N": "2"}}]
    found = writes(stack)
    assert names(found.missing()) == ["ours"]
    stack.items["secondary"] = list(stack.items["primary"])
    assert found.still_missing() == []


def test_a_key_that_is_written_all_the_time_is_there_once_its_first_state_is(stack: Stack) -> None:
    """The primary is always one state behind, so that no two reads are ever equal."""
    states = [stack.pay("hot", "secondary") | {"amount": {"N": str(number)}} for number in range(10)]

    def before_read(side: Side) -> None:
        if side == "secondary":
            stack.items["primary"] = stack.items["secondary"]
            stack.items["secondary"] = [states.pop(0)]

    stack.before_read = before_read
    found = writes(stack)
    found._compare([key_of({"transaction_id": {"S": "hot"}, "timestamp": {"N": "1"}})])
    assert names(list(found._differing)) == ["hot"]
    assert found.still_missing() == []  # the primary has the state that the standby had at first


def test_a_later_call_wants_what_the_standby_has_by_then(stack: Stack) -> None:
    stack.pay("hot", "secondary", amount={"N": "1"})
    found = writes(stack)
    assert names(found.missing()) == ["hot"]
    stack.items["primary"] = list(stack.items["secondary"])
    stack.pay("hot", "secondary", amount={"N": "2"})
    assert names(found.missing()) == ["hot"]  # though the primary has now what the standby had at the first call


@pytest.mark.parametrize(("page", "at_once"), [(1, 100), (1000, 1), (7, 3)])
def test_pages_and_unprocessed_keys_are_read_to_their_end(stack: Stack, page: int, at_once: int) -> None:
    stack.records_a_page, stack.read_at_once = page, at_once
    for number in range(120):
        late: tuple[Side, ...] = ("secondary",) if number % 40 == 1 else ()
        stack.pay(f"{number:03}", *late)
    assert names(writes(stack).missing()) == ["001", "041", "081"]


def test_a_key_that_was_written_often_is_asked_for_once_a_page(stack: Stack) -> None:
    for number in range(5):
        stack.pay("often", amount={"N": str(number)})
    found = writes(stack)
    assert (found.missing(), found.compared) == ([], 1)


def test_closed_shards_and_their_children_are_read(stack: Stack) -> None:
    stack.shards = {"parent": Shard(closed=True), "child-1": Shard(), "child-2": Shard()}
    for shard in stack.shards:
        stack.pay(f"of {shard}", "secondary", shard=shard)
    assert names(writes(stack).missing()) == ["of child-1", "of child-2", "of parent"]


def test_a_shard_that_closes_during_the_read_continues_in_its_child(stack: Stack) -> None:
    stack.pay("before", "secondary")

    def before_read(_side: Side) -> None:
        if "child" not in stack.shards:
            stack.shards["shard-1"].closed = True
            stack.shards["child"] = Shard()
            stack.pay("after", "secondary", shard="child")

    stack.before_read = before_read
    assert names(writes(stack).missing()) == ["after", "before"]


def test_an_empty_answer_is_not_the_end_of_an_open_shard(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Clock()
    sleep = slow.sleep
    empty = itertools.count()

    def sleep_and_let_arrive(seconds: float) -> None:
        sleep(seconds)
        if next(empty) == standby_writes.EMPTY_ANSWERS - 2:
            stack.pay("late in the stream", "secondary")

    monkeypatch.setattr(slow, "sleep", sleep_and_let_arrive)
    monkeypatch.setattr(standby_writes, "time", slow)
    assert names(writes(stack).missing()) == ["late in the stream"]


def test_a_record_written_after_the_call_began_ends_the_reading_of_a_shard(stack: Stack, clock: Clock) -> None:
    stack.records_a_page = 1
    stack.pay("before")
    stack.pay("after", "secondary", at=clock.now + 60)
    stack.pay("much later", "secondary", at=clock.now + 61)
    assert names(writes(stack).missing()) == ["after"]


def test_the_time_is_that_of_aws_not_of_this_machine(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby_writes, "time", wrong := Clock())
    wrong.now = -1e6
    stack.records_a_page = 1
    stack.pay("first")
    stack.pay("second", "secondary")
    assert names(writes(stack).missing()) == ["second"]


@pytest.mark.parametrize(("seconds", "compared"), [(None, 3), (3600.0, 2), (60.0, 1)])
def test_since_leaves_out_what_was_written_before(stack: Stack, seconds: float | None, compared: int) -> None:
    now = stack.now()
    for name, ago in (("old", 7200), ("newer", 1800), ("newest", 30)):
        stack.pay(name, at=now - ago)
    found = writes(stack, seconds=seconds)
    assert (found.missing(), found.compared) == ([], compared)


def test_a_second_call_reads_on_where_the_first_ended(stack: Stack) -> None:
    stack.shards["closed"] = Shard(closed=True)
    stack.pay("first", shard="closed")
    stack.pay("second")
    found = writes(stack)
    assert found.missing() == []
    stack.asked.clear()
    stack.pay("third", "secondary")
    assert names(found.missing()) == ["third"]
    assert found.compared == 2 + 2  # it is compared when it is read, and once more
    assert {what for operation, _, what in stack.asked if operation == "get_records"} == {"shard-1"}


TRIMMED, EXPIRED = "TrimmedDataAccessException", "ExpiredIteratorException"


@pytest.mark.parametrize("code", [TRIMMED, EXPIRED])
@pytest.mark.parametrize("reads_before", [0, 1])
def test_a_lost_iterator_is_replaced(stack: Stack, code: str, reads_before: int) -> None:
    stack.records_a_page = 1
    for name in ("first", "second"):
        stack.pay(name, "secondary")
    place = ("dynamodbstreams", "secondary", "get_records")

    def lose_it(_side: Side = "secondary") -> None:
        stack.hiccups.setdefault(place, [refusal(400, code)])

    if reads_before:
        stack.before_read = lose_it
    else:
        lose_it()
    assert names(writes(stack).missing()) == ["first", "second"]


def test_after_records_that_are_gone_the_oldest_one_that_is_left_is_read(stack: Stack) -> None:
    stack.records_a_page = 1
    for name in ("first", "older than 24 hours", "third"):
        stack.pay(name, "secondary")
    stack.items["secondary"].pop(1)

    def trim(_side: Side) -> None:
        stack.shards["shard-1"].trimmed = 2

    stack.before_read = trim
    assert names(writes(stack).missing()) == ["first", "third"]


def test_records_that_expire_between_two_calls_are_inconclusive(stack: Stack) -> None:
    stack.pay("first")
    found = writes(stack)
    assert found.missing() == []
    stack.hiccups["dynamodbstreams", "secondary", "get_records"] = [refusal(400, TRIMMED)]
    with pytest.raises(CannotTellError, match="the stream of the table in us-west-2 has lost writes"):
        found.missing()


def test_a_shard_that_is_gone_before_it_is_read_is_older_than_the_stream(stack: Stack) -> None:
    stack.shards = {"old": Shard(closed=True)}
    stack.hiccups["dynamodbstreams", "secondary", "get_shard_iterator"] = [refusal(400, "ResourceNotFoundException")]
    assert writes(stack).missing() == []


def test_a_missing_stream_does_not_mean_that_nothing_was_written(stack: Stack) -> None:
    stack.failing["dynamodbstreams", "secondary"] = refusal(400, "ResourceNotFoundException")
    with pytest.raises(CannotTellError, match="DynamoDB in us-west-2 rejects the call: ResourceNotFoundException"):
        writes(stack).missing()


def test_a_table_without_a_stream_is_inconclusive(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.operations.stack.STREAM", "")
    with pytest.raises(CannotTellError, match="the table in us-west-2 has no stream"):
        writes(stack).missing()


PLACES = [
    ("dynamodb", "secondary", "describe_table"),
    ("dynamodbstreams", "secondary", "describe_stream"),
    ("dynamodbstreams", "secondary", "get_shard_iterator"),
    ("dynamodbstreams", "secondary", "get_records"),
    ("dynamodb", "secondary", "batch_get_item"),
    ("dynamodb", "primary", "batch_get_item"),
    ("dynamodb", "primary", "scan"),
]


@pytest.mark.parametrize("place", PLACES, ids=" ".join)
@pytest.mark.parametrize(
    "code",
    [
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
    ],
)
def test_a_throttled_call_is_retried(stack: Stack, place: tuple[str, str, str], code: str) -> None:
    stack.pay("late", "secondary")
    stack.hiccups[place] = [refusal(400, code)] * 5
    assert names(writes(stack, seconds=2 * DAY).missing()) == ["late"]
    assert stack.hiccups[place] == []


@pytest.mark.parametrize("place", PLACES, ids=" ".join)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal(400), "rejects the call: AccessDeniedException"),
        (refusal(400, "ThrottlingException"), "rejects the call: ThrottlingException"),
        (GONE, "does not answer"),
    ],
)
def test_a_call_that_fails_is_an_error_and_no_answer(
    stack: Stack, place: tuple[str, str, str], error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby_writes, "time", waited := Clock())
    stack.pay("there")
    stack.failing[place] = error
    with pytest.raises(CannotTellError, match=message):
        writes(stack, seconds=2 * DAY).missing()
    assert waited.now >= 1000 + BUSY_SECONDS or "Throttling" not in message


def test_a_call_without_an_answer_is_retried(stack: Stack) -> None:
    stack.pay("late", "secondary")
    stack.hiccups["dynamodb", "primary", "batch_get_item"] = [GONE, GONE]
    assert names(writes(stack).missing()) == ["late"]


def test_a_comparison_that_failed_can_be_made_again(stack: Stack) -> None:
    stack.pay("late", "secondary")
    found = writes(stack)
    stack.failing["dynamodbstreams", "secondary", "get_records"] = refusal(400)
    with pytest.raises(CannotTellError):
        found.missing()
    stack.failing.clear()
    assert names(found.missing()) == ["late"]


def test_the_stream_keeps_a_write_for_an_hour_after_it_is_enough() -> None:
    assert DAY - STREAM_SECONDS >= 3600


def test_once_a_shard_fails_the_others_are_not_read_further(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an error would wait for all that could be read."""
    monkeypatch.setattr(standby_writes, "EMPTY_ANSWERS", many := 200_000)
    stack.shards = {"shard-1": Shard(), "shard-2": Shard()}
    stack.pay("refused", shard="shard-2")
    is_read = threading.Event()

    def before_read(_side: Side) -> None:
        assert is_read.wait(60)
        raise refusal(400)

    class Busy(Clock):
        def sleep(self, seconds: float) -> None:
            is_read.set()
            super().sleep(seconds)

    stack.before_read = before_read
    monkeypatch.setattr(standby_writes, "time", Busy())
    with pytest.raises(CannotTellError, match="AccessDenied"):
        writes(stack).missing()
    assert len(stack.asked) < many


@pytest.mark.parametrize(
    ("size", "cost"),
    [
        ((0, 0), "0 items, 0 read units, about 0.00 USD on demand"),
        ((1_000_000, 1_000_000_000), "1,000,000 items, 4,488,282 read units, about 0.56 USD on demand"),
        ((1_000_000, 5_000_000_000), "1,000,000 items, 10,441,408 read units, about 1.31 USD on demand"),
    ],
)
def test_the_whole_table_costs_two_scans_and_a_read_of_each_key_on_both_sides(
    stack: Stack, size: tuple[int, int], cost: str
) -> None:
    stack.table_size = size
    assert writes(stack).cost == cost


def test_the_whole_table_is_compared_on_both_sides_and_scanned_once(stack: Stack) -> None:
    both = {"timestamp": {"N": "1"}}
    for number in range(50):
        item = {"transaction_id": {"S": f"{number:02}"}, "amount": {"N": "1"}, **both}
        stack.items["primary"].append(item)
        stack.items["secondary"].append(item)
    stack.items["secondary"][7] = stack.items["secondary"][7] | {"amount": {"N": "2"}}
    del stack.items["secondary"][11]
    stack.items["secondary"].append({"transaction_id": {"S": "new"}, **both})
    stack.pay("in the stream", "secondary")
    found = writes(stack, seconds=2 * DAY)
    assert names(found.missing()) == ["07", "11", "in the stream", "new"]
    stack.asked.clear()
    assert len(found.missing()) == 4
    assert "scan" not in {operation for operation, _, _ in stack.asked}


def test_items_are_equal_as_dynamodb_considers_them_equal() -> None:
    assert state_of({"a": {"N": "1.0"}, "b": {"S": "x"}}) == state_of({"b": {"S": "x"}, "a": {"N": "1"}})


def test_a_missing_attribute_is_a_difference() -> None:
    assert state_of({"a": {"S": "x"}, "b": {"NULL": True}}) != state_of({"a": {"S": "x"}})


def test_a_key_is_shown_by_its_attributes() -> None:
    assert shown(key_of({"transaction_id": {"S": "p-1"}, "timestamp": {"N": "7"}})) == "timestamp=7 transaction_id=p-1"


def test_progress_is_reported_during_the_read(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby_writes, "PROGRESS_SECONDS", 0.01)
    reported, seen = [], threading.Event()

    def tell(text: str) -> None:
        reported.append(text)
        seen.set()

    def wait_for_it(_side: Side) -> None:
        assert seen.wait(60)

    stack.before_read = wait_for_it
    stack.pay("late", "secondary")
    StandbyWrites(stack, seconds=None, tell=tell).missing()
    assert reported[0] == "0 items compared, 0 differ"
