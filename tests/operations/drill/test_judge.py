"""What a drill makes of what it has seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from payment_dr.operations.drill import judge
from payment_dr.operations.drill.client_dns import Change
from payment_dr.operations.drill.journal import (
    After,
    DocumentsRecord,
    Journal,
    ProbeEvent,
    Rpo,
    SimulatedWay,
    SplitBrainRecord,
    Target,
)
from payment_dr.operations.drill.judge import Evidence, Judge
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import Settings
from payment_dr.side import SIDES, Side
from tests.operations.stack import REGIONS


def judge_of(journal: Journal, rto_target_seconds: int = 180) -> Judge:
    return Judge(journal, REGIONS, rto_target_seconds=rto_target_seconds, counted_how="counted", rto_how="measured")


def simulated_way(worst: float) -> SimulatedWay:
    seconds = dict.fromkeys(("p50", "p95", "p99", "worst", "bound"), worst)
    known = {"phases": {"total": seconds}, "runs_by_second": [0, 4, 6], "worst_seed": 7, "hanging_bound": worst + 13.5}
    return cast(SimulatedWay, known)


def evidence_of(kind: str = "region", **others: Any) -> Evidence:
    """A drill that failed over after 121 s, and back after 61 s, in times of the drill that begin at 10 s."""
    known: dict[str, Any] = {
        "outage": OUTAGES[kind],
        "settings": Settings(),
        "simulated": {"failover": simulated_way(130.0), "failback": simulated_way(100.0)},
        "began": 10,
        "recovered": 300,
        "ended": 600,
        "failed_over": True,
        "failed_back": True,
        "verdicts": [Change(100, "primary", healthy=False), Change(330, "primary", healthy=True)],
        "switches": [Change(100, "secondary"), Change(330, "primary")],
        "expired": [Change(130, "secondary"), Change(360, "primary")],
        "served": [Change(131, "secondary"), Change(361, "primary")],
        "last_failure": {"primary": "HTTP status 503"},
    }
    return Evidence(**(known | others))


STAYED: dict[str, Any] = {
    "failed_over": False,
    "failed_back": True,
    **{name: [] for name in ("verdicts", "switches", "expired", "served")},
}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal of a drill in which nothing was lost that was confirmed."""
    journal = Journal(tmp_path, {"kind": "region"})
    rpo: Rpo = {
        "acknowledged": 20,
        "acknowledged_in_all": 50,
        "acknowledged_by_one_region": 0,
        "acknowledged_in_secondary": 15,
        "missing_at_switch": [],
        "missing_at_failback": [],
        "missing_after_recovery": [],
        "latency_ms": {"p50": 1.0, "p95": 2.0},
    }
    after: After = {
        "items": {"equal": True, "primary": 100, "secondary": 100, "different": []},
        "written_twice": [],
        "parameters_equal": True,
        "rotation": None,
        "documents": None,
        "alarms": None,
        "split_brain": None,
    }
    journal.set(rpo={"local": {**rpo, "missing_at_switch": ["l1"]}, "confirmed": rpo}, after=after)
    return journal


def missed_by(judge: Judge) -> dict[str, float | None]:
    return {target["what"]: target["measured"] for target in judge.targets if target["tested"] and not target["met"]}


@pytest.mark.parametrize(
    ("target", "missed"),
    [
        (300, []),
        (180, []),
        (125, ["failover, bound of the model"]),
        (121, ["failover, bound of the model"]),
        (
            60,
            [
                "failover",
                "failover, bound of the model",
                "failback",
                "failback, bound of the model",
            ],
        ),
    ],
)
def test_recovery_times_are_judged_by_the_target_of_the_stack(target: int, missed: list[str], journal: Journal) -> None:
    judge = judge_of(journal, target)
    judge.judge(evidence_of())
    assert list(missed_by(judge)) == missed
    assert judge.verdict == ("missed" if missed else "passed")
    assert {each["target"] for each in judge.targets if each["unit"] == "s"} == {target}
    assert [each["how"] for each in judge.targets[:3]] == ["measured", "computed; 143.5 s if probes hang", "measured"]
    assert {each["unit"] for each in judge.targets[:4]} == {"s"}


