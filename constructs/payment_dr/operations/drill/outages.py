"""The outages of a drill. Each is a context manager that undoes itself, whatever happens."""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from payment_dr.operations import probes, standby_switch
from payment_dr.operations.command import undisturbed
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.journal import CONFIRMED, LOCAL, Journal
from payment_dr.operations.errors import OperationError
from payment_dr.operations.fence import reserve
from payment_dr.operations.route53.recovery_time import (
    HANGING_PROBE_SECONDS,
    Settings,
    failback_bound,
    failover_bound,
    longest_harmless_blip,
)
from payment_dr.operations.standby_switch import Change, ChangedMeanwhileError
from payment_dr.operations.switch import Switch
from payment_dr.side import Side

BLIP_SECONDS = 60.0
NO_OUTAGE_SECONDS = 240.0  # longer than any detection: what has not failed over by then does not
SERVING_SECONDS = 60.0  # of drill time, in the other region
# Where a drill writes its documents. A stack that copies documents one way only does not bring them back.
DOCUMENTS_PREFIX = "dr-drill/"
# What DynamoDB calls its data plane, without streams. DescribeTable is of the control plane.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.API.html
DATA_PLANE = (
    *("GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "BatchWriteItem", "UpdateItem", "DeleteItem"),
    *("TransactGetItems", "TransactWriteItems", "ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"),
)
# What goes on while control planes refuse. Lambda's data plane is Invoke. AWS publishes no such list for Parameter
# Store; here, reading a value counts as its data plane.
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/control-planes-and-data-planes.html
DATA_PLANES = (*DATA_PLANE, "Invoke", "GetParameter", "GetParameters", "GetParametersByPath")
# A signing name of no call: what carries the writes of a global table between two regions.
REPLICATION = "dynamodb-replication"
LIMIT_SECONDS = 3600.0
MARGIN_SECONDS = 60.0  # between a drill's failover and the first write that its failback compares
NOTHING_IS_LEFT = "nothing is left: the embedded AWS ends with this command"
LIVE_OUTAGE = "fence"  # the one that a stack which others use is given


class OutageMaker(Protocol):
    """Makes regions fail; on AWS there is none, and only the fence is left."""

    def fail(self, region: str, **fault: Any) -> None:
        """Let calls of a region fail.

        The fault is a ``kind`` (error, hang, unresolved, or cut: the link to other regions) of one ``service`` or
        several, only some ``operations`` of them or all but ``spared`` ones, or a ``share`` of the calls, by a
        ``seed``.
        """

    def restore(self, region: str) -> None:
        """Lift all faults of a region."""

    def forbid_describe_table(self) -> None:
        """Take from the primary's health function the right to look at its table."""

    def allow_describe_table(self) -> None:
        """Give it back."""


def until_the_other_region_has_served(settings: Settings) -> float:
    """Seconds of an outage that ends after the slowest failover, and some time in the other region."""
    hanging = replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS)
    return math.ceil(failover_bound(hanging).total) + SERVING_SECONDS


def as_long_as_a_failover(settings: Settings) -> float:
    """Seconds after which the slowest failover would be over, for an outage that must not cause one."""
    return until_the_other_region_has_served(settings) - SERVING_SECONDS


def shorter_than_detection(settings: Settings) -> float:
    """Seconds of an outage that ends before any health checker has failed often enough."""
    return min(BLIP_SECONDS, longest_harmless_blip(replace(settings, failed_probe_seconds=0)))


def longer_than_detection(_settings: Settings) -> float:
    """Seconds of a fault that lasts long enough for a failover, if it were to cause one."""
    return NO_OUTAGE_SECONDS


def until_an_alarm_has_failed_over(settings: Settings) -> float:
    """Seconds of an outage that no probe sees: as of the others where an alarm decides, else longer than detection."""
    if settings.alarm_period_seconds is None:
        return longer_than_detection(settings)
    return until_the_other_region_has_served(settings)


def until_clients_are_back(settings: Settings) -> float:
    """Seconds of a replication backlog that is there when clients return, after the slowest failback, and after that.

    Example:
        >>> until_clients_are_back(Settings())
        185.0
    """
    return math.ceil(failback_bound(settings).total) + SERVING_SECONDS


