"""Shapes of stacks beyond the recorded ones, in plans that are as small as the case needs."""

import json
from typing import Any

import pytest

from payment_dr.operations.gate.rules.health_checks import _serves
from payment_dr.operations.gate.topology import MOST_STEPS
from payment_dr.operations.route53.recovery_time import Settings, failover_bound
from tests.operations.gate.changes import (
    ALB,
    API,
    AURORA,
    CF,
    CHECK,
    DNS1,
    DNS2,
    FRANKFURT,
    HC1,
    PARIS,
    RECORD,
    WEIGHTED,
)
from tests.operations.gate.plans import Document, Step, create, document, judged, put, value
from tests.operations.gate.small import (
    FAILOVER,
    LATENCY,
    REGIONS,
    check,
    edited,
    elb,
    gone,
    only,
    pair,
    plan,
    record,
    resource,
    standing,
)


def _both_addresses(found: Document) -> list[str]:
    return [value(found, f"aws_eip.{each}", "public_ip") for each in ("frankfurt", "paris")]


ALONE: dict[str, tuple[str, tuple[Step, ...], str]] = {
    "unhealthy-when-well": ("default", (put(HC1, "invert_healthcheck", True),), HC1),
    "check-stays-healthy": ("default", (put(HC1, "invert_healthcheck", True),), HC1),
    "apply-needs-both": ("default", (), DNS1),
    "state-in-a-region": (
        AURORA,
        (create("terraform_remote_state", "net", {"backend": "s3", "config": {"region": "us-east-1"}}),),
        "data.terraform_remote_state.net",
    ),
    "key-elsewhere": (
        CF,
        (
            put(
                "aws_dynamodb_table.articles",
                "replica.0.kms_key_arn",
                "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d",
            ),
        ),
        "aws_dynamodb_table.articles",
    ),
    "weights-contradict": (
        "default",
        (put(DNS1, "weighted_routing_policy.0.weight", 0), put(DNS2, "weighted_routing_policy.0.weight", 100)),
        DNS1,
    ),
    "alias-not-evaluated": (
        ALB,
        (
            put(f"{RECORD}primary", "health_check_id", ""),
            put(f"{RECORD}primary", "alias.0.evaluate_target_health", False),
        ),
        f"{RECORD}primary",
    ),
    "no-other-region": (  # each of two records has the addresses of both regions
        WEIGHTED,
        tuple(put(each, "records", _both_addresses) for each in (FRANKFURT, PARIS)),
        FRANKFURT,
    ),
    "standby-not-healthy": (
        CF,
        (put(f"{RECORD}direct_sydney", "records", ["ireland.news.acme.io"]),),
        f"{CHECK}sydney",
    ),
}


@pytest.mark.parametrize("rule", ALONE)
def test_a_rule_finds_what_it_is_about(rule: str) -> None:
    stack, steps, address = ALONE[rule]
    found = document(stack)
    for step in steps:
        step(found)
    if rule == "state-in-a-region":
        found["resource_changes"][-1]["address"] = address
    if rule == "alias-not-evaluated":  # where there never was a check
        for each in found["resource_changes"]:
            if each["address"] == address:
                each["change"]["before"]["health_check_id"] = ""
    assert (rule, address) in [(each.rule, each.address) for each in judged(found).findings]


@pytest.mark.parametrize(
    ("policies", "normal"),
    [
        (({"weighted_routing_policy": [{"weight": 1}]}, {"weighted_routing_policy": [{"weight": 0}]}), 1),
        (({"failover_routing_policy": [{"type": "PRIMARY"}]}, {"failover_routing_policy": [{"type": "SECONDARY"}]}), 1),
        (
            (
                {"latency_routing_policy": [{"region": "eu-west-1"}]},
                {"latency_routing_policy": [{"region": "eu-north-1"}]},
            ),
            2,
        ),
        (({"multivalue_answer_routing_policy": True}, {"multivalue_answer_routing_policy": True}), 2),
    ],
    ids=["weighted", "failover", "latency", "multivalue"],
)
def test_each_policy_that_health_decides_is_executed(policies: tuple[Document, Document], normal: int) -> None:
    found = plan(*pair(policies))
    name = only(found)
    assert (found.verdict, name.normal) == ("holds", frozenset(REGIONS[:normal]))
    west, north = (outage for region in REGIONS for outage in name.outages if outage.region == region)
    assert [set(west.to), set(north.to)] == [{"eu-north-1"}, {"eu-west-1"}]
    # 10 x 3 + 30 s, and what the probes and the first write take
    assert west.seconds == pytest.approx(66.7)


