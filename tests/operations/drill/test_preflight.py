"""What is wrong before anything has failed, in sentences that name the cause."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from payment_dr.operations.deployed_zone import settings_of
from payment_dr.operations.drill import preflight
from payment_dr.operations.drill.tls_client import NotServedError
from payment_dr.operations.route53.zone import Zone
from payment_dr.side import SIDES, Side
from tests.operations.drill.parts import deployed_zone
from tests.operations.stack import Stack, with_checks


def test_nothing_is_found_in_a_zone_as_it_should_be(stack: Stack) -> None:
    assert preflight.unfit_to_start(stack, deployed_zone()) == []
    assert preflight.faults(stack, deployed_zone()) == []


def test_nothing_is_found_in_a_custom_domain_whose_records_are_aliases(make_stack: Callable[..., Stack]) -> None:
    stack, made = make_stack(custom_domain=True), deployed_zone(custom_domain=True)
    assert preflight.unfit_to_start(stack, made) == []
    assert preflight.faults(stack, made) == []
    assert settings_of(stack, made).ttl_seconds == 60


def test_an_alias_of_something_else_is_no_record_of_the_region(make_stack: Callable[..., Stack]) -> None:
    made = deployed_zone(custom_domain=True)
    other = replace(made.records[1], values=("d-2.execute-api.us-west-2.amazonaws.com",))
    elsewhere = Zone("Z1", (made.records[0], other), made.health_checks)
    found = preflight.unfit_to_start(make_stack(custom_domain=True), elsewhere)
    assert found == ["app.pay.acme.io has no record of us-west-2"]


def test_endpoints_of_the_users_are_drilled_while_the_monitor_is_probed(stack: Stack) -> None:
    made = deployed_zone()
    hosts = ("east.pay.acme.io", "west.pay.acme.io")
    records = tuple(replace(record, values=(host,)) for record, host in zip(made.records, hosts, strict=True))
    made = replace(made, records=records)
    for side, host in zip(SIDES, hosts, strict=True):
        stack.outputs |= {f"{side}_endpoint_host": host, f"{side}_probed_host": stack.api_host(side)}
    assert preflight.unfit_to_start(stack, made) == []
    assert preflight.faults(stack, made) == []
    stack.outputs["primary_probed_host"] = hosts[0]
    assert preflight.unfit_to_start(stack, made) == [
        "Route 53 probes east.pay.acme.io in us-east-1, and not the health monitor, which the fence stops"
    ]


def test_a_long_ttl_is_the_cause_of_a_slow_failover(stack: Stack) -> None:
    found = preflight.faults(stack, deployed_zone(side="secondary", ttl_seconds=300))
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
    faults = preflight.faults(stack, deployed_zone(ttl_seconds=ttl))
    assert [fault.rpartition(", ")[2] for fault in faults] == found


def test_a_slow_health_check_is_the_cause_of_a_slow_failover(stack: Stack) -> None:
    made = deployed_zone()
    found = preflight.faults(stack, with_checks(made, "primary", failure_threshold=10))
    assert found[0].startswith("the health check of us-east-1 needs 10 x 30 s, so")


@pytest.mark.parametrize(
    ("side", "so"),
    [
        ("primary", "the primary record (us-east-1) has no health check, so Route 53 never stops answering with it"),
        (
            "secondary",
            "the secondary record (us-west-2) has no health check, "
            "so Route 53 takes it for healthy even when it is not",
        ),
    ],
)
def test_a_record_without_a_health_check_is_named(side: Side, so: str, stack: Stack) -> None:
    assert preflight.faults(stack, deployed_zone(side=side, health_check_id=None)) == [so]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"disabled": True}, "is disabled, so Route 53 takes it for healthy even when it is not"),
        ({"inverted": True}, "is inverted: healthy counts as unhealthy"),
        ({"host": "status.acme.io"}, "probes status.acme.io, which is not that region"),
    ],
)
def test_a_health_check_that_sees_something_else_is_named(change: dict[str, Any], what: str, stack: Stack) -> None:
    made = deployed_zone()
    found = preflight.faults(stack, with_checks(made, "secondary", **change))
    assert found == [f"the health check of the secondary record (us-west-2) {what}"]


def test_the_health_check_of_the_other_region_is_named(stack: Stack) -> None:
    found = preflight.faults(stack, deployed_zone(side="secondary", health_check_id="check-primary"))
    assert found == ["the secondary record (us-west-2) has the health check of us-east-1"]


@pytest.mark.parametrize("weights", [(0, 100), (50, 50)])
def test_weights_that_do_not_send_clients_to_the_primary_alone_are_named(
    weights: tuple[int, int], stack: Stack
) -> None:
    (found,) = preflight.unfit_to_start(stack, deployed_zone(weights=weights))
    assert found.endswith(f"the weights of app.pay.acme.io are us-east-1 {weights[0]}, us-west-2 {weights[1]}")


def test_a_missing_record_is_named(stack: Stack) -> None:
    made = deployed_zone()
    found = preflight.unfit_to_start(stack, Zone("Z1", made.records[:1], made.health_checks))
    assert found == ["app.pay.acme.io has no record of us-west-2"]


@pytest.mark.parametrize("status", [None, "CREATING"])
def test_a_replica_that_is_not_there_is_named(status: Any, make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.replicas["primary"] = status
    (found,) = preflight.unfit_to_start(stack, deployed_zone())
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
