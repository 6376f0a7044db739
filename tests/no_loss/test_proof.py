"""The proof itself, small: `make prove-no-loss` runs it with a million histories and all mutants."""

import json
import multiprocessing
import signal
from collections import Counter
from itertools import pairwise, product
from multiprocessing.pool import ThreadPool

import pytest
from typer.testing import CliRunner

import no_loss.__main__
from embedded_aws.server import TYPICAL_REPLICATION_SECONDS, TYPICAL_REPLICATION_SPREAD
from no_loss.__main__ import app
from no_loss.checker import Verdict
from no_loss.config_sync_histories import Played
from no_loss.control import ways_of_the_first_client
from no_loss.first_client import FirstClient
from no_loss.histories import TRIES, TTL, Goes, Meets, Pay, Play, confirmed_payments, drawn
from no_loss.mutants import (
    FILES,
    MUTANTS,
    Caught,
    Mutant,
    changed,
    hunt,
    hunt_in_checker,
    hunt_in_config_sync,
    module_of,
)
from no_loss.reads import MEDIAN, SPREAD, reads_of_a_payment
from no_loss.report import lines_of, violations
from no_loss.search import WORLDS, search
from no_loss.world import REGIONS, Change

HISTORIES = 300
READABLE = 12  # events
ENOUGH = 8  # of the nine known ways; the rarest one needs 519 histories


def test_random_histories() -> None:
    failed = {seed: wrong for seed in range(HISTORIES) if (wrong := violations(drawn(seed), confirmed_payments))}
    assert failed == {}


def test_payers_go_to_any_region_whatever_dns_answers() -> None:
    """Each cache of DNS is one of these ways: a region at each try, changed at any time, and back."""
    histories = [drawn(seed) for seed in range(1_000)]
    tries = {(event.nth, event.region) for history in histories for event in history if isinstance(event, Goes)}
    assert tries == set(product(range(TRIES), REGIONS))
    ways = Counter[str]()
    for history in histories:
        play = Play(history)
        play.run()
        ends: dict[int, list[Change]] = {}
        for change in play.world.changes:
            if change.payment:
                ends.setdefault(id(change.payment), []).append(change)
        for each in ends.values():
            moved = [after.at - one.at for one, after in pairwise(each) if one.where != after.where]
            ways["within the TTL"] += any(seconds < TTL for seconds in moved)
            ways["and back"] += len(moved) > 1
    assert all(ways[way] >= 10 for way in ("within the TTL", "and back")), ways


def test_the_first_client_fails_in_the_ways_that_are_known() -> None:
    found = ways_of_the_first_client(20, enough=ENOUGH)
    assert len(found) >= ENOUGH
    assert all(len(each.history) <= READABLE for each in found.values())


WORLD, FIRST = WORLDS[0]  # two payments in two regions
WITHOUT_OUTAGE = FIRST._replace(crashed=True, away="over")


def test_a_small_world_is_searched_completely() -> None:
    found = search(WORLD, FIRST._replace(faults=1))
    assert found.violations == ()
    assert found.states > 10_000
    assert {name for name, _ in found.outcomes} == {"Confirmed", "Refused", "Unknown"}


@pytest.mark.parametrize(
    "name", ["overwrites", "confirms what it read at home", "confirms whatever the other region holds"]
)
def test_the_complete_search_finds_mutants_too(name: str) -> None:
    (mutant,) = (each for each in MUTANTS if each.name == name)
    assert search(WORLD, WITHOUT_OUTAGE, changed(mutant).kind).violations != ()


def test_every_mutant_changes_its_file_in_one_place() -> None:
    assert len(MUTANTS) >= 40
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)
    assert {each.part for each in MUTANTS} == set(FILES)
    for mutant in MUTANTS:
        module_of(mutant)


