"""A dashboard belongs to an account, and its body is checked.

AWS: dashboards are global, not regional
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html). PutDashboard rejects a name
with other characters than letters, digits, "-" and "_", and a body with another structure than documented, with
InvalidParameterInput
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html).

ministack 1.5.33: keeps dashboards by region, takes any name and any text, and returns a body with "&" or "<" as XML
that cannot be read.

Why it matters: two dashboards of one name, one in each region, would both exist here, and a widget that CloudWatch
rejects would fail on AWS only.
"""

import json
import re
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import AccountScopedDict  # type: ignore[import-untyped]
from ministack.services import cloudwatch  # type: ignore[import-untyped]

_GRID = {"x": (0, 23), "y": (0, None), "width": (1, 24), "height": (1, 1000)}
_TYPES = {"alarm", "custom", "explorer", "log", "metric", "text"}
_MOST_WIDGETS, _MOST_ALARMS = 500, 100


def apply() -> None:
    """Keep dashboards by account, and check them."""
    put_dashboard, get_dashboard = cloudwatch._put_dashboard, cloudwatch._get_dashboard
    cloudwatch._dashboards = AccountScopedDict()

    def put(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        given = data if is_cbor or is_json else {name: cloudwatch._p(params, name) for name in _REQUEST}
        if mistake := _mistake(*(str(given.get(name, "")) for name in _REQUEST)):
            return cloudwatch._error("InvalidParameterInput", mistake, 400, use_json=is_json, use_cbor=is_cbor)
        return put_dashboard(params, data, is_cbor, is_json)

    def get(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        name = "" if is_cbor or is_json else cloudwatch._p(params, "DashboardName")
        found = cloudwatch._dashboards.get(name) if name else None
        if not found:
            return get_dashboard(params, data, is_cbor, is_json)
        body = "".join(
            f"<{each}>{escape(found[each])}</{each}>" for each in ("DashboardArn", "DashboardBody", "DashboardName")
        )
        return cloudwatch._xml(200, "GetDashboardResponse", f"<GetDashboardResult>{body}</GetDashboardResult>")

    cloudwatch._put_dashboard = put
    cloudwatch._get_dashboard = get


_REQUEST = ("DashboardName", "DashboardBody")


def _mistake(name: str, body: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{1,255}", name):
        return "The value for field DashboardName contains invalid characters."
    try:
        widgets = json.loads(body)["widgets"]
    except (ValueError, TypeError, KeyError):
        return "The field DashboardBody must be a valid JSON object"
    if not isinstance(widgets, list) or len(widgets) > _MOST_WIDGETS:
        return f"The dashboard body must have at most {_MOST_WIDGETS} widgets"
    wrong = (f"/widgets/{place}: {said}" for place, each in enumerate(widgets) if (said := _mistake_in(each)))
    return next((f"The dashboard body is invalid: {said}" for said in wrong), "")


def _mistake_in(widget: Any) -> str:
    if not isinstance(widget, dict) or widget.get("type") not in _TYPES:
        return "Should have a type that is known"
    for name, (low, high) in _GRID.items():
        value = widget.get(name, low)
        if not isinstance(value, int) or value < low or (high is not None and value > high):
            return f"{name} is outside of the grid"
    properties = widget.get("properties")
    if not isinstance(properties, dict):
        return "Should have properties"
    annotated = properties.get("annotations", {}).get("alarms", [])
    match widget["type"]:
        case "text" if not isinstance(properties.get("markdown"), str):
            return "Should have markdown"
        case "alarm" if not _are_alarms(properties.get("alarms"), _MOST_ALARMS):
            return "Should have 1 to 100 ARNs of alarms"
        case "metric" if "metrics" not in properties and not _are_alarms(annotated, 1):
            return "Should have metrics or the ARN of one alarm"
        case "metric" if not properties.get("region"):
            return "Should have a region"
    return ""


def _are_alarms(arns: Any, most: int) -> bool:
    alarm = r"arn:aws:cloudwatch:[a-z0-9-]+:[0-9]{12}:alarm:.+"
    return isinstance(arns, list) and 1 <= len(arns) <= most and all(re.fullmatch(alarm, str(arn)) for arn in arns)
