"""What a drill breaks, and how it is mended: every outage is a context manager that undoes itself, whatever happens."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from payment_dr.operations import probes
from payment_dr.operations.command import undisturbed
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.errors import OperationError
from payment_dr.operations.fence import reserve
from payment_dr.operations.switch import Switch
from payment_dr.side import Side

BLIP_SECONDS = 60.0
LIVE_OUTAGE = "fence"  # the one that a stack which others use is given


class OutageMaker(Protocol):
    """Makes regions fail; on AWS there is none, and only the fence is left."""

    def fail(self, region: str, **fault: Any) -> None:
        """Let calls of a region fail: a ``kind`` (error, hang), one ``service``, a ``share`` of them, by a ``seed``."""

    def restore(self, region: str) -> None:
        """Lift all faults of a region."""

    def forbid_describe_table(self) -> None:
        """Take from the primary's health function the right to look at its table."""

    def allow_describe_table(self) -> None:
        """Give it back."""


@dataclass(frozen=True, kw_only=True)
class Outage:
    """One kind of outage.

    Attributes:
        description: What happens, of the region ``{region}``.
        fails_over: Whether Route 53 has to answer with the other region.
        sides: Which regions fail.
        fault: What fails there, as `OutageMaker.fail` takes it.
        means: How: faults of the region, or a function's reserved concurrency, or the operator's switch.
        seconds: How long it lasts; None is long enough to see the failover, and some time in the other region.
    """

    description: str
    fails_over: bool = True
    sides: tuple[Side, ...] = ("primary",)
    fault: Mapping[str, Any] = field(default_factory=dict)
    means: Literal["fault", "concurrency", "switch", "permission"] = "fault"
    seconds: float | None = None


OUTAGES: Mapping[str, Outage] = {
    "region": Outage(description="every call of {region} answers 503"),
    "hang": Outage(description="no call of {region} is answered", fault={"kind": "hang"}),
    "dynamodb": Outage(description="DynamoDB in {region} answers 503", fault={"service": "dynamodb"}),
    "api": Outage(description="the API in {region} answers 503", fault={"service": "execute-api"}),
    "health": Outage(description="the health function of {region} is not run", means="concurrency"),
    "fence": Outage(description="the operator fences {region}", means="switch"),
    "partial": Outage(
        description="30 % of the calls of {region} answer 503", fault={"share": 0.3}, fails_over=False, seconds=240.0
    ),
    "blip": Outage(
        description="every call of {region} answers 503, for less time than detection takes",
        fails_over=False,
        seconds=BLIP_SECONDS,
    ),
    "both": Outage(
        description="every call of {region} and of the other region answers 503",
        fails_over=False,
        sides=("primary", "secondary"),
    ),
    "permission": Outage(
        description="the health function of {region} may not look at the table",
        fails_over=False,
        means="permission",
        seconds=240.0,
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
        journal: Is told both.
        check: Raises a `OperationError` when the place itself is gone, and with it everything that was done there.

    Raises:
        OperationError: It could not be undone.

    Example:
        >>> with undone(Action("fail us-east-1", fail, restore), journal, check):  # doctest: +SKIP
        ...     measure()
    """
    try:
        journal.event("action", name=action.name, undone=False)
        action.do()
        yield
    finally:
        try:
            if not _raises(check):
                with undisturbed():
                    action.undo()
        except Exception as error:
            raise OperationError(
                f"undoing failed: {action.name}: {error}",
                hint=action.hint,
            ) from error
        journal.event("action", name=action.name, undone=True)


def _raises(check: Callable[[], object]) -> bool:
    try:
        check()
    except OperationError:
        return True
    return False


def action_of(outage: Outage, stack: Deployed, maker: OutageMaker, seed: int) -> Action:
    """What brings an outage about."""
    region = stack.region("primary")
    if outage.means == "switch":
        return Action(f"fence {region}", lambda: _switch(stack).failover(), lambda: _lift_fence(stack))
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


def _switch(stack: Deployed, *, force: bool = False) -> Switch:
    return Switch(stack=stack, confirm=lambda *_: None, tell=lambda _: None, force=force)


def _lift_fence(stack: Deployed) -> None:
    try:
        _switch(stack).failback()  # as an operator does, who is refused while anything speaks against it
    except OperationError as refusal:
        if probes.reserved_concurrency(stack, "primary") == 0:
            _switch(stack, force=True).failback()
        raise OperationError(f"lifted by force: {refusal.message}", hint=refusal.hint) from refusal
