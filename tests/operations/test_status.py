"""`dr status`: each thing that can be wrong is found, and what cannot be told is said."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from payment_dr.operations import standby_switch
from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import HealthCheck
from payment_dr.operations.status import BAD, CANNOT_TELL, Finding, Status, look_at
from payment_dr.side import SIDES
from tests.operations.stack import GONE, NAMES, PRIVATE_PATH, Clock, Stack, probed_privately, refusal


def breaks(**values: Any) -> Callable[[Stack], None]:
    """Set parts of a stack's attributes: ``tables={"primary": "CREATING"}``."""

    def apply(stack: Stack) -> None:
        for name, value in values.items():
            getattr(stack, name).update(value)

    return apply


def shown(status: Status) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(status.table())
    return capture.get()


def test_a_healthy_stack_is_shown_cell_by_cell(stack: Stack) -> None:
    stack.latencies["primary"] = [300.0, 812.4]
    stack.copies["primary"] = ([0, 0], [9, 2])
    found = look_at(stack).as_json()
    assert found.pop("exit_code") == 0
    assert found == {
        "regions": {
            "us-east-1": {
                "side": "primary",
                "health": {"state": "ok", "found": "passes: HTTP status 200, healthy"},
                "table": {"state": "ok", "found": "ACTIVE"},
                "replica": {"state": "ok", "found": "ACTIVE in us-west-2"},
                "replication lag": {"state": "ok", "found": "812 ms to us-west-2"},
                "documents": {"state": "ok", "found": "0 failed in 60 minutes, 2 wait for us-west-2"},
                "alarms": {"state": "ok", "found": "none of 1 in ALARM"},
                "fenced": {"state": "ok", "found": "no"},
            },
            "us-west-2": {
                "side": "secondary",
                "health": {"state": "ok", "found": "passes: HTTP status 200, healthy"},
                "table": {"state": "ok", "found": "ACTIVE"},
                "replica": {"state": "ok", "found": "ACTIVE in us-east-1"},
                "replication lag": {"state": "ok", "found": "no data in 5 minutes"},
                "documents": {"state": "ok", "found": "not copied to us-east-1"},
                "alarms": {"state": "ok", "found": "none of 1 in ALARM"},
                "fenced": {"state": "ok", "found": "no"},
            },
        },
        "config": {"state": "ok", "found": "the same in both regions"},
        "serves": {"state": "ok", "found": "us-east-1 (primary)"},
        "failover": {"state": "ok", "found": "records and health checks are correct"},
        "alerts": {"state": "ok", "found": "alarms can reach their topics"},
        "config sync": {"state": "ok", "found": "each region can copy to the other"},
        "document copies": {"state": "ok", "found": "documents can be copied"},
    }


@pytest.mark.parametrize(
    ("broken", "where", "found"),
    [
        (breaks(passes={"primary": lambda: False}), "health", "fails: HTTP status 503"),
        (breaks(tables={"primary": "CREATING"}), "table", "CREATING"),
        (breaks(replicas={"primary": "REGION_DISABLED"}), "replica", "REGION_DISABLED in us-west-2"),
        (
            breaks(copies={"primary": ([0, 2, 1], [0])}),
            "documents",
            "3 failed in 60 minutes, 0 wait for us-west-2",
        ),
        (breaks(alarms={"primary": {"alarm-drift-east-dev": "ALARM"}}), "alarms", "alarm-drift-east-dev"),
        (breaks(alarms={"primary": {}}), "alarms", "none of the stack's alarms exists here"),
        (breaks(reserved={"primary": 0}), "fenced", "FENCED until 'dr failback'"),
        (breaks(reserved={"secondary": 0}), "secondary fenced", "FENCED"),
        (breaks(parameters={"secondary": {NAMES[0]: "other", NAMES[1]: "hunter2"}}), "config", f"differs: {NAMES[0]}"),
        (breaks(parameters={"secondary": {}}), "config", f"differs: {', '.join(NAMES)}"),
        (breaks(passes={"primary": lambda: False}), "serves", "us-west-2 (secondary)"),
    ],
)
def test_each_fault_is_bad_and_exits_with_1(
    stack: Stack, broken: Callable[[Stack], None], where: str, found: str
) -> None:
    broken(stack)
    status = look_at(stack)
    of_secondary = {f"secondary {name}": cell for name, cell in status.regions["secondary"].items()}
    cells = {**status.regions["primary"], **of_secondary, **status.both}
    assert (cells[where].state, cells[where].found) == ("bad", found)
    assert status.exit_code == 1


