"""The targets of a drill, the measured values, and the causes of a miss."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from payment_dr.operations.drill.alarm_watch import METRICS_REGION
from payment_dr.operations.drill.client_dns import Change
from payment_dr.operations.drill.journal import (
    CONFIRMED,
    LOCAL,
    PHASES,
    AlarmsRecord,
    ConflictRecord,
    Journal,
    PaymentRecord,
    PhaseSeconds,
    SimulatedRuns,
    Target,
    Way,
    copied_sides,
    verdict_on,
)
from payment_dr.operations.drill.outages import Outage
from payment_dr.operations.drill.targets import MISSES_WHEN
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import Settings
from payment_dr.side import OTHER, SIDES, Side

SAME_TIME_SECONDS = 10.0  # of drill time, which may pass in an instant
PROBES_DECIDE = frozenset({"failover", "failback", "stays", "returned", "missing at the failover", "alarms fired"})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a drill has seen, by which it is judged; all times are seconds of drill time.

    Attributes:
        outage: What failed.
        settings: What the recovery time depends on.
        simulated: What the model's runs took with these settings.
        began, recovered, ended: When the outage began, when it ended, and when the drill had seen enough.
        failed_over, failed_back: Whether clients were served by the secondary region, and by the primary again.
        verdicts, switches, expired: Changes of the health checks, of the answer of DNS, and of what the client knew.
        served: When the first transaction of another region was completed.
        last_failure: Why a side's latest failed probe failed.
        released: When an operator let clients return. None where they return by themselves.
    """

    outage: Outage
    settings: Settings
    simulated: SimulatedRuns
    began: float
    recovered: float
    ended: float
    failed_over: bool
    failed_back: bool
    verdicts: Sequence[Change]
    switches: Sequence[Change]
    expired: Sequence[Change]
    served: Sequence[Change]
    last_failure: Mapping[Side, str]
    released: float | None = None


