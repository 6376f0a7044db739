"""DnsFailover: weighted records with health checks, and an RTO budget that is a rule."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from payment_dr import (
    AlarmTarget,
    App,
    ConfigurationError,
    DisasterRecoveryStack,
    DnsFailover,
    Endpoint,
    HostedZone,
    Region,
    TerraformStack,
)
from payment_dr.bindings import Route53HealthCheck, Route53Record
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.side import Side
from tests.constructs.documents import Json, resource

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]
REGION = {"east": "${data.aws_region.current.name}", "west": "${data.aws_region.current_secondary.name}"}


def host(label: str) -> str:
    return f"${{aws_apigatewayv2_api.health_monitor_{label}_api.id}}.execute-api.{REGION[label]}.amazonaws.com"


@pytest.mark.parametrize("label", ["east", "west"])
def test_each_region_is_probed_over_https_at_its_own_api(stack_text: str, label: str) -> None:
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        Route53HealthCheck.TF_RESOURCE_TYPE,
        {
            "type": "HTTPS",
            "fqdn": host(label),
            "port": 443,
            "resource_path": "/health",
            "request_interval": 30,
            "failure_threshold": 3,
            "enable_sni": True,
            "lifecycle": {"create_before_destroy": True},
        },
    )


@pytest.mark.parametrize(("side", "label", "weight"), [("primary", "east", 100), ("secondary", "west", 0)])
def test_the_records_share_a_name_and_each_has_a_health_check(
    stack_text: str, side: Side, label: str, weight: int
) -> None:
    assert CdktfTesting.to_have_resource_with_properties(
        stack_text,
        Route53Record.TF_RESOURCE_TYPE,
        {
            "zone_id": "${aws_route53_zone.dns_zone.zone_id}",
            "name": "app.${var.domain_name}",
            "type": "CNAME",
            "ttl": 30,
            "records": [host(label)],
            "set_identifier": side,
            "weighted_routing_policy": {"weight": weight},
            "health_check_id": f"${{aws_route53_health_check.dns_{side}_health_check.id}}",
        },
    )


@pytest.mark.parametrize(("side", "label"), [("primary", "east"), ("secondary", "west")])
def test_a_record_is_switched_by_the_region_that_it_points_to(stack_json: Json, side: Side, label: str) -> None:
    check = resource(stack_json, "aws_route53_health_check", f"dns_{side}_health_check")
    record = resource(stack_json, "aws_route53_record", f"dns_{side}_record")
    assert [check["fqdn"]] == record["records"] == [host(label)]


def test_the_zone_is_created_for_the_applications_domain(stack_json: Json) -> None:
    zone = resource(stack_json, "aws_route53_zone", "dns_zone")
    assert zone["name"] == "${var.domain_name}"
    assert zone["force_destroy"] is False  # records that others have put into it are not deleted with it


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_both_health_checks_have_an_alarm_in_us_east_1(stack_json: Json, side: Side) -> None:
    alarm = resource(stack_json, "aws_cloudwatch_metric_alarm", f"dns_{side}_health_check_alarm")
    assert "provider" not in alarm  # the default provider, us-east-1
    assert (alarm["namespace"], alarm["metric_name"], alarm["dimensions"]) == (
        "AWS/Route53",
        "HealthCheckStatus",
        {"HealthCheckId": f"${{aws_route53_health_check.dns_{side}_health_check.id}}"},
    )
    assert (alarm["comparison_operator"], alarm["threshold"], alarm["statistic"]) == ("LessThanThreshold", 1, "Minimum")
    assert (alarm["period"], alarm["evaluation_periods"]) == (60, 1)


EAST = Endpoint(region=Region(name="eu-west-1"), host="a.acme.io")
WEST = Endpoint(region=Region(name="eu-central-1"), host="b.acme.io")


def test_it_works_alone_around_somebody_elses_endpoints(synthesize: Synthesize) -> None:
    stack = synthesize(
        lambda scope: DnsFailover(
            scope,
            "dns",
            primary=EAST,
            secondary=WEST,
            environment="prod",
            domain_name="acme.io",
            record_name="api",
            health_path="/ready",
            request_interval_seconds=10,
            ttl_seconds=60,
            rto_target_seconds=90,
        )
    )
    assert {(r["name"], *r["records"]) for r in stack["resource"]["aws_route53_record"].values()} == {
        ("api.acme.io", "a.acme.io"),
        ("api.acme.io", "b.acme.io"),
    }
    assert {c["resource_path"] for c in stack["resource"]["aws_route53_health_check"].values()} == {"/ready"}
    assert "aws_cloudwatch_metric_alarm" not in stack["resource"]


def timed(stack: TerraformStack, id_: str, interval: int, threshold: int, ttl: int, target: int) -> DnsFailover:
    return DnsFailover(
        stack,
        id_,
        primary=EAST,
        secondary=WEST,
        environment="dev",
        domain_name="acme.io",
        request_interval_seconds=interval,
        failure_threshold=threshold,
        ttl_seconds=ttl,
        rto_target_seconds=target,
    )


def test_a_failover_that_cannot_be_done_in_time_fails_at_synth(their_stack: TerraformStack) -> None:
    with pytest.raises(ConfigurationError) as raised:
        timed(their_stack, "dns", 20, 11, -1, 210)
    assert raised.value.mistakes == (
        "request_interval_seconds=20 is not 30 or 10; use a value such as 30",
        "failure_threshold=11 is not a whole number from 1 to 10; use a value such as 3",
        "ttl_seconds=-1 is not a whole number from 0 to 2,147,483,647; use a value such as 30",
        "request_interval_seconds=20 x failure_threshold=11 + ttl_seconds=-1 is 219 s, beyond rto_target_seconds=210; "
        "lower request_interval_seconds to 10 or failure_threshold",
    )


@pytest.mark.parametrize(("interval", "threshold", "ttl"), [(30, 3, 90), (10, 5, 7), (30, 1, 0)])
def test_the_budget_is_interval_times_threshold_plus_ttl(
    their_stack: TerraformStack, interval: int, threshold: int, ttl: int
) -> None:
    budget = interval * threshold + ttl
    with pytest.raises(ConfigurationError, match=f"is {budget} s, beyond rto_target_seconds={budget - 1}; "):
        timed(their_stack, "late", interval, threshold, ttl, budget - 1)
    timed(their_stack, "in_time", interval, threshold, ttl, budget)


def test_alarms_outside_us_east_1_fail_at_synth(their_stack: TerraformStack) -> None:
    with pytest.raises(ConfigurationError, match="metrics of health checks exist in us-east-1 only"):
        DnsFailover(
            their_stack,
            "dns",
            primary=EAST,
            secondary=WEST,
            environment="dev",
            domain_name="acme.io",
            alarms=AlarmTarget(topic_arn="arn:aws:sns:eu-west-1:123456789012:t"),
            alarms_region=EAST.region,
        )


def with_alarms(stack: TerraformStack, *alarm_seconds: int, id_: str = "dns", **props: Any) -> DnsFailover:
    """A failover whose endpoints have alarms that fire within these seconds, the primary's first."""
    primary, secondary = (
        replace(each, alarm_name=f"writes-fail-{each.host}", alarm_seconds=seconds) if seconds else each
        for each, seconds in zip((EAST, WEST), alarm_seconds, strict=True)
    )
    usual: Json = {"primary": primary, "secondary": secondary, "environment": "dev", "domain_name": "acme.io"}
    return DnsFailover(stack, id_, **(usual | props))


