"""Each region fails and returns on a model of Route 53: where do clients of a name land, and after how long?

Where the plan does not say, two assumptions apply, and each adds a note: an alarm of another region fires when the
region of its record fails, and a host that is no resource of the plan fails with the region of its record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from payment_dr.operations.errors import OperationError
from payment_dr.operations.gate.topology import MOST_STEPS, Entry, Key, Target, Topology, is_region, keys_below
from payment_dr.operations.route53.checkers import CHECKERS_PER_REGION, FollowedAlarm
from payment_dr.operations.route53.recovery_time import Settings, failback_bound, failover_bound
from payment_dr.operations.route53.zone import (
    ROUTED_BY_HEALTH,
    AlarmCheck,
    CalculatedCheck,
    HealthCheck,
    Record,
    UnknownCheck,
    Zone,
    possible_answers,
)

MOST_PLACES: Final = 100  # of one name: no more than the regions of AWS


class UnclearError(Exception):
    """A value that decides is known only after apply, or is outside the plan.

    Attributes:
        what: What is not known.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Outage:
    """What happens when a region fails.

    Attributes:
        region: The region.
        to: Where clients land; includes the failed region if some never leave it.
        entries: The records that still lead to the failed region.
        seconds: The longest time until the last client has left the failed region. None: AWS publishes no time for
            its detection.
        back_seconds: The same, until they are back after the region returns.
        decided_by: The record and the health check that take the longest.
    """

    region: str
    to: frozenset[str]
    entries: tuple[Entry, ...] = ()
    seconds: float | None = 0.0
    back_seconds: float | None = 0.0
    decided_by: tuple[str, str] = ("", "")

    @property
    def never(self) -> bool:
        """Whether some clients stay in the failed region."""
        return self.region in self.to


@dataclass(frozen=True)
class Executed:
    """What the model found of a name.

    Attributes:
        key: The name.
        entries: Its records.
        regions: The regions that they lead to, whether Route 53 answers with them or not. A host without a known
            region counts as one, by its name.
        fails_over: Whether it is meant to: by a policy to two regions, or what it leads to is.
        normal: Where clients land while no region has failed.
        outages: What happens when each region fails.
        unclear: What the model would have to know for an answer.
    """

    key: Key
    entries: tuple[Entry, ...]
    regions: frozenset[str]
    fails_over: bool
    normal: frozenset[str] = frozenset()
    outages: tuple[Outage, ...] = ()
    unclear: tuple[str, ...] = ()

    @property
    def slowest(self) -> Outage | None:
        """The outage whose failover takes the longest, of those that move clients."""
        moved = [each for each in self.outages if each.region in self.normal and not each.never]
        return max(moved, key=lambda each: each.seconds if each.seconds is not None else 0.0, default=None)


@dataclass(frozen=True)
class _Bound:
    """The longest failover and failback of a record, and the record and check that decide it."""

    seconds: float | None
    back_seconds: float | None
    decided_by: tuple[str, str]