@dataclass(frozen=True, kw_only=True)
class Outage:
    """One kind of outage.

    Attributes:
        description: What happens, of the region ``{region}``.
        fails_over: Whether Route 53 has to answer with the other region; see `must_fail_over`.
        no_probe_fails: Whether the probe passes all the time, so that only an alarm that Route 53 follows can see it.
        sides: Which regions fail.
        alarms: The sides whose health check must be seen in ALARM. None: `sides` if it has to fail over, else none.
        fault: What fails there, as `OutageMaker.fail` takes it.
        means: How: faults of the region, or a function's reserved concurrency, or the operator's switch.
        lasts: Seconds that it lasts with the settings of a stack.
        failed_probe_seconds: Seconds that a failed probe takes in it. None: as the settings have it.
        cuts_replication: Whether the table does not replicate meanwhile, so that a failover can lose something.
        splits: Whether clients pay in both regions meanwhile, some of them the same payment with different amounts.
        backlog: Seconds for which replication still stalls after the region has returned. None: it resumes at once.
        payments: For each client mode whether its payments to the primary, or to both regions if it splits them, go
            on in this outage (none may be refused) or stop (none may be acknowledged). A mode that it does not name is
            not judged.
        blame: The sentence of why Route 53 failed over although it has not to; the fields are ``{answered}`` (that it
            did, and for how long), ``{region}`` (the primary) and ``{failure}`` (of its latest failed probe).

    Example:
        >>> OUTAGES["blip"].lasts(Settings())
        60.0
        >>> OUTAGES["hang"].settings_during(Settings()).failed_probe_seconds
        6
    """

    description: str
    fails_over: bool = True
    no_probe_fails: bool = False
    sides: tuple[Side, ...] = ("primary",)
    alarms: tuple[Side, ...] | None = None
    fault: Mapping[str, Any] = field(default_factory=dict)
    means: Literal["fault", "concurrency", "switch", "permission"] = "fault"
    lasts: Callable[[Settings], float] = until_the_other_region_has_served
    failed_probe_seconds: float | None = None
    cuts_replication: bool = False
    splits: bool = False
    backlog: Callable[[Settings], float] | None = None
    payments: Mapping[str, bool] = field(default_factory=dict)
    blame: str = "{answered}: the probe of {region} failed for long enough ({failure})"

    def settings_during(self, settings: Settings) -> Settings:
        """The settings of the recovery time, with what a failed probe takes, or who detects, during this outage."""
        if self.no_probe_fails:
            return settings.by_alarm()
        if self.failed_probe_seconds is None:
            return settings
        return replace(settings, failed_probe_seconds=self.failed_probe_seconds)

    def must_fail_over(self, settings: Settings) -> bool:
        """Whether Route 53 has to answer with the other region in a stack with these settings.

        Example:
            >>> OUTAGES["dataplane"].must_fail_over(Settings())
            False
            >>> OUTAGES["dataplane"].must_fail_over(Settings(alarm_period_seconds=60))
            True
        """
        return self.fails_over and not (self.no_probe_fails and settings.alarm_period_seconds is None)

    @property
    def expected(self) -> str:
        """What must happen, in words.

        Example:
            >>> OUTAGES["dataplane"].expected
            'must fail over with the data canary, must not without'
            >>> OUTAGES["secondary"].expected
            'must not fail over; local payments go on, confirmed payments stop'
        """
        must = "must fail over" if self.fails_over else "must not fail over"
        if self.no_probe_fails:
            must += " with the data canary, must not without"
        if self.backlog:
            must += ", and back before replication has caught up"
        if self.splits:
            must += "; of a payment that both regions took, the version written last stays"
        paid = ", ".join(f"{mode} payments {'go on' if go_on else 'stop'}" for mode, go_on in self.payments.items())
        return f"{must}; {paid}" if paid else must

    def must_alarm(self, settings: Settings) -> tuple[Side, ...]:
        """The sides whose health check must be seen in ALARM in a stack with these settings.

        Example:
            >>> OUTAGES["region"].must_alarm(Settings()), OUTAGES["blip"].must_alarm(Settings())
            (('primary',), ())
        """
        if self.alarms is not None:
            return self.alarms
        return self.sides if self.must_fail_over(settings) else ()

    @property
    def hanging(self) -> tuple[Side, ...]:
        """The sides of which no call is answered meanwhile."""
        return self.sides if self.fault.get("kind") == "hang" and "service" not in self.fault else ()

    def tolerated_seconds(self, settings: Settings) -> float:
        """Seconds for which DNS may answer with the other region, although this outage has not to fail over."""
        if len(self.sides) == 1:
            return 0.0
        # Checkers see one of both regions fail first. Until they see the other one fail, DNS answers with that.
        return settings.request_interval_seconds + HANGING_PROBE_SECONDS

    def why_failover(self, *, primary: str, secondary: str, seconds: float, failure: str | None) -> str:
        """Why DNS answered with the other region, although this outage has not to fail over: a sentence.

        Args:
            primary: The region that was left.
            secondary: The region that DNS answered with.
            seconds: For how long.
            failure: Why the latest failed probe of the primary failed, if one did.
        """
        answered = f"Route 53 answered with {secondary} for {seconds:.0f} s"
        return self.blame.format(answered=answered, region=primary, failure=failure)


