"""The rules of the gate: what each says, the page of AWS behind it, and the check that finds it in a plan.

A rule of level "error" stops a plan whenever it finds something. One of level "warning" stops it only if a
resource that is there loses something: a table that never had a protection is no fault of this change. A note never
stops, and no rule stops a plan in which nothing fails over and nothing is copied.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from payment_dr.operations.gate.executed import Executed, Model, UnclearError
from payment_dr.operations.gate.plan import UNKNOWN, Resource, View
from payment_dr.operations.gate.topology import ALARM, CHECK, MOST_STEPS, Copy, Entry, Topology, is_region
from payment_dr.operations.route53.zone import AlarmCheck, CalculatedCheck, HealthCheck
from payment_dr.operations.zone_faults import STANDARD_RESOLUTION_SECONDS, handshake_fault

Level = Literal["error", "warning", "note"]
ROUTE53_METRICS_REGION: Final = "us-east-1"
_GUIDE: Final = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/"
_API: Final = "https://docs.aws.amazon.com/Route53/latest/APIReference/"
_DYNAMODB: Final = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
_RELIABILITY: Final = "https://docs.aws.amazon.com/wellarchitected/latest/reliability-pillar/"
_FAULTS: Final = "https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/"


class State:
    """One side of a plan: what stands, what of it takes part in a failover, and what the model makes of that."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.topology = Topology(view)
        self.model = Model(self.topology)
        self._belonging: dict[tuple[str, str], dict[str, list[Resource]]] = {}

    @cached_property
    def judged(self) -> list[Executed]:
        """The names that are meant to fail over."""
        return [each for each in self.model.names.values() if each.fails_over]

    @cached_property
    def entries(self) -> list[tuple[Executed, Entry]]:
        """The records of these names, as far as a policy chooses between them."""
        return [(name, entry) for name in self.judged for entry in name.entries if entry.record.routing != "simple"]

    @cached_property
    def deciding(self) -> dict[str, Entry]:
        """The health checks that decide on these records, children too, each with a record."""
        found: dict[str, Entry] = {}
        for _, entry in self.entries:
            check = entry.record.health_check_id
            for each in self.parts(check) if check else ():
                found.setdefault(each, entry)
        return found

    def parts(self, check: str) -> list[str]:
        """A health check and its children, as far as the plan has them."""
        found = self.topology.checks.get(check)
        children = found.children if isinstance(found, CalculatedCheck) else ()
        return [each for each in (check, *children) if each in self.topology.checks]

    @cached_property
    def regions(self) -> frozenset[str]:
        """The regions that the names lead to."""
        return frozenset().union(*(name.regions for name in self.judged))

    @cached_property
    def serving(self) -> frozenset[str]:
        """The addresses of what the records lead to."""
        return frozenset(target.address for _, entry in self.entries for target in entry.targets)

    @property
    def takes_part(self) -> bool:
        """Whether anything fails over, or is copied."""
        return bool(self.judged or self.copies)

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """The data that are copied."""
        return self.topology.copies

    def belonging(self, kind: str, attribute: str) -> dict[str, list[Resource]]:
        """The resources of a kind by the addresses of what their attribute names."""
        if (kind, attribute) not in self._belonging:
            found: dict[str, list[Resource]] = defaultdict(list)
            for each in self.view.of_type(kind):
                for parent in self.view.behind(each, attribute).resources:
                    found[parent.address].append(each)
            self._belonging[kind, attribute] = found
        return self._belonging[kind, attribute]

    def region_of(self, address: str) -> str:
        """The region of a resource by its address."""
        resource = self.view.resources.get(address)
        return self.topology.region_of(resource) if resource else ""