@pytest.fixture(scope="module")
def caught() -> list[Caught]:
    """Some mutants of the client and the model that are caught soon."""
    quick = ("overwrites", "confirms what it read at home", "a new key for each attempt", "the first writer wins")
    return [hunt(mutant, 100) for mutant in MUTANTS if mutant.name in quick]


def test_mutants_of_client_and_model_are_caught_by_a_short_history(caught: list[Caught]) -> None:
    assert [each.mutant.name for each in caught if each.seed is None] == []
    assert all(1 <= len(each.history) <= READABLE for each in caught)


@pytest.mark.parametrize(
    "name", ["does not look for a confirmed payment", "does not see overwriting", "counts no items"]
)
def test_mutants_of_the_checker_are_caught(caught: list[Caught], name: str) -> None:
    (mutant,) = (each for each in MUTANTS if each.name == name)
    assert hunt_in_checker(mutant, caught).kinds != frozenset()


@pytest.mark.parametrize(
    "name",
    [
        "does not make again what was deleted",
        "takes what was created again for a copy",
        "copies with the tier of the target",
        "takes a throttled copy for made",
    ],
)
def test_mutants_of_config_sync_are_caught(name: str) -> None:
    (mutant,) = (each for each in MUTANTS if each.name == name)
    assert hunt_in_config_sync(mutant).seed == 0


def test_what_a_payment_costs_is_measured_with_the_lags_of_the_drill() -> None:
    assert (MEDIAN, SPREAD) == (TYPICAL_REPLICATION_SECONDS, TYPICAL_REPLICATION_SPREAD)
    assert 1.5 < reads_of_a_payment(payments=100) < 2.5 < 4 < reads_of_a_payment(FirstClient, payments=100)


def test_a_history_is_told_until_it_goes_wrong() -> None:
    history = (Pay(0, 1, "a", "7"), Meets(1, 0, "answer lost"))
    lines = lines_of(history, FirstClient, "happened")
    assert lines == [
        "  0 s: payer 1 sends 7 EUR as a",
        "  call 0 of payer 1: answer lost",
        "     0.000  call 1 (us-east-1): pay a 7",
        "     0.000  call 1: put in us-east-1: answer lost",
        "     0.505  us-west-2 gets a=7 EUR AUTHORIZED from us-east-1",
        "     1.000  call 1: -> Refused: this region did not take it: ReadTimeoutError",
        "  WRONG (happened): call 1 has written, and answered that it had not",
    ]


WITHOUT_EFFECT = Mutant("checker", "changes nothing", "EARLY = 3.5", "EARLY = 3.50")