@pytest.mark.parametrize(
    ("weights", "serves"),
    [((0, 100), "us-west-2 (secondary)"), ((50, 50), "us-east-1 (primary) and us-west-2 (secondary)")],
)
def test_weights_that_somebody_has_changed_are_seen(
    make_stack: Callable[..., Stack], weights: tuple[int, int], serves: str
) -> None:
    status = look_at(make_stack(weights=weights))
    assert (status.both["serves"].found, status.exit_code) == (serves, 1)


def test_route_53_answers_with_the_primary_if_both_regions_are_unhealthy(stack: Stack) -> None:
    stack.passes = {"primary": lambda: False, "secondary": lambda: False}
    assert look_at(stack).both["serves"].found == "us-east-1 (primary)"


def test_a_flood_of_the_public_route_does_not_count_if_route_53_probes_a_private_one(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.zone = probed_privately(stack.zone)
    served = stack.probe

    def flooded(check: HealthCheck) -> ProbeResult:
        return served(check) if check.path == PRIVATE_PATH else ProbeResult(connect_seconds=0, status=429)

    monkeypatch.setattr(stack, "probe", flooded)
    status = look_at(stack)
    assert (status.both["serves"].found, status.exit_code) == ("us-east-1 (primary)", 0)
    assert PRIVATE_PATH not in shown(status) + json.dumps(status.as_json())
    stack.failing["route53", "primary"] = GONE  # the path is not known then
    assert look_at(stack).regions["primary"]["health"].found == "fails: HTTP status 429"


def test_the_verdict_unknown_is_bad_although_route_53_passes_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"status": "unknown", "reason": "monitor_refused"}'
    monkeypatch.setattr(stack, "probe", lambda _check: ProbeResult(connect_seconds=0, status=200, body=body))
    health = look_at(stack).regions["primary"]["health"]
    assert (health.state, health.found) == ("bad", "passes: HTTP status 200, unknown, monitor_refused")


def test_a_region_that_is_gone_is_inconclusive_and_exits_with_2(stack: Stack) -> None:
    for service in ("dynamodb", "cloudwatch", "lambda", "ssm", "route53"):
        stack.failing[service, "primary"] = GONE
    stack.passes["primary"] = lambda: False
    status = look_at(stack)
    assert status.exit_code == 2
    assert status.regions["primary"]["health"].state == "bad"
    for row, service in {
        "table": "DynamoDB",
        "alarms": "CloudWatch",
        "replica": "DynamoDB",
        "fenced": "Lambda",
    }.items():
        assert f"cannot tell: {service} in us-east-1 does not answer" in shown(status)
        assert status.regions["primary"][row].state == "cannot tell"
    assert status.both["serves"].found == "Route 53's API does not answer"
    assert {finding.state for finding in status.regions["secondary"].values()} == {"ok"}


def test_a_missing_right_is_reported_and_is_no_outage(stack: Stack) -> None:
    stack.failing["ssm", "secondary"] = refusal(400)
    config = look_at(stack).both["config"]
    assert (config.state, config.found) == (
        "cannot tell",
        "Parameter Store in us-west-2 rejects the call: AccessDeniedException",
    )


