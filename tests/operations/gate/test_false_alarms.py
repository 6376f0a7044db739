# ruff: noqa: E501 - tables
"""Ordinary plans of other people's stacks, none of which breaks a failover.

A gate that stops one of these is switched off the same day.
"""

from typing import Any

import pytest

from tests.operations.gate.plans import Document, judged
from tests.operations.gate.small import (
    FAILOVER,
    LATENCY,
    REGIONS,
    check,
    edited,
    elb,
    gone,
    pair,
    record,
    resource,
    standing,
)

WEST, NORTH = REGIONS
ACCOUNT = "123456789012"
ANYBODY = ["0.0.0.0/0"]


def arn(service: str, region: str, name: str) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{name}"


def in_region(address: str, region: str, **after: Any) -> Document:
    """A resource of a known region: an ARN has it."""
    kind, _, name = address.partition(".")
    return resource(address, {"id": name, "arn": arn(kind.removeprefix("aws_"), region, name), **after})


def balancer(name: str, region: str, **after: Any) -> Document:
    host = f"{name}.{region}.elb.amazonaws.com"
    return in_region(f"aws_lb.{name}", region, dns_name=host, enable_deletion_protection=False, **after)


def site(region: str = WEST, name: str = "app.acme.io") -> list[Document]:
    """A stack of one region: a name, a load balancer with its parts, a health check with an alarm, a key."""
    lb = balancer("web", region)
    lb_arn = lb["change"]["after"]["arn"]
    group = in_region("aws_lb_target_group.web", region)
    key = in_region("aws_kms_key.data", region, is_enabled=True)
    key_arn = key["change"]["after"]["arn"]
    return [
        lb,
        in_region("aws_lb_listener.https", region, load_balancer_arn=lb_arn, port=443, protocol="HTTPS"),
        group,
        in_region("aws_lb_target_group_attachment.web", region, target_group_arn=group["change"]["after"]["arn"]),
        resource("aws_route53_record.web", {"zone_id": "Z1", "name": name, "type": "A",
                                            "alias": [{"name": elb(region).replace("web-1", "web")}]}),
        check("web", f"web.{region}.elb.amazonaws.com"),
        resource("aws_cloudwatch_metric_alarm.web",
                 {"arn": arn("cloudwatch", "us-east-1", "alarm:web"), "namespace": "AWS/Route53",
                  "metric_name": "HealthCheckStatus", "dimensions": {"HealthCheckId": "check-web"},
                  "alarm_actions": [arn("sns", "us-east-1", "ops")]}),
        key,
        in_region("aws_ebs_volume.data", region, kms_key_id=key_arn),
        in_region("aws_sns_topic.orders", region),
        resource("aws_sns_topic_subscription.orders", {"topic_arn": arn("sns_topic", region, "orders")}),
    ]  # fmt: skip


def two_regions() -> list[Document]:
    return standing(*pair((FAILOVER[0], FAILOVER[1])))


def function(name: str, region: str = WEST, **after: Any) -> Document:
    return in_region(f"aws_lambda_function.{name}", region, function_name=name, **after)


def role_of(service: str, name: str = "worker") -> Document:
    policy = f'{{"Statement": [{{"Principal": {{"Service": "{service}.amazonaws.com"}}}}]}}'
    return resource(f"aws_iam_role.{name}", {"id": name, "name": name, "assume_role_policy": policy})


DNS_RIGHTS = '{"Statement": [{"Effect": "Allow", "Action": ["route53:ChangeResourceRecordSets"], "Resource": "*"}]}'
FEDERATED = {"id": "dns", "name": "dns", "assume_role_policy": '{"Statement": [{"Principal": {"Federated": "oidc"}}]}'}