@pytest.mark.parametrize("policy", ["geolocation_routing_policy", "geoproximity_routing_policy", "cidr_routing_policy"])
def test_a_policy_that_the_model_does_not_know_is_no_verdict(policy: str) -> None:
    found = plan(*pair(({policy: [{}]}, {policy: [{}]})))
    assert (found.verdict, found.exit_code) == ("cannot tell", 2)
    assert "which the model does not support" in found.unclear[0]


def test_a_check_of_another_stack_is_unknown() -> None:
    found = plan(
        *(record(n, elb(r), p, health_check_id=f"check-{n}") for n, r, p in zip("ab", REGIONS, FAILOVER, strict=True))
    )
    assert found.verdict == "cannot tell"
    assert found.unclear == ("the health check check-a of aws_route53_record.a, which is not in this plan",)


def test_the_record_that_chooses_is_blamed_and_not_the_name_of_a_region_below_it() -> None:
    """Failover records that are aliases of one simple name a region."""
    simple = [
        resource(f"aws_route53_record.{r}", {"zone_id": "Z1", "name": f"{r}.acme.io", "type": "CNAME", "ttl": 30,
                                             "records": [elb(r)]})
        for r in REGIONS
    ]  # fmt: skip
    records = [record(n, f"{r}.acme.io", p) for n, r, p in zip("ab", REGIONS, FAILOVER, strict=True)]
    found = plan(*simple, *records)
    assert [(each.rule, each.address) for each in found.stopping] == [("no-health-check", "aws_route53_record.a")]


def test_a_check_that_probes_the_name_itself_never_finds_its_region_gone() -> None:
    records = [record(n, elb(r), p, health_check_id="check-a") for n, r, p in zip("ab", REGIONS, FAILOVER, strict=True)]
    found = plan(*records, check("a", "app.acme.io"))
    assert found.verdict == "breaks"
    assert "check-probes-elsewhere" in {each.rule for each in found.stopping}


def test_hosts_of_other_stacks_are_places_of_their_own() -> None:
    """A check of the host itself fails with it; one of another host is taken to, and that is said."""
    hosts = ("one.acme.io", "two.acme.io")
    records = [record(n, h, p, health_check_id=f"check-{n}") for n, h, p in zip("ab", hosts, FAILOVER, strict=True)]
    found = plan(*records, *(check(n, h) for n, h in zip("ab", hosts, strict=True)))
    assert (found.verdict, [*only(found).normal], found.notes) == ("holds", ["one.acme.io"], ())
    found = plan(*records, *(check(n, f"status.{h}") for n, h in zip("ab", hosts, strict=True)))
    assert found.verdict == "holds"
    assert "status.one.acme.io, which is not in this plan: assumed to fail with its region" in found.notes[0]


def test_weighted_records_of_one_region_are_not_judged() -> None:
    policy = {"weighted_routing_policy": [{"weight": 50}]}
    records = [record(name, f"{name}.eu-west-1.elb.amazonaws.com", policy) for name in ("blue", "green")]
    assert plan(*records).names == ()


def test_an_origin_group_of_cloudfront_fails_over() -> None:
    origins = [{"origin_id": r, "domain_name": elb(r)} for r in REGIONS]
    group = {"origin_id": "both", "member": [{"origin_id": r} for r in REGIONS]}
    after = {
        "domain_name": "d1.cloudfront.net",
        "origin": origins,
        "origin_group": [group],
        "default_cache_behavior": [{"target_origin_id": "both"}],
    }
    www = resource(
        "aws_route53_record.www",
        {"zone_id": "Z1", "name": "www.acme.io", "type": "A", "alias": [{"name": "d1.cloudfront.net"}]},
    )
    found = plan(resource("aws_cloudfront_distribution.d", after), www)
    assert (found.verdict, [*only(found).normal]) == ("holds", ["eu-west-1"])
    assert {(each.region, *each.to) for each in only(found).outages} == {
        ("eu-west-1", "eu-north-1"),
        ("eu-north-1", "eu-west-1"),
    }


