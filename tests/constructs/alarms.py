"""When CloudWatch fires an alarm: its rule, for the alarms of this project.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

import re
from collections.abc import Callable, Mapping, Sequence

from tests.constructs.documents import Json

# CloudWatch looks further back than the evaluation periods. How far is not documented; in Amazon's examples it is two.
LOOKS_FURTHER_BACK = 2
STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {"Minimum": min, "Maximum": max, "Sum": sum}
COMPARISONS = {"GreaterThanThreshold": float.__gt__}


def is_alarm(points: Sequence[bool | None], *, periods: int, missing_is_breaching: bool) -> bool:
    """Whether the newest periods are all breaching; None is a period without data, the newest comes last.

    Data that is there decides first, also from further back; missing periods count only as far as it does not suffice.
    """
    there = [point for point in points if point is not None]
    filled = [missing_is_breaching] * (periods - len(there)) + there
    return all(filled[-periods:])


def minutes_until_alarm(alarm: Json, reports: Mapping[int, float], phase: int) -> int | None:
    """When an alarm fires after minute 0, at the end of one of the two hours' periods; None if it does not.

    Args:
        alarm: The synthesized alarm, on one metric or on one that is filled.
        reports: What is published, by minute.
        phase: Minutes that the period of minute 0 has already lasted then.
    """
    queries = alarm.get("metric_query", [])
    metrics = [query["metric"] for query in queries if "metric" in query]
    body = metrics[0] if metrics else alarm
    length = body["period"] // 60
    statistic = STATISTICS[body["stat"] if metrics else body["statistic"]]
    breaches = COMPARISONS[alarm["comparison_operator"]]
    filled = [re.fullmatch(r"FILL\(m0, ([0-9.]+)\)", query["expression"]) for query in queries if "expression" in query]
    empty = float(filled[0][1]) if filled and filled[0] else None
    looked_at = range(-(alarm["evaluation_periods"] + LOOKS_FURTHER_BACK), 0)
    for end in range(length - phase, 120, length):
        points = []
        for back in looked_at:
            begin = end + back * length
            values = [value for minute, value in reports.items() if begin <= minute < begin + length]
            point = float(statistic(values)) if values else empty
            points.append(None if point is None else breaches(point, float(alarm["threshold"])))
        missing_is_breaching = alarm["treat_missing_data"] == "breaching"
        if is_alarm(points, periods=alarm["evaluation_periods"], missing_is_breaching=missing_is_breaching):
            return end
    return None