def test_the_phases_of_both_ways_are_noted_and_the_longest_is_the_cause(journal: Journal) -> None:
    judge = judge_of(journal, 60)
    judge.judge(evidence_of())
    rto = journal.content["rto"]
    assert rto["failover"] == {"detect": 90, "switch": 0, "cache": 30, "first_write": 1, "total": 121}
    assert rto["failback"] == {"detect": 30, "switch": 0, "cache": 30, "first_write": 1, "total": 61}
    assert judge.causes == [
        "the failover took 121 s, most of it (90 s) in the phase detect",
        "the failback took 61 s, most of it (30 s) in the phase detect",
    ]


@pytest.mark.parametrize(
    ("others", "cause"),
    [
        (STAYED, "the health check of us-east-1 stayed healthy: too few of its probes failed (HTTP status 503)"),
        (
            STAYED | {"last_failure": {}},
            "the health check of us-east-1 stayed healthy: its probe passed all the time",
        ),
        (
            STAYED | {"verdicts": [Change(100, "primary", healthy=False)]},
            "Route 53 kept answering with us-east-1, although it was unhealthy",
        ),
        (
            STAYED | {"verdicts": [Change(100, "primary", healthy=False)], "switches": [Change(100, "secondary")]},
            "no client completed a transaction in us-west-2 before us-east-1 was back",
        ),
    ],
)
def test_a_failover_that_did_not_happen_has_its_cause(others: dict[str, Any], cause: str, journal: Journal) -> None:
    rpo = journal.content["rpo"]
    stayed: Rpo = {**rpo["confirmed"], "acknowledged_in_secondary": 0, "missing_at_failback": None}
    journal.set(rpo={**rpo, "confirmed": stayed})
    judge = judge_of(journal)
    judge.judge(evidence_of(**others))
    assert judge.causes[:2] == [cause, "clients did not return to us-east-1 after its recovery"]
    assert missed_by(judge) == dict.fromkeys(
        (
            *("failover", "failback", "confirmed mode: missing in us-west-2 at the failover, of 20 acknowledged"),
            "confirmed mode: missing in us-east-1 at the failback, of 0 acknowledged in us-west-2",
        )
    )


@pytest.mark.parametrize(("away", "met"), [(36, True), (37, False)])
def test_while_both_regions_fail_dns_may_answer_with_the_other_one_for_a_moment(
    away: int, met: bool, journal: Journal
) -> None:
    judge = judge_of(journal)
    switches = [Change(100, "secondary"), Change(100 + away, "primary")]
    judge.judge(evidence_of("both", **STAYED | {"switches": switches}))
    target = judge.targets[0]
    assert (target["what"], target["target"], target["measured"], target["met"]) == (
        "longest time with us-west-2 in DNS",
        36,
        away,
        met,
    )
    assert judge.causes == (
        []
        if met
        else [
            "Route 53 answered with us-west-2 for 37 s: the probe of us-east-1 failed for long enough (HTTP status 503)"
        ]
    )


def test_an_answer_that_lasts_until_the_end_is_counted_until_then(journal: Journal) -> None:
    judge = judge_of(journal)
    judge.judge(evidence_of("permission", **STAYED | {"switches": [Change(100, "secondary")], "failed_back": False}))
    assert missed_by(judge) == {"longest time with us-west-2 in DNS": 500, "clients not served by the primary": 1}
    assert judge.causes == [
        "the health function of us-east-1 calls AccessDenied unhealthy, so Route 53 answered with us-west-2 for 500 s",
        "clients did not return to us-east-1",
    ]