class Model:
    """The names of a topology, executed.

    Args:
        topology: What takes part.

    Attributes:
        notes: The assumptions that it has made so far.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._zone = Zone("plan", (), topology.checks)
        self.notes: list[str] = []
        # What was found once stays: plans may lead from many names to one, again and again.
        self._regions: dict[Key, frozenset[str]] = {}
        self._meant: dict[Key, bool] = {}
        self._answers: dict[tuple[Key, str | None], list[Entry]] = {}
        self._lands: dict[tuple[Key, str | None], frozenset[str]] = {}
        self._healthy: dict[tuple[str, str | None], bool] = {}
        self._bounds: dict[tuple[Key, str], _Bound | None] = {}

    @cached_property
    def names(self) -> Mapping[Key, Executed]:
        """What the model found of each name."""
        return {key: self._execute(key, entries) for key, entries in self.topology.names.items()}

    @property
    def within_a_region(self) -> list[str]:
        """The names that fail over to something in the same region, such as a page that says sorry."""
        return [
            f"{key.fqdn} fails over only within {', '.join(executed.regions)}"
            for key, executed in self.names.items()
            if not executed.fails_over and not executed.unclear
            if any(entry.record.routing == "Failover" for entry in executed.entries)
        ]

    def _execute(self, key: Key, entries: tuple[Entry, ...]) -> Executed:
        regions, meant = self.regions(key), self._is_meant(key)
        unclear = [target.what for entry in entries for target in entry.targets if target.kind == "unclear"]
        unclear += [each for entry in entries for each in entry.unclear]
        roles = {entry.record.failover for entry in entries if entry.record.routing == "Failover"}
        if len(regions) < 2 and len(roles) == 1:  # the other one may be in the stack of its region
            other = "SECONDARY" if "PRIMARY" in roles else "PRIMARY"
            unclear.append(f"the {other} record of {key.fqdn}, which is not in this plan")
        if key in self.topology.tangled:
            unclear.append(f"where {key.fqdn} leads: in a circle, or through more than {MOST_STEPS} names")
        if len(regions) > MOST_PLACES:
            unclear.append(f"where {key.fqdn} leads: to more than {MOST_PLACES} places")
        if not meant and all(entry.record.routing == "simple" for entry in entries):
            unclear = []
        if unclear or not meant:
            return Executed(key, entries, regions, meant, unclear=tuple(dict.fromkeys(unclear)))
        try:
            normal = self.lands(key, None)
            outages = tuple(self._outage(key, region, normal) for region in sorted(regions))
            return Executed(key, entries, regions, meant, normal, outages)
        except UnclearError as error:
            return Executed(key, entries, regions, meant, unclear=(error.what,))

    def _is_meant(self, key: Key) -> bool:
        """Whether a name is meant to fail over."""
        if key not in self._meant:
            self._meant[key] = self._found_meant(key)
        return self._meant[key]

    def _found_meant(self, key: Key) -> bool:
        entries = self.topology.names.get(key, ())
        policies = {entry.record.routing for entry in entries} - {"simple"}
        if "Failover" in policies and len(self.regions(key)) != 1:
            return True
        known = {region for region in self.regions(key) if is_region(region)}
        if policies and len(self.regions(key)) > 1:
            return len(known) > 1 or any(entry.record.health_check_id for entry in entries)
        targets = [target for entry in entries for target in entry.targets]
        if any(target.kind == "any" and len(self.regions_of(target)) > 1 for target in targets):
            return True
        below = {each for target in targets for each in keys_below(target)} - self.topology.tangled
        return key not in self.topology.tangled and any(self._is_meant(each) for each in below)

    # Where clients land

    def regions(self, key: Key) -> frozenset[str]:
        """The regions that the records of a name lead to."""
        if key not in self._regions:
            targets = [target for entry in self.topology.names.get(key, ()) for target in entry.targets]
            found = () if key in self.topology.tangled else map(self.regions_of, targets)
            self._regions[key] = frozenset().union(*found)
        return self._regions[key]

    def regions_of(self, target: Target) -> frozenset[str]:
        """The regions that something leads to."""
        if target.kind in ("region", "outside"):
            return frozenset((target.what,))
        inside = [self.regions(key) for key in target.keys]
        return frozenset().union(*inside, *map(self.regions_of, target.members))

    def lands(self, key: Key, down: str | None) -> frozenset[str]:
        """Where clients of a name land while a region is down."""
        if (key, down) not in self._lands:
            targets = [target for entry in self.answers(key, down) for target in entry.targets]
            self._lands[key, down] = frozenset().union(*(self._lands_at(target, down) for target in targets))
        return self._lands[key, down]

    def _lands_at(self, target: Target, down: str | None) -> frozenset[str]:
        if target.kind == "unclear":
            raise UnclearError(target.what)
        if target.kind in ("region", "outside"):
            return frozenset((target.what,))
        inside = [self.lands(key, down) for key in target.keys]
        inside += [self._lands_at(member, down) for member in target.members]
        if target.kind == "any":
            inside = [places for places in inside if down not in places][:1] or inside
        return frozenset().union(*inside)

    def answers(self, key: Key, down: str | None) -> list[Entry]:
        """The records of a name that clients may get while a region is down."""
        if (key, down) not in self._answers:
            self._answers[key, down] = self._found_answers(key, down)
        return self._answers[key, down]

    def _found_answers(self, key: Key, down: str | None) -> list[Entry]:
        entries = self.topology.names.get(key, ())
        for entry in entries:
            if entry.record.routing not in ("simple", "weighted", *ROUTED_BY_HEALTH):
                raise UnclearError(
                    f"{entry.address} is routed by {entry.record.routing}, which the model does not support"
                )
        if key in self.topology.tangled:
            raise UnclearError(f"where {key.fqdn} leads")
        by_record = {id(entry.record): entry for entry in entries}
        healthy = {each: self.healthy(entry, down) for each, entry in by_record.items()}

        def is_healthy(record: Record) -> bool:
            return healthy[id(record)]

        return [by_record[id(record)] for record in possible_answers([e.record for e in entries], is_healthy)]

    # Health

    def healthy(self, entry: Entry, down: str | None) -> bool:
        """Whether Route 53 treats a record as healthy while a region is down."""
        if (entry.address, down) not in self._healthy:
            check = entry.record.health_check_id
            well = check is None or self.status(check, entry, down)
            if well and entry.evaluates:
                well = any(self._target_healthy(target, down) for target in entry.targets)
            self._healthy[entry.address, down] = well
        return self._healthy[entry.address, down]

    def _target_healthy(self, target: Target, down: str | None) -> bool:
        """The health of its target, as an alias evaluates it.

        https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html (EvaluateTargetHealth)
        """
        if target.kind in ("region", "outside"):
            return target.what != down
        if target.kind == "name":
            entries = [entry for key in target.keys for entry in self.topology.names.get(key, ())]
            if any(key in self.topology.tangled for key in target.keys):
                raise UnclearError(f"where {target.what} leads")
            return any(self.healthy(entry, down) for entry in entries)
        return True

    def status(self, check: str, entry: Entry, down: str | None) -> bool:
        """Whether a health check of a record is healthy while a region is down."""
        if check not in self._zone.health_checks:
            raise UnclearError(f"the health check {check} of {entry.address}, which is not in this plan")
        known = {each.id: each.status(found=self.finds(each, entry, down)) for each in self.followed(check)}
        try:
            return self._zone.status(check, known)
        except OperationError as error:
            raise UnclearError(error.message) from error

    def followed(self, check: str) -> list[HealthCheck | AlarmCheck]:
        """The health checks of endpoints and alarms behind one.

        Raises:
            UnclearError: The model cannot give the status of one.
        """
        found = self._zone.health_checks[check]
        children = found.children if isinstance(found, CalculatedCheck) else ()
        if missing := [each for each in children if each not in self._zone.health_checks]:
            raise UnclearError(f"the health check {missing[0]}, a part of {check}, is not in this plan")
        if isinstance(found, UnknownCheck):
            raise UnclearError(f"{check} {found.why}")
        try:
            return list(self._zone.followed(check))
        except OperationError as error:
            raise UnclearError(error.message) from error

    def finds(self, check: HealthCheck | AlarmCheck, entry: Entry, down: str | None) -> bool:
        """Whether a check's endpoint or alarm is healthy while a region is down, before inversion."""
        if check.disabled:
            return True
        if isinstance(check, AlarmCheck):
            return self._alarm_finds(check, entry, down)
        if self.is_switch(check, entry):
            return False
        return all(self._answers_probe(target, entry, check.id, down) for target in self.topology.probed(check.id))

    def _answers_probe(self, target: Target, entry: Entry, check: str, down: str | None) -> bool:
        if target.kind == "unclear":
            raise UnclearError(target.what)
        home = self.home(entry)
        if target.kind == "region" or target.what in home:
            return target.what != down
        if any(entry.record.name == key.fqdn for key in target.keys):
            return True  # it follows the name to the region that is well
        if regions := self.regions_of(target) - {target.what}:
            return regions != {down}
        self.notes.append(f"{check} probes {target.what}, which is not in this plan: assumed to fail with its region")
        return down is None or down not in home

    def _alarm_finds(self, check: AlarmCheck, entry: Entry, down: str | None) -> bool:
        if not check.region:
            raise UnclearError(f"the region of the alarm that {check.id} follows")
        if down is None:
            return True
        if check.region == down:  # "OK" is the last that Route 53 has seen
            followed = FollowedAlarm(check)
            followed.see("OK")
            return followed.see("INSUFFICIENT_DATA") != check.inverted
        fires = down in self.home(entry)
        if fires:
            self.notes.append(f"the alarm {check.alarm or 'of ' + check.id} is assumed to fire when {down} fails")
        return not fires

    def home(self, entry: Entry) -> frozenset[str]:
        """The regions that a record leads to."""
        return frozenset().union(*map(self.regions_of, entry.targets))

    def is_switch(self, check: HealthCheck, entry: Entry) -> bool:
        """Whether a check is that of a switch: inverted, and of another place than the one its record leads to.

        It is healthy while nobody has switched, which its endpoint answers with a status of 500 or more.
        """
        places = frozenset().union(*map(self.regions_of, self.topology.probed(check.id)))
        return check.inverted and bool(places) and not places & self.home(entry)

    def probed_regions(self, check: str) -> frozenset[str]:
        """The regions that a health check probes, as far as they are known."""
        found = frozenset().union(*map(self.regions_of, self.topology.probed(check)))
        return frozenset(filter(is_region, found))

    # Times

    def _outage(self, key: Key, region: str, normal: frozenset[str]) -> Outage:
        to = self.lands(key, region)
        if region in to:
            return Outage(region, to, tuple(self._staying(key, region)))
        longest = self._longest(key, region) if region in normal else None
        if longest is None:
            return Outage(region, to)
        return Outage(region, to, (), longest.seconds, longest.back_seconds, longest.decided_by)

    def _staying(self, key: Key, region: str) -> list[Entry]:
        """The records that lead clients to a region that is down, below aliases and distributions too."""
        found: dict[str, Entry] = {}
        work, seen = [key], {key}
        while work:
            for entry in self.answers(work.pop(), region):
                below = {
                    each
                    for target in entry.targets
                    for each in keys_below(target)
                    if self._is_meant(each) and region in self.lands(each, region)
                }
                if not below and region in self.home(entry):
                    found[entry.address] = entry
                work += below - seen
                seen |= below
        return list(found.values())

    def _longest(self, key: Key, region: str) -> "_Bound | None":
        """The most that a failover and a failback take, by the record that takes the longest; None: nobody leaves."""
        if (key, region) not in self._bounds:
            found = [bound for entry in self.answers(key, None) for bound in self._leaving(key, entry, region)]
            unbound = [bound for bound in found if bound.seconds is None]
            longest = max(found, key=lambda bound: bound.seconds or 0, default=None)
            self._bounds[key, region] = unbound[0] if unbound else longest
        return self._bounds[key, region]

    def _leaving(self, key: Key, entry: Entry, region: str) -> "Iterator[_Bound]":
        if entry in self.answers(key, region):
            for below in {each for target in entry.targets for each in keys_below(target)}:
                if bound := self._longest(below, region):
                    yield bound
        elif region in self.home(entry):
            check = entry.record.health_check_id
            if check is None or self.status(check, entry, region):  # its target's own health took it out
                yield _Bound(None, None, (entry.address, ""))
                return
            settings = self.settings(check, entry, region)
            there, back = failover_bound(settings).total, failback_bound(settings).total
            yield _Bound(there, back, (entry.address, check))

    def settings(self, check: str, entry: Entry, region: str) -> Settings:
        """The settings of the slowest check without which the record would still be healthy."""
        followed, ttl = self.followed(check), entry.record.ttl_seconds
        well = [each for each in followed if each.status(found=self.finds(each, entry, None))]
        failing = [each for each in well if not each.status(found=self.finds(each, entry, region))]
        bounds = sorted((_settings_of(each, ttl) for each in failing), key=lambda each: failover_bound(each).total)
        found = self._zone.health_checks[check]
        needed = max(1, len(well) - found.threshold + 1) if isinstance(found, CalculatedCheck) else 1
        return bounds[min(needed, len(bounds)) - 1] if bounds else Settings(ttl_seconds=ttl)


def _settings_of(check: HealthCheck | AlarmCheck, ttl: int) -> Settings:
    if isinstance(check, AlarmCheck):
        settings = Settings(ttl_seconds=ttl, alarm_period_seconds=check.period_seconds, alarm_periods=check.periods)
        return settings.by_alarm()
    return Settings(
        ttl_seconds=ttl,
        request_interval_seconds=check.request_interval_seconds,
        failure_threshold=check.failure_threshold,
        checkers=CHECKERS_PER_REGION * len(check.regions),
    )