# Stacks of one region: nothing of theirs fails over, so nothing can break it.
ONE_REGION: dict[str, list[Document]] = {
    "a first plan": site(),
    "nothing to change": standing(*site()),
    "the stack is destroyed": [gone(each) for each in site()],
    "a tag": [edited(each, tags={"Team": "web"}) for each in site()],
    "an alarm without actions": [*standing(*site()), in_region("aws_cloudwatch_metric_alarm.cpu", WEST,
                                                               namespace="AWS/EC2", alarm_actions=[])],
    "an alarm that never fires": [*standing(*site()), in_region("aws_cloudwatch_metric_alarm.dns", WEST,
                                                                namespace="AWS/Route53", alarm_actions=["arn:a:sns"])],
    "the only subscription of a topic goes": [*standing(*site()[:-1]), gone(site()[-1])],
    "a key that nothing uses is disabled": [*standing(*site()), edited(in_region("aws_kms_key.old", WEST),
                                                                       is_enabled=False)],
    "external-dns gets its policy": [*standing(*site()), resource("aws_iam_role.dns", FEDERATED), resource(
        "aws_iam_policy.dns", {"name": "dns", "policy": DNS_RIGHTS})],
    "a worker scaled to nothing": [*standing(*site()), in_region("aws_autoscaling_group.jobs", WEST, min_size=0,
                                                                 desired_capacity=0, max_size=9)],
    "blue and green by weight": standing(*(
        record(name, f"{name}.{WEST}.elb.amazonaws.com", {"weighted_routing_policy": [{"weight": 50}]})
        for name in ("blue", "green"))),
    "a canary between hosts of no known region": [
        edited(record("old", "old.acme.io", {"weighted_routing_policy": [{"weight": 100}]}, health_check_id="check-old"),
               weighted_routing_policy=[{"weight": 90}]),
        edited(record("new", "new.acme.io", {"weighted_routing_policy": [{"weight": 0}]}, health_check_id="check-new"),
               weighted_routing_policy=[{"weight": 10}]),
        *standing(check("old", "old.acme.io"), check("new", "new.acme.io")),
    ],
    "a sorry page in the same region": standing(
        record("main", elb(WEST), FAILOVER[0], health_check_id="check-main"),
        record("sorry", f"sorry.acme.io.s3-website.{WEST}.amazonaws.com", FAILOVER[1]),
        check("main", elb(WEST))),
    "a private zone": standing(
        in_region("aws_route53_zone.inside", WEST, name="inside.acme.io", vpc=[{"vpc_id": "vpc-1"}], zone_id="Z9"),
        resource("aws_route53_record.db", {"zone_id": "Z9", "name": "db.inside.acme.io", "type": "CNAME", "ttl": 60,
                                           "records": [f"db.x.{WEST}.rds.amazonaws.com"]})),
    "only data are read": [{**in_region("data.aws_ami.linux", WEST), "type": "aws_ami",
                            "change": {"actions": ["read"], "before": None, "after": {"id": "ami-1"}}}],
    "this stack has the primary record, another one the standby's": standing(
        record("main", elb(WEST), FAILOVER[0], health_check_id="check-main"), check("main", elb(WEST))),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_REGION)
def test_a_stack_of_one_region_is_never_stopped(name: str) -> None:
    found = judged({"format_version": "1.2", "resource_changes": ONE_REGION[name]})
    assert found.verdict != "breaks"
    assert [each.sentence for each in found.stopping] == []


