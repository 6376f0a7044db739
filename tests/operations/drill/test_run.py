"""A whole drill on fakes: its course, its journal, and its end when it breaks off."""

import errno
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from payment_dr.confirmed import Confirmed, ConfirmedPayments
from payment_dr.operations import probes
from payment_dr.operations.drill import clients, journal, parameters, payments, run, verification
from payment_dr.operations.drill.alarm_watch import METRIC
from payment_dr.operations.drill.journal import PAYMENT_PHASES, WAYS, Content, InconclusiveError, overwritten
from payment_dr.operations.drill.ledger import key_of
from payment_dr.operations.drill.outages import REPLICATION, until_clients_are_back
from payment_dr.operations.drill.payments import Payments
from payment_dr.operations.drill.replication_pause import ReplicationPause
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.recovery_time import Settings
from payment_dr.operations.route53.zone import HealthCheck
from payment_dr.side import OTHER, SIDES, Side
from tests.operations.drill.parts import Maker, deployed_zone, place_on
from tests.operations.stack import GONE, NAMES, REGIONS, Stack, refusal


class FailingStack(Maker):
    """Makes regions of the stack fail: its tables do not answer, its probes do not pass.

    Args:
        stack: The stack.
        in_flight: How many payments of the local client are on their way to the secondary when the primary fails.
        blind: Sides whose health function passes although the table fails.

    Attributes:
        blind: As given.
        stays: Which version of a payment that both regions have taken stays: the last one, or the first.
    """

    stays = -1

    def __init__(self, stack: Stack, in_flight: int = 2, blind: Collection[str] = ()) -> None:
        super().__init__()
        self._stack, self._in_flight, self.blind = stack, in_flight, blind
        self._held: list[Any] = []

    def fail(self, region: str, **fault: Any) -> None:
        super().fail(region, **fault)
        if fault.get("kind") == "cut":
            self._stack.replicates = False
            return
        is_seen = _side_in(region) not in self.blind or fault.get("service") != "dynamodb"
        if is_seen and fault.get("service") != REPLICATION:
            self._stack.failing["dynamodb", _side_in(region)] = GONE
        if region == REGIONS["primary"] and self._in_flight:
            there = self._stack.items["secondary"]
            self._held = [item for item in there if "-local-" in item["transaction_id"]["S"]][-self._in_flight :]
            for item in self._held:
                there.remove(item)

    def restore(self, region: str) -> None:
        if self.failing[region].get("kind") == "cut":
            self._stack.replicates = True
            self._stack.items.update({side: self.merged() for side in SIDES})
        super().restore(region)
        self._stack.failing.pop(("dynamodb", _side_in(region)), None)
        self._stack.items["secondary"] += self._held
        self._held = []

    def merged(self) -> list[Any]:
        """The items of both tables, of each key the version with the higher amount, which was written last."""
        found: dict[str, list[Any]] = {}
        for item in (item for side in SIDES for item in self._stack.items[side]):
            found.setdefault(item["transaction_id"]["S"], []).append(item)
        ordered = (sorted(versions, key=lambda each: int(each["amount"]["N"])) for versions in found.values())
        return [versions[self.stays] for versions in ordered]


def untested(journal: Content) -> dict[str, str]:
    """The targets that a drill did not test, and why."""
    return {target["what"]: target["how"] for target in journal["targets"] if not target["tested"]}


def _side_in(region: str) -> str:
    return next(side for side in SIDES if REGIONS[side] == region)


