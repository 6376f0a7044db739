"""What a drill has to meet, what was measured, and why a target was missed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payment_dr.operations.drill.client_dns import Turn
from payment_dr.operations.drill.journal import MISSED, PASSED, Journal
from payment_dr.operations.drill.outages import Outage
from payment_dr.operations.drill.payments import CONFIRMED
from payment_dr.operations.drill.preflight import TARGET_SECONDS
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import HANGING_PROBE_SECONDS, Settings
from payment_dr.side import SIDES, Side


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a drill went, all in seconds of drill time.

    Attributes:
        outage: What failed.
        settings: What the recovery time depends on.
        began, recovered, ended: When the outage began and was mended, and when the drill had seen enough.
        failed_over, failed_back: Whether clients were served by the secondary region, and by the primary again.
        verdicts, switches, expired: Changes of the health checks, of the answer of DNS, and of what the client knew.
        served: When the first transaction of another region was completed.
        last_failure: Why a side's latest failed probe failed.
    """

    outage: Outage
    settings: Settings
    began: float
    recovered: float
    ended: float
    failed_over: bool
    failed_back: bool
    verdicts: Sequence[Turn]
    switches: Sequence[Turn]
    expired: Sequence[Turn]
    served: Sequence[Turn]
    last_failure: Mapping[Side, str]