# Stacks that fail over, and changes of something else in them.
BESIDE: dict[str, list[Document]] = {
    "an internal load balancer without protection": [balancer("inside", WEST, internal=True)],
    "an alarm that a composite one has": [in_region("aws_cloudwatch_metric_alarm.part", WEST, namespace="AWS/SQS",
                                                    alarm_actions=[])],
    "a worker scaled to nothing": [in_region("aws_autoscaling_group.jobs", WEST, min_size=0, desired_capacity=0)],
    "a green service without tasks yet": [in_region("aws_ecs_service.green", WEST, desired_count=0)],
    "a schedule that is not yet on": [in_region("aws_cloudwatch_event_rule.later", WEST, state="DISABLED")],
    "a key that nothing uses is disabled": [edited(in_region("aws_kms_key.old", WEST), is_enabled=False)],
    "a key that nothing uses is destroyed": [gone(in_region("aws_kms_key.old", WEST))],
    "a key is destroyed with all that it encrypted": [
        gone(in_region("aws_kms_key.old", WEST)),
        gone(in_region("aws_ebs_volume.old", WEST, kms_key_id=arn("kms_key", WEST, "old")))],
    "the only subscription of a topic of events goes": [
        *standing(in_region("aws_sns_topic.orders", WEST)),
        gone(resource("aws_sns_topic_subscription.orders", {"topic_arn": arn("sns_topic", WEST, "orders")}))],
    "external-dns gets its policy": [
        resource("aws_iam_role.dns", FEDERATED),
        resource("aws_iam_policy.dns", {"name": "dns", "arn": "arn:aws:iam::1:policy/dns", "policy": DNS_RIGHTS}),
        resource("aws_iam_role_policy_attachment.dns", {"role": "dns", "policy_arn": "arn:aws:iam::1:policy/dns"})],
    "the state of the network is read": [{**resource("data.terraform_remote_state.net", {}),
                                          "type": "terraform_remote_state",
                                          "change": {"actions": ["read"], "before": None, "after": {
                                              "backend": "s3", "config": {"region": WEST}}}}],
    "targets are attached by the group, no longer one by one": [
        *standing(in_region("aws_lb_target_group.web", WEST)),
        gone(in_region("aws_lb_target_group_attachment.web", WEST, target_group_arn=arn("lb_target_group", WEST, "web"))),
        in_region("aws_autoscaling_group.web", WEST, target_group_arns=[arn("lb_target_group", WEST, "web")],
                  min_size=2, desired_capacity=2)],
    "a batch function is no longer started by a bucket": [
        *standing(function("batch")),
        gone(resource("aws_lambda_permission.batch", {"function_name": arn("lambda_function", WEST, "batch"),
                                                      "principal": "s3.amazonaws.com"}))],
    "an inline policy moves into a managed one": [
        *standing(role_of("lambda"), function("api", role="worker")),
        gone(resource("aws_iam_role_policy.api", {"role": "worker", "policy": "{}"})),
        resource("aws_iam_policy_attachment.api", {"roles": ["worker"], "policy_arn": "arn:aws:iam::1:policy/api"})],
    "rules of a security group move to resources of their own": [
        *standing(balancer("web-1", WEST, security_groups=["sg-1"]),
                  in_region("aws_lb_listener.https", WEST, load_balancer_arn=arn("lb", WEST, "web-1"), port=443)),
        edited(in_region("aws_security_group.web", WEST, id="sg-1", ingress=[
            {"from_port": 443, "to_port": 443, "cidr_blocks": ["0.0.0.0/0"]}]), ingress=[]),
        in_region("aws_vpc_security_group_ingress_rule.cdn", WEST, security_group_id="sg-1", from_port=443, to_port=443,
                  prefix_list_id="pl-1"),
    ],
    "a new load balancer beside the one that is probed": [
        *standing(balancer("web-1", WEST, security_groups=[])),
        balancer("web-2", WEST, security_groups=["sg-2"]),
        in_region("aws_security_group.new", WEST, id="sg-2", ingress=[]),
        in_region("aws_lb_listener.new", WEST, load_balancer_arn=arn("lb", WEST, "web-2"), port=443)],
    "a record of the private zone of the same name": standing(
        in_region("aws_route53_zone.inside", WEST, name="acme.io", vpc=[{"vpc_id": "vpc-1"}], zone_id="Z9"),
        resource("aws_route53_record.inside", {"zone_id": "Z9", "name": "app.acme.io", "type": "CNAME", "ttl": 60,
                                               "records": [f"inside.{WEST}.elb.amazonaws.com"]}),
        resource("aws_route53_record.www", {"zone_id": "Z1", "name": "www.acme.io", "type": "CNAME", "ttl": 60,
                                            "records": ["app.acme.io"]})),
    "a validation record": [resource("aws_route53_record.cert", {"zone_id": "Z1", "name": "_1a2b.acme.io", "ttl": 60,
                                                                 "type": "CNAME", "records": ["_3c.acm-validations.aws"]})],
    "objects are replicated within a region, for an archive": standing(
        in_region("aws_s3_bucket.logs", WEST, bucket="logs"), in_region("aws_s3_bucket.archive", WEST, bucket="archive"),
        resource("aws_s3_bucket_replication_configuration.logs", {"bucket": "logs", "rule": [
            {"status": "Enabled", "destination": [{"bucket": arn("s3_bucket", WEST, "archive")}]}]})),
    "an alarm that never fired is as it was": standing(
        in_region("aws_cloudwatch_metric_alarm.dns", WEST, namespace="AWS/Route53", alarm_actions=["arn:a:sns"]),
        in_region("aws_cloudwatch_metric_alarm.cpu", WEST, alarm_actions=[arn("sns", NORTH, "ops")])),
    "a key of old backups is disabled as it was": standing(
        in_region("aws_kms_key.old", WEST, is_enabled=False),
        in_region("aws_ebs_snapshot.old", WEST, kms_key_id=arn("kms_key", WEST, "old"))),
    "an alarm on the health check uses metric math": [
        edited(in_region("aws_cloudwatch_metric_alarm.down", "us-east-1", namespace="AWS/Route53", alarm_actions=["arn:a:sns"],
                         metric_name="HealthCheckStatus", dimensions={"HealthCheckId": "check-a"}),
               metric_name=None, dimensions=None, metric_query=[{"metric": [
                   {"metric_name": "HealthCheckStatus", "dimensions": {"HealthCheckId": "check-a"}}]}])],
    "a nightly job is switched off": [
        edited(in_region("aws_cloudwatch_event_rule.nightly", WEST, state="ENABLED"), state="DISABLED"),
        *standing(function("nightly", environment=[{"variables": {"BUCKET": f"reports-{WEST}"}}]),
                  resource("aws_cloudwatch_event_target.nightly", {"rule": "nightly",
                                                                   "arn": arn("lambda_function", WEST, "nightly")}))],
    "a worker that is there is scaled to nothing": [
        edited(in_region("aws_autoscaling_group.jobs", WEST, min_size=1, desired_capacity=1), min_size=0, desired_capacity=0),
        edited(in_region("aws_ecs_service.jobs", WEST, desired_count=2, load_balancer=[]), desired_count=0)],
    "a batch function may not run for a while": [
        edited(function("batch", reserved_concurrent_executions=5), reserved_concurrent_executions=0)],
    "an old distribution is disabled": [
        edited(resource("aws_cloudfront_distribution.old", {"id": "old", "enabled": True}), enabled=False)],
    "an alarm that a health check follows": [
        edited(in_region("aws_cloudwatch_metric_alarm.canary", NORTH, alarm_name="canary", alarm_actions=["arn:a:sns"],
                         namespace="CloudWatchSynthetics"), alarm_actions=[]),
        check("canary", "", type="CLOUDWATCH_METRIC", cloudwatch_alarm_name="canary", cloudwatch_alarm_region=NORTH)],
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_a_change_beside_a_failover_is_not_stopped(name: str) -> None:
    found = judged({"format_version": "1.2", "resource_changes": [*two_regions(), *BESIDE[name]]})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])


