"""What is compared at the failover and after recovery."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_dr.operations.drill import verification
from payment_dr.operations.drill.alarm_watch import AlarmWatch
from payment_dr.operations.drill.documents import Documents
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.ledger import Item, Ledger
from payment_dr.operations.drill.parameters import Parameters
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.verification import AtSwitch, Verification
from payment_dr.side import Side
from tests.operations.drill.parts import paid, place_on
from tests.operations.stack import GONE, NAMES, Clock, Stack

NOTHING = AtSwitch({"local": 0, "confirmed": 0}, {"local": [], "confirmed": []})


def item(id_: str, timestamp: int = 1, amount: int = 5) -> Item:
    return {"transaction_id": {"S": id_}, "timestamp": {"N": str(timestamp)}, "amount": {"N": str(amount)}}


class Tables(Payments):
    """Payments that were made already; a test says what each region has of them, whenever it is asked."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.outage, self.released = (10.0, 40.0), None
        self.records = [paid(30, "us-west-2", mode="confirmed", done=30.5, seconds=0.7, confirmed=True)]
        self.found: dict[Side, Callable[[], list[Item]]] = {"primary": list, "secondary": list}

    def items(self, side: Side) -> list[Item]:
        return self.found[side]()

    def acknowledge(self, *ids: str, mode: str = "local", region: str = "us-east-1", **about: Any) -> None:
        for id_ in ids:
            self.ledger.acknowledge(item(id_), mode, region, about.get("seconds", 0.01), confirmed=mode == "confirmed")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Clock:
    monkeypatch.setattr(verification, "time", clock)
    return clock


@pytest.fixture
def tables() -> Tables:
    return Tables()


def verification_at(
    place: Place,
    tables: Tables,
    *,
    alarms: AlarmWatch | None = None,
    documents: Documents | None = None,
    parameters: Parameters | None = None,
) -> Verification:
    """One whose other parts have done nothing yet."""
    documents = documents or Documents(place, "a-drill")
    return Verification(place, tables, alarms, documents, parameters or Parameters(place))


@pytest.fixture
def verify(stack: Stack, tables: Tables) -> Verification:
    return verification_at(place_on(stack, buckets={}), tables)


def verifying(stack: Stack, tables: Tables, is_replicating: Callable[[], bool]) -> Verification:
    """Where replication can be asked whether something is on its way."""
    return verification_at(place_on(stack, buckets={}, is_replicating=is_replicating), tables)