def test_a_switch_of_the_standby_does_not_fail_the_primary_when_the_standby_fails() -> None:
    found = only(judged(document("production")))
    assert {(each.region, *each.to) for each in found.outages} == {
        ("us-east-1", "us-west-2"),
        ("us-west-2", "us-east-1"),
    }


@pytest.mark.parametrize("given", [True, False], ids=["the call sets the region", "the module has a default region"])
@pytest.mark.parametrize("prefix", ["module.site.", ""], ids=["records in the module", "records that use its outputs"])
def test_regions_come_from_providers_of_modules_and_their_variables(prefix: str, given: bool) -> None:
    """A module has one provider from its caller, and makes another whose region is a variable of the module."""
    unknown = {"dns_name": True, "id": True, "arn": True}
    balancers = [resource(f"module.site.aws_lb.{name}", {}, unknown) for name in ("here", "there")]
    records = [
        resource(
            f"{prefix}aws_route53_record.{name}",
            {
                "zone_id": "Z1",
                "name": "app.acme.io",
                "type": "A",
                "set_identifier": name,
                **policy,
                "alias": [{"evaluate_target_health": True}],
            },
            {"alias": [{"name": True}]},
        )
        for name, policy in zip(("here", "there"), FAILOVER, strict=True)
    ]
    config: list[Document] = [
        {"address": f"aws_lb.{name}", "provider_config_key": key}
        for name, key in (("here", "module.site:aws"), ("there", "module.site:aws.far"))
    ]
    names = {name: {"references": [f"aws_lb.{name}.dns_name", f"aws_lb.{name}"]} for name in ("here", "there")}
    outputs = {name: {"expression": expression} for name, expression in names.items()}
    above = {name: {"references": [f"module.site.{name}", "module.site"]} for name in names}
    of_records = [
        {"address": f"aws_route53_record.{name}", "expressions": {"alias": [{"name": expression}]}}
        for name, expression in (names if prefix else above).items()
    ]
    providers = {
        "aws": {"expressions": {"region": {"constant_value": REGIONS[0]}}},
        "module.site:aws.far": {
            "module_address": "module.site",
            "expressions": {"region": {"references": ["var.far"]}},
        },
    }
    module = {"resources": config + of_records * bool(prefix), "outputs": outputs}
    variables = {"far": {} if given else {"default": REGIONS[1]}}
    call: Document = {"module": {**module, "variables": variables}}
    if given:
        call["expressions"] = {"far": {"constant_value": REGIONS[1]}}
    root = {"module_calls": {"site": call}, "resources": of_records * (not prefix)}
    found = plan(*balancers, *records, provider_config=providers, root_module=root)
    assert (found.verdict, sorted(only(found).regions)) == ("holds", sorted(REGIONS)), found.unclear
    assert [each.seconds for each in only(found).outages if each.region == REGIONS[0]] == [None]  # ELB's own health


def test_instances_of_for_each_lead_to_the_instances_of_the_same_key() -> None:
    """`aws_lb.web[each.key].dns_name`, in the record of each key: a plan says "aws_lb.web" and "each.key"."""
    keys = dict(zip("ab", REGIONS, strict=True))
    unknown = {"dns_name": True, "id": True, "arn": True}
    balancers = [
        {**resource(f'aws_lb.web["{key}"]', {"region": region}, unknown), "index": key} for key, region in keys.items()
    ]
    records = [
        {
            **resource(
                f'aws_route53_record.web["{key}"]',
                {"zone_id": "Z1", "name": "app.acme.io", "type": "A", "set_identifier": key, **policy,
                 "alias": [{"evaluate_target_health": True}]},
                {"alias": [{"name": True}]},
            ),
            "index": key,
        }
        for key, policy in zip(keys, FAILOVER, strict=True)
    ]  # fmt: skip
    references = {"references": ["aws_lb.web", "each.key"]}
    config = [
        {
            "address": "aws_route53_record.web",
            "expressions": {"alias": [{"name": references}]},
            "for_each_expression": {"references": ["local.sites"]},
        },
        {"address": "aws_lb.web", "for_each_expression": {"references": ["local.sites"]}},
    ]
    found = plan(*balancers, *records, root_module={"resources": config})
    assert (found.verdict, only(found).normal) == ("holds", frozenset(REGIONS[:1])), found.unclear