@pytest.mark.parametrize(("direction", "stopped"), [("ingress", False), ("egress", True)])
def test_a_rule_of_a_security_group_lets_checkers_in_only_if_it_is_for_incoming_traffic(
    direction: str, stopped: bool
) -> None:
    group = in_region(
        "aws_security_group.web", WEST, id="sg-1", ingress=[{"from_port": 443, "to_port": 443, "cidr_blocks": ANYBODY}]
    )
    found = judged(
        {
            "format_version": "1.2",
            "resource_changes": [
                *two_regions(),
                *standing(
                    balancer("web-1", WEST, security_groups=["sg-1"]),
                    in_region("aws_lb_listener.https", WEST, load_balancer_arn=arn("lb", WEST, "web-1"), port=443),
                ),
                edited(group, ingress=[]),
                in_region(
                    "aws_security_group_rule.web",
                    WEST,
                    **{"security_group_id": "sg-1", "type": direction, "cidr_blocks": ANYBODY},
                    **{"from_port": 443, "to_port": 443},
                ),
            ],
        }
    )
    assert [each.rule for each in found.stopping] == ["checkers-locked-out"] * stopped


def test_a_check_may_probe_another_host_of_its_region() -> None:
    hosts = [f"web-2.{region}.elb.amazonaws.com" for region in REGIONS]
    there = pair((FAILOVER[0], FAILOVER[1]))
    moved = [
        edited(each, **({"records": [host]} if "records" in each["change"]["after"] else {"fqdn": host}))
        for each, host in zip(there, [hosts[0], hosts[0], hosts[1], hosts[1]], strict=True)
    ]
    found = judged({"format_version": "1.2", "resource_changes": moved})
    assert (found.verdict, [each.sentence for each in found.findings]) == ("holds", [])


