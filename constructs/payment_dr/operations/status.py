"""The state of a deployed stack in one look: what `dr status` prints."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from payment_dr.operations import probes
from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.errors import OperationError
from payment_dr.operations.printable import printable
from payment_dr.operations.probes import SERVING, Health
from payment_dr.operations.route53.zone import HealthCheck, Zone
from payment_dr.side import OTHER, SIDES, Side

OK, BAD, CANNOT_TELL = "ok", "bad", "cannot tell"
EXIT_CODES = {OK: 0, BAD: 1, CANNOT_TELL: 2}
_STYLES = {OK: "green", BAD: "red", CANNOT_TELL: "yellow"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and whether it is "ok", "bad" or "cannot tell"."""

    found: str
    state: str = OK

    def __str__(self) -> str:
        return f"{CANNOT_TELL}: {self.found}" if self.state == CANNOT_TELL else self.found


def judged(good: bool, found: str) -> Finding:
    """A finding that is as it should be, or not."""
    return Finding(found, OK if good else BAD)


def look(see: Callable[[], Finding]) -> Finding:
    """Look at one thing; what AWS does not tell becomes a finding too."""
    try:
        return see()
    except OperationError as error:
        return Finding(error.message, CANNOT_TELL)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is as it should be, 1 when something is not, 2 when something could not be told."""
    return max((EXIT_CODES[finding.state] for finding in findings), default=0)


@dataclass(frozen=True)
class Status:
    """What was found in each region, by side, and what concerns both."""

    stack: Deployed
    regions: Mapping[Side, Mapping[str, Finding]]
    both: Mapping[str, Finding]

    @property
    def exit_code(self) -> int:
        """The exit code of `dr status`."""
        return exit_code([*(each for found in self.regions.values() for each in found.values()), *self.both.values()])

    def as_json(self) -> dict[str, object]:
        """What `dr status --json` prints."""

        def as_cells(findings: Mapping[str, Finding]) -> dict[str, dict[str, str]]:
            return {name: {"state": each.state, "found": each.found} for name, each in findings.items()}

        return {
            "regions": {self.stack.region(side): {"side": side, **as_cells(self.regions[side])} for side in SIDES},
            **as_cells(self.both),
            "exit_code": self.exit_code,
        }

    def table(self) -> Table:
        """What `dr status` prints."""
        columns = ("", *(escape(printable(f"{self.stack.region(side)} ({side})")) for side in SIDES))
        table = Table(*columns, caption="serves: a model of Route 53 with the zone's records and these probes")
        for name in self.regions["primary"]:
            table.add_row(name, *(_cell(self.regions[side][name]) for side in SIDES))
        table.add_section()
        for name, finding in self.both.items():
            table.add_row(name, _cell(finding))
        return table


def _cell(finding: Finding) -> Text:
    return Text(printable(str(finding)), _STYLES[finding.state])


def look_at(stack: Deployed) -> Status:
    """Look at everything at the same time: a region that hangs costs its limit once."""
    see: dict[str, Callable[[Side], Finding]] = {
        "table": lambda side: _table(tables[side], tables[OTHER[side]]),
        "replica": lambda side: _replica(stack, side, tables[side]),
        "replication lag": lambda side: _lag(stack, side),
        "documents": lambda side: _documents(stack, side),
        "alarms": lambda side: _alarms(stack, side),
        "fenced": lambda side: _fenced(stack, side),
    }

    with ThreadPoolExecutor(16) as pool:
        tables = {side: pool.submit(probes.table, stack, side) for side in SIDES}
        probed = {side: pool.submit(probes.health, stack, side) for side in SIDES}
        zone = pool.submit(read_zone, stack)
        found = {
            side: {
                name: pool.submit(look, lambda side=side, each=each: each(side))  # type: ignore[misc]
                for name, each in see.items()
            }
            for side in SIDES
        }
        config = pool.submit(look, lambda: _config(stack))
        # Where Route 53 probes a private route, the public one may be flooded and says nothing of Route 53's verdict.
        paths = {side: _probed_path(stack, zone, side) for side in SIDES}
        probed |= {
            side: pool.submit(probes.health, stack, side, path) for side, path in paths.items() if path != HEALTH_PATH
        }
        return Status(
            stack,
            {
                side: {"health": look(lambda side=side: _health(probed[side].result()))}  # type: ignore[misc]
                | {name: future.result() for name, future in found[side].items()}
                for side in SIDES
            },
            {
                "config": config.result(),
                "serves": look(
                    lambda: _serves(stack, zone.result(), {side: each.result() for side, each in probed.items()})
                ),
            },
        )


def _probed_path(stack: Deployed, zone: Future[Zone], side: Side) -> str:
    """The path that the health check of a side probes: the public one, if Route 53's API does not answer."""
    try:
        check = health_check_of(stack, zone.result(), side)
    except OperationError:  # which `serves` says
        return HEALTH_PATH
    return check.path if check else HEALTH_PATH