OUTAGES: Mapping[str, Outage] = {
    "region": Outage(description="every call of {region} answers 503", cuts_replication=True),
    "hang": Outage(
        description="no call of {region} is answered",
        fault={"kind": "hang"},
        failed_probe_seconds=HANGING_PROBE_SECONDS,
        cuts_replication=True,
    ),
    "dynamodb": Outage(
        description="DynamoDB in {region} answers 503", fault={"service": "dynamodb"}, cuts_replication=True
    ),
    "dataplane": Outage(
        description="reads and writes of DynamoDB in {region} answer 503, and the probe (DescribeTable) passes",
        no_probe_fails=True,
        fault={"service": "dynamodb", "operations": DATA_PLANE},
        lasts=until_an_alarm_has_failed_over,
    ),
    "api": Outage(description="the API in {region} answers 503", fault={"service": "execute-api"}),
    "health": Outage(description="the health function of {region} is not run", means="concurrency"),
    "fence": Outage(description="the operator fails {region} over by hand", means="switch"),
    "partial": Outage(  # too few probes in a row fail
        description="30 % of the calls of {region} answer 503",
        fault={"share": 0.3},
        fails_over=False,
        lasts=longer_than_detection,
    ),
    "blip": Outage(
        description="every call of {region} answers 503, for less time than detection takes",
        fails_over=False,
        cuts_replication=True,
        lasts=shorter_than_detection,
    ),
    "both": Outage(  # when no record is healthy, Route 53 takes all of them for healthy
        description="every call of {region} and of the other region answers 503",
        fails_over=False,
        sides=("primary", "secondary"),
        cuts_replication=True,
        alarms=("primary", "secondary"),
    ),
    "permission": Outage(  # a monitor that may not look says that it does not know, and that counts as healthy
        description="the health function of {region} may not look at the table",
        fails_over=False,
        means="permission",
        lasts=longer_than_detection,
        blame="the health function of {region} calls AccessDenied unhealthy, so {answered}",
    ),
    "replication": Outage(  # a client that waits for the other region must not say that a payment is there
        description="the table does not replicate between {region} and the other region, and both serve",
        fails_over=False,
        fault={"service": REPLICATION},
        lasts=as_long_as_a_failover,
        cuts_replication=True,
        payments={LOCAL: True, CONFIRMED: False},
    ),
    "secondary": Outage(  # the region that nobody uses
        description="every call of the other region answers 503, and {region} serves",
        fails_over=False,
        sides=("secondary",),
        lasts=as_long_as_a_failover,
        cuts_replication=True,
        alarms=("secondary",),
        payments={LOCAL: True, CONFIRMED: False},
    ),
    "partition": Outage(  # each region takes the other one for gone, and some clients are configured with the secondary
        description="{region} and the other region do not reach each other, and clients reach and use both",
        fails_over=False,
        fault={"kind": "cut"},
        lasts=as_long_as_a_failover,
        cuts_replication=True,
        splits=True,
        payments={LOCAL: True, CONFIRMED: False},
    ),
    # The probe asks DescribeTable, of DynamoDB's control plane: the region counts as unhealthy although it serves.
    "control-plane": Outage(
        description="the control planes of Lambda, DynamoDB and SSM in {region} answer 503, the data planes serve",
        fault={"service": ("dynamodb", "lambda", "ssm"), "spared": DATA_PLANES},
        payments={LOCAL: True},
    ),
    "dns-name": Outage(  # https://aws.amazon.com/message/101925/, of 2025-10-20
        description="DynamoDB's name of {region} does not resolve, and connections that are open go on",
        fault={"kind": "unresolved", "service": "dynamodb"},
    ),
    "functions": Outage(  # https://aws.amazon.com/message/061323/, of 2023-06-13
        description="Lambda in {region} answers 503 and runs no function",
        fault={"service": "lambda"},
    ),
    "recovery-backlog": Outage(  # Route 53 returns clients when probes pass, whatever is still to be replicated
        description="every call of {region} answers 503, and its table does not replicate for minutes after that",
        cuts_replication=True,
        backlog=until_clients_are_back,
    ),
}


