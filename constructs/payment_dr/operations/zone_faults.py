"""Finds faults in a deployed stack's records and health checks that would make a failover wrong or too slow.

Each finding is a sentence with the cause and the fix, for `dr status` and the drill's preflight.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial

from payment_dr.operations import probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.deployed_zone import (
    answers,
    checks_of,
    endpoint_check_of,
    follows_switch,
    is_switch,
    records_of,
    settings_of,
    status_now,
    statuses,
    when_well,
)
from payment_dr.operations.errors import OperationError
from payment_dr.operations.probes import HTTPS_PORT
from payment_dr.operations.route53.checkers import judge
from payment_dr.operations.route53.zone import AlarmCheck, CalculatedCheck, HealthCheck, Record, Zone
from payment_dr.side import OTHER, SIDES, Side

_WITHOUT_CHECK: Mapping[Side, str] = {
    "primary": "so Route 53 never stops answering with it",
    "secondary": "so Route 53 considers it healthy even when it is not",
}
NOT_FOUND, CANNOT_READ = 404, 500
STANDARD_RESOLUTION_SECONDS = 60


class ZoneFaults:
    """The faults of a stack. It probes each side's health check once, at the first use.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
    """

    def __init__(self, stack: Deployed, zone: Zone) -> None:
        self._stack, self._zone = stack, zone

    @cached_property
    def _of_checks(self) -> list[str]:
        return check_faults(self._stack, self._zone)

    def unfit(self) -> list[str]:
        """Why Route 53 does not answer with the primary only, although both regions are healthy.

        Raises:
            CannotTellError: The result of a health check is unknown from here.
        """
        stack, zone = self._stack, self._zone
        records, fqdn = records_of(stack, zone), stack.outputs["application_fqdn"]
        found = [f"{fqdn} has no record of {stack.region(side)}" for side in SIDES if side not in records]
        if found:
            return found
        of_checks = self._of_checks
        try:
            if answers(stack, zone, statuses(stack, zone, partial(when_well, stack))) != ["primary"]:
                weights = ", ".join(f"{stack.region(side)} {records[side].weight}" for side in SIDES)
                found.append(
                    f"weights swapped: with both regions healthy Route 53 does not answer with "
                    f"{stack.region('primary')} only, because the weights of {fqdn} are {weights}"
                )
            if of_checks and not all(statuses(stack, zone, partial(status_now, stack)).values()):
                return of_checks
        except OperationError:
            if of_checks:  # which say why
                return of_checks
            raise
        return found

    def all(self) -> list[str]:
        """Faults that would make a failover wrong or too slow.

        Raises:
            CannotTellError: The result of a health check is unknown from here.
        """
        stack, found, fqdn = self._stack, [*self._of_checks], self._stack.outputs["application_fqdn"]
        settings = settings_of(stack, self._zone)
        detection = settings.request_interval_seconds * settings.failure_threshold
        if detection + settings.ttl_seconds > stack.rto_target_seconds:
            what = (
                f"TTL of {fqdn} is {settings.ttl_seconds} s"
                if settings.ttl_seconds > detection
                else f"the health check of {stack.region('primary')} needs {settings.failure_threshold} x "
                f"{settings.request_interval_seconds} s"
            )
            found.append(
                f"{what}, so a failover takes up to {detection} s of detection and {settings.ttl_seconds} s of "
                f"caching, more than the target of {stack.rto_target_seconds} s"
            )
        return found


def check_faults(stack: Deployed, zone: Zone) -> list[str]:
    """Faults of the health checks of the name's records.

    Raises:
        CannotTellError: The result of one is unknown from here.
    """
    found = [each for side, record in records_of(stack, zone).items() for each in _of_record(stack, zone, side, record)]
    both = [check for side in SIDES if (check := endpoint_check_of(stack, zone, side))]
    paces = [f"{check.failure_threshold} x {check.request_interval_seconds} s" for check in both]
    if len(set(paces)) > 1:
        described = ", ".join(f"{stack.region(side)} {pace}" for side, pace in zip(SIDES, paces, strict=True))
        found.append(
            f"the health checks detect at different speeds ({described}): give both the same threshold and interval"
        )
    return found


def _of_record(stack: Deployed, zone: Zone, side: Side, record: Record) -> list[str]:
    region, check_id = stack.region(side), record.health_check_id
    if check_id is None:
        return [f"the {side} record ({region}) has no health check, {_WITHOUT_CHECK[side]}"]
    other = {checks_of(stack, zone).get("primary")} if side == "secondary" else set()
    if check_id in {*other, stack.output(OTHER[side], "health_check_id")}:
        return [f"the {side} record ({region}) has the health check of {stack.region(OTHER[side])}"]
    name = f"the health check of the {side} record ({region})"
    try:
        followed = list(zone.followed(check_id))
    except OperationError as error:
        return [f"{name} has no known status: {error.message}; {error.hint}"]
    check = zone.health_checks[check_id]
    found = [*_of_calculation(name, check, side)] if isinstance(check, CalculatedCheck) else []
    for each in followed:
        which = name if each is check else f"{name}, of which {each.id} is a part,"
        if is_switch(stack, each):
            found += _of_switch(stack, f"the health check of the switch, {each.id},", each)
            continue
        found += _of_settings(which, each, side)
        found += (
            _of_alarm(stack, which, each) if isinstance(each, AlarmCheck) else _of_endpoint(stack, which, each, side)
        )
    if side == "primary" and stack.has_switch and not follows_switch(stack, zone):
        found.append(f"{name} does not follow the switch, so 'dr failover' sends no client away: run terraform apply")
    if not found and zone.status(check_id, {each.id: each.status(found=False) for each in followed}):
        found.append(f"{name} is healthy even when all its children fail: run terraform apply")
    return found


def _of_settings(name: str, check: HealthCheck | AlarmCheck | CalculatedCheck, side: Side) -> Iterator[str]:
    if check.disabled:
        yield f"{name} is disabled, {_WITHOUT_CHECK[side]}: enable it"
    if check.inverted:
        yield f"{name} is inverted, so healthy counts as unhealthy: set Inverted to false"


def _of_calculation(name: str, check: CalculatedCheck, side: Side) -> Iterator[str]:
    yield from _of_settings(name, check, side)
    children = len(check.children)
    if check.threshold == 0:
        yield f"{name} is always healthy, as its HealthThreshold is 0, {_WITHOUT_CHECK[side]}: set it to {children}"
    elif check.threshold > children:
        yield (
            f"{name} is never healthy, as its HealthThreshold is {check.threshold} and it has {children} children: set "
            f"it to {children}"
        )
    elif check.threshold < children:
        yield (
            f"{name} stays healthy while one of its {children} children fails, as its HealthThreshold is "
            f"{check.threshold}: set it to {children}"
        )


def _of_switch(stack: Deployed, name: str, check: HealthCheck | AlarmCheck) -> Iterator[str]:
    assert isinstance(check, HealthCheck)  # noqa: S101 - see is_switch
    if not check.inverted:
        yield f"{name} is not inverted, so clients are sent away while the switch is not set: set Inverted to true"
    if check.disabled:
        yield f"{name} is disabled, so its status does not depend on the switch: enable it"
    host = stack.api_host("secondary")
    if found := _of_host(name, check, host) or handshake_fault(name, check, host):
        yield found
        return
    result = probes.probe(stack, check)
    if result.status == NOT_FOUND:
        yield f"{name} probes a path that its API does not have (HTTP status 404): run terraform apply to set it"
    elif result.status == CANNOT_READ:
        yield f"{name} finds that the switch cannot be read: see the log of its function in {stack.region('secondary')}"


def _of_endpoint(stack: Deployed, name: str, check: HealthCheck, side: Side) -> list[str]:
    host = stack.probed_host(side)
    if found := _of_host(name, check, host):
        return [found]
    if stack.side_of_api(host) != side:  # a host of the team's own, of which nothing else is known
        return []
    if found := handshake_fault(name, check, host):
        return [found]
    result = probes.probe(stack, check)
    if result.status == NOT_FOUND:  # of the API itself; the path is not named, as it may be a secret
        return [f"{name} probes a path that its API does not have (HTTP status 404): run terraform apply to set it"]
    if check.matches_string and result.error is None and judge(replace(check, type="HTTPS"), result).passed:
        verdict = judge(check, result)
        if not verdict.passed:
            return [f"{name} fails although its region answers ({verdict.reason}): change SearchString or the type"]
    return []


def _of_host(name: str, check: HealthCheck, host: str) -> str | None:
    """Whether a check probes the wrong host."""
    if check.host.rstrip(".").lower() == host.lower() and not check.address:
        return None
    where = check.address or check.host
    return f"{name} probes {where}, which is not that region: set its domain name to {host}, without an IP address"


def handshake_fault(name: str, check: HealthCheck, host: str) -> str | None:
    """Why a check does not reach an HTTP API."""
    if check.type == "TCP":
        return f"{name} is of type TCP, which passes while the health function answers 503: change its type to HTTPS"
    if not check.is_tls:
        return f"{name} is of type {check.type}, but {host} speaks only TLS: change its type to HTTPS"
    if check.port != HTTPS_PORT:
        return f"{name} probes port {check.port}, but {host} listens on {HTTPS_PORT} only: set its port to {HTTPS_PORT}"
    if not check.sni:
        return f"{name} sends no SNI, so its TLS handshake with {host} fails: set EnableSNI to true"
    return None


def _of_alarm(stack: Deployed, name: str, check: AlarmCheck) -> list[str]:
    """Report alarms that Route 53 cannot follow.

    "Standard-resolution metrics. High-resolution metrics aren't supported." "Extended statistics aren't supported."
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_AlarmIdentifier.html
    """
    where = f"{check.alarm} of {check.region}"
    alarm = probes.alarm(stack, check.region, check.alarm)
    if alarm is None:
        return [f"{name} follows the alarm {where}, which does not exist: run terraform apply"]
    if alarm.get("ExtendedStatistic"):
        return [
            f"{name} follows the alarm {where}, whose statistic {alarm['ExtendedStatistic']} Route 53 does not support"
        ]
    if 0 < alarm.get("Period", 0) < STANDARD_RESOLUTION_SECONDS:
        return [
            f"{name} follows the alarm {where}, whose period of {alarm['Period']} s Route 53 does not support: set it "
            "to 60 s"
        ]
    return []