def test_a_resource_that_moves_into_a_module_is_not_lost() -> None:
    """`moved` blocks: the same resources at other addresses."""
    lb = balancer("web-1", WEST)
    parts = [
        lb,
        in_region("aws_lb_listener.https", WEST, load_balancer_arn=lb["change"]["after"]["arn"], port=443),
        *pair((FAILOVER[0], FAILOVER[1])),
    ]
    moved = [
        {**each, "previous_address": each["address"], "address": f"module.site.{each['address']}"}
        for each in standing(*parts)
    ]
    found = judged({"format_version": "1.2", "resource_changes": moved, "prior_state": prior(parts)})
    assert (found.verdict, found.changed, [each.sentence for each in found.stopping]) == ("holds", 0, [])


def test_an_imported_or_forgotten_resource_still_serves() -> None:
    """`import` and `removed` blocks with destroy = false: only the state changes."""
    imported = [{**each, "change": {**each["change"], "importing": {"id": "x"}}} for each in two_regions()]
    found = judged({"format_version": "1.2", "resource_changes": imported})
    assert (found.verdict, found.stopping) == ("holds", [])
    forgotten = [gone(each, "forget") for each in two_regions()]
    found = judged({"format_version": "1.2", "resource_changes": forgotten})
    assert (found.verdict, found.stopping) == ("holds", [])


def test_the_leftover_of_a_replacement_may_be_destroyed() -> None:
    """A deposed object has the address of the resource that took its place."""
    there = two_regions()
    left = [{**gone(each), "deposed": "0a1b2c3d"} for each in there]
    found = judged({"format_version": "1.2", "resource_changes": [*there, *left]})
    assert (found.verdict, found.changed, found.stopping) == ("holds", 0, [])


def test_the_leftover_of_a_replacement_does_not_hide_its_successor() -> None:
    there = prior(two_regions())
    resources = there["values"]["root_module"]["resources"]
    resources += [{**each, "deposed_key": "0a1b2c3d", "values": {}} for each in resources]
    found = judged(there)
    assert (found.verdict, found.is_state, found.stopping) == ("holds", True, [])


def prior(resources: list[Document]) -> Document:
    values = [
        {"address": each["address"], "type": each["type"], "values": each["change"]["after"]} for each in resources
    ]
    return {"format_version": "1.0", "values": {"root_module": {"resources": values}}}


@pytest.mark.parametrize("kept", [0, 1], ids=["-refresh-only", "-target"])
def test_a_plan_that_leaves_resources_out_is_judged_with_what_stands(kept: int) -> None:
    """With -target and -refresh-only, a plan lists the rest in its prior state alone."""
    there = two_regions()
    listed = [edited(each, tags={"Team": "web"}) for each in there[:kept]]
    found = judged(
        {"format_version": "1.2", "resource_changes": listed, "planned_values": {}, "prior_state": prior(there)}
    )
    assert (found.verdict, found.changed, found.stopping) == ("holds", kept, [])


def test_a_balancer_that_is_replaced_behind_a_local_value_is_unknown() -> None:
    """What its record leads to is known after apply: no verdict is better than a wrong one."""
    there = two_regions()
    replaced = {**edited(there[0], "update", records=None)}
    replaced["change"]["after_unknown"] = {"records": True}
    hidden = {"address": replaced["address"], "expressions": {"records": {"references": ["local.hosts"]}}}
    configuration = {"root_module": {"resources": [hidden]}}
    changes = [replaced, *there[1:]]
    found = judged({"format_version": "1.2", "resource_changes": changes, "configuration": configuration})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("cannot tell", [])