def test_regions_come_from_the_providers_of_callers_of_nested_modules() -> None:
    """The inner module has one provider from the root, two modules above it, and one from the module that calls it."""
    keys = {"here": "module.site.module.web:aws", "there": "module.site.module.web:aws.far"}
    unknown = {"dns_name": True, "id": True, "arn": True}
    prefix = "module.site.module.web."
    balancers = [resource(f"{prefix}aws_lb.{name}", {}, unknown) for name in keys]
    records = [
        resource(
            f"{prefix}aws_route53_record.{name}",
            {"zone_id": "Z1", "name": "app.acme.io", "type": "A", "set_identifier": name, **policy,
             "alias": [{"evaluate_target_health": True}]},
            {"alias": [{"name": True}]},
        )
        for name, policy in zip(keys, FAILOVER, strict=True)
    ]  # fmt: skip
    config: list[Document] = [{"address": f"aws_lb.{name}", "provider_config_key": key} for name, key in keys.items()]
    config += [
        {
            "address": f"aws_route53_record.{name}",
            "expressions": {"alias": [{"name": {"references": [f"aws_lb.{name}.dns_name"]}}]},
        }
        for name in keys
    ]
    providers = {
        "aws": {"expressions": {"region": {"constant_value": REGIONS[0]}}},
        "aws.far": {"expressions": {"region": {"constant_value": "ap-south-1"}}},
        "module.site:aws.far": {
            "module_address": "module.site",
            "expressions": {"region": {"constant_value": REGIONS[1]}},
        },
    }
    inner = {"module": {"resources": config}}
    root = {"module_calls": {"site": {"module": {"module_calls": {"web": inner}}}}}
    found = plan(*balancers, *records, provider_config=providers, root_module=root)
    assert (found.verdict, only(found).regions) == ("holds", frozenset(REGIONS)), found.unclear


@pytest.mark.parametrize(
    ("threshold", "decides"),
    [(3, 1), (2, 3), (1, 10)],
    ids=["the fastest of three", "the second of three", "the slowest of three"],
)
def test_a_calculated_check_is_as_slow_as_the_children_that_must_fail(threshold: int, decides: int) -> None:
    """Healthy with 2 of 3: it fails with the second that does (HealthThreshold).

    https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
    """
    children = [
        check(f"a{count}", f"web-{count}.{REGIONS[0]}.elb.amazonaws.com", failure_threshold=count)
        for count in (1, 3, 10)
    ]
    calculated = check(
        "a", "", type="CALCULATED", child_health_threshold=threshold,
        child_healthchecks=[each["change"]["after"]["id"] for each in children],
    )  # fmt: skip
    others = [each for each in pair((FAILOVER[0], FAILOVER[1])) if each["address"] != "aws_route53_health_check.a"]
    name = only(plan(*children, calculated, *others))
    (outage,) = (each for each in name.outages if each.region == REGIONS[0])
    alone = Settings(ttl_seconds=30, request_interval_seconds=10, failure_threshold=decides)
    assert outage.seconds == pytest.approx(failover_bound(alone).total)


def test_a_value_through_a_local_is_named_as_unknown() -> None:
    records = [
        resource(
            f"aws_route53_record.{n}",
            {"zone_id": "Z1", "name": "app.acme.io", "type": "CNAME", "ttl": 30, **p},
            {"records": True},
        )
        for n, p in zip("ab", FAILOVER, strict=True)
    ]
    config = [
        {"address": f"aws_route53_record.{n}", "expressions": {"records": {"references": ["local.hosts"]}}}
        for n in "ab"
    ]
    found = plan(*records, root_module={"resources": config})
    assert found.verdict == "cannot tell"
    assert found.unclear[0] == "records of aws_route53_record.a, by local.hosts"