@pytest.fixture
def stack(make_stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose table and probes are those of the fakes, for a drill too."""
    made = make_stack()
    made.zone = deployed_zone()

    def probe(_stack: Stack, check: HealthCheck) -> ProbeResult:
        side = str(made.side_of_api(check.host))
        failing = ("dynamodb", side) in made.failing or made.reserved[side] == 0
        body = b'{"status": "unhealthy"}' if failing else b'{"status": "healthy"}'
        return ProbeResult(connect_seconds=0.01, response_seconds=0.02, status=503 if failing else 200, body=body)

    monkeypatch.setattr(probes, "probe", probe)
    monkeypatch.setattr(run, "RUNS", 100)
    monkeypatch.setattr(clients, "RUSH_ACKNOWLEDGED", 4)
    monkeypatch.setattr(clients, "RUSH_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(payments, "ConfirmedPayments", partial(ConfirmedPayments, patience=0.1, first_look=0.001))
    return made


@pytest.fixture
def steps() -> list[str]:
    """The steps that a drill has begun."""
    return []


@pytest.fixture
def drill(stack: Stack, steps: list[str], tmp_path: Path) -> Callable[..., Content]:
    """Runs a drill, and gives what its journal's file holds."""

    def drill(
        kind: str = "region", tell: Callable[[str], None] = steps.append, in_flight: int = 2, **place: Any
    ) -> Content:
        maker = FailingStack(stack, in_flight)
        where = place_on(stack, **{"maker": maker, "is_replicating": lambda: False, **place})
        journal = Drill(where, kind, seed=1, directory=tmp_path, tell=tell).run()
        content: Content = json.loads(journal.path.read_text())
        assert content == json.loads(json.dumps(journal.content))
        return content

    return drill


def test_a_failover_and_a_failback_go_through_every_step_and_pass(
    drill: Callable[..., Content], steps: list[str]
) -> None:
    journal = drill()
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert steps == [event["name"] for event in journal["events"] if event["kind"] == "step"]
    assert steps == [
        "preflight",
        "steady load",
        "outage",
        "detection",
        "switch",
        "served by us-west-2",
        "recovery",
        "failback",
        "verification",
    ]
    answers = [event["region"] for event in journal["events"] if event["kind"] == "answer"]
    assert answers == ["us-east-1", "us-west-2", "us-east-1"]
    assert journal["rpo"]["confirmed"]["missing_at_switch"] == []
    assert len(journal["rpo"]["local"]["missing_at_switch"]) == 2
    assert journal["after"]["undone"]


def test_every_payment_that_counts_is_among_the_events(
    drill: Callable[..., Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    retry_open = clients.Clients.retry_open

    def retry_one_more(self: clients.Clients) -> None:  # one that failed until now
        self._payments.ledger.leave_open(self._payments.new_item("confirmed"), "confirmed")
        retry_open(self)

    monkeypatch.setattr(clients.Clients, "retry_open", retry_one_more)
    journal = drill()
    for mode, rpo in journal["rpo"].items():
        noted = [e["acknowledged"] for e in journal["events"] if e["kind"] == "transactions" and e["mode"] == mode]
        assert sum(noted) == rpo["acknowledged_in_all"]


def test_an_outage_in_which_not_even_the_local_client_loses_anything_is_inconclusive(
    drill: Callable[..., Content], stack: Stack
) -> None:
    with pytest.raises(InconclusiveError, match="a client that does not wait for us-west-2 lost nothing") as ended:
        drill(in_flight=0)
    journal = json.loads(ended.value.journal.read_text())
    assert (journal["verdict"], len(journal["causes"])) == ("inconclusive", 1)
    assert (journal["ended"] is not None, journal["after"]["undone"]) == (True, True)
    assert [(each["what"][:25], each["met"]) for each in journal["targets"] if each["tested"] and not each["met"]] == [
        ("confirmed mode: missing i", None)
    ]


def test_the_counts_of_payments_can_be_made_again_from_the_payments(drill: Callable[..., Content]) -> None:
    journal = drill()
    for mode, rpo in journal["rpo"].items():
        paid = [each for each in journal["payments"] if each["mode"] == mode and each["acknowledged"]]
        assert len(paid) == len({each["id"] for each in paid}) == rpo["acknowledged_in_all"] > 0
        assert sum(not each["confirmed"] for each in paid) == rpo["acknowledged_by_one_region"]
        assert sum(each["acknowledged"] for each in rpo["figures"]) == len(paid)
        assert sum(each["by_one_region"] for each in rpo["figures"]) == rpo["acknowledged_by_one_region"]
        for way in WAYS:
            seconds, measured = rpo["recovery"][way], journal["rto"][way]
            assert seconds is not None
            assert measured is not None
            assert seconds == pytest.approx(measured["total"], abs=2 if mode == "confirmed" else 0.02)
        paid_per_second = [e for e in journal["events"] if e["kind"] == "transactions" and e["mode"] == mode]
        assert sum(event["acknowledged"] for event in paid_per_second) == len(paid)
    phases = list(dict.fromkeys(each["phase"] for each in journal["payments"]))
    assert phases == list(PAYMENT_PHASES)
    first = next(each for each in journal["payments"] if each["phase"] == "secondary serves")
    assert (first["region"], first["acknowledged"]) == ("us-west-2", True)
    assert {each["region"] for each in journal["payments"] if each["phase"] == "steady"} == {"us-east-1"}


def test_clients_that_return_before_the_primary_has_what_the_secondary_took_are_noticed(
    drill: Callable[..., Content], stack: Stack, steps: list[str]
) -> None:
    def stall(step: str) -> None:
        steps.append(step)
        if step == "served by us-west-2":
            stack.replicates = False
        if step == "failback":
            stack.replicates = True  # for what is written from now on
        if step == "verification":
            written = [item for item in stack.items["secondary"] if item not in stack.items["primary"]]
            stack.items["primary"] += written

    journal = drill(tell=stall)
    assert journal["verdict"] == "missed"
    found = journal["rpo"]["confirmed"]
    assert found["missing_at_failback"]
    assert len(found["missing_at_failback"]) <= found["acknowledged_in_secondary"]
    assert found["missing_after_recovery"] == []
    (missed,) = (each for each in journal["targets"] if each["tested"] and not each["met"])
    assert missed["what"].startswith("confirmed mode: missing in us-east-1 at the failback, of ")
    assert missed["measured"] == len(found["missing_at_failback"])


def test_a_replication_outage_lasts_until_clients_are_back(drill: Callable[..., Content], steps: list[str]) -> None:
    with pytest.raises(InconclusiveError, match="there was no backlog") as ended:
        drill("recovery-backlog")  # these regions share their items: nothing is held back
    journal = json.loads(ended.value.journal.read_text())
    actions = [e for e in journal["events"] if e["kind"] == "action" and e["name"].startswith(("fail", "stop"))]
    fault, backlog = "fail us-east-1", "stop replication with us-west-2"
    done = [(fault, False), (backlog, False), (fault, True), (backlog, True)]
    assert [(each["name"], each["undone"]) for each in actions] == done
    assert actions[3]["at"] - actions[2]["at"] == pytest.approx(until_clients_are_back(Settings()), abs=1)
    assert steps[-4:] == ["recovery", "failback", "replication catches up", "verification"]


def test_payments_in_an_outage_that_must_stop_some_of_them_are_judged(drill: Callable[..., Content]) -> None:
    journal = drill("secondary")
    judged = {each["what"]: each["met"] for each in journal["targets"] if "during the outage" in each["what"]}
    assert {what.rpartition(",")[0]: met for what, met in judged.items()} == {
        "local payments to us-east-1 failed during the outage": True,
        "confirmed payments to us-east-1 acknowledged during the outage": True,
    }


def test_the_version_written_last_stays_and_the_overwritten_one_is_named(
    drill: Callable[..., Content],
) -> None:
    journal = drill("partition")
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    found = journal["after"]["split_brain"]
    assert found
    assert len(found["conflicts"]) > 0
    for number, conflict in enumerate(found["conflicts"]):
        first, last = conflict["versions"]
        assert [first["region"], last["region"]] == [REGIONS[side] for side in (SIDES, SIDES[::-1])[number % 2]]
        amounts = {version["region"]: version["amount"] for version in conflict["versions"]}
        assert conflict["seen"] == {side: amounts[REGIONS[side]] for side in SIDES}
        assert conflict["after"] == dict.fromkeys(SIDES, last["amount"])
        assert overwritten(conflict) == [first]
    conflicting = {conflict["id"] for conflict in found["conflicts"]}
    during = [each for each in journal["payments"] if each["phase"] == "outage" and each["id"] not in conflicting]
    assert found["unseen"]["primary"] == sum(each["acknowledged"] for each in during if each.get("pinned")) > 0
    paid = [each["at"] for each in during if each["acknowledged"] and not each.get("pinned")]
    began = next(event["at"] for event in journal["events"] if event["kind"] == "action" and "fail us" in event["name"])
    # Some of the very moment in which the link is cut were made before it.
    assert sum(at > began for at in paid) <= found["unseen"]["secondary"] <= len(paid)
    assert {each["region"] for each in during if each.get("pinned")} == {REGIONS["secondary"]}
    judged = {each["what"].rpartition(",")[0] for each in journal["targets"] if "during the outage" in each["what"]}
    assert judged == {
        f"{mode} payments to {region} {what} during the outage"
        for region in REGIONS.values()
        for mode, what in (("local", "failed"), ("confirmed", "acknowledged"))
    }


def test_a_payment_of_both_regions_that_is_not_as_it_was_written_last_misses(
    drill: Callable[..., Content], stack: Stack
) -> None:
    class FirstWins(FailingStack):
        stays = 0

    journal = drill("partition", maker=FirstWins(stack))
    (missed,) = (each for each in journal["targets"] if each["met"] is False)
    assert missed["what"].startswith("split brain: payments not as written last, of ")
    found = journal["after"]["split_brain"]
    assert found
    assert missed["measured"] == len(found["conflicts"]) > 0
    assert journal["causes"] == [
        "not in both regions as it was written last: " + ", ".join(each["id"] for each in found["conflicts"][:5])
    ]


class Pause(ReplicationPause):
    """Pauses replication of the fakes.

    Attributes:
        works: Whether it stops replication, and whether that goes on after it.
        ended: How often it was ended.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack, "EXT1")
        self._of = stack
        self.works = True, True
        self.ended = 0

    def start(self) -> None:
        self._of.replicates = not self.works[0]

    def stop(self) -> None:
        self.ended += 1
        self._of.replicates = True
        if self.works[1]:
            self.arrive()

    def arrive(self) -> None:
        """Let everything arrive that has not yet."""
        items = self._of.items  # of one key the secondary's version is the later one
        merged = {str(key_of(item)): item for side in SIDES for item in items[side]}
        items.update({side: list(merged.values()) for side in SIDES})


@pytest.fixture
def pause(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Pause:
    """A pause of replication."""
    monkeypatch.setattr(run, "RESUMED_SECONDS", 0.1)
    monkeypatch.setattr(run, "RESUME_POLL_SECONDS", 0.05)
    return Pause(stack)


def test_a_fence_with_replication_paused_tests_confirmed_mode(
    drill: Callable[..., Content], stack: Stack, pause: Pause, steps: list[str]
) -> None:
    journal = drill("fence", pause=pause)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert steps[1:4] == ["steady load", "replication pause", "outage"]
    (at_switch,) = (each for each in journal["targets"] if "at the failover" in each["what"])
    assert (at_switch["tested"], at_switch["met"]) == (True, True)
    local, confirmed = journal["rpo"]["local"], journal["rpo"]["confirmed"]
    assert len(local["missing_at_switch"]) > 0
    assert (local["missing_at_failback"], local["missing_after_recovery"]) == ([], [])
    assert (confirmed["missing_at_switch"], confirmed["missing_after_recovery"]) == ([], [])
    undone = [event["name"] for event in journal["events"] if event["kind"] == "action" and event["undone"]]
    assert undone[2:4] == ["pause replication (EXT1)", "fence us-east-1"]
    assert (pause.ended, stack.reserved["primary"]) == (1, None)


def test_a_replication_pause_reveals_a_client_that_acknowledges_without_reading(
    drill: Callable[..., Content], pause: Pause, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(client: ConfirmedPayments, key: str, payment: Any) -> Confirmed:
        item = {**payment, "transaction_id": {"S": key}, "timestamp": {"N": "0"}}
        client._home.put_item(TableName="transactions", Item=item)
        return Confirmed(item, 0.0, 0)

    monkeypatch.setattr(ConfirmedPayments, "pay", careless)
    journal = drill("fence", pause=pause)
    assert journal["verdict"] == "missed"
    (missed,) = (each for each in journal["targets"] if each["tested"] and not each["met"])
    assert missed["what"].startswith("confirmed mode: missing in us-west-2 at the failover")
    assert missed["measured"] == len(journal["rpo"]["confirmed"]["missing_at_switch"]) > 0


def test_a_pause_that_does_not_stop_replication_ends_the_drill(
    drill: Callable[..., Content], stack: Stack, pause: Pause, steps: list[str]
) -> None:
    pause.works = False, True
    with pytest.raises(InconclusiveError, match="replication still runs 300 s after its pause began; every change"):
        drill("fence", pause=pause)
    assert ("outage" in steps, pause.ended, stack.reserved["primary"]) == (False, 1, None)


def test_replication_that_is_only_slow_is_not_taken_for_paused(
    drill: Callable[..., Content], pause: Pause, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_clients_pay = clients.Clients.run

    def arrive_before(paying: clients.Clients, **limits: Any) -> None:
        pause.arrive()
        let_clients_pay(paying, **limits)

    monkeypatch.setattr(clients.Clients, "run", arrive_before)
    with pytest.raises(InconclusiveError, match="replication still runs 300 s after its pause began"):
        drill("fence", pause=pause)
    assert "outage" not in steps


def test_replication_that_does_not_go_on_after_its_pause_is_named(
    drill: Callable[..., Content], stack: Stack, pause: Pause
) -> None:
    pause.works = True, False
    with pytest.raises(InconclusiveError, match=r"payments have not arrived .*NOT every change was undone"):
        drill("fence", pause=pause)
    assert stack.reserved["primary"] is None


@pytest.mark.parametrize("step", ["replication pause", "outage", "switch", "recovery"])
def test_an_interruption_ends_the_pause_before_the_fence(
    step: str, drill: Callable[..., Content], stack: Stack, pause: Pause, tmp_path: Path
) -> None:
    def interrupt(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drill("fence", pause=pause, tell=interrupt)
    assert (stack.replicates, stack.reserved["primary"]) == (True, None)
    assert pause.ended == (step != "replication pause")
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["after"]["undone"]


def test_payments_in_a_table_of_others_are_deleted_when_the_drill_ends(
    drill: Callable[..., Content], stack: Stack
) -> None:
    theirs = {"transaction_id": {"S": "theirs"}}
    for side in SIDES:
        stack.items[side].append(theirs)
    journal = drill(shares_its_table=True)
    assert journal["verdict"] == "passed"
    assert stack.items == {side: [theirs] for side in SIDES}
    # nor is a parameter of theirs rotated
    assert untested(journal)["parameter rotated and not copied"] == "not tested on a stack that others use"
    assert not any(operation == "put_parameter" for operation, *_ in stack.calls)


@pytest.mark.parametrize(("kind", "seconds"), [("blip", 60.0), ("both", 201.0)])
def test_an_outage_that_must_not_fail_over_is_observed_to_its_end(
    kind: str, seconds: float, drill: Callable[..., Content], steps: list[str]
) -> None:
    journal = drill(kind)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert steps == ["preflight", "steady load", "outage", "outage goes on", "recovery", "verification"]
    assert journal["outage"]["seconds"] == seconds
    begin, end = (e["at"] for e in journal["events"] if e["kind"] == "action" and e["name"].startswith("fail "))
    assert end - begin == pytest.approx(seconds, abs=2)
    assert (journal["rto"]["failover"], journal["rto"]["failback"]) == (None, None)


def test_no_payment_that_was_made_before_an_outage_ends_is_answered_after_it(
    drill: Callable[..., Content], steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transact = Payments.transact
    late: list[float] = []

    def slow(payments: Payments, mode: str, side: Side, at: float, item: Any = None) -> bool:
        before = steps[-1]
        if mode == "confirmed":
            time.sleep(0.1)  # drill time is minutes ahead
        done = transact(payments, mode, side, at, item)
        if "recovery" in steps and before not in ("recovery", "failback", "verification"):
            late.append(at)
        return done

    monkeypatch.setattr(Payments, "transact", slow)
    drill("blip")
    assert late == []


@pytest.mark.parametrize(("target", "verdict"), [(300, "passed"), (60, "missed")])
def test_a_stack_is_judged_by_its_own_target(
    target: int, verdict: str, drill: Callable[..., Content], stack: Stack
) -> None:
    stack.outputs["rto_target_seconds"] = target
    journal = drill()
    assert journal["verdict"] == verdict
    assert journal["settings"]["rto_target_seconds"] == target
    ways = {each["what"].partition(",")[0]: each for each in journal["targets"] if each["unit"] == "s"}
    assert {way: each["target"] for way, each in ways.items()} == {"failover": target, "failback": target}
    if verdict == "missed":
        assert journal["causes"][0].endswith("more than the target of 60 s")
        assert "the failover took" in journal["causes"][1]


def test_documents_are_written_in_the_region_that_serves_before_the_outage_and_during_it(
    drill: Callable[..., Content],
) -> None:
    found = drill()["after"]["documents"]
    assert found is not None
    assert found["written"] == {"primary": 2, "secondary": 3}
    assert (found["missing"]["primary"], len(found["missing"]["secondary"])) == ([], 3)


def test_a_journal_has_the_keys_of_schema_1_in_their_order(drill: Callable[..., Content]) -> None:
    journal: dict[str, Any] = {**drill()}
    assert journal["schema"] == 1
    assert list(journal) == [
        *(
            "schema",
            "id",
            "started",
            "ended",
            "outage",
            "place",
            "time",
            "system",
            "seed",
            "versions",
            "regions",
            "settings",
        ),
        *("load", "made_of", "rto", "rpo", "after", "targets", "verdict", "causes", "payments", "events", "seal"),
    ]
    phases = ["detect", "switch", "cache", "first_write", "total"]
    percentiles = ["p50", "p95", "p99", "worst", "bound"]
    rto, rpo = journal["rto"], journal["rpo"]
    assert list(journal["outage"]) == ["kind", "region", "description", "seconds"]
    assert list(journal["settings"]) == [
        *("request_interval_seconds", "failure_threshold", "ttl_seconds", "rto_target_seconds"),
        "replication_lag_seconds",
    ]
    assert list(rto) == ["failover", "failback", "distribution", "sensitivity"]
    assert (list(rto["failover"]), list(rto["failback"])) == (phases, phases)
    assert list(rto["distribution"]) == ["settings", "runs", "seed", "failover", "failback"]
    assert list(rto["distribution"]["failover"]) == ["phases", "runs_by_second", "worst_seed", "hanging_bound"]
    assert list(rto["distribution"]["failover"]["phases"]) == phases
    assert list(rto["distribution"]["failover"]["phases"]["total"]) == percentiles
    assert list(rto["sensitivity"][0]) == [
        *("request_interval_seconds", "failure_threshold", "ttl_seconds", "failover", "hanging_bound")
    ]
    assert list(rpo) == ["local", "confirmed"]
    assert list(rpo["local"]) == [
        *("acknowledged", "acknowledged_in_all", "acknowledged_by_one_region", "acknowledged_in_secondary"),
        *("missing_at_switch", "missing_at_failback", "missing_after_recovery", "latency_ms", "figures", "recovery"),
    ]
    assert list(journal["after"]) == [
        *("items", "written_twice", "parameters_equal", "rotation", "documents", "alarms", "split_brain", "undone"),
    ]
    assert {tuple(target) for target in journal["targets"]} == {
        ("what", "unit", "target", "measured", "met", "tested", "how", "misses_when")
    }
    assert {event["kind"]: list(event)[3:] for event in journal["events"]} == {
        "step": ["name"],
        "action": ["name", "undone"],
        "probe": ["region", "checker", "ok", "status", "seconds", "error"],
        "verdict": ["region", "healthy"],
        "answer": ["region"],
        "expired": ["region"],
        "served": ["region"],
        "transactions": ["region", "mode", "acknowledged", "failed", "per"],
    }
    assert {tuple(event)[:3] for event in journal["events"]} == {("at", "real", "kind")}
    assert {tuple(payment) for payment in journal["payments"]} == {
        ("id", "mode", "region", "at", "done", "seconds", "acknowledged", "confirmed", "phase")
    }


def test_a_stack_that_would_lose_everything_is_not_touched(
    drill: Callable[..., Content], stack: Stack, steps: list[str]
) -> None:
    stack.replicas["primary"] = "CREATING"
    journal = drill()
    assert (journal["verdict"], steps) == ("missed", ["preflight"])
    assert [target["what"] for target in journal["targets"]] == ["faults found before the start"]
    assert journal["settings"] == {"rto_target_seconds": 180}
    assert stack.calls == []


def test_a_drill_does_not_start_on_a_degraded_stack_and_the_journal_says_why(
    drill: Callable[..., Content], stack: Stack, tmp_path: Path
) -> None:
    stack.parameters["secondary"].clear()
    with pytest.raises(InconclusiveError, match="does not start from a degraded state: config: differs") as raised:
        drill()
    journal = json.loads(raised.value.journal.read_text())
    assert (journal["verdict"], journal["after"]) == ("inconclusive", {"undone": True})
    assert stack.calls == []


def test_a_split_brain_needs_clients_that_stay_in_both_regions(drill: Callable[..., Content], stack: Stack) -> None:
    stack.outputs["switch_takeover_function_name"] = "lambda-switch-takeover-west-dev"
    with pytest.raises(InconclusiveError, match="takes over when it does not reach the primary") as raised:
        drill(kind="partition")
    assert "drill it on a stack with failback='automatic'" in raised.value.hint
    assert stack.calls == []


def test_a_place_that_ends_midway_ends_the_drill_and_what_was_done_is_undone(
    drill: Callable[..., Content], steps: list[str], stack: Stack
) -> None:
    def check() -> None:
        if "switch" in steps:
            raise OperationError("it ended", hint="start it")

    with pytest.raises(InconclusiveError, match="inconclusive: it ended; every change was undone") as ended:
        drill(check=check)
    journal = json.loads(ended.value.journal.read_text())
    assert journal["causes"] == ["it ended"]
    assert {event["kind"] for event in journal["events"]} >= {"transactions", "action"}


@pytest.mark.parametrize("error", [GONE, refusal(400), OSError("it ended")], ids=repr)
def test_an_answer_that_is_missing_midway_ends_the_drill_too(
    error: Exception, drill: Callable[..., Content], steps: list[str]
) -> None:
    errors = [error]

    def check() -> None:
        if "switch" in steps and errors:
            raise errors.pop()

    with pytest.raises(InconclusiveError) as ended:
        drill(check=check)
    assert str(ended.value) == f"inconclusive: {error}; every change was undone"
    assert json.loads(ended.value.journal.read_text())["causes"] == [str(error)]


@pytest.mark.parametrize("step", ["steady load", "outage", "detection", "switch", "recovery", "failback"])
def test_an_interruption_at_any_step_undoes_the_outage(
    step: str, drill: Callable[..., Content], stack: Stack, tmp_path: Path
) -> None:
    def interrupt(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drill(tell=interrupt)
    assert stack.failing == {}
    (path,) = tmp_path.glob("*.json")
    left = json.loads(path.read_text())
    assert (left["verdict"], left["causes"]) == ("inconclusive", ["interrupted: KeyboardInterrupt"])
    assert left["after"]["undone"]


def test_a_failed_undo_on_an_embedded_aws_does_not_refer_to_dr(stack: Stack, tmp_path: Path) -> None:
    class Stuck(FailingStack):
        def restore(self, region: str) -> None:
            if "service" in self.failing[region]:
                super().restore(region)
                return
            raise OperationError(f"{region} does not come back", hint="wait")

    with pytest.raises(OperationError, match="undoing failed: fail us-east-1") as ended:
        Drill(place_on(stack, maker=Stuck(stack)), "region", seed=1, directory=tmp_path, tell=lambda _: None).run()
    assert ended.value.hint.startswith("nothing is left: the embedded AWS ends with this command")


def test_a_journal_that_there_is_no_room_for_hides_nothing_of_the_undo(
    drill: Callable[..., Content], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def fill_the_disk(name: str) -> None:
        if name == "detection":
            monkeypatch.setattr(journal, "write_whole", no_room)

    with pytest.raises(InconclusiveError, match="the disk is full; every change was undone") as ended:
        drill(tell=fill_the_disk)
    assert "free some space" in ended.value.hint
    assert stack.failing == {}


@pytest.mark.parametrize("side", SIDES)
def test_a_stack_whose_config_sync_does_not_copy_misses_and_gets_its_value_back(
    side: Side, drill: Callable[..., Content], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "COPIED_SECONDS", 0.1)
    monkeypatch.setattr(verification, "SETTLING_SECONDS", 0.1)
    stack.syncs[side] = False
    before = {each: dict(stack.parameters[each]) for each in SIDES}
    journal = drill()
    home, other = REGIONS[side], REGIONS[OTHER[side]]
    assert journal["verdict"] == "missed"
    assert f"parameter rotated in {home} and not copied to {other}" in missed_of(journal)
    assert f"{NAMES[0]} was rotated in {home}, and {other} did not get the new value" in journal["causes"]
    assert (stack.parameters, journal["after"]["undone"]) == (before, True)


def test_a_schedule_copies_what_an_event_did_not(drill: Callable[..., Content], stack: Stack) -> None:
    def run_schedules() -> None:
        stack.parameters["primary"] = dict(stack.parameters["secondary"])

    stack.syncs["secondary"] = False
    assert drill(run_schedules=run_schedules)["verdict"] == "passed"


def missed_of(journal: Content) -> list[str]:
    return [target["what"] for target in journal["targets"] if target["tested"] and not target["met"]]


@pytest.mark.parametrize("side", SIDES)
def test_a_health_function_that_does_not_see_a_failing_table_misses_in_an_outage_that_hides_it(
    side: Side, drill: Callable[..., Content], stack: Stack
) -> None:
    journal = drill(maker=FailingStack(stack, blind=[side]))
    assert (journal["verdict"], missed_of(journal)) == (
        "missed",
        ["health functions that do not report a failing table"],
    )
    assert journal["causes"] == [
        f"the health function of {REGIONS[side]} does not report that its table fails (passes: HTTP status 200, "
        f"healthy), so Route 53 would not stop answering with {REGIONS[side]}"
    ]
    tried = {f"let DynamoDB of {region} fail for one probe" for region in REGIONS.values()}
    assert tried <= {event["name"] for event in journal["events"] if event["kind"] == "action" and event["undone"]}


def test_on_a_stack_of_others_no_table_is_made_to_fail(drill: Callable[..., Content], stack: Stack) -> None:
    class NoMaker(FailingStack):
        def fail(self, region: str, **fault: Any) -> None:
            assert "service" not in fault
            super().fail(region, **fault)

    journal = drill("blip", maker=NoMaker(stack), shares_its_table=True)
    assert "health functions that do not report a failing table" in untested(journal)


def test_a_function_that_starts_late_is_warmed_up_first(
    drill: Callable[..., Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, cold = probes.probe, {"primary": 2, "secondary": 1}

    def started(stack: Stack, check: HealthCheck) -> ProbeResult:
        if cold.get(check.id, 0):
            cold[check.id] -= 1
            body = b'{"status": "unhealthy", "reason": "dynamodb_timeout"}'
            return ProbeResult(connect_seconds=0, response_seconds=0.1, status=503, body=body)
        return probe(stack, check)

    monkeypatch.setattr(probes, "probe", started)
    assert drill("blip")["verdict"] == "passed"
    assert cold["primary"] == cold["secondary"] == 0


class AwsAsTimePasses:
    """Lets the alarm of the primary's health check follow its status, so many seconds later, unless it is broken."""

    def __init__(self, stack: Stack, *, fires: bool = True, reaches: bool = True, seconds: float = 0) -> None:
        self._stack, self._fires, self._seconds = stack, fires, seconds
        self._due: list[tuple[float, str]] = []
        dimensions = [{"Name": "HealthCheckId", "Value": "check-primary"}]
        topic = stack.outputs["primary_sns_topic_arn"]
        metric = {"Namespace": METRIC[0], "MetricName": METRIC[1], "Dimensions": dimensions, "AlarmActions": [topic]}
        stack.described[ALARM] = metric
        stack.history[ALARM] = [f"Successfully executed action {topic}"] if reaches else []

    def __call__(self, at: float, healthy: Mapping[str, bool]) -> None:
        self._due.append((at + self._seconds, "OK" if healthy["check-primary"] else "ALARM"))
        while self._fires and self._due and self._due[0][0] <= at:
            self._stack.alarms["primary"][ALARM] = self._due.pop(0)[1]


ALARM = "alarm-drift-east-dev"
ALARMS: dict[str, Any] = {"alarms_fire": True, "evaluates_alarms": True}


@pytest.mark.parametrize("seconds", [0, 350])
def test_an_alarm_that_fires_reaches_somebody_and_clears_is_what_a_failover_needs(
    seconds: float, drill: Callable[..., Content], stack: Stack
) -> None:
    journal = drill(as_time_passes=AwsAsTimePasses(stack, seconds=seconds), **ALARMS)
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    assert all(target["met"] and target["tested"] for target in journal["targets"])
    assert journal["after"]["alarms"] == {
        "expected": {"primary": [ALARM]},
        "fired": [ALARM],
        "still": [],
        "undelivered": [],
    }
    assert [event["state"] for event in journal["events"] if event["kind"] == "alarm"] == ["ALARM", "OK"]


@pytest.mark.parametrize(
    ("broken", "missed", "cause"),
    [
        (
            {"fires": False},
            "health checks of us-east-1 whose alarm did not fire",
            f"no alarm on the health check of us-east-1 fired: {ALARM}",
        ),
        (
            {"reaches": False},
            "alarms that reached nobody, of 1 that fired",
            f"{ALARM} reached none of its topics: its history has no action",
        ),
    ],
)
def test_an_alarm_that_does_not_fire_or_reaches_nobody_misses(
    broken: dict[str, bool], missed: str, cause: str, drill: Callable[..., Content], stack: Stack
) -> None:
    journal = drill(as_time_passes=AwsAsTimePasses(stack, **broken), **ALARMS)
    assert (journal["verdict"], missed_of(journal), journal["causes"]) == ("missed", [missed], [cause])


def test_the_alarms_of_a_region_that_hangs_are_not_asked_for_meanwhile(
    drill: Callable[..., Content], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    described, hanging = probes.described_alarms, []
    maker = FailingStack(stack)

    def counted(stack: Stack, side: Side, *, seconds: float | None = None) -> Any:
        hanging.append(maker.failing.get(REGIONS[side], {}).get("kind"))
        return described(stack, side, seconds=seconds)

    monkeypatch.setattr(probes, "described_alarms", counted)
    assert drill("hang", maker=maker, as_time_passes=AwsAsTimePasses(stack), **ALARMS)["verdict"] == "passed"
    assert set(hanging) == {None}