@dataclass(frozen=True)
class Action:
    """Something that a drill does, how it is undone, and how an operator does that if it fails."""

    name: str
    do: Callable[[], object]
    undo: Callable[[], object]
    hint: str = "see 'dr status'; 'dr failback --force' lifts a fence"


@contextmanager
def undone(action: Action, journal: Journal, check: Callable[[], object]) -> Iterator[None]:
    """Do something for the length of a ``with`` block. It is undone even if it was done only in part.

    Args:
        action: What is done and undone.
        journal: Takes both.
        check: Raises an `OperationError` when the place itself is gone, and with it everything that was done there.

    Raises:
        OperationError: It could not be undone.

    Example:
        >>> with undone(Action("fail us-east-1", fail, restore), journal, check):  # doctest: +SKIP
        ...     measure()
    """
    try:
        journal.note({"kind": "action", "name": action.name, "undone": False})
        action.do()
        yield
    finally:
        try:
            if not _place_is_gone(check):
                with undisturbed():
                    action.undo()
        except Exception as error:
            raise OperationError(
                f"undoing failed: {action.name}: {error}",
                hint=action.hint,
            ) from error
        journal.note({"kind": "action", "name": action.name, "undone": True})


def _place_is_gone(check: Callable[[], object]) -> bool:
    try:
        check()
    except OperationError:
        return True
    return False


def action_of(
    outage: Outage, stack: Deployed, maker: OutageMaker, seed: int, *, limit_seconds: float = LIMIT_SECONDS
) -> Action:
    """The action that makes an outage.

    Args:
        outage: The outage.
        stack: The stack that it happens to.
        maker: Makes regions fail.
        seed: Decides which calls a partial outage fails.
        limit_seconds: Real seconds after which a switch that the drill sets ends by itself.
    """
    region = stack.region("primary")
    if outage.means == "switch":
        operator = _Operator(stack, limit_seconds)
        return Action(operator.what, operator.fail_over, operator.fail_back, hint=operator.hint)
    if outage.means == "concurrency":
        return Action(
            f"stop the health function of {region}",
            lambda: reserve(stack, "primary", 0),
            lambda: reserve(stack, "primary", None),
        )
    if outage.means == "permission":
        name = f"forbid the health function of {region} to look at the table"
        return Action(name, maker.forbid_describe_table, maker.allow_describe_table)
    regions = [stack.region(side) for side in outage.sides]

    def fail() -> None:
        for each in regions:
            maker.fail(each, seed=seed, **outage.fault)

    def restore() -> None:
        for each in regions:
            maker.restore(each)

    return Action(f"fail {' and '.join(regions)}", fail, restore)