def test_a_plan_that_destroys_everything_breaks() -> None:
    found = document(API)
    for each in found["resource_changes"]:
        each["change"].update(actions=["delete"], after=None)
    outcome = judged(found)
    assert outcome.verdict == "breaks"
    assert {each.rule for each in outcome.stopping} >= {"name-lost", "copy-lost", "destroyed"}


def test_a_failed_alarm_of_the_failing_region_keeps_its_last_state() -> None:
    """Without data Route 53 keeps what it knew last, so the region stays answered; Unhealthy would move clients."""
    hosts = dict(zip("ab", REGIONS, strict=True))
    records = [
        record(n, elb(r), p, health_check_id=f"check-{n}") for (n, r), p in zip(hosts.items(), FAILOVER, strict=True)
    ]
    for status, verdict in (("LastKnownStatus", "breaks"), ("Unhealthy", "holds")):
        first = check(
            "a", "", type="CLOUDWATCH_METRIC", cloudwatch_alarm_name="canary", cloudwatch_alarm_region=REGIONS[0]
        )
        first["change"]["after"]["insufficient_data_health_status"] = status
        assert plan(*records, first, check("b", elb(REGIONS[1]))).verdict == verdict


@pytest.mark.parametrize(
    ("route", "path", "serves"),
    [
        ("$default", "/health", True),
        ("GET /health", "/health", True),
        ("GET /health", "/health/?deep=1", True),
        ("GET /health", "/live/health", True),
        ("GET /health", "/other/health", False),
        ("GET /health", "/healthy", False),
        ("POST /health", "/health", False),
        ("ANY /health", "/health", True),
        ("GET /{region}/health", "/east/health", True),
        ("GET /{region}/health", "/health", False),
        ("GET /{region}/health", "/east/1/health", False),
        ("GET /{proxy+}", "/east/1/health", True),
    ],
)
def test_a_route_serves_a_path_as_api_gateway_would_match_it(route: str, path: str, serves: bool) -> None:
    assert _serves(route, path, ["$default", "live"]) == serves


@pytest.mark.parametrize(("state", "rules"), [("stopped", {"check-cannot-pass"}), ("running", set[str]())])
def test_a_check_of_an_instance_that_is_stopped_cannot_pass(state: str, rules: set[str]) -> None:
    hosts = [f"ec2-192-0-2-{n}.{region}.compute.amazonaws.com" for n, region in enumerate(REGIONS)]
    parts = [
        each
        for name, host, policy in zip("ab", hosts, FAILOVER, strict=True)
        for each in (record(name, host, policy, health_check_id=f"check-{name}"), check(name, host))
    ]
    instance = {"id": "i-1", "arn": f"arn:aws:ec2:{REGIONS[0]}:1:instance/i-1", "public_dns": hosts[0]}
    found = plan(*parts, resource("aws_instance.a", {**instance, "instance_state": state}))
    assert {each.rule for each in found.findings if each.rule == "check-cannot-pass"} == rules


@pytest.mark.parametrize("service", ["lambda", "states", "ssm", "events"])
def test_a_program_may_not_change_records_or_roles_by_a_policy_that_is_attached_to_its_role(service: str) -> None:
    actions = ["route53:UpdateHealthCheck", "iam:AttachRolePolicy", "route53:*", "iam:*", "iam:*", "s3:GetObject"]
    trust = {"Statement": [{"Principal": {"Service": f"{service}.amazonaws.com"}}]}
    allowed = {"Statement": {"Effect": "Allow", "Action": actions}}
    policy = {"arn": "arn:aws:iam::1:policy/p", "policy": json.dumps(allowed)}
    found = plan(
        *pair(FAILOVER),
        resource("aws_iam_role.program", {"name": "program", "assume_role_policy": json.dumps(trust)}),
        resource("aws_iam_policy.p", policy),
        resource("aws_iam_role_policy_attachment.p", {"role": "program", "policy_arn": policy["arn"]}),
    )
    (finding,) = (each for each in found.findings if each.rule == "control-plane-needed")
    assert finding.address == "aws_iam_policy.p"
    assert "call iam:*, iam:AttachRolePolicy, route53:*, route53:UpdateHealthCheck, which" in finding.what


