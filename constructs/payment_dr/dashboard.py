"""A CloudWatch dashboard for each region: every alarm with its metric, and the section of the runbook it leads to."""

import json
from collections.abc import Sequence
from typing import Any

from .alerting import description_parts
from .bindings import CloudwatchDashboard, CloudwatchMetricAlarm, Construct
from .naming import name
from .region import Region

# Of the grid, which is 24 units wide:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
GRID = 24
TEXT_HEIGHT, GRAPH_HEIGHT, STATUS_HEIGHT = 3, 5, 4


def dashboard_name(region: Region, environment: str) -> str:
    """The name. It is unique in an account, because dashboards belong to no region."""
    return name("dashboard", "dr", region, environment)


def dashboard_url(region: Region, environment: str) -> str:
    """Where the console shows it.

    Example:
        >>> dashboard_url(Region(name="us-east-1"), "prod")
        'https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#dashboards/dashboard/dashboard-dr-east-prod'
    """
    console = f"https://{region.name}.console.aws.amazon.com/cloudwatch/home?region={region.name}"
    return f"{console}#dashboards/dashboard/{dashboard_name(region, environment)}"


def alarm_dashboard(
    scope: Construct, id_: str, *, region: Region, environment: str, alarms: Sequence[CloudwatchMetricAlarm]
) -> None:
    """A dashboard of the alarms of one region.

    It shows the state of all alarms. For each alarm it shows what to do, a link to the runbook, and the metric with the
    alarm's threshold.

    Args:
        scope: As of every construct.
        id_: As of every construct.
        region: Where the alarms are.
        environment: Environment name; may be a Terraform variable.
        alarms: The alarms, as `metric_alarm` makes them. At most 100, the limit of a widget.
    """
    widgets: list[dict[str, Any]] = [
        {
            "type": "alarm",
            "x": 0,
            "y": 0,
            "width": GRID,
            "height": STATUS_HEIGHT,
            "properties": {"title": f"Alarms in {region.name}", "alarms": [alarm.arn for alarm in alarms]},
        }
    ]
    half = GRID // 2
    for place, alarm in enumerate(alarms):
        row, column = divmod(place, 2)
        x, y = column * half, STATUS_HEIGHT + row * (TEXT_HEIGHT + GRAPH_HEIGHT)
        what_to_do, link = description_parts(alarm.alarm_description_input or "")
        widgets += [
            {
                "type": "text",
                "x": x,
                "y": y,
                "width": half,
                "height": TEXT_HEIGHT,
                "properties": {"markdown": f"{what_to_do} [Runbook]({link})"},
            },
            {
                "type": "metric",
                "x": x,
                "y": y + TEXT_HEIGHT,
                "width": half,
                "height": GRAPH_HEIGHT,
                "properties": {
                    "title": alarm.alarm_name_input,
                    "region": region.name,
                    "annotations": {"alarms": [alarm.arn]},
                },
            },
        ]
    CloudwatchDashboard(
        scope,
        id_,
        dashboard_name=dashboard_name(region, environment),
        dashboard_body=json.dumps({"widgets": widgets}),
        provider=region.provider,
    )