def test_missing_or_different_data_at_the_end_are_named_and_miss_the_target(journal: Journal) -> None:
    content = journal.content
    lost: Rpo = {
        **content["rpo"]["confirmed"],
        "missing_at_switch": ["c1"],
        "missing_at_failback": ["c3", "c4"],
        "missing_after_recovery": ["c1", "c2"],
    }
    after: After = {
        "items": {"equal": False, "primary": 2, "secondary": 1, "different": ["c1", "c2"]},
        "written_twice": ["d"],
        "parameters_equal": False,
        "rotation": {"name": "/payment/db", "copied": {"primary": True, "secondary": False}},
        "documents": {
            "copied_back": False,
            "written": {"primary": 3, "secondary": 2},
            "missing": {"primary": ["x", "y"], "secondary": ["z"]},
            "deleted_in_one_region": [],
        },
        "split_brain": None,
        "alarms": {
            "expected": {"primary": ["c"]},
            "fired": ["a", "b"],
            "still": ["b"],
            "undelivered": ["a has no action"],
        },
    }
    journal.set(rpo={"local": content["rpo"]["local"], "confirmed": lost}, after=after)
    judge = judge_of(journal)
    judge.judge(evidence_of())
    assert missed_by(judge) == {
        "confirmed mode: missing after recovery, of 50 acknowledged": 2,
        "confirmed mode: missing in us-west-2 at the failover, of 20 acknowledged": 1,
        "confirmed mode: missing in us-east-1 at the failback, of 15 acknowledged in us-west-2": 2,
        "after recovery: items that differ between the regions": 2,
        "after recovery: transactions written twice": 1,
        "after recovery: parameters differ": 1,
        "parameter rotated in us-west-2 and not copied to us-east-1": 1,
        "after recovery: documents of us-east-1 missing in us-west-2, of 3": 2,
        "health checks of us-east-1 whose alarm did not fire": 1,
        "alarms that reached nobody, of 2 that fired": 1,
        "after recovery: alarms that have not cleared, of 2 that fired": 1,
    }
    assert judge.causes[:3] == [
        "acknowledged in confirmed mode and not in both regions after recovery: c1, c2",
        "acknowledged in confirmed mode and not in us-west-2: c1",
        "clients returned to us-east-1 before it had what us-west-2 acknowledged in confirmed mode: c3, c4",
    ]
    assert "after recovery: parameters differ" in judge.causes


AT_THE_SWITCH = "confirmed mode: missing in us-west-2 at the failover, of 20 acknowledged"


def at_the_switch(judge: Judge) -> Target:
    (found,) = (each for each in judge.targets if each["what"] == AT_THE_SWITCH)
    return found


@pytest.mark.parametrize("kind", ["region", "hang", "dynamodb"])
def test_confirmed_mode_meets_its_target_only_where_local_mode_loses_something(kind: str, journal: Journal) -> None:
    judge = judge_of(journal)
    judge.judge(evidence_of(kind))
    assert (judge.verdict, at_the_switch(judge)["met"]) == ("passed", True)
    rpo = journal.content["rpo"]
    journal.set(rpo={**rpo, "local": {**rpo["local"], "missing_at_switch": []}})
    judge = judge_of(journal)
    judge.judge(evidence_of(kind))
    found = at_the_switch(judge)
    assert (found["met"], found["tested"], found["measured"], found["target"]) == (None, True, 0, 0)
    assert found["how"] == f"inconclusive: {judge.causes[0]}"
    assert (judge.verdict, len(judge.causes)) == ("inconclusive", 1)
    judge = judge_of(journal, 60)  # what is missed for sure outweighs what is not known
    judge.judge(evidence_of(kind))
    assert judge.verdict == "missed"


