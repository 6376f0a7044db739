"""The parts of a plan that matter for a failover: names, their targets and health checks, and data that is copied."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

from payment_dr.failover_timing import ALIAS_TTL_SECONDS
from payment_dr.operations.gate.plan import UNKNOWN, Behind, Resource, View, plain
from payment_dr.operations.route53.zone import (
    CHECKER_REGIONS,
    AlarmCheck,
    AnyCheck,
    CalculatedCheck,
    HealthCheck,
    Record,
    UnknownCheck,
)

# From a name by aliases to another name, and so on: three steps are already many.
MOST_STEPS: Final = 10
RECORD, CHECK, ALARM = "aws_route53_record", "aws_route53_health_check", "aws_cloudwatch_metric_alarm"

_REGION: Final = re.compile(
    r"(?<![a-z0-9])((?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-gov|-isob?)?-(?:central|(?:north|south)(?:east|west)?|east|west)-\d)"
    r"(?![a-z0-9])"
)
_ARN: Final = re.compile(r"arn:aws[\w-]*:[\w-]+:([a-z]{2}[\w-]*-\d):")
_AWS_HOST: Final = re.compile(r"\.(amazonaws\.com(\.cn)?|on\.aws|awsapprunner\.com)$")
# These hosts are in no region: the origin or the endpoint behind them decides.
_EVERYWHERE_HOST: Final = re.compile(r"\.(cloudfront\.net|awsglobalaccelerator\.com)$")
# Clients do not use these records to reach a service.
_VALIDATION_TYPES: Final = ("CAA", "DS", "MX", "NS", "PTR", "SOA", "SPF", "SRV", "TXT", "NAPTR")
_POLICIES: Final = {
    "weighted_routing_policy": "weighted",
    "failover_routing_policy": "Failover",
    "latency_routing_policy": "Region",
    "multivalue_answer_routing_policy": "MultiValueAnswer",
    "geolocation_routing_policy": "GeoLocation",
    "geoproximity_routing_policy": "GeoProximityLocation",
    "cidr_routing_policy": "CidrRoutingConfig",
}


def is_region(place: str) -> bool:
    """Whether a place is a region of AWS."""
    return _REGION.fullmatch(place) is not None


@dataclass(frozen=True)
class Key:
    """A name of a hosted zone and the type of its records."""

    zone: str
    fqdn: str
    type: str


@dataclass(frozen=True)
class Target:
    """What a record or a health check leads to.

    Attributes:
        kind: "region"; "name": other records of this plan; "any": the first healthy one of `members`;
            "all": each of `members`; "outside": a host of which the plan knows no region; "unclear".
        what: The region, the host, or what is not known.
        address: The resource, if the plan has it.
        keys: The names, of kind "name".
        members: Of kind "any" and "all".
    """

    kind: Literal["region", "name", "any", "all", "outside", "unclear"]
    what: str
    address: str = ""
    keys: tuple[Key, ...] = ()
    members: "tuple[Target, ...]" = ()


@dataclass(frozen=True, eq=False)
class Entry:
    """A record of the zone's model, with its resource and its targets.

    Attributes:
        record: The record. Its health check's id is the address of that resource.
        resource: The record as the plan has it.
        evaluates: Whether it is an alias that evaluates the health of its target.
        is_alias: Whether it is an alias.
        targets: Where it leads.
        unclear: Values that matter here and are known only after apply.
    """

    record: Record
    resource: Resource
    evaluates: bool
    is_alias: bool
    targets: tuple[Target, ...]
    unclear: tuple[str, ...]

    @property
    def address(self) -> str:
        """Its address."""
        return self.resource.address


@dataclass(frozen=True)
class Copy:
    """Data of one region that AWS copies to another.

    Attributes:
        kind: Such as "DynamoDB table".
        source: Address of the source.
        name: Its name.
        source_region: Where it is; empty if that is not known.
        region: Where its copy is.
        by: Addresses of the resources that make the copy.
    """

    kind: str
    source: str
    name: str
    source_region: str
    region: str
    by: tuple[str, ...]


class Topology:
    """The parts of a view that matter for a failover.

    Args:
        view: The stack before or after the change.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._regions: dict[str, str] = {}
        self._targets: dict[str, Target] = {}
        self._steps = 0

    # Regions

    def region_of(self, resource: Resource) -> str:
        """The region of a resource; empty if the plan does not say it."""
        if resource.address not in self._regions:
            self._regions[resource.address] = ""  # while it is looked for, as resources may name each other in a circle
            self._regions[resource.address] = self._region_of(resource)
        return self._regions[resource.address]

    def _region_of(self, resource: Resource) -> str:
        if resource.type == "aws_region":
            return resource.text("name") or resource.text("region") or resource.text("id")
        if found := _ARN.match(resource.text("arn")):
            return found[1]
        if resource.type == "aws_globalaccelerator_endpoint_group":
            return resource.text("endpoint_group_region")
        if _REGION.fullmatch(resource.text("region")):  # of the provider's version 6, each resource has one
            return resource.text("region")
        _, region = self.view.configuration.provider_of(resource)
        if isinstance(region, str):
            return region
        if zone := _REGION.match(resource.text("availability_zone")):
            return zone[1]
        for attribute in ("dns_name", "endpoint", "regional_domain_name", "id"):
            if host := _REGION.search(resource.text(attribute)):
                return host[1]
        return self._region_of_provider(resource) or self._region_of_what_it_names(resource)

    def _region_of_what_it_names(self, resource: Resource, most: int = 20) -> str:
        """The region of what an attribute names: a resource that is destroyed is in no configuration any more."""
        texts = [text for name in list(resource.values) if (text := resource.text(name))]
        for text in texts[:most] if self._steps < MOST_STEPS else ():
            if arn := _ARN.match(text):
                return arn[1]
            named = self.view.named(text)
            if len(named) == 1 and named[0] is not resource:
                self._steps += 1
                region = self.region_of(named[0])
                self._steps -= 1
                if region:
                    return region
        return ""

    def _region_of_provider(self, resource: Resource) -> str:
        """The region that other resources of the same provider are in: its own is set outside of the plan."""
        key, _ = self.view.configuration.provider_of(resource)
        return self._provider_regions.get(key, "")

    @cached_property
    def _provider_regions(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for resource in self.view.resources.values():
            if arn := _ARN.match(resource.text("arn")):
                key, _ = self.view.configuration.provider_of(resource)
                if key:
                    found.setdefault(key, arn[1])
        return found

    # Names

    @cached_property
    def names(self) -> Mapping[Key, tuple[Entry, ...]]:
        """The records of each name and type."""
        return {
            key: tuple(self._entry(resource, key.fqdn) for resource in resources)
            for key, resources in self._records_of.items()
            if key.type not in _VALIDATION_TYPES
        }

    @cached_property
    def entry_at(self) -> Mapping[str, Entry]:
        """The records by their addresses."""
        return {entry.address: entry for entries in self.names.values() for entry in entries}

    @cached_property
    def tangled(self) -> frozenset[Key]:
        """The names that lead in a circle, or through more than `MOST_STEPS` others."""
        below = {
            key: {each for entry in entries for target in entry.targets for each in keys_below(target)}
            & self.names.keys()
            for key, entries in self.names.items()
        }
        above: dict[Key, list[Key]] = defaultdict(list)
        for key, keys in below.items():
            for each in keys:
                above[each].append(key)
        left = {key: len(keys) for key, keys in below.items()}
        steps = dict.fromkeys(below, 0)
        ready = [key for key, count in left.items() if not count]
        for key in ready:  # grows while it is walked
            for each in above[key]:
                steps[each] = max(steps[each], steps[key] + 1)
                left[each] -= 1
                if not left[each]:
                    ready.append(each)
        return frozenset(key for key in below if left[key] or steps[key] > MOST_STEPS)

    def key_of(self, entry: Entry) -> Key:
        """The name of a record."""
        return Key(self._zone(entry.resource), entry.record.name, entry.record.type)

    @cached_property
    def nameless(self) -> list[str]:
        """What is unknown of records that are routed by a policy, but whose name is known after apply."""
        return [
            f"name of {resource.address}"
            for resource in self.view.of_type(RECORD)
            if not self._fqdn(resource) and any(resource.items(policy) for policy in _POLICIES)
        ]

    def _zone(self, resource: Resource) -> str:
        behind = self.view.behind(resource, "zone_id", types=("aws_route53_zone",))
        if len(behind.resources) == 1:
            return behind.resources[0].address
        return next(iter(behind.texts), "")

    def _fqdn(self, resource: Resource) -> str:
        name = resource.text("fqdn") or resource.text("name")
        if resource.get("name") == "" or not resource.text("fqdn"):
            zone = self.view.resources.get(self._zone(resource))
            domain = plain(zone.text("name")) if zone else ""
            if resource.get("name") is UNKNOWN:
                return ""
            if domain and plain(name) != domain and not plain(name).endswith(f".{domain}"):
                name = f"{name}.{domain}" if name else domain
        return plain(name)

    def _entry(self, resource: Resource, fqdn: str) -> Entry:
        unclear: list[str] = []
        check = self.view.behind(resource, "health_check_id", types=(CHECK,))
        check_id: str | None = next(iter(check.texts), None)
        if len(check.resources) == 1:
            check_id = check.resources[0].address
        elif check.unknown:
            unclear += check.unknown
        is_alias = bool(resource.items("alias"))
        targets = self._targets_of(resource, ("alias", 0, "name") if is_alias else ("records",))
        if check_id is not None and check_id in self.view.resources:
            targets = tuple(self._placed(target, check_id) for target in targets)
        routing = next((name for policy, name in _POLICIES.items() if _is_set(resource, policy)), "simple")
        weight = resource.number("weighted_routing_policy", 0, "weight", default=0)
        if routing == "weighted" and resource.get("weighted_routing_policy", 0, "weight") is UNKNOWN:
            unclear.append(f"weight of {resource.address}")
        record = Record(
            name=fqdn,
            type=resource.text("type"),
            ttl_seconds=ALIAS_TTL_SECONDS if is_alias else int(resource.number("ttl", default=0)),
            values=tuple(target.what for target in targets),
            routing=routing,
            set_identifier=resource.text("set_identifier") or None,
            weight=int(weight) if routing == "weighted" else None,
            failover=resource.text("failover_routing_policy", 0, "type") or None,
            health_check_id=check_id,
        )
        evaluates = is_alias and resource.truth("alias", 0, "evaluate_target_health")
        return Entry(record, resource, evaluates, is_alias, targets, tuple(unclear))

    def _placed(self, target: Target, check_id: str) -> Target:
        """A host of another stack, taken to be in the region that its record's health check probes."""
        if target.kind != "outside":
            return target
        check = self.view.resources[check_id]
        children = self.view.behind(check, "child_healthchecks", types=(CHECK,)).resources or (check,)
        probing = [each for each in children if each.text("type") not in ("CALCULATED", "CLOUDWATCH_METRIC")]
        probed = [t for each in probing if not each.truth("invert_healthcheck") for t in self.probed(each.address)]
        regions = {each.what for each in probed}
        if len(regions) == 1 and all(each.kind == "region" for each in probed):
            return Target("region", probed[0].what, probed[0].address)
        return target

    # Targets

    def _targets_of(self, resource: Resource, path: tuple[str | int, ...]) -> tuple[Target, ...]:
        behind = self.view.behind(resource, *path)
        return self._led_to(behind, resource)

    def _led_to(self, behind: Behind, resource: Resource) -> tuple[Target, ...]:
        if behind.texts:
            return tuple(self._host(text) for text in behind.texts)
        places = [each for each in behind.resources if each.type not in ("aws_region", "aws_route53_zone", CHECK)]
        places = places or list(behind.resources)
        found = {(target.kind, target.what, target.keys, target.members): target for target in map(self._at, places)}
        if len(found) == 1 and not (behind.unknown and not behind.resources):
            return tuple(found.values())
        if not behind.unknown and not found:
            return ()
        why = behind.unknown[0] if behind.unknown else f"what {resource.address} leads to"
        if len(found) > 1:
            why += f" (one of {', '.join(sorted(each.address for each in places)[:4])})"
        return (Target("unclear", why),)

    def _host(self, host: str) -> Target:
        """What a host or an address leads to."""
        name = plain(host)
        if name in self._targets:
            return self._targets[name]
        self._targets[name] = Target("outside", name)  # while it is looked for, as plans may lead in circles
        self._targets[name] = found = self._found_host(name)
        return found

    def _found_host(self, name: str) -> Target:
        resources = [each for each in self.view.named(name) if each.type not in (RECORD, CHECK, "aws_acm_certificate")]
        keys = self._keys_of_host.get(name, ())
        if keys:
            return Target("name", name, self._only_record_of(keys), keys)
        served = [
            each for each in resources if not each.type.startswith(("aws_route53", "aws_apigateway", "aws_api_gateway"))
        ]
        if _AWS_HOST.search(name) or not served:
            region = _REGION.search(name)
            if region:
                address = next((each.address for each in resources), "") or self._api_of(name)
                return Target("region", region[1], address)
        for resource in served or resources:
            if (target := self._at(resource)).kind != "unclear":
                return target
        return Target("outside", name)

    def _api_of(self, host: str) -> str:
        """The API whose own host this is: its id comes first."""
        return next((api.address for api in self.view.named(host.partition(".")[0]) if "api" in api.type), "")

    @cached_property
    def _keys_of_host(self) -> Mapping[str, tuple[Key, ...]]:
        found: dict[str, list[Key]] = defaultdict(list)
        for key in self._records_of:
            if key.type in ("A", "AAAA", "CNAME"):
                found[key.fqdn].append(key)
        # Clients of the internet get the public zone's answer where a private one has the same name.
        public = {fqdn: [key for key in keys if not self._is_private(key.zone)] for fqdn, keys in found.items()}
        return {fqdn: tuple(public[fqdn] or keys) for fqdn, keys in found.items()}

    def _is_private(self, zone: str) -> bool:
        resource = self.view.resources.get(zone)
        return resource is not None and (bool(resource.items("vpc")) or resource.truth("private_zone"))

    @cached_property
    def _records_of(self) -> Mapping[Key, list[Resource]]:
        found: dict[Key, list[Resource]] = defaultdict(list)
        for resource in self.view.of_type(RECORD):
            if fqdn := self._fqdn(resource):
                found[Key(self._zone(resource), fqdn, resource.text("type"))].append(resource)
        return found

    def _only_record_of(self, keys: Sequence[Key]) -> str:
        """The address of the only record of a name; empty if it has more."""
        records = [each for key in keys for each in self._records_of[key]]
        return records[0].address if len(records) == 1 else ""

    def _at(self, resource: Resource) -> Target:
        """Where a resource serves."""
        if resource.type == RECORD:
            fqdn = self._fqdn(resource)
            keys = self._keys_of_host.get(fqdn, ())
            return Target("name", fqdn, resource.address, keys) if keys else Target("unclear", resource.address)
        if resource.type == "aws_cloudfront_distribution":
            return self._distribution(resource)
        if resource.type.startswith("aws_globalaccelerator"):
            regions = self._endpoint_groups(resource)
            return Target("any", resource.address, resource.address, members=regions)
        region = self.region_of(resource)
        return (
            Target("region", region, resource.address) if region else Target("unclear", f"region of {resource.address}")
        )

    def _distribution(self, resource: Resource) -> Target:
        """A distribution of CloudFront leads to its default origin, or to a group of two."""
        origins = {
            str(origin.get("origin_id")): number
            for number, origin in enumerate(resource.items("origin"))
            if isinstance(origin, dict)
        }
        wanted = resource.text("default_cache_behavior", 0, "target_origin_id")
        for number, group in enumerate(resource.items("origin_group")):
            if isinstance(group, dict) and group.get("origin_id") == wanted:
                listed = resource.items("origin_group", number, "member")
                ids = [str(member.get("origin_id")) for member in listed if isinstance(member, dict)]
                if self._steps > MOST_STEPS:
                    break
                self._steps += 1
                members = self._origins(resource, origins, ids[:2])
                self._steps -= 1
                return Target("any", resource.address, resource.address, members=members)
        if wanted not in origins or self._steps > MOST_STEPS:
            return Target("unclear", f"origin of {resource.address}")
        self._steps += 1
        members = self._origins(resource, origins, [wanted])
        self._steps -= 1
        return Target("all", resource.address, resource.address, members=members)

    def _origins(self, resource: Resource, origins: Mapping[str, int], ids: Sequence[str]) -> tuple[Target, ...]:
        return tuple(
            target
            for each in ids
            if each in origins
            for target in self._targets_of(resource, ("origin", origins[each], "domain_name"))
        )

    def _endpoint_groups(self, resource: Resource) -> tuple[Target, ...]:
        kind = "aws_globalaccelerator_listener"
        listeners = [
            each
            for each in self.view.of_type(kind)
            if resource in self.view.behind(each, "accelerator_arn", types=("aws_globalaccelerator",)).resources
        ]
        groups = [
            each
            for each in self.view.of_type("aws_globalaccelerator_endpoint_group")
            if each.number("traffic_dial_percentage", default=100) > 0
            and any(each_ in listeners for each_ in self.view.behind(each, "listener_arn", types=(kind,)).resources)
        ]
        regions = {self.region_of(each): each.address for each in groups}
        return tuple(Target("region", region, address) for region, address in regions.items() if region)

    # Health checks

    @cached_property
    def checks(self) -> Mapping[str, AnyCheck]:
        """The health checks of this view, by address."""
        return {each.address: self._check(each) for each in self.view.of_type(CHECK)}

    def _check(self, resource: Resource) -> AnyCheck:
        id_, kind = resource.address, resource.text("type")
        inverted, disabled = resource.truth("invert_healthcheck"), resource.truth("disabled")
        if kind == "CALCULATED":
            children = self.view.behind(resource, "child_healthchecks", types=(CHECK,))
            addresses = [each.address for each in children.resources]
            known = {each.text("id") for each in children.resources}
            addresses += [text for text in children.texts if text not in known]  # of another stack
            threshold = int(resource.number("child_health_threshold", default=0))
            return CalculatedCheck(
                id=id_, inverted=inverted, disabled=disabled, children=tuple(sorted(addresses)), threshold=threshold
            )
        if kind == "CLOUDWATCH_METRIC":
            alarm = self.alarm_of(resource)
            period = alarm.number("period", default=60) if alarm else 60
            periods = alarm.number("evaluation_periods", default=1) if alarm else 1
            without: Literal["Healthy", "Unhealthy", "LastKnownStatus"] = "LastKnownStatus"
            for status in ("Healthy", "Unhealthy"):
                if resource.text("insufficient_data_health_status") == status:
                    without = "Healthy" if status == "Healthy" else "Unhealthy"
            return AlarmCheck(
                id=id_,
                inverted=inverted,
                disabled=disabled,
                region=resource.text("cloudwatch_alarm_region"),
                alarm=resource.text("cloudwatch_alarm_name"),
                period_seconds=max(1, int(period)),
                periods=max(1, int(periods)),
                without_data=without,
            )
        if kind not in ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"):
            why = (
                f"is of type {kind}, which the model of Route 53 does not support"
                if kind
                else "has a type that is unknown"
            )
            return UnknownCheck(id=id_, why=why, hint="")
        regions = tuple(each for each in resource.items("regions") if isinstance(each, str))
        path = resource.text("resource_path") or "/"
        host = resource.text("fqdn") or resource.text("ip_address") or id_
        return HealthCheck(
            id=id_,
            inverted=inverted,
            disabled=disabled,
            host=host,
            address=resource.text("ip_address") or None,
            port=int(resource.number("port", default=443 if kind.startswith("HTTPS") else 80)),
            path=path if path.startswith("/") else f"/{path}",
            type=kind,
            sni=resource.truth("enable_sni", default=kind.startswith("HTTPS")),
            search_string=resource.text("search_string"),
            request_interval_seconds=max(1, int(resource.number("request_interval", default=30))),
            failure_threshold=max(1, int(resource.number("failure_threshold", default=3))),
            regions=regions or CHECKER_REGIONS,
        )

    def alarm_of(self, check: Resource) -> Resource | None:
        """The alarm that a health check follows, if the plan has it in the region that the check names."""
        behind = self.view.behind(check, "cloudwatch_alarm_name", types=(ALARM,))
        found = [each for each in behind.resources if each.type == ALARM]
        if not found:
            found = [each for each in self.view.of_type(ALARM) if each.text("alarm_name") in behind.texts]
        region = check.text("cloudwatch_alarm_region")
        here = [each for each in found if self.region_of(each) in (region, "")]
        return here[0] if here else None

    def probed(self, address: str) -> tuple[Target, ...]:
        """What a health check probes."""
        resource = self.view.resources[address]
        for attribute in ("ip_address", "fqdn"):  # the address is connected to, where there are both
            value = resource.get(attribute)
            if value is UNKNOWN or (isinstance(value, str) and value):
                found = self._targets_of(resource, (attribute,))
                if found and not (
                    attribute == "fqdn" and found[0].kind == "unclear" and not self._is_configured(resource)
                ):
                    return found
        return (Target("unclear", f"what {address} probes"),)

    def _is_configured(self, resource: Resource) -> bool:
        return bool(self.view.configuration.references(resource, ("fqdn",))[0])

    # Data

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """The data that AWS copies between regions, as far as a plan shows it."""
        found = [*self._tables(), *self._buckets(), *self._clusters(), *self._secrets(), *self._caches()]
        merged: dict[tuple[str, str], Copy] = {}
        for copy in found:
            other = merged.get((copy.source, copy.region))
            merged[copy.source, copy.region] = replace(copy, by=(*other.by, *copy.by)) if other else copy
        return tuple(merged.values())

    def _copy(self, kind: str, source: Resource, region: str, by: Resource) -> Iterator[Copy]:
        here = self.region_of(source)
        if region:
            names = (source.text(key) for key in ("name", "bucket", "cluster_identifier", "identifier"))
            name = next(filter(None, names), source.address)
            yield Copy(kind, source.address, name, here, region, (by.address,))

    def _tables(self) -> Iterator[Copy]:
        for table in self.view.of_type("aws_dynamodb_table"):
            for number in range(len(table.items("replica"))):
                yield from self._copy("DynamoDB table", table, table.text("replica", number, "region_name"), table)
        for replica in self.view.of_type("aws_dynamodb_table_replica"):
            for table in self.view.behind(replica, "global_table_arn", types=("aws_dynamodb_table",)).resources:
                yield from self._copy("DynamoDB table", table, self.region_of(replica), replica)

    def _buckets(self) -> Iterator[Copy]:
        for rules in self.view.of_type("aws_s3_bucket_replication_configuration"):
            source = self.bucket_of(rules, "bucket")
            for number, _ in enumerate(rules.items("rule")):
                if rules.text("rule", number, "status") == "Enabled" and source:
                    path = ("rule", number, "destination", 0, "bucket")
                    for bucket in self.view.behind(rules, *path, types=("aws_s3_bucket",)).resources:
                        if bucket.type == "aws_s3_bucket":
                            yield from self._copy("S3 bucket", source, self.region_of(bucket), rules)

    def bucket_of(self, resource: Resource, *path: str | int) -> Resource | None:
        """The bucket that a resource is about."""
        found = self.view.behind(resource, *path, types=("aws_s3_bucket",)).resources
        return next((each for each in found if each.type == "aws_s3_bucket"), None)

    def _clusters(self) -> Iterator[Copy]:
        for kind, member, attribute, what in (
            ("aws_rds_global_cluster", "aws_rds_cluster", "global_cluster_identifier", "Aurora cluster"),
            ("aws_docdb_global_cluster", "aws_docdb_cluster", "global_cluster_identifier", "DocumentDB cluster"),
            ("aws_neptune_global_cluster", "aws_neptune_cluster", "global_cluster_identifier", "Neptune cluster"),
        ):
            for cluster in self.view.of_type(kind):
                members = [
                    each
                    for each in self.view.of_type(member)
                    if cluster in self.view.behind(each, attribute, types=(kind,)).resources
                ]
                for each in members:
                    if self.region_of(each) != self.region_of(cluster):
                        yield from self._copy(what, cluster, self.region_of(each), each)
        for kind, attribute in (
            ("aws_db_instance", "replicate_source_db"),
            ("aws_rds_cluster", "replication_source_identifier"),
        ):
            for replica in self.view.of_type(kind):
                for source in self.view.behind(replica, attribute, types=(kind,)).resources:
                    if self.region_of(source) != self.region_of(replica):
                        yield from self._copy("RDS database", source, self.region_of(replica), replica)

    def _secrets(self) -> Iterator[Copy]:
        for secret in self.view.of_type("aws_secretsmanager_secret"):
            for number in range(len(secret.items("replica"))):
                yield from self._copy("secret", secret, secret.text("replica", number, "region"), secret)
        for replica in self.view.of_type("aws_kms_replica_key"):
            for key in self.view.behind(replica, "primary_key_arn", types=("aws_kms_key",)).resources:
                yield from self._copy("KMS key", key, self.region_of(replica), replica)

    def _caches(self) -> Iterator[Copy]:
        kind, attribute = "aws_elasticache_global_replication_group", "global_replication_group_id"
        for whole in self.view.of_type(kind):
            for member in self.view.of_type("aws_elasticache_replication_group"):
                if whole in self.view.behind(member, attribute, types=(kind,)).resources:
                    yield from self._copy("ElastiCache group", whole, self.region_of(member), member)


def _is_set(resource: Resource, policy: str) -> bool:
    value = resource.get(policy)
    return value is True or (isinstance(value, list) and bool(value))


def keys_below(target: Target, steps: int = 0) -> Iterator[Key]:
    """The names that something leads to."""
    yield from target.keys
    if steps <= 2 * MOST_STEPS:
        for member in target.members:
            yield from keys_below(member, steps + 1)
