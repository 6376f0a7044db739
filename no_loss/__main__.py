"""`make prove-no-loss`: play histories, search a small world completely, and see that each mutant is caught."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from no_loss.checker import KINDS, Verdict
from no_loss.first_client import FirstClient
from no_loss.histories import confirmed_payments, drawn
from no_loss.mutants import MUTANTS, Caught, Mutant, changed, hunt, hunt_in_checker
from no_loss.report import played, told, violations
from no_loss.search import WORLDS, search, together
from no_loss.shrink import shortest
from payment_dr.operations.command import DONE, MISSED, command, progress

CHUNK = 500
CONTROL = 200  # histories of the control group
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main(
    histories: Annotated[int, typer.Option(help="How many random histories.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Seed of the first one.")] = 0,
    replay: Annotated[int | None, typer.Option(help="Play the history of this seed alone, and print it.")] = None,
    mutant: Annotated[str | None, typer.Option(help="With --replay: play it with this mutant.")] = None,
    processes: Annotated[int, typer.Option(help="How many at a time.")] = os.cpu_count() or 1,
) -> None:
    """Show that the client of payment_dr.confirmed loses no payment, and that the search would find it if it did.

    Exits with 0 when nothing is wrong and each mutant is caught, else with 1.
    """
    if replay is not None:
        raise typer.Exit(_replay(replay, mutant))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        begun = time.monotonic()
        total, failed = Verdict(), list[int]()
        chunks = [range(at, min(at + CHUNK, seed + histories)) for at in range(seed, seed + histories, CHUNK)]
        for number, (verdict, seeds) in enumerate(pool.imap_unordered(played, chunks), 1):
            total.add(verdict)
            failed += seeds
            if number % 100 == 0:
                progress.print(f"{number * CHUNK:,} histories, {len(failed)} failed", highlight=False)
        seconds = time.monotonic() - begun
        _say(f"random histories: {histories:,} from seed {seed}, {len(failed)} failed, in {seconds:.0f} s")
        _say(f"  outcomes: {', '.join(f'{count:,} {name}' for name, count in sorted(total.outcomes.items()))}")
        _say(
            f"  acknowledged by one region: {total.at_risk:,}; {total.lost_with_region:,} were lost with that region"
            f" and {total.lost_by_conflict:,} replaced by another payment with the key"
        )
        for number in sorted(failed)[:3]:
            _explain(number)
        control = sum(bool(violations(drawn(number), FirstClient)) for number in range(CONTROL))
        _say(f"  control: of {CONTROL} histories the first client fails {control}")
        found = together(pool.starmap(search, WORLDS, chunksize=1))
        _say(str(found))
        caught = pool.map(hunt, [each for each in MUTANTS if each.part != "checker"], chunksize=1)
        jobs = [
            (each, [other for other in caught if other.seed is not None]) for each in MUTANTS if each.part == "checker"
        ]
        caught += pool.starmap(hunt_in_checker, jobs, chunksize=1)
    missed = [each for each in caught if each.seed is None]
    _say(f"mutants: {len(caught)}, {len(missed)} not caught")
    for part in ("client", "model", "checker"):
        of_part = [each for each in caught if each.mutant.part == part]
        longest = max(len(each.history) for each in of_part)
        _say(f"  {part}: {len(of_part)}, the longest of the shortest histories has {longest} events")
        for each in of_part:
            _say(f"    {_line(each)}")
    right = not (failed or found.violations or missed) and control > 0
    raise typer.Exit(DONE if right else MISSED)


def _line(caught: Caught) -> str:
    if caught.seed is None:
        return f"NOT CAUGHT: {caught.mutant.name}"
    by = f" of {caught.by!r}" if caught.by else ""
    return (
        f"{caught.mutant.name}: seed {caught.seed}{by}, {len(caught.history)} events: {', '.join(sorted(caught.kinds))}"
    )


def _explain(seed: int) -> None:
    history = drawn(seed)
    kind = violations(history, confirmed_payments)[0].kind
    short = shortest(history, lambda each: kind in {wrong.kind for wrong in violations(each, confirmed_payments)})
    _say(f"seed {seed} fails at commit {_commit()}: {KINDS[kind]}")
    _say(f"  again: make prove-no-loss ARGS=--replay={seed}")
    for line in told(short, confirmed_payments, kind):
        _say(line)


def _replay(seed: int, name: str | None) -> int:
    history = drawn(seed)
    client = confirmed_payments
    if name:
        found = next((each for each in MUTANTS if each.name == name), None) or Mutant("client", name, "", "")
        history = hunt(found).history if found.part == "model" else history
        client = changed(found).client  # type: ignore[assignment]
    lines = told(history, client)
    for line in lines:
        _say(line)
    return MISSED if any("WRONG" in line for line in lines) else DONE


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    app()