@dataclass(frozen=True)
class Found:
    """What a check found: where, and what is wrong there, to be read after the address."""

    address: str
    what: str


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        id: Its name.
        sentence: What it is about, and why.
        page: The page of AWS that it follows.
        level: Whether it stops a plan.
        check: Finds it in what stands. Default: the model finds it.
        change: Finds it in what changes: after, before.
        also_created: Whether a warning stops a plan too that creates what it finds.
    """

    id: str
    sentence: str
    page: str
    level: Level = "error"
    check: Callable[[State], Iterator[Found]] | None = None
    change: Callable[[State, State], Iterator[Found]] | None = None
    also_created: bool = False


# Health checks


def _cannot_fail(state: State) -> Iterator[Found]:
    for address in state.deciding:
        check = state.topology.checks[address]
        if isinstance(check, HealthCheck | AlarmCheck | CalculatedCheck) and check.disabled:
            yield Found(address, "is disabled, so it is always healthy" + (" inverted" if check.inverted else ""))
        threshold = state.view.resources[address].get("child_health_threshold")
        if isinstance(check, CalculatedCheck) and check.threshold <= 0 and threshold is not UNKNOWN:
            yield Found(address, "is always healthy, as its threshold is 0")
        if isinstance(check, HealthCheck) and check.type == "TCP" and _api_probed(state, address):
            yield Found(address, "is of type TCP, which passes while the API answers 503")


def _fewer_suffice(after: State, before: State) -> Iterator[Found]:
    """A calculated check that failed with any of its children, and no longer does."""
    for address in after.deciding:
        old, new = before.topology.checks.get(address), after.topology.checks[address]
        if isinstance(old, CalculatedCheck) and isinstance(new, CalculatedCheck):
            count = len(new.children)
            if old.threshold >= len(old.children) > 0 and 0 < new.threshold < count:
                what = f"stays healthy while one of its {count} children fails: threshold {new.threshold}"
                yield Found(address, what)


def _api_probed(state: State, check: str) -> str:
    """The host of API Gateway that a check probes, or what names it."""
    resource = state.view.resources[check]
    host = resource.text("fqdn")
    if host:
        return host if ".execute-api." in host else ""
    behind = state.view.behind(resource, "fqdn") if resource.get("fqdn") is UNKNOWN else None
    apis = [each.address for each in behind.resources if "_api" in each.type] if behind else []
    return apis[0] if apis else ""


def _cannot_pass(state: State) -> Iterator[Found]:
    for address in state.deciding:
        check = state.topology.checks[address]
        if isinstance(check, CalculatedCheck) and check.threshold > len(check.children) > 0:
            yield Found(
                address, f"is never healthy, as its threshold is {check.threshold} of {len(check.children)} children"
            )
        if not isinstance(check, HealthCheck) or check.disabled:
            continue
        if api := _api_probed(state, address):
            fault = handshake_fault("", check, api) if check.type != "TCP" else None
            if fault:
                yield Found(address, fault.strip())
                continue
        for target in state.topology.probed(address):
            if target.address:
                yield from _no_way_in(state, address, check, target.address, by_its_own_host=bool(api))


def _no_way_in(
    state: State, address: str, check: HealthCheck, target: str, *, by_its_own_host: bool
) -> Iterator[Found]:
    """Why what a check probes cannot answer it, as far as a plan shows that."""
    resource = state.view.resources.get(target)
    for _ in range(MOST_STEPS):  # past simple records in between
        entry = state.topology.entry_at.get(resource.address) if resource else None
        if entry is None or not entry.targets:
            break
        resource = state.view.resources.get(entry.targets[0].address)
    if resource is None:
        return
    if resource.type in ("aws_lb", "aws_alb"):
        if resource.truth("internal"):
            yield Found(address, f"probes {resource.address}, which is internal: no health checker reaches it")
        listeners = state.belonging("aws_lb_listener", "load_balancer_arn").get(resource.address, [])
        ports = {int(each.number("port", default=0)) for each in listeners}
        if ports and check.port not in ports:
            listens = ", ".join(map(str, sorted(ports)))
            yield Found(address, f"probes port {check.port}, and {resource.address} listens on {listens}")
        protocols = {each.text("protocol") for each in listeners if each.number("port", default=0) == check.port}
        if (protocols == {"HTTP"} and check.is_tls) or (protocols == {"HTTPS"} and check.type.startswith("HTTP_")):
            yield Found(
                address, f"is of type {check.type}, and {resource.address} speaks {min(protocols)} on that port"
            )
        if protocols == {"HTTPS"} and check.type == "HTTP":
            yield Found(address, f"is of type HTTP, and {resource.address} speaks HTTPS on that port")
    if resource.type == "aws_apigatewayv2_api":
        if by_its_own_host and resource.truth("disable_execute_api_endpoint"):
            yield Found(address, f"probes the own host of {resource.address}, which is disabled")
        of_route = state.belonging("aws_apigatewayv2_route", "api_id").get(resource.address, ())
        routes = [each.text("route_key") for each in of_route]
        of_stage = state.belonging("aws_apigatewayv2_stage", "api_id").get(resource.address, ())
        stages = [each.text("name") for each in of_stage]
        of_mapping = state.belonging("aws_apigatewayv2_api_mapping", "api_id").get(resource.address, ())
        stages += [each.text("api_mapping_key") for each in of_mapping]
        path_known = state.view.resources[address].get("resource_path") is not UNKNOWN
        if routes and path_known and not any(_serves(route, check.path, stages) for route in routes):
            yield Found(address, f"probes a path of which {resource.address} has no route")
    if resource.type == "aws_instance" and resource.text("instance_state") in ("stopped", "terminated"):
        yield Found(address, f"probes {resource.address}, which is stopped")


def _serves(route: str, path: str, stages: list[str]) -> bool:
    """Whether a route of an HTTP API takes a GET of a path, which may begin with its stage or the key of a mapping."""
    method, _, pattern = route.partition(" ")
    if route == "$default":
        return True
    if method not in ("GET", "ANY"):
        return False
    expression = "".join(
        "/.+" if part.endswith("+}") else "/[^/]+" if part.startswith("{") else "/" + re.escape(part)
        for part in pattern.strip("/").split("/")
    )
    path = path.partition("?")[0]
    prefixes = ["", *(f"/{stage}" for stage in stages if stage and stage != "$default")]
    return any(re.fullmatch(f"{re.escape(prefix)}{expression}/?", path) for prefix in prefixes)


def _probes_elsewhere(state: State) -> Iterator[Found]:
    for name, entry in state.entries:
        home = state.model.home(entry)
        for address in state.parts(entry.record.health_check_id) if entry.record.health_check_id else ():
            check = state.topology.checks[address]
            if not isinstance(check, HealthCheck) or check.inverted or not home:
                continue
            targets = state.topology.probed(address)
            if any(key.fqdn == name.key.fqdn for target in targets for key in target.keys):
                what = f"probes {name.key.fqdn} itself, and so follows the name to the region that is well"
                yield Found(address, what)
            probed = state.model.probed_regions(address)
            if probed and not probed & home:
                there, here = (", ".join(sorted(regions)) for regions in (probed, home))
                yield Found(address, f"probes {there}, and decides on {entry.address}, which leads to {here}")


def _shared(state: State) -> Iterator[Found]:
    for name in state.judged:
        users: dict[str, list[Entry]] = defaultdict(list)
        for entry in name.entries:
            if entry.record.health_check_id:
                users[entry.record.health_check_id].append(entry)
        for check, entries in users.items():
            homes = {state.model.home(entry) for entry in entries}
            if len(homes) > 1:
                both = " and ".join(entry.address for entry in entries[:2])
                yield Found(check, f"decides on both {both}, so both are unhealthy at once")


def _inverted_anew(after: State, before: State) -> Iterator[Found]:
    for address in after.deciding:
        old, new = before.view.resources.get(address), after.view.resources[address]
        if old and old.truth("invert_healthcheck") != new.truth("invert_healthcheck"):
            was, is_ = old.truth("invert_healthcheck"), new.truth("invert_healthcheck")
            what = f"invert_healthcheck {str(was).lower()} -> {str(is_).lower()}: healthy is unhealthy from then on"
            yield Found(address, what)


def _another_path(after: State, before: State) -> Iterator[Found]:
    """A path that was that of the load balancer's own check, and no longer is."""
    for address in after.deciding:
        old, new = before.topology.checks.get(address), after.topology.checks[address]
        if not isinstance(old, HealthCheck) or not isinstance(new, HealthCheck):
            continue
        if old.path != new.path:
            known = {each.text("health_check", 0, "path") for each in after.view.of_type("aws_lb_target_group")}
            if old.path in known and new.path not in known:
                yield Found(address, "probes another path than before, and no target group has its own check there")
        lost = before.model.probed_regions(address) and not after.model.probed_regions(address)
        if old.host != new.host and lost:
            yield Found(address, f"probes {new.host} in place of {old.host}, and the plan knows no region of that")
        if old.search_string and new.search_string and old.search_string != new.search_string:
            yield Found(address, "searches the body for another text than before")


