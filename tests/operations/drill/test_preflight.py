"""What is wrong before anything has failed, in sentences that name the cause."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from payment_dr.operations import probes
from payment_dr.operations.deployed_zone import endpoint_check_of, settings_of
from payment_dr.operations.drill import preflight
from payment_dr.operations.drill.tls_client import NotServedError
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import AlarmCheck, AnyCheck, CalculatedCheck, HealthCheck, UnknownCheck, Zone
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import SIDES, Side
from tests.operations.drill.parts import deployed_zone
from tests.operations.stack import PRIVATE_PATH, Stack, host, with_checks

ITS_NAME = f"set its domain name to {host('secondary')}, without an IP address"


def faults(stack: Stack, zone: Zone) -> list[str]:
    return ZoneFaults(stack, zone).all()


def unfit_zone(stack: Stack, zone: Zone) -> list[str]:
    return ZoneFaults(stack, zone).unfit()


def unfit_to_start(stack: Stack, zone: Zone) -> list[str]:
    return preflight.unfit_to_start(stack, ZoneFaults(stack, zone))


def test_a_correct_zone_has_no_faults(stack: Stack) -> None:
    assert unfit_to_start(stack, deployed_zone()) == []
    assert faults(stack, deployed_zone()) == []


def test_each_health_check_is_probed_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[str] = []
    probe = probes.probe

    def counted(stack: Stack, check: HealthCheck) -> ProbeResult:
        probed.append(check.id)
        return probe(stack, check)

    monkeypatch.setattr(probes, "probe", counted)
    found = ZoneFaults(stack, deployed_zone())
    assert [found.unfit(), found.all()] == [[], []]
    assert sorted(probed) == ["check-primary", "check-secondary"]


def test_a_custom_domain_with_alias_records_has_no_faults(make_stack: Callable[..., Stack]) -> None:
    stack, made = make_stack(custom_domain=True), deployed_zone(custom_domain=True)
    assert unfit_to_start(stack, made) == []
    assert faults(stack, made) == []
    assert settings_of(stack, made).ttl_seconds == 60


def test_the_alarm_that_decides_with_the_probe_is_part_of_the_settings(stack: Stack) -> None:
    made = deployed_zone()
    alarm = AlarmCheck(id="alarm", region="us-east-1", alarm="writes-fail", period_seconds=120, periods=2)
    both = CalculatedCheck(id="both", children=("check-primary", "alarm"), threshold=2)
    records = (replace(made.records[0], health_check_id="both"), made.records[1])
    followed = Zone("Z1", records, {**made.health_checks, "alarm": alarm, "both": both})
    assert settings_of(stack, made).alarm_period_seconds is None
    found = settings_of(stack, followed)
    assert found == replace(settings_of(stack, made), alarm_period_seconds=120, alarm_periods=2)


def test_an_alias_of_something_else_is_no_record_of_the_region(make_stack: Callable[..., Stack]) -> None:
    made = deployed_zone(custom_domain=True)
    other = replace(made.records[1], values=("d-2.execute-api.us-west-2.amazonaws.com",))
    elsewhere = Zone("Z1", (made.records[0], other), made.health_checks)
    found = unfit_to_start(make_stack(custom_domain=True), elsewhere)
    assert found == ["app.pay.acme.io has no record of us-west-2"]


def test_endpoints_of_the_users_are_drilled_while_the_monitor_is_probed(stack: Stack) -> None:
    made = deployed_zone()
    hosts = ("east.pay.acme.io", "west.pay.acme.io")
    records = tuple(replace(record, values=(own,)) for record, own in zip(made.records, hosts, strict=True))
    made = replace(made, records=records)
    for side, own in zip(SIDES, hosts, strict=True):
        stack.outputs |= {f"{side}_endpoint_host": own, f"{side}_probed_host": stack.api_host(side)}
    assert unfit_to_start(stack, made) == []
    assert faults(stack, made) == []
    stack.outputs["primary_probed_host"] = hosts[0]
    assert unfit_to_start(stack, made) == [
        "Route 53 probes east.pay.acme.io in us-east-1 and not the health monitor, which a fence stops"
    ]


def test_a_long_ttl_is_the_cause_of_a_slow_failover(stack: Stack) -> None:
    found = faults(stack, deployed_zone(side="secondary", ttl_seconds=300))
    assert found == [
        "TTL of app.pay.acme.io is 300 s, so a failover takes up to 90 s of detection and 300 s of caching, "
        "more than the target of 180 s"
    ]


@pytest.mark.parametrize(
    ("target", "ttl", "found"),
    [
        (300, 210, []),
        (300, 211, ["more than the target of 300 s"]),
        (60, 30, ["more than the target of 60 s"]),
    ],
)
def test_a_failover_is_slow_by_the_target_of_the_stack(target: int, ttl: int, found: list[str], stack: Stack) -> None:
    stack.outputs["rto_target_seconds"] = target
    found_ = faults(stack, deployed_zone(ttl_seconds=ttl))
    assert [fault.rpartition(", ")[2] for fault in found_] == found


def test_a_slow_health_check_is_the_cause_of_a_slow_failover(stack: Stack) -> None:
    made = deployed_zone()
    found = faults(stack, with_checks(made, failure_threshold=10))
    assert found[0].startswith("the health check of us-east-1 needs 10 x 30 s, so")


@pytest.mark.parametrize(
    ("side", "so"),
    [
        ("primary", "the primary record (us-east-1) has no health check, so Route 53 never stops answering with it"),
        (
            "secondary",
            "the secondary record (us-west-2) has no health check, "
            "so Route 53 considers it healthy even when it is not",
        ),
    ],
)
def test_a_record_without_a_health_check_is_named_and_its_weights_are_not_to_blame(
    side: Side, so: str, stack: Stack
) -> None:
    zone = deployed_zone(side=side, health_check_id=None)
    assert faults(stack, zone) == [so]
    assert unfit_zone(stack, zone) == []  # with both regions healthy, Route 53 answers with the primary


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"disabled": True}, "is disabled, so Route 53 considers it healthy even when it is not: enable it"),
        ({"inverted": True}, "is inverted, so healthy counts as unhealthy: set Inverted to false"),
        ({"host": "status.acme.io"}, f"probes status.acme.io, which is not that region: {ITS_NAME}"),
        ({"host": host("primary")}, f"probes {host('primary')}, which is not that region: {ITS_NAME}"),
        ({"address": "192.0.2.1"}, f"probes 192.0.2.1, which is not that region: {ITS_NAME}"),
        ({"port": 80}, f"probes port 80, but {host('secondary')} listens on 443 only: set its port to 443"),
        ({"type": "HTTP"}, f"is of type HTTP, but {host('secondary')} speaks only TLS: change its type to HTTPS"),
        (
            {"type": "TCP"},
            "is of type TCP, which passes while the health function answers 503: change its type to HTTPS",
        ),
        (
            {"sni": False},
            f"sends no SNI, so its TLS handshake with {host('secondary')} fails: set EnableSNI to true",
        ),
        (
            {"path": "/nope"},
            "probes a path that its API does not have (HTTP status 404): run terraform apply to set it",
        ),
        (
            {"type": "HTTPS_STR_MATCH", "search_string": "up"},
            "fails although its region answers (HTTP status 200, without 'up' in the first 5,120 bytes): change "
            "SearchString or the type",
        ),
    ],
)
def test_a_health_check_that_sees_something_else_is_named(change: dict[str, Any], what: str, stack: Stack) -> None:
    made = deployed_zone()
    found = faults(stack, with_checks(made, "secondary", **change))
    assert found == [f"the health check of the secondary record (us-west-2) {what}"]


def test_checks_of_different_speed_are_named(stack: Stack) -> None:
    found = faults(stack, with_checks(deployed_zone(), "secondary", failure_threshold=1))
    assert found == [
        "the health checks detect at different speeds (us-east-1 3 x 30 s, us-west-2 1 x 30 s): give both the same "
        "threshold and interval"
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"regions": ("us-east-1", "us-west-2", "eu-west-1")},
        {"type": "HTTPS_STR_MATCH", "search_string": "healthy"},
        {"path": PRIVATE_PATH},
        {"failure_threshold": 2},
    ],
)
def test_a_harmless_difference_is_not_named(change: dict[str, Any], stack: Stack) -> None:
    zone = with_checks(deployed_zone(), **change)
    assert faults(stack, zone) == unfit_zone(stack, zone) == []


def test_a_region_that_fails_is_no_fault_of_its_check(stack: Stack) -> None:
    stack.passes["primary"] = lambda: False
    assert faults(stack, deployed_zone()) == unfit_zone(stack, deployed_zone()) == []


ALARM = AlarmCheck(id="alarm", region="us-east-1", alarm="alarm-drift-east-dev")


def with_check(check: AnyCheck) -> Zone:
    """The zone, in which the primary record has another check, maybe of the API's and an alarm."""
    made = deployed_zone(health_check_id=check.id)
    return replace(made, health_checks={"alarm": ALARM, **made.health_checks, check.id: check})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"threshold": 0}, "is always healthy, as its HealthThreshold is 0, so Route 53 never stops answering with it"),
        ({"threshold": 1}, "stays healthy while one of its 2 children fails, as its HealthThreshold is 1: set it to 2"),
        ({"threshold": 3}, "is never healthy, as its HealthThreshold is 3 and it has 2 children: set it to 2"),
        ({"inverted": True}, "is inverted, so healthy counts as unhealthy: set Inverted to false"),
        ({"disabled": True}, "is disabled, so Route 53 never stops answering with it: enable it"),
        (
            {"children": ("check-primary", "gone")},
            "has no known status: the health check gone does not exist",
        ),
    ],
)
def test_a_calculated_check_is_checked_with_its_children(
    change: dict[str, Any], what: str | None, stack: Stack
) -> None:
    both = CalculatedCheck(id="both", children=("check-primary", "alarm"), threshold=2)
    gone = UnknownCheck(id="gone", why="does not exist", hint="run terraform apply to create it again")
    made = with_check(replace(both, **change))
    found = faults(stack, replace(made, health_checks={**made.health_checks, "gone": gone}))
    assert [each.startswith(f"the health check of the primary record (us-east-1) {what}") for each in found] == (
        [True] if what else []
    )


