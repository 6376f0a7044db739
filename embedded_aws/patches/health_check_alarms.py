"""A health check of an alarm has a copy of the alarm's settings.

AWS: Route 53 copies the settings of an alarm when a health check of it is made or updated, and keeps them when the
alarm changes (https://docs.aws.amazon.com/Route53/latest/APIReference/API_CloudWatchAlarmConfiguration.html,
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-updating-cloudwatch-alarm-settings.html).

ministack 1.5.33: keeps the name of the alarm alone.

Why it matters: a drill evaluates the settings that the deployed health check follows.
"""

from typing import Any
from xml.etree.ElementTree import Element, SubElement

from ministack.services import route53  # type: ignore[import-untyped]

from embedded_aws.patches.route53_health_checks import alarm_of

_COPIED = ("EvaluationPeriods", "Threshold", "ComparisonOperator", "Period", "MetricName", "Namespace", "Statistic")
_COPY = "CloudWatchAlarmConfiguration"


def apply() -> None:
    """Copy the settings of alarms, and describe them."""
    parse, build = route53._parse_health_check_config, route53._build_health_check_el

    def parse_with_alarm(element: Element) -> dict[str, Any]:
        config: dict[str, Any] = parse(element)
        if alarm := alarm_of(config):
            config[_COPY] = {name: alarm.get(name) for name in (*_COPIED, "Dimensions")}
        return config

    def build_with_alarm(parent: Element, check: dict[str, Any]) -> None:
        build(parent, check)
        if copied := check["config"].get(_COPY):
            described = SubElement(parent[-1], _COPY)
            for name in _COPIED:
                SubElement(described, name).text = str(copied[name])
            dimensions = SubElement(described, "Dimensions")
            for dimension in copied["Dimensions"] or ():
                one = SubElement(dimensions, "Dimension")
                for name in ("Name", "Value"):
                    SubElement(one, name).text = dimension[name]

    route53._parse_health_check_config = parse_with_alarm
    route53._build_health_check_el = build_with_alarm
