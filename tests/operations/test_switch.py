"""`dr failover` and `dr failback`: what they refuse, what they change, and what they put back."""

import itertools
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations import probes, readiness, standby_switch
from payment_dr.operations.aws import CannotTellError, NoAnswerError
from payment_dr.operations.drill.live_dns import NameServers
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import AlarmCheck, CalculatedCheck
from payment_dr.operations.switch import Outcome, RefusedError, Switch
from payment_dr.side import Side
from tests.operations.stack import (
    ACCOUNT,
    GONE,
    NAMES,
    PRIVATE_PATH,
    Clock,
    Stack,
    probed_privately,
    refusal,
)

RUNBOOK = Path(__file__).resolve().parents[2] / "docs/runbook.md"
FENCE = ("put_function_concurrency", "primary")
REMOVE_FENCE = ("delete_function_concurrency", "primary")


@pytest.fixture
def make_stack(make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stack]:
    """Makes a stack whose zone has name servers too."""

    def make(**options: Any) -> Stack:
        made = make_stack(**options)
        monkeypatch.setattr(NameServers, "ask", lambda _self, _name, _type: (made.answer(), 30))
        return made

    return make


def switch(stack: Stack, **options: Any) -> Switch:
    reported: list[str] = []
    made = Switch(stack=stack, confirm=lambda _what, _word: None, tell=reported.append, **options)
    object.__setattr__(made, "reported", reported)
    return made


def fenced(stack: Stack) -> Stack:
    stack.reserved["primary"] = 0
    return stack


def test_failover_fences_the_primary_and_sees_its_probe_fail(stack: Stack) -> None:
    text = "us-east-1 is fenced. Its probe fails: HTTP status 503."
    assert switch(stack).failover() == Outcome("failover", ACCOUNT, "us-east-1", changed=True, fenced=True, text=text)
    assert stack.reserved == {"primary": 0, "secondary": None}
    assert stack.calls == [FENCE]


@pytest.mark.parametrize("before", [None, 7])
def test_failover_reports_a_reserved_concurrency_that_it_replaces(stack: Stack, before: int | None) -> None:
    stack.reserved["primary"] = before
    made = switch(stack)
    made.failover()
    assert stack.reserved["primary"] == 0
    said = "the reserved concurrency was 7: failback does not restore it, but removes it"
    assert (said in made.reported) is (before == 7)  # type: ignore[attr-defined]


def test_a_probed_host_of_the_user_cannot_be_fenced(stack: Stack) -> None:
    stack.outputs |= {"primary_endpoint_host": "east.pay.acme.io", "primary_probed_host": "east.pay.acme.io"}
    with pytest.raises(RefusedError, match=r"Route 53 probes east\.pay\.acme\.io in us-east-1 and not"):
        switch(stack, force=True).failover()
    assert stack.calls == []
    stack.outputs["primary_probed_host"] = stack.api_host("primary")  # only the name points to that host
    assert switch(stack).failover().fenced


def test_failover_twice_changes_nothing_the_second_time(stack: Stack) -> None:
    switch(stack).failover()
    again = switch(stack).failover()
    assert (again.changed, again.fenced) == (False, True)
    assert "already fenced" in again.text
    assert stack.calls == [FENCE]


@pytest.mark.parametrize(("took", "compared"), [([29.0], 1), ([100.0, 50.0, 29.0], 3), ([100.0, 100.0], 2)])
def test_failback_compares_again_while_that_leaves_fewer_writes_in_between(
    stack: Stack, clock: Clock, monkeypatch: pytest.MonkeyPatch, took: list[float], compared: int
) -> None:
    left = [0.0, *took, 0.0, 0.0]  # the first one is before the operator confirms
    monkeypatch.setattr(Switch, "_await_all", lambda _self, _writes: clock.sleep(left.pop(0)))
    switch(fenced(stack)).failback()
    assert len(took) + 2 - len(left) == compared


def test_failback_removes_the_fence_and_writes_nothing_else(stack: Stack) -> None:
    found = switch(fenced(stack)).failback()
    assert (found.changed, found.fenced) == (True, False)
    assert "passes: HTTP status 200" in found.text
    assert stack.reserved["primary"] is None
    assert stack.calls == [REMOVE_FENCE]


def test_failback_without_a_fence_has_nothing_to_do(stack: Stack) -> None:
    found = switch(stack).failback()
    assert (found.changed, found.text) == (False, "us-east-1 is not fenced.")
    assert stack.calls == []


def test_failback_without_a_fence_reports_an_unhealthy_primary(stack: Stack) -> None:
    stack.passes["primary"] = lambda: False
    with pytest.raises(RefusedError, match="us-east-1 is not fenced, but its probe fails: HTTP status 503"):
        switch(stack).failback()


def test_where_the_fence_is_set_already_failover_waits_for_the_standby(stack: Stack) -> None:
    text = switch(fenced(stack), wait=True).failover().text
    assert text.endswith(" Route 53 answers with us-west-2, according to the model.")


