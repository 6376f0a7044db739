"""DescribeAlarms returns alarms as PutMetricAlarm got them.

AWS: DescribeAlarms returns every property of an alarm
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html).

ministack 1.5.33: PutMetricAlarm drops metric math and the actions for insufficient data and fills in a statistic, a
period and a threshold that were not given; DescribeAlarms in the Query protocol, which Terraform's AWS provider 5.x
speaks, leaves out the actions, metrics, dimensions, period, statistic and description.

Why it matters: every second plan would change every alarm, so an empty plan could not show that a deployment is
complete.
"""

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch  # type: ignore[import-untyped]

_DROPPED = ("Metrics", "InsufficientDataActions", "ThresholdMetricId", "EvaluateLowSampleCountPercentile")


def apply() -> None:
    """Keep all properties of alarms."""
    put_metric_alarm, describe_alarms = cloudwatch._put_metric_alarm, cloudwatch._describe_alarms

    def put(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        answer = put_metric_alarm(params, data, is_cbor, is_json)
        if answer[0] == 200:
            request = data if is_cbor or is_json else _from_query(params)
            _complete(cloudwatch._alarms[request["AlarmName"]], request)
        return answer

    def describe(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        if is_cbor or is_json:
            return describe_alarms(params, data, is_cbor, is_json)
        status, _, body = describe_alarms({}, _from_query(params), False, True)
        if status != 200:  # for the error in the protocol that was asked in
            return describe_alarms(params, data, is_cbor, is_json)
        described = json.loads(body)
        for alarm in (*described["MetricAlarms"], *described["CompositeAlarms"]):
            for name in [name for name in alarm if name.endswith("Timestamp")]:
                alarm[name] = cloudwatch._ts_iso(alarm[name])
        return cloudwatch._xml(
            200, "DescribeAlarmsResponse", f"<DescribeAlarmsResult>{_to_xml(described)}</DescribeAlarmsResult>"
        )

    cloudwatch._put_metric_alarm = put
    cloudwatch._describe_alarms = describe


def _complete(alarm: dict[str, Any], request: dict[str, Any]) -> None:
    alarm.update({name: request[name] for name in _DROPPED if request.get(name)})
    invented = {"TreatMissingData", "Threshold", "Statistic", "Period"} - request.keys()
    for name in invented:
        alarm[name] = None


def _from_query(params: dict[str, Any]) -> dict[str, Any]:
    """``Dimensions.member.1.Name=x`` and so on as ``{"Dimensions": [{"Name": "x"}]}``."""
    tree: dict[str, Any] = {}
    for path, value in params.items():
        *parents, leaf = (part for part in path.split(".") if part != "member")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = _typed(leaf, value[0] if isinstance(value, list) else value)
    whole: dict[str, Any] = _with_lists(tree)
    return whole


def _typed(name: str, text: str) -> Any:
    if name == "ReturnData":
        return text == "true"
    return int(text) if name in {"Period", "MaxRecords"} and text.isdigit() else text


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(name.isdigit() for name in node):
        return [_with_lists(node[index]) for index in sorted(node, key=int)]
    return {name: _with_lists(value) for name, value in node.items()}


def _to_xml(value: Any) -> str:
    if isinstance(value, dict):
        present = {name: inner for name, inner in value.items() if inner not in (None, "", [])}
        return "".join(f"<{name}>{_to_xml(inner)}</{name}>" for name, inner in present.items())
    if isinstance(value, list):
        return "".join(f"<member>{_to_xml(item)}</member>" for item in value)
    return escape(str(value).lower() if isinstance(value, bool) else str(value))
