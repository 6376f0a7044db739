"""What the client promises, one history for each case; the checker finds nothing wrong with any."""

from typing import Any

import pytest

from no_loss.checker import check, identity
from no_loss.histories import Alone, Crash, Dns, Event, Fault, Goes, Lag, Lost, Meets, Pay, Play, Update
from no_loss.world import EAST, WEST
from payment_dr.confirmed import Confirmed, OneRegion, Refused, Unknown

FOR_LONG = 200.0


class Played:
    """A history that was played: how calls ended, in order."""

    def __init__(self, *events: Event) -> None:
        self.play = Play(events)
        self.play.run()
        self.ends = [each for each in self.play.world.changes if each.what in ("pay", "lookup", "void")]
        assert check(self.play).violations == []

    @property
    def first(self) -> Any:
        return self.ends[0].new

    @property
    def last(self) -> Any:
        return self.ends[-1].new

    def holds(self, region: str) -> Any:
        """The item under the key a."""
        return self.play.world.replicas[region]["a", "0"].item


@pytest.mark.parametrize("payment", [Pay(0, 1, "a", "10.50"), Pay(0, 1, "a", "7", tags=True)])
def test_numbers_and_sets_are_equal_as_dynamodb_compares_them(payment: Pay) -> None:
    again = payment._replace(at=30.0, payer=2)  # whose write it is not: only what it holds says that it is the same
    played = Played(payment, again)
    assert [type(each.new) for each in played.ends] == [Confirmed, Confirmed]


def test_a_consumer_may_add_an_attribute_before_the_payment_is_read_back() -> None:
    played = Played(Pay(0, 1, "a", "7"), Update(0.1, EAST, "a", "seen", "yes"))
    assert isinstance(played.last, Confirmed)
    assert played.last.item["seen"] == {"S": "yes"}
    assert played.holds(EAST) == played.holds(WEST) == played.last.item


def test_a_late_retry_does_not_bring_back_what_was_refunded() -> None:
    played = Played(Pay(0, 1, "a", "7"), Update(10, EAST, "a", "status", "REFUNDED"), Pay(20, 2, "a", "7"))
    assert [type(each.new) for each in played.ends] == [Confirmed, Refused]
    assert played.last.existing["status"] == played.holds(WEST)["status"] == {"S": "REFUNDED"}


def test_of_two_payments_with_one_key_the_second_is_refused_with_the_first() -> None:
    played = Played(Pay(0, 1, "a", "100"), Pay(10, 2, "a", "7"))
    assert [type(each.new) for each in played.ends] == [Confirmed, Refused]
    assert identity(played.last.existing) == identity(played.holds(EAST)) == "100"


def test_of_two_payments_with_one_key_in_two_regions_at_once_one_is_confirmed() -> None:
    played = Played(Pay(0, 1, "a", "100"), Dns(0.001, WEST), Pay(0.002, 2, "a", "7"))
    ended = {each.payment["amount"]["N"]: type(each.new) for each in played.ends if each.payment}
    assert sorted(kind.__name__ for kind in ended.values()) == ["Confirmed", "Refused"]
    (winner,) = (amount for amount, kind in ended.items() if kind is Confirmed)
    assert identity(played.holds(EAST)) == identity(played.holds(WEST)) == winner


@pytest.mark.parametrize("tags", [True, False])
def test_a_payment_with_one_more_attribute_is_another_one(tags: bool) -> None:
    for second in (Pay(10, 2, "a", "7", tags=not tags), Pay(0.002, 2, "a", "7", tags=not tags)):
        played = Played(Pay(0, 1, "a", "7", tags=tags), Dns(0.001, WEST), second)
        assert sorted(type(each.new).__name__ for each in played.ends) == ["Confirmed", "Refused"]


LOSES_ANSWERS = [Meets(1, 0, "answer lost"), *(Meets(1, nth, "not sent") for nth in range(1, 12))]


@pytest.mark.parametrize(("then", "ended"), [("pay", Confirmed), ("lookup", Confirmed), ("void", Confirmed)])
def test_a_write_without_an_answer_is_unknown_and_each_way_ends_that(then: str, ended: type) -> None:
    played = Played(Pay(0, 1, "a", "7", then), *LOSES_ANSWERS)
    assert isinstance(played.first, Unknown)
    assert isinstance(played.last, ended)
    assert identity(played.holds(WEST)) == "7"


def test_void_ends_what_was_never_taken_and_what_comes_late() -> None:
    late = [Meets(1, 0, "done late"), *(Meets(1, nth, "not sent") for nth in range(1, 9))]
    never = [Meets(1, nth, "request lost") for nth in range(5)]
    for faults, ends in ((late, Confirmed), (never, Refused)):
        played = Played(Pay(0, 1, "a", "7", "void"), *faults)
        assert isinstance(played.first, Unknown)
        assert (played.ends[-1].what, type(played.last)) == ("void", ends)
    assert identity(played.holds(EAST)) == identity(played.holds(WEST)) == "void"


def test_a_throttled_read_in_the_other_region_is_read_again() -> None:
    played = Played(Pay(0, 1, "a", "7"), Meets(1, 1, "throttled"), Meets(1, 2, "throttled"))
    assert [type(each.new) for each in played.ends] == [Confirmed]