@pytest.mark.parametrize(
    ("alarm", "what"),
    [
        (None, "which does not exist: run terraform apply"),
        ({"ExtendedStatistic": "p99"}, "whose statistic p99 Route 53 does not support"),
        ({"Period": 10}, "whose period of 10 s Route 53 does not support: set it to 60 s"),
        ({"Period": 60, "Statistic": "Maximum"}, None),
    ],
)
def test_an_alarm_that_route_53_cannot_follow_is_named(
    monkeypatch: pytest.MonkeyPatch, alarm: Any, what: str | None, stack: Stack
) -> None:
    monkeypatch.setattr(probes, "alarm", lambda *_: alarm)
    name = "the health check of the primary record (us-east-1) follows the alarm alarm-drift-east-dev of us-east-1"
    assert faults(stack, with_check(ALARM)) == ([f"{name}, {what}"] if what else [])


@pytest.mark.parametrize("why", ["does not exist", "is of type RECOVERY_CONTROL, which the model does not know"])
def test_a_check_without_a_status_is_named_and_keeps_a_drill_from_starting(why: str, stack: Stack) -> None:
    made = with_check(UnknownCheck(id="gone", why=why, hint="run terraform apply to create it again"))
    sentence = (
        "the health check of the primary record (us-east-1) has no known status: the health check gone "
        f"{why}; run terraform apply to create it again"
    )
    assert faults(stack, made) == unfit_zone(stack, made) == [sentence]