class TestAtTheSwitch:
    def test_a_payment_that_arrives_after_a_lag_is_not_missing(
        self, verify: Verification, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a", "b")
        started = clock.now
        tables.found["secondary"] = lambda: [item("a"), item("b")][: 2 if clock.now > started + 1.5 else 1]
        assert verify.at_switch(failed_over=True) == AtSwitch(
            {"local": 2, "confirmed": 0}, {"local": [], "confirmed": []}
        )
        assert started + 1.5 < clock.now < started + 2

    def test_a_payment_that_has_not_arrived_in_time_is_missing_in_its_mode(
        self, verify: Verification, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a", "b")
        tables.acknowledge("c", mode="confirmed")
        tables.found["secondary"] = lambda: [item("a", amount=6), item("b"), item("c")]
        started = clock.now
        assert verify.at_switch(failed_over=True) == AtSwitch(
            {"local": 2, "confirmed": 1}, {"local": ["a"], "confirmed": []}
        )
        assert clock.now > started + verification.ARRIVING_SECONDS

    def test_where_replication_can_be_asked_what_is_on_its_way_is_waited_for_however_long_it_takes(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a", "b")
        started = clock.now
        replicates = verifying(stack, tables, lambda: clock.now < started + 10)
        tables.found["secondary"] = lambda: [item("a")] if clock.now > started + 9 else []
        assert replicates.at_switch(failed_over=True).missing == {"local": ["b"], "confirmed": []}
        assert started + 10 < clock.now < started + 11

    def test_an_item_that_arrives_after_the_replication_check_is_found(self, stack: Stack, tables: Tables) -> None:
        arrived: list[Item] = []

        def last_arrives() -> bool:
            arrived.append(item("a"))
            return False

        tables.acknowledge("a")
        tables.found["secondary"] = lambda: list(arrived)
        found = verifying(stack, tables, last_arrives).at_switch(failed_over=True)
        assert found.missing == {"local": [], "confirmed": []}

    def test_a_replication_that_does_not_end_is_not_waited_for(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a")
        started = clock.now
        assert verifying(stack, tables, lambda: True).at_switch(failed_over=True).missing["local"] == ["a"]
        assert clock.now > started + verification.SETTLING_SECONDS

    def test_without_a_failover_nothing_is_missing_and_the_secondary_is_not_asked(
        self, verify: Verification, tables: Tables
    ) -> None:
        def gone() -> list[Item]:
            raise GONE

        tables.acknowledge("a")
        tables.found["secondary"] = gone
        assert verify.at_switch(failed_over=False) == AtSwitch(
            {"local": 1, "confirmed": 0}, {"local": [], "confirmed": []}
        )


class TestAtTheFailback:
    def test_payments_that_the_secondary_acknowledged_are_looked_up_in_the_primary(
        self, verify: Verification, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a")
        tables.acknowledge("b", "c", region="us-west-2")
        tables.acknowledge("d", region="us-west-2", mode="confirmed")
        started = clock.now
        tables.found["primary"] = lambda: [item("b")] if clock.now > started + 1.5 else []
        found = verify.at_failback()
        assert found == AtSwitch({"local": 2, "confirmed": 1}, {"local": ["c"], "confirmed": ["d"]})
        assert clock.now > started + verification.ARRIVING_SECONDS

    def test_there_is_no_wait_for_payments_that_have_arrived(
        self, verify: Verification, tables: Tables, clock: Clock
    ) -> None:
        tables.acknowledge("a", region="us-west-2")
        tables.found["primary"] = lambda: [item("a")]
        started = clock.now
        assert verify.at_failback() == AtSwitch({"local": 1, "confirmed": 0}, {"local": [], "confirmed": []})
        assert clock.now == started


class TestAfterRecovery:
    def test_equal_tables_and_parameters_are_equal(self, verify: Verification, tables: Tables) -> None:
        tables.found = {"primary": lambda: [item("a"), item("b")], "secondary": lambda: [item("b"), item("a")]}
        assert verify.compare(NOTHING, None, [])[1] == {
            "items": {"equal": True, "primary": 2, "secondary": 2, "different": []},
            "written_twice": [],
            "parameters_equal": True,
            "rotation": {"name": NAMES[0], "copied": {}},
            "documents": None,
            "alarms": None,
            "split_brain": None,
        }

    def test_the_check_waits_for_items_that_still_replicate(
        self, verify: Verification, tables: Tables, clock: Clock
    ) -> None:
        started = clock.now
        tables.found["primary"] = lambda: [item("a")]
        tables.found["secondary"] = lambda: [item("a")] if clock.now > started + 20 else []
        assert verify.compare(NOTHING, None, [])[1]["items"]["equal"]

    def test_tables_are_not_compared_while_a_write_is_on_its_way(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        started, looked = clock.now, list[float]()

        def found() -> list[Item]:
            looked.append(clock.now)
            return [item("a")]

        tables.found = {"primary": found, "secondary": found}
        assert verifying(stack, tables, lambda: clock.now < started + 20).compare(NOTHING, None, [])[1]["items"][
            "equal"
        ]
        assert len(looked) == 2
        assert min(looked) > started + 20

    def test_data_that_differ_for_too_long_are_named(
        self, verify: Verification, tables: Tables, stack: Stack, clock: Clock
    ) -> None:
        started = clock.now
        tables.found["primary"] = lambda: [item("a"), item("b"), item("b", timestamp=2)]
        tables.found["secondary"] = lambda: [item("a", amount=6), item("b")]
        stack.parameters["secondary"].clear()
        after = verify.compare(NOTHING, None, [])[1]
        assert after["items"] == {"equal": False, "primary": 3, "secondary": 2, "different": ["a", "b"]}
        assert (after["written_twice"], after["parameters_equal"]) == (["b"], False)
        assert clock.now > started + verification.SETTLING_SECONDS

    def test_a_document_that_is_not_copied_is_waited_for_and_named(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        stack.replicates, started = False, clock.now
        place = place_on(stack)
        documents = Documents(place, "a-drill")
        documents.write("primary")
        found = verification_at(place, tables, documents=documents).compare(NOTHING, None, [])[1]["documents"]
        assert found is not None
        assert len(found["missing"]["primary"]) == 3
        assert clock.now > started + verification.SETTLING_SECONDS

    def test_a_parameter_that_was_rotated_is_waited_for_when_the_schedules_have_run(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        started, ran = clock.now, list[float]()
        place = place_on(stack, buckets={}, run_schedules=lambda: ran.append(clock.now))
        rotated = Parameters(place)
        rotated.rotation().do()
        stack.syncs["secondary"] = False
        rotated.rotate("secondary")

        def found() -> list[Item]:
            if clock.now > started + 20:
                stack.parameters["primary"] = dict(stack.parameters["secondary"])
            return []

        tables.found["primary"] = found
        after = verification_at(place, tables, parameters=rotated).compare(NOTHING, None, [])[1]
        assert after["rotation"] == {"name": NAMES[0], "copied": {"secondary": True}}
        assert (ran, after["parameters_equal"]) == ([started], True)

    def test_there_is_no_wait_for_documents_that_nothing_copies_back(
        self, stack: Stack, tables: Tables, clock: Clock
    ) -> None:
        started, place = clock.now, place_on(stack)
        documents = Documents(place, "a-drill")
        documents.write("primary")
        documents.write("secondary")
        found = verification_at(place, tables, documents=documents).compare(NOTHING, None, [])[1]["documents"]
        assert found is not None
        assert len(found["missing"]["secondary"]) == 3
        assert clock.now == started

    def test_alarms_that_are_still_in_alarm_are_named_beside_those_that_were(
        self, stack: Stack, tables: Tables, tmp_path: Path
    ) -> None:
        east, west = "alarm-drift-east-dev", "alarm-drift-west-dev"
        watch = AlarmWatch(stack, Journal(tmp_path, {"kind": "fence"}))
        stack.alarms["primary"][east] = stack.alarms["secondary"][west] = "ALARM"
        watch.look()
        stack.alarms["primary"][east] = "OK"
        after = verification_at(place_on(stack), tables, alarms=watch).compare(NOTHING, None, [])[1]
        assert after["alarms"] == {"expected": {}, "fired": [east, west], "still": [west], "undelivered": None}

    def test_payments_are_counted_by_mode_and_missing_ones_are_named_wherever_they_are_missing(
        self, verify: Verification, tables: Tables
    ) -> None:
        tables.acknowledge("a", "b", "c")
        tables.acknowledge("d", mode="confirmed")
        tables.found["primary"] = lambda: [item("a"), item("b"), item("d")]
        tables.found["secondary"] = lambda: [item("a"), item("c"), item("d")]
        at_switch = AtSwitch({"local": 2, "confirmed": 0}, {"local": ["b"], "confirmed": []})
        at_failback = AtSwitch({"local": 0, "confirmed": 1}, {"local": [], "confirmed": ["d"]})
        assert verify.compare(at_switch, at_failback, tables.records)[0] == {
            "local": {
                "acknowledged": 2,
                "acknowledged_in_all": 3,
                "acknowledged_by_one_region": 3,
                "acknowledged_in_secondary": 0,
                "missing_at_switch": ["b"],
                "missing_at_failback": [],
                "missing_after_recovery": ["b", "c"],
                "latency_ms": {"p50": None, "p95": None},
                "figures": [],
                "recovery": {"failover": None, "failback": None},
            },
            "confirmed": {
                "acknowledged": 0,
                "acknowledged_in_all": 1,
                "acknowledged_by_one_region": 0,
                "acknowledged_in_secondary": 1,
                "missing_at_switch": [],
                "missing_at_failback": ["d"],
                "missing_after_recovery": [],
                "latency_ms": {"p50": None, "p95": None},
                "figures": [
                    {
                        "phase": "secondary serves",
                        "region": "us-west-2",
                        "acknowledged": 1,
                        "by_one_region": 0,
                        "failed": 0,
                        "latency_ms": {"p50": 700.0, "p95": 700.0},
                    }
                ],
                "recovery": {"failover": 20.5, "failback": None},
            },
        }

    def test_without_a_failback_nothing_is_known_of_what_the_primary_lacked(self, verify: Verification) -> None:
        rpo = verify.compare(NOTHING, None, [])[0]["local"]
        assert (rpo["missing_at_failback"], rpo["acknowledged_in_secondary"]) == (None, 0)

    def test_latencies_are_those_of_the_primary(self, verify: Verification) -> None:
        records = [
            paid(1, "us-east-1", seconds=0.02),
            paid(2, "us-west-2", seconds=0.9),
            paid(3, "us-west-2", mode="confirmed", seconds=0.9),
            paid(4, "us-east-1", seconds=0.9, acknowledged=False),
        ]
        rpo, _ = verify.compare(NOTHING, None, records)
        assert rpo["local"]["latency_ms"] == {"p50": 20.0, "p95": 20.0}
        assert rpo["confirmed"]["latency_ms"] == {"p50": None, "p95": None}
