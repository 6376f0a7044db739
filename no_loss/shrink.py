"""Makes a history that fails short, so that a person can read it."""

from collections.abc import Callable, Iterable

from no_loss.histories import Event, Fault, History, Pay


def shortest(history: History, fails: Callable[[History], bool]) -> History:
    """The history without every event that it does not need to fail, and with simpler ones where these do.

    Args:
        history: One that fails.
        fails: Plays a history and says whether it fails in the same way.
    """
    while True:
        for shorter in (*_without_one(history), *_simpler(history)):
            if fails(shorter):
                history = shorter
                break
        else:
            return history


def _without_one(history: History) -> Iterable[History]:
    return (history[:at] + history[at + 1 :] for at in range(len(history)))


def _simpler(history: History) -> Iterable[History]:
    for at, event in enumerate(history):
        for simpler in _simpler_events(event):
            if simpler != event:
                yield (*history[:at], simpler, *history[at + 1 :])


def _simpler_events(event: Event) -> Iterable[Event]:
    if isinstance(event, Pay):
        if event.at > 0:
            yield event._replace(at=0.0)
        if event.later:
            yield event._replace(later=False)
        if event.then != "pay":
            yield event._replace(then="pay")
        if event.at != round(event.at):
            yield event._replace(at=float(round(event.at)))
    elif isinstance(event, Fault) and event.at > 0:
        yield event._replace(at=0.0)
