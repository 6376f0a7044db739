"""CloudWatch's evaluation of an alarm, in a drill's time instead of the emulator's."""

import operator
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, cast

from payment_dr.operations.route53.zone import AlarmState

_LOOKS_FURTHER_BACK = 2
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Minimum": min,
    "Maximum": max,
    "Average": fmean,
    "Sum": sum,
    "SampleCount": len,
}


def state_of(alarm: Mapping[str, Any], data: Sequence[tuple[float, float]], at: float) -> AlarmState:
    """The state of an alarm.

    Existing data decide first, even if they are a little older: two periods in Amazon's examples. Then the alarm's own
    rule for missing data decides.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

    Args:
        alarm: The alarm as CloudWatch describes it.
        data: Times and values of its metric.
        at: When it is evaluated, in seconds.
    """
    period, periods = float(alarm["Period"]), int(alarm["EvaluationPeriods"])
    statistic, breaches = _STATISTICS[alarm["Statistic"]], _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = []
    for number in range(periods + _LOOKS_FURTHER_BACK):
        end = at - number * period
        if values := [value for time, value in data if end - period <= time < end]:
            breaching.append(breaches(statistic(values), alarm["Threshold"]))
    breaching = breaching[:periods]
    treatment = alarm.get("TreatMissingData", "missing")
    if treatment in ("breaching", "notBreaching"):
        breaching += [treatment == "breaching"] * (periods - len(breaching))
    if not breaching:
        return cast(AlarmState, alarm["StateValue"]) if treatment == "ignore" else "INSUFFICIENT_DATA"
    return "ALARM" if sum(breaching) >= int(alarm.get("DatapointsToAlarm") or periods) else "OK"