def backlog_of(stack: Deployed, maker: OutageMaker) -> Action:
    """The action that stops replication even after the primary has returned: the secondary sends and gets nothing."""
    region = stack.region("secondary")
    return Action(
        f"stop replication with {region}",
        lambda: maker.fail(region, service=REPLICATION),
        lambda: maker.restore(region),
    )


def let_return(stack: Deployed, *, timeout: float) -> None:
    """Release the switch that the standby holds after an outage, as `dr failback` does.

    Args:
        stack: The stack.
        timeout: Real seconds to wait for what the primary lacks.

    Raises:
        RefusedError: The primary is not ready.
        OperationError: AWS refused, or did not answer.
    """
    _switch_of(stack, reason="dr drill: clients return", timeout=timeout).failback()


def _switch_of(stack: Deployed, **options: Any) -> Switch:
    """The operator's switch without questions and reports. It does not require the drill's documents in the primary."""
    return Switch(
        stack=stack, confirm=lambda *_: None, tell=lambda _: None, ignored_documents=DOCUMENTS_PREFIX, **options
    )


class _Operator:
    """An operator who fails a stack over and back by hand, and never releases a switch that somebody else has set.

    A switch ends by itself, whatever becomes of this computer. A fence does not.

    Args:
        stack: The stack.
        limit_seconds: Real seconds after which the switch ends by itself.
    """

    def __init__(self, stack: Deployed, limit_seconds: float) -> None:
        self._stack, self._limit_seconds = stack, limit_seconds
        self._reason = f"dr drill {uuid.uuid4().hex[:8]}"
        self._is_of_others = False
        self._began: float | None = None

    @property
    def what(self) -> str:
        """What is done, in words."""
        if self._stack.has_switch:
            return f"set the switch in {self._stack.region('secondary')}"
        return f"fence {self._stack.region('primary')}"

    @property
    def hint(self) -> str:
        """How an operator undoes it by hand."""
        if self._stack.has_switch:
            end = f"it ends by itself {self._limit_seconds / 60:g} minutes after it was set"
            return f"see 'dr status'; 'dr failback --force' releases the switch; {end}"
        return "see 'dr status'; 'dr failback --force' lifts the fence"

    def fail_over(self) -> None:
        """Send clients away.

        Raises:
            OperationError: Somebody else has done so, or it could not be done.
        """
        self._began = time.time()
        try:
            outcome = self._switch().failover()
        except ChangedMeanwhileError:
            self._is_of_others = True
            raise
        if outcome.fenced and not outcome.changed:
            self._is_of_others = True
            raise OperationError(
                f"somebody else fails over this stack at the same time: {outcome.text}",
                hint="run 'dr status', and drill when nobody else fails over",
            )

    def fail_back(self) -> None:
        """Let clients return as an operator does: first with all checks, then by force.

        Raises:
            OperationError: Only force released it, or somebody else has set the switch meanwhile, which stays set.
        """
        if self._is_of_others:
            return
        if self._stack.has_switch and (other := self._other_holder()):
            raise OperationError(f"somebody else has set the switch meanwhile, {other}", hint="see 'dr status'")
        try:
            self._switch().failback()
        except OperationError as failed:
            if self._sends_away():
                self._switch(force=True).failback()
            raise OperationError(f"forced despite this: {failed.message}", hint=failed.hint) from failed

    def _other_holder(self) -> Change | None:
        switched = standby_switch.in_force(self._stack, time.time())
        return switched if switched and switched.reason != self._reason else None

    def _sends_away(self) -> bool:
        if self._stack.has_switch:
            return standby_switch.in_force(self._stack, time.time()) is not None
        return probes.reserved_concurrency(self._stack, "primary") == 0

    def _switch(self, *, force: bool = False) -> Switch:
        return _switch_of(
            self._stack,
            force=force,
            reason=self._reason if self._stack.has_switch else None,
            seconds=self._limit_seconds if self._stack.has_switch else None,
            # Before, clients were in the primary: a drill does not read what they wrote there all day.
            since=None if self._began is None else time.time() - self._began + MARGIN_SECONDS,
        )