def test_an_alarm_decides_together_with_the_probe(synthesize: Synthesize) -> None:
    made: list[DnsFailover] = []
    stack = synthesize(lambda scope: made.append(with_alarms(scope, 120, 60)))["resource"]
    checks = stack["aws_route53_health_check"]
    for side, endpoint in (("primary", EAST), ("secondary", WEST)):
        ids = {
            what: f"aws_route53_health_check.{next(key for key in checks if f'{side}_{what}' in key)}.id"
            for what in ("health_check", "alarm_health_check", "calculated_health_check")
        }
        probe, alarm, both = (checks[each.split(".")[1]] for each in ids.values())
        assert (probe["type"], probe["fqdn"]) == ("HTTPS", endpoint.host)
        assert {key: alarm[key] for key in alarm if key not in ("tags", "lifecycle")} == {
            "type": "CLOUDWATCH_METRIC",
            "cloudwatch_alarm_name": f"writes-fail-{endpoint.host}",
            "cloudwatch_alarm_region": REGION["east"],
            "insufficient_data_health_status": "LastKnownStatus",
        }
        children = [f"${{{ids['health_check']}}}", f"${{{ids['alarm_health_check']}}}"]
        assert (both["type"], both["child_healthchecks"], both["child_health_threshold"]) == ("CALCULATED", children, 2)
        assert {each["lifecycle"]["create_before_destroy"] for each in (probe, alarm, both)} == {True}
        (record,) = [r for r in stack["aws_route53_record"].values() if r["set_identifier"] == side]
        assert record["health_check_id"] == f"${{{ids['calculated_health_check']}}}"
        assert len({each["tags"]["Name"] for each in (probe, alarm, both)}) == 3


