"""Outages: each is undone, whatever happens meanwhile."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations import probes, standby_switch
from payment_dr.operations.drill import outages
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import DATA_PLANE, DATA_PLANES, OUTAGES, Action, action_of, backlog_of, undone
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import (
    HANGING_PROBE_SECONDS,
    Settings,
    failback_bound,
    failover_bound,
    longest_harmless_blip,
)
from tests.operations.drill.parts import Maker, well
from tests.operations.stack import GONE, Clock, Stack


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, {"kind": "region"})


def actions_in(journal: Journal) -> list[tuple[str, bool]]:
    events = journal.content["events"]
    assert {event["kind"] for event in events} <= {"action"}
    return [(event["name"], event["undone"]) for event in events if event["kind"] == "action"]


@pytest.mark.parametrize(
    ("kind", "failing"),
    [
        ("region", {"us-east-1": {"seed": 3}}),
        ("blip", {"us-east-1": {"seed": 3}}),
        ("hang", {"us-east-1": {"seed": 3, "kind": "hang"}}),
        ("dynamodb", {"us-east-1": {"seed": 3, "service": "dynamodb"}}),
        ("dataplane", {"us-east-1": {"seed": 3, "service": "dynamodb", "operations": DATA_PLANE}}),
        ("api", {"us-east-1": {"seed": 3, "service": "execute-api"}}),
        ("partial", {"us-east-1": {"seed": 3, "share": 0.3}}),
        ("both", {"us-east-1": {"seed": 3}, "us-west-2": {"seed": 3}}),
        ("replication", {"us-east-1": {"seed": 3, "service": "dynamodb-replication"}}),
        ("secondary", {"us-west-2": {"seed": 3}}),
        ("partition", {"us-east-1": {"seed": 3, "kind": "cut"}}),
        (
            "control-plane",
            {"us-east-1": {"seed": 3, "service": ("dynamodb", "lambda", "ssm"), "spared": DATA_PLANES}},
        ),
        ("dns-name", {"us-east-1": {"seed": 3, "kind": "unresolved", "service": "dynamodb"}}),
        ("functions", {"us-east-1": {"seed": 3, "service": "lambda"}}),
        ("recovery-backlog", {"us-east-1": {"seed": 3}}),
    ],
)
@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_an_outage_fails_what_it_says_and_is_undone_at_any_end(
    kind: str, failing: dict[str, Any], end: type[BaseException] | None, stack: Stack, journal: Journal
) -> None:
    maker = Maker()
    with suppress(*[end] if end else []), undone(action_of(OUTAGES[kind], stack, maker, 3), journal, well):
        assert maker.failing == failing
        if end:
            raise end
    assert maker.failing == {}
    name = f"fail {' and '.join(failing)}"
    assert actions_in(journal) == [(name, False), (name, True)]


def test_what_an_outage_spares_and_cuts() -> None:
    assert {"Invoke", "GetParameter", "GetParameters", "GetParametersByPath"} == {*DATA_PLANES} - {*DATA_PLANE}
    spared = {"control-plane", "api", "dataplane", "partial", "permission", "dns-name", "functions", "fence", "health"}
    assert {kind for kind, outage in OUTAGES.items() if not outage.cuts_replication} == spared


SLOW = Settings(request_interval_seconds=30, failure_threshold=10, ttl_seconds=60)
FAST = Settings(request_interval_seconds=10, failure_threshold=2, ttl_seconds=60)


@pytest.mark.parametrize(
    ("settings", "blip", "failover"),
    [(Settings(), 60.0, 201.0), (SLOW, 60.0, 483.0), (FAST, 10, 155.0)],
    ids=["default", "slow", "fast"],
)
def test_an_outage_lasts_as_long_as_the_settings_need_it_to(settings: Settings, blip: float, failover: float) -> None:
    lasts = {kind: outage.lasts(settings) for kind, outage in OUTAGES.items()}
    assert lasts == dict.fromkeys(OUTAGES, failover) | {
        "blip": blip,
        "partial": 240.0,
        "permission": 240.0,
        "dataplane": 240.0,
        "replication": failover - 60,
        "secondary": failover - 60,
        "partition": failover - 60,
    }
    for kind, outage in OUTAGES.items():
        if outage.must_fail_over(settings):
            assert lasts[kind] > failover_bound(outage.settings_during(settings)).total
    assert lasts["blip"] <= longest_harmless_blip(OUTAGES["blip"].settings_during(settings))


def test_only_where_calls_hang_a_failed_probe_takes_all_the_time_that_a_checker_allows() -> None:
    deployed = Settings(ttl_seconds=60)
    during = {kind: outage.settings_during(deployed) for kind, outage in OUTAGES.items()}
    hanging = Settings(ttl_seconds=60, failed_probe_seconds=HANGING_PROBE_SECONDS)
    assert during == dict.fromkeys(OUTAGES, deployed) | {"hang": hanging}


def test_an_outage_that_no_probe_sees_fails_over_only_when_an_alarm_fires() -> None:
    followed = Settings(alarm_period_seconds=60)
    must = {
        kind: (outage.must_fail_over(Settings()), outage.must_fail_over(followed)) for kind, outage in OUTAGES.items()
    }
    staying = ("partial", "blip", "both", "permission", "replication", "secondary", "partition")
    stay = dict.fromkeys(staying, (False, False))
    assert must == dict.fromkeys(OUTAGES, (True, True)) | stay | {"dataplane": (False, True)}
    outage = OUTAGES["dataplane"]
    bound = failover_bound(outage.settings_during(followed))
    assert bound.detect == 60 + 60
    assert outage.lasts(outage.settings_during(followed)) > bound.total
    assert outage.settings_during(Settings()) == Settings()


def test_only_where_both_regions_fail_dns_may_answer_with_the_other_one_until_a_checker_has_seen_it() -> None:
    tolerated = {kind: outage.tolerated_seconds(FAST) for kind, outage in OUTAGES.items()}
    assert tolerated == dict.fromkeys(OUTAGES, 0.0) | {"both": 10 + HANGING_PROBE_SECONDS}


@pytest.mark.parametrize(
    ("kind", "failure", "sentence"),
    [
        (
            "partial",
            "HTTP status 503",
            "Route 53 answered with us-west-2 for 90 s: "
            "the probe of us-east-1 failed for long enough (HTTP status 503)",
        ),
        (
            "permission",
            None,
            "the health function of us-east-1 calls AccessDenied unhealthy, "
            "so Route 53 answered with us-west-2 for 90 s",
        ),
    ],
)
def test_an_outage_explains_a_failover_that_it_must_not_cause(kind: str, failure: str | None, sentence: str) -> None:
    outage = OUTAGES[kind]
    assert not outage.must_fail_over(Settings())
    assert sentence == outage.why_failover(primary="us-east-1", secondary="us-west-2", seconds=90.4, failure=failure)


def test_the_failback_of_a_drill_compares_what_was_written_since_the_drill_failed_over(
    stack: Stack, clock: Clock, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "time", clock)
    stack.pay("hours before", at=clock.now - 7200)
    with undone(action_of(OUTAGES["fence"], stack, Maker(), 3), journal, well):
        clock.now += 300
        stack.pay("during the drill", at=clock.now - 200)
    # each of both regions is read before the operator would be asked
    assert [count for operation, _, count in stack.asked if operation == "batch_get_item"] == [1, 1]


@pytest.mark.parametrize("kind", ["health", "fence"])
def test_a_stopped_health_function_and_a_fence_are_undone(kind: str, stack: Stack, journal: Journal) -> None:
    with suppress(KeyboardInterrupt), undone(action_of(OUTAGES[kind], stack, Maker(), 3), journal, well):
        assert stack.reserved["primary"] == 0
        raise KeyboardInterrupt
    assert stack.reserved == {"primary": None, "secondary": None}


def test_a_fence_is_removed_even_if_a_check_fails_and_the_error_names_the_check(stack: Stack, journal: Journal) -> None:
    outage = action_of(OUTAGES["fence"], stack, Maker(), 3)
    with (
        pytest.raises(OperationError, match=r"fence us-east-1: forced despite this: .*config differs"),
        undone(outage, journal, well),
    ):
        stack.parameters["primary"].clear()
    assert stack.reserved["primary"] is None


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_a_replication_outage_outlasts_the_region_outage_and_is_always_undone(
    end: type[BaseException] | None, stack: Stack, journal: Journal
) -> None:
    maker = Maker()
    stalled = {"us-west-2": {"service": "dynamodb-replication"}}
    with suppress(*[end] if end else []), undone(backlog_of(stack, maker), journal, well):
        with undone(action_of(OUTAGES["recovery-backlog"], stack, maker, 3), journal, well):
            assert maker.failing == {"us-east-1": {"seed": 3}} | stalled
        assert maker.failing == stalled
        if end:
            raise end
    assert maker.failing == {}


def test_a_backlog_lasts_until_clients_are_back_whatever_the_settings() -> None:
    backlogs = [name for name, outage in OUTAGES.items() if outage.backlog]
    assert backlogs == ["recovery-backlog"]
    backlog = OUTAGES["recovery-backlog"].backlog
    assert backlog
    for settings in (Settings(), SLOW, FAST):
        assert backlog(settings) > failback_bound(settings).total + 30


# Every outage: whether it must fail over (with the data canary, without it), its seconds with the default settings,
# and which payments to the primary must go on or stop meanwhile.
EXPECTED: dict[str, tuple[bool, bool, float, dict[str, bool]]] = {
    "region": (True, True, 201, {}),
    "hang": (True, True, 201, {}),
    "dynamodb": (True, True, 201, {}),
    "dataplane": (True, False, 240, {}),
    "api": (True, True, 201, {}),
    "health": (True, True, 201, {}),
    "fence": (True, True, 201, {}),
    "partial": (False, False, 240, {}),
    "blip": (False, False, 60, {}),
    "both": (False, False, 201, {}),
    "permission": (False, False, 240, {}),
    "replication": (False, False, 141, {"local": True, "confirmed": False}),
    "secondary": (False, False, 141, {"local": True, "confirmed": False}),
    "partition": (False, False, 141, {"local": True, "confirmed": False}),
    "control-plane": (True, True, 201, {"local": True}),
    "dns-name": (True, True, 201, {}),
    "functions": (True, True, 201, {}),
    "recovery-backlog": (True, True, 201, {}),
}


def test_every_outage_has_its_expected_outcome() -> None:
    with_canary = Settings(alarm_period_seconds=60)
    found = {
        kind: (
            outage.must_fail_over(with_canary),
            outage.must_fail_over(Settings()),
            outage.lasts(outage.settings_during(Settings())),
            dict(outage.payments),
        )
        for kind, outage in OUTAGES.items()
    }
    assert found == EXPECTED


@pytest.fixture
def switched_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with a switch in the standby region."""
    return make_stack(switch=True)