def _unfollowable(state: State) -> Iterator[Found]:
    for address in state.deciding:
        check = state.topology.checks[address]
        if not isinstance(check, AlarmCheck):
            continue
        resource = state.view.resources[address]
        alarm = state.topology.alarm_of(resource)
        named = [each for each in state.view.of_type(ALARM) if check.alarm and each.text("alarm_name") == check.alarm]
        if alarm is None and named:
            region = state.topology.region_of(named[0])
            yield Found(address, f"follows {named[0].address} in {check.region}, and that alarm is in {region}")
        if alarm is None:
            continue
        if alarm.text("extended_statistic"):
            statistic = alarm.text("extended_statistic")
            yield Found(address, f"follows {alarm.address}, whose statistic {statistic} Route 53 does not take")
        if 0 < alarm.number("period", default=0) < STANDARD_RESOLUTION_SECONDS:
            yield Found(address, f"follows {alarm.address}, whose period of less than 60 s Route 53 does not take")


# Names


def _inconsistent(state: State) -> Iterator[Found]:
    for name in state.judged:
        records = list(name.entries)
        policies = {entry.record.routing for entry in records}
        if len(policies) > 1:
            yield Found(records[0].address, f"has records of other policies beside it: {', '.join(sorted(policies))}")
        identifiers = Counter(entry.record.set_identifier for entry in records if entry.record.routing != "simple")
        for identifier, count in identifiers.items():
            if count > 1 and identifier is not None:
                same = [entry.address for entry in records if entry.record.set_identifier == identifier]
                yield Found(same[-1], f"has the set identifier {identifier} of {same[0]}")
        plain_records = [entry for entry in records if not entry.is_alias]
        ttls = {entry.record.ttl_seconds for entry in plain_records}
        if "weighted" in policies and len(ttls) > 1:
            yield Found(
                plain_records[-1].address,
                f"has another TTL than the other records of {name.key.fqdn}: {sorted(ttls)} s",
            )


_ACTIVE: Final = re.compile(r"prim|activ|main", re.IGNORECASE)
_STANDBY: Final = re.compile(r"second|standby|passiv|backup|failover", re.IGNORECASE)


def _contradicting(state: State) -> Iterator[Found]:
    for name in state.judged:
        for entry in name.entries:
            identifier, record = entry.record.set_identifier or "", entry.record
            standby_answers = any(
                each.record.weight and _STANDBY.search(each.record.set_identifier or "") for each in name.entries
            )
            if record.routing == "weighted" and not record.weight and standby_answers and _ACTIVE.search(identifier):
                yield Found(entry.address, f"has the weight 0, though it is called {identifier}")
            if record.failover == "SECONDARY" and _ACTIVE.search(identifier) and not _STANDBY.search(identifier):
                yield Found(entry.address, f"is the SECONDARY record, though it is called {identifier}")


# Alarms


def _metric_elsewhere(state: State) -> Iterator[Found]:
    for alarm in state.view.of_type(ALARM):
        region = state.topology.region_of(alarm)
        if alarm.text("namespace") == "AWS/Route53" and region not in ("", ROUTE53_METRICS_REGION):
            yield Found(
                alarm.address, f"is in {region}, and Route 53 publishes its metrics in {ROUTE53_METRICS_REGION} alone"
            )


def _action_elsewhere(state: State) -> Iterator[Found]:
    for alarm in state.view.of_type(ALARM):
        region = state.topology.region_of(alarm)
        for text in state.view.behind(alarm, "alarm_actions").texts:
            part = text.split(":")
            if len(part) > 4 and part[2] == "sns" and region and part[3] and part[3] != region:
                yield Found(
                    alarm.address, f"is in {region}, and its action in {part[3]}: an alarm acts in its own region alone"
                )
        if not state.view.behind(alarm, "alarm_actions").texts and region:
            topics = state.view.behind(alarm, "alarm_actions", types=("aws_sns_topic",)).resources
            for topic in topics:
                other = state.topology.region_of(topic)
                if topic.type == "aws_sns_topic" and other and other != region:
                    yield Found(
                        alarm.address,
                        f"is in {region}, and its action in {other}: an alarm acts in its own region alone",
                    )


def _silent(state: State) -> Iterator[Found]:
    followed = {alarm.address for each in state.view.of_type(CHECK) if (alarm := state.topology.alarm_of(each))}
    for alarm in state.view.of_type(ALARM):
        if not _counts(state, alarm) or alarm.address in followed:
            continue
        if alarm.get("actions_enabled") is False:
            yield Found(alarm.address, "has its actions disabled")
        elif alarm.get("alarm_actions") in (None, []):
            yield Found(alarm.address, "has no action, so it reaches nobody")
        if alarm.text("metric_name") == "HealthCheckStatus" and alarm.text("treat_missing_data") in (
            "notBreaching",
            "ignore",
        ):
            yield Found(alarm.address, "does not fire when the health check reports nothing")


