"""The drill: it fails a deployed stack over and back, and measures what clients see.

`Drill` checks that a stack is fit for a drill, and closes the journal however the drill ends. `StartedDrill` runs it
from the first payment to the last comparison, phase by phase. `clients` lets time pass, `verification` compares the
regions, and `judge` gives the verdict.
"""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

from botocore.exceptions import BotoCoreError, ClientError

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed_zone import checks_of, read_zone, settings_of
from payment_dr.operations.drill import preflight
from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.client_dns import ClientDns
from payment_dr.operations.drill.clients import Clients
from payment_dr.operations.drill.documents import Documents
from payment_dr.operations.drill.journal import (
    CONFIRMED,
    INCONCLUSIVE,
    LOCAL,
    MODES,
    After,
    ChoiceRecord,
    InconclusiveError,
    Journal,
    OutageRecord,
    SimulatedRuns,
)
from payment_dr.operations.drill.judge import Evidence, Judge
from payment_dr.operations.drill.ledger import Entry, missing
from payment_dr.operations.drill.outages import (
    NOTHING_IS_LEFT,
    OUTAGES,
    SERVING_SECONDS,
    Action,
    Outage,
    action_of,
    backlog_of,
    let_return,
    undone,
)
from payment_dr.operations.drill.parameters import Parameters
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.replication_pause import TAKES_EFFECT_SECONDS
from payment_dr.operations.drill.split_brain import SplitBrain
from payment_dr.operations.drill.system import identified, system_of
from payment_dr.operations.drill.verification import AtSwitch, Verification
from payment_dr.operations.errors import OperationError, lack_of_this_machine
from payment_dr.operations.route53.recovery_time import (
    Settings,
    distribution,
    failback_bound,
    failover_bound,
    sensitivity,
)
from payment_dr.operations.route53.zone import Zone
from payment_dr.operations.switch import RefusedError
from payment_dr.operations.zone_faults import ZoneFaults
from payment_dr.side import OTHER, SIDES, Side

QUIET_SECONDS = 30.0  # of drill time, before the outage and after the failback
ALARMS_FIRE_SECONDS = 300.0  # of drill time; one on a health check needs a minute or two
# Of drill time: what a region has taken, and the other one has not got this much later, is not replicated. Usually it
# takes below a second; three of them are an alarm.
PAUSE_SEEN_SECONDS = 10.0
RESUMED_SECONDS = 600.0  # of real time; AWS does not say how long replication takes to go on
RESUME_POLL_SECONDS = 5.0
REFUSED_SECONDS = 1.0  # of real time: what a backlog holds back does not arrive by waiting
ALARMS_CLEAR_SECONDS = 900.0  # of drill time; an alarm looks back over five minutes
RUNS = 10_000
PREFIX = "dr-drill-"  # of the ids of its transactions, by which the policy of a game day knows them
WORKERS = 40
ON_A_STACK_OF_OTHERS = "on a stack that others use"