def test_a_check_that_fails_from_the_start_keeps_a_drill_from_starting(stack: Stack) -> None:
    made = with_checks(deployed_zone(), path="/nope")
    assert unfit_zone(stack, made) == faults(stack, made)
    assert len(faults(stack, made)) == 2
    seen_by_the_other = with_checks(deployed_zone(), "secondary", host=host("primary"))
    assert unfit_zone(stack, seen_by_the_other) == []


def test_a_drill_does_not_start_from_a_degraded_state(stack: Stack) -> None:
    preflight.refuse_a_degraded_start(stack)
    stack.tables["secondary"] = "CREATING"
    with pytest.raises(OperationError, match="from a degraded state: table of us-west-2: CREATING"):
        preflight.refuse_a_degraded_start(stack)


def test_the_health_check_of_the_other_region_is_named(stack: Stack) -> None:
    found = faults(stack, deployed_zone(side="secondary", health_check_id="check-primary"))
    assert found == ["the secondary record (us-west-2) has the health check of us-east-1"]


@pytest.mark.parametrize("weights", [(0, 100), (50, 50)])
def test_weights_that_do_not_send_clients_to_the_primary_alone_are_named(
    weights: tuple[int, int], stack: Stack
) -> None:
    (found,) = unfit_to_start(stack, deployed_zone(weights=weights))
    assert found.endswith(f"the weights of app.pay.acme.io are us-east-1 {weights[0]}, us-west-2 {weights[1]}")


