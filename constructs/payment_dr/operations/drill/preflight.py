"""What is wrong with a deployed stack before anything has failed: each finding a sentence that names the cause."""

from collections.abc import Mapping

from payment_dr.operations import probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.deployed_zone import answers, endpoint_check_of, records_of, settings_of, statuses
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.operations.probes import SERVING
from payment_dr.operations.route53.zone import AlarmCheck, HealthCheck, Record, UnknownCheck, Zone
from payment_dr.operations.status import OK, look_at
from payment_dr.side import OTHER, SIDES, Side


def unfit_to_start(stack: Deployed, zone: Zone) -> list[str]:
    """Why a drill would measure nothing: the data are not in both regions, or DNS answers something else already."""
    found = []
    first, second = (stack.region(side) for side in SIDES)
    table = str(stack.outputs["dynamodb_table_name"])
    if probes.table(stack, "primary").replica_status not in SERVING:
        found.append(f"no replica in {second}: the table {table} of {first} is not replicated, so a failover loses all")
    found += [why_not for side in SIDES if (why_not := stack.not_fenced_by_its_function(side))]
    records = records_of(stack, zone)
    fqdn = stack.outputs["application_fqdn"]
    found += [f"{fqdn} has no record of {stack.region(side)}" for side in SIDES if side not in records]
    if len(records) == len(SIDES) and answers(stack, zone, statuses(stack, zone, _well)) != ["primary"]:
        weights = ", ".join(f"{stack.region(side)} {records[side].weight}" for side in SIDES)
        found.append(
            f"weights swapped: with both regions healthy Route 53 does not answer with {first} alone, "
            f"because the weights of {fqdn} are {weights}"
        )
    return found


def _well(check: HealthCheck | AlarmCheck) -> bool:
    return check.status(found=True)


def regions_not_served(stack: Deployed, tls: TlsClient | None) -> list[str]:
    """The regions that do not serve the name over TLS: clients would not get what DNS sends them to.

    Args:
        stack: The deployed stack.
        tls: A client of the name; None if it is not served over TLS.
    """
    found: list[str] = []
    if tls is None:
        return found
    for side in SIDES:
        try:
            tls.call(side)
        except NotServedError as error:
            found.append(f"{stack.region(side)} does not serve {stack.outputs['application_fqdn']}: {error}")
    return found


def refuse_a_degraded_start(stack: Deployed) -> None:
    """Look at everything that `dr status` looks at.

    Raises:
        OperationError: Something is not as it should be.
    """
    found = look_at(stack)
    bad = [
        f"{name} of {stack.region(side)}: {finding}"
        for side, findings in found.regions.items()
        for name, finding in findings.items()
        if finding.state != OK
    ] + [f"{name}: {finding}" for name, finding in found.both.items() if finding.state != OK]
    if bad:
        raise OperationError(
            f"the drill does not start from a degraded state: {'; '.join(bad)}", hint="mend that, see 'dr status'"
        )


def faults(stack: Deployed, zone: Zone) -> list[str]:
    """What would keep a failover from being right, or quick enough."""
    found = []
    records, fqdn = records_of(stack, zone), stack.outputs["application_fqdn"]
    for side, record in records.items():
        found += _faults_of_check(stack, zone, side, record)
    settings = settings_of(stack, zone)
    detection = settings.request_interval_seconds * settings.failure_threshold
    if detection + settings.ttl_seconds > stack.rto_target_seconds:
        what = (
            f"TTL of {fqdn} is {settings.ttl_seconds} s"
            if settings.ttl_seconds > detection
            else f"the health check of {stack.region('primary')} needs {settings.failure_threshold} x "
            f"{settings.request_interval_seconds} s"
        )
        found.append(
            f"{what}, so a failover takes up to {detection} s of detection and {settings.ttl_seconds} s of caching, "
            f"more than the target of {stack.rto_target_seconds} s"
        )
    return found


_WITHOUT_CHECK: Mapping[Side, str] = {
    "primary": "so Route 53 never stops answering with it",
    "secondary": "so Route 53 takes it for healthy even when it is not",
}


def _faults_of_check(stack: Deployed, zone: Zone, side: Side, record: Record) -> list[str]:
    region, check_id = stack.region(side), record.health_check_id
    if check_id is None:
        return [f"the {side} record ({region}) has no health check, {_WITHOUT_CHECK[side]}"]
    check, endpoint = zone.health_checks[check_id], endpoint_check_of(stack, zone, side)
    if isinstance(check, UnknownCheck):
        return [f"the health check of the {side} record ({region}) {check.why}"]
    if check_id == stack.output(OTHER[side], "health_check_id"):
        return [f"the {side} record ({region}) has the health check of {stack.region(OTHER[side])}"]
    found = []
    if check.disabled:
        found.append(f"the health check of the {side} record ({region}) is disabled, {_WITHOUT_CHECK[side]}")
    if check.inverted:
        found.append(f"the health check of the {side} record ({region}) is inverted: healthy counts as unhealthy")
    if endpoint and endpoint.host != stack.probed_host(side):
        found.append(
            f"the health check of the {side} record ({region}) probes {endpoint.host}, which is not that region"
        )
    return found
