"""The proof itself, small: `make prove-no-loss` runs it with a million histories and all mutants."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from no_loss.__main__ import app
from no_loss.first_client import FirstClient
from no_loss.histories import Event, History, Lag, Meets, Pay, Update, confirmed_payments, drawn
from no_loss.mutants import FILES, MUTANTS, Caught, changed, hunt, hunt_in_checker
from no_loss.report import told, violations
from no_loss.search import WORLDS, search
from no_loss.shrink import shortest

HISTORIES = 300
READABLE = 12  # events
ENOUGH = 6  # of the rows; the rarest ones take a minute


def test_random_histories() -> None:
    failed = {seed: wrong for seed in range(HISTORIES) if (wrong := violations(drawn(seed), confirmed_payments))}
    assert failed == {}


def _has(history: History, kind: type[Event], **fields: object) -> bool:
    return any(
        isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
        for event in history
    )


# Each row of what was known to be wrong with the first client: the violation, and what the shortest history needs.
ROWS: dict[str, tuple[str, Callable[[History], bool]]] = {
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
    "stalled replication stops payments": ("not acknowledged", lambda it: _has(it, Lag)),
}


def test_the_first_client_fails_in_the_ways_that_are_known() -> None:
    missing = dict(ROWS)
    for seed in range(60):
        history = drawn(seed)
        kinds = {wrong.kind for wrong in violations(history, FirstClient)}
        for row, (kind, needs) in list(missing.items()):
            if kind not in kinds:
                continue
            short = shortest(history, lambda it: kind in {wrong.kind for wrong in violations(it, FirstClient)})  # noqa: B023
            assert len(short) <= READABLE
            if needs(short):
                del missing[row]
        if len(ROWS) - len(missing) >= ENOUGH:
            break
    assert len(ROWS) - len(missing) >= ENOUGH, sorted(missing)


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
        changed(mutant)


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


def test_a_history_is_told_until_it_goes_wrong() -> None:
    history = (Pay(0, 1, "a", "7"), Meets(1, 0, "answer lost"))
    lines = told(history, FirstClient, "happened")
    assert lines == [
        "  0 s: payer 1 sends 7 EUR as a",
        "  call 0 of payer 1: answer lost",
        "     0.000  call 1 (us-east-1): pay a 7",
        "     0.000  call 1: put in us-east-1: answer lost",
        "     0.505  us-west-2 gets amount=7, status=AUTHORIZED, transaction_id=a from us-east-1",
        "     1.000  call 1: -> Refused this region did not take it: ReadTimeoutError",
        "  WRONG (happened): call 1 has written, and answered that it had not",
    ]


def test_a_seed_is_replayed_alone(caught: list[Caught]) -> None:
    result = CliRunner().invoke(app, ["--replay=3"])
    assert result.exit_code == 0
    assert [str(event) for event in drawn(3)] == [line.strip() for line in result.stdout.splitlines()[: len(drawn(3))]]
    (found,) = (each for each in caught if each.mutant.name == "confirms what it read at home")
    wrong = CliRunner().invoke(app, [f"--replay={found.seed}", f"--mutant={found.mutant.name}"])
    assert wrong.exit_code == 1
    assert "WRONG" in wrong.stdout