@pytest.mark.parametrize(("direction", "before"), [("failover", None), ("failback", 0)])
def test_a_dry_run_and_a_declined_question_change_nothing(stack: Stack, direction: str, before: int | None) -> None:
    def decline(what: str, word: str) -> None:
        assert ACCOUNT in what
        assert word == f"{ACCOUNT}/us-east-1"
        raise OperationError("not confirmed", hint="")

    stack.reserved["primary"] = before
    would = getattr(switch(stack, dry_run=True), direction)()
    assert ("would" in would.text, would.changed, would.fenced) == (True, False, before == 0)
    with pytest.raises(OperationError, match="not confirmed"):
        getattr(Switch(stack=stack, confirm=decline, tell=print), direction)()
    assert stack.calls == []


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda stack: stack.passes.update(secondary=lambda: False), "the probe of us-west-2 fails: HTTP status 503"),
        (lambda stack: stack.tables.update(secondary="CREATING"), "the table in us-west-2 is CREATING"),
        (
            lambda stack: stack.failing.update({("dynamodb", "secondary"): GONE}),
            "DynamoDB in us-west-2 does not answer",
        ),
    ],
)
def test_failover_fails_while_the_secondary_could_not_serve(
    stack: Stack, break_it: Callable[[Stack], None], reason: str
) -> None:
    break_it(stack)
    with pytest.raises(RefusedError, match=f"us-west-2 could not serve: {reason}"):
        switch(stack).failover()
    assert stack.calls == []
    forced = switch(stack, force=True)
    assert forced.failover().changed
    assert f"forced: {reason}" in forced.reported  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda stack: stack.tables.update(primary="INACCESSIBLE_ENCRYPTION_CREDENTIALS"), "the table in us-east-1 is"),
        (lambda stack: stack.failing.update({("dynamodb", "primary"): GONE}), "DynamoDB in us-east-1 does not answer"),
        (lambda stack: stack.parameters["primary"].update({NAMES[1]: "old"}), f"config differs .*: {NAMES[1]}$"),
        (
            lambda stack: [stack.pay("there"), stack.pay("late", "secondary")],
            r"us-east-1 lacks items that were written in us-west-2 \(1\): timestamp=1 transaction_id=late$",
        ),
    ],
)
def test_failback_fails_while_the_primary_is_not_ready(
    stack: Stack, break_it: Callable[[Stack], None], reason: str
) -> None:
    break_it(fenced(stack))
    with pytest.raises(RefusedError, match=f"us-east-1 is not ready: {reason}"):
        switch(stack).failback()
    assert stack.reserved["primary"] == 0
    assert switch(stack, force=True).failback().changed


@pytest.mark.parametrize(
    ("secondary", "primary", "lacks"),
    [
        ({"a": (b"1", 5)}, {}, ["a"]),
        ({"a": (b"1", 5), "c": (b"1", 5)}, {"b": (b"1", 1)}, ["a", "c"]),
        ({"b": (b"corrected", 5)}, {"a": (b"1", 1), "b": (b"1", 1)}, ["b"]),
        ({"b": (b"1", 1)}, {"a": (b"1", 1), "b": (b"1", 1)}, []),
        ({"a": (b"1", 1)}, {"a": (b"written later", 5)}, []),
        ({"a": (b"1", 1)}, {"a": (None, 5)}, []),
        ({"a": (b"written after the deletion", 9)}, {"a": (None, 5)}, ["a"]),
        ({"a": (None, 5)}, {"a": (b"1", 1)}, []),
    ],
    ids=["new", "two", "corrected", "equal", "later in the primary", "deleted", "new again", "deleted here"],
)
def test_failback_fails_while_the_primary_lacks_documents_of_the_secondary(
    stack: Stack,
    secondary: dict[str, tuple[bytes | None, float]],
    primary: dict[str, tuple[bytes | None, float]],
    lacks: list[str],
) -> None:
    for side, documents in (("secondary", secondary), ("primary", primary)):
        for key, (body, written) in documents.items():
            stack.written[side, key] = written
            if body is None:
                stack.deleted[side].add(key)
            else:
                stack.objects[side][key] = body
    fenced(stack)
    if lacks:
        reason = rf"us-east-1 lacks documents that were written in us-west-2 \({len(lacks)}\): {', '.join(lacks)}"
        with pytest.raises(RefusedError, match=f"us-east-1 is not ready: {reason}$"):
            switch(stack).failback()
        assert stack.reserved["primary"] == 0
        assert switch(stack, force=True).failback().changed
    else:
        assert switch(stack).failback().changed


def test_documents_of_a_drill_do_not_stop_its_own_failback(stack: Stack) -> None:
    fenced(stack).objects["secondary"] = {"dr-drill/1/kept": b"1", "receipt": b"1"}
    with pytest.raises(RefusedError, match=r"written in us-west-2 \(1\): receipt$"):
        switch(stack, ignored_documents="dr-drill/").failback()
    del stack.objects["secondary"]["receipt"]
    assert switch(stack, ignored_documents="dr-drill/").failback().changed


def test_some_of_many_documents_are_named_without_control_characters(stack: Stack) -> None:
    fenced(stack).objects["secondary"] = {f"{number}\x1b[2J": b"1" for number in range(7)}
    with pytest.raises(RefusedError) as raised:
        switch(stack).failback()
    named = ", ".join(f"{number}\\x1b[2J" for number in range(5))
    assert raised.value.message.endswith(f"us-west-2 (7): {named}, …")


