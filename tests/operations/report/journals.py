"""Journals of drills as the drill writes them, made from the model alone."""

import json
import math
import random
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from payment_dr.operations.drill.targets import MISSES_WHEN
from payment_dr.operations.route53.checkers import HealthCheckerFleet, Observation, ProbeResult, random_first_requests
from payment_dr.operations.route53.recovery_time import (
    PHASES,
    Phases,
    Settings,
    distribution,
    sensitivity,
    simulate_failback,
    simulate_failover,
)
from payment_dr.operations.route53.zone import HealthCheck

Journal = dict[str, Any]
PRIMARY, SECONDARY = ("us-east-1", "us-west-2")
START, OUTAGE, WRITES = 5, 60, 20  # seconds: the load begins, the region fails; transactions a second
DRAW = "one draw of seed 42, virtual time; real probes, simulated DNS"
AT_SWITCH = "confirmed mode: missing in us-west-2 at the failover, of 10987 acknowledged"
LOST = [f"tx-local-{number:06}" for number in range(1093, 1102)]


def passed() -> Journal:
    """All targets met: the region failed for 300 s, and nine transactions of the local mode stayed behind."""
    return _journal(Settings(), "passed")


def missed() -> Journal:
    """The same with a TTL of 300 s."""
    cause = (
        "the record app.payment-app.test has a TTL of 300 s, so resolvers keep the failed region's address that long"
    )
    return _journal(Settings(ttl_seconds=300), "missed", cause)


def killed() -> Journal:
    """The embedded AWS died in the outage, 120 s into the drill: no end, nothing measured, the action not undone."""
    journal = passed()
    events = [event for event in journal["events"] if event["at"] < 120]
    causes = ["the embedded AWS stopped answering in step detection"]
    left: Journal = {"ended": None, "events": events, "rto": {}, "rpo": {}, "after": {}, "targets": []}
    return journal | left | {"verdict": "inconclusive", "causes": causes}


def write(journal: Journal, folder: Path) -> Path:
    """The journal's file."""
    path = folder / "drill.json"
    path.write_text(json.dumps(journal, indent=1), encoding="utf-8")
    return path


def _journal(settings: Settings, verdict: str, *causes: str) -> Journal:
    journal: Journal = json.loads(_content(settings, verdict, causes))
    return journal


@cache
def _content(settings: Settings, verdict: str, causes: tuple[str, ...]) -> str:
    recovery = OUTAGE + 270 + settings.ttl_seconds
    probes = _probes(PRIMARY, range(OUTAGE, recovery), recovery + 500)
    _, unhealthy, healthy = (event["at"] for event in probes if event["kind"] == "verdict")
    there = replace(simulate_failover(settings, 4), detect=unhealthy - OUTAGE)
    back = replace(simulate_failback(settings, 5), detect=healthy - recovery)
    moved, returned = OUTAGE + there.total, recovery + back.total
    end = math.ceil(returned) + 60
    steps = {
        "preflight": 0.0,
        "steady load": START,
        "outage": OUTAGE,
        "detection": OUTAGE + 0.1,
        "switch": OUTAGE + there.detect,
        "served by us-west-2": moved,
        "recovery": recovery,
        "failback": recovery + back.detect,
        "verification": end - 20,
    }
    model = asdict(distribution(settings, runs=500))
    bound = model["failover"]["phases"]["total"]["bound"]
    hanging = model["failover"]["hanging_bound"]
    rto_target = 180
    acknowledged = {"local": 11_102, "confirmed": 10_987}
    content = {
        "schema": 1,
        "id": "2026-11-22T16-50-03Z-region",
        "started": "2026-11-22T16:50:03Z",
        "ended": "2026-11-22T16:51:09Z",
        "outage": {
            "kind": "region",
            "region": PRIMARY,
            "description": f"every call of {PRIMARY} answers 503",
            "seconds": recovery - OUTAGE,
        },
        "place": "embedded AWS",
        "time": "virtual",
        "system": {
            "is_emulated": True,
            "account": "000000000000",
            "fqdn": "app.payment-app.test",
            "zone": {"id": "Z1", "name": "payment-app.test"},
            "health_checks": {"primary": "check-1", "secondary": "check-2"},
            "apis": {"primary": "api-1", "secondary": "api-2"},
            "buckets": {"primary": "bucket-1", "secondary": "bucket-2"},
            "table": {
                "arn": "arn:aws:dynamodb:us-east-1:000000000000:table/transactions",
                "ids": {"primary": "table-1", "secondary": None},
            },
            "terraform": {"serial": 7, "lineage": "b1f8"},
            "caller": "arn:aws:iam::000000000000:user/ada",
            "host": "laptop",
            "tool": {"name": "payment-dr", "version": "0.1.0", "commit": "1eaa6f5-dirty"},
        },
        "seed": 42,
        "versions": {"terraform": "1.15.8", "ministack": "1.5.33", "python": "3.11.2"},
        "regions": {"primary": PRIMARY, "secondary": SECONDARY},
        "settings": {
            "request_interval_seconds": settings.request_interval_seconds,
            "failure_threshold": settings.failure_threshold,
            "ttl_seconds": settings.ttl_seconds,
            "rto_target_seconds": rto_target,
            "replication_lag_seconds": {"median": 0.5, "p99": 1.5},
        },
        "load": {"way": "table", "to": "transactions"},
        "made_of": {
            "real": ["HTTP calls to the deployed API", "Terraform and the AWS provider"],
            "emulated": ["DynamoDB, Lambda and API Gateway in both regions", "replication, with a set lag"],
            "simulated": ["Route 53's checkers, answers and caches", "time: the drill runs on a virtual clock"],
        },
        "events": _events(steps, probes, moved, returned, recovery, end),
        "rto": {
            "failover": _rto(there),
            "failback": _rto(back),
            "distribution": model,
            "sensitivity": [asdict(choice) for choice in sensitivity(runs=500)],
        },
        "rpo": {
            "local": _rpo(acknowledged["local"], 11_102, LOST, {"p50": 4.1, "p95": 7.9}),
            "confirmed": _rpo(acknowledged["confirmed"], 4_002, [], {"p50": 512.0, "p95": 1290.0}),
        },
        "after": {
            "items": {"equal": True, "primary": 22_089, "secondary": 22_089, "different": []},
            "written_twice": [],
            "parameters_equal": True,
            "documents": {
                "copied_back": False,
                "written": {"primary": 2, "secondary": 3},
                "missing": {"primary": [], "secondary": ["a", "b", "c"]},
                "deleted_in_one_region": ["d", "e"],
            },
            "undone": True,
        },
        "targets": [
            _target("failover", "s", rto_target, there.total, DRAW),
            _target(
                "failover, bound of the model", "s", rto_target, bound, f"computed; {hanging:.1f} s if probes hang"
            ),
            _target("failback", "s", rto_target, back.total, DRAW),
            _target(AT_SWITCH, "transactions", 0, 0, "counted, emulated AWS")
            | {"misses_when": MISSES_WHEN["missing at the failover"]},
        ],
        "verdict": verdict,
        "causes": causes,
    }
    return json.dumps(content)


