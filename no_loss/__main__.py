"""`make prove-no-loss`: play histories, search a small world completely, and see that each mutant is caught."""

import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Annotated, Any

import typer

from no_loss.checker import KINDS, Verdict
from no_loss.config_sync_histories import Played, play, play_again
from no_loss.control import WAYS, ways_of_the_first_client
from no_loss.first_client import FirstClient
from no_loss.histories import confirmed_payments, drawn
from no_loss.mutants import AS_IT_IS, MUTANTS, Caught, changed, hunt, hunt_in_checker, hunt_in_config_sync, module_of
from no_loss.reads import PAYMENTS, reads_of_a_payment
from no_loss.report import lines_of, played, violations
from no_loss.search import WORLDS, search, together
from no_loss.shrink import shortest
from payment_dr.operations.command import DONE, MISSED, command, say, show
from payment_dr.operations.errors import OperationError

CHUNK = 500  # histories that a process plays at a time
SYNC_CHUNK = 250
CONTROL = 1_000  # histories of the control group
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main(
    histories: Annotated[int, typer.Option(min=1, help="How many random histories of payments.")] = 1_000_000,
    sync_histories: Annotated[int, typer.Option(min=1, help="How many of config sync.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first one.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="How many at a time.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    replay: Annotated[
        int | None, typer.Option(min=0, help="Play the history of this seed alone, and print it.")
    ] = None,
    replay_sync: Annotated[
        str | None, typer.Option(help="Play one history of config sync, as a failure prints it.")
    ] = None,
    mutant: Annotated[
        str | None, typer.Option(help="Replay with this mutant. Alone: print the shortest history that catches it.")
    ] = None,
    first_client: Annotated[
        bool, typer.Option("--first-client", help="Print what is found wrong with the client before this one.")
    ] = False,
) -> None:
    """Show that no payment and no parameter is lost, and that the search would find it if one was.

    It plays the client of payment_dr.confirmed and both functions of config sync.

    Exits with 0 when nothing is wrong and each mutant is caught, with 1 otherwise, and with 2 when it cannot run.
    """
    lines: Iterable[str]
    if first_client:
        lines, failed = _control(), False
    elif replay is not None:
        lines, failed = _replayed(replay, mutant)
    elif replay_sync is not None:
        lines, failed = _replayed_sync(replay_sync, mutant)
    elif mutant:
        lines, failed = _hunted_alone(mutant)
    else:
        # Ctrl-C reaches every process of the terminal: this one alone answers it.
        deaf = signal.SIGINT, signal.SIG_IGN
        with multiprocessing.get_context("spawn").Pool(processes, signal.signal, deaf) as pool:
            report = _report(pool, histories, sync_histories, seed)
        failed = bool(report["wrong"])
        lines = [json.dumps(report, indent=2)] if as_json else _in_words(report)
    for line in lines:
        for each in line.splitlines() or [""]:
            show(each)
    raise typer.Exit(MISSED if failed else DONE)


def _report(pool: Pool, histories: int, sync_histories: int, seed: int) -> dict[str, Any]:
    """Do all of it, and say what was found. If it is interrupted, name the failures so far."""
    failed, sync = list[int](), Played()
    with _naming_failures(failed, sync):
        return _all_of_it(pool, histories, sync_histories, seed, failed, sync)


@contextmanager
def _naming_failures(failed: list[int], sync: Played) -> Iterator[None]:
    """Print how to play again what has failed, if the block is interrupted: the search for it took long."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(f"failed so far: {len(failed)} histories of payments{', and config sync' if sync.failure else ''}")
        for number in sorted(failed):
            say(f"  again: make prove-no-loss ARGS=--replay={number}")
        if sync.failure:
            say(f"  again: make prove-no-loss ARGS=--replay-sync={sync.again}")
        raise


def _all_of_it(
    pool: Pool, histories: int, sync_histories: int, seed: int, failed: list[int], sync: Played
) -> dict[str, Any]:
    """The report. Failures are noted in `failed` and `sync` as they are found."""
    begun = time.monotonic()
    total = Verdict()
    for number, (verdict, seeds) in enumerate(pool.imap_unordered(played, _chunks(seed, histories)), 1):
        total.add(verdict)
        failed += seeds
        if number % 100 == 0:
            say(f"{number * CHUNK:,} of {histories:,} histories, {len(failed)} failed")
    seconds = time.monotonic() - begun
    say("playing config sync")
    begun = time.monotonic()
    sync_failed = list[int]()
    firsts = range(seed, seed + sync_histories, SYNC_CHUNK)
    chunks = [(first, min(SYNC_CHUNK, seed + sync_histories - first)) for first in firsts]
    for first, one in zip(firsts, pool.imap(_play_chunk, chunks), strict=True):
        sync.add(one)
        sync_failed += [first] if one.failure else []
    sync_seconds = time.monotonic() - begun
    say("searching the small worlds")
    found = together(pool.starmap(search, WORLDS, chunksize=1))
    say("looking whether mutants are caught")
    control = _failures_of_the_first_client()
    caught = _hunted(pool)
    missed = [each.mutant.name for each in caught if each.seed is None]
    wrong = [
        *(f"payments: the history of seed {number} fails" for number in sorted(failed)),
        *(f"config sync: a history from seed {number} fails" for number in sync_failed),
        *(f"the complete search: {each}" for each in found.violations),
        *(f"no history catches the mutant: {name}" for name in missed),
        *([] if control else ["no history of the control group fails"]),
    ]
    return {
        "commit": _commit(),
        "seed": seed,
        "wrong": wrong,
        "payments": {
            "histories": histories,
            "failed": len(failed),
            "seconds": round(seconds, 1),
            "outcomes": dict(sorted(total.outcomes.items())),
            "acknowledged_by_one_region": total.at_risk,
            "lost_with_that_region": total.lost_with_region,
            "replaced_by_another_payment": total.lost_by_conflict,
            "failures": [_explained(number) for number in sorted(failed)[:3]],
        },
        "control": {"histories": CONTROL, "failed": control},
        "reads_of_a_payment": {"client": reads_of_a_payment(), "control": reads_of_a_payment(FirstClient)},
        "config_sync": {
            "histories": sync.histories,
            "failed": len(sync_failed),
            "seconds": round(sync_seconds, 1),
            "calls": sync.calls,
            "kills": sync.kills,
            "failures": [_explained_sync(sync)] if sync_failed else [],
        },
        "search": {
            "worlds": found.worlds,
            "states": found.states,
            "steps": found.steps,
            "wrong": len(found.violations),
            "ways_to_end": dict(found.outcomes),
        },
        "mutants": [
            {
                "part": each.mutant.part,
                "name": each.mutant.name,
                "caught": each.seed is not None,
                "seed": each.seed,
                "length": len(each.history) or len(each.log),
                "wrong": sorted(each.kinds),
                "by": each.by,
            }
            for each in caught
        ],
    }


def _play_chunk(chunk: tuple[int, int]) -> Played:
    return play(*chunk)


def _chunks(seed: int, histories: int) -> Iterator[range]:
    end = seed + histories
    return (range(at, min(at + CHUNK, end)) for at in range(seed, end, CHUNK))


def _hunted(pool: Pool) -> list[Caught]:
    of = {part: [each for each in MUTANTS if each.part == part] for part in {each.part for each in MUTANTS}}
    caught = pool.map(hunt, of["client"] + of["model"], chunksize=1)
    others = [each for each in caught if each.seed is not None]
    caught += pool.starmap(hunt_in_checker, [(each, others) for each in of["checker"]], chunksize=1)
    return caught + pool.map(hunt_in_config_sync, of["config sync"], chunksize=1)


def _in_words(report: dict[str, Any]) -> Iterator[str]:
    """The report for people, in lines of 80 columns."""
    payments, sync, found, control = (report[each] for each in ("payments", "config_sync", "search", "control"))
    seed = report["seed"]
    yield f"payments: {payments['histories']:,} random histories from seed {seed}, {payments['failed']} failed"
    yield from (f"  {count:>12,} calls ended {name}" for name, count in payments["outcomes"].items())
    yield f"  {payments['acknowledged_by_one_region']:>12,} payments were acknowledged by one region; of these"
    yield f"  {payments['lost_with_that_region']:>12,} were lost with that region, and"
    yield f"  {payments['replaced_by_another_payment']:>12,} were replaced by another payment with the key"
    for each in payments["failures"]:
        yield from each
    yield f"control group: the client before this one fails {control['failed']:,} of {control['histories']:,} histories"
    reads = report["reads_of_a_payment"]
    yield f"reads of a payment in the other region: {reads['client']:.1f}; the client before: {reads['control']:.1f}"
    yield f"  the mean of {PAYMENTS:,} payments where nothing fails, with the drill's lags"
    yield f"config sync: {sync['histories']:,} random histories from seed {seed}, {sync['failed']} failed"
    yield f"  {sync['calls']:>12,} API calls; {sync['kills']:,} ended with their function"
    for each in sync["failures"]:
        yield from each
    yield f"complete search: {found['worlds']} small worlds, {found['wrong']} wrong"
    yield f"  {found['states']:>12,} states, {found['steps']:,} steps"
    mutants = report["mutants"]
    yield f"mutants: {len(mutants)}, {sum(not each['caught'] for each in mutants)} not caught"
    for part in dict.fromkeys(each["part"] for each in mutants):
        of_part = [each for each in mutants if each["part"] == part]
        unit = "lines" if part == "config sync" else "events"
        yield f"  {part}: {len(of_part)}; the {unit} are those of the shortest history"
        for each in of_part:
            length = f"{each['length']} {unit if each['length'] != 1 else unit.removesuffix('s')}"
            how = f"seed {each['seed']}, {length}" if each["caught"] else "NOT CAUGHT"
            yield f"    {how:<22}{each['name']}"
    yield f"wrong: {len(report['wrong'])}" if report["wrong"] else "nothing is wrong"
    yield from (f"  {each}" for each in report["wrong"][:20])


def _explained(seed: int) -> list[str]:
    """A failure for a person to read."""
    history = drawn(seed)
    kind = violations(history, confirmed_payments)[0].kind
    short = shortest(history, lambda each: kind in {wrong.kind for wrong in violations(each, confirmed_payments)})
    return [
        f"seed {seed} fails at commit {_commit()}: {KINDS[kind]}",
        f"  again: make prove-no-loss ARGS=--replay={seed}",
        *lines_of(short, confirmed_payments, kind),
    ]


def _explained_sync(sync: Played) -> list[str]:
    return [
        f"config sync fails at commit {_commit()}:",
        f"  again: make prove-no-loss ARGS=--replay-sync={sync.again}",
        *(f"  {line}" for line in sync.failure),
    ]


def _replayed(seed: int, name: str | None) -> tuple[list[str], bool]:
    subject = changed(_mutant(name, "client", "model")) if name else AS_IT_IS
    lines = lines_of(drawn(seed), subject.client, world=subject.world, breaker=subject.breaker, live=subject.live)
    failed = "WRONG" in lines[-1]
    return lines if failed else [*lines, "nothing is wrong"], failed


def _replayed_sync(again: str, name: str | None) -> tuple[list[str], bool]:
    try:
        failure = play_again(again, *([module_of(_mutant(name, "config sync"))] if name else [])).failure
    except ValueError as error:
        raise OperationError(f"--replay-sync: {error}", hint="give it as a failure prints it after 'again:'") from error
    return list(failure or ["nothing is wrong"]), bool(failure)


def _hunted_alone(name: str) -> tuple[list[str], bool]:
    """The shortest history that catches a mutant."""
    mutant = _mutant(name, "client", "model", "config sync")
    caught = hunt_in_config_sync(mutant) if mutant.part == "config sync" else hunt(mutant)
    if caught.seed is None:
        hint = "this is a hole in the proof: add what catches it to no_loss/histories.py"
        raise OperationError(f"no history catches the mutant {name!r}", hint=hint)
    if caught.log:
        return [*caught.log, f"again: --replay-sync={caught.again} --mutant='{name}'"], True
    subject = changed(mutant)
    lines = lines_of(caught.history, subject.client, world=subject.world, breaker=subject.breaker, live=subject.live)
    return [*lines, f"again: --replay={caught.seed} --mutant='{name}'"], True


def _mutant(name: str, *parts: str) -> Any:
    names = {each.name: each for each in MUTANTS if each.part in parts}
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "a run without --mutant lists all of them"
        raise OperationError(f"there is no mutant {name!r} of {' or '.join(parts)}", hint=hint)
    return names[name]


def _failures_of_the_first_client() -> int:
    return sum(bool(violations(drawn(number), FirstClient)) for number in range(CONTROL))


def _control() -> list[str]:
    """What is known to be wrong with the first client, and the beginning and end of the history that shows it."""
    failed = _failures_of_the_first_client()
    found = ways_of_the_first_client(CONTROL)
    lines = [
        f"{failed} of {CONTROL:,} histories fail with the client before this one.",
        f"They show {len(found)} of its {len(WAYS)} known faults:",
    ]
    for way, (seed, kind, history) in found.items():
        *happened, wrong = lines_of(history, FirstClient, kind)
        shown = len(history) + 8
        lines += ["", f"{way} (seed {seed})", *happened[:shown]]
        lines += [*(["       ..."] if len(happened) > shown else []), wrong]
    return lines


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    app()