def test_too_many_documents_to_list_are_inconclusive_and_not_missing(
    stack: Stack, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "time", clock)
    monkeypatch.setattr(clock, "monotonic", itertools.count(step=40.0).__next__)
    fenced(stack).objects["secondary"] = dict.fromkeys("abc", b"1")
    with pytest.raises(OperationError, match="cannot tell: us-west-2 has too many documents") as raised:
        switch(stack).failback()
    assert not isinstance(raised.value, RefusedError)


def test_a_check_that_cannot_be_made_is_inconclusive(stack: Stack) -> None:
    fenced(stack).failing["ssm", "primary"] = refusal(400)
    with pytest.raises(OperationError, match="cannot tell: Parameter Store in us-east-1 rejects the call") as raised:
        switch(stack).failback()
    assert not isinstance(raised.value, RefusedError)


def waiting(arrive: Callable[[], object], reported: list[str]) -> Callable[[str], None]:
    """Reads the progress lines, and lets something arrive once one says that it is waited for."""

    def tell(text: str) -> None:
        reported.append(text)
        if text.startswith("waiting: "):
            arrive()

    return tell


LACKS = "us-east-1 lacks items that were written in us-west-2"


def test_failback_waits_for_items_and_says_how_many_are_missing(stack: Stack, clock: Clock) -> None:
    keys = [fenced(stack).pay(f"late-{number}", "secondary") for number in range(2)]
    reported: list[str] = []
    tell = waiting(lambda: stack.items["primary"].append(dict(keys.pop(0))), reported)
    assert Switch(stack=stack, confirm=lambda *_: None, tell=tell).failback().changed
    assert [each for each in reported if each.startswith("waiting")] == [
        f"waiting: {LACKS} (2): timestamp=1 transaction_id=late-0, timestamp=1 transaction_id=late-1",
        f"waiting: {LACKS} (1): timestamp=1 transaction_id=late-1",
    ]
    assert stack.calls == [REMOVE_FENCE]
    assert clock.now == 1000 + 2 + 4  # asked less often, the longer it takes


def test_failback_waits_for_parameters_and_for_documents_that_s3_copies_back(make_stack: Callable[..., Stack]) -> None:
    stack = fenced(make_stack(two_way=True))
    stack.parameters["primary"][NAMES[0]] = "old"
    stack.objects["secondary"]["receipt"] = b"1"

    def arrive() -> None:
        stack.parameters["primary"][NAMES[0]] = "hunter2"
        stack.objects["primary"]["receipt"] = b"1"

    reported: list[str] = []
    Switch(stack=stack, confirm=lambda *_: None, tell=waiting(arrive, reported)).failback()
    assert (
        f"waiting: config differs between the regions: {NAMES[0]}; us-east-1 lacks documents that were written in "
        "us-west-2 (1): receipt"
    ) in reported
    assert stack.calls == [REMOVE_FENCE]


def test_documents_that_nothing_copies_back_are_not_waited_for(stack: Stack, clock: Clock) -> None:
    fenced(stack).objects["secondary"]["receipt"] = b"1"
    stack.pay("late", "secondary")
    with pytest.raises(RefusedError, match=r"documents .* \(1\): receipt; .* items .* \(1\): .*late$"):
        switch(stack).failback()
    assert clock.now == 1000


def test_at_the_deadline_failback_fails_and_names_the_missing_data(stack: Stack, clock: Clock) -> None:
    fenced(stack).pay("late\x1b[2J", "secondary")
    with pytest.raises(RefusedError) as raised:
        switch(stack, timeout=30).failback()
    assert raised.value.message.endswith(f"{LACKS} (1): timestamp=1 transaction_id=late\\x1b[2J")
    assert clock.now == 1030
    assert stack.calls == []


def test_failback_waits_for_items_written_during_the_confirmation(stack: Stack) -> None:
    fenced(stack).pay("before")
    reported: list[str] = []
    made = Switch(
        stack=stack,
        confirm=lambda *_: [stack.pay("meanwhile", "secondary")],  # type: ignore[arg-type]
        tell=waiting(lambda: stack.pay("meanwhile"), reported),
    )
    assert made.failback().changed
    assert f"waiting: {LACKS} (1): timestamp=1 transaction_id=meanwhile" in reported
    assert stack.calls == [REMOVE_FENCE]


def test_items_written_during_the_wait_do_not_make_failback_endless(stack: Stack) -> None:
    """Clients write to the secondary all the time; each item arrives four reads later."""
    fenced(stack)
    numbers = itertools.count()

    def before_read(side: Side = "secondary") -> None:
        if side == "secondary":
            number = next(numbers)
            stack.pay(f"payment-{number}", "secondary", at=1000.0 + number)
            stack.items["primary"] = stack.items["secondary"][:-4]

    before_read()
    stack.before_read = before_read
    assert switch(stack, timeout=60).failback().changed
    assert len(stack.items["secondary"]) > len(stack.items["primary"]) > 0


def test_a_dry_run_names_what_is_missing_and_does_not_wait(stack: Stack, clock: Clock) -> None:
    fenced(stack).pay("late", "secondary")
    with pytest.raises(RefusedError, match=r"items .* \(1\): .*late$"):
        switch(stack, dry_run=True).failback()
    assert (clock.now, stack.calls) == (1000, [])