def _counts(state: State, alarm: Resource) -> bool:
    """Whether an alarm is about what fails over: a health check, or something in one of the regions."""
    region = state.topology.region_of(alarm)
    return alarm.text("namespace") == "AWS/Route53" or not state.regions or region in state.regions


def _watched(state: State) -> dict[str, str]:
    """The health checks that an alarm watches, and the alarm."""
    found: dict[str, str] = {}
    for alarm in state.view.of_type(ALARM):
        if alarm.text("metric_name") == "HealthCheckStatus":
            behind = state.view.behind(alarm, "dimensions", "HealthCheckId", types=(CHECK,))
            if alarm.get("dimensions", "HealthCheckId") is None:
                behind = state.view.behind(alarm, "dimensions", types=(CHECK,))
            found |= {each.address: alarm.address for each in behind.resources}
    return found


def _alarm_lost(after: State, before: State) -> Iterator[Found]:
    was, is_ = _watched(before), _watched(after)
    for check, alarm in was.items():
        if check in after.deciding and check not in is_:
            yield Found(alarm, f"no longer watches {check}, and no other alarm does")


def _unheard(after: State, before: State) -> Iterator[Found]:
    kind, attribute = "aws_sns_topic_subscription", "topic_arn"
    was, is_ = _parents(before, kind, attribute, "aws_sns_topic"), _parents(after, kind, attribute, "aws_sns_topic")
    alarmed = {
        topic.address
        for alarm in before.view.of_type(ALARM)
        for topic in before.view.behind(alarm, "alarm_actions", types=("aws_sns_topic",)).resources
    }
    for topic, subscription in was.items():
        if topic in alarmed and topic in after.view.resources and topic not in is_:
            yield Found(subscription, f"was the only subscription of {topic}, whose messages reach nobody now")


def _parents(state: State, kind: str, attribute: str, parent_kind: str) -> dict[str, str]:
    """What the resources of a kind belong to in their region, each with one of them."""
    found: dict[str, str] = {}
    for parent, parts in state.belonging(kind, attribute).items():
        region = "" if kind.startswith("aws_iam") else state.region_of(parent)
        here = [each.address for each in parts if region in ("", state.topology.region_of(each)) and _is_front(each)]
        if here and state.view.resources[parent].type == parent_kind:
            found[parent] = here[0]
    return found


def _is_front(part: Resource) -> bool:
    """Whether a permission lets clients in; other parts do."""
    return part.type != "aws_lambda_permission" or part.text("principal").startswith(_FRONTS)


# Data


def _copy_lost(after: State, before: State) -> Iterator[Found]:
    have = {(copy.source, copy.region) for copy in after.copies}
    names = {(copy.kind, copy.name, copy.region) for copy in after.copies}
    for copy in before.copies:
        if (copy.source, copy.region) in have or (copy.kind, copy.name, copy.region) in names:
            continue
        if copy.source_region and copy.region == copy.source_region:
            continue
        if not copy.region or (copy.source not in after.view.resources and copy.by[0] not in after.view.resources):
            yield Found(copy.source, f"is destroyed, and with it its copy in {copy.region}")
        else:
            yield Found(copy.by[0], f"no longer copies the {copy.kind} {copy.name} to {copy.region}")


def _copy_same_region(state: State) -> Iterator[Found]:
    for copy in state.copies:
        if copy.source_region and copy.source_region == copy.region:
            yield Found(copy.by[0], f"copies the {copy.kind} {copy.name} within {copy.region}, which fails as one")


def _copy_stopped(state: State) -> Iterator[Found]:
    replicated = {bucket.address for bucket in _replicated_buckets(state)}
    for versioning in state.view.of_type("aws_s3_bucket_versioning"):
        if bucket := state.topology.bucket_of(versioning, "bucket"):
            status = versioning.text("versioning_configuration", 0, "status")
            if bucket.address in replicated and status not in ("Enabled", ""):
                yield Found(versioning.address, f"suspends the versioning of {bucket.address}, so replication stops")
    for table in state.view.of_type("aws_dynamodb_table"):
        if table.items("replica") and table.get("stream_enabled") is False:
            yield Found(table.address, "has replicas and no stream, which carries the writes to them")


def _buckets_of(state: State, rules: Resource) -> Iterator[str]:
    if source := state.topology.bucket_of(rules, "bucket"):
        yield source.address
    for number, _ in enumerate(rules.items("rule")):
        if target := state.topology.bucket_of(rules, "rule", number, "destination", 0, "bucket"):
            yield target.address


def _rights_lost(after: State, before: State) -> Iterator[Found]:
    """The role that replicates, or that answers, keeps its name and loses what it may do."""
    roles = {
        role.address
        for rules in after.view.of_type("aws_s3_bucket_replication_configuration")
        for role in after.view.behind(rules, "role", types=("aws_iam_role",)).resources
    }
    roles |= {
        role.address
        for function in after.view.of_type("aws_lambda_function")
        for role in after.view.behind(function, "role", types=("aws_iam_role",)).resources
        if after.topology.region_of(function) in after.regions
    }
    has = _with_policies(after)
    for kind in ("aws_iam_role_policy", "aws_iam_role_policy_attachment"):
        for role, policy in _parents(before, kind, "role", "aws_iam_role").items():
            if role in roles and role not in has:
                yield Found(policy, f"was the only policy of {role}, which still has its work")


def _with_policies(state: State) -> set[str]:
    """The roles that have a policy, by whichever resource."""
    found = {
        role
        for kind, attribute in (
            ("aws_iam_role_policy", "role"),
            ("aws_iam_role_policy_attachment", "role"),
            ("aws_iam_policy_attachment", "roles"),
        )
        for role in _parents(state, kind, attribute, "aws_iam_role")
    }
    # A role that nothing changes lists what is attached to it by other resources, too.
    own = (role for role in state.view.of_type("aws_iam_role") if role.action != "no-op" and _has_own_policy(role))
    return found | {role.address for role in own}


