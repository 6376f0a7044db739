"""What is wrong with a deployed stack before anything has failed: each finding a sentence that names the cause.

What is wrong with its records and health checks is in `zone_faults`, for `dr status` too.
"""

from payment_dr.operations import probes
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.tls_client import NotServedError, TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.operations.probes import SERVING
from payment_dr.operations.status import OK, look_at
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import SIDES


def unfit_to_start(stack: Deployed, faults: ZoneFaults) -> list[str]:
    """Why a drill would measure nothing: the data are not in both regions, or DNS answers something else already."""
    found = []
    first, second = (stack.region(side) for side in SIDES)
    table = str(stack.outputs["dynamodb_table_name"])
    if probes.table(stack, "primary").replica_status not in SERVING:
        found.append(f"no replica in {second}: the table {table} of {first} is not replicated, so a failover loses all")
    if not stack.has_switch:
        found += [why_not for side in SIDES if (why_not := stack.not_fenced_by_its_function(side))]
    return [*found, *faults.unfit()]


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
    """Look at everything that `dr status` looks at, but for the faults of the zone, which the drill goes on with.

    Raises:
        OperationError: Something is not as it should be.
    """
    found = look_at(stack, failover=False)
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
