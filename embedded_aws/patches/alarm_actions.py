"""An alarm reaches a topic only if the topic, and its key, let CloudWatch in.

AWS: the topic's policy has to let ``cloudwatch.amazonaws.com`` publish, and the policy of the key of an encrypted topic
has to let it use ``kms:Decrypt`` and ``kms:GenerateDataKey``; the AWS managed key never does
(https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns).

ministack 1.5.33: hands every alarm to its topics.

Why it matters: without those statements no alarm reaches anyone, and nothing else shows that they are missing.
"""

from typing import Any

from ministack.core.responses import get_account_id  # type: ignore[import-untyped]
from ministack.services import cloudwatch, kms, sns  # type: ignore[import-untyped]

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
    if sns.topic_policy_allows(topic_arn, _CLOUDWATCH, alarm_arn, get_account_id()) and _may_encrypt(
        topic_arn, alarm_arn
    ):
        return True
    cloudwatch.logger.warning("%s may not publish to %s", alarm_arn, topic_arn)
    return False


def _may_encrypt(topic_arn: str, alarm_arn: str) -> bool:
    key_id = sns._topic_by_arn_any_scope(topic_arn)["attributes"].get("KmsMasterKeyId")
    if not key_id:
        return True
    key = kms._resolve_key(key_id)
    return key is not None and all(
        rights.service_may(_CLOUDWATCH, action, key["Arn"], key["Policy"], alarm_arn)
        for action in ("kms:Decrypt", "kms:GenerateDataKey")
    )