@pytest.mark.parametrize(
    ("protected", "tables"),
    [
        (
            (True, False),
            ("ACTIVE", "ACTIVE, not protected from deletion, unlike the other region"),
        ),
        (
            (False, True),
            ("ACTIVE, not protected from deletion, unlike the other region", "ACTIVE"),
        ),
        ((True, True), ("ACTIVE", "ACTIVE")),
        ((False, False), ("ACTIVE", "ACTIVE")),
    ],
)
def test_a_table_that_is_protected_in_only_one_region_is_bad(
    stack: Stack, protected: tuple[bool, bool], tables: tuple[str, str]
) -> None:
    stack.protected = dict(zip(SIDES, protected, strict=True))
    status = look_at(stack)
    assert tuple(status.regions[side]["table"].found for side in SIDES) == tables
    assert status.exit_code == (0 if protected[0] == protected[1] else 1)


def test_a_region_that_is_gone_is_not_asked_whether_it_is_protected(stack: Stack) -> None:
    stack.protected["primary"] = True
    stack.failing["dynamodb", "primary"] = GONE
    assert look_at(stack).regions["secondary"]["table"].state == "ok"


def test_documents_that_are_copied_back_are_checked_in_both_directions(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(two_way=True)
    stack.copies["secondary"] = ([1], [4])
    found = look_at(stack).regions["secondary"]["documents"]
    assert (found.state, found.found) == ("bad", "1 failed in 60 minutes, 4 wait for us-east-1")


def test_documents_without_metrics_of_s3_are_no_fault(stack: Stack) -> None:
    found = look_at(stack).regions["primary"]["documents"]
    assert (found.state, found.found) == ("ok", "no data in 60 minutes")


def test_no_value_of_a_parameter_is_ever_shown(stack: Stack) -> None:
    stack.parameters["secondary"] = dict.fromkeys(NAMES, "correct horse")
    status = look_at(stack)
    output = shown(status) + json.dumps(status.as_json())
    assert NAMES[0] in output
    assert "hunter2" not in output
    assert "correct horse" not in output


def test_a_probe_that_does_not_leave_this_machine_is_not_a_fault_of_the_region(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_check: HealthCheck) -> ProbeResult:
        raise CannotTellError("it cannot be probed through the proxy 127.0.0.1:1", hint="check HTTPS_PROXY")

    monkeypatch.setattr(stack, "probe", refuse)
    status = look_at(stack)
    assert status.exit_code == 2
    for found in (status.regions["primary"]["health"], status.regions["secondary"]["health"], status.both["serves"]):
        assert (found.state, found.found) == ("cannot tell", "it cannot be probed through the proxy 127.0.0.1:1")
    assert status.regions["primary"]["table"].state == "ok"


def test_a_drill_looks_for_no_fault_that_shows_only_later(stack: Stack) -> None:
    probed: list[str] = []
    passes = stack.passes["primary"]

    def counted() -> bool:
        probed.append("primary")
        return passes()

    stack.passes["primary"] = counted
    assert list(look_at(stack).both) == ["config", "serves", "failover", "alerts", "config sync", "document copies"]
    with_faults = len(probed)
    assert list(look_at(stack, faults=False).both) == ["config", "serves"]
    assert len(probed) - with_faults < with_faults


def test_a_set_switch_is_shown_with_its_person_end_and_reason(make_stack: Callable[..., Stack], clock: Clock) -> None:
    stack = make_stack(switch=True)
    assert look_at(stack).both["switched"] == Finding("no")
    for seconds, end in ((3600, "until 1970-01-01 01:16:40 UTC"), (None, "without an end")):
        newest = standby_switch.newest(stack)
        standby_switch.change(stack, newest, switched=True, by="arn:oncall", reason="payments fail", seconds=seconds)
        found = look_at(stack)
        assert found.both["switched"] == Finding(
            f"to us-west-2, by arn:oncall since 1970-01-01 00:16:40 UTC, {end}: payments fail", BAD
        )
        assert (found.both["serves"].found, found.exit_code) == ("us-west-2 (secondary)", 1)
    standby_switch.change(stack, standby_switch.newest(stack), switched=True, by="me", reason="short", seconds=1)
    clock.now += 1
    assert look_at(stack).both["switched"] == Finding("no")
    stack.failing["dynamodb", "secondary", "query"] = GONE
    assert look_at(stack).both["switched"] == Finding("DynamoDB in us-west-2 does not answer", CANNOT_TELL)