def test_a_change_that_repairs_a_failover_holds() -> None:
    there = pair((FAILOVER[0], FAILOVER[1]))
    broken = {
        **there[0],
        "change": {**there[0]["change"], "after": {**there[0]["change"]["after"], "health_check_id": ""}},
    }
    found = judged(
        {
            "format_version": "1.2",
            "resource_changes": [edited(broken, health_check_id="check-a"), *standing(*there[1:])],
        }
    )
    assert (found.verdict, found.findings) == ("holds", ())


def test_a_name_that_begins_to_fail_over_holds() -> None:
    first, *rest = pair((FAILOVER[0], FAILOVER[1]))
    simple: Document = {"set_identifier": None, "failover_routing_policy": [], "health_check_id": None}
    before = {**first, "change": {**first["change"], "after": {**first["change"]["after"], **simple}}}
    after = {key: first["change"]["after"][key] for key in simple}
    found = judged({"format_version": "1.2", "resource_changes": [edited(before, **after), *rest]})
    assert (found.verdict, found.stopping) == ("holds", [])


@pytest.mark.parametrize("after", [[NORTH], [NORTH, "ap-south-1"]], ids=["one fewer", "another one"])
def test_a_copy_in_a_region_that_serves_no_name_may_go(after: list[str]) -> None:
    def replicas(regions: list[str]) -> list[Document]:
        return [{"region_name": each, "point_in_time_recovery": True} for each in regions]

    protection = {"deletion_protection_enabled": True, "point_in_time_recovery": [{"enabled": True}]}
    table = in_region(
        "aws_dynamodb_table.orders", WEST, name="orders", replica=replicas([NORTH, "us-west-2"]), **protection
    )
    found = judged(
        {"format_version": "1.2", "resource_changes": [*two_regions(), edited(table, replica=replicas(after))]}
    )
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])


def test_an_alarm_may_move_from_a_check_to_the_calculated_check_above_it() -> None:
    """The production preset of this project does so."""
    record_a, *rest = pair((FAILOVER[0], FAILOVER[1]))
    above = {"id": "above", "type": "CALCULATED", "child_healthchecks": ["check-a"], "child_health_threshold": 1}
    watch = {"namespace": "AWS/Route53", "metric_name": "HealthCheckStatus", "dimensions": {"HealthCheckId": "check-a"}}
    alarm = resource("aws_cloudwatch_metric_alarm.a", {**watch, "alarm_actions": ["arn:aws:sns:us-east-1:1:calls"]})
    changes = [
        edited(record_a, health_check_id="above"),
        *standing(*rest),
        resource("aws_route53_health_check.above", above),
        edited(alarm, dimensions={"HealthCheckId": "above"}),
    ]
    found = judged({"format_version": "1.2", "resource_changes": changes})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])


@pytest.mark.parametrize(("consistency", "verdict"), [("STRONG", "holds"), ("EVENTUAL", "breaks")])
def test_a_table_with_strongly_consistent_replicas_needs_no_stream(consistency: str, verdict: str) -> None:
    replicas = [{"region_name": each, "consistency_mode": consistency} for each in (NORTH, "us-west-2")]
    table = in_region("aws_dynamodb_table.orders", WEST, name="orders", replica=replicas, stream_enabled=True)
    found = judged({"format_version": "1.2", "resource_changes": [*two_regions(), edited(table, stream_enabled=False)]})
    assert (found.verdict, {each.rule for each in found.stopping}) == (
        verdict,
        set() if verdict == "holds" else {"copy-stopped"},
    )


def test_a_failover_to_a_page_of_the_same_region_is_not_judged() -> None:
    found = judged({"format_version": "1.2", "resource_changes": ONE_REGION["a sorry page in the same region"]})
    assert found.notes == (f"app.acme.io fails over only within {WEST}",)


def test_a_pair_with_a_record_of_another_stack_is_unknown() -> None:
    found = judged(
        {
            "format_version": "1.2",
            "resource_changes": ONE_REGION["this stack has the primary record, another one the standby's"],
        }
    )
    assert found.unclear == ("the SECONDARY record of app.acme.io, which is not in this plan",)