def there(address: str, **after: Any) -> Document:
    """A resource of the standby region."""
    return resource(address, {"arn": f"arn:aws:any:{REGIONS[1]}:1:{address}", **after})


def found_by(rule: str, *resources: Document) -> list[str]:
    """Where a rule finds something, in a plan with two records that fail over."""
    found = plan(*standing(*pair(FAILOVER)), *resources)
    return [each.address for each in found.findings if each.rule == rule]


@pytest.mark.parametrize(
    ("kind", "attribute", "owner"),
    [
        ("aws_lb_listener", "load_balancer_arn", "aws_lb"),
        ("aws_lb_target_group_attachment", "target_group_arn", "aws_lb_target_group"),
        ("aws_autoscaling_attachment", "lb_target_group_arn", "aws_lb_target_group"),
        ("aws_autoscaling_group", "target_group_arns", "aws_lb_target_group"),
        ("aws_apigatewayv2_stage", "api_id", "aws_apigatewayv2_api"),
        ("aws_apigatewayv2_route", "api_id", "aws_apigatewayv2_api"),
        ("aws_apigatewayv2_integration", "api_id", "aws_apigatewayv2_api"),
        ("aws_apigatewayv2_api_mapping", "domain_name", "aws_apigatewayv2_domain_name"),
        ("aws_api_gateway_stage", "rest_api_id", "aws_api_gateway_rest_api"),
        ("aws_api_gateway_integration", "rest_api_id", "aws_api_gateway_rest_api"),
        ("aws_api_gateway_base_path_mapping", "domain_name", "aws_api_gateway_domain_name"),
        ("aws_lambda_permission", "function_name", "aws_lambda_function"),
        ("aws_rds_cluster_instance", "cluster_identifier", "aws_rds_cluster"),
        ("aws_eip_association", "allocation_id", "aws_eip"),
        ("aws_globalaccelerator_endpoint_group", "listener_arn", "aws_globalaccelerator_listener"),
    ],
)
def test_what_serves_keeps_one_of_each_of_its_parts(kind: str, attribute: str, owner: str) -> None:
    parts = [
        there(f"{kind}.{name}", principal="elasticloadbalancing.amazonaws.com", **{attribute: "it"}) for name in "ab"
    ]
    its_owner = standing(there(f"{owner}.it", id="it"))
    assert found_by("part-lost", *its_owner, *map(gone, parts)) == [f"{kind}.a"]
    assert found_by("part-lost", *its_owner, gone(parts[0]), *standing(parts[1])) == []


BALANCED = {"target_group_arns": ["a"]}


@pytest.mark.parametrize(
    ("group", "is_empty"),
    [
        ({"max_size": 0, **BALANCED}, True),
        ({"max_size": 0, "load_balancers": ["classic"]}, True),
        ({"max_size": 0, "id": "attached"}, True),
        ({"max_size": 0}, False),
        ({"max_size": 2, "desired_capacity": 0, "min_size": 0, **BALANCED}, True),
        ({"max_size": 2, "desired_capacity": 0, "min_size": 1, **BALANCED}, False),
        ({"max_size": 2, "desired_capacity": 1, "min_size": 0, **BALANCED}, False),
        ({"max_size": 0, "arn": "arn:aws:any:us-east-1:1:elsewhere", **BALANCED}, False),
    ],
)
def test_a_group_behind_a_load_balancer_has_an_instance(group: Document, is_empty: bool) -> None:
    attachment = there("aws_autoscaling_attachment.a", autoscaling_group_name="attached")
    found = found_by("serves-nothing", there("aws_autoscaling_group.a", **group), attachment)
    assert found == ["aws_autoscaling_group.a"] * is_empty