class Drill:
    """One drill.

    Args:
        place: Where.
        kind: One of `OUTAGES`.
        seed: Decides phases of the checkers, replication lags and which calls a partial outage fails.
        directory: Where the journal goes.
        tell: Takes the name of each step.

    Example:
        >>> drill = Drill(place, "region", seed=1, directory=Path("drill-reports"))  # doctest: +SKIP
        >>> drill.run().content["verdict"]  # doctest: +SKIP
        'passed'
    """

    def __init__(
        self, place: Place, kind: str, *, seed: int, directory: Path, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._place, self._stack, self._outage, self._seed, self._tell = place, place.stack, OUTAGES[kind], seed, tell
        regions = {side: self._stack.region(side) for side in SIDES}
        description = self._outage.description.format(region=regions["primary"])
        self._journal = Journal(
            directory,
            OutageRecord(kind=kind, region=regions["primary"], description=description, seconds=None),
            place=place.name,
            time=place.time,
            system=system_of(self._stack, place.terraform),
            seed=seed,
            versions=dict(place.versions),
            regions=regions,
            settings={"rto_target_seconds": self._stack.rto_target_seconds},
            load=place.load,
            made_of={kind: list(sentences) for kind, sentences in place.made_of.items()},
        )
        self._id = self._journal.content["id"]
        self._payments = Payments(
            self._stack,
            f"{PREFIX}{self._id}",
            by_key=place.shares_its_table,
            endpoint=place.endpoint,
            tls=place.tls,
            service=place.service,
            confirms=place.confirms,
            clock=lambda: self._journal.now,
        )
        self._alarms = AlarmWatch(self._stack, self._journal) if place.alarms_fire else None
        self._judge = Judge(
            self._journal,
            regions,
            rto_target_seconds=self._stack.rto_target_seconds,
            counted_how=f"counted, {'live' if self._stack.is_live else 'emulated'} AWS",
            rto_how=f"one draw of seed {seed}, virtual time; real probes, simulated DNS"
            if place.time == "virtual"
            else "real, the zone's name servers",
        )

    def run(self) -> Journal:
        """Run the drill.

        Returns:
            The journal, which is in its file too; its verdict is "passed" or "missed".

        Raises:
            InconclusiveError: The result is inconclusive: the drill did not end, or a target was neither met nor missed
                and no other was missed. Every change is undone, and the journal shows how far the drill came.
        """
        try:
            with ExitStack() as undo:
                self._drill(undo)
        except (OperationError, BotoCoreError, ClientError, OSError) as caught:
            error = lack_of_this_machine(caught) or caught
            self._break_off(str(error).splitlines()[0])
            left = "every change was undone" if self._all_undone else "NOT every change was undone"
            hint = error.hint if isinstance(error, OperationError) else "run it again"
            raise InconclusiveError(
                f"inconclusive: {error}; {left}", hint=f"{hint}; see {self._journal.path}", journal=self._journal.path
            ) from caught
        except BaseException as error:
            self._break_off(f"interrupted: {type(error).__name__}")
            raise
        self._close(self._judge.verdict, self._judge.causes)
        if self._judge.verdict == INCONCLUSIVE:
            raise InconclusiveError(
                f"inconclusive: {self._judge.causes[-1]}; every change was undone",
                hint=f"run it again; see {self._journal.path}",
                journal=self._journal.path,
            )
        return self._journal

    def _break_off(self, cause: str) -> None:
        self._payments.note_in(self._journal)
        with suppress(OSError):  # no room for the journal; what the drill says of its undo is more important
            self._close(INCONCLUSIVE, [*self._judge.causes, cause])

    def _close(self, verdict: str, causes: list[str]) -> None:
        after: After = {**self._journal.content["after"], "undone": self._all_undone}
        self._journal.set(after=after, targets=self._judge.targets)
        self._journal.close(verdict, causes)

    @property
    def _all_undone(self) -> bool:
        events = self._journal.content["events"]
        return all({event["name"]: event["undone"] for event in events if event["kind"] == "action"}.values())

    def _drill(self, undo: ExitStack) -> None:
        self._step("preflight")
        if self._outage.splits and self._stack.stays_over:
            # The standby sets the switch after 30 s, and clients that follow DNS leave the other side of the cut.
            raise OperationError(
                "this outage needs clients in both regions, but with failback='operator' the standby region takes over "
                "when it does not reach the primary",
                hint="drill it on a stack with failback='automatic'",
            )
        self._journal.set(system=identified(self._stack, self._journal.content["system"]))
        zone = read_zone(self._stack)
        faults = ZoneFaults(self._stack, zone)
        unfit = preflight.unfit_to_start(self._stack, faults)
        if unfit := [*unfit, *preflight.regions_not_served(self._stack, self._place.tls)]:
            self._judge.causes += unfit
            self._judge.add_target("faults found before the start", "faults", 0, len(unfit), kind="unfit")
            return
        self._judge.causes += (found := faults.all())
        self._judge.add_target("faults found in the zone", "faults", 0, len(found), kind="zone")
        preflight.warm_up(self._stack, zone)
        preflight.refuse_a_degraded_start(self._stack)
        self._judge_health_functions(zone)
        deployed = settings_of(self._stack, zone)
        settings = self._outage.settings_during(deployed)
        self._note_settings(deployed, settings)
        if self._alarms and self._place.evaluates_alarms:
            self._alarms.expect(self._outage.must_alarm(settings), checks_of(self._stack, zone))
        else:
            why = "here: nothing evaluates alarms"
            self._judge.leave_untested("health checks whose alarm did not fire", "alarms", 0, why, kind="alarms fired")
        simulated = self._simulate(settings)
        self._judge.judge(self._start(zone, settings, simulated, undo).run(undo))

    def _judge_health_functions(self, zone: Zone) -> None:
        what = "health functions that do not report a failing table"
        if self._place.shares_its_table:
            self._judge.leave_untested(what, "functions", 0, ON_A_STACK_OF_OTHERS, kind="health functions")
            return
        found = preflight.blind_health_functions(self._stack, zone, self._place.maker, self._journal, self._place.check)
        self._judge.causes += found
        self._judge.add_target(what, "functions", 0, len(found), kind="health functions")

    def _step(self, name: str) -> None:
        """A new step begins, and the journal has all that came before it."""
        self._place.check()
        self._tell(name)
        if self._alarms:
            self._alarms.look()
        self._payments.note_in(self._journal)
        self._journal.step(name)

    def _watch(self, dns: ClientDns) -> None:
        """Look at the place and at the alarms, while drill time passes."""
        self._place.check()
        if self._place.as_time_passes:
            self._place.as_time_passes(self._journal.now, dns.healthy)
        if self._alarms:
            self._alarms.look_when_due()

    def _simulate(self, settings: Settings) -> SimulatedRuns:
        """Simulate this recovery many times; the judge and the report compare it with the one that is measured."""
        # asdict makes what the records of the journal describe, and mypy knows it as a dictionary of anything
        simulated = cast(SimulatedRuns, dataclasses.asdict(distribution(settings, RUNS, self._seed)))
        choices = [cast(ChoiceRecord, dataclasses.asdict(choice)) for choice in sensitivity(RUNS, self._seed)]
        self._journal.set(rto={**self._journal.content["rto"], "distribution": simulated, "sensitivity": choices})
        return simulated

    def _note_settings(self, settings: Settings, during: Settings) -> None:
        self._journal.set(
            outage={**self._journal.content["outage"], "seconds": self._outage.lasts(during)},
            settings={
                "request_interval_seconds": settings.request_interval_seconds,
                "failure_threshold": settings.failure_threshold,
                "ttl_seconds": settings.ttl_seconds,
                "rto_target_seconds": self._stack.rto_target_seconds,
                "replication_lag_seconds": dict(self._place.replication_lag),
            },
        )

    def _start(self, zone: Zone, settings: Settings, simulated: SimulatedRuns, undo: ExitStack) -> "StartedDrill":
        if self._place.shares_its_table:
            undo.enter_context(undone(self._deletion(), self._journal, self._place.check))
        pool = undo.enter_context(ThreadPoolExecutor(WORKERS))
        undo.callback(pool.shutdown, wait=False, cancel_futures=True)
        rng = random.Random(self._seed)  # noqa: S311 - it must be repeatable
        dns = self._place.dns(self._stack, zone, self._journal, rng, pool)
        documents, parameters = Documents(self._place, self._id), Parameters(self._place)
        split = SplitBrain(self._stack, self._payments) if self._outage.splits else None
        if parameters.name:
            undo.enter_context(undone(parameters.rotation(), self._journal, self._place.check))
        else:
            what = "parameter rotated and not copied"
            self._judge.leave_untested(what, "parameters", 0, ON_A_STACK_OF_OTHERS, kind="rotated parameter")
        return StartedDrill(
            place=self._place,
            outage=self._outage,
            actions=self._actions(),
            settings=settings,
            simulated=simulated,
            journal=self._journal,
            payments=self._payments,
            alarms=self._alarms,
            dns=dns,
            clients=Clients(dns, self._payments, self._journal, pool=pool, rng=rng, watch=lambda: self._watch(dns)),
            documents=documents,
            parameters=parameters,
            split=split,
            verification=Verification(self._place, self._payments, self._alarms, documents, parameters, split),
            step=self._step,
        )

    def _actions(self) -> list[Action]:
        limit = self._place.limit_seconds
        actions = [action_of(self._outage, self._stack, self._place.maker, self._seed, limit_seconds=limit)]
        if self._outage.backlog:
            actions.append(backlog_of(self._stack, self._place.maker))
        if self._stack.is_live:
            return actions
        return [dataclasses.replace(action, hint=NOTHING_IS_LEFT) for action in actions]

    def _deletion(self) -> Action:
        prefix, table = self._payments.prefix, self._stack.outputs["dynamodb_table_name"]
        hint = f"delete the items of {table} whose transaction_id begins with {prefix}"
        return Action(f"write transactions {prefix}-…", lambda: None, self._payments.delete, hint=hint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartedDrill:
    """A drill that has started: its clients pay.

    Attributes:
        place: Where.
        outage: What fails.
        actions: How, each with its undo: the outage, and what holds replication back after it, if the outage has that.
        settings: What the recovery time depends on.
        simulated: What the model's runs took with these settings.
        journal: Takes what is found.
        payments: All payments of the drill.
        alarms: The stack's alarms; None where they are not evaluated.
        dns: What clients ask.
        clients: They pay, and let drill time pass.
        documents: The documents of the drill.
        parameters: The parameter that is rotated.
        split: Payments that both regions take; None if the outage does not split them.
        verification: Compares the regions.
        step: Takes the name of each step when it begins.
    """

    place: Place
    outage: Outage
    actions: Sequence[Action]
    settings: Settings
    simulated: SimulatedRuns
    journal: Journal
    payments: Payments
    alarms: AlarmWatch | None
    dns: ClientDns
    clients: Clients
    documents: Documents
    parameters: Parameters
    split: SplitBrain | None
    verification: Verification
    step: Callable[[str], None]

    def run(self, undo: ExitStack) -> Evidence:
        """Go through all phases.

        Args:
            undo: Takes the undo of the outage, for the case that the drill breaks off before it ends.

        Returns:
            What was seen.

        Raises:
            OperationError: The drill cannot go on.
        """
        self.step("steady load")
        self.documents.write("primary")
        self.parameters.rotate("primary")
        self.clients.run(until=QUIET_SECONDS)
        self.parameters.await_copy("primary")
        outage, backlog = (undo.enter_context(ExitStack()) for _ in range(2))
        # Undone before the outage: no fence is lifted while the table does not replicate.
        pause = undo.enter_context(ExitStack())
        self._pause_replication(pause)
        counted = LOCAL if self.place.pause else CONFIRMED  # without replication nothing can be confirmed
        began = self.clients.rush(lambda: self._begin_outage(outage, backlog), counted=counted)
        self.payments.outage = began, None
        self.clients.split = self.split
        if CONFIRMED in self.outage.payments:
            self.clients.finish()  # those that began before the outage, or as it was made, leave room for others
        end = began + self.outage.lasts(self.settings)
        failed_over = self._await_failover(end)
        self.payments.note_in(self.journal)
        at_switch = self.verification.at_switch(failed_over=failed_over)
        if failed_over:
            self.step(f"served by {self.place.stack.region('secondary')}")
        if failed_over or self.split:
            self.documents.write("secondary")
            self.parameters.rotate("secondary")
        if failed_over:
            self.clients.retry_open()
        self.clients.run(until=end)
        recovered = self._end_outage(outage, pause)
        self.payments.outage = began, recovered
        ends = recovered + self.outage.backlog(self.settings) if self.outage.backlog else None
        stays_over = failed_over and self.place.stack.stays_over and self.outage.means != "switch"
        if stays_over:
            ends = self._stay_over(backlog, ends)
        released = self.clients.now
        at_failback, failed_back = self._await_failback(released, failed_over=failed_over, stays_over=stays_over)
        if ends is not None:
            self._await_backlog(backlog, ends)
        self.clients.run(until=self.clients.now + QUIET_SECONDS)
        self._finish()
        rpo, after = self.verification.compare(at_switch, at_failback, self.journal.content["payments"])
        self.journal.set(rpo=rpo, after=after)
        return Evidence(
            outage=dataclasses.replace(self.outage, cuts_replication=True) if self.place.pause else self.outage,
            settings=self.settings,
            simulated=self.simulated,
            began=began,
            recovered=recovered,
            ended=self.clients.now,
            failed_over=failed_over,
            failed_back=failed_back,
            verdicts=self.dns.verdicts,
            switches=self.dns.switches,
            expired=self.dns.expired,
            served=self.clients.served,
            last_failure=self.dns.last_failure,
            released=released if stays_over else None,
        )

    def _begin_outage(self, outage: ExitStack, backlog: ExitStack) -> None:
        self.step("outage")
        if self.alarms:
            self.alarms.hanging = self.outage.hanging
        for action, until in zip(self.actions, (outage, backlog), strict=False):
            until.enter_context(undone(action, self.journal, self.place.check))

    def _await_failover(self, end: float) -> bool:
        """Wait until clients are served by the other region; whether they are before the outage ends."""
        must_fail_over = self.outage.must_fail_over(self.settings)
        self.step("detection" if must_fail_over else "outage goes on")
        if not must_fail_over:
            return False
        self.clients.run(until=end, stop=lambda: bool(self.dns.switches))
        if self.dns.switches:
            self.step("switch")
        self.clients.run(until=end, stop=lambda: bool(self.clients.served))
        return bool(self.clients.served)

    def _pause_replication(self, undo: ExitStack) -> None:
        """Pause replication, if the place does, and wait until the other region gets nothing any more.

        Raises:
            OperationError: It goes on.
        """
        if (pause := self.place.pause) is None:
            return
        self.step("replication pause")
        action = Action(f"pause replication ({pause.template_id})", pause.start, self._resume, hint=pause.hint)
        undo.enter_context(undone(action, self.journal, self.place.check))
        deadline = self.clients.now + TAKES_EFFECT_SECONDS + PAUSE_SEEN_SECONDS
        while self.clients.now < deadline:
            before = len(self.payments.ledger.acknowledged(LOCAL))
            self.clients.run(until=self.clients.now + PAUSE_SEEN_SECONDS)
            paid = self.payments.ledger.acknowledged(LOCAL)[before:]
            self.clients.run(until=self.clients.now + PAUSE_SEEN_SECONDS)
            if paid and len(self._missing(paid)) == len(paid):
                return
        raise OperationError(
            f"replication still runs {TAKES_EFFECT_SECONDS:.0f} s after its pause began",
            hint="look at the experiment in the console of AWS FIS",
        )

    def _resume(self) -> None:
        """Stop the pause, and wait until each region has the payments that it lacked."""
        if self.place.pause:
            self.place.pause.stop()
        deadline = time.monotonic() + RESUMED_SECONDS
        while left := self._missing([each for mode in MODES for each in self.payments.ledger.acknowledged(mode)]):
            if time.monotonic() > deadline:
                raise OperationError(
                    f"{len(left)} payments have not arrived {RESUMED_SECONDS:.0f} s after the pause ended",
                    hint="see 'dr status'",
                )
            time.sleep(RESUME_POLL_SECONDS)

    def _missing(self, entries: list[Entry]) -> list[str]:
        """Ids of those that have not arrived in the other region than the one that acknowledged them."""
        return [id_ for side in SIDES for id_ in self._missing_of(side, entries)]

    def _missing_of(self, side: Side, entries: list[Entry]) -> list[str]:
        stack, other = self.place.stack, OTHER[side]
        if not (sent := [entry for entry in entries if entry.region == stack.region(side)]):
            return []
        return missing(sent, asked(f"DynamoDB in {stack.region(other)}", lambda: self.payments.items(other)))

    def _end_outage(self, outage: ExitStack, pause: ExitStack) -> float:
        """Undo the outage; the drill time after that."""
        self.clients.finish()  # what was made before that must not be answered by a region that is back
        if self.split:
            self.clients.split = None
            self.split.look()
        self.step("recovery")
        pause.close()
        outage.close()
        if self.alarms:
            self.alarms.hanging = ()
        self.dns.forget()
        return self.clients.now

    def _stay_over(self, backlog: ExitStack, ends: float | None) -> float | None:
        """Let as much time pass as clients would need to return by themselves, and a backlog end that it has.

        Args:
            backlog: Ends the backlog of replication.
            ends: Drill time at which it ends. None: there is none.

        Returns:
            When a backlog is to be ended that is still there. An operator who is refused meanwhile waits for its end.
        """
        self.step("clients stay over")
        latest = self.clients.now + failback_bound(self.settings).total + SERVING_SECONDS
        self.clients.run(until=latest if ends is None else ends)
        self.clients.finish()
        if self.place.run_schedules:  # an event that met the outage is lost, and an operator waits for the schedule
            self.place.run_schedules()
            self.parameters.await_copy("secondary")
        if ends is None:
            return None
        try:
            let_return(self.place.stack, timeout=REFUSED_SECONDS)
        except RefusedError:
            backlog.close()
            return None
        return ends

    def _await_failback(self, recovered: float, *, failed_over: bool, stays_over: bool) -> tuple[AtSwitch | None, bool]:
        """Wait until the primary serves again. Return what it has of the secondary's payments, and whether it serves.

        The first is None after a failover without a failback, and if clients never left.
        """
        # "both" may leave Route 53 with the secondary for a moment, which is waited out as well
        latest = recovered + failover_bound(self.settings).total + SERVING_SECONDS
        at_failback = None
        if failed_over:
            self.step("failback")
            if stays_over:
                self.payments.released = recovered if self.clients.serving == "secondary" else None
                let_return(self.place.stack, timeout=RESUMED_SECONDS)
                self.dns.forget()
            self.clients.run(until=latest, stop=lambda: self.clients.serving == "primary")
            if self.clients.serving == "primary":
                at_failback = self.verification.at_failback()
        self.clients.run(until=latest, stop=self.clients.are_back)
        return at_failback, self.clients.are_back()

    def _await_backlog(self, backlog: ExitStack, end: float) -> None:
        """Wait until replication may catch up."""
        self.clients.run(until=end)
        self.clients.finish()
        self.step("replication catches up")
        backlog.close()

    def _finish(self) -> None:
        """Let every payment come to its end, and every alarm leave ALARM."""
        self.clients.finish()
        self.payments.note_in(self.journal)
        self.step("verification")
        if alarms := self.alarms:
            self.clients.run(until=self.clients.now + ALARMS_FIRE_SECONDS, stop=alarms.have_fired)
            self.clients.run(until=self.clients.now + ALARMS_CLEAR_SECONDS, stop=alarms.are_clear)
            self.clients.finish()
        self.clients.retry_open()
        self.payments.note_in(self.journal)