@pytest.mark.parametrize("called", ["maintenance", "inactive", "domain-b"])
def test_a_standby_may_be_called_something_that_only_looks_like_active(called: str) -> None:
    there = pair((FAILOVER[0], FAILOVER[1]))
    (standby,) = (each for each in there if each["address"] == "aws_route53_record.b")
    standby["change"]["after"]["set_identifier"] = called
    found = judged({"format_version": "1.2", "resource_changes": standing(*there)})
    assert (found.verdict, found.findings) == ("holds", ())


def test_a_swap_of_roles_that_was_meant_for_good_stops_no_later_plan() -> None:
    roles = {"aws_route53_record.a": "secondary", "aws_route53_record.b": "primary"}
    there = [edited(each, "no-op", **({"set_identifier": roles[each["address"]]} if each["address"] in roles else {}))
             for each in pair((FAILOVER[0], FAILOVER[1]))]  # fmt: skip
    for each in there:
        each["change"]["before"] = each["change"]["after"]
    found = judged({"format_version": "1.2", "resource_changes": there})
    assert (found.verdict, [(each.rule, each.stops) for each in found.findings]) == (
        "holds",
        [("weights-contradict", False)],
    )


def test_an_inverted_check_of_a_host_elsewhere_is_a_switch() -> None:
    """Nobody has thrown it while all is well; the calculated check fails with the endpoint or by the switch."""
    switch = check("switch", "switch.acme.io", invert_healthcheck=True)
    end = check("end", elb(WEST))
    both = check("a", "", type="CALCULATED", child_health_threshold=2, child_healthchecks=["check-switch", "check-end"])
    others = [each for each in pair((FAILOVER[0], FAILOVER[1])) if each["address"] != "aws_route53_health_check.a"]
    found = judged({"format_version": "1.2", "resource_changes": standing(switch, end, both, *others)})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])


def test_a_third_region_that_is_added_is_not_traffic_that_moves() -> None:
    third = "ap-south-1"
    more = [
        record("c", elb(third), {"latency_routing_policy": [{"region": third}]}, health_check_id="check-c"),
        check("c", elb(third)),
    ]
    found = judged({"format_version": "1.2", "resource_changes": [*standing(*pair((LATENCY[0], LATENCY[1]))), *more]})
    assert (found.verdict, found.stopping) == ("holds", [])


def test_two_of_three_endpoints_of_a_region_may_suffice() -> None:
    """All three fail with their region, so the check does."""
    children = [check(f"a{n}", f"web-{n}.{WEST}.elb.amazonaws.com") for n in range(3)]
    both = check(
        "a", "", type="CALCULATED", child_health_threshold=2, child_healthchecks=[f"check-a{n}" for n in range(3)]
    )
    others = [each for each in pair((FAILOVER[0], FAILOVER[1])) if each["address"] != "aws_route53_health_check.a"]
    found = judged({"format_version": "1.2", "resource_changes": standing(*children, both, *others)})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])


def test_a_path_below_the_key_of_a_mapping_is_served() -> None:
    """A domain of API Gateway maps /v1 to an API that has the route /ping."""
    api = in_region("aws_apigatewayv2_api.pay", WEST)
    parts = [
        api,
        resource("aws_apigatewayv2_route.ping", {"api_id": "pay", "route_key": "GET /ping"}),
        resource("aws_apigatewayv2_stage.prod", {"api_id": "pay", "name": "prod"}),
        resource(
            "aws_apigatewayv2_api_mapping.v1", {"api_id": "pay", "api_mapping_key": "v1", "domain_name": "pay.acme.io"}
        ),
        check("a", f"pay.execute-api.{WEST}.amazonaws.com", resource_path="/v1/ping"),
    ]
    others = [each for each in pair((FAILOVER[0], FAILOVER[1])) if each["address"] != "aws_route53_health_check.a"]
    found = judged({"format_version": "1.2", "resource_changes": standing(*parts, *others)})
    assert (found.verdict, [each.sentence for each in found.stopping]) == ("holds", [])
