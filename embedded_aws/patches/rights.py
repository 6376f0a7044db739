"""Further authorization checks that AWS services make, beyond the one of the call itself.

AWS: SSM calls KMS as the reader of a SecureString, and SNS as the publisher. A service that acts on its own needs a
statement in the resource's policy. A service that acts as a role needs that role's trust and its rights
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).

ministack 1.5.33: checks the one action of a call, and then forgets the access key. A denial leaves no trace.

Why it matters: the other patches use this one. It keeps the access key for the duration of a call, and logs each denial
in AWS's words, because a service that acts on its own has no caller to answer.
"""

import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator, responses, router  # type: ignore[import-untyped]
from ministack.services import iam, kms  # type: ignore[import-untyped]

_logger = logging.getLogger("ministack")
_access_key: ContextVar[str] = ContextVar("embedded_aws_access_key", default="")


def apply() -> None:
    """Keep the access key of each call, and log denials."""
    pin_request_caller, enforce = iam_evaluator.pin_request_caller, iam_evaluator.enforce
    evaluate_trust_policy = iam_evaluator.evaluate_trust_policy

    def keep(headers: Any, query_params: Any = None) -> None:
        pin_request_caller(headers, query_params)
        _access_key.set(router.extract_access_key_id(headers, query_params))

    def enforce_and_log(
        access_key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None
    ) -> Any:
        result = enforce(access_key, action, service, region, resource_arn, service_context)
        if isinstance(result, iam_evaluator.EvalResult):
            _log_refusal(result.principal_arn, action, resource_arn)
        return result

    def trust_and_log(trust: Any, caller_arn: str, context: Any = None) -> bool:
        trusted: bool = evaluate_trust_policy(trust, caller_arn, context)
        if not trusted and context:
            _log_refusal(caller_arn, context.action, context.resource_arn)
        return trusted

    iam_evaluator.pin_request_caller = keep
    iam_evaluator.enforce = enforce_and_log
    iam_evaluator.evaluate_trust_policy = trust_and_log


def _log_refusal(principal: str, action: str, resource_arn: str) -> None:
    _logger.warning("%s is not authorized to perform: %s on resource: %s", principal, action, resource_arn)


def _is_allowed(decision: str, principal: str, action: str, resource_arn: str) -> bool:
    if decision != "Allow":
        _log_refusal(principal, action, resource_arn)
    return decision == "Allow"


def denial(action: str, resource_arn: str, context: Mapping[str, Any] | None = None) -> str | None:
    """Why the caller may not do this, in AWS's words. None if it may.

    The policy of the resource counts too where ministack keeps one.

    Args:
        action: IAM action, such as ``kms:Decrypt``.
        resource_arn: ARN of the resource.
        context: Condition keys of the request.
    """
    if not _access_key.get():  # the emulator itself, on behalf of nobody
        return None
    result = iam_evaluator.enforce(
        _access_key.get(), action, action.partition(":")[0], responses.get_region(), resource_arn, dict(context or {})
    )
    if result is None:
        return None
    if isinstance(result, iam_evaluator.AuthError):
        return str(result.message)
    return f"User: {result.principal_arn} is not authorized to perform: {action} on resource: {resource_arn}"


def service_may(service: str, action: str, resource_arn: str, policy: Any, source_arn: str) -> bool:
    """Whether a resource's policy allows a service to act on behalf of a source in this account.

    Args:
        service: Service principal, such as ``events.amazonaws.com``.
        action: IAM action, such as ``lambda:InvokeFunction``.
        resource_arn: ARN of the resource.
        policy: The resource's policy document.
        source_arn: ``aws:SourceArn``, such as a rule's.
    """
    context = _context("", "Service", action, resource_arn, source_arn)
    decision = iam_evaluator.evaluate_resource_policy(policy, context, service=service).decision
    return _is_allowed(decision, service, action, resource_arn)


def role_may_all(role_arn: str, needed: Iterable[tuple[str, str]]) -> bool:
    """Whether the policies of a role allow all of these actions on these resources. Logs each denial."""
    return False not in [role_may(role_arn, action, resource_arn) for action, resource_arn in needed]


def service_may_encrypt(service: str, key_id: str, source_arn: str) -> bool:
    """Whether a key's policy allows a service to encrypt messages for a source. An AWS managed key never does."""
    key = kms._resolve_key(key_id)
    return key is not None and all(
        service_may(service, action, key["Arn"], key["Policy"], source_arn)
        for action in ("kms:Decrypt", "kms:GenerateDataKey")
    )


def service_may_assume(service: str, role_arn: str, source_arn: str) -> bool:
    """Whether a role trusts a service that acts on behalf of a source in this account."""
    role = _role(role_arn)
    return role is not None and service_may(
        service, "sts:AssumeRole", role_arn, role["AssumeRolePolicyDocument"], source_arn
    )


def role_may(role_arn: str, action: str, resource_arn: str) -> bool:
    """Whether the policies of a role allow this."""
    role = _role(role_arn)
    if role is None:
        return False
    account = responses.get_account_id()
    session_arn = f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/service"
    policies = iam_evaluator._gather_role_policies(role["RoleName"], account)
    limits = iam_evaluator._permissions_boundary(iam._roles, role["RoleName"], account)
    context = _context(session_arn, "AssumedRole", action, resource_arn)
    return _is_allowed(iam_evaluator.evaluate(context, policies, *limits).decision, role_arn, action, resource_arn)


def _role(role_arn: str) -> Any:
    return iam._roles.get(role_arn.rpartition("/")[2])


def _context(principal_arn: str, kind: str, action: str, resource_arn: str, source_arn: str | None = None) -> Any:
    account = responses.get_account_id()
    # aws:SourceOwner is in the default policy of a topic.
    owner = {"aws:sourceaccount": account, "aws:sourceowner": account}
    source = {"aws:sourcearn": source_arn, **owner} if source_arn else {}
    return iam_evaluator.EvalContext(
        principal_arn=principal_arn,
        principal_type=kind,
        principal_account=account if principal_arn else "",
        action=action,
        resource_arn=resource_arn,
        region=responses.get_region(),
        service_context=source,
    )
