"""An alarm reaches a topic only if the topic, and its key, let CloudWatch in.

AWS: the topic's policy has to let ``cloudwatch.amazonaws.com`` publish, and the policy of the key of an encrypted topic
has to let it use ``kms:Decrypt`` and ``kms:GenerateDataKey``; the AWS managed key never does
(https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns).

ministack 1.5.33: hands every alarm to its topics.

Why it matters: without those statements no alarm reaches anyone, and nothing else shows that they are missing.
"""

from typing import Any

from ministack.services import cloudwatch, sns  # type: ignore[import-untyped]

from embedded_aws.patches import rights

_CLOUDWATCH = "cloudwatch.amazonaws.com"
_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def apply() -> None:
    """Ask the policies of topic and key before an alarm is handed over."""
    dispatch_alarm_actions = cloudwatch._dispatch_alarm_actions

    def dispatch(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
        permitted = {
            name: [arn for arn in alarm.get(name) or [] if _may_publish(arn, alarm["AlarmArn"])] for name in _ACTIONS
        }
        dispatch_alarm_actions({**alarm, **permitted}, old_state, new_state, reason)

    cloudwatch._dispatch_alarm_actions = dispatch


def _may_publish(topic_arn: str, alarm_arn: str) -> bool:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic is None or not rights.service_may(
        _CLOUDWATCH, "sns:Publish", topic_arn, topic["attributes"].get("Policy"), alarm_arn
    ):
        return False
    key_id = topic["attributes"].get("KmsMasterKeyId")
    return not key_id or rights.service_may_encrypt(_CLOUDWATCH, key_id, alarm_arn)