def test_unreadable_data_never_count_as_complete(stack: Stack) -> None:
    fenced(stack).pay("there")
    stack.failing["dynamodb", "primary", "batch_get_item"] = refusal(400)
    with pytest.raises(
        OperationError, match="cannot tell: DynamoDB in us-east-1 rejects the call: AccessDenied"
    ) as raised:
        switch(stack).failback()
    assert (raised.value.exit_code, stack.calls) == (2, [])


def test_with_force_no_item_is_read(stack: Stack) -> None:
    fenced(stack).pay("late", "secondary")
    made = switch(stack, force=True)
    assert made.failback().changed
    assert "forced: the items of us-west-2 are not compared" in made.reported  # type: ignore[attr-defined]
    assert stack.asked == []


HOUR = 3600.0


def scanned(stack: Stack) -> bool:
    return any(operation == "scan" for operation, _, _ in stack.asked)


@pytest.mark.parametrize(("since", "whole"), [(None, False), (22 * HOUR, False), (24 * HOUR, True)])
def test_the_whole_table_is_compared_if_the_stream_is_too_short(stack: Stack, since: float | None, whole: bool) -> None:
    fenced(stack).pay("there")
    stack.items["secondary"].append({"transaction_id": {"S": "long ago"}, "timestamp": {"N": "1"}})
    made = switch(stack, since=since, timeout=1)
    if whole:
        with pytest.raises(RefusedError, match=r"items .* \(1\): timestamp=1 transaction_id=long ago$"):
            made.failback()
    else:
        assert made.failback().changed
    assert scanned(stack) is whole


def test_the_cost_of_the_whole_table_is_shown_before_it_is_read(stack: Stack) -> None:
    fenced(stack).table_size = (1_000_000, 5_000_000_000)
    asked: list[str] = []

    def decline(what: str, _word: str) -> None:
        asked.append(what)
        raise OperationError("not confirmed", hint="")

    made = Switch(stack=stack, confirm=decline, tell=print, since=48 * HOUR)
    with pytest.raises(OperationError, match="not confirmed"):
        made.failback()
    assert stack.asked == []
    assert asked == [
        "This compares the whole table in both regions (1,000,000 items, 10,441,408 read units, about 1.31 USD on "
        f"demand) and then returns clients to us-east-1 in account {ACCOUNT}."
    ]
    would = "would compare the whole table (1,000,000 items, 10,441,408 read units, about 1.31 USD on demand), and then"
    assert switch(stack, since=48 * HOUR, dry_run=True).failback().text.startswith(f"{would} remove the fence")
    assert stack.asked == []
    stack.parameters["primary"][NAMES[0]] = "old"
    with pytest.raises(RefusedError, match="config differs"):  # which costs nothing to see
        switch(stack, since=48 * HOUR, dry_run=True).failback()


def test_failback_waits_for_items_written_during_a_long_wait(stack: Stack, clock: Clock) -> None:
    """One partition has stalled; when it has caught up, another one stalls."""
    fenced(stack).pay("before")
    events: list[tuple[float, Callable[[], object]]] = [
        (1100, lambda: [stack.pay("first"), stack.pay("second", "secondary")]),
        (1200, lambda: stack.pay("second")),
    ]
    sleep = clock.sleep

    def sleep_and_let_happen(seconds: float) -> None:
        sleep(seconds)
        if events and clock.now >= events[0][0]:
            events.pop(0)[1]()

    clock.sleep = sleep_and_let_happen  # type: ignore[method-assign]
    reported: list[str] = []
    confirm: Any = lambda *_: stack.pay("first", "secondary")  # noqa: E731
    assert Switch(stack=stack, confirm=confirm, tell=reported.append).failback().changed
    assert [each.rpartition("=")[2] for each in reported if each.startswith("waiting")] == ["first", "second"]
    assert stack.calls == [REMOVE_FENCE]


@pytest.mark.parametrize(("hours", "whole"), [(1, False), (30, True)])
def test_the_switch_shows_how_long_clients_have_been_away(
    switched_stack: Stack, clock: Clock, hours: int, whole: bool
) -> None:
    switch(switched_stack, reason="payments fail", no_end=True).failover()
    clock.now += hours * HOUR - 60
    switch(switched_stack, reason="longer", no_end=True, force=True).failover()  # which is no beginning
    clock.now += 60
    switched_stack.pay("there")
    assert switch(switched_stack).failback().changed
    assert scanned(switched_stack) is whole


def test_a_failover_before_the_last_one_does_not_count(switched_stack: Stack, clock: Clock) -> None:
    switch(switched_stack, reason="payments fail", no_end=True).failover()
    switch(switched_stack).failback()
    clock.now += 30 * HOUR
    switch(switched_stack, reason="again", no_end=True).failover()
    assert switch(switched_stack).failback().changed
    assert not scanned(switched_stack)


def test_a_primary_that_is_gone_needs_no_fence(stack: Stack) -> None:
    stack.failing["lambda", "primary"] = GONE
    stack.passes["primary"] = lambda: False
    found = switch(stack).failover()
    assert (found.changed, found.fenced) == (False, None)
    assert "its probe fails: HTTP status 503. No fence is needed: Route 53 fails over by itself." in found.text


