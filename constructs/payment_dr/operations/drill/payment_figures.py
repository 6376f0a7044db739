"""What follows from the records of a drill's payments: their phases, counts, latencies and recovery times."""

import math
from collections.abc import Iterable, Sequence

from payment_dr.operations.drill.journal import (
    PAYMENT_PHASES,
    LatencyMs,
    PaymentFigures,
    PaymentPhase,
    PaymentRecord,
    Recovery,
)


def with_phases(
    records: Sequence[PaymentRecord], *, secondary: str, began: float | None, recovered: float | None
) -> list[PaymentRecord]:
    """The payments in the order in which clients began them, each with its phase.

    The secondary region serves from the first payment that it acknowledges during the outage to a client that follows
    DNS. The primary serves again from the first one that it acknowledges after that, or from the end of an outage
    without a failover.

    Args:
        records: The payments.
        secondary: The secondary region.
        began: Drill time in seconds at which the outage began. None: not yet.
        recovered: Drill time in seconds at which it ended. None: not yet.

    Example:
        >>> with_phases(records, secondary="us-west-2", began=None, recovered=None)[0]["phase"]  # doctest: +SKIP
        'steady'
    """
    ordered = sorted(records, key=lambda record: record["at"])
    starts: list[tuple[float, PaymentPhase]] = [(float("-inf"), "steady")]
    if began is not None:
        starts.append((round(began, 3), "outage"))
        following = [each for each in ordered if each["acknowledged"] and not each.get("pinned")]
        done = [(each["at"], each["region"]) for each in following if each["at"] >= starts[1][0]]
        served = next((at for at, region in done if region == secondary), None)
        if served is None:
            back = None if recovered is None else round(recovered, 3)
        else:
            starts.append((served, "secondary serves"))
            back = next((at for at, region in done if region != secondary and at > served), None)
        if back is not None:
            starts.append((back, "primary serves again"))
    return [{**record, "phase": [phase for start, phase in starts if start <= record["at"]][-1]} for record in ordered]


def figures(records: Iterable[PaymentRecord], mode: str) -> list[PaymentFigures]:
    """Counts and latencies of the payments of a client mode, by phase and region.

    Args:
        records: Payments with their phases.
        mode: The mode.

    Example:
        >>> figures(records, "confirmed")[0]  # doctest: +SKIP
        {'phase': 'steady', 'region': 'us-east-1', 'acknowledged': 61, 'by_one_region': 0, 'failed': 0, ...}
    """
    groups: dict[tuple[int, str], list[PaymentRecord]] = {}
    for record in records:
        if record["mode"] == mode:
            groups.setdefault((PAYMENT_PHASES.index(record["phase"]), record["region"]), []).append(record)
    found: list[PaymentFigures] = []
    for (phase, region), group in sorted(groups.items()):
        done = [record for record in group if record["acknowledged"]]
        found.append(
            {
                "phase": PAYMENT_PHASES[phase],
                "region": region,
                "acknowledged": len(done),
                "by_one_region": sum(not record["confirmed"] for record in done),
                "failed": len(group) - len(done),
                "latency_ms": latency_ms([record["seconds"] for record in done]),
            }
        )
    return found


def recovery(records: Iterable[PaymentRecord], mode: str, *, began: float, recovered: float) -> Recovery:
    """Seconds of drill time until the client of a mode had a payment acknowledged in the other region, and back.

    Args:
        records: Payments with their phases.
        mode: The mode.
        began: Drill time in seconds at which the outage began.
        recovered: Drill time in seconds at which it ended, or at which an operator let clients return.

    Example:
        >>> recovery(records, "confirmed", began=33.0, recovered=210.0)  # doctest: +SKIP
        {'failover': 104.6, 'failback': 87.0}
    """
    ends: dict[PaymentPhase, float] = {}
    for record in records:
        if record["mode"] == mode and record["acknowledged"]:
            phase, done = record["phase"], record["done"]
            ends[phase] = min(done, ends.get(phase, done))
    if (served := ends.get("secondary serves")) is None:
        return {"failover": None, "failback": None}
    back = ends.get("primary serves again")
    return {"failover": round(served - began, 2), "failback": None if back is None else round(back - recovered, 2)}


def latency_ms(seconds: Sequence[float]) -> LatencyMs:
    """Percentiles of latencies, in milliseconds.

    Args:
        seconds: The latencies in seconds.

    Example:
        >>> latency_ms([0.004, 0.008, 0.5])
        {'p50': 8.0, 'p95': 500.0}
    """
    ordered = sorted(seconds)
    return {"p50": _percentile_ms(ordered, 50), "p95": _percentile_ms(ordered, 95)}


def _percentile_ms(ordered: Sequence[float], percent: int) -> float | None:
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1] * 1000, 1) if ordered else None