def test_accept_waits_its_patience_before_one_region_is_enough() -> None:
    accept = Alone(0, EAST, "accept")
    assert isinstance(Played(accept, Pay(0, 1, "a", "7"), Meets(1, 1, "500 not done")).first, Confirmed)
    away = Played(accept, Fault(0, FOR_LONG, WEST, "hangs"), Pay(0.1, 1, "a", "7")).first
    assert isinstance(away, OneRegion)
    assert away.seconds > 3.5


@pytest.mark.parametrize(("chosen", "ends"), [("accept", OneRegion), ("refuse", Unknown)])
def test_while_replication_stalls_the_choice_is_the_operators_and_may_come_while_a_payment_waits(
    chosen: str, ends: type
) -> None:
    for at in (0.0, 2.0):
        played = Played(Fault(0, FOR_LONG, EAST, "does not replicate"), Alone(at, EAST, chosen), Pay(0.1, 1, "a", "7"))
        assert isinstance(played.first, ends)


def test_while_the_other_region_is_away_later_payments_are_refused_before_anything_is_written() -> None:
    payers = [Pay(0.1 + 0.001 * number, number, f"{number}", "7") for number in range(1, 4)]
    played = Played(Fault(0, FOR_LONG, WEST, "hangs"), *payers, Pay(8.0, 9, "a", "9"))
    refused = next(each.new for each in played.ends if each.key == "a")
    assert (type(refused), refused.existing, refused.seconds) == (Refused, None, 0.0)
    assert isinstance(played.last, Confirmed)  # once it is back


def test_a_payment_may_skip_the_other_region_when_the_third_one_has_given_it_up_and_has_not_ended() -> None:
    played = Played(
        Pay(0.476, 1, "a", "100"),
        Pay(1.624, 2, "b", "7"),
        Pay(8, 3, "c", "3"),
        Meets(3, 4, "answer lost"),  # the third one's last look at its own region
        Meets(1, 6, "throttled"),
        Crash(2, 1),
        Fault(0, 20.0, EAST, "is away, and replicates"),
        Dns(0.381, WEST),
    )
    skipped = next(each.new for each in played.ends if isinstance(each.new, OneRegion) and each.new.reads == 0)
    assert skipped.why == "the other region has not confirmed the latest payments"


def test_a_payment_skips_the_other_region_although_another_is_confirmed_before_it_ends() -> None:
    played = Played(
        Pay(0, 1, "a", "3"),
        Pay(8, 2, "b", "7"),
        Meets(2, 7, "answer lost"),  # of a put, while the first payment is confirmed
        Fault(0, FOR_LONG, EAST, "does not replicate"),
        Alone(40, EAST, "accept"),
    )
    first, second = played.ends[-2:]
    assert (first.key, type(first.new), second.key, type(second.new)) == ("a", Confirmed, "b", OneRegion)
    assert second.new.reads == 0


def test_a_process_that_restarts_waits_for_the_other_region_again() -> None:
    accept, away = Alone(0, EAST, "accept"), Fault(0, FOR_LONG, WEST, "hangs")
    three = [Pay(0.1, number, f"{number}", "7") for number in range(1, 4)]
    played = Played(accept, away, *three, Pay(10, 4, "d", "7"), Crash(4, 0), Pay(20, 5, "e", "7"))
    assert [each.new.reads > 0 for each in played.ends if each.key in "de"] == [True, True]


def test_a_confirmed_payment_outlives_either_region() -> None:
    for region in (EAST, WEST):
        assert isinstance(Played(Pay(0, 1, "a", "7"), Lost(2, region)).first, Confirmed)


def test_a_payment_that_dns_sends_to_one_region_and_then_to_the_other_is_taken_once() -> None:
    stalls = Fault(0, 30, WEST, "does not replicate")
    goes = Goes(1, 0, WEST), Goes(1, 1, EAST)
    played = Played(Alone(0, WEST, "refuse"), stalls, Pay(0.1, 1, "a", "7"), *goes)
    assert [(each.where, type(each.new)) for each in played.ends] == [(WEST, Unknown), (EAST, Confirmed)]


@pytest.mark.parametrize("crash", [0, 1, 2])
def test_payments_go_on_in_the_other_region_although_the_operator_who_sends_them_there_crashes(crash: int) -> None:
    last = Played(Alone(0, WEST, "refuse"), Lost(2, EAST, crash), Pay(50, 1, "a", "7")).ends[0]
    assert (last.where, type(last.new)) == (WEST, OneRegion)


def test_what_is_confirmed_in_the_background_ends_in_the_same_way() -> None:
    for events, ends in (
        ((), Confirmed),
        ((Alone(0, EAST, "accept"), Fault(0, FOR_LONG, WEST, "hangs")), OneRegion),
        ((Fault(0, FOR_LONG, WEST, "hangs"),), Unknown),
    ):
        assert isinstance(Played(Pay(0.1, 1, "a", "7", later=True), *events).first, ends)


def test_what_one_region_has_is_lost_with_it_and_counted() -> None:
    events = (Alone(0, EAST, "accept"), Lag(EAST, 20.0), Pay(0, 1, "a", "7"), Lost(6, EAST))
    verdict = check(Played(*events).play)
    assert (verdict.at_risk, verdict.lost_with_region, verdict.lost_by_conflict) == (1, 1, 0)
