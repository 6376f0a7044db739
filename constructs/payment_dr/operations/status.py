"""The state of a deployed stack: the output of `dr status`."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from payment_dr.operations import probes, standby_switch
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.deployed_zone import answers, probed_path_or_public, read_zone, status_now, statuses
from payment_dr.operations.errors import OperationError
from payment_dr.operations.printable import printable
from payment_dr.operations.probes import SERVING
from payment_dr.operations.route53.zone import Zone
from payment_dr.operations.wiring_faults import WiringFaults
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import OTHER, SIDES, Side

FAILOVER = "failover"  # what would keep one from being right
ALERTS, CONFIG_SYNC, DOCUMENT_COPIES = "alerts", "config sync", "document copies"  # what would keep each from arriving
OK, BAD, CANNOT_TELL = "ok", "bad", "cannot tell"
EXIT_CODES = {OK: 0, BAD: 1, CANNOT_TELL: 2}
_STAYS: dict[Side, str] = {"primary": " until 'dr failback'", "secondary": ""}  # a failback ends no other fence
_STYLES = {OK: "green", BAD: "red", CANNOT_TELL: "yellow"}


@dataclass(frozen=True)
class Finding:
    """The result of one check: what it found, and whether that is "ok", "bad" or "cannot tell"."""

    found: str
    state: str = OK

    def __str__(self) -> str:
        return f"{CANNOT_TELL}: {self.found}" if self.state == CANNOT_TELL else self.found


def judged(good: bool, found: str) -> Finding:
    """A finding that is ok, or bad."""
    return Finding(found, OK if good else BAD)


def look(see: Callable[[], Finding]) -> Finding:
    """Run one check. An inconclusive one becomes a finding too."""
    try:
        return see()
    except OperationError as error:
        return Finding(error.message, CANNOT_TELL)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is well, 1 when something is wrong, 2 when a result is inconclusive."""
    return max((EXIT_CODES[finding.state] for finding in findings), default=0)


@dataclass(frozen=True)
class Status:
    """The findings of each region, by side, and those of both together."""

    stack: Deployed
    regions: Mapping[Side, Mapping[str, Finding]]
    both: Mapping[str, Finding]

    @property
    def exit_code(self) -> int:
        """The exit code of `dr status`."""
        return exit_code([*(each for found in self.regions.values() for each in found.values()), *self.both.values()])

    def as_json(self) -> dict[str, object]:
        """The output of `dr status --json`."""

        def as_cells(findings: Mapping[str, Finding]) -> dict[str, dict[str, str]]:
            return {name: {"state": each.state, "found": each.found} for name, each in findings.items()}

        return {
            "regions": {self.stack.region(side): {"side": side, **as_cells(self.regions[side])} for side in SIDES},
            **as_cells(self.both),
            "exit_code": self.exit_code,
        }

    def table(self) -> Table:
        """The output of `dr status`."""
        columns = ("", *(escape(printable(f"{self.stack.region(side)} ({side})")) for side in SIDES))
        table = Table(*columns, caption="serves: computed from the zone's records and these probes")
        for name in self.regions["primary"]:
            table.add_row(name, *(_cell(self.regions[side][name]) for side in SIDES))
        table.add_section()
        for name, finding in self.both.items():
            table.add_row(name, _cell(finding))
        return table


def _cell(finding: Finding) -> Text:
    return Text(printable(str(finding)), _STYLES[finding.state])


def look_at(stack: Deployed, *, faults: bool = True) -> Status:
    """Run all checks at the same time, so that a region that hangs costs its limit once.

    Args:
        stack: The deployed stack.
        faults: Check for faults that show only later too: in records and health checks, and in what alarms, config
            sync and documents need. That takes more calls and rights.
    """
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
        zone = pool.submit(read_zone, stack)
        probed = {side: pool.submit(lambda side=side: _health(stack, zone, side)) for side in SIDES}  # type: ignore[misc]
        serves = pool.submit(look, lambda: _serves(stack, zone.result()))
        of_zone = pool.submit(look, lambda: _failover(stack, zone.result())) if faults else None
        of_wiring = pool.submit(look_at_wiring, stack) if faults else None
        found = {
            side: {
                name: pool.submit(look, lambda side=side, each=each: each(side))  # type: ignore[misc]
                for name, each in see.items()
            }
            for side in SIDES
        }
        config = pool.submit(look, lambda: _config(stack))
        switched = {"switched": pool.submit(look, lambda: _switched(stack))} if stack.has_switch else {}
        return Status(
            stack,
            {
                side: {"health": look(probed[side].result)}
                | {name: future.result() for name, future in found[side].items()}
                for side in SIDES
            },
            {
                "config": config.result(),
                **{name: future.result() for name, future in switched.items()},
                "serves": serves.result(),
                **({FAILOVER: of_zone.result()} if of_zone else {}),
                **(of_wiring.result() if of_wiring else {}),
            },
        )


