"""Rules for health checks: what they probe, when they fail, and what they decide."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from payment_dr.operations.gate.executed import UnclearError
from payment_dr.operations.gate.plan import UNKNOWN, Resource
from payment_dr.operations.gate.rules.base import ROUTE53_API, ROUTE53_GUIDE, Found, Rule, State
from payment_dr.operations.gate.topology import ALARM, MOST_STEPS, Entry
from payment_dr.operations.route53.zone import AlarmCheck, CalculatedCheck, HealthCheck
from payment_dr.operations.zone_faults import STANDARD_RESOLUTION_SECONDS, handshake_fault


def _cannot_fail(state: State) -> Iterator[Found]:
    for address in state.deciding:
        check = state.topology.checks[address]
        if isinstance(check, HealthCheck | AlarmCheck | CalculatedCheck) and check.disabled:
            yield Found(address, "is disabled, so it is always healthy" + (" inverted" if check.inverted else ""))
        threshold = state.view.resources[address].get("child_health_threshold")
        if isinstance(check, CalculatedCheck) and check.threshold <= 0 and threshold is not UNKNOWN:
            yield Found(address, "is always healthy: its threshold is 0")
        if isinstance(check, HealthCheck) and check.type == "TCP" and _api_probed(state, address):
            yield Found(address, "is of type TCP, which passes while the API answers 503")


def _fewer_suffice(after: State, before: State) -> Iterator[Found]:
    """A calculated check that failed with any of its children, and no longer does."""
    for address in after.deciding:
        old, new = before.topology.checks.get(address), after.topology.checks[address]
        if isinstance(old, CalculatedCheck) and isinstance(new, CalculatedCheck):
            count = len(new.children)
            if old.threshold >= len(old.children) > 0 and 0 < new.threshold < count:
                what = f"stays healthy when one of its {count} children fails: threshold {new.threshold}"
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
            yield Found(address, f"can never be healthy: it needs {check.threshold} of {len(check.children)} children")
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
            yield Found(address, f"probes {resource.address}, which is internal, so no health checker reaches it")
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
            yield Found(address, f"probes the default endpoint of {resource.address}, which is disabled")
        of_route = state.belonging("aws_apigatewayv2_route", "api_id").get(resource.address, ())
        routes = [each.text("route_key") for each in of_route]
        of_stage = state.belonging("aws_apigatewayv2_stage", "api_id").get(resource.address, ())
        stages = [each.text("name") for each in of_stage]
        of_mapping = state.belonging("aws_apigatewayv2_api_mapping", "api_id").get(resource.address, ())
        stages += [each.text("api_mapping_key") for each in of_mapping]
        path_known = state.view.resources[address].get("resource_path") is not UNKNOWN
        if routes and path_known and not any(_serves(route, check.path, stages) for route in routes):
            yield Found(address, f"probes a path for which {resource.address} has no route")
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
                what = f"probes {name.key.fqdn} itself, so it follows the name to the healthy region"
                yield Found(address, what)
            probed = state.model.probed_regions(address)
            if probed and not probed & home:
                there, here = (", ".join(sorted(regions)) for regions in (probed, home))
                yield Found(address, f"probes {there}, but decides on {entry.address}, which leads to {here}")


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
                yield Found(check, f"decides on both {both}, so both become unhealthy together")


def _newly_inverted(after: State, before: State) -> Iterator[Found]:
    for address in after.deciding:
        old, new = before.view.resources.get(address), after.view.resources[address]
        if old and old.truth("invert_healthcheck") != new.truth("invert_healthcheck"):
            was, is_ = old.truth("invert_healthcheck"), new.truth("invert_healthcheck")
            what = f"has invert_healthcheck {str(was).lower()} -> {str(is_).lower()}, so healthy becomes unhealthy"
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
                yield Found(address, "probes a different path than before, and no target group checks that path")
        lost = before.model.probed_regions(address) and not after.model.probed_regions(address)
        if old.host != new.host and lost:
            yield Found(address, f"probes {new.host} instead of {old.host}, and the plan does not show its region")
        if old.search_string and new.search_string and old.search_string != new.search_string:
            yield Found(address, "searches the body for a different text than before")


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
            yield Found(address, f"follows {named[0].address} in {check.region}, but that alarm is in {region}")
        if alarm is None:
            continue
        if alarm.text("extended_statistic"):
            statistic = alarm.text("extended_statistic")
            yield Found(address, f"follows {alarm.address}, whose statistic {statistic} Route 53 does not support")
        if 0 < alarm.number("period", default=0) < STANDARD_RESOLUTION_SECONDS:
            yield Found(address, f"follows {alarm.address}, whose period below 60 s Route 53 does not support")


def _normally_unhealthy(state: State) -> Iterator[Found]:
    for _, entry in state.entries:
        check = entry.record.health_check_id
        try:
            if check and not state.model.status(check, entry, None):
                what = f"is unhealthy although no region has failed, so Route 53 does not answer with {entry.address}"
                yield Found(check, what)
        except UnclearError:
            continue


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
                yield Found(address, f"no longer allows health checkers on port {port} of {balancer.address}")


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


_DETERMINES: Final = f"{ROUTE53_GUIDE}dns-failover-determining-health-of-endpoints.html"
_CONFIG: Final = f"{ROUTE53_API}API_HealthCheckConfig.html"

RULES: Final = (
    Rule(  # found by the model
        "check-stays-healthy",
        "A health check stays healthy when the region of its record fails.",
        "Probe an endpoint in that region.",
        _DETERMINES,
    ),
    Rule(
        "unhealthy-when-well",
        "A health check is unhealthy although no region has failed, so Route 53 does not answer with its record.",
        "Check invert_healthcheck, child_health_threshold and the endpoint that it probes.",
        _CONFIG,
        check=_normally_unhealthy,
    ),
    Rule(
        "check-cannot-fail",
        "A health check can never fail, or it no longer fails when one of its children fails.",
        "Enable it, use HTTPS instead of TCP, and set child_health_threshold to the number of children.",
        _CONFIG,
        check=_cannot_fail,
        change=_fewer_suffice,
    ),
    Rule(
        "check-cannot-pass",
        "A health check can never pass, so Route 53 does not answer with its record.",
        "Use a protocol, port, host and path that its target serves.",
        _DETERMINES,
        check=_cannot_pass,
    ),
    Rule(
        "check-probes-elsewhere",
        "A health check probes a different region than the one its record leads to.",
        "Probe the target of the record, never the name that fails over.",
        _CONFIG,  # FullyQualifiedDomainName
        check=_probes_elsewhere,
    ),
    Rule(
        "check-shared",
        "Records of two regions share one health check, so both become unhealthy together.",
        "Create a health check for each region.",
        _CONFIG,  # FullyQualifiedDomainName
        check=_shared,
    ),
    Rule(
        "check-inverted",
        "The change inverts a health check, so healthy becomes unhealthy.",
        "Restore invert_healthcheck.",
        _CONFIG,
        change=_newly_inverted,
    ),
    Rule(
        "check-changed",
        "A health check probes something else than before, and nothing in the plan shows that its target answers.",
        "Change the target's own health check in the same plan, or send the new request to the target first.",
        _DETERMINES,
        change=_another_path,
    ),
    Rule(
        "alarm-not-followed",
        "A health check follows an alarm that Route 53 does not support, or that fails with the region it watches.",
        "Use an alarm with a period of 60 s or more outside the region it watches, and set cloudwatch_alarm_region.",
        f"{ROUTE53_API}API_AlarmIdentifier.html",
        check=_unfollowable,
    ),
    Rule(
        "checkers-locked-out",
        "A security group no longer allows Route 53's health checkers.",
        "Allow the port for the prefix list com.amazonaws.REGION.route53-healthchecks.",
        f"{ROUTE53_GUIDE}dns-failover-router-firewall-rules.html",
        change=_closed,
    ),
)
