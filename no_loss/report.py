"""A history for a person to read: what was planned, and what happened until it went wrong."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

from no_loss.checker import Verdict, Violation, check
from no_loss.histories import Call, Client, History, Play, drawn


def violations(history: History, client: Callable[[Call], Client]) -> list[Violation]:
    """What is wrong with a history when a client plays it."""
    play = Play(history, client)
    play.run()
    return check(play).violations


def played(seeds: range) -> tuple[Verdict, list[int]]:
    """Play the histories of some seeds: what was found in all, and the seeds of those that fail."""
    total, failed = Verdict(), []
    for seed in seeds:
        play = Play(drawn(seed))
        play.run()
        verdict = check(play)
        total.add(verdict)
        if verdict.violations:
            failed.append(seed)
    return total, failed


def lines_of(history: History, client: Callable[[Call], Client], kind: str | None = None, **parts: Any) -> list[str]:
    """The lines of a history: its events, what happened, and what is wrong.

    Args:
        history: The history.
        client: Makes the client.
        kind: Report violations of this kind alone. Default: of any.
        parts: A world, breaker or setting of one's own, as `Play` takes them.
    """
    happened: list[tuple[float, str]] = []
    play = Play(history, client, say=lambda at, what: happened.append((at, what)), **parts)
    play.run()
    wrong = [each for each in check(play).violations if kind in (None, each.kind)]
    lines = [f"  {event}" for event in history]
    until = wrong[0].at if wrong else float("inf")
    for text, same in groupby((each for each in happened if each[0] <= until), key=lambda each: each[1]):
        times = [at for at, _ in same]
        lines.append(f"  {times[0]:8.3f}  {text}" + (f" ({len(times)} times)" if len(times) > 1 else ""))
    return lines + [f"  WRONG ({each.kind}): {each.text}" for each in wrong[:1]]
