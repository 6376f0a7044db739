"""Fail over and fail back by hand: `dr failover` and `dr failback`.

In a stack with a switch, both commands set and release the switch: a write to a table in the standby region, without a
call to the region that may be failing. See `StandbySwitch`.

Other stacks fence the primary region with Lambda's API: a reserved concurrency of 0 stops its health function
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html), so its probe fails. Nothing else stops in
the fenced region.

Either way Route 53's data plane fails over by itself, and clients stay in the standby region until an operator undoes
it. Route 53's API in us-east-1 is not needed. If the standby region fails too, Route 53 answers with the primary.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from payment_dr.operations import probes, standby_switch
from payment_dr.operations.alias_targets import AliasTargets
from payment_dr.operations.aws import CannotTellError, NoAnswerError, asked
from payment_dr.operations.command import undisturbed
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.deployed_zone import (
    alarm_check_of,
    alarm_state_now,
    answers,
    checks_of,
    endpoint_check_of,
    probed_path_or_public,
    read_zone,
    status_now,
    statuses,
)
from payment_dr.operations.errors import OperationError, ThisMachineError
from payment_dr.operations.fence import reserve
from payment_dr.operations.printable import printable
from payment_dr.operations.probes import SERVING
from payment_dr.operations.route53.zone import Zone
from payment_dr.operations.standby_switch import Change
from payment_dr.operations.standby_writes import STREAM_SECONDS, StandbyWrites, shown
from payment_dr.operations.status import BAD, EXIT_CODES, Finding, exit_code, judged, look
from payment_dr.side import SIDES, Side

POLL_SECONDS = 2.0
TAKES_EFFECT_SECONDS = 60.0  # Lambda is quick to throttle, but a function that was throttled starts cold
LISTING_SECONDS = 60.0  # some hundred thousand versions
RECENT_SECONDS = 30.0
LONGEST_POLL_SECONDS = 15.0  # to list documents costs
NAMED = 5  # of the items or documents that are missing
NO_SWITCH = "this stack has no switch, and a fence has no end: it stays until 'dr failback'"
CHANGES = 100  # of the switch, in which the beginning of a failover is looked for


class RefusedError(OperationError):
    """A failover or failback would do harm, or had no effect. Nothing is changed."""

    exit_code = 1


@dataclass(frozen=True)
class Outcome:
    """The result of a failover or failback.

    Attributes:
        action: "failover" or "failback".
        account_id, region: The account, and the primary region.
        changed: Whether this command began or ended the failover.
        fenced: Whether the fence or the switch keeps clients away from the primary now. None if it is unknown.
        text: The result for a person.
        until: When the switch ends by itself, in seconds since 1970. None if it does not.
    """

    action: str
    account_id: str
    region: str
    changed: bool
    fenced: bool | None
    text: str
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Fails over and fails back. Both may be called again: they do not repeat work that is done.

    Args:
        stack: The deployed stack.
        confirm: Called before any change with a description and the word to type. It raises to stop the command.
        tell: Called with each step, for progress.
        force: Skip the safety checks.
        dry_run: Change nothing.
        wait: Wait until Route 53 answers with the other region.
        timeout: Maximum seconds of each wait: for data that the primary lacks, and for Route 53.
        ignored_documents: Prefix of the keys of documents that the primary may lack. Default: it may lack none.
        reason: Why, for the history of the switch. A failover needs one where the stack has a switch.
        seconds: Seconds after which the switch ends by itself. A fence has no end.
        no_end: Keep the switch set until it is released. Where the stack has a switch, give this or `seconds`.
        since: Age in seconds of the oldest write in the secondary region that a failback compares, see
            `StandbyWrites`. Default: the time since the switch was set, if the stream of the table does not reach that
            far back; else the whole stream.

    Example:
        >>> Switch(stack=stack, confirm=ask, tell=print, wait=True).failover().text  # doctest: +SKIP
        'us-east-1 is fenced. Its probe fails: HTTP status 503. Route 53 answers with us-west-2.'
    """

    stack: Deployed
    confirm: Callable[[str, str], None]
    tell: Callable[[str], None]
    force: bool = False
    dry_run: bool = False
    wait: bool = False
    timeout: float = 300
    ignored_documents: str | None = None
    reason: str | None = None
    seconds: float | None = None
    no_end: bool = False
    since: float | None = None

    def failover(self) -> Outcome:
        """Send clients to the secondary region: set the switch there, or fence the primary.

        Raises:
            RefusedError: The secondary region is not healthy, Route 53 probes a host that a fence does not reach, or
                the fence or switch had no effect and was undone.
            ChangedMeanwhileError: Somebody else changed the switch at the same time.
            OperationError: Reason or end are missing, or a call to AWS failed.
        """
        if self.stack.has_switch:
            return self._set_switch()
        if self.seconds is not None or self.no_end:
            raise OperationError(
                NO_SWITCH,
                hint="leave out --for and --no-end, or deploy the stack with switch=True",
            )
        if self.reason:
            self.tell("this stack has no switch, so the reason is not recorded")
        return self._fence()

    def _set_switch(self) -> Outcome:
        region, other = self.stack.region("primary"), self.stack.region("secondary")
        if not self.reason or (self.seconds is None) is not self.no_end:
            raise OperationError(
                "the switch needs --reason, and either --for or --no-end",
                hint="dr failover --reason 'payments fail' --for 60m; with --no-end it stays set until 'dr failback'",
            )
        self._require(f"{other} could not serve", self._healthy("secondary"), self._table_serves("secondary"))
        account, caller = caller_of(self.stack, "secondary")
        before = standby_switch.newest(self.stack)

        def outcome(text: str, made: Change | None, *, changed: bool = False) -> Outcome:
            return Outcome("failover", account, region, changed, made is not None, text, made.until if made else None)

        if before and before.holds(time.time()) and not self.force:
            return outcome(self._waited(f"Clients already go to {other}, {before}.", "secondary"), before)
        end = "until 'dr failback'" if self.seconds is None else f"for {self.seconds / 60:g} minutes"
        if self.dry_run:
            text = f"would set the switch in {other} in account {account}, so that clients go there {end}"
            return outcome(text, None)
        self.confirm(
            f"This sends the clients of {region} in account {account} to {other}, {end}.", f"{account}/{region}"
        )
        made = self._change(before, caller, switched=True)
        try:
            text = self._switch_probed(f"The switch in {other} is set, {made}.", "pass")
        except RefusedError:
            self.tell("no effect: releasing the switch again")
            with undisturbed():
                standby_switch.change(self.stack, made, switched=False, by=caller, reason="it had no effect")
            raise
        return outcome(self._waited(text, "secondary"), made, changed=True)

    def _change(self, before: Change | None, caller: str, *, switched: bool) -> Change:
        return standby_switch.change(
            self.stack,
            before,
            switched=switched,
            by=caller,
            reason=self.reason or "",
            seconds=self.seconds if switched else None,
        )

    def _fence(self) -> Outcome:
        region, other = self.stack.region("primary"), self.stack.region("secondary")
        if why_not := self.stack.not_fenced_by_its_function("primary"):
            raise RefusedError(f"a fence has no effect: {why_not}", hint="make the health page of that host fail")
        self._require(f"{other} could not serve", self._healthy("secondary"), self._table_serves("secondary"))
        account = account_of(self.stack, "secondary")

        def outcome(text: str, *, changed: bool = False, fenced: bool | None = True) -> Outcome:
            return Outcome("failover", account, region, changed, fenced, text)

        try:
            reserved = probes.reserved_concurrency(self.stack, "primary")
        except NoAnswerError as error:
            found = self._health("primary")
            if found.verdict.passed:  # only Lambda's API is down
                raise NoAnswerError(f"{error.message}, and its probe {found}", hint=self._without_a_fence) from error
            text = f"{error.message}, and its probe {found}. No fence is needed: Route 53 fails over by itself."
            return outcome(self._waited(text, "secondary"), fenced=None)
        if reserved == 0:
            text = f"{region} is already fenced."
            return outcome(text if self.dry_run else self._waited(self._probed(text, "fail"), "secondary"))
        if self.dry_run:
            now = "none" if reserved is None else reserved
            text = f"would set the reserved concurrency of {self._function} in account {account} from {now} to 0"
            return outcome(f"{text}, so that clients go to {other}", fenced=False)
        self.confirm(f"This fences {region} in account {account}: clients go to {other}.", f"{account}/{region}")
        if reserved is not None:
            self.tell(f"the reserved concurrency was {reserved}: failback does not restore it, but removes it")
        try:
            reserve(self.stack, "primary", 0)
        except CannotTellError as error:
            raise type(error)(error.message, hint=self._without_a_fence) from error
        try:
            text = self._probed(f"{region} is fenced.", "fail")
        except RefusedError:
            self.tell("no effect: removing the fence again")
            with undisturbed():
                reserve(self.stack, "primary", reserved)
            raise
        return outcome(self._waited(text, "secondary"), changed=True)

    @property
    def _without_a_fence(self) -> str:
        """Where the other ways to send clients away are: they take several commands, and each has its undo."""
        return (
            f"throttle its API {self.stack.output('primary', 'api_id')} instead, or invert its health check "
            f"{self.stack.outputs['primary_health_check_id']}: the runbook has the commands, and their undo, under "
            "'When the fence is refused'"
        )

    def failback(self) -> Outcome:
        """Return clients to the primary region when it is ready: remove its fence, release the switch.

        It waits for items, documents and parameters that were written in the secondary region and still replicate.

        Raises:
            RefusedError: The primary is unhealthy, an alarm keeps clients away from it, it still lacks data that were
                written in the secondary, or its probe does not pass without the fence. Unless forced, the fence is then
                set again.
            ChangedMeanwhileError: Somebody else changed the switch at the same time.
            OperationError: A call to AWS failed.
        """
        region = self.stack.region("primary")
        account, caller = caller_of(self.stack, "secondary" if self.stack.has_switch else "primary")
        switched = standby_switch.in_force(self.stack, time.time()) if self.stack.has_switch else None
        fenced = self._is_fenced(switched)

        def outcome(text: str, *, changed: bool = False, fenced: bool = False) -> Outcome:
            until = switched.until if switched and fenced else None
            return Outcome("failback", account, region, changed, fenced, text, until)

        if not fenced and not switched:
            found = self._health("primary")
            not_away = f"{region} is not fenced" + (" and not switched" if self.stack.has_switch else "")
            if not (found.verdict.passed or self.wait):
                raise RefusedError(
                    f"{not_away}, but its probe {found}", hint="clients return by themselves when the probe passes"
                )
            return outcome(self._waited(f"{not_away}.", "primary"))
        if fenced:
            self.tell(f"{region} is fenced, so its probe fails: checking its table directly")
        healthy = () if fenced else (self._healthy("primary"),)
        self._require(self._not_ready, *healthy, self._table_serves("primary"), look(self._no_alarm_keeps_clients_away))
        writes = StandbyWrites(self.stack, seconds=self._seconds_away(switched), tell=self.tell)
        what = f"returns clients to {region} in account {account}"
        asked_before = writes.is_whole_table and not self.force
        if asked_before:
            what = f"compares the whole table in both regions ({writes.cost}) and then {what}"
        self._await_all(None if self.force or asked_before else writes)
        does = " and ".join(
            [
                *([f"remove the fence from {region}"] * fenced),
                *([f"release the switch, set {switched}"] * bool(switched)),
            ]
        )
        if self.dry_run:
            first = f"compare the whole table ({writes.cost}), and then " if asked_before else ""
            return outcome(f"would {first}{does} in account {account}", fenced=True)
        self.confirm(f"This {what}.", f"{account}/{region}")
        if not self.force:
            self._await_the_latest(writes)
        text = self._remove_fence() if fenced else ""
        if switched:
            self._change(switched, caller, switched=False)
            text = self._switch_probed(f"{text} The switch is released.".lstrip(), "fail")
        return outcome(self._waited(text, "primary"), changed=True)

    @property
    def _not_ready(self) -> str:
        return f"{self.stack.region('primary')} is not ready"

    def _seconds_away(self, switched: Change | None) -> float | None:
        """Age in seconds of the oldest write to compare. None for the whole stream.

        The start of an automatic failover or a fence may be unknown, and the switch may be set later. So this reads the
        whole stream, not only from the switch on. The time of the switch only decides whether the stream is enough.
        """
        if self.since is not None or switched is None:
            return self.since
        first = switched
        for change in standby_switch.history(self.stack, CHANGES):
            if not change.switched:
                break
            first = change
        away = time.time() - first.at
        return away if away > STREAM_SECONDS else None

    def _await_the_latest(self, writes: StandbyWrites) -> None:
        """Wait until the primary has all but the latest writes: after a long wait, compare again.

        Raises:
            RefusedError: Data are missing when the time is up.
            OperationError: A result is inconclusive.
        """
        took = math.inf
        while True:
            began, before = time.monotonic(), took
            self._await_all(writes)
            took = time.monotonic() - began
            if took < RECENT_SECONDS or took >= before:  # a large table takes its time
                return

    def _await_all(self, writes: StandbyWrites | None) -> None:
        """Wait until the primary has all data that were written in the secondary region until now.

        Args:
            writes: The items. None to skip them.

        Raises:
            RefusedError: Data are missing when the time is up.
            OperationError: A result is inconclusive.
        """
        sees = [self._config_is_equal, self._documents_are_there]
        if writes:
            sees.append(self._items_are_there(writes))
        elif self.force:
            self.tell(f"forced: the items of {self.stack.region('secondary')} are not compared")
        found = [look(see) for see in sees]
        can_come = self.stack.has_two_way_documents or found[1].state != BAD  # else nothing copies them
        waits = can_come and not (self.force or self.dry_run)
        deadline, pause, reported = time.monotonic() + self.timeout, POLL_SECONDS, ""
        while waits and exit_code(found) == EXIT_CODES[BAD] and (left := deadline - time.monotonic()) > 0:
            reasons = "; ".join(each.found for each in found if each.state == BAD)
            if reasons != reported:
                self.tell(f"waiting: {reasons}")
                reported = reasons
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
            found = [look(see) if each.state == BAD else each for see, each in zip(sees, found, strict=True)]
        self._require(self._not_ready, *found)

    def _items_are_there(self, writes: StandbyWrites) -> Callable[[], Finding]:
        """Whether the primary has all items of the secondary region. Later calls check only the missing ones."""
        first, second = self.stack.region("primary"), self.stack.region("secondary")
        is_read = False

        def see() -> Finding:
            nonlocal is_read
            missing = writes.still_missing() if is_read else writes.missing()
            if not is_read:
                self.tell(f"compared {writes.compared:,} items of {second}")
                is_read = True
            keys = _named(map(shown, missing))
            return judged(not missing, f"{first} lacks items that were written in {second} {keys}")

        return see

    def _is_fenced(self, switched: Change | None) -> bool:
        try:
            return probes.reserved_concurrency(self.stack, "primary") == 0
        except NoAnswerError as error:
            if not (switched and self.force):
                raise
            self.tell(f"forced: {error.message}, so it is unknown whether there is a fence too")
            return False

    def _remove_fence(self) -> str:
        region = self.stack.region("primary")
        reserve(self.stack, "primary", None)
        try:
            return self._probed(f"The fence is removed from {region}.", "pass")
        except RefusedError:
            if not self.force:
                self.tell(f"fencing {region} again")
                with undisturbed():
                    reserve(self.stack, "primary", 0)
            raise

    def _require(self, objection: str, *findings: Finding) -> None:
        against = [finding for finding in findings if exit_code([finding])]
        if against and not self.force:
            error = RefusedError if exit_code(against) == 1 else OperationError
            raise error(
                f"{objection}: {'; '.join(map(str, against))}",
                hint="run 'dr status' and fix the cause; --force skips this check",
            )
        for finding in against:
            self.tell(f"forced: {finding}")

    def _health(self, side: Side) -> probes.Health:
        """Probe a region's public route and, if that fails, the private one that Route 53 probes, if there is one.

        A flood of the public route is no outage then. While the public one passes, this does not need Route 53's API.
        """
        found = probes.health(self.stack, side)
        if found.verdict.passed:
            return found
        path = probed_path_or_public(self.stack, lambda: self._zone, side)
        return found if path == HEALTH_PATH else probes.health(self.stack, side, path)

    @cached_property
    def _zone(self) -> Zone:
        return read_zone(self.stack)

    def _healthy(self, side: Side) -> Finding:
        def see() -> Finding:
            found = self._health(side)
            return judged(found.verdict.passed, f"the probe of {self.stack.region(side)} {found}")

        return look(see)

    def _no_alarm_keeps_clients_away(self) -> Finding:
        """Whether the alarm that the primary's record follows, if there is one, is clear.

        While it fires, Route 53 considers the region unhealthy although its probe passes, and a standby that takes over
        would set the switch again.
        """
        followed = alarm_check_of(self.stack, read_zone(self.stack), "primary")
        if followed is None:
            return judged(True, "no alarm decides on the region")
        state = alarm_state_now(self.stack, followed.region, followed.alarm)
        return judged(state != "ALARM", f"{followed.alarm} is in {state}")

    def _table_serves(self, side: Side) -> Finding:
        def see() -> Finding:
            try:
                status = probes.table(self.stack, side).status
            except NoAnswerError as error:
                return judged(False, error.message)
            return judged(status in SERVING, f"the table in {self.stack.region(side)} is {status}")

        return look(see)

    def _config_is_equal(self) -> Finding:
        drifted = probes.drifted_parameters(self.stack)
        return judged(not drifted, f"config differs between the regions: {', '.join(drifted)}")

    def _documents_are_there(self) -> Finding:
        """Whether the primary has all documents that were written in the secondary region."""
        missing = probes.documents_of_secondary(self.stack, LISTING_SECONDS)
        if self.ignored_documents:
            missing = [key for key in missing if not key.startswith(self.ignored_documents)]
        first, second = self.stack.region("primary"), self.stack.region("secondary")
        return judged(not missing, f"{first} lacks documents that were written in {second} {_named(missing)}")

    @property
    def _function(self) -> str:
        return self.stack.output("primary", "health_monitor_function_name")

    def _probed(self, done: str, wanted: str) -> str:
        """Probe the primary region until the probe passes, or fails. Every outcome reports what is done."""
        region = self.stack.region("primary")
        return self._probed_until(done, wanted, f"the probe of {region}", lambda: self._health("primary"))

    def _switch_probed(self, done: str, wanted: str) -> str:
        """Probe the switch as Route 53 does, until the probe passes, or fails."""
        path = self.stack.switch_path
        return self._probed_until(
            done, wanted, "the probe of the switch", lambda: probes.health(self.stack, "secondary", path)
        )

    def _probed_until(self, done: str, wanted: str, what: str, probe: Callable[[], probes.Health]) -> str:
        self.tell(f"checking {what}: it must {wanted}")
        deadline = time.monotonic() + min(self.timeout, TAKES_EFFECT_SECONDS)
        while True:
            inconclusive = None
            try:
                found = probe()
                if found.verdict.passed is (wanted == "pass"):
                    return f"{done} Its probe {found}."
            except OperationError as error:  # the link from this machine is at fault
                inconclusive = error
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        if inconclusive:
            raise OperationError(
                f"{done} Its probe must {wanted}, but its result is unknown: {inconclusive.message}",
                hint=inconclusive.hint,
            ) from inconclusive
        raise RefusedError(f"{what} does not {wanted}: it {found}", hint="run 'dr status'")

    def _waited(self, done: str, side: Side) -> str:
        """With `wait`, wait until Route 53 answers with this side. Report what is done before."""
        if self.dry_run or not self.wait:
            return done
        region = self.stack.region(side)
        self.tell(f"{done} Waiting until Route 53 answers with {region}.")
        deadline = time.monotonic() + self.timeout
        not_yet = self._answered_by_the_zone() if self.stack.is_live else self._modelled()
        while why := not_yet(side):
            if time.monotonic() > deadline:
                raise OperationError(f"after {self.timeout:.0f} s {why}", hint=self._dig)
            time.sleep(POLL_SECONDS)
        return f"{done} Route 53 answers with {region}" + ("." if self.stack.is_live else ", according to the model.")

    def _answered_by_the_zone(self) -> Callable[[Side], str | None]:
        """Ask the zone's own name servers, as the live drill does. Return why they do not answer with a side, if so."""
        # It loads a DNS client, for which nothing else should wait.
        from payment_dr.operations.drill.live_dns import NameServers
        from payment_dr.operations.readiness import asked_of_dns

        stack, outputs = self.stack, self.stack.outputs
        targets = AliasTargets(stack) if stack.has_custom_domain else None
        # None are known of a zone that was there before the stack.
        domain = str(outputs["hosted_zone_name"]).rstrip(".")
        servers = NameServers(outputs["hosted_zone_name_servers"] or sorted(asked_of_dns(domain)))

        def not_yet(side: Side) -> str | None:
            try:
                values, _ = servers.ask(str(outputs["application_fqdn"]), stack.record_type)
            except ThisMachineError:
                raise
            except OperationError as error:  # the next question may be answered
                return error.message
            if targets:
                target = targets.target_of(values)
                if target is None:
                    return f"Route 53 answers with addresses of no known region: {', '.join(values)}"
                values = [target]
            return None if values == [stack.target(side).lower()] else self._does_not_answer_with(side)

        return not_yet

    def _does_not_answer_with(self, side: Side) -> str:
        return f"Route 53 does not answer with {self.stack.region(side)}"

    @property
    def _dig(self) -> str:
        question = f"{self.stack.record_type} {self.stack.outputs['application_fqdn']}"
        servers = self.stack.outputs["hosted_zone_name_servers"]  # none, of a zone that was there before
        hint = f"ask the zone itself: dig +short {question} @{servers[0] if servers else 'NAME_SERVER'}"
        if self.stack.has_custom_domain:  # which answers with addresses alone
            hint += f"; addresses of both regions: dig +short {' '.join(self.stack.target(side) for side in SIDES)}"
        return hint

    def _modelled(self) -> Callable[[Side], str | None]:
        """Without a DNS server: wait until the probes have been steady for as long as the health check needs."""
        zone = read_zone(self.stack)
        check = endpoint_check_of(self.stack, zone, "primary")
        if check is None:
            raise OperationError("the primary's record has no health check of its API", hint="run terraform apply")
        decisive = checks_of(self.stack, zone)["primary"]
        needed = check.request_interval_seconds * check.failure_threshold
        since = time.monotonic()

        def not_yet(side: Side) -> str | None:
            nonlocal since
            healthy = statuses(self.stack, zone, partial(status_now, self.stack))
            if healthy[decisive] is not (side == "primary"):
                since = time.monotonic()
            there = time.monotonic() - since >= needed and answers(self.stack, zone, healthy) == [side]
            return None if there else self._does_not_answer_with(side)

        return not_yet


def _named(missing: Iterable[str]) -> str:
    """The number of names, and some of them."""
    names = list(missing)
    return f"({len(names)}): {', '.join(map(printable, names[:NAMED]))}" + (", …" if len(names) > NAMED else "")


def account_of(stack: Deployed, side: Side) -> str:
    """The account of these credentials, from STS in the region of a side.

    Raises:
        OperationError: It is not the stack's account.
    """
    return caller_of(stack, side)[0]


def caller_of(stack: Deployed, side: Side) -> tuple[str, str]:
    """The account and the ARN of these credentials, from STS in the region of a side.

    Raises:
        OperationError: It is not the stack's account.
    """
    client = stack.client("sts", side)
    identity = asked(f"STS in {stack.region(side)}", client.get_caller_identity)
    account = str(identity["Account"])
    if account != stack.account_id:
        raise OperationError(
            f"these credentials are of account {account}, but the stack is in {stack.account_id}",
            hint="set AWS_PROFILE, or give the outputs of a stack in this account",
        )
    return account, str(identity["Arn"])