def _rto(phases: Phases) -> dict[str, float]:
    return {name: getattr(phases, name) for name in PHASES}


def _rpo(acknowledged: int, alone: int, missing: list[str], latency: dict[str, float]) -> dict[str, Any]:
    steady = {"phase": "steady", "region": PRIMARY, "acknowledged": 1_100, "by_one_region": 0, "failed": 0}
    away = {"phase": "secondary serves", "region": SECONDARY, "acknowledged": 3_900, "by_one_region": 3_900}
    return {
        "acknowledged": acknowledged,
        "acknowledged_in_all": acknowledged,
        "acknowledged_by_one_region": alone,
        "acknowledged_in_secondary": 3_900,
        "missing_at_switch": missing,
        "missing_at_failback": [],
        "missing_after_recovery": [],
        "latency_ms": latency,
        "figures": [{**steady, "latency_ms": latency}, {**away, "failed": 3, "latency_ms": latency}],
        "recovery": {"failover": 102.5, "failback": 61.0},
    }


def _target(what: str, unit: str, target: float, measured: float, how: str) -> dict[str, Any]:
    return {
        "what": what,
        "unit": unit,
        "target": target,
        "measured": round(measured, 1),
        "met": measured <= target,
        "tested": True,
        "how": how,
    }


def _events(
    steps: dict[str, float], probes: list[Journal], moved: float, returned: float, recovery: float, end: int
) -> list[Journal]:
    found: list[Journal] = [{"at": at, "kind": "step", "name": name} for name, at in steps.items()]
    action = {"kind": "action", "name": f"fail {PRIMARY}"}
    found += [{"at": OUTAGE, **action, "undone": False}, {"at": recovery, **action, "undone": True}]
    alarm = {"kind": "alarm", "name": "route53-primary-health-check-dev"}
    found += [{"at": steps["switch"] + 9, **alarm, "state": "ALARM"}, {"at": recovery + 72, **alarm, "state": "OK"}]
    answers = {START: PRIMARY, steps["switch"]: SECONDARY, steps["failback"]: PRIMARY}
    found += [{"at": at, "kind": "answer", "region": region} for at, region in answers.items()]
    found += [event for event in probes + _probes(SECONDARY, range(0), end) if event["at"] <= end]
    for second in range(START, end - 20):
        serving = SECONDARY if moved <= second < returned else PRIMARY
        fails = serving == PRIMARY and OUTAGE <= second < recovery
        for mode in ("local", "confirmed"):
            done, failed = (0, WRITES // 4) if fails else (WRITES if mode == "local" else WRITES - 1, 0)
            load = {"region": serving, "mode": mode, "acknowledged": done, "failed": failed, "per": 1}
            found.append({"at": second, "kind": "transactions", **load})
    found.sort(key=lambda event: event["at"])
    return [{**event, "real": round(event["at"] / 12, 3)} for event in found]


def _probes(region: str, down: range, end: int) -> list[Journal]:
    def probe(check: HealthCheck, time: float) -> ProbeResult:
        return ProbeResult(connect_seconds=0.01, response_seconds=0.02, status=503 if int(time) in down else 200)

    check, rng = HealthCheck(id=region, host=region), random.Random(region)  # noqa: S311 - repeatable
    fleet = HealthCheckerFleet(check, probe, random_first_requests(check, rng, START))
    found: list[Journal] = [{"at": START, "kind": "verdict", "region": region, "healthy": True}]
    for seen in fleet.advance(end):
        found.append({"at": seen.time, "kind": "probe", "region": region, **_probe(seen)})
        before = [event["healthy"] for event in found if event["kind"] == "verdict"][-1]
        if seen.healthy != before:
            found.append({"at": seen.time, "kind": "verdict", "region": region, "healthy": seen.healthy})
    return found


def _probe(seen: Observation) -> dict[str, Any]:
    checker = f"{seen.region}{'abc'[seen.checker // 8]}"
    return {
        "checker": checker,
        "ok": seen.passed,
        "status": 200 if seen.passed else 503,
        "seconds": 0.03,
        "error": None if seen.passed else seen.reason,
    }