@pytest.mark.parametrize("kind", ["api", "health", "fence"])
def test_an_outage_that_goes_on_replicating_does_not_test_confirmed_mode(kind: str, journal: Journal) -> None:
    rpo = journal.content["rpo"]
    local: Rpo = {**rpo["local"], "missing_at_switch": []}
    journal.set(rpo={"local": local, "confirmed": rpo["confirmed"]})
    judge = judge_of(journal)
    judge.judge(evidence_of(kind))
    found = at_the_switch(judge)
    assert (found["met"], found["tested"], found["measured"], found["target"]) == (None, False, None, 0)
    assert found["how"] == "not tested by this outage: replication goes on"
    assert (judge.verdict, judge.causes) == ("passed", [])
    journal.set(rpo={"local": local, "confirmed": {**rpo["confirmed"], "missing_at_switch": ["c1"]}})
    judge = judge_of(journal)
    judge.judge(evidence_of(kind))
    assert (judge.verdict, at_the_switch(judge)["measured"]) == ("missed", 1)


def test_a_fence_with_replication_paused_is_judged_at_the_switch_and_may_confirm_nothing_in_the_secondary(
    journal: Journal,
) -> None:
    rpo = journal.content["rpo"]
    none: Rpo = {**rpo["confirmed"], "acknowledged_in_secondary": 0}
    journal.set(rpo={**rpo, "confirmed": none})
    paused = replace(OUTAGES["fence"], cuts_replication=True)
    judge = judge_of(journal)
    judge.judge(evidence_of(outage=paused))
    assert (judge.verdict, at_the_switch(judge)["met"]) == ("passed", True)
    (untested,) = (each for each in judge.targets if not each["tested"])
    assert untested["how"] == "not tested by this outage: no payment was acknowledged in us-west-2"
    judge = judge_of(journal)  # a region that is down is no reason to acknowledge nothing in the other one
    judge.judge(evidence_of("region"))
    assert judge.verdict == "missed"


@pytest.mark.parametrize(("copied_back", "missed"), [(False, 0), (True, 2)])
def test_documents_of_the_secondary_are_a_target_where_the_stack_copies_them_back(
    journal: Journal, copied_back: bool, missed: int
) -> None:
    documents: DocumentsRecord = {
        "copied_back": copied_back,
        "written": {"primary": 3, "secondary": 2},
        "missing": {"primary": [], "secondary": ["y", "z"]},
        "deleted_in_one_region": ["d"],
    }
    journal.set(after={**journal.content["after"], "documents": documents})
    judge = judge_of(journal)
    judge.judge(evidence_of())
    what = "after recovery: documents of us-west-2 missing in us-east-1, of 2"
    assert missed_by(judge) == ({what: missed} if missed else {})
    assert judge.causes == (["after recovery us-east-1 lacks documents of us-west-2: y, z"] if missed else [])
    assert "after recovery: documents of us-east-1 missing in us-west-2, of 3" in {
        each["what"] for each in judge.targets
    }


def test_a_drill_is_inconclusive_if_a_region_served_without_a_change_of_dns(tmp_path: Path) -> None:
    evidence = evidence_of(switches=[Change(5, "secondary")])  # before the outage
    judge = judge_of(Journal(tmp_path, {"kind": "region"}))
    with pytest.raises(OperationError, match="clients paid in the secondary region, but DNS was never seen"):
        judge.judge(evidence)


def test_dns_that_never_turned_was_away_for_no_time() -> None:
    assert judge._longest_away(evidence_of(switches=[])) == 0.0
    assert judge._longest_away(evidence_of()) == 230.0
    assert judge._longest_away(evidence_of(switches=[Change(100, "secondary")])) == 500.0


def paid(region: str, mode: str, at: float, acknowledged: int, failed: int) -> list[Any]:
    of = {"region": region, "mode": mode, "at": at}
    return [{**of, "acknowledged": number < acknowledged} for number in range(acknowledged + failed)]