class Judge:
    """Compares what a drill has measured with its targets.

    Args:
        journal: Its rto, rpo and after are judged; the phases of the recovery are put into it.
        regions: The region of each side.
        counted_how: What a count is made of, for the reader of a target.
        rto_how: What a recovery time is made of.

    Attributes:
        targets: Every target with what was measured, as the journal has them.
        causes: Why targets were missed, a sentence each.
    """

    def __init__(self, journal: Journal, regions: Mapping[Side, str], *, counted_how: str, rto_how: str) -> None:
        self._journal, self._regions, self._counted_how, self._rto_how = journal, regions, counted_how, rto_how
        self.targets: list[dict[str, Any]] = []
        self.causes: list[str] = []

    @property
    def verdict(self) -> str:
        """Whether all targets were met."""
        return PASSED if all(target["met"] for target in self.targets) else MISSED

    def judge(self, course: Course) -> None:
        """Judge a drill that went all the way."""
        first, second = (self._regions[side] for side in SIDES)
        if course.outage.fails_over:
            over = self._phases(course, "secondary", course.began) if course.failed_over else None
            back = (
                self._phases(course, "primary", course.recovered) if course.failed_over and course.failed_back else None
            )
            self._journal.set(rto={**self._journal["rto"], "failover": over, "failback": back})
            self._rto_target("failover", over, self._why_no_failover(course))
            self._rto_target("failback", back, f"clients did not return to {first} after its recovery")
        else:
            allowed = 0.0
            if "secondary" in course.outage.sides:  # the one that fails second is answered until that is seen
                allowed = course.settings.request_interval_seconds + HANGING_PROBE_SECONDS
            away = _seconds_away(course)
            self.target(f"longest time with {second} in DNS", "s", allowed, away, self._why_failover(course, away))
            if not course.failed_back:
                self.target("clients not served by the primary", "clients", 0, 1, f"clients did not return to {first}")
        self._judge_ledger(course)
        self._judge_recovery()

    def target(
        self,
        what: str,
        unit: str,
        target: float,
        measured: float | None,
        cause: str | None = None,
        how: str | None = None,
    ) -> None:
        """Judge one measured value; None is missed."""
        met = measured is not None and measured <= target
        rounded = None if measured is None else round(measured, 1)
        self.targets.append(
            {
                "what": what,
                "unit": unit,
                "target": target,
                "measured": rounded,
                "met": met,
                "how": how or self._counted_how,
            }
        )
        if cause and not met:
            self.causes.append(cause)

    def _judge_ledger(self, course: Course) -> None:
        for mode, found in self._journal["rpo"].items():
            ids = ", ".join(found["missing_after_recovery"][:5])
            count = found["acknowledged_in_all"]
            self.target(
                f"{mode} mode: missing after recovery, of {count} acknowledged",
                "transactions",
                0,
                len(found["missing_after_recovery"]),
                f"acknowledged in {mode} mode and not in both regions after recovery: {ids}",
            )
        confirmed, second = self._journal["rpo"][CONFIRMED], self._regions["secondary"]
        lost, count = confirmed["missing_at_switch"], confirmed["acknowledged"]
        if course.outage.fails_over:
            self.target(
                f"confirmed mode: missing in {second} at the switch, of {count} acknowledged",
                "transactions",
                0,
                len(lost) if course.failed_over and count else None,
                f"acknowledged in confirmed mode and not in {second}: {', '.join(lost[:5])}" if lost else None,
            )

    def _judge_recovery(self) -> None:
        after = self._journal["after"]
        found = [
            ("items that differ between the regions", "items", len(after["items"]["different"])),
            ("transactions written twice", "transactions", len(after["written_twice"])),
            ("parameters differ", "regions", int(not after["parameters_equal"])),
        ]
        if after["objects_equal"] is not None:
            found.append(("objects differ", "regions", int(not after["objects_equal"])))
        for what, unit, count in found:
            self.target(f"after recovery: {what}", unit, 0, count, f"after recovery there are {what}")
        if after["alarms"] is not None:
            still = after["alarms"]["still"]
            self.target(
                f"after recovery: alarms that ring, of {len(after['alarms']['fired'])} that fired",
                "alarms",
                0,
                len(still),
                f"after recovery these alarms ring: {', '.join(still)}",
            )

    def _rto_target(self, way: str, phases: dict[str, float] | None, cause: str) -> None:
        slow = None
        if phases:
            phase = max(("detect", "switch", "cache", "first_write"), key=lambda name: phases[name])
            slow = f"the {way} took {phases['total']:.0f} s, most of it ({phases[phase]:.0f} s) in the phase {phase}"
        total = phases["total"] if phases else None
        self.target(way, "s", TARGET_SECONDS, total, slow or cause, how=self._rto_how)
        found = self._journal["rto"]["distribution"][way]
        runs, worst = sum(found["runs_by_second"]), found["phases"]["total"]["worst"]
        self.target(f"{way}, worst of {runs:,} simulated runs", "s", TARGET_SECONDS, worst, how="simulated")

    @staticmethod
    def _phases(course: Course, side: Side, since: float) -> dict[str, float]:
        """What each phase took until the first transaction was completed in the region of this side."""
        verdict = _first(course.verdicts, "primary", since, healthy=side == "primary")
        switch, expired, served = (
            _first(turns, side, since) for turns in (course.switches, course.expired, course.served)
        )
        found = {
            "detect": verdict - since,
            "switch": switch - verdict,
            "cache": expired - switch,
            "first_write": served - expired,
            "total": served - since,
        }
        return {name: round(seconds, 2) for name, seconds in found.items()}

    def _why_no_failover(self, course: Course) -> str:
        first, second = (self._regions[side] for side in SIDES)
        if not any(turn.side == "primary" and not turn.healthy for turn in course.verdicts):
            last = course.last_failure.get("primary")
            return f"the health check of {first} stayed healthy: " + (
                f"too few of its probes failed ({last})" if last else "its probe passed all the time"
            )
        if not course.switches:
            return f"Route 53 went on answering with {first}, although it was unhealthy"
        return f"no client completed a transaction in {second} before {first} was back"

    def _why_failover(self, course: Course, away: float) -> str:
        first, second = (self._regions[side] for side in SIDES)
        said = f"Route 53 answered with {second} for {away:.0f} s"
        if course.outage.means == "permission":
            return f"the health function of {first} calls AccessDenied unhealthy, so {said}"
        return f"{said}: the probe of {first} failed for long enough ({course.last_failure.get('primary')})"


def _first(turns: Sequence[Turn], side: Side, since: float, *, healthy: bool = True) -> float:
    for turn in turns:
        if turn.side == side and turn.healthy == healthy and turn.at >= since:
            return turn.at
    raise OperationError(
        f"clients were served by the {side} region, and DNS was not seen to turn to it",
        hint="read the events of the journal; a drill that starts while DNS changes tells nothing",
    )


def _seconds_away(course: Course) -> float:
    """The longest time for which DNS answered with the secondary."""
    ends = [turn.at for turn in course.switches[1:]] + [course.ended]
    stretches = zip(course.switches, ends, strict=False)
    return max((end - turn.at for turn, end in stretches if turn.side == "secondary"), default=0.0)