def look_at_wiring(stack: Deployed) -> dict[str, Finding]:
    """Look for what would keep alarms, changed parameters and documents from arriving."""
    wiring = WiringFaults(stack)
    with ThreadPoolExecutor(8) as pool:

        def of_sides(each: Callable[[Side], list[str]]) -> list[Future[list[str]]]:
            return [pool.submit(each, side) for side in SIDES]

        alarms = {side: pool.submit(probes.described_alarms, stack, side) for side in SIDES}
        alerts = of_sides(lambda side: wiring.of_alerts(side, alarms[side].result()))
        alerts.append(
            pool.submit(lambda: wiring.missing_alarms(each for found in alarms.values() for each in found.result()))
        )
        syncs, copies = of_sides(wiring.of_config_sync), of_sides(wiring.of_documents)
    return {
        ALERTS: _wired("alarms can reach their topics", alerts),
        CONFIG_SYNC: _wired("each region can copy to the other", syncs),
        DOCUMENT_COPIES: _wired("documents can be copied", copies),
    }


def _wired(well: str, parts: Iterable[Future[list[str]]]) -> Finding:
    """The faults of all parts. A part that cannot be read does not hide those of another one."""
    found, unknown = list[str](), list[str]()
    for part in parts:
        try:
            found += part.result()
        except OperationError as error:
            unknown.append(error.message)
    found, unknown = [*dict.fromkeys(found)], [*dict.fromkeys(unknown)]
    if found:
        return Finding("; ".join([*found, *(f"{CANNOT_TELL}: {each}" for each in unknown)]), BAD)
    return Finding("; ".join(unknown), CANNOT_TELL) if unknown else Finding(well)


def _health(stack: Deployed, zone: Future[Zone], side: Side) -> Finding:
    # Where Route 53 probes a private route, the public one may be flooded and says nothing of Route 53's verdict.
    health = probes.health(stack, side, probed_path_or_public(stack, zone.result, side))
    # "unknown" keeps Route 53 from failing over, but it is the monitor's own fault
    return judged(health.verdict.passed and health.body.get("status") == "healthy", str(health))


def _table(table: Future[probes.Table], other: Future[probes.Table]) -> Finding:
    found = table.result()
    if found.status in SERVING and not found.is_protected and _is_protected(other):
        return Finding(f"{found.status}, not protected from deletion, unlike the other region", BAD)
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
    firing = sorted(name for name, state in states.items() if state == "ALARM")
    if not states:
        return Finding("none of the stack's alarms exists here", BAD)
    return judged(not firing, ", ".join(firing) or f"none of {len(states)} in ALARM")


def _fenced(stack: Deployed, side: Side) -> Finding:
    is_fenced = probes.reserved_concurrency(stack, side) == 0
    return judged(not is_fenced, f"FENCED{_STAYS[side]}" if is_fenced else "no")


def _switched(stack: Deployed) -> Finding:
    if switched := standby_switch.in_force(stack, time.time()):
        return Finding(f"to {stack.region('secondary')}, {switched}", BAD)
    return Finding("no")


def _config(stack: Deployed) -> Finding:
    drifted = probes.drifted_parameters(stack)
    return judged(not drifted, f"differs: {', '.join(drifted)}" if drifted else "the same in both regions")


def _serves(stack: Deployed, zone: Zone) -> Finding:
    serving = answers(stack, zone, statuses(stack, zone, partial(status_now, stack)))
    serving_names = " and ".join(f"{stack.region(side)} ({side})" if side in SIDES else side for side in serving)
    return judged(serving == ["primary"], serving_names)


def _failover(stack: Deployed, zone: Zone) -> Finding:
    faults = ZoneFaults(stack, zone)
    found = dict.fromkeys([*faults.unfit(), *faults.all()])
    return judged(not found, "; ".join(found) or "records and health checks are correct")
