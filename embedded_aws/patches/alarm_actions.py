"""An alarm reaches a topic only if the topic and its key allow CloudWatch.

AWS: the topic's policy must allow ``cloudwatch.amazonaws.com`` to publish, and the policy of the key of an encrypted
topic must allow it ``kms:Decrypt`` and ``kms:GenerateDataKey``. The AWS managed key never does
(https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns). The alarm's history has the result of each action
(https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger).

ministack 1.5.33: sends every alarm to its topics, and its history has only changes of state.

Why it matters: without those statements no alarm reaches anyone, and nothing else shows that they are missing.
"""

import json
import time
from typing import Any

from ministack.services import cloudwatch, sns  # type: ignore[import-untyped]

from embedded_aws.patches import rights

_CLOUDWATCH = "cloudwatch.amazonaws.com"
_ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_LONGEST_SUMMARY = 255


def apply() -> None:
    """Check the policies of topic and key before sending an alarm, and record the result in its history."""
    dispatch_alarm_actions = cloudwatch._dispatch_alarm_actions

    def dispatch(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
        permitted = {
            name: [arn for arn in alarm.get(name) or [] if _may_publish(arn, alarm["AlarmArn"])]
            for name in _ACTIONS.values()
        }
        dispatch_alarm_actions({**alarm, **permitted}, old_state, new_state, reason)
        name = _ACTIONS[new_state]
        for arn in alarm.get(name) or [] if alarm.get("ActionsEnabled", True) else []:
            _note(alarm, arn, executed=arn in permitted[name])

    cloudwatch._dispatch_alarm_actions = dispatch


def _note(alarm: dict[str, Any], arn: str, *, executed: bool) -> None:
    refusal = f"Resource: {alarm['AlarmArn']} is not authorized to perform: SNS:Publish on resource: {arn}"
    summary = (
        f"Successfully executed action {arn}"
        if executed
        else f'Failed to execute action {arn}. Received error: "{refusal}"'
    )
    cloudwatch._history_entries().append(
        {
            "AlarmName": alarm["AlarmName"],
            "AlarmType": "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm",
            "Timestamp": cloudwatch._ts_iso(time.time()),
            "HistoryItemType": "Action",
            "HistorySummary": summary[:_LONGEST_SUMMARY],
            "HistoryData": json.dumps({"notificationResource": arn}),
        }
    )


def _may_publish(topic_arn: str, alarm_arn: str) -> bool:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic is None or not rights.service_may(
        _CLOUDWATCH, "sns:Publish", topic_arn, topic["attributes"].get("Policy"), alarm_arn
    ):
        return False
    key_id = topic["attributes"].get("KmsMasterKeyId")
    return not key_id or rights.service_may_encrypt(_CLOUDWATCH, key_id, alarm_arn)