@pytest.mark.parametrize(
    ("mode", "found", "cause"),
    [
        ("local", (4, 0), None),
        ("local", (3, 1), "local payments to us-east-1 failed during the outage: 1 of 4"),
        ("confirmed", (0, 4), None),
        ("confirmed", (1, 3), "confirmed payments to us-east-1 acknowledged during the outage: 1 of 4"),
    ],
)
def test_payments_that_must_go_on_or_stop_during_an_outage_are_judged(
    mode: str, found: tuple[int, int], cause: str | None, journal: Journal
) -> None:
    other, as_it_must = ("confirmed", (0, 9)) if mode == "local" else ("local", (9, 0))
    payments = [*paid("us-east-1", other, 10.001, *as_it_must), *paid("us-east-1", mode, 10.001, *found)]
    for region, at in (("us-east-1", 10), ("us-east-1", 300), ("us-west-2", 50)):
        payments += paid(region, mode, at, 1, 1)  # anything may happen there and then
    journal.set(payments=payments)
    judge = judge_of(journal)
    judge.judge(evidence_of("secondary", **STAYED))
    assert judge.causes == ([cause] if cause else [])
    assert judge.verdict == ("missed" if cause else "passed")


def test_an_outage_without_a_payment_shows_nothing_about_payments(journal: Journal) -> None:
    judge = judge_of(journal)
    judge.judge(evidence_of("replication", **STAYED))
    missed = [(target["what"], target["measured"]) for target in judge.targets if not target["met"]]
    assert missed == [
        ("local payments to us-east-1 failed during the outage, of 0", None),
        ("confirmed payments to us-east-1 acknowledged during the outage, of 0", None),
    ]


def test_in_a_split_brain_payments_to_both_regions_are_judged_and_without_a_conflict_it_shows_nothing(
    journal: Journal,
) -> None:
    payments = [
        *(each for region in REGIONS.values() for each in paid(region, "local", 50, 4, 0)),
        *(each for region in REGIONS.values() for each in paid(region, "confirmed", 50, 0, 4)),
    ]
    split_brain: SplitBrainRecord = {"unseen": {"primary": 4, "secondary": 4}, "conflicts": []}
    journal.set(payments=payments, after={**journal.content["after"], "split_brain": split_brain})
    judge = judge_of(journal)
    judge.judge(evidence_of("partition", **STAYED))
    assert (judge.verdict, judge.causes) == (
        "inconclusive",
        ["no payment was acknowledged in both regions: this run does not show what becomes of one"],
    )
    payments[4]["acknowledged"] = False
    judge = judge_of(journal)
    judge.judge(evidence_of("partition", **STAYED))
    assert missed_by(judge)["local payments to us-west-2 failed during the outage, of 4"] == 1


def probe_at(at: float, side: Side, *, ok: bool) -> ProbeEvent:
    error = None if ok else "HTTP status 503"
    status = 200 if ok else 503
    region = REGIONS[side]
    return {"kind": "probe", "region": region, "checker": "a", "ok": ok, "status": status, "seconds": 0, "error": error}


def note_probes(journal: Journal, failed: dict[Side, list[float]]) -> None:
    """A probe of each region every ten seconds, of which these failed."""
    for at in range(0, 600, 10):
        for side in SIDES:
            journal.note(probe_at(at, side, ok=at not in failed.get(side, [])), at=at)


DURING, WHOLE_OUTAGE = [100.0, 110.0], [float(at) for at in range(10, 301, 10)]