@pytest.mark.parametrize(
    ("service", "is_empty"),
    [
        ({"desired_count": 0, "load_balancer": [{}]}, True),
        ({"desired_count": 1, "load_balancer": [{}]}, False),
        ({"desired_count": 0, "load_balancer": []}, False),
        ({"desired_count": 0, "load_balancer": [{}], "arn": "arn:aws:any:us-east-1:1:elsewhere"}, False),
    ],
)
def test_a_service_behind_a_load_balancer_runs_a_task(service: Document, is_empty: bool) -> None:
    assert found_by("serves-nothing", there("aws_ecs_service.a", **service)) == ["aws_ecs_service.a"] * is_empty


@pytest.mark.parametrize(("region", "is_found"), [(REGIONS[0], True), (REGIONS[1], False)])
def test_a_function_that_works_for_the_other_region_can_run_and_is_started(region: str, is_found: bool) -> None:
    """Nobody calls it but its schedule."""
    variables = {"environment": [{"variables": {"REGION": region}}]}
    function = there("aws_lambda_function.f", id="f", **variables)
    paused = there("aws_lambda_function.f", id="f", reserved_concurrent_executions=0, **variables)
    assert found_by("serves-nothing", paused) == ["aws_lambda_function.f"] * is_found
    target = there("aws_cloudwatch_event_target.t", arn="f", rule="r")
    for disabled in ({"state": "DISABLED"}, {"is_enabled": False}):
        rule = there("aws_cloudwatch_event_rule.r", id="r", **disabled)
        assert found_by("serves-nothing", function, target, rule) == ["aws_cloudwatch_event_rule.r"] * is_found
    assert found_by("serves-nothing", function, target, there("aws_cloudwatch_event_rule.r", id="r")) == []


def test_a_policy_that_nobody_can_read_allows_nothing() -> None:
    assert found_by("control-plane-needed", there("aws_iam_policy.p", policy="[" * 100_000)) == []


@pytest.mark.parametrize(
    ("backend", "region", "is_found"),
    [("s3", REGIONS[0], True), ("s3", "us-east-1", False), ("s3", "", False), ("gcs", REGIONS[0], False)],
)
@pytest.mark.parametrize("address", ["data.terraform_remote_state.s", "module.net.data.terraform_remote_state.s"])
def test_state_in_a_bucket_of_a_region_of_the_failover_is_noted(
    address: str, backend: str, region: str, is_found: bool
) -> None:
    state = resource(address, {"backend": backend, "config": {"region": region}})
    found = found_by("state-in-a-region", {**state, "type": "terraform_remote_state", "mode": "data"})
    assert found == [address] * is_found


def test_resources_of_both_regions_in_one_plan_are_noted() -> None:
    here, other = (
        resource(f"aws_lb.{region}", {"arn": f"arn:aws:elasticloadbalancing:{region}:1:lb", "dns_name": elb(region)})
        for region in REGIONS
    )
    assert found_by("apply-needs-both", here) == []
    found = plan(*pair(FAILOVER), here, other)
    (finding,) = (each for each in found.findings if each.rule == "apply-needs-both")
    assert (finding.address, finding.what) == (
        "aws_route53_record.a",
        "is in one plan with resources in eu-north-1 and eu-west-1, and Terraform needs both regions to apply it",
    )


def inconsistent(*records: Document) -> list[str]:
    """Where records of one name differ."""
    checks = (check(name, elb(region)) for name, region in zip("ab", REGIONS, strict=True))
    return [each.address for each in plan(*records, *checks).findings if each.rule == "records-differ"]


def test_records_of_one_name_have_one_policy_and_one_ttl_and_a_set_identifier_each() -> None:
    weights = ({"weighted_routing_policy": [{"weight": 1}]}, {"weighted_routing_policy": [{"weight": 0}]})
    first, second = (each for each in pair(weights) if each["type"] == "aws_route53_record")
    assert inconsistent(first, second) == []
    assert inconsistent(first, edited(second, "create", ttl=60)) == ["aws_route53_record.b"]
    assert inconsistent(first, edited(second, "create", set_identifier="a")) == ["aws_route53_record.b"]
    other = {"weighted_routing_policy": [], **LATENCY[1]}
    assert inconsistent(first, edited(second, "create", **other)) == ["aws_route53_record.a"]
    latency = [each for each in pair(LATENCY) if each["type"] == "aws_route53_record"]
    assert inconsistent(latency[0], edited(latency[1], "create", ttl=60)) == []