@pytest.mark.parametrize("more", [[], [WITHOUT_EFFECT]])
def test_the_report_says_what_is_wrong_in_80_columns(more: list[Mutant], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("overwrites", "nothing is replicated", "does not see overwriting", "does not make again what was deleted")
    monkeypatch.setattr(no_loss.__main__, "MUTANTS", [*(each for each in MUTANTS if each.name in quick), *more])
    monkeypatch.setattr(no_loss.__main__, "WORLDS", [(WORLD, WITHOUT_OUTAGE)])
    monkeypatch.setattr(no_loss.__main__, "CONTROL", 20)
    with ThreadPool(1) as pool:
        report = no_loss.__main__._report(pool, histories=20, sync_histories=5, seed=0)
    assert json.loads(json.dumps(report)) == report
    lines = list(no_loss.__main__._in_words(report))
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0] == "payments: 20 random histories from seed 0, 0 failed"
    assert {each["name"] for each in report["mutants"] if each["caught"]} == set(quick)
    assert report["wrong"] == [f"no history catches the mutant: {each.name}" for each in more]
    assert ("nothing is wrong" in lines) is not bool(more)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_proof_names_the_failures_so_far(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(seeds: range) -> tuple[Verdict, list[int]]:
        return Verdict(), [seed for seed in seeds if seed in (7, 3)]

    def play(_first: int, count: int) -> Played:
        return Played(histories=count, failure=("WRONG",), again="1-2-3")

    def interrupt(*_: object) -> None:
        signal.raise_signal(number)

    class Threads:
        def __init__(self, *_: object) -> None:
            """Take what processes take."""

        def Pool(self, *_: object) -> ThreadPool:  # noqa: N802 - as multiprocessing has it
            return ThreadPool(1)

    monkeypatch.setattr(multiprocessing, "get_context", Threads)
    monkeypatch.setattr(no_loss.__main__, "played", played)
    monkeypatch.setattr(no_loss.__main__, "play", play)
    monkeypatch.setattr(no_loss.__main__, "together", interrupt)
    monkeypatch.setattr(no_loss.__main__, "WORLDS", [])
    result = CliRunner().invoke(app, ["--histories=20", "--sync-histories=5"])
    assert (result.exit_code, result.stdout) == (128 + number, "")
    said = result.stderr.splitlines()
    at = said.index("failed so far: 2 histories of payments, and config sync")
    assert said[at + 1 : at + 4] == [
        "  again: make prove-no-loss ARGS=--replay=3",
        "  again: make prove-no-loss ARGS=--replay=7",
        "  again: make prove-no-loss ARGS=--replay-sync=1-2-3",
    ]


def test_a_seed_is_replayed_alone(caught: list[Caught]) -> None:
    result = CliRunner().invoke(app, ["--replay=3"])
    assert result.exit_code == 0
    assert [str(event) for event in drawn(3)] == [line.strip() for line in result.stdout.splitlines()[: len(drawn(3))]]
    (found,) = (each for each in caught if each.mutant.name == "confirms what it read at home")
    wrong = CliRunner().invoke(app, [f"--replay={found.seed}", f"--mutant={found.mutant.name}"])
    assert wrong.exit_code == 1
    assert "WRONG" in wrong.stdout


def test_a_history_of_config_sync_is_replayed_alone() -> None:
    name = "does not make again what was deleted"
    shown = CliRunner().invoke(app, [f"--mutant={name}"])
    assert shown.exit_code == 1
    *happened, again = shown.stdout.splitlines()
    assert happened[-1].startswith("WRONG")
    replay = again.removeprefix("again: ").partition(" ")[0]
    assert again == f"again: {replay} --mutant='{name}'"
    replayed = CliRunner().invoke(app, [replay, f"--mutant={name}"])
    assert (replayed.exit_code, replayed.stdout.splitlines()) == (1, happened)
    without = CliRunner().invoke(app, [replay])
    assert (without.exit_code, without.stdout) == (0, "nothing is wrong\n")


def test_a_mutant_is_shown_with_the_shortest_history_that_catches_it(caught: list[Caught]) -> None:
    for part in ("client", "model"):
        (found, *_) = (each for each in caught if each.mutant.part == part)
        shown = CliRunner().invoke(app, [f"--mutant={found.mutant.name}"])
        *happened, wrong, again = shown.stdout.splitlines()
        assert (shown.exit_code, again) == (1, f"again: --replay={found.seed} --mutant='{found.mutant.name}'")
        assert [each.strip() for each in happened[: len(found.history)]] == [str(event) for event in found.history]
        assert wrong.startswith("  WRONG")
        assert CliRunner().invoke(app, [f"--replay={found.seed}", f"--mutant={found.mutant.name}"]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--mutant=looks once"], "error: there is no mutant 'looks once' of", "hint: a run without --mutant"),
        (["--replay-sync=12"], "error: --replay-sync: '12' is no history", "hint: give it as a failure prints it"),
        (["--replay=0", "--mutant=looks once"], "error: there is no mutant 'looks once' of", "hint: a run without"),
        (["--replay=0", "--mutant=overwrite"], "error: there is no mutant 'overwrite' of", "hint: did you mean 'overw"),
    ],
)
def test_what_cannot_be_replayed_is_said(arguments: list[str], error: str, hint: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    said = result.stderr.splitlines()
    assert said[0].startswith(error)
    assert said[1].startswith(hint)
