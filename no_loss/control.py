"""The control group: all that is known to be wrong with the client of `first_client.py`, found by random histories."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from no_loss.first_client import FirstClient
from no_loss.histories import Event, Fault, History, Lag, Meets, Pay, Update, drawn
from no_loss.report import violations
from no_loss.shrink import shortest


def _has(history: History, kind: type[Event], **fields: object) -> bool:
    return any(
        isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
        for event in history
    )


# Each way in which it was known to be wrong: the violation, and what the shortest history needs.
WAYS: dict[str, tuple[str, Callable[[History], bool]]] = {
    "a number is returned without its zeros": ("never ends", lambda it: _has(it, Pay, amount="10.50", tags=False)),
    "a set is returned in another order": ("never ends", lambda it: _has(it, Pay, tags=True)),
    "a consumer's attribute is wiped": ("overwritten", lambda it: _has(it, Update, name="seen")),
    "a refund is undone by a late retry": ("overwritten", lambda it: _has(it, Update, name="status")),
    "one payment replaces another": (
        "replaced",
        lambda it: len({event.amount for event in it if isinstance(event, Pay)}) == 2,
    ),
    "a lost answer is a refusal": ("happened", lambda it: _has(it, Meets, fate="answer lost")),
    "a throttled read is a refusal": ("happened", lambda it: _has(it, Meets, fate="throttled")),
    "one error and one region is enough": ("early", lambda it: _has(it, Meets)),
    "stalled replication stops payments": (
        "not acknowledged",
        lambda it: _has(it, Lag) or _has(it, Fault, fault="does not replicate"),
    ),
}


class Found(NamedTuple):
    """A way in which the first client is wrong.

    Attributes:
        seed: Of the history.
        kind: What the checker says.
        history: The shortest one.
    """

    seed: int
    kind: str
    history: History


def ways_of_the_first_client(histories: int, enough: int = len(WAYS)) -> Mapping[str, Found]:
    """Which of the known ways random histories find, each with the first history.

    Args:
        histories: How many are played at most.
        enough: How many ways are enough.
    """
    found: dict[str, Found] = {}
    for seed in range(histories):
        history = drawn(seed)
        for kind in sorted({wrong.kind for wrong in violations(history, FirstClient)}):
            if all(way in found for way, (its_kind, _) in WAYS.items() if its_kind == kind):
                continue
            short = shortest(history, lambda it: kind in {wrong.kind for wrong in violations(it, FirstClient)})  # noqa: B023
            for way, (its_kind, needs) in WAYS.items():
                if way not in found and its_kind == kind and needs(short):
                    found[way] = Found(seed, kind, short)
        if len(found) >= enough:
            break
    return found
