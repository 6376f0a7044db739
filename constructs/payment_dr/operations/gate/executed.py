"""Each region fails, and comes back, on the model of Route 53: whom do clients of a name get, and after how long?

What the plan does not say is assumed here, and each assumption ends in a note: an alarm of another region fires when
the region of its record fails; a host that no resource of the plan has fails with the region of its record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from payment_dr.operations.errors import OperationError
from payment_dr.operations.gate.topology import Entry, Key, Target, Topology, is_region
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

MOST_STEPS: Final = 30  # from a name by aliases and distributions to a region


class UnclearError(Exception):
    """What decides is known only after apply, or is outside of the plan.

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
        to: Where clients get afterwards; the failed region among them if some never leave it.
        entries: The records that still lead to the failed region.
        seconds: The most that it takes until the last client has left the failed region. None: AWS publishes no time
            for what detects it.
        back_seconds: The same, until they are back after its return.
        decided_by: The record, and its health check, that take the longest.
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
        regions: The regions that they lead to, whether answered or not. A host of which no region is known is a place
            of its own, by its name.
        fails_over: Whether it is meant to: by a policy to two regions, or what it leads to is.
        normal: Where clients get while all is well.
        outages: What happens when each region fails.
        unclear: What keeps the model from an answer.
        notes: What it assumed.
    """

    key: Key
    entries: tuple[Entry, ...]
    regions: frozenset[str]
    fails_over: bool
    normal: frozenset[str] = frozenset()
    outages: tuple[Outage, ...] = ()
    unclear: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def slowest(self) -> Outage | None:
        """The outage whose failover takes the longest, of those that move clients."""
        moved = [each for each in self.outages if each.region in self.normal and not each.never]
        return max(moved, key=lambda each: each.seconds if each.seconds is not None else 0.0, default=None)


@dataclass
class _Failing:
    """What is so while a region fails; None while all is well."""

    region: str | None
    statuses: dict[tuple[str, str], bool] = field(default_factory=dict)


class Model:
    """The names of a topology, executed.

    Args:
        topology: What takes part.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._zone = Zone("plan", (), topology.checks)
        self._notes: list[str] = []
        self._regions: dict[Key, frozenset[str]] = {}
        self._failing: dict[str | None, _Failing] = {}

    @cached_property
    def names(self) -> Mapping[Key, Executed]:
        """What the model found of each name."""
        return {key: self._execute(key, entries) for key, entries in self.topology.names.items()}

    def _execute(self, key: Key, entries: tuple[Entry, ...]) -> Executed:
        self._notes = []
        regions, meant = self.regions(key), self._is_meant(key)
        if not meant:
            routed = any(entry.record.routing != "simple" for entry in entries)
            return Executed(
                key, entries, regions, meant, unclear=tuple(self._unclear_targets(entries)) if routed else ()
            )
        if unclear := [*self._unclear_targets(entries), *(each for entry in entries for each in entry.unclear)]:
            return Executed(key, entries, regions, meant, unclear=tuple(dict.fromkeys(unclear)))
        try:
            normal = self.lands(key, None)
            outages = tuple(self._outage(key, region, normal) for region in sorted(regions))
            notes = tuple(dict.fromkeys(self._notes))
            return Executed(key, entries, regions, meant, normal, outages, notes=notes)
        except UnclearError as error:
            return Executed(key, entries, regions, meant, unclear=(error.what,))

    def _is_meant(self, key: Key, steps: int = 0) -> bool:
        """Whether a name is meant to fail over."""
        entries = self.topology.names.get(key, ())
        policies = {entry.record.routing for entry in entries} - {"simple"}
        if "Failover" in policies:
            return True
        known = {region for region in self.regions(key) if is_region(region)}
        if policies and len(self.regions(key)) > 1:
            return len(known) > 1 or any(entry.record.health_check_id for entry in entries)
        targets = [target for entry in entries for target in entry.targets]
        if any(target.kind == "any" and len(self.regions_of(target)) > 1 for target in targets):
            return True
        below = [each for target in targets for each in _keys_below(target)]
        return steps <= MOST_STEPS and any(self._is_meant(each, steps + 1) for each in below)

    def _unclear_targets(self, entries: tuple[Entry, ...]) -> Iterator[str]:
        for entry in entries:
            for target in entry.targets:
                if target.kind == "unclear":
                    yield target.what

    # Where clients get

    def regions(self, key: Key) -> frozenset[str]:
        """The regions that the records of a name lead to."""
        if key not in self._regions:
            self._regions[key] = frozenset()  # while it is looked for, as records may lead in circles
            self._regions[key] = frozenset(
                region
                for entry in self.topology.names.get(key, ())
                for target in entry.targets
                for region in self.regions_of(target)
            )
        return self._regions[key]

    def regions_of(self, target: Target, steps: int = 0) -> frozenset[str]:
        """The regions that something leads to."""
        if steps > MOST_STEPS:
            return frozenset()
        if target.kind in ("region", "outside"):
            return frozenset((target.what,))
        inside = [self.regions(key) for key in target.keys]
        inside += [self.regions_of(member, steps + 1) for member in target.members]
        return frozenset().union(*inside)

    def lands(self, key: Key, down: str | None, steps: int = 0) -> frozenset[str]:
        """Where clients of a name get while a region is down."""
        if steps > MOST_STEPS:
            raise UnclearError(f"where {key.fqdn} leads, in more than {MOST_STEPS} steps")
        found: frozenset[str] = frozenset()
        for entry in self.answers(key, down, steps):
            for target in entry.targets:
                found |= self._lands_at(target, down, steps + 1)
        return found

    def _lands_at(self, target: Target, down: str | None, steps: int) -> frozenset[str]:
        if target.kind == "unclear":
            raise UnclearError(target.what)
        if target.kind in ("region", "outside") or steps > MOST_STEPS:
            return frozenset((target.what,))
        inside = [self.lands(key, down, steps + 1) for key in target.keys]
        inside += [self._lands_at(member, down, steps + 1) for member in target.members]
        if target.kind == "any":
            inside = [places for places in inside if down not in places][:1] or inside
        return frozenset().union(*inside)

    def answers(self, key: Key, down: str | None, steps: int = 0) -> list[Entry]:
        """The records of a name that clients may get while a region is down."""
        entries = self.topology.names.get(key, ())
        for entry in entries:
            if entry.record.routing not in ("simple", "weighted", *ROUTED_BY_HEALTH):
                raise UnclearError(
                    f"{entry.address} is routed by {entry.record.routing}, which the model does not know"
                )
        by_record = {id(entry.record): entry for entry in entries}
        healthy = {each: self.healthy(entry, down, steps) for each, entry in by_record.items()}

        def is_healthy(record: Record) -> bool:
            return healthy[id(record)]

        return [by_record[id(record)] for record in possible_answers([e.record for e in entries], is_healthy)]

    # Health

    def healthy(self, entry: Entry, down: str | None, steps: int = 0) -> bool:
        """Whether Route 53 takes a record for healthy while a region is down."""
        check = entry.record.health_check_id
        if check is not None and not self.status(check, entry, down, steps):
            return False
        if not entry.evaluates:
            return True
        return any(self._target_healthy(target, down, steps + 1) for target in entry.targets)

    def _target_healthy(self, target: Target, down: str | None, steps: int) -> bool:
        """What an alias takes for the health of its target.

        https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html (EvaluateTargetHealth)
        """
        if target.kind in ("region", "outside"):
            return target.what != down
        if target.kind == "name" and steps <= MOST_STEPS:
            return any(
                self.healthy(entry, down, steps + 1)
                for key in target.keys
                for entry in self.topology.names.get(key, ())
            )
        return True

    def status(self, check: str, entry: Entry, down: str | None, steps: int = 0) -> bool:
        """Whether a health check of a record is healthy while a region is down."""
        if check not in self._zone.health_checks:
            raise UnclearError(f"the health check {check} of {entry.address}, which is not in this plan")
        try:
            known = {each.id: each.status(found=self.finds(each, entry, down, steps)) for each in self.followed(check)}
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
        resource = self.topology.view.resources[check]
        if isinstance(found, CalculatedCheck) and not children and resource.get("child_healthchecks") is None:
            return []
        if isinstance(found, UnknownCheck):
            raise UnclearError(f"{check} {found.why}")
        try:
            return list(self._zone.followed(check))
        except OperationError as error:
            raise UnclearError(error.message) from error

    def finds(self, check: HealthCheck | AlarmCheck, entry: Entry, down: str | None, steps: int = 0) -> bool:
        """Whether what a check looks at is well while a region is down, before inversion."""
        home = self.home(entry)
        if check.disabled:
            return True
        if isinstance(check, AlarmCheck):
            return self._alarm_finds(check, home, down)
        if self.is_switch(check, entry):
            return False
        return all(
            self._answers_probe(target, entry, check.id, down, steps) for target in self.topology.probed(check.id)
        )

    def _answers_probe(self, target: Target, entry: Entry, check: str, down: str | None, steps: int) -> bool:
        if target.kind == "unclear":
            raise UnclearError(target.what)
        if target.kind == "region" or target.what in self.home(entry):
            return target.what != down
        if target.kind == "name":
            own = any(entry.record.name == key.fqdn for key in target.keys)
            if own or steps > MOST_STEPS:
                return True  # it follows the name to the region that is well
            regions = frozenset().union(*(self.regions(key) for key in target.keys))
            if regions:
                return regions != {down}
        if target.members:
            return frozenset().union(*(self.regions_of(member) for member in target.members)) != {down}
        self._notes.append(f"{check} probes {target.what}, which is not in this plan: taken to fail with its region")
        return down is None or down not in self.home(entry)

    def _alarm_finds(self, check: AlarmCheck, home: frozenset[str], down: str | None) -> bool:
        if not check.region:
            raise UnclearError(f"the region of the alarm that {check.id} follows")
        if down is None:
            return True
        if check.region == down:  # "OK" is the last that Route 53 has seen
            followed = FollowedAlarm(check)
            followed.see("OK")
            return followed.see("INSUFFICIENT_DATA") != check.inverted
        if down in home:
            self._notes.append(f"the alarm {check.alarm or 'of ' + check.id} is taken to fire when {down} fails")
        return down not in home

    def home(self, entry: Entry) -> frozenset[str]:
        """The regions that a record leads to."""
        return frozenset().union(*(self.regions_of(target) for target in entry.targets))

    def is_switch(self, check: HealthCheck, entry: Entry) -> bool:
        """Whether a check is that of a switch: inverted, in another region than that of its record.

        It is healthy while nobody has switched, which its endpoint answers with a status of 500 or more.
        """
        regions = self.probed_regions(check.id)
        return check.inverted and bool(regions) and not regions & self.home(entry)

    def probed_regions(self, check: str) -> frozenset[str]:
        """The regions that a health check probes, as far as they are known."""
        return frozenset().union(*(self.regions_of(target) for target in self.topology.probed(check)))

    # Times

    def _outage(self, key: Key, region: str, normal: frozenset[str]) -> Outage:
        to = self.lands(key, region)
        if region in to:
            return Outage(region, to, tuple(self._staying(key, region)))
        if region not in normal:
            return Outage(region, to)
        bounds = list(self._bounds(key, region))
        known = [each for each in bounds if each[0] is not None]
        longest = max(known, key=lambda each: each[0] or 0, default=None)
        if longest is None or len(known) < len(bounds):
            return Outage(region, to, seconds=None, back_seconds=None)
        seconds, back, decided_by = longest
        return Outage(region, to, seconds=seconds, back_seconds=back, decided_by=decided_by)

    def _staying(self, key: Key, region: str, steps: int = 0) -> Iterator[Entry]:
        """The records that lead clients to a region that is down, the ones below aliases and distributions too."""
        for entry in self.answers(key, region):
            below = [k for target in entry.targets for k in _keys_below(target)]
            found = [] if steps > MOST_STEPS else [e for k in below for e in self._staying(k, region, steps + 1)]
            if found:
                yield from found
            elif region in self.home(entry):
                yield entry

    def _bounds(
        self, key: Key, region: str, steps: int = 0
    ) -> Iterator[tuple[float | None, float | None, tuple[str, str]]]:
        """The most that a failover and a failback take, by each record that clients leave."""
        after = self.answers(key, region)
        for entry in self.answers(key, None):
            if entry in after:
                for below in (k for target in entry.targets for k in _keys_below(target)):
                    if steps <= MOST_STEPS:
                        yield from self._bounds(below, region, steps + 1)
            elif region in self.home(entry):
                check = entry.record.health_check_id
                if check is None or self.status(check, entry, region):  # its target's own health took it out
                    yield None, None, (entry.address, "")
                    continue
                settings = self.settings(check, entry, region)
                yield (
                    failover_bound(settings).total,
                    failback_bound(settings).total,
                    (entry.address, check),
                )

    def settings(self, check: str, entry: Entry, region: str) -> Settings:
        """The settings of the slowest check without which the record would still be healthy."""
        ttl = entry.record.ttl_seconds
        failing = []
        for each in self.followed(check):
            well = each.status(found=self.finds(each, entry, None))
            if well and not each.status(found=self.finds(each, entry, region)):
                failing.append(_settings_of(each, ttl))
        failing.sort(key=lambda settings: failover_bound(settings).total)
        found = self._zone.health_checks[check]
        needed = 1
        if isinstance(found, CalculatedCheck):
            healthy = sum(each.status(found=self.finds(each, entry, None)) for each in self.followed(check))
            needed = max(1, healthy - found.threshold + 1)
        return failing[min(needed, len(failing)) - 1] if failing else Settings(ttl_seconds=ttl)


def _keys_below(target: Target) -> Iterator[Key]:
    yield from target.keys
    for member in target.members:
        yield from member.keys


def _settings_of(check: HealthCheck | AlarmCheck, ttl: int) -> Settings:
    if isinstance(check, AlarmCheck):
        return Settings(
            ttl_seconds=ttl, alarm_period_seconds=check.period_seconds, alarm_periods=check.periods
        ).by_alarm()
    return Settings(
        ttl_seconds=ttl,
        request_interval_seconds=check.request_interval_seconds,
        failure_threshold=check.failure_threshold,
        checkers=CHECKERS_PER_REGION * len(check.regions),
    )