class Judge:
    """Compares the measured values of a drill with its targets.

    Args:
        journal: Its rto, rpo and after are judged; the phases of the recovery are put into it.
        regions: The region of each side.
        rto_target_seconds: Seconds that a failover or a failback may take.
        counted_how: What a count is made of, for the reader of a target.
        rto_how: What a recovery time is made of.

    Attributes:
        targets: Every target with what was measured, as the journal has them.
        causes: Why targets were missed, a sentence each.

    Example:
        >>> judge.add_target("items that differ", "items", 0, 2, "they differ", kind="items")  # doctest: +SKIP
        >>> judge.verdict  # doctest: +SKIP
        'missed'
    """

    def __init__(
        self,
        journal: Journal,
        regions: Mapping[Side, str],
        *,
        rto_target_seconds: int,
        counted_how: str,
        rto_how: str,
    ) -> None:
        self._journal, self._regions, self._counted_how, self._rto_how = journal, regions, counted_how, rto_how
        self._rto_target_seconds = rto_target_seconds
        self._missed: list[str] = []  # their kinds
        self.targets: list[Target] = []
        self.causes: list[str] = []

    @property
    def verdict(self) -> str:
        """Whether all targets were met, or one was missed, or else one is inconclusive."""
        return verdict_on(self.targets)

    def judge(self, evidence: Evidence) -> None:
        """Judge a drill that went all the way.

        Raises:
            OperationError: Clients changed their region, and DNS was not seen to change its answer; or probes decide on
                all that was missed, and they failed where the outage was not.
        """
        if evidence.outage.must_fail_over(evidence.settings):
            self._judge_recovery_times(evidence)
        else:
            self._judge_staying(evidence)
        self._judge_payments_during(evidence)
        self._judge_payments(evidence)
        self._judge_after_recovery()
        if self._missed and PROBES_DECIDE.issuperset(self._missed) and self._probes_failed_by_themselves(evidence):
            raise OperationError(
                f"probes of {' and '.join(self._regions.values())} failed at the same time, which the outage does not "
                "explain: this machine is too busy",
                hint="run it again on an idle machine",
            )

    def _probes_failed_by_themselves(self, evidence: Evidence) -> bool:
        """Whether some probes of both regions failed at the same time, though the outage spares the secondary.

        A region that fails for as long as the outage lasts depends on the other one, which is a fault of the stack.
        """
        if "secondary" in evidence.outage.sides:
            return False
        probes = [event for event in self._journal.content["events"] if event["kind"] == "probe"]
        failed = [(probe["region"], probe["at"]) for probe in probes if not probe["ok"]]
        first, second = (self._regions[side] for side in SIDES)
        for during in (True, False):
            passed = [
                probe["ok"]
                for probe in probes
                if probe["region"] == second and (evidence.began <= probe["at"] <= evidence.recovered) == during
            ]
            if passed and sum(passed) <= len(passed) / 2:
                return False
        return any(
            abs(one - other) <= SAME_TIME_SECONDS
            for region, one in failed
            for other_region, other in failed
            if (region, other_region) == (first, second)
        )

    def add_target(
        self,
        what: str,
        unit: str,
        target: float,
        measured: float | None,
        cause: str | None = None,
        how: str | None = None,
        *,
        kind: str,
    ) -> None:
        """Judge one measured value.

        Args:
            what: What was measured.
            unit: Its unit.
            target: The most that it may be.
            measured: What it is. None, if nothing could be measured, is missed.
            cause: Why it is missed, if it is; noted in `causes` then.
            how: What the value is made of. Default: it is a count.
            kind: The target's key in `MISSES_WHEN`.
        """
        met = measured is not None and measured <= target
        self._append(what, unit, target, measured, met=met, how=how or self._counted_how, kind=kind)
        if not met:
            self._missed.append(kind)
        if cause and not met:
            self.causes.append(cause)

    def leave_untested(self, what: str, unit: str, target: float, why: str, *, kind: str) -> None:
        """Add a target that no system can miss in this drill, as not tested."""
        self._append(what, unit, target, None, met=None, tested=False, how=f"not tested {why}", kind=kind)

    def leave_inconclusive(
        self, what: str, unit: str, target: float, measured: float | None, cause: str, *, kind: str
    ) -> None:
        """Add a target that this run neither met nor missed. The cause goes into `causes` too."""
        self._append(what, unit, target, measured, met=None, how=f"inconclusive: {cause}", kind=kind)
        self.causes.append(cause)

    def _append(
        self,
        what: str,
        unit: str,
        target: float,
        measured: float | None,
        *,
        met: bool | None,
        how: str,
        kind: str,
        tested: bool = True,
    ) -> None:
        rounded = None if measured is None else round(measured, 1)
        self.targets.append(
            {
                "what": what,
                "unit": unit,
                "target": target,
                "measured": rounded,
                "met": met,
                "tested": tested,
                "how": how,
                "misses_when": MISSES_WHEN[kind],
            }
        )

    def _judge_recovery_times(self, evidence: Evidence) -> None:
        over = back = None
        if evidence.failed_over:
            over = _phases(evidence, "secondary", evidence.began)
            if evidence.failed_back:
                since = evidence.recovered
                if evidence.released is not None and not _early_returns(evidence, evidence.released):
                    since = evidence.released
                back = _phases(evidence, "primary", since)
        self._journal.set(rto={**self._journal.content["rto"], "failover": over, "failback": back})
        self._add_rto_targets("failover", over, evidence, self._why_no_failover(evidence))
        why_no_failback = f"clients did not return to {self._regions['primary']} after its recovery"
        self._add_rto_targets("failback", back, evidence, why_no_failback)

    def _judge_staying(self, evidence: Evidence) -> None:
        first, second = (self._regions[side] for side in SIDES)
        away = _longest_away(evidence)
        cause = evidence.outage.why_failover(
            primary=first, secondary=second, seconds=away, failure=evidence.last_failure.get("primary")
        )
        tolerated = evidence.outage.tolerated_seconds(evidence.settings)
        self.add_target(f"longest time with {second} in DNS", "s", tolerated, away, cause, kind="stays")
        if not evidence.failed_back:
            cause = f"clients did not return to {first}"
            self.add_target("clients not served by the primary", "clients", 0, 1, cause, kind="returned")

    def _judge_payments_during(self, evidence: Evidence) -> None:
        """Payments that this outage must not stop, or that it must."""
        for side in SIDES if evidence.outage.splits else SIDES[:1]:
            region = self._regions[side]
            for mode, go_on in evidence.outage.payments.items():
                done, failed = payments_during(self._journal.content["payments"], region, mode, evidence)
                wrong, count = failed if go_on else done, done + failed
                what = f"{mode} payments to {region} {'failed' if go_on else 'acknowledged'} during the outage"
                self.add_target(
                    f"{what}, of {count}",
                    "payments",
                    0,
                    wrong if count else None,
                    f"{what}: {wrong} of {count}",
                    kind="payments during the outage",
                )

    def _judge_payments(self, evidence: Evidence) -> None:
        rpo = self._journal.content["rpo"]
        for mode, found in rpo.items():
            ids = ", ".join(found["missing_after_recovery"][:5])
            count = found["acknowledged_in_all"]
            self.add_target(
                f"{mode} mode: missing after recovery, of {count} acknowledged",
                "transactions",
                0,
                len(found["missing_after_recovery"]),
                f"acknowledged in {mode} mode and not in both regions after recovery: {ids}",
                kind="missing after recovery",
            )
        if evidence.outage.must_fail_over(evidence.settings):
            self._judge_switch(evidence)
            self._judge_staying_over(evidence)
            self._judge_failback(evidence)

    def _judge_switch(self, evidence: Evidence) -> None:
        """Judge the losses of confirmed mode at the failover. Its control group is local mode, which must lose some."""
        rpo, second = self._journal.content["rpo"], self._regions["secondary"]
        lost, count = rpo[CONFIRMED]["missing_at_switch"], rpo[CONFIRMED]["acknowledged"]
        kind = "missing at the failover"
        what = f"confirmed mode: missing in {second} at the failover, of {count} acknowledged"
        if not evidence.outage.cuts_replication and not lost:
            self.leave_untested(what, "transactions", 0, "by this outage: replication goes on", kind=kind)
        elif evidence.failed_over and count and not lost and not rpo[LOCAL]["missing_at_switch"]:
            cause = (
                f"a client that does not wait for {second} lost nothing at the failover either, of "
                f"{rpo[LOCAL]['acknowledged']}: this run does not show that confirmed mode protects"
            )
            self.leave_inconclusive(what, "transactions", 0, 0, cause, kind=kind)
        else:
            self.add_target(
                what,
                "transactions",
                0,
                len(lost) if evidence.failed_over and count else None,
                f"acknowledged in confirmed mode and not in {second}: {', '.join(lost[:5])}" if lost else None,
                kind=kind,
            )

    def _judge_staying_over(self, evidence: Evidence) -> None:
        """Judge whether clients stayed in the other region until an operator returned them, if that is required."""
        if evidence.released is None:
            return
        first = self._regions["primary"]
        early = _early_returns(evidence, evidence.released)
        self.add_target(
            f"returns of DNS to {first} before an operator let clients return",
            "returns",
            0,
            early if evidence.failed_over else None,
            f"clients returned to {first} by themselves, although an operator decides that",
            kind="staying over",
        )

    def _judge_failback(self, evidence: Evidence) -> None:
        """Judge whether clients returned to a region that lacked payments of the other one."""
        first, second = (self._regions[side] for side in SIDES)
        found = self._journal.content["rpo"][CONFIRMED]
        missing, count = found["missing_at_failback"], found["acknowledged_in_secondary"]
        kind = "missing at the failback"
        what = f"confirmed mode: missing in {first} at the failback, of {count} acknowledged in {second}"
        if evidence.outage.backlog and missing is not None and evidence.released is None:
            # What Route 53 does is known, and no stack whose clients it returns can do better.
            if missing:
                returned = "Route 53 returns clients before replication has caught up"
                why = f"by this outage: {returned}; {len(missing)} were missing"
                self.leave_untested(what, "transactions", 0, why, kind=kind)
            else:
                cause = f"{first} lacked nothing when clients returned: there was no backlog"
                self.leave_inconclusive(what, "transactions", 0, 0, cause, kind=kind)
            return
        if missing == [] and not count and evidence.outage.means == "switch" and evidence.outage.cuts_replication:
            # With both regions up and no replication between them, a client that insists on both waits.
            why = f"by this outage: no payment was acknowledged in {second}"
            self.leave_untested(what, "transactions", 0, why, kind=kind)
            return
        self.add_target(
            what,
            "transactions",
            0,
            len(missing) if missing is not None and count else None,
            f"clients returned to {first} before it had what {second} acknowledged in confirmed mode: "
            f"{', '.join(missing[:5])}"
            if missing
            else None,
            kind=kind,
        )

    def _judge_after_recovery(self) -> None:
        after = self._journal.content["after"]
        if split_brain := after["split_brain"]:
            self._judge_conflicts(split_brain["conflicts"])
        found = [
            ("items", "items that differ between the regions", "items", len(after["items"]["different"])),
            ("written twice", "transactions written twice", "transactions", len(after["written_twice"])),
            ("parameters", "parameters differ", "regions", int(not after["parameters_equal"])),
        ]
        for kind, what, unit, count in found:
            self.add_target(f"after recovery: {what}", unit, 0, count, f"after recovery: {what}", kind=kind)
        if rotation := after["rotation"]:
            if "secondary" not in rotation["copied"]:
                first, second = (self._regions[side] for side in SIDES)
                what, why = f"parameter rotated in {second} and not copied to {first}", f"as {second} did not serve"
                self.leave_untested(what, "parameters", 0, why, kind="rotated parameter")
            for side, is_copied in rotation["copied"].items():
                home, other = self._regions[side], self._regions[OTHER[side]]
                self.add_target(
                    f"parameter rotated in {home} and not copied to {other}",
                    "parameters",
                    0,
                    int(not is_copied),
                    f"{rotation['name']} was rotated in {home}, and {other} did not get the new value",
                    kind="rotated parameter",
                )
        if documents := after["documents"]:
            # Those of the secondary are no target of a stack that does not copy them back; the report counts them.
            for side in copied_sides(documents):
                home, other, missing = self._regions[side], self._regions[OTHER[side]], documents["missing"][side]
                self.add_target(
                    f"after recovery: documents of {home} missing in {other}, of {documents['written'][side]}",
                    "documents",
                    0,
                    len(missing),
                    f"after recovery {other} lacks documents of {home}: {', '.join(missing[:5])}",
                    kind="documents",
                )
        if after["alarms"] is not None:
            self._judge_alarms(after["alarms"])
            still = after["alarms"]["still"]
            self.add_target(
                f"after recovery: alarms that have not cleared, of {len(after['alarms']['fired'])} that fired",
                "alarms",
                0,
                len(still),
                f"after recovery these alarms have not cleared: {', '.join(still)}",
                kind="alarms cleared",
            )

    def _judge_conflicts(self, conflicts: Sequence[ConflictRecord]) -> None:
        """Judge whether of each payment that both regions took the version written last is in both.

        That the other one is overwritten is what a global table does. The report names it.
        """
        what = f"split brain: payments not as written last, of {len(conflicts)} that conflicted"
        if not conflicts:
            cause = "no payment was acknowledged in both regions: this run does not show what becomes of one"
            self.leave_inconclusive(what, "payments", 0, None, cause, kind="conflicts")
            return
        wrong = [
            conflict["id"]
            for conflict in conflicts
            if any(there != conflict["versions"][-1]["amount"] for there in conflict["after"].values())
        ]
        cause = f"not in both regions as it was written last: {', '.join(wrong[:5])}"
        self.add_target(what, "payments", 0, len(wrong), cause, kind="conflicts")

    def _judge_alarms(self, alarms: AlarmsRecord) -> None:
        if expected := alarms["expected"]:
            silent = {side: names for side, names in expected.items() if not set(names) & set(alarms["fired"])}
            whose = " and ".join(self._regions[side] for side in silent)
            which = ", ".join(name for names in silent.values() for name in names)
            self.add_target(
                f"health checks of {' and '.join(self._regions[side] for side in expected)} whose alarm did not fire",
                "health checks",
                0,
                len(silent),
                f"no alarm on the health check of {whose} fired: {which or 'there is none in ' + METRICS_REGION}",
                kind="alarms fired",
            )
        if (undelivered := alarms["undelivered"]) is None:
            self.leave_untested(
                "alarms that reached nobody", "alarms", 0, "on a stack that others use", kind="notifications"
            )
        else:
            self.add_target(
                f"alarms that reached nobody, of {len(alarms['fired'])} that fired",
                "alarms",
                0,
                len(undelivered),
                "; ".join(undelivered),
                kind="notifications",
            )

    def _add_rto_targets(self, way: Way, phases: PhaseSeconds | None, evidence: Evidence, cause: str) -> None:
        simulated, slow = evidence.simulated[way], None
        if phases:
            phase, longest = max(((name, phases[name]) for name in PHASES), key=lambda pair: pair[1])
            slow = f"the {way} took {phases['total']:.0f} s, most of it ({longest:.0f} s) in the phase {phase}"
        total = phases["total"] if phases else None
        self.add_target(way, "s", self._rto_target_seconds, total, slow or cause, how=self._rto_how, kind=way)
        bound, hanging = simulated["phases"]["total"]["bound"], simulated["hanging_bound"]
        what = f"{way}, bound of the model"
        if evidence.outage.no_probe_fails and bound > self._rto_target_seconds:
            why = f"against the target: {bound:.1f} s; the budget has the alarm and the TTL, not the client's write"
            self.leave_untested(what, "s", self._rto_target_seconds, why, kind="bound")
            return
        how = f"computed; {hanging:.1f} s if probes hang"
        self.add_target(what, "s", self._rto_target_seconds, bound, how=how, kind="bound")

    def _why_no_failover(self, evidence: Evidence) -> str:
        first, second = (self._regions[side] for side in SIDES)
        if not any(change.side == "primary" and not change.healthy for change in evidence.verdicts):
            last = evidence.last_failure.get("primary")
            return f"the health check of {first} stayed healthy: " + (
                f"too few of its probes failed ({last})" if last else "its probe passed all the time"
            )
        if not evidence.switches:
            return f"Route 53 kept answering with {first}, although it was unhealthy"
        return f"no client completed a transaction in {second} before {first} was back"


