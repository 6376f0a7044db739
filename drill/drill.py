"""The drill: a deployed stack fails over and back, and what its clients saw is measured.

Time is virtual wherever only Route 53 and its caches are waited for: their model says at which moments something
happens, and at these the probes and transactions are made for real, one after the other, as fast as they go. Around
the outage time is real, so that replication has the lag that it has.
"""

import dataclasses
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from drill import DrillError, diagnosis, ledger, probes
from drill.actions import BLIP_SECONDS, OUTAGES, OutageMaker, action_of, undone
from drill.deployed import ROLES, Deployed, asked
from drill.diagnosis import TARGET_SECONDS
from drill.journal import COULD_NOT_TELL, MISSED, PASSED, Journal
from drill.ledger import Entry, Item
from drill.load import CONFIRMED, LOCAL, MODES, Load, paced
from drill.modelled_dns import SLOW_SECONDS, ModelledDns, Turn
from drill.rto import (
    HANGING_PROBE_SECONDS,
    Settings,
    distribution,
    failover_bound,
    longest_harmless_blip,
    sensitivity,
)
from drill.status import OK, look_at, read_zone

QUIET_SECONDS = 30.0  # virtual, before the outage and after the failback
SERVING_SECONDS = 60.0  # virtual, in the other region
RUSH_SECONDS = 5.0  # real, before the outage
RUSH_AFTER_SECONDS = 1.0  # real, after it
RUSH_PER_SECOND = 20
RUNS = 10_000
SLOW_PAUSE_SECONDS = 30.0  # virtual, between two transactions that hang
CONFIRMED_AT_A_TIME = 4
WORKERS = 40
ARRIVING_SECONDS = 3.0  # real; one lag in a thousand is above 1.7 s
SETTLING_SECONDS = 60.0  # real, for what was held back to be replicated
OBJECTS = 3


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a drill happens.

    Attributes:
        name: For the journal.
        stack: The deployed stack.
        maker: Makes regions fail.
        buckets: The bucket of each role.
        replication_lag: Its median and spread in seconds, where they are known.
        made_of: What is real, emulated and simulated there, in sentences.
        versions: Versions of what matters, by name.
        check: Raises a `DrillError` if the place itself is gone: no drill could tell that from an outage.
    """

    name: str
    stack: Deployed
    maker: OutageMaker
    buckets: Mapping[str, str]
    replication_lag: Mapping[str, float]
    made_of: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]
    check: Callable[[], None]


class Drill:
    """One drill.

    Args:
        place: Where.
        kind: One of `OUTAGES`.
        seed: Decides phases of the checkers, replication lags and which calls a partial outage fails.
        directory: Where the journal goes.
        tell: Told each step.

    Example:
        >>> Drill(place, "region", seed=1, directory=Path("drill-reports")).run()["verdict"]  # doctest: +SKIP
        'passed'
    """

    def __init__(
        self, place: Place, kind: str, *, seed: int, directory: Path, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.place, self.stack, self.outage, self.seed = place, place.stack, OUTAGES[kind], seed
        self._tell = tell
        self._rng = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self._regions = {role: self.stack.region(role) for role in ROLES}
        description = self.outage.description.format(region=self._regions["primary"])
        about = {"kind": kind, "region": self._regions["primary"], "description": description, "seconds": None}
        self.journal = Journal(
            directory,
            about,
            place=place.name,
            seed=seed,
            versions=dict(place.versions),
            regions=self._regions,
            settings={"rto_target_seconds": TARGET_SECONDS},
            made_of={kind: list(sentences) for kind, sentences in place.made_of.items()},
        )
        self._load = Load(self.stack, f"dr-drill-{self.journal['id']}")
        self._now = self._next_try = 0.0
        self._confirming: set[Future[bool]] = set()
        self._served: list[Turn] = []  # when the first transaction of another region was completed
        self._targets: list[dict[str, Any]] = []
        self._causes: list[str] = []

    def run(self) -> Journal:
        """Do it all.

        Returns:
            The journal, which is in its file too; its verdict is "passed" or "missed".

        Raises:
            DrillError: It could not tell. What was done is undone, and the journal says how far it came.
        """
        try:
            with ExitStack() as undo:
                self._drill(undo)
        except (DrillError, BotoCoreError, ClientError) as error:
            self._break_off(str(error).splitlines()[0])
            left = "all that was done is undone" if self._all_undone() else "NOT all that was done is undone"
            hint = error.hint if isinstance(error, DrillError) else "run it again"
            raise DrillError(f"could not tell: {error}; {left}", hint=f"{hint}; see {self.journal.path}") from error
        except BaseException as error:
            self._break_off(f"interrupted: {type(error).__name__}")
            raise
        self._close(PASSED if all(target["met"] for target in self._targets) else MISSED, self._causes)
        return self.journal

    def _break_off(self, cause: str) -> None:
        self._load.tell(self.journal)
        self._close(COULD_NOT_TELL, [*self._causes, cause])

    def _close(self, verdict: str, causes: list[str]) -> None:
        after = {**self.journal["after"], "undone": self._all_undone()}
        self.journal.set(after=after, targets=self._targets)
        self.journal.close(verdict, causes)

    def _all_undone(self) -> bool:
        states = {e["name"]: e["undone"] for e in self.journal["events"] if e["kind"] == "action"}
        return all(states.values())

    def _drill(self, undo: ExitStack) -> None:
        self._step("preflight")
        zone = read_zone(self.stack)
        if unfit := diagnosis.unfit_to_start(self.stack, zone):
            self._causes += unfit
            self._target("faults found before the start", "faults", 0, len(unfit))
            return
        self._causes += (found := diagnosis.faults(self.stack, zone))
        self._target("faults found in the zone", "faults", 0, len(found))
        self._refuse_a_degraded_start()
        settings = diagnosis.settings_of(self.stack, zone)
        if self.outage.fault.get("kind") == "hang":
            settings = dataclasses.replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS)
        lasts = self._simulate(settings)

        pool = undo.enter_context(ThreadPoolExecutor(WORKERS))
        undo.callback(pool.shutdown, wait=False, cancel_futures=True)
        self._settings, self._pool = settings, pool
        self._dns = ModelledDns(self.stack, zone, self.journal, self._rng, pool)
        self._serving = self._dns.answered
        self._step("steady load")
        self._put_objects()
        self._run(until=QUIET_SECONDS)
        mending = undo.enter_context(ExitStack())
        began = self._rush(pool, mending)
        self._step("detection" if self.outage.fails_over else "outage goes on")
        end = began + lasts
        failed_over = self._await_failover(end)
        self._load.tell(self.journal)
        at_risk = {mode: self._entries(mode) for mode in MODES}
        stayed_behind: dict[str, list[str]] = {mode: [] for mode in MODES}
        if failed_over:
            stayed_behind = self._count_missing(at_risk)
            self._step(f"served by {self._regions['secondary']}")
            self._retry_open()
        self._run(until=end)
        self._step("recovery")
        mending.close()
        self._dns.forget()
        recovered = self._now
        failed_back = self._await_failback(recovered, failed_over)
        self._run(until=self._now + QUIET_SECONDS)
        self._collect()
        self._step("verification")
        self._retry_open()
        self._verify(at_risk, stayed_behind)
        self._judge(began, recovered, failed_over=failed_over, failed_back=failed_back)

    # Preparing

    def _step(self, name: str) -> None:
        self.place.check()
        self._tell(name)
        self._load.tell(self.journal)
        self.journal.now = self._now
        self.journal.step(name)

    def _refuse_a_degraded_start(self) -> None:
        found = look_at(self.stack)
        bad = [
            f"{name} of {self._regions[role]}: {finding}"
            for role, findings in found.regions.items()
            for name, finding in findings.items()
            if finding.state != OK
        ] + [f"{name}: {finding}" for name, finding in found.both.items() if finding.state != OK]
        if bad:
            raise DrillError(
                f"the drill does not start from a degraded state: {'; '.join(bad)}", hint="mend that, see 'dr status'"
            )

    def _simulate(self, settings: Settings) -> float:
        """Simulate this recovery many times; how long the outage is to last."""
        found = dataclasses.asdict(distribution(settings, RUNS, self.seed))
        rows = [dataclasses.asdict(row) for row in sensitivity(RUNS, self.seed)]
        self.journal.set(rto={**self.journal["rto"], "distribution": found, "sensitivity": rows})
        self._distribution = found
        hanging = dataclasses.replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS)
        lasts = self.outage.seconds or math.ceil(failover_bound(hanging).total) + SERVING_SECONDS
        if self.outage.seconds == BLIP_SECONDS:
            lasts = min(lasts, longest_harmless_blip(dataclasses.replace(settings, failed_probe_seconds=0)))
        self.journal.set(
            outage={**self.journal["outage"], "seconds": lasts},
            settings={
                "request_interval_seconds": settings.request_interval_seconds,
                "failure_threshold": settings.failure_threshold,
                "ttl_seconds": settings.ttl_seconds,
                "rto_target_seconds": TARGET_SECONDS,
                "replication_lag_seconds": dict(self.place.replication_lag),
            },
        )
        return lasts

    def _put_objects(self) -> None:
        client = self.stack.client("s3", "primary")
        for number in range(OBJECTS):
            key, body = f"dr-drill/{self.journal['id']}/{number}.json", f'{{"receipt": {number}}}'.encode()
            asked(
                "S3",
                lambda key=key, body=body: client.put_object(  # type: ignore[misc]
                    Bucket=self.place.buckets["primary"], Key=key, Body=body
                ),
            )

    # Letting time pass

    def _run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass: checkers probe, DNS answers, clients pay."""
        while self._now < until and not stop():
            self.place.check()
            self._advance(min(until, self._now + 1, max(self._next_try, self._now)))
            if self._now >= self._next_try:
                self._pay()

    def _advance(self, to: float) -> None:
        self._dns.advance(to)
        self._now = self.journal.now = to

    def _pay(self) -> None:
        """One payment in each mode; the one that is to be confirmed is not waited for."""
        role, at = self._dns.resolve(self._now), self._now
        self._confirming = {each for each in self._confirming if not each.done()}
        if len(self._confirming) < CONFIRMED_AT_A_TIME:
            self._confirming.add(self._pool.submit(self._load.transact, CONFIRMED, role, at))
        started = time.monotonic()
        done = self._load.transact(LOCAL, role, at)
        took = time.monotonic() - started
        if done and role != self._serving:
            self._serving = role
            self._served.append(Turn(at + took, role))
        wait = self._rng.uniform(0.5, 1.5)  # payments do not keep step with caches
        self._next_try = at + wait
        if took > SLOW_SECONDS:  # nothing changes before the client asks again
            self._next_try = min(at + SLOW_PAUSE_SECONDS, max(at, self._dns.expires) + wait)

    def _rush(self, pool: ThreadPoolExecutor, mending: ExitStack) -> float:
        """Real time: many clients pay while the outage begins. When it began, in virtual time."""
        base, started, stop = self._now, time.monotonic(), threading.Event()

        def now() -> float:
            return base + time.monotonic() - started

        paying: list[Future[bool]] = []

        def pay() -> None:
            at = now()
            role = self._dns.resolve(at)
            paying.extend(pool.submit(self._load.transact, mode, role, at) for mode in MODES)

        pacing = pool.submit(paced, pay, RUSH_PER_SECOND, stop)
        try:
            stop.wait(RUSH_SECONDS)
            self._advance(now())
            began = self._now
            self._step("outage")
            action = action_of(self.outage, self.stack, self.place.maker, self.seed)
            mending.enter_context(undone(action, self.journal, self.place.check))
            self._dns.forget()
            stop.wait(RUSH_AFTER_SECONDS)
        finally:
            stop.set()
        pacing.result()
        ended = now()
        for each in paying:
            each.result()
        self._advance(ended)
        self._next_try = self._now
        return began

    def _collect(self) -> None:
        for each in self._confirming:
            each.result()
        self._load.tell(self.journal)

    # Failing over and back

    def _await_failover(self, end: float) -> bool:
        if not self.outage.fails_over:
            return False
        self._run(until=end, stop=lambda: bool(self._dns.switches))
        if self._dns.switches:
            self._step("switch")
        self._run(until=end, stop=lambda: bool(self._served))
        return bool(self._served)

    def _await_failback(self, recovered: float, failed_over: bool) -> bool:
        # "both" may leave Route 53 with the secondary for a moment, which is waited out as well
        latest = recovered + failover_bound(self._settings).total + SERVING_SECONDS
        if failed_over:
            self._step("failback")
        self._run(until=latest, stop=self._is_back)
        return self._is_back()

    def _is_back(self) -> bool:
        return self._serving == self._dns.answered == "primary" and all(self._dns.healthy.values())

    def _retry_open(self) -> None:
        """Clients try again what was not acknowledged, in the region that they are in now, with the same key."""
        tried = [
            self._pool.submit(self._load.transact, mode, self._serving, self._now, item)
            for mode, item in self._load.ledger.take_open()
        ]
        for each in tried:
            each.result()

    # Looking at what is left

    def _items(self, role: str) -> list[Item]:
        return asked(f"DynamoDB in {self._regions[role]}", lambda: self._load.items(role))

    def _entries(self, mode: str) -> list[Entry]:
        return self._load.ledger.acknowledged(mode)

    def _count_missing(self, at_risk: Mapping[str, list[Entry]]) -> dict[str, list[str]]:
        """What the secondary has not got of this. Virtual time is ahead of replication: what can arrive is awaited."""
        deadline = time.monotonic() + ARRIVING_SECONDS
        while True:
            there = self._items("secondary")
            found = {mode: ledger.missing(entries, there) for mode, entries in at_risk.items()}
            if not any(found.values()) or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def _verify(self, at_risk: Mapping[str, list[Entry]], stayed_behind: Mapping[str, list[str]]) -> None:
        """Wait until nothing is replicated any more, and compare both regions."""
        deadline = time.monotonic() + SETTLING_SECONDS
        while True:
            items = {role: self._items(role) for role in ROLES}
            different = ledger.different(items["primary"], items["secondary"])
            objects = {role: self._objects(role) for role in ROLES}
            settled = not different and objects["primary"] == objects["secondary"]
            if settled or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        rpo = {}
        for mode in MODES:
            entries = self._entries(mode)
            lost = sorted({id_ for role in ROLES for id_ in ledger.missing(entries, items[role])})
            seconds = sorted(entry.seconds for entry in entries if entry.region == self._regions["primary"])
            rpo[mode] = {
                "acknowledged": len(at_risk[mode]),  # when the client switched, or when it did not have to
                "acknowledged_in_all": len(entries),
                "acknowledged_by_one_region": sum(not entry.confirmed for entry in entries),
                "missing_at_switch": stayed_behind[mode],
                "missing_after_recovery": lost,
                "latency_ms": {f"p{percent}": _percentile_ms(seconds, percent) for percent in (50, 95)},
            }
        after = {
            "items": {
                "equal": not different,
                "primary": len(items["primary"]),
                "secondary": len(items["secondary"]),
                "different": different,
            },
            "written_twice": ledger.written_twice(items["primary"]),
            "parameters_equal": not probes.drifted_parameters(self.stack),
            "objects_equal": objects["primary"] == objects["secondary"],
        }
        self.journal.set(rpo=rpo, after=after)

    def _objects(self, role: str) -> dict[str, str]:
        client = self.stack.client("s3", role)
        bucket = self.place.buckets[role]
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return asked("S3", lambda: {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", [])})

    # Judging

    def _judge(self, began: float, recovered: float, *, failed_over: bool, failed_back: bool) -> None:
        first, second = (self._regions[role] for role in ROLES)
        if self.outage.fails_over:
            over = self._phases("secondary", began) if failed_over else None
            back = self._phases("primary", recovered) if failed_over and failed_back else None
            self.journal.set(rto={**self.journal["rto"], "failover": over, "failback": back})
            self._rto_target("failover", over, self._why_no_failover())
            self._rto_target("failback", back, f"clients did not return to {first} after its recovery")
        else:
            allowed = 0.0
            if "secondary" in self.outage.roles:  # the one that fails second is answered until that is seen
                allowed = self._settings.request_interval_seconds + HANGING_PROBE_SECONDS
            away = self._seconds_away()
            self._target(f"longest time with {second} in DNS", "s", allowed, away, self._why_failover(away))
            if not failed_back:
                self._target("clients not served by the primary", "clients", 0, 1, f"clients did not return to {first}")
        for mode, found in self.journal["rpo"].items():
            ids = ", ".join(found["missing_after_recovery"][:5])
            count = found["acknowledged_in_all"]
            self._target(
                f"{mode} mode: missing after recovery, of {count} acknowledged",
                "transactions",
                0,
                len(found["missing_after_recovery"]),
                f"acknowledged in {mode} mode and not in both regions after recovery: {ids}",
            )
        confirmed = self.journal["rpo"][CONFIRMED]
        lost, count = confirmed["missing_at_switch"], confirmed["acknowledged"]
        if self.outage.fails_over:
            self._target(
                f"confirmed mode: missing in {second} at the switch, of {count} acknowledged",
                "transactions",
                0,
                len(lost) if failed_over and count else None,
                f"acknowledged in confirmed mode and not in {second}: {', '.join(lost[:5])}" if lost else None,
            )
        after = self.journal["after"]
        for what, unit, count in (
            ("items that differ between the regions", "items", len(after["items"]["different"])),
            ("transactions written twice", "transactions", len(after["written_twice"])),
            ("parameters differ", "regions", int(not after["parameters_equal"])),
            ("objects differ", "regions", int(not after["objects_equal"])),
        ):
            self._target(f"after recovery: {what}", unit, 0, count, f"after recovery there are {what}")

    def _rto_target(self, way: str, phases: dict[str, float] | None, cause: str) -> None:
        slow = None
        if phases:
            phase = max(("detect", "switch", "cache", "first_write"), key=lambda name: phases[name])
            slow = f"the {way} took {phases['total']:.0f} s, most of it ({phases[phase]:.0f} s) in the phase {phase}"
        total = phases["total"] if phases else None
        self._target(way, "s", TARGET_SECONDS, total, slow or cause, how="real probes, modelled DNS")
        worst = self._distribution[way]["phases"]["total"]["worst"]
        self._target(f"{way}, worst of {RUNS:,} simulated runs", "s", TARGET_SECONDS, worst, how="simulated")

    def _phases(self, role: str, since: float) -> dict[str, float]:
        """What each phase took until the first transaction was completed in the region of this role."""
        verdict = self._first(self._dns.verdicts, "primary", since, healthy=role == "primary")
        switch, expired, served = (
            self._first(turns, role, since) for turns in (self._dns.switches, self._dns.expired, self._served)
        )
        found = {
            "detect": verdict - since,
            "switch": switch - verdict,
            "cache": expired - switch,
            "first_write": served - expired,
            "total": served - since,
        }
        return {name: round(seconds, 2) for name, seconds in found.items()}

    @staticmethod
    def _first(turns: Sequence[Turn], role: str, since: float, *, healthy: bool = True) -> float:
        return next(turn.at for turn in turns if turn.role == role and turn.healthy == healthy and turn.at >= since)

    def _seconds_away(self) -> float:
        """The longest time for which DNS answered with the secondary."""
        ends = [turn.at for turn in self._dns.switches[1:]] + [self._now]
        stretches = zip(self._dns.switches, ends, strict=False)
        return max((end - turn.at for turn, end in stretches if turn.role == "secondary"), default=0.0)

    def _why_no_failover(self) -> str:
        first, second = (self._regions[role] for role in ROLES)
        if not any(turn.role == "primary" and not turn.healthy for turn in self._dns.verdicts):
            last = self._dns.last_failure.get("primary")
            return f"the health check of {first} stayed healthy: " + (
                f"too few of its probes failed ({last})" if last else "its probe passed all the time"
            )
        if not self._dns.switches:
            return f"Route 53 went on answering with {first}, although it was unhealthy"
        return f"no client completed a transaction in {second} before {first} was back"

    def _why_failover(self, away: float) -> str:
        first, second = (self._regions[role] for role in ROLES)
        said = f"Route 53 answered with {second} for {away:.0f} s"
        if self.outage.means == "permission":
            return f"the health function of {first} calls AccessDenied unhealthy, so {said}"
        return f"{said}: the probe of {first} failed for long enough ({self._dns.last_failure.get('primary')})"

    def _target(
        self,
        what: str,
        unit: str,
        target: float,
        measured: float | None,
        cause: str | None = None,
        how: str | None = None,
    ) -> None:
        met = measured is not None and measured <= target
        rounded = None if measured is None else round(measured, 1)
        self._targets.append(
            {
                "what": what,
                "unit": unit,
                "target": target,
                "measured": rounded,
                "met": met,
                "how": how or f"counted, {self.place.name}",
            }
        )
        if cause and not met:
            self._causes.append(cause)


def _percentile_ms(seconds: Sequence[float], percent: int) -> float | None:
    """Of sorted seconds, in milliseconds."""
    return round(seconds[math.ceil(len(seconds) * percent / 100) - 1] * 1000, 1) if seconds else None