def _health(health: Health) -> Finding:
    # "unknown" keeps Route 53 from failing over, but it is the monitor's own fault
    return judged(health.verdict.passed and health.body.get("status") == "healthy", str(health))


def _table(table: Future[probes.Table], other: Future[probes.Table]) -> Finding:
    found = table.result()
    if found.status in SERVING and not found.is_protected and _is_protected(other):
        return Finding(f"{found.status}, not protected against deletion as the other region is", BAD)
    return judged(found.status in SERVING, found.status)


def _is_protected(table: Future[probes.Table]) -> bool:
    try:
        return table.result().is_protected
    except OperationError:  # which its own cell says
        return False


def _replica(stack: Deployed, side: Side, table: Future[probes.Table]) -> Finding:
    status, other = table.result().replica_status, stack.region(OTHER[side])
    return judged(status in SERVING, f"{status or 'none'} in {other}")


def _lag(stack: Deployed, side: Side) -> Finding:
    latency = probes.replication_latency_ms(stack, side, time.time())
    # whether that is too much is the deployed alarm's to say
    return Finding("no data in 5 minutes" if latency is None else f"{latency:.0f} ms to {stack.region(OTHER[side])}")


def _documents(stack: Deployed, side: Side) -> Finding:
    other = stack.region(OTHER[side])
    if side == "secondary" and not stack.has_two_way_documents:
        return Finding(f"not copied to {other}")
    copies = probes.document_copies(stack, side, time.time())
    if copies.failed is None and copies.waiting is None:
        return Finding("no data in 60 minutes")
    # whether too many wait is the deployed alarm's to say
    return judged(
        not copies.failed, f"{copies.failed or 0} failed in 60 minutes, {copies.waiting or 0} wait for {other}"
    )


def _alarms(stack: Deployed, side: Side) -> Finding:
    states = probes.alarms(stack, side)
    ringing = sorted(name for name, state in states.items() if state == "ALARM")
    if not states:
        return Finding("none of the stack's alarms exists here", BAD)
    return judged(not ringing, ", ".join(ringing) or f"none of {len(states)} in ALARM")


def _fenced(stack: Deployed, side: Side) -> Finding:
    is_fenced = probes.reserved_concurrency(stack, side) == 0
    return judged(not is_fenced, "FENCED" if is_fenced else "no")


def _config(stack: Deployed) -> Finding:
    drifted = probes.drifted_parameters(stack)
    return judged(not drifted, f"differs: {', '.join(drifted)}" if drifted else "the same in both regions")


def _serves(stack: Deployed, zone: Zone, health: Mapping[Side, Health]) -> Finding:
    serving = answers(stack, zone, {side: each.verdict.passed for side, each in health.items()})
    serving_names = " and ".join(f"{stack.region(side)} ({side})" if side in SIDES else side for side in serving)
    return judged(serving == ["primary"], serving_names)


def read_zone(stack: Deployed) -> Zone:
    """Read the zone as it is deployed.

    Raises:
        CannotTellError: Route 53's API does not answer; it lives in us-east-1.
        OperationError: The zone is not what the model knows.
    """
    client = stack.client("route53", "primary")
    return asked("Route 53's API", lambda: Zone.read(client, str(stack.outputs["hosted_zone_id"])))


def health_check_of(stack: Deployed, zone: Zone, side: Side) -> HealthCheck | None:
    """The health check of a side, if a record of the zone uses it."""
    return zone.health_checks.get(stack.output(side, "health_check_id"))


def answers(stack: Deployed, zone: Zone, passed: Mapping[Side, bool]) -> list[str]:
    """Whom Route 53 answers with when the probes of each side pass, or not, for long enough: set identifiers.

    Raises:
        OperationError: The zone is not what the model knows.
    """
    by_check = {stack.output(side, "health_check_id"): passed[side] for side in SIDES}
    if strange := sorted(zone.health_checks.keys() - by_check.keys()):
        raise OperationError(f"the zone uses other health checks: {', '.join(strange)}", hint="run terraform apply")
    healthy = {id_: (by_check[id_] or each.disabled) != each.inverted for id_, each in zone.health_checks.items()}
    name, rng = str(stack.outputs["application_fqdn"]), random.Random(0)  # noqa: S311 - decides between weights
    drawn = [zone.answer(name, stack.record_type, healthy, rng) for _ in range(100)]
    return sorted({record.set_identifier or record.values[0] for record in drawn})