@pytest.mark.parametrize(
    ("kind", "failed", "others", "is_inconclusive"),
    [
        ("region", {"primary": WHOLE_OUTAGE, "secondary": DURING}, STAYED, True),
        ("partial", {"primary": DURING, "secondary": DURING}, {}, True),
        ("region", {"primary": WHOLE_OUTAGE, "secondary": WHOLE_OUTAGE}, STAYED, False),  # it depends on the other one
        ("region", {"primary": WHOLE_OUTAGE}, STAYED, False),
        ("partial", {"primary": DURING, "secondary": [500.0]}, {}, False),  # at another time
        ("both", {"primary": WHOLE_OUTAGE, "secondary": DURING}, {}, False),  # which it is for
    ],
)
def test_a_drill_is_inconclusive_if_probes_of_both_regions_fail_without_an_outage(
    kind: str, failed: dict[Side, list[float]], others: dict[str, Any], is_inconclusive: bool, journal: Journal
) -> None:
    note_probes(journal, failed)
    judge = judge_of(journal)
    if is_inconclusive:
        with pytest.raises(OperationError, match=r"failed at the same time, .* this machine is too busy"):
            judge.judge(evidence_of(kind, **others))
    else:
        judge.judge(evidence_of(kind, **others))
    assert judge.verdict == "missed"


def test_a_busy_machine_excuses_nothing_that_probes_do_not_decide(journal: Journal) -> None:
    note_probes(journal, {"primary": WHOLE_OUTAGE, "secondary": DURING})
    journal.set(after={**journal.content["after"], "parameters_equal": False})
    judge = judge_of(journal)
    judge.judge(evidence_of(**STAYED))
    assert judge.verdict == "missed"


def test_a_drill_that_passes_on_a_busy_machine_has_passed(journal: Journal) -> None:
    note_probes(journal, {"primary": WHOLE_OUTAGE, "secondary": DURING})
    judge = judge_of(journal)
    judge.judge(evidence_of())
    assert judge.verdict == "passed"


@pytest.mark.parametrize(
    ("missing", "verdict", "how"),
    [
        (
            ["a", "b"],
            "passed",
            "not tested by this outage: Route 53 returns clients before replication has caught up; 2 were missing",
        ),
        ([], "inconclusive", "inconclusive: us-east-1 lacked nothing when clients returned: there was no backlog"),
        (None, "missed", "counted"),
    ],
)
def test_after_a_backlog_what_is_missing_at_the_failback_is_counted(
    missing: list[str] | None, verdict: str, how: str, journal: Journal
) -> None:
    rpo = journal.content["rpo"]
    rpo["local"]["missing_at_switch"] = ["x"]
    rpo["confirmed"] |= {"missing_at_failback": missing, "acknowledged_in_secondary": 9}
    judge = judge_of(journal)
    judge.judge(evidence_of("recovery-backlog"))
    assert judge.verdict == verdict
    (target,) = [each for each in judge.targets if "at the failback" in each["what"]]
    assert (target["target"], target["how"]) == (0, how)


@pytest.mark.parametrize(
    ("returned", "missing", "missed"),
    [
        ([], [], {}),
        ([], ["a"], {"confirmed mode: missing in us-east-1 at the failback, of 9 acknowledged in us-west-2": 1}),
        (
            [Change(330, "primary"), Change(400, "secondary")],
            [],
            {"failback": 261, "returns of DNS to us-east-1 before an operator let clients return": 1},
        ),
    ],
)
def test_where_an_operator_returns_clients_they_stay_over_and_a_backlog_may_leave_nothing_missing(
    returned: list[Change], missing: list[str], missed: dict[str, float], journal: Journal
) -> None:
    rpo = journal.content["rpo"]
    rpo["confirmed"] |= {"missing_at_failback": missing, "acknowledged_in_secondary": 9}
    back = {name: [Change(at, "primary")] for name, at in (("verdicts", 530), ("expired", 560), ("served", 561))}
    known = evidence_of()
    later = {name: [*getattr(known, name)[:1], *changes] for name, changes in back.items()}
    switches = [Change(100, "secondary"), *returned, Change(530, "primary")]
    judge = judge_of(journal)
    judge.judge(evidence_of("recovery-backlog", **later, switches=switches, released=500, ended=600))
    assert missed_by(judge) == missed
    failback = journal.content["rto"]["failback"]
    assert failback
    assert failback["total"] == (261 if returned else 61)  # else from when the operator lets them return