@pytest.mark.parametrize(
    ("names", "policies", "where"),
    [
        (("main", "standby"), "weights", "a"),
        (("primary", "failover-site"), "weights", "a"),
        (("blue", "standby"), "weights", ""),
        (("main", "green"), "weights", ""),
        (("standby", "active"), "roles", "b"),
        (("a", "standby-of-main"), "roles", ""),
        (("a", "domain"), "roles", ""),
    ],
)
def test_names_of_records_say_who_answers(names: tuple[str, str], policies: str, where: str) -> None:
    weights = ({"weighted_routing_policy": [{"weight": 0}]}, {"weighted_routing_policy": [{"weight": 1}]})
    parts = pair(weights if policies == "weights" else FAILOVER)
    for each, name in zip((each for each in parts if each["type"] == "aws_route53_record"), names, strict=True):
        each["change"]["after"]["set_identifier"] = name
    found = [each.address for each in plan(*parts).findings if each.rule == "weights-contradict"]
    assert found == [f"aws_route53_record.{each}" for each in where]


def accelerated(*dials: int, **accelerator: Any) -> list[Document]:
    """A name that leads to an accelerator, which has endpoints in both regions."""
    arns = {name: f"arn:aws:globalaccelerator::1:{name}" for name in ("accelerator", "listener")}
    name = "a1.awsglobalaccelerator.com"
    www = {"zone_id": "Z1", "name": "www.acme.io", "type": "A", "alias": [{"name": name}]}
    return [
        resource("aws_route53_record.www", www),
        resource("aws_globalaccelerator_accelerator.a", {"arn": arns["accelerator"], "dns_name": name, **accelerator}),
        resource("aws_globalaccelerator_listener.l", {"arn": arns["listener"], "accelerator_arn": arns["accelerator"]}),
        *(
            resource(
                f"aws_globalaccelerator_endpoint_group.{region}",
                {
                    "arn": f"arn:aws:globalaccelerator::1:{region}",
                    "listener_arn": arns["listener"],
                    "endpoint_group_region": region,
                    "traffic_dial_percentage": dial,
                },
            )
            for region, dial in zip(REGIONS, dials, strict=True)
        ),
    ]


def test_an_accelerator_fails_over_between_the_regions_that_its_dials_let_clients_into() -> None:
    found = plan(*accelerated(100, 100))
    assert (found.verdict, only(found).regions) == ("holds", frozenset(REGIONS))
    assert plan(*accelerated(100, 0)).names == ()
    disabled = plan(*accelerated(100, 100, enabled=False))
    assert ("serves-nothing", "aws_globalaccelerator_accelerator.a") in [
        (each.rule, each.address) for each in disabled.findings
    ]


def test_many_distributions_beside_each_other_are_no_chain() -> None:
    """Each has an origin group, and another origin behind it."""
    origins = [{"origin_id": region, "domain_name": elb(region)} for region in REGIONS]
    group = {"origin_id": "both", "member": [{"origin_id": region} for region in REGIONS]}
    parts = []
    for number in range(2 * MOST_STEPS):
        name, wanted = f"d{number}.cloudfront.net", "both" if number % 2 else REGIONS[0]
        behavior = [{"target_origin_id": wanted}]
        after = {"domain_name": name, "origin": origins, "origin_group": [group], "default_cache_behavior": behavior}
        www = {"zone_id": "Z1", "name": f"www{number}.acme.io", "type": "A", "alias": [{"name": name}]}
        parts += [
            resource(f"aws_cloudfront_distribution.d{number}", after),
            resource(f"aws_route53_record.www{number}", www),
        ]
    found = plan(*parts)
    assert (found.verdict, len(found.names), found.unclear) == ("holds", MOST_STEPS, ())