def test_an_endpoint_without_an_alarm_keeps_its_one_check(synthesize: Synthesize) -> None:
    checks = synthesize(lambda scope: with_alarms(scope, 120, 0))["resource"]["aws_route53_health_check"]
    assert sorted(check["type"] for check in checks.values()) == ["CALCULATED", "CLOUDWATCH_METRIC", "HTTPS", "HTTPS"]


@pytest.mark.parametrize(
    ("seconds", "props", "mistake"),
    [
        (
            (60, 151),
            {},
            "alarm_seconds=151 + ttl_seconds=30 is 181 s, beyond rto_target_seconds=180; lower ttl_seconds to 29 or "
            "less, or raise rto_target_seconds to 181",
        ),
        (
            (180, 60),
            {},
            "alarm_seconds=180 + ttl_seconds=30 is 210 s, beyond rto_target_seconds=180; follow an alarm that fires "
            "earlier, or raise rto_target_seconds to 210",
        ),
        (
            (59, 60),
            {},
            "alarm_seconds=59 is not a whole number of 60 or more; use a value such as 120",
        ),
    ],
)
def test_an_alarm_that_fires_too_late_fails_at_synth(
    their_stack: TerraformStack, seconds: tuple[int, int], props: Json, mistake: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        with_alarms(their_stack, *seconds, **props)
    assert raised.value.mistakes == (mistake,)


def test_an_alarm_must_fire_within_the_time_that_a_ttl_of_60_leaves(their_stack: TerraformStack) -> None:
    with_alarms(their_stack, 120, 120, id_="in_time", ttl_seconds=60)
    with pytest.raises(ConfigurationError, match=r"alarm_seconds=120 . ttl_seconds=61 is 181 s"):
        with_alarms(their_stack, 120, 120, ttl_seconds=61)


@pytest.mark.parametrize(
    ("alone", "mistake"),
    [
        ({"alarm_name": "a"}, "secondary has alarm_name and no alarm_seconds; give both, or neither"),
        ({"alarm_seconds": 60}, "secondary has alarm_seconds and no alarm_name; give both, or neither"),
    ],
)
def test_an_alarm_has_a_name_and_a_time(their_stack: TerraformStack, alone: Json, mistake: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        with_alarms(their_stack, 0, 0, secondary=replace(WEST, **alone))
    assert raised.value.mistakes == (mistake,)


CUSTOM: Json = {"region": EAST.region, "host": "a.acme.io", "api_id": "a", "stage": "$default"}
WITH_A_CUSTOM_DOMAIN: Json = {
    "primary": Endpoint(**CUSTOM),
    "secondary": Endpoint(region=WEST.region, host="b.acme.io", api_id="b", stage="live"),
    "environment": "dev",
    "domain_name": "pay.acme.io",
    "custom_domain": True,
}


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (
            {"ttl_seconds": 30},
            "ttl_seconds=30: with custom_domain the records are aliases, whose TTL of 60 is API Gate",
        ),
        (
            {"failure_threshold": 5},
            "x failure_threshold=5 + the TTL of an alias, 60 is 210 s, beyond rto_target_second",
        ),
        (
            {"primary": Endpoint(**CUSTOM, alarm_name="a", alarm_seconds=121)},
            "alarm_seconds=121 + the TTL of an alias, 60 is 181 s, beyond rto_target_seconds=180; follow an alarm",
        ),
        (
            {"primary": EAST},
            "custom_domain: primary has no api_id and no stage; give the Endpoint the HTTP API that the",
        ),
    ],
)
def test_a_custom_domain_that_cannot_work_fails_at_synth(
    their_stack: TerraformStack, change: Json, mistake: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DnsFailover(their_stack, "dns", **{**WITH_A_CUSTOM_DOMAIN, **change})
    assert [mistake in found for found in raised.value.mistakes] == [True]


@pytest.mark.parametrize(("side", "weight"), [("primary", 100), ("secondary", 0)])
def test_with_a_custom_domain_the_records_are_aliases_that_the_health_check_switches(
    synthesize: Synthesize, side: Side, weight: int
) -> None:
    stack = synthesize(lambda scope: DnsFailover(scope, "dns", **WITH_A_CUSTOM_DOMAIN))
    (record,) = [r for r in stack["resource"]["aws_route53_record"].values() if r.get("set_identifier") == side]
    (domain,) = [key for key in stack["resource"]["aws_apigatewayv2_domain_name"] if side in key]
    target = f"aws_apigatewayv2_domain_name.{domain}.domain_name_configuration[0]"
    assert (record["name"], record["type"], record["weighted_routing_policy"]["weight"]) == (
        "app.pay.acme.io",
        "A",
        weight,
    )
    assert record["alias"] == {
        "name": f"${{{target}.target_domain_name}}",
        "zone_id": f"${{{target}.hosted_zone_id}}",
        "evaluate_target_health": True,
    }
    assert f"{side}_health_check" in record["health_check_id"]
    assert not {"ttl", "records"} & record.keys()
    checks = stack["resource"]["aws_route53_health_check"].values()
    assert {check["fqdn"] for check in checks} == {"a.acme.io", "b.acme.io"}  # still the APIs' own hosts


def test_a_zone_that_exists_is_used_and_none_is_made(synthesize: Synthesize) -> None:
    zone = HostedZone(zone_id="Z1", name="acme.io", name_servers=["ns-1.acme.io"])
    made: list[DnsFailover] = []
    stack = synthesize(lambda scope: made.append(DnsFailover(scope, "dns", hosted_zone=zone, **WITH_A_CUSTOM_DOMAIN)))
    assert "aws_route53_zone" not in stack["resource"]
    assert "data" not in stack
    assert {record["zone_id"] for record in stack["resource"]["aws_route53_record"].values()} == {"Z1"}
    assert (made[0].zone_id, made[0].zone_name, made[0].name_servers) == ("Z1", "acme.io", ["ns-1.acme.io"])


def test_name_servers_of_a_zone_that_exists_need_not_be_known(new_app: Callable[[], App]) -> None:
    zone = HostedZone(zone_id="Z1", name="acme.io")
    stack = json.loads(CdktfTesting.synth(DisasterRecoveryStack(new_app(), "payment-dr", hosted_zone=zone)))
    assert stack["output"]["hosted_zone_name_servers"]["value"] == []
    assert "aws_route53_zone" not in stack["resource"]


@pytest.mark.parametrize("domain_name", ["acme.com", "payacme.io"])
def test_a_domain_outside_the_zone_fails_at_synth(their_stack: TerraformStack, domain_name: str) -> None:
    zone = HostedZone(zone_id="Z1", name="acme.io")
    with pytest.raises(ConfigurationError, match=f"domain_name='{domain_name}' is not in the hosted zone 'acme.io'"):
        DnsFailover(
            their_stack,
            "dns",
            primary=EAST,
            secondary=WEST,
            environment="dev",
            domain_name=domain_name,
            hosted_zone=zone,
        )


@pytest.mark.parametrize(("threshold", "warned"), [(3, False), (4, True)])
def test_a_warning_names_a_budget_that_hanging_probes_exceed(
    their_stack: TerraformStack, threshold: int, warned: bool
) -> None:
    dns = DnsFailover(
        their_stack,
        "dns",
        primary=EAST,
        secondary=WEST,
        environment="dev",
        domain_name="acme.io",
        failure_threshold=threshold,
        ttl_seconds=60,
    )
    warnings = [str(entry.data) for entry in dns.node.metadata]
    assert [f"(30 + 6) x {threshold} + 60 = 204 s, beyond rto_target_seconds=180" in w for w in warnings] == (
        [True] if warned else []
    )


def test_another_host_than_the_one_that_clients_get_can_be_probed(
    synthesize: Synthesize, pair: tuple[Region, Region]
) -> None:
    def endpoint(region: Region) -> Endpoint:
        return Endpoint(region=region, host=f"{region.label}.acme.io", health_host=f"health.{region.label}.acme.io")

    made = synthesize(
        lambda stack: DnsFailover(
            stack,
            "dns",
            primary=endpoint(pair[0]),
            secondary=endpoint(pair[1]),
            environment="prod",
            domain_name="pay.acme.io",
        )
    )["resource"]
    assert [check["fqdn"] for check in made["aws_route53_health_check"].values()] == [
        "health.west.acme.io",
        "health.central.acme.io",
    ]
    assert [record["records"] for record in made["aws_route53_record"].values()] == [
        ["west.acme.io"],
        ["central.acme.io"],
    ]