def _has_own_policy(role: Resource) -> bool:
    return bool(role.items("managed_policy_arns")) or any(each != {} for each in role.items("inline_policy"))


def _copied(state: State) -> Iterator[tuple[Resource, str]]:
    """What has a copy in another region, and the parts of it."""
    seen: set[str] = set()
    for copy in state.copies:
        for address in (copy.source, *copy.by):
            resource = state.view.resources.get(address)
            if resource and address not in seen:
                seen.add(address)
                yield resource, copy.kind


def _without_recovery(state: State) -> Iterator[Found]:
    for resource, _ in _copied(state):
        if resource.type == "aws_dynamodb_table":
            if not resource.truth("point_in_time_recovery", 0, "enabled"):
                yield Found(resource.address, "has no point-in-time recovery: a wrong write is copied within a second")
            for number in range(len(resource.items("replica"))):
                if not resource.truth("replica", number, "point_in_time_recovery"):
                    region = resource.text("replica", number, "region_name")
                    yield Found(resource.address, f"has no point-in-time recovery of its replica in {region}")
        if resource.type == "aws_dynamodb_table_replica" and not resource.truth("point_in_time_recovery"):
            yield Found(resource.address, "has no point-in-time recovery")
        if resource.type in ("aws_rds_cluster", "aws_db_instance"):
            retention = resource.get("backup_retention_period")
            if retention == 0 or (retention == 1 and resource.type == "aws_rds_cluster"):
                yield Found(resource.address, f"keeps its backups for {retention} days")


def _unprotected(state: State) -> Iterator[Found]:
    attributes = {
        "aws_dynamodb_table": "deletion_protection_enabled",
        "aws_rds_global_cluster": "deletion_protection",
        "aws_rds_cluster": "deletion_protection",
        "aws_db_instance": "deletion_protection",
        "aws_docdb_global_cluster": "deletion_protection",
        "aws_docdb_cluster": "deletion_protection",
    }
    for resource, _ in _copied(state):
        attribute = attributes.get(resource.type)
        if attribute and not resource.truth(attribute):
            yield Found(resource.address, f"has no deletion protection, and a deletion is copied: {attribute}")
        if resource.type in ("aws_rds_cluster", "aws_db_instance") and resource.truth("skip_final_snapshot"):
            yield Found(resource.address, "leaves no snapshot when it is destroyed: skip_final_snapshot")
    for bucket in _replicated_buckets(state):
        if bucket.truth("force_destroy"):
            yield Found(bucket.address, "is destroyed with all that it holds: force_destroy")
    for balancer in state.view.of_type("aws_lb"):
        if balancer.get("enable_deletion_protection") is False and balancer.address in state.serving:
            yield Found(balancer.address, "has no deletion protection: enable_deletion_protection")


def _replicated_buckets(state: State) -> list[Resource]:
    rules = state.view.of_type("aws_s3_bucket_replication_configuration")
    addresses = dict.fromkeys(address for each in rules for address in _buckets_of(state, each))
    return [state.view.resources[address] for address in addresses]


def _key_elsewhere(state: State) -> Iterator[Found]:
    for table in state.view.of_type("aws_dynamodb_table"):
        for number in range(len(table.items("replica"))):
            region, arn = table.text("replica", number, "region_name"), table.text("replica", number, "kms_key_arn")
            where = arn.split(":")[3] if arn.count(":") >= 5 else ""
            if where and region and where != region:
                yield Found(table.address, f"has a replica in {region} that a key of {where} encrypts")
    for secret in state.view.of_type("aws_secretsmanager_secret"):
        for number in range(len(secret.items("replica"))):
            region, arn = secret.text("replica", number, "region"), secret.text("replica", number, "kms_key_id")
            where = arn.split(":")[3] if arn.count(":") >= 5 else ""
            if where and region and where != region:
                yield Found(secret.address, f"has a replica in {region} that a key of {where} encrypts")


def _key_unusable(state: State) -> Iterator[Found]:
    for key in state.view.of_type("aws_kms_key", "aws_kms_replica_key"):
        disabled = key.get("is_enabled") is False or key.get("enabled") is False
        if disabled and _users_of(state, key):
            yield Found(key.address, "is disabled, so nothing that it encrypted can be read")


# What serves


# What belongs to what: kind, attribute, and kind of the parent.
_BELONGS: Final = (
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
)
# Parents for which one part of whichever kind is enough.
_BY_ANY: Final = ("aws_lb_target_group",)
# Who sends clients to a function.
_FRONTS: Final = ("apigateway", "elasticloadbalancing")


def _part_lost(after: State, before: State) -> Iterator[Found]:
    copied = {copy.region for copy in before.copies}
    left: dict[str, set[str]] = defaultdict(set)
    for kind, attribute, parent_kind in _BELONGS:
        one_of = parent_kind if parent_kind in _BY_ANY else kind
        left[one_of] |= _parents(after, kind, attribute, parent_kind).keys()
    for kind, attribute, parent_kind in _BELONGS:
        is_ = left[parent_kind if parent_kind in _BY_ANY else kind]
        for parent, part in _parents(before, kind, attribute, parent_kind).items():
            region = after.region_of(parent)
            if parent in after.view.resources and parent not in is_ and region in after.regions | copied:
                yield Found(part, f"was the only {kind} of {parent}, which serves {region}")


