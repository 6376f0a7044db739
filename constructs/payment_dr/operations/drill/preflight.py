"""Faults of a deployed stack before a drill: each finding is a sentence that names the cause.

Faults of its records and health checks are in `zone_faults`, which `dr status` uses too.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from payment_dr.operations import probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.deployed_zone import probed_path
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import NOTHING_IS_LEFT, Action, OutageMaker, undone
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.operations.probes import SERVING
from payment_dr.operations.route53.zone import Zone
from payment_dr.operations.status import OK, look_at
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import SIDES

WARMING_PROBES = 5
HEALTHY, UNHEALTHY = "healthy", "unhealthy"  # what a health function says


def unfit_to_start(stack: Deployed, faults: ZoneFaults) -> list[str]:
    """Why a drill would measure nothing: one region lacks the data, or DNS already answers with something else."""
    found = []
    first, second = (stack.region(side) for side in SIDES)
    table = str(stack.outputs["dynamodb_table_name"])
    if probes.table(stack, "primary").replica_status not in SERVING:
        found.append(f"no replica in {second}: the table {table} of {first} is not replicated, so a failover loses it")
    if not stack.has_switch:
        found += [why_not for side in SIDES if (why_not := stack.not_fenced_by_its_function(side))]
    return [*found, *faults.unfit()]


def regions_not_served(stack: Deployed, tls: TlsClient | None) -> list[str]:
    """The regions that do not serve the name over TLS, so that clients could not follow DNS there.

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


def warm_up(stack: Deployed, zone: Zone) -> None:
    """Probe each region until it is healthy, a few times at most: a function that starts may be late for its table."""
    for side in SIDES:
        for _ in range(WARMING_PROBES):
            with suppress(OperationError):  # which the next look reports
                if probes.health(stack, side, probed_path(stack, zone, side)).body.get("status") == HEALTHY:
                    break


def blind_health_functions(
    stack: Deployed, zone: Zone, maker: OutageMaker, journal: Journal, check: Callable[[], object]
) -> list[str]:
    """The health functions that do not report a failing table: an outage that the API answers 503 in hides them.

    Each deployed function is probed once while the DynamoDB of its region fails, on the path that Route 53 probes.

    Args:
        stack: The deployed stack.
        zone: Its hosted zone.
        maker: Makes DynamoDB fail.
        journal: Takes what is made to fail, and its undo.
        check: Raises an `OperationError` if the place itself is gone.

    Returns:
        A sentence for each.

    Raises:
        OperationError: DynamoDB could not be restored.
    """
    found = []
    for side in SIDES:
        region = stack.region(side)
        action = Action(
            f"let DynamoDB of {region} fail for one probe",
            partial(maker.fail, region, service="dynamodb"),
            partial(maker.restore, region),
            hint=NOTHING_IS_LEFT,
        )
        with undone(action, journal, check):
            health = probes.health(stack, side, probed_path(stack, zone, side))
        if health.verdict.passed or health.body.get("status") != UNHEALTHY:
            found.append(
                f"the health function of {region} does not report that its table fails ({health}), so Route 53 would "
                f"not stop answering with {region}"
            )
    return found


def refuse_a_degraded_start(stack: Deployed) -> None:
    """Check everything that `dr status` checks, except faults that show only later: the drill finds their effect.

    Raises:
        OperationError: Something is not as it should be.
    """
    found = look_at(stack, faults=False)
    bad = [
        f"{name} of {stack.region(side)}: {finding}"
        for side, findings in found.regions.items()
        for name, finding in findings.items()
        if finding.state != OK
    ] + [f"{name}: {finding}" for name, finding in found.both.items() if finding.state != OK]
    if bad:
        raise OperationError(
            f"the drill does not start from a degraded state: {'; '.join(bad)}", hint="fix that, see 'dr status'"
        )
