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
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from payment_dr.operations import probes
from payment_dr.operations.aws import asked
from payment_dr.operations.drill import ledger, preflight
from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.client_dns import Turn
from payment_dr.operations.drill.journal import COULD_NOT_TELL, CouldNotTellError, Journal
from payment_dr.operations.drill.judge import Course, Judge
from payment_dr.operations.drill.ledger import Entry, Item
from payment_dr.operations.drill.modelled_dns import SLOW_SECONDS
from payment_dr.operations.drill.outages import BLIP_SECONDS, OUTAGES, Action, action_of, undone
from payment_dr.operations.drill.payments import CONFIRMED, LOCAL, MODES, Load, paced
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.preflight import TARGET_SECONDS
from payment_dr.operations.drill.tls_client import NotServedError
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import (
    HANGING_PROBE_SECONDS,
    Settings,
    distribution,
    failover_bound,
    longest_harmless_blip,
    sensitivity,
)
from payment_dr.operations.status import OK, look_at, read_zone
from payment_dr.side import SIDES, Side

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
LOOK_SECONDS = 15.0  # virtual, between two looks at the alarms
ALARMS_CLEAR_SECONDS = 900.0  # virtual; an alarm looks back over five minutes


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
        self._regions = {side: self.stack.region(side) for side in SIDES}
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
        self._load = Load(
            self.stack,
            f"dr-drill-{self.journal['id']}",
            by_key=place.shares_its_table,
            endpoint=place.endpoint,
            tls=place.tls,
        )
        self._alarms = AlarmWatch(self.stack, self.journal) if place.alarms_ring else None
        self._now = self._next_try = self._next_look = 0.0
        self._confirming: set[Future[bool]] = set()
        self._served: list[Turn] = []  # when the first transaction of another region was completed
        self._judge = Judge(self.journal, self._regions, counted_how=f"counted, {place.name}", rto_how=place.rto_how)

    def run(self) -> Journal:
        """Do it all.

        Returns:
            The journal, which is in its file too; its verdict is "passed" or "missed".

        Raises:
            OperationError: It could not tell. What was done is undone, and the journal says how far it came.
        """
        try:
            with ExitStack() as undo:
                self._drill(undo)
        except (OperationError, BotoCoreError, ClientError) as error:
            self._break_off(str(error).splitlines()[0])
            left = "all that was done is undone" if self._all_undone() else "NOT all that was done is undone"
            hint = error.hint if isinstance(error, OperationError) else "run it again"
            raise CouldNotTellError(
                f"could not tell: {error}; {left}", hint=f"{hint}; see {self.journal.path}", journal=self.journal.path
            ) from error
        except BaseException as error:
            self._break_off(f"interrupted: {type(error).__name__}")
            raise
        self._close(self._judge.verdict, self._judge.causes)
        return self.journal

    def _break_off(self, cause: str) -> None:
        self._load.tell(self.journal)
        self._close(COULD_NOT_TELL, [*self._judge.causes, cause])

    def _close(self, verdict: str, causes: list[str]) -> None:
        after = {**self.journal["after"], "undone": self._all_undone()}
        self.journal.set(after=after, targets=self._judge.targets)
        self.journal.close(verdict, causes)

    def _all_undone(self) -> bool:
        states = {e["name"]: e["undone"] for e in self.journal["events"] if e["kind"] == "action"}
        return all(states.values())

    def _drill(self, undo: ExitStack) -> None:
        self._step("preflight")
        zone = read_zone(self.stack)
        if unfit := [*preflight.unfit_to_start(self.stack, zone), *self._not_served()]:
            self._judge.causes += unfit
            self._judge.target("faults found before the start", "faults", 0, len(unfit))
            return
        self._judge.causes += (found := preflight.faults(self.stack, zone))
        self._judge.target("faults found in the zone", "faults", 0, len(found))
        self._refuse_a_degraded_start()
        settings = preflight.settings_of(self.stack, zone)
        if self.outage.fault.get("kind") == "hang":
            settings = dataclasses.replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS)
        lasts = self._simulate(settings)

        if self.place.shares_its_table:
            undo.enter_context(undone(self._deletion(), self.journal, self.place.check))
        pool = undo.enter_context(ThreadPoolExecutor(WORKERS))
        undo.callback(pool.shutdown, wait=False, cancel_futures=True)
        self._settings, self._pool = settings, pool
        self._dns = self.place.dns(self.stack, zone, self.journal, self._rng, pool)
        self._serving = self._dns.answered
        self._step("steady load")
        self._put_objects()
        self._run(until=QUIET_SECONDS)
        mending = undo.enter_context(ExitStack())
        began = self._rush(mending)
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
        if alarms := self._alarms:
            self._run(until=self._now + ALARMS_CLEAR_SECONDS, stop=lambda: not alarms.look())
        self._verify(at_risk, stayed_behind)
        self._judge.judge(
            Course(
                outage=self.outage,
                settings=self._settings,
                began=began,
                recovered=recovered,
                ended=self._now,
                failed_over=failed_over,
                failed_back=failed_back,
                verdicts=self._dns.verdicts,
                switches=self._dns.switches,
                expired=self._dns.expired,
                served=self._served,
                last_failure=self._dns.last_failure,
            )
        )

    # Preparing

    def _step(self, name: str) -> None:
        self.place.check()
        self._tell(name)
        if self._alarms:
            self._alarms.look()
        self._load.tell(self.journal)
        self.journal.now = self._now
        self.journal.step(name)

    def _not_served(self) -> list[str]:
        """The regions that do not serve the name over TLS: clients would not get what DNS sends them to."""
        found: list[str] = []
        if self.place.tls is None:
            return found
        for side in SIDES:
            try:
                self.place.tls.call(side)
            except NotServedError as error:
                found.append(f"{self._regions[side]} does not serve {self.stack.outputs['application_fqdn']}: {error}")
        return found

    def _refuse_a_degraded_start(self) -> None:
        found = look_at(self.stack)
        bad = [
            f"{name} of {self._regions[side]}: {finding}"
            for side, findings in found.regions.items()
            for name, finding in findings.items()
            if finding.state != OK
        ] + [f"{name}: {finding}" for name, finding in found.both.items() if finding.state != OK]
        if bad:
            raise OperationError(
                f"the drill does not start from a degraded state: {'; '.join(bad)}", hint="mend that, see 'dr status'"
            )

    def _simulate(self, settings: Settings) -> float:
        """Simulate this recovery many times; how long the outage is to last."""
        found = dataclasses.asdict(distribution(settings, RUNS, self.seed))
        rows = [dataclasses.asdict(row) for row in sensitivity(RUNS, self.seed)]
        self.journal.set(rto={**self.journal["rto"], "distribution": found, "sensitivity": rows})
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

    def _deletion(self) -> Action:
        prefix = self._load.prefix
        hint = (
            f"delete the items of {self.stack.outputs['dynamodb_table_name']} whose transaction_id begins with {prefix}"
        )
        return Action(f"write transactions {prefix}-…", lambda: None, self._load.delete, hint=hint)

    def _put_objects(self) -> None:
        if not self.place.buckets:
            return
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
            if self._alarms and self._now >= self._next_look:
                self._alarms.look()
                self._next_look = self._now + LOOK_SECONDS
            self._advance(min(until, self._now + 1, max(self._next_try, self._now)))
            if self._now >= self._next_try:
                self._pay()

    def _advance(self, to: float) -> None:
        self._now = self.journal.now = self._dns.advance(to)

    def _pay(self) -> None:
        """One payment in each mode; the one that is to be confirmed is not waited for."""
        side, at = self._dns.resolve(self._now), self._now
        self._confirming = {each for each in self._confirming if not each.done()}
        if len(self._confirming) < CONFIRMED_AT_A_TIME:
            self._confirming.add(self._pool.submit(self._load.transact, CONFIRMED, side, at))
        started = time.monotonic()
        done = self._load.transact(LOCAL, side, at)
        took = time.monotonic() - started
        if done and side != self._serving:
            self._serving = side
            self._served.append(Turn(at + took, side))
        wait = self._rng.uniform(0.5, 1.5)  # payments do not keep step with caches
        self._next_try = at + wait
        if took > SLOW_SECONDS:  # nothing changes before the client asks again
            self._next_try = min(at + SLOW_PAUSE_SECONDS, max(at, self._dns.expires) + wait)

    def _rush(self, mending: ExitStack) -> float:
        """Real time: many clients pay while the outage begins. When it began, in virtual time."""
        now, stop = self._dns.running_from(self._now), threading.Event()
        paying: list[Future[bool]] = []

        def pay() -> None:
            at = now()
            side = self._dns.resolve(at)
            paying.extend(self._pool.submit(self._load.transact, mode, side, at) for mode in MODES)

        pacing = self._pool.submit(paced, pay, RUSH_PER_SECOND, stop)
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

    def _items(self, side: Side) -> list[Item]:
        return asked(f"DynamoDB in {self._regions[side]}", lambda: self._load.items(side))

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
            items = {side: self._items(side) for side in SIDES}
            different = ledger.different(items["primary"], items["secondary"])
            objects = {side: self._objects(side) for side in SIDES}
            settled = not different and objects["primary"] == objects["secondary"]
            if settled or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        rpo = {}
        for mode in MODES:
            entries = self._entries(mode)
            lost = sorted({id_ for side in SIDES for id_ in ledger.missing(entries, items[side])})
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
            "objects_equal": objects["primary"] == objects["secondary"] if self.place.buckets else None,
            "alarms": {"fired": self._alarms.fired, "still": self._alarms.look()} if self._alarms else None,
        }
        self.journal.set(rpo=rpo, after=after)

    def _objects(self, side: Side) -> dict[str, str]:
        if not self.place.buckets:
            return {}
        client = self.stack.client("s3", side)
        bucket = self.place.buckets[side]
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return asked("S3", lambda: {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", [])})


def _percentile_ms(seconds: Sequence[float], percent: int) -> float | None:
    """Of sorted seconds, in milliseconds."""
    return round(seconds[math.ceil(len(seconds) * percent / 100) - 1] * 1000, 1) if seconds else None
