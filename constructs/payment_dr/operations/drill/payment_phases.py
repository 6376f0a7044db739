"""The phases of a drill as its clients live through them: which of them each payment belongs to."""

from collections.abc import Sequence

from payment_dr.operations.drill.journal import PaymentPhase, PaymentRecord


def with_phases(
    records: Sequence[PaymentRecord], *, secondary: str, began: float | None, recovered: float | None
) -> list[PaymentRecord]:
    """The payments in the order in which clients began them, each with its phase.

    The secondary region serves from the first payment that it acknowledges during the outage. The primary serves again
    from the first one that it acknowledges after that, or from the end of an outage without a failover.

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
        done = [(each["at"], each["region"]) for each in ordered if each["acknowledged"] and each["at"] >= starts[1][0]]
        served = next((at for at, region in done if region == secondary), None)
        if served is None:
            back = None if recovered is None else round(recovered, 3)
        else:
            starts.append((served, "secondary serves"))
            back = next((at for at, region in done if region != secondary and at > served), None)
        if back is not None:
            starts.append((back, "primary serves again"))
    return [{**record, "phase": [phase for start, phase in starts if start <= record["at"]][-1]} for record in ordered]
