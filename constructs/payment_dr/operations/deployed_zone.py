"""Reads a deployed stack's hosted zone: its records and health checks, and the region that Route 53 answers with."""

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from payment_dr.operations import probes
from payment_dr.operations.aws import NoAnswerError, asked
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import FollowedAlarm, judge
from payment_dr.operations.route53.recovery_time import Settings
from payment_dr.operations.route53.zone import AlarmCheck, AlarmState, HealthCheck, Record, Zone
from payment_dr.side import SIDES, Side


def read_zone(stack: Deployed) -> Zone:
    """Read the zone as it is deployed.

    Raises:
        CannotTellError: Route 53's API, which is in us-east-1, does not answer.
        OperationError: There is no such zone.
    """
    client = stack.client("route53", "primary")
    return asked("Route 53's API", lambda: Zone.read(client, str(stack.outputs["hosted_zone_id"])))


def side_of(stack: Deployed, record: Record) -> Side | None:
    """The side of the region that a record points to."""
    hosts = {stack.target(side).lower(): side for side in SIDES}
    return next((hosts[value.rstrip(".")] for value in record.values if value.rstrip(".") in hosts), None)


def records_of(stack: Deployed, zone: Zone) -> dict[Side, Record]:
    """The records of the application's name, by the side that they point to."""
    group = zone.group(str(stack.outputs["application_fqdn"]), stack.record_type)
    found = {side_of(stack, record): record for record in group}
    return {side: found[side] for side in SIDES if side in found}


def checks_of(stack: Deployed, zone: Zone) -> dict[Side, str]:
    """The ids of the health checks of the records, by side."""
    return {side: r.health_check_id for side, r in records_of(stack, zone).items() if r.health_check_id}


def endpoint_check_of(stack: Deployed, zone: Zone, side: Side) -> HealthCheck | None:
    """The health check of an endpoint that a side's record follows, directly or as a child, if there is one.

    The check of the switch, which the primary's record may follow too, does not count.
    """
    checks = (check for check in _deciding(stack, zone, side) if isinstance(check, HealthCheck))
    return next((check for check in checks if not is_switch(stack, check)), None)


def probed_path(stack: Deployed, zone: Zone, side: Side) -> str:
    """The path of a region's own API that its health check probes. The public one if it probes another host."""
    check = endpoint_check_of(stack, zone, side)
    return check.path if check and stack.side_of_api(check.host) == side else HEALTH_PATH


def probed_path_or_public(stack: Deployed, zone: Callable[[], Zone], side: Side) -> str:
    """As `probed_path`, of a zone that is still to be read. The public path, if Route 53's API does not answer."""
    try:
        return probed_path(stack, zone(), side)
    except OperationError:
        return HEALTH_PATH


def is_switch(stack: Deployed, check: HealthCheck | AlarmCheck) -> bool:
    """Whether a health check is the one of the switch in the standby region."""
    return stack.has_switch and isinstance(check, HealthCheck) and check.path == stack.switch_path


def follows_switch(stack: Deployed, zone: Zone) -> bool:
    """Whether the primary's record follows the switch."""
    return any(is_switch(stack, check) for check in _deciding(stack, zone, "primary"))


def when_well(stack: Deployed, check: HealthCheck | AlarmCheck) -> bool:
    """The status of a health check while both regions are healthy and the switch is not set."""
    return check.status(found=not is_switch(stack, check))


def alarm_check_of(stack: Deployed, zone: Zone, side: Side) -> AlarmCheck | None:
    """The health check of an alarm that a side's record follows, directly or as a child, if there is one."""
    return next((check for check in _deciding(stack, zone, side) if isinstance(check, AlarmCheck)), None)


def _deciding(stack: Deployed, zone: Zone, side: Side) -> Iterator[HealthCheck | AlarmCheck]:
    """The health checks that a side's record follows, as far as the model knows them."""
    with suppress(OperationError, KeyError):
        yield from zone.followed(checks_of(stack, zone)[side])


def settings_of(stack: Deployed, zone: Zone) -> Settings:
    """The deployed settings that the recovery time depends on. Defaults where there are none."""
    check = endpoint_check_of(stack, zone, "primary")
    ttls = [record.ttl_seconds for record in records_of(stack, zone).values()]
    settings = Settings(ttl_seconds=max(ttls, default=Settings().ttl_seconds))
    if alarm := alarm_check_of(stack, zone, "primary"):
        settings = replace(settings, alarm_period_seconds=alarm.period_seconds, alarm_periods=alarm.periods)
    if check is None:
        return settings
    return replace(
        settings,
        request_interval_seconds=check.request_interval_seconds,
        failure_threshold=check.failure_threshold,
        checkers=2 * len(check.regions),
    )


def alarm_state_now(stack: Deployed, region: str, name: str) -> AlarmState:
    """The state of an alarm's data stream. A region whose CloudWatch does not answer has no data.

    Raises:
        CannotTellError: CloudWatch rejects the call, or the region does not belong to the stack.
    """
    try:
        return probes.alarm_state(stack, region, name)
    except NoAnswerError:
        return "INSUFFICIENT_DATA"


def status_now(stack: Deployed, check: HealthCheck | AlarmCheck) -> bool:
    """The status that a health check reaches if its endpoint or alarm stays as it is now.

    Raises:
        CannotTellError: It cannot be checked from here.
    """
    if check.disabled:
        return check.status(found=True)
    if isinstance(check, AlarmCheck):
        return FollowedAlarm(check).see(alarm_state_now(stack, check.region, check.alarm))
    return check.status(found=judge(check, probes.probe(stack, check)).passed)


def statuses(stack: Deployed, zone: Zone, status_of: Callable[[HealthCheck | AlarmCheck], bool]) -> dict[str, bool]:
    """Status of the health check of each record of the application's name, by its id.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
        status_of: Returns the status of a check of an endpoint or an alarm that these depend on.

    Raises:
        OperationError: The model does not know one of them.
    """
    group = zone.group(str(stack.outputs["application_fqdn"]), stack.record_type)
    ids = [record.health_check_id for record in group if record.health_check_id]
    followed = {check.id: check for id_ in ids for check in zone.followed(id_)}
    with ThreadPoolExecutor(len(followed) or 1) as pool:  # a region that hangs costs its limit once
        known = dict(zip(followed, pool.map(status_of, followed.values()), strict=True))
    return {id_: zone.status(id_, known) for id_ in ids}


def answers(stack: Deployed, zone: Zone, healthy: Mapping[str, bool]) -> list[str]:
    """The set identifiers of the records that Route 53 answers with.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
        healthy: The result of `statuses`.

    Raises:
        OperationError: The model does not support the zone.
    """
    name, rng = str(stack.outputs["application_fqdn"]), random.Random(0)  # noqa: S311 - decides between weights
    drawn = [zone.answer(name, stack.record_type, healthy, rng) for _ in range(100)]
    return sorted({record.set_identifier or record.values[0] for record in drawn})