def test_a_missing_record_is_named(stack: Stack) -> None:
    made = deployed_zone()
    found = unfit_to_start(stack, Zone("Z1", made.records[:1], made.health_checks))
    assert found == ["app.pay.acme.io has no record of us-west-2"]


@pytest.mark.parametrize("status", [None, "CREATING"])
def test_a_replica_that_is_not_there_is_named(status: Any, make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.replicas["primary"] = status
    (found,) = unfit_to_start(stack, deployed_zone())
    assert found.startswith("no replica in us-west-2: the table transactions of us-east-1 is not replicated")


def test_a_region_that_does_not_serve_the_name_over_tls_is_named() -> None:
    class Client:
        def call(self, side: Side) -> None:
            if side == "secondary":
                raise NotServedError("certificate of elsewhere.test")

    client: Any = Client()
    assert preflight.regions_not_served(Stack(), client) == [
        "us-west-2 does not serve app.pay.acme.io: certificate of elsewhere.test"
    ]
    assert preflight.regions_not_served(Stack(), None) == []


@pytest.fixture
def switched_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with a switch in the standby region."""
    return make_stack(switch=True)


def with_switch_check(stack: Stack, **change: Any) -> Zone:
    """The zone of a stack with a switch, whose health check has other fields."""
    check = stack.zone.health_checks["check-switch"]
    assert isinstance(check, HealthCheck)
    return replace(stack.zone, health_checks={**stack.zone.health_checks, check.id: replace(check, **change)})


def test_a_zone_that_follows_the_switch_has_no_faults(switched_stack: Stack) -> None:
    assert unfit_to_start(switched_stack, switched_stack.zone) == []
    assert faults(switched_stack, switched_stack.zone) == []
    assert settings_of(switched_stack, switched_stack.zone) == settings_of(switched_stack, deployed_zone())
    check = endpoint_check_of(switched_stack, switched_stack.zone, "primary")  # in whatever order the children are
    assert check == switched_stack.zone.health_checks["check-primary"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"inverted": False}, "is not inverted, so clients are sent away while the switch is not set: set Inverted to"),
        ({"disabled": True}, "is disabled, so its status does not depend on the switch: enable it"),
        ({"host": host("primary")}, f"probes {host('primary')}, which is not that region: {ITS_NAME}"),
        ({"type": "TCP"}, "is of type TCP, which passes while the health function answers 503: change its type to"),
        ({"port": 80}, f"probes port 80, but {host('secondary')} listens on 443 only: set its port to 443"),
        ({"sni": False}, f"sends no SNI, so its TLS handshake with {host('secondary')} fails: set EnableSNI to true"),
    ],
)
def test_a_check_of_the_switch_that_sees_something_else_is_named(
    change: dict[str, Any], what: str, switched_stack: Stack
) -> None:
    (found,) = faults(switched_stack, with_switch_check(switched_stack, **change))
    assert found.startswith(f"the health check of the switch, check-switch, {what}")


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (404, "probes a path that its API does not have (HTTP status 404): run terraform apply to set it"),
        (500, "finds that the switch cannot be read: see the log of its function in us-west-2"),
    ],
)
def test_a_switch_that_is_not_there_or_cannot_be_read_is_named(
    status: int, what: str, switched_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probes.probe

    def answer(stack: Stack, check: HealthCheck) -> ProbeResult:
        if check.path == "/switch":
            return ProbeResult(connect_seconds=0, response_seconds=0.1, status=status)
        return probe(stack, check)

    monkeypatch.setattr(probes, "probe", answer)
    assert faults(switched_stack, switched_stack.zone) == [f"the health check of the switch, check-switch, {what}"]


def test_a_record_that_does_not_follow_the_switch_is_named(switched_stack: Stack) -> None:
    (found,) = faults(switched_stack, deployed_zone())
    assert found == (
        "the health check of the primary record (us-east-1) does not follow the switch, so 'dr failover' sends no "
        "client away: run terraform apply"
    )


def test_endpoints_of_the_users_are_drilled_with_a_switch(switched_stack: Stack) -> None:
    switched_stack.outputs |= {f"{side}_probed_host": f"{side}.acme.io" for side in SIDES}
    assert not [each for each in unfit_to_start(switched_stack, switched_stack.zone) if "which the fence stops" in each]