def _empty(state: State) -> Iterator[Found]:
    regions = state.regions
    for group in state.view.of_type("aws_autoscaling_group"):
        empty = group.get("max_size") == 0 or (group.get("desired_capacity") == 0 and group.get("min_size") == 0)
        if empty and state.topology.region_of(group) in regions:
            yield Found(group.address, f"has no instance in {state.topology.region_of(group)}")
    for service in state.view.of_type("aws_ecs_service"):
        if service.get("desired_count") == 0 and state.topology.region_of(service) in regions:
            yield Found(service.address, f"runs no task in {state.topology.region_of(service)}")
    for function in state.view.of_type("aws_lambda_function"):
        if function.get("reserved_concurrent_executions") == 0 and state.topology.region_of(function) in regions:
            yield Found(function.address, "may not run: its reserved concurrency is 0")
    for distribution in state.view.of_type("aws_cloudfront_distribution", "aws_globalaccelerator_accelerator"):
        if distribution.get("enabled") is False:
            yield Found(distribution.address, "is disabled")
    for rule in state.view.of_type("aws_cloudwatch_event_rule"):
        if (rule.text("state") == "DISABLED" or rule.get("is_enabled") is False) and state.topology.region_of(
            rule
        ) in regions:
            yield Found(rule.address, "is disabled, so nothing that it started runs")


def _closed(after: State, before: State) -> Iterator[Found]:
    """A security group of a load balancer that lets nobody in any more, on a port that is probed."""
    ports = {check.port for each in after.deciding if isinstance(check := after.topology.checks[each], HealthCheck)}
    for balancer in after.view.of_type("aws_lb"):
        old = before.view.resources.get(balancer.address)
        if old is None or after.topology.region_of(balancer) not in after.regions:
            continue
        for port in sorted(
            ports & {int(each.number("port", default=0)) for each in after.view.of_type("aws_lb_listener")}
        ):
            opened, open_ = _opens(before, old, port), _opens(after, balancer, port)
            if opened and open_ is False:
                groups = after.view.behind(balancer, "security_groups", types=("aws_security_group",)).resources
                address = groups[0].address if groups else balancer.address
                yield Found(address, f"lets no health checker to port {port} of {balancer.address}")


def _opens(state: State, balancer: Resource, port: int) -> bool | None:
    """Whether a load balancer's security groups let anybody in on a port; None if the plan does not say so."""
    groups = state.view.behind(balancer, "security_groups", types=("aws_security_group",)).resources
    rules: list[tuple[float, float, list[object]]] = []
    for group in groups:
        for number, _ in enumerate(group.items("ingress")):
            sources = group.items("ingress", number, "cidr_blocks") + group.items("ingress", number, "prefix_list_ids")
            rules.append((group.number("ingress", number, "from_port", default=0),
                          group.number("ingress", number, "to_port", default=0), sources))  # fmt: skip
        for each in state.view.of_type("aws_security_group_rule", "aws_vpc_security_group_ingress_rule"):
            if group in state.view.behind(each, "security_group_id", types=("aws_security_group",)).resources:
                sources = each.items("cidr_blocks") + each.items("prefix_list_ids") + [each.text("cidr_ipv4")]
                sources += [each.text("prefix_list_id")]
                if each.text("type") != "egress":
                    rules.append((each.number("from_port", default=0), each.number("to_port", default=0), sources))
    if not groups:
        return None
    return any((first <= port <= last or last <= 0) and any(sources) for first, last, sources in rules)


# What is destroyed


_KEPT: Final = {
    "aws_route53_zone": "the zone with all of its records",
    "aws_dynamodb_table": "the table with all that it holds",
    "aws_s3_bucket": "the bucket with all that it holds",
    "aws_kms_key": "the key, and with it all that it encrypted",
    "aws_kms_replica_key": "the key, and with it all that it encrypted",
    "aws_rds_global_cluster": "the cluster of all regions",
    "aws_rds_cluster": "the database with all that it holds",
    "aws_db_instance": "the database with all that it holds",
    "aws_docdb_cluster": "the database with all that it holds",
    "aws_secretsmanager_secret": "the secret",
    "aws_elasticache_global_replication_group": "the cache of all regions",
}


def _destroyed(after: State, before: State) -> Iterator[Found]:
    kept = {resource.address for resource, _ in _copied(before)} | {
        each.address for each in _replicated_buckets(before)
    }
    kept |= {name.key.zone for name in before.judged}
    for kind, what in _KEPT.items():
        for resource in before.view.of_type(kind):
            gone, replaced = resource.address not in after.view.resources, resource.action == "replace"
            if not gone and not replaced:
                continue
            users = _users_of(before, resource) if "kms" in kind else set()
            if resource.address in kept or users & after.view.resources.keys():
                yield Found(resource.address, f"is {'replaced' if replaced else 'destroyed'}: {what}")
    for name in before.judged:
        for entry in name.entries:
            if entry.resource.action == "replace" and entry.address in after.view.resources:
                yield Found(entry.address, f"is replaced, and {name.key.fqdn} is not answered with it meanwhile")


def _users_of(state: State, key: Resource) -> set[str]:
    """The resources that name a key."""
    names = {text for text in (key.text("arn"), key.text("key_id")) if text}
    return {
        other.address
        for other in state.view.resources.values()
        if other.address != key.address
        and other.type not in ("aws_kms_alias", "aws_iam_policy_document", "aws_kms_key_policy")
        and _mentions(other.values, names)
    }


def _mentions(value: object, names: set[str]) -> bool:
    if isinstance(value, str):
        return value in names
    if isinstance(value, dict):
        return any(_mentions(each, names) for each in value.values())
    return isinstance(value, list) and any(_mentions(each, names) for each in value)


# What a failover would need


_CONTROL_PLANE: Final = re.compile(
    r"^(route53:(ChangeResourceRecordSets|UpdateHealthCheck|ChangeTagsForResource|\*)"
    r"|iam:(PutRolePolicy|AttachRolePolicy|UpdateAssumeRolePolicy|\*))$",
    re.IGNORECASE,
)


def _control_plane(state: State) -> Iterator[Found]:
    """Rights of a program that runs by itself to change records or roles."""
    for kind in ("aws_iam_role_policy", "aws_iam_policy"):
        for policy in state.view.of_type(kind):
            actions = sorted(set(filter(_CONTROL_PLANE.match, _allowed(policy.text("policy")))))
            if actions and any(_runs_by_itself(state, each) for each in _given_by(state, policy)):
                yield Found(policy.address, f"lets a program call {', '.join(actions)}, which us-east-1 alone answers")