@pytest.fixture(autouse=True)
def clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the switch ends by."""
    monkeypatch.setattr(outages, "time", clock)
    return clock


def the_fence(stack: Stack, **options: Any) -> Action:
    return action_of(OUTAGES["fence"], stack, Maker(), 3, **options)


def test_a_drill_sets_the_switch_with_an_end_and_releases_it(
    switched_stack: Stack, journal: Journal, clock: Clock
) -> None:
    with undone(the_fence(switched_stack, limit_seconds=1800), journal, well):
        newest = standby_switch.newest(switched_stack)
        assert newest
        assert newest.until == clock.now + 1800
        assert re.fullmatch("dr drill [0-9a-f]{8}", newest.reason)
        assert switched_stack.reserved["primary"] is None
    assert not standby_switch.history(switched_stack, 1)[0].switched
    what = "set the switch in us-west-2"
    assert actions_in(journal) == [(what, False), (what, True)]


def test_a_drill_that_is_killed_leaves_a_switch_that_ends_by_itself(switched_stack: Stack, clock: Clock) -> None:
    the_fence(switched_stack, limit_seconds=1800).do()  # and nobody undoes it
    assert probes.health(switched_stack, "secondary", "/switch").verdict.passed
    clock.now += 1800
    assert not probes.health(switched_stack, "secondary", "/switch").verdict.passed


@pytest.mark.parametrize("switch", [False, True])
def test_a_second_drill_on_one_stack_fails_and_leaves_the_first_alone(
    make_stack: Callable[..., Stack], journal: Journal, switch: bool
) -> None:
    stack = make_stack(switch=switch)
    with undone(the_fence(stack), journal, well):
        before = stack.reserved["primary"], list(stack.changes)
        who = "Clients already go to us-west-2, by arn:aws:iam" if switch else "us-east-1 is already fenced"
        with (
            pytest.raises(OperationError, match=f"somebody else fails over this stack at the same time: {who}"),
            undone(the_fence(stack), journal, well),
        ):
            pass
        assert (stack.reserved["primary"], stack.changes) == before
    assert stack.reserved["primary"] is None


def test_a_drill_that_is_second_by_a_moment_leaves_the_first_alone(
    switched_stack: Stack, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_fence(switched_stack).do()
    newest = standby_switch.newest(switched_stack)
    read = iter([None, newest])  # the other drill writes in between
    monkeypatch.setattr(standby_switch, "newest", lambda _: next(read))
    with (
        pytest.raises(standby_switch.ChangedMeanwhileError),
        undone(the_fence(switched_stack), journal, well),
    ):
        pass
    assert len(switched_stack.changes) == 1


def test_a_switch_that_somebody_sets_during_a_drill_stays_set(switched_stack: Stack, journal: Journal) -> None:
    def interfere() -> None:
        newest = standby_switch.newest(switched_stack)
        standby_switch.change(switched_stack, newest, switched=True, by="oncall", reason="it is real", seconds=3600)

    with (
        pytest.raises(OperationError, match=r"somebody else has set the switch meanwhile, by oncall .*: it is real"),
        undone(the_fence(switched_stack), journal, well),
    ):
        interfere()
    assert len(switched_stack.changes) == 2


def test_a_switch_that_a_drill_set_is_released_even_if_a_check_fails(switched_stack: Stack, journal: Journal) -> None:
    with (
        pytest.raises(
            OperationError, match=r"set the switch in us-west-2: forced despite this: .*config differs"
        ) as raised,
        undone(the_fence(switched_stack), journal, well),
    ):
        switched_stack.parameters["primary"].clear()
    assert not standby_switch.history(switched_stack, 1)[0].switched
    assert "it ends by itself 60 minutes after it was set" in raised.value.hint


def test_a_right_that_was_taken_is_given_back(stack: Stack, journal: Journal) -> None:
    maker = Maker()
    with undone(action_of(OUTAGES["permission"], stack, maker, 3), journal, well):
        assert maker.forbidden
    assert not maker.forbidden


def test_a_partly_done_action_is_undone(journal: Journal) -> None:
    done: list[str] = []

    def do() -> None:
        done.append("first")
        raise GONE

    with pytest.raises(type(GONE)), undone(Action("both", do, done.clear), journal, well):
        pass
    assert done == []


def test_an_undo_that_fails_is_reported_and_not_recorded_as_done(journal: Journal) -> None:
    def fail() -> None:
        raise GONE

    with pytest.raises(OperationError, match="undoing failed: it"), undone(Action("it", well, fail), journal, well):
        pass
    assert actions_in(journal) == [("it", False)]


def test_an_action_that_ends_with_its_place_needs_no_undo(journal: Journal) -> None:
    def gone() -> None:
        raise OperationError("it ended", hint="start it")

    calls: list[Callable[[], object]] = []
    with undone(Action("it", well, lambda: calls.append(well)), journal, gone):
        pass
    assert (calls, actions_in(journal)) == ([], [("it", False), ("it", True)])
