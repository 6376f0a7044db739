"""SSM and SNS call KMS with the rights of their caller.

AWS: reading a SecureString decrypted needs ``kms:Decrypt``, writing one ``kms:Encrypt`` (``kms:GenerateDataKey`` in
the advanced tier), each through ``kms:ViaService`` and with the encryption context ``PARAMETER_ARN``
(https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html). Publishing
to an encrypted topic needs ``kms:GenerateDataKey`` and ``kms:Decrypt``
(https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html). Both the identity's policies and the key's policy
have to allow it (https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html). A key that does not
exist is refused with InvalidKeyId. A direct call of KMS carries ``kms:CallerAccount`` and its encryption context as
condition keys too (https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html). SNS uses the key of an
encrypted queue that it delivers to as itself
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html).

ministack 1.5.33: asks for none of it, takes any key name, and knows no condition key of KMS.

Why it matters: a missing KMS right, or a wrong key, goes unnoticed until the day of the failover.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.core.responses import error_response_json, get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import kms, sns, sqs, ssm  # type: ignore[import-untyped]

from embedded_aws.patches import rights

_AWS_MANAGED = "alias/aws/"  # everyone in the account may use these through their service
Handler = Callable[[Any], Any]


def apply() -> None:
    """Check KMS before SSM and SNS handle a call, and pass the condition keys of a direct call."""
    request_tag_context = iam_actions.request_tag_context
    deliver_to_sqs = sns._deliver_to_sqs

    def context(service: str, action: str, body: bytes, params: Any) -> Any:
        found = request_tag_context(service, action, body, params)
        if service == "kms":
            found |= _context(json.loads(body or b"{}").get("EncryptionContext") or {})
        return found

    def deliver(endpoint: str, *args: Any, topic_arn: str = "", **kwargs: Any) -> None:
        queue = sqs._queue_by_arn(endpoint)
        key_id = queue["attributes"].get("KmsMasterKeyId") if queue else None
        if not key_id or rights.service_may_encrypt("sns.amazonaws.com", key_id, topic_arn):
            deliver_to_sqs(endpoint, *args, topic_arn=topic_arn, **kwargs)

    iam_actions.request_tag_context = context
    sns._deliver_to_sqs = deliver
    ssm._get_parameter = _before(ssm._get_parameter, lambda data: _decrypts(data, [data.get("Name")]))
    ssm._get_parameters = _before(ssm._get_parameters, lambda data: _decrypts(data, data.get("Names", [])))
    ssm._get_parameters_by_path = _before(
        ssm._get_parameters_by_path,
        lambda data: _decrypts(
            data, [n for n in ssm._parameters if n.startswith(data.get("Path", "/").rstrip("/") + "/")]
        ),
    )
    ssm._get_parameter_history = _before(ssm._get_parameter_history, lambda data: _decrypts(data, [data.get("Name")]))
    ssm._put_parameter = _before(ssm._put_parameter, _encrypts)
    sns._publish = _before(sns._publish, _publishes)
    sns._publish_batch = _before(sns._publish_batch, _publishes)


def _before(handle: Handler, refusal: Handler) -> Handler:
    def checked(request: Any) -> Any:
        refused = refusal(request)
        return handle(request) if refused is None else refused

    return checked


def _kms_denial(action: str, key_id: str, via: str, encryption_context: dict[str, str]) -> str | None:
    if _AWS_MANAGED in key_id:
        return None
    key = kms._resolve_key(key_id)
    return rights.denial(
        action,
        key["Arn"] if key else key_id,
        {"kms:ViaService": f"{via}.{get_region()}.amazonaws.com", **_context(encryption_context)},
    )


def _context(encryption_context: dict[str, str]) -> dict[str, Any]:
    return {
        "kms:CallerAccount": get_account_id(),
        "kms:EncryptionContextKeys": list(encryption_context),
        **{f"kms:EncryptionContext:{name}": value for name, value in encryption_context.items()},
    }


def _parameter_context(name: str) -> dict[str, str]:
    arn = f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/{name.lstrip('/')}"
    return {"PARAMETER_ARN": arn}


def _decrypts(data: dict[str, Any], names: list[Any]) -> Any:
    if not data.get("WithDecryption"):
        return None
    for name in names:
        parameter, _ = ssm._select_parameter(name)
        if parameter and parameter["Type"] == "SecureString":
            refused = _kms_denial("kms:Decrypt", parameter["KeyId"], "ssm", _parameter_context(parameter["Name"]))
            if refused:
                return error_response_json("AccessDeniedException", refused, 400)
    return None


def _encrypts(data: dict[str, Any]) -> Any:
    name, key_id = data.get("Name"), data.get("KeyId")
    existing = ssm._parameters.get(name) or {}
    if not (name and key_id) or (data.get("Type") or existing.get("Type")) != "SecureString":
        return None  # without a key it is the AWS managed one
    if _AWS_MANAGED not in key_id and kms._resolve_key(key_id) is None:
        return error_response_json("InvalidKeyId", f"Key '{key_id}' does not exist", 400)
    tier = data.get("Tier") or ssm._default_tier(data, data.get("Value", ""), existing)
    action = "kms:GenerateDataKey" if tier == "Advanced" else "kms:Encrypt"
    refused = _kms_denial(action, key_id, "ssm", _parameter_context(name))
    return error_response_json("AccessDeniedException", refused, 400) if refused else None


def _publishes(params: dict[str, Any]) -> Any:
    arn = sns._normalize_arn(sns._p(params, "TopicArn") or sns._p(params, "TargetArn"))
    topic = sns._topics.get(arn)
    key_id = topic["attributes"].get("KmsMasterKeyId") if topic else None
    if not key_id:
        return None
    actions = ("kms:GenerateDataKey", "kms:Decrypt")
    refusals = [_kms_denial(action, key_id, "sns", {"aws:sns:topicArn": arn}) for action in actions]
    refused = next(filter(None, refusals), None)
    return sns._error("KMSAccessDenied", refused, 400) if refused else None