def payments_during(records: Iterable[PaymentRecord], region: str, mode: str, evidence: Evidence) -> tuple[int, int]:
    """How many payments of a mode to a region that clients began in the outage were acknowledged, and failed.

    Those of its first moment do not count: the clock stands still while the outage is made.
    """
    began, recovered = round(evidence.began, 3), round(evidence.recovered, 3)  # as the records are
    results = [
        each["acknowledged"]
        for each in records
        if (each["region"], each["mode"]) == (region, mode) and began < each["at"] < recovered
    ]
    return results.count(True), results.count(False)


def _phases(evidence: Evidence, side: Side, since: float) -> PhaseSeconds:
    """What each phase took until the first transaction was completed in the region of this side.

    All moments are rounded as the events of the journal are, so that the phases follow from these alone.
    """
    verdict = _first_change(evidence.verdicts, "primary", since, healthy=side == "primary")
    switch, expired, served = (
        _first_change(changes, side, since) for changes in (evidence.switches, evidence.expired, evidence.served)
    )
    since, verdict, switch, expired, served = (round(at, 3) for at in (since, verdict, switch, expired, served))
    return {
        "detect": round(verdict - since, 2),
        "switch": round(switch - verdict, 2),
        "cache": round(expired - switch, 2),
        "first_write": round(served - expired, 2),
        "total": round(served - since, 2),
    }


def _early_returns(evidence: Evidence, released: float) -> int:
    """How often DNS returned to the primary after the outage and before an operator let clients return."""
    return sum(change.side == "primary" and evidence.recovered <= change.at < released for change in evidence.switches)


def _first_change(changes: Sequence[Change], side: Side, since: float, *, healthy: bool = True) -> float:
    for change in changes:
        if change.side == side and change.healthy == healthy and change.at >= since:
            return change.at
    raise OperationError(
        f"clients paid in the {side} region, but DNS was never seen to answer with it",
        hint="read the events of the journal, and start a drill only while DNS does not change",
    )


def _longest_away(evidence: Evidence) -> float:
    """The longest time for which DNS answered with the secondary, in seconds."""
    ends = [change.at for change in evidence.switches[1:]] + [evidence.ended]
    stretches = zip(evidence.switches, ends, strict=False)
    return max((end - change.at for change, end in stretches if change.side == "secondary"), default=0.0)