def _given_by(state: State, policy: Resource) -> list[Resource]:
    """What gives a policy to a role."""
    if policy.type == "aws_iam_role_policy":
        return [policy]
    return state.belonging("aws_iam_role_policy_attachment", "policy_arn").get(policy.address, [])


def _runs_by_itself(state: State, given: Resource) -> bool:
    """Whether its role is that of a program of AWS: people and clusters have their own reasons to change records."""
    roles = state.view.behind(given, "role", types=("aws_iam_role",)).resources
    trusted = " ".join(role.text("assume_role_policy") for role in roles)
    return any(f"{each}.amazonaws.com" in trusted for each in ("lambda", "states", "ssm", "events"))


def _allowed(policy: str) -> list[str]:
    try:
        document = json.loads(policy)
    except (ValueError, RecursionError):
        return []
    statements = document.get("Statement") if isinstance(document, dict) else None
    found: list[str] = []
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, dict) and statement.get("Effect") == "Allow":
            actions = statement.get("Action")
            found += [each for each in (actions if isinstance(actions, list) else [actions]) if isinstance(each, str)]
    return found


def _remote_state(state: State) -> Iterator[Found]:
    for data in state.view.of_type("data.terraform_remote_state"):
        region = data.text("config", "region")
        if data.text("backend") == "s3" and region and region in state.regions:
            yield Found(data.address, f"reads the state of another stack in {region}: no plan while that region fails")


def _needs_both(state: State) -> Iterator[Found]:
    targets = (target for name in state.judged for entry in name.entries for target in entry.targets)
    busy = {state.region_of(target.address) for target in targets}
    if len(busy & state.regions) > 1:
        first = state.judged[0].entries[0].address
        both = " and ".join(sorted(busy & state.regions))
        yield Found(
            first,
            f"is in one plan with what serves in {both}, all of which Terraform needs: no apply during a failover",
        )


def _traffic_moves(after: State, before: State) -> Iterator[Found]:
    for name in after.judged:
        old = before.model.names.get(name.key)
        if not old or not old.normal or not name.normal:
            continue
        created = (entry for entry in name.entries if entry.resource.action == "create")
        added = frozenset().union(*map(after.model.home, created))
        # Two hosts of no known region may be blue and green; a record that is new is meant to get clients.
        if any(is_region(place) for place in (name.normal - added) ^ (old.normal - added)):
            was, is_ = ", ".join(sorted(old.normal)), ", ".join(sorted(name.normal))
            changed = [entry for entry in name.entries if entry.resource.action != "no-op"]
            address = (changed or list(name.entries))[0].address
            yield Found(address, f"moves clients of {name.key.fqdn} while all is well: {was} -> {is_}")


def _name_lost(after: State, before: State) -> Iterator[Found]:
    for name in before.judged:
        new = after.model.names.get(name.key)
        fqdn = name.key.fqdn
        if new is None:
            if not any(each.key.fqdn == fqdn and each.key.type in ("A", "CNAME") for each in after.judged):
                yield Found(name.entries[0].address, f"is destroyed, and nothing answers {fqdn} ({name.key.type})")
        elif not new.fails_over and len(name.regions) > 1:
            if found := blamed(after, before, name):
                yield found
            elif not new.unclear:
                where = ", ".join(sorted(new.regions)) or "one place"
                yield Found(new.entries[0].address, f"leads to {where}, and {fqdn} to no other region")


def blamed(after: State, before: State | None, name: Executed) -> Found | None:
    """The record that a name has lost, or that now leads to the region of another one; None if there is none."""
    old = before.topology.names.get(name.key, ()) if before else ()
    regions = ", ".join(sorted(after.model.regions(name.key))) or "no region"
    for entry in old:
        if entry.address not in after.view.resources:
            return Found(entry.address, f"is destroyed, and {name.key.fqdn} leads to {regions} alone")
    for entry in old:
        new = after.topology.entry_at.get(entry.address)
        if before and new and not new.unclear and after.model.home(new) != before.model.home(entry):
            was, is_ = (", ".join(sorted(home)) for home in (before.model.home(entry), after.model.home(new)))
            return Found(entry.address, f"leads to {is_ or 'no region'}, and no longer to {was}")
    return None


def _normally_unhealthy(state: State) -> Iterator[Found]:
    for _, entry in state.entries:
        check = entry.record.health_check_id
        try:
            if check and not state.model.status(check, entry, None):
                yield Found(check, f"is unhealthy while all is well, so {entry.address} is not answered")
        except UnclearError:
            continue