@pytest.mark.parametrize("place", [("lambda", "primary"), ("lambda", "primary", "put_function_concurrency")])
def test_if_only_lambdas_api_is_gone_failover_fails_and_names_other_ways(stack: Stack, place: tuple[str, ...]) -> None:
    stack.failing[place] = GONE
    with pytest.raises(NoAnswerError, match="Lambda in us-east-1 does not answer") as raised:
        switch(stack).failover()
    throttle, _, check = raised.value.hint.partition(" instead, or ")
    assert throttle == "throttle its API primary"
    assert check.startswith("invert its health check check-primary: the runbook has the commands")
    section = re.search("under '(.*)'$", check)
    assert section
    assert f"\n### {section[1]}\n" in RUNBOOK.read_text(encoding="utf-8")
    assert stack.reserved["primary"] is None


@pytest.fixture
def flooded(make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose public health routes answer nobody, and whose health checks probe private ones."""
    stack = make_stack()
    stack.zone = probed_privately(stack.zone)
    served = stack.probe
    monkeypatch.setattr(
        stack,
        "probe",
        lambda check: served(check) if check.path == PRIVATE_PATH else ProbeResult(connect_seconds=0, status=429),
    )
    return stack


def test_a_flood_of_the_public_route_does_not_keep_clients_from_going_over_and_back(flooded: Stack) -> None:
    away = switch(flooded).failover()
    assert (away.changed, away.text) == (True, "us-east-1 is fenced. Its probe fails: HTTP status 503.")
    back = switch(flooded).failback()
    assert (back.changed, flooded.reserved["primary"]) == (True, None)
    assert PRIVATE_PATH not in away.text + back.text


def test_in_a_flood_a_region_that_fails_is_still_unhealthy(flooded: Stack) -> None:
    flooded.passes["secondary"] = lambda: False
    with pytest.raises(RefusedError, match="the probe of us-west-2 fails: HTTP status 503"):
        switch(flooded).failover()


def test_in_a_flood_the_public_route_decides_if_route_53s_api_is_down(flooded: Stack) -> None:
    flooded.failing["route53", "primary"] = GONE
    with pytest.raises(RefusedError, match="the probe of us-west-2 fails: HTTP status 429"):
        switch(flooded).failover()


def test_a_failover_to_a_healthy_region_does_not_ask_route_53(switched_stack: Stack) -> None:
    switched_stack.failing["route53", "primary"] = RuntimeError("nobody may ask")
    assert switch(switched_stack, reason="payments fail", no_end=True).failover().changed


def test_a_missing_right_does_not_count_as_a_region_that_is_gone(stack: Stack) -> None:
    stack.failing["lambda", "primary"] = refusal(403)
    stack.passes["primary"] = lambda: False
    with pytest.raises(CannotTellError, match="Lambda in us-east-1 rejects the call: AccessDeniedException"):
        switch(stack).failover()


@pytest.mark.parametrize("direction", ["failover", "failback"])
def test_credentials_of_another_account_are_an_error(stack: Stack, direction: str) -> None:
    stack.account = "999999999999"
    with pytest.raises(OperationError, match=f"are of account 999999999999, but the stack is in {ACCOUNT}"):
        getattr(switch(fenced(stack)), direction)()
    assert stack.calls == []


@pytest.mark.parametrize("before", [None, 5])
def test_a_fence_without_effect_is_removed_again(stack: Stack, before: int | None) -> None:
    stack.reserved["primary"], stack.fence_works = before, False
    with pytest.raises(RefusedError, match="the probe of us-east-1 does not fail: it passes"):
        switch(stack).failover()
    assert stack.reserved["primary"] == before


@pytest.mark.parametrize(("force", "after"), [(False, 0), (True, None)])
def test_a_primary_that_is_unhealthy_without_the_fence_is_fenced_again(
    stack: Stack, force: bool, after: int | None
) -> None:
    fenced(stack).passes["primary"] = lambda: False
    made = switch(stack, force=force)
    with pytest.raises(RefusedError, match="the probe of us-east-1 does not pass: it fails"):
        made.failback()
    assert stack.reserved["primary"] == after
    assert ("fencing us-east-1 again" in made.reported) is not force  # type: ignore[attr-defined]


@pytest.mark.parametrize(("direction", "region"), [("failover", "us-west-2"), ("failback", "us-east-1")])
def test_waiting_takes_as_long_as_the_health_check_does(
    stack: Stack, clock: Clock, direction: str, region: str
) -> None:
    if direction == "failback":
        fenced(stack)
    started = clock.now
    found = getattr(switch(stack, wait=True), direction)()
    assert found.text.endswith(f"Route 53 answers with {region}, according to the model.")
    assert 90 <= clock.now - started < 95


def test_a_probe_that_passes_in_between_restarts_the_wait(stack: Stack, clock: Clock) -> None:
    started = clock.now
    stack.fence_works = False
    stack.passes["primary"] = lambda: 60 <= clock.now - started < 70
    switch(stack, wait=True).failover()
    assert clock.now - started == 68 + 90  # the last probe that passed, and three intervals


def test_waiting_ends_when_the_time_is_up_and_keeps_the_fence(make_stack: Callable[..., Stack], clock: Clock) -> None:
    stack = make_stack(weights=(100, 100))
    stack.passes["secondary"] = iter([True] * 10 + [False] * 1000).__next__
    with pytest.raises(OperationError, match="after 120 s Route 53 does not answer with us-west-2") as late:
        switch(stack, wait=True, timeout=120).failover()
    assert "dig +short CNAME app.pay.acme.io @ns-1.awsdns-01.org" in late.value.hint
    assert stack.reserved["primary"] == 0


def test_on_aws_the_name_servers_of_the_zone_are_asked(make_stack: Callable[..., Stack], clock: Clock) -> None:
    stack = make_stack(live=True)
    hosts = [stack.output(side, "api_endpoint").removeprefix("https://") for side in ("primary", "secondary")]
    stack.answered = iter([[hosts[0]], [hosts[0]], [hosts[1]]])
    started = clock.now
    assert switch(stack, wait=True).failover().text.endswith(" Route 53 answers with us-west-2.")
    assert clock.now - started == 4


def test_a_name_server_that_does_not_answer_is_asked_again(make_stack: Callable[..., Stack], clock: Clock) -> None:
    stack = make_stack(live=True)
    stack.answered = iter([OperationError("no name server answers", hint=""), [stack.target("secondary")]])
    started = clock.now
    assert switch(stack, wait=True).failover().text.endswith(" Route 53 answers with us-west-2.")
    assert clock.now - started == 2


def test_on_aws_the_addresses_of_an_alias_show_the_region(
    make_stack: Callable[..., Stack], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(live=True, custom_domain=True)
    addresses = {stack.target("primary"): ["192.0.2.1"], stack.target("secondary"): ["198.51.100.1", "198.51.100.2"]}
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda name: (name, [], addresses[name]))
    stack.answered = iter([["192.0.2.1"], ["203.0.113.9"], ["203.0.113.9", "198.51.100.2"]])
    started = clock.now
    assert switch(stack, wait=True).failover().text.endswith(" Route 53 answers with us-west-2.")
    assert clock.now - started == 4


def test_addresses_of_neither_region_are_reported_when_the_time_is_up(
    make_stack: Callable[..., Stack], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(live=True, custom_domain=True)
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda name: (name, [], ["192.0.2.1"]))
    stack.answered = itertools.repeat(["203.0.113.9"])
    with pytest.raises(OperationError, match="after 10 s Route 53 answers with addresses of no known region") as late:
        switch(stack, wait=True, timeout=10).failover()
    names = " ".join(stack.target(side) for side in ("primary", "secondary"))
    assert late.value.hint.endswith(f"@ns-1.awsdns-01.org; addresses of both regions: dig +short {names}")


def test_when_no_name_server_answers_the_hint_shows_how_to_ask(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(live=True)
    stack.answered = itertools.repeat(OperationError("no name server of the zone answers", hint=""))
    with pytest.raises(OperationError, match="after 10 s no name server of the zone answers") as unasked:
        switch(stack, wait=True, timeout=10).failover()
    assert unasked.value.hint.startswith("ask the zone itself: dig +short CNAME app.pay.acme.io @ns-1")
    assert stack.reserved["primary"] == 0


def test_a_zone_that_was_there_before_names_its_servers_by_dns(
    make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(live=True)
    stack.outputs["hosted_zone_name_servers"] = []
    stack.answered = iter([[stack.target("secondary")]])
    monkeypatch.setattr(readiness, "asked_of_dns", {"pay.acme.io": frozenset(["ns-9.acme.io"])}.__getitem__)
    assert switch(stack, wait=True).failover().text.endswith(" Route 53 answers with us-west-2.")


def behind_a_proxy() -> bool:
    raise CannotTellError("it cannot be probed through the proxy", hint="check HTTPS_PROXY")


def test_a_secondary_that_cannot_be_probed_from_here_is_inconclusive(stack: Stack) -> None:
    stack.passes["secondary"] = behind_a_proxy
    with pytest.raises(OperationError, match="cannot tell: it cannot be probed through the proxy") as raised:
        switch(stack).failover()
    assert (raised.value.exit_code, stack.calls) == (2, [])
    assert switch(stack, force=True).failover().changed


def test_a_fence_whose_effect_cannot_be_checked_stays_and_is_reported(stack: Stack) -> None:
    stack.passes["primary"] = behind_a_proxy
    with pytest.raises(OperationError) as raised:
        switch(stack).failover()
    assert (raised.value.exit_code, raised.value.message, raised.value.hint) == (
        2,
        "us-east-1 is fenced. Its probe must fail, but its result is unknown: it cannot be probed through the proxy",
        "check HTTPS_PROXY",
    )
    assert stack.calls == [FENCE]


def test_a_fence_that_was_removed_and_whose_effect_cannot_be_checked_stays_removed(stack: Stack) -> None:
    stack.reserved["primary"] = 0
    stack.passes["primary"] = behind_a_proxy
    with pytest.raises(OperationError, match="Its probe must pass, but its result is unknown: it cannot be probed"):
        switch(stack).failback()
    assert stack.reserved["primary"] is None


def test_a_proxy_that_comes_back_is_waited_for(stack: Stack) -> None:
    answers: Iterator[Callable[[], bool]] = iter([behind_a_proxy, behind_a_proxy, lambda: False])
    stack.passes["primary"] = lambda: next(answers)()
    assert switch(stack).failover().text == "us-east-1 is fenced. Its probe fails: HTTP status 503."


REASON = {"reason": "payments fail", "seconds": 3600.0}
SET = ("put_item", "secondary")


@pytest.fixture
def switched_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with a switch in the standby region, of which nothing is set."""
    return make_stack(switch=True)


def test_failover_sets_the_switch_and_touches_the_secondary_region_alone(switched_stack: Stack, clock: Clock) -> None:
    sides: list[str] = []
    client = switched_stack.client

    def client_of(service: str, side: Side, *, seconds: float | None = None) -> Any:
        sides.append(side)
        return client(service, side, seconds=seconds)

    switched_stack.client = client_of  # type: ignore[method-assign]
    switched_stack.failing |= {(service, "primary"): GONE for service in ("lambda", "dynamodb", "sts", "route53")}
    now = clock.now
    found = switch(switched_stack, **REASON).failover()
    assert (found.changed, found.fenced, found.until) == (True, True, now + 3600)
    assert found.text.endswith(": payments fail. Its probe passes: HTTP status 200.")
    assert set(sides) == {"secondary"}
    assert switched_stack.calls == [SET]
    assert switched_stack.changes == [
        {
            "region": {"S": "us-east-1"},
            "version": {"N": "1"},
            "switched": {"BOOL": True},
            "at": {"N": str(round(now * 1000))},
            "until": {"N": str(round((now + 3600) * 1000))},
            "by": {"S": f"arn:aws:iam::{ACCOUNT}:user/oncall"},
            "reason": {"S": "payments fail"},
        }
    ]


def test_a_switch_without_an_end_has_none(switched_stack: Stack) -> None:
    found = switch(switched_stack, reason="payments fail", no_end=True).failover()
    assert (found.changed, found.until) == (True, None)
    assert "until" not in switched_stack.changes[0]
    assert "without an end: payments fail" in found.text


@pytest.mark.parametrize(
    "options",
    [{}, {"reason": "r"}, {"seconds": 60.0}, {"no_end": True}, {"reason": "r", "seconds": 60.0, "no_end": True}],
)
def test_a_switch_needs_a_reason_and_one_end(switched_stack: Stack, options: dict[str, Any]) -> None:
    with pytest.raises(OperationError, match="needs --reason, and either --for or --no-end") as raised:
        switch(switched_stack, **options).failover()
    assert "--reason 'payments fail' --for 60m" in raised.value.hint
    assert switched_stack.calls == []


@pytest.mark.parametrize("options", [{"seconds": 60.0}, {"no_end": True}])
def test_a_fence_takes_no_end(stack: Stack, options: dict[str, Any]) -> None:
    with pytest.raises(OperationError, match="a fence has no end"):
        switch(stack, **options).failover()
    assert stack.calls == []


def test_a_reason_for_a_fence_is_reported_as_not_recorded(stack: Stack) -> None:
    made = switch(stack, reason="payments fail")
    assert made.failover().changed
    assert "this stack has no switch, so the reason is not recorded" in made.reported  # type: ignore[attr-defined]


def test_a_switch_that_is_set_stays_as_it_is_unless_forced(switched_stack: Stack, clock: Clock) -> None:
    switch(switched_stack, **REASON).failover()
    again = switch(switched_stack, reason="me too", seconds=9e9).failover()
    assert (again.changed, again.fenced, again.until) == (False, True, 1000.0 + 3600)
    assert "Clients already go to us-west-2, by arn:aws:iam::123456789012:user/oncall since" in again.text
    clock.now += 60
    assert switch(switched_stack, reason="longer", seconds=7200.0, force=True).failover().until == 1060.0 + 7200
    assert [change["version"]["N"] for change in switched_stack.changes] == ["1", "2"]


def test_a_switch_whose_end_has_passed_is_set_again(switched_stack: Stack, clock: Clock) -> None:
    switch(switched_stack, **REASON).failover()
    clock.now += 3600
    assert switch(switched_stack).failback().text == "us-east-1 is not fenced and not switched."
    assert switch(switched_stack, **REASON).failover().changed


def test_one_of_two_operators_at_once_fails(switched_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    switch(switched_stack, **REASON).failover()
    switch(switched_stack).failback()
    stale = standby_switch.history(switched_stack, 2)[1]
    read = iter([stale, standby_switch.newest(switched_stack)])
    monkeypatch.setattr(standby_switch, "newest", lambda _: next(read))
    with pytest.raises(standby_switch.ChangedMeanwhileError, match="somebody else changed the switch meanwhile: by"):
        switch(switched_stack, **REASON, force=True).failover()
    assert len(switched_stack.changes) == 2


def test_a_retried_write_recognizes_its_own_item(switched_stack: Stack, clock: Clock) -> None:
    clock.now = 1000.123456789  # the table keeps milliseconds
    made = standby_switch.change(switched_stack, None, switched=True, by="me", reason="r", seconds=60)
    assert standby_switch.change(switched_stack, None, switched=True, by="me", reason="r", seconds=60) == made
    with pytest.raises(standby_switch.ChangedMeanwhileError):
        standby_switch.change(switched_stack, None, switched=True, by="you", reason="r", seconds=60)


def test_a_switch_without_effect_is_released_again(switched_stack: Stack) -> None:
    switched_stack.switch_works = False
    with pytest.raises(RefusedError, match="the probe of the switch does not pass: it fails: HTTP status 503"):
        switch(switched_stack, **REASON).failover()
    assert [(each["switched"]["BOOL"], each["reason"]["S"]) for each in switched_stack.changes] == [
        (True, "payments fail"),
        (False, "it had no effect"),
    ]


def test_a_switch_that_cannot_be_written_leaves_everything_as_it_is(switched_stack: Stack) -> None:
    switched_stack.failing["dynamodb", "secondary", "put_item"] = refusal(400)
    with pytest.raises(CannotTellError, match="DynamoDB in us-west-2 rejects the call: AccessDeniedException"):
        switch(switched_stack, **REASON).failover()
    assert switched_stack.changes == []


def test_failover_by_a_switch_fails_while_the_secondary_could_not_serve(switched_stack: Stack) -> None:
    switched_stack.passes["secondary"] = lambda: False
    with pytest.raises(RefusedError, match="us-west-2 could not serve: the probe of us-west-2 fails"):
        switch(switched_stack, **REASON).failover()
    assert switched_stack.calls == []


def test_a_switch_works_where_a_fence_does_not(switched_stack: Stack) -> None:
    switched_stack.outputs |= {"primary_endpoint_host": "east.acme.io", "primary_probed_host": "east.acme.io"}
    assert switch(switched_stack, **REASON).failover().changed


def test_failback_releases_the_switch_and_records_it(switched_stack: Stack) -> None:
    switch(switched_stack, **REASON).failover()
    found = switch(switched_stack, reason="all is well").failback()
    assert (found.changed, found.fenced, found.until) == (True, False, None)
    assert found.text == "The switch is released. Its probe fails: HTTP status 503."
    newest, before = standby_switch.history(switched_stack, 5)
    assert (newest.switched, newest.reason, before.switched) == (False, "all is well", True)
    assert switched_stack.calls == [SET, SET]


def test_failback_fails_while_the_probe_of_a_switched_primary_fails(switched_stack: Stack) -> None:
    switch(switched_stack, **REASON).failover()
    switched_stack.passes["primary"] = lambda: False
    with pytest.raises(RefusedError, match="us-east-1 is not ready: the probe of us-east-1 fails: HTTP status 503"):
        switch(switched_stack).failback()
    assert len(switched_stack.changes) == 1


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA", "ALARM"])
def test_failback_fails_while_an_alarm_keeps_clients_away(state: str, switched_stack: Stack) -> None:
    alarm = AlarmCheck(id="alarm", region="us-east-1", alarm="alarm-drift-east-dev")
    checks = switched_stack.zone.health_checks
    both = checks["check-calculated"]
    assert isinstance(both, CalculatedCheck)
    both = replace(both, children=(*both.children, alarm.id), threshold=3)
    switched_stack.zone = replace(switched_stack.zone, health_checks={**checks, alarm.id: alarm, both.id: both})
    switch(switched_stack, **REASON).failover()
    switched_stack.alarms["primary"][alarm.alarm] = state
    if state == "ALARM":
        with pytest.raises(RefusedError, match="us-east-1 is not ready: alarm-drift-east-dev is in ALARM"):
            switch(switched_stack).failback()
        assert len(switched_stack.changes) == 1
    assert switch(switched_stack, force=state == "ALARM").failback().changed


def test_failback_from_both_fence_and_switch_undoes_both(switched_stack: Stack) -> None:
    switch(switched_stack, **REASON).failover()
    fenced(switched_stack)
    assert (
        "would remove the fence from us-east-1 and release the switch"
        in switch(switched_stack, dry_run=True).failback().text
    )
    assert switch(switched_stack).failback().text.startswith("The fence is removed from us-east-1. Its probe passes")
    assert switched_stack.reserved["primary"] is None
    assert not standby_switch.history(switched_stack, 1)[0].switched


def test_a_fence_that_cannot_be_read_is_ignored_only_with_force(switched_stack: Stack) -> None:
    switch(switched_stack, **REASON).failover()
    switched_stack.failing["lambda", "primary"] = GONE
    with pytest.raises(NoAnswerError, match="Lambda in us-east-1 does not answer"):
        switch(switched_stack).failback()
    assert switch(switched_stack, force=True).failback().changed


@pytest.mark.parametrize(("direction", "region"), [("failover", "us-west-2"), ("failback", "us-east-1")])
def test_waiting_for_a_switch_takes_as_long_as_its_health_check_does(
    switched_stack: Stack, clock: Clock, direction: str, region: str
) -> None:
    if direction == "failback":
        switch(switched_stack, **REASON).failover()
    started = clock.now
    found = getattr(switch(switched_stack, wait=True, **REASON), direction)()
    assert found.text.endswith(f"Route 53 answers with {region}, according to the model.")
    assert 90 <= clock.now - started < 95


@pytest.mark.parametrize("direction", ["failover", "failback"])
def test_a_dry_run_of_a_switch_changes_nothing(switched_stack: Stack, direction: str) -> None:
    if direction == "failback":
        switch(switched_stack, **REASON).failover()
    before = list(switched_stack.changes)
    assert "would " in getattr(switch(switched_stack, dry_run=True, **REASON), direction)().text
    assert switched_stack.changes == before