def _rules() -> Iterator[Rule]:
    choose = f"{_GUIDE}health-checks-how-route-53-chooses-records.html"
    types = f"{_GUIDE}dns-failover-types.html"
    deter = f"{_GUIDE}dns-failover-determining-health-of-endpoints.html"
    config = f"{_API}API_HealthCheckConfig.html"
    weighted = f"{_GUIDE}routing-policy-weighted.html"
    actions = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html"
    kms = "https://docs.aws.amazon.com/kms/latest/developerguide/"
    s3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
    # What the model finds; `verdict` names the cause.
    yield Rule("no-health-check", "Route 53 takes a record without a health check for healthy, always.", choose)
    yield Rule("alias-not-evaluated", "An alias needs a health check or must evaluate its target's.", choose)
    yield Rule("no-other-region", "Each region that clients get needs a record of another region beside it.", types)
    yield Rule("check-stays-healthy", "A health check must fail with the region of its record.", deter)
    yield Rule("standby-not-healthy", "Where no record is healthy, Route 53 answers as if all of them were.", choose)
    yield Rule(
        "beyond-target",
        "Detection and the TTL together must stay within the target (--target).",
        f"{_GUIDE}health-checks-creating-values.html",
    )
    # Names
    yield Rule("traffic-moves", "A change must not move clients by itself.", weighted, change=_traffic_moves)
    yield Rule("name-lost", "A name that fails over must not lose its second region.", types, change=_name_lost)
    yield Rule(
        "records-differ",
        "Records of a name need one policy, one TTL if they are weighted, and a set identifier each.",
        f"{_GUIDE}resource-record-sets-values-weighted.html",
        check=_inconsistent,
    )
    yield Rule(
        "weights-contradict",
        "The record that is called active should be the one that is answered.",
        weighted,
        check=_contradicting,
    )
    # Health checks
    yield Rule(
        "unhealthy-when-well", "A health check must be healthy while all is well.", config, check=_normally_unhealthy
    )
    yield Rule(
        "check-cannot-fail",
        "A health check that can never fail keeps a failed region answered.",
        config,
        check=_cannot_fail,
        change=_fewer_suffice,
    )
    yield Rule(
        "check-cannot-pass",
        "A health check that can never pass keeps its region from being answered.",
        deter,
        check=_cannot_pass,
    )
    yield Rule(
        "check-probes-elsewhere",
        "A health check must probe the region that its record leads to.",
        types,
        check=_probes_elsewhere,
    )
    yield Rule("check-shared", "Records of two regions need a health check each.", choose, check=_shared)
    yield Rule(
        "check-inverted",
        "A health check that is inverted anew says the opposite from then on.",
        config,
        change=_inverted_anew,
    )
    yield Rule("check-changed", "A health check must ask for what its region answers.", deter, change=_another_path)
    yield Rule(
        "alarm-not-followed",
        "Route 53 follows standard alarms in the region that the check names; they must outlive what they watch.",
        f"{_API}API_AlarmIdentifier.html",
        check=_unfollowable,
    )
    yield Rule(
        "checkers-locked-out",
        "Health checkers must reach what they probe.",
        f"{_GUIDE}dns-failover-router-firewall-rules.html",
        change=_closed,
    )
    # Alarms
    yield Rule(
        "alarm-metric-elsewhere",
        "Route 53 publishes its metrics in us-east-1 alone, so an alarm on them elsewhere has no data.",
        f"{_GUIDE}monitoring-cloudwatch.html",
        check=_metric_elsewhere,
    )
    yield Rule(
        "alarm-action-elsewhere", "The topic of an alarm must be in its region.", actions, check=_action_elsewhere
    )
    yield Rule("alarm-silent", "An alarm without an action reaches nobody.", actions, "warning", check=_silent)
    yield Rule(
        "alarm-lost",
        "Somebody must learn of a failover, by an alarm on the health check that decides.",
        f"{_GUIDE}monitoring-health-checks.html",
        change=_alarm_lost,
    )
    yield Rule(
        "topic-unheard",
        "A topic without a subscription reaches nobody.",
        "https://docs.aws.amazon.com/sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html",
        change=_unheard,
    )
    # Data
    yield Rule(
        "copy-lost",
        "Data must be in the region that takes over.",
        f"{_RELIABILITY}rel_planning_for_recovery_disaster_recovery.html",
        change=_copy_lost,
    )
    yield Rule(
        "copy-in-same-region",
        "A copy in the region of its source fails with it.",
        f"{_RELIABILITY}rel_fault_isolation_multiaz_region_system.html",
        check=_copy_same_region,
    )
    yield Rule(
        "copy-stopped",
        "Replication of S3 needs versioning on both sides, that of DynamoDB a stream.",
        f"{s3}replication-requirements.html",
        check=_copy_stopped,
    )
    yield Rule(
        "rights-lost",
        "A role that copies data or answers clients needs its rights.",
        f"{s3}setting-repl-config-perm-overview.html",
        change=_rights_lost,
    )
    yield Rule(
        "no-recovery",
        "A copy does not help against a wrong write, which is copied too: only a backup of each side does.",
        f"{_DYNAMODB}Point-in-time-recovery.html",
        "warning",
        check=_without_recovery,
    )
    yield Rule(
        "unprotected",
        "What is copied needs deletion protection.",
        f"{_DYNAMODB}WorkingWithTables.Basics.html",
        "warning",
        check=_unprotected,
    )
    yield Rule(
        "key-elsewhere",
        "A copy must be encrypted by a key of its own region.",
        f"{kms}multi-region-keys-overview.html",
        check=_key_elsewhere,
    )
    yield Rule(
        "key-unusable",
        "A key that is disabled keeps all that it encrypted from being read.",
        f"{kms}enabling-keys.html",
        check=_key_unusable,
    )
    yield Rule(
        "destroyed",
        "A zone, a table, a bucket, a key or a record that a failover needs must be neither destroyed nor replaced.",
        f"{_RELIABILITY}rel_backing_up_data_secured_backups_data.html",
        change=_destroyed,
    )
    # What serves
    yield Rule(
        "part-lost",
        "What a region serves by must stay: listeners, stages, routes, instances.",
        f"{_RELIABILITY}rel_planning_for_recovery_config_drift.html",
        change=_part_lost,
    )
    yield Rule(
        "serves-nothing",
        "A region that takes over needs something that runs.",
        f"{_RELIABILITY}rel_planning_for_recovery_disaster_recovery.html",
        "warning",
        check=_empty,
    )
    # What a failover would need
    yield Rule(
        "control-plane-needed",
        "A failover must not need Route 53's API or IAM, whose control planes are in us-east-1 alone.",
        f"{_FAULTS}global-services.html",
        "warning",
        check=_control_plane,
        also_created=True,
    )
    yield Rule(
        "state-in-a-region",
        "Terraform must not need the state of a region that fails.",
        f"{_FAULTS}control-planes-and-data-planes.html",
        "note",
        check=_remote_state,
    )
    yield Rule(
        "apply-needs-both",
        "One plan for both regions cannot be applied while one of them fails.",
        f"{_RELIABILITY}rel_withstand_component_failures_avoid_control_plane.html",
        "note",
        check=_needs_both,
    )


RULES: Final = {rule.id: rule for rule in _rules()}
