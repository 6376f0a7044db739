"""Whether IAM policies allow a request, as far as the policies alone say it.

What cannot be judged here, such as a condition on a key whose value is not known, never counts against a request. AWS
also applies service control policies, permissions boundaries and grants of keys. The stack makes none, and nothing
reads them here.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

Document = Mapping[str, Any]
_YES_OR_UNKNOWN = (True, None)


@dataclass(frozen=True)
class Request:
    """A request to AWS.

    Attributes:
        action: Its action, such as "kms:Decrypt".
        resource: ARN of its resource.
        principals: Every name that a policy of the resource may use for the caller.
        context: Its condition keys with their values. A key that is not here is unknown, not absent.
    """

    action: str
    resource: str
    principals: frozenset[str] = frozenset()
    context: Mapping[str, str] = field(default_factory=dict)


def document_of(policy: str | Document) -> Document:
    """A policy that AWS returns as text, or that boto3 has read already."""
    document: Document = json.loads(policy) if isinstance(policy, str) else policy
    return document


def may(policies: Sequence[Document], request: Request) -> bool:
    """Whether the policies of an identity, or that of a resource which a service uses, allow a request."""
    return _some(policies, "Allow", request, _YES_OR_UNKNOWN) and not _some(policies, "Deny", request, (True,))


def may_use(resource: Document, identity: Sequence[Document], request: Request, account_id: str) -> bool:
    """Whether a role may use a key, or assume a role: there the policy of the resource must allow it.

    The policy may name the role, or the account, which leaves it to the policies of the role.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html#key-policy-default-allow-root-enable-iam
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-req-context.html

    Args:
        resource: The policy of the key, or the trust of the role.
        identity: The policies of the role.
        request: The request of the role.
        account_id: The account of both.
    """
    of_account = replace(request, principals=names_of_account(account_id))
    denied = [_some([resource], "Deny", each, (True,)) for each in (request, of_account)]
    if any(denied) or _some(identity, "Deny", request, (True,)):
        return False
    if _some([resource], "Allow", request, _YES_OR_UNKNOWN):
        return True
    return _some([resource], "Allow", of_account, _YES_OR_UNKNOWN) and may(identity, request)


def names_of_account(account_id: str) -> frozenset[str]:
    """The names of an account as a principal."""
    return frozenset({account_id, f"arn:aws:iam::{account_id}:root"})


def _some(policies: Sequence[Document], effect: str, request: Request, answers: tuple[bool | None, ...]) -> bool:
    return any(
        each["Effect"] == effect and _applies(each, request) in answers
        for policy in policies
        for each in _listed(policy.get("Statement"))
    )


def _applies(statement: Document, request: Request) -> bool | None:
    return _all(
        [
            _names(statement, "Action", request.action.lower(), str.lower),
            _names(statement, "Resource", request.resource, str),
            _is_principal(statement, request.principals),
            *(
                _is_met(operator, key, _listed(values), request.context)
                for operator, keys in statement.get("Condition", {}).items()
                for key, values in keys.items()
            ),
        ]
    )


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _names(statement: Document, element: str, value: str, form: Callable[[str], str]) -> bool | None:
    """Whether a statement is about an action or a resource. A trust policy has no resource, which is the role."""
    for name, answer in ((element, True), (f"Not{element}", False)):
        if name in statement:
            found = [_like(form(str(pattern)), value) for pattern in _listed(statement[name])]
            is_named = True if True in found else None if None in found else False
            return None if is_named is None else is_named == answer
    return True


def _is_principal(statement: Document, principals: frozenset[str]) -> bool | None:
    if "NotPrincipal" in statement:
        return None
    if "Principal" not in statement:  # a policy of the identity itself
        return True
    given = statement["Principal"]
    kinds = given.values() if isinstance(given, Mapping) else [given]
    named = {str(each) for values in kinds for each in _listed(values)}
    return "*" in named or bool(named & principals)


_EQUAL: Final[Mapping[str, Callable[[str, str], bool | None]]] = {
    "stringequals": lambda given, value: None if "${" in given else given == value,
    "stringequalsignorecase": lambda given, value: None if "${" in given else given.lower() == value.lower(),
    # "ArnEquals and ArnLike behave identically":
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
    **dict.fromkeys(("stringlike", "arnlike", "arnequals"), lambda given, value: _like(given, value)),
}


def _is_met(operator: str, key: str, given: list[Any], context: Mapping[str, str]) -> bool | None:
    operator = operator.lower().rpartition(":")[2].removesuffix("ifexists")
    value = {name.lower(): each for name, each in context.items()}.get(key.lower())
    if value is None or operator not in _EQUAL:
        return None
    found = [_EQUAL[operator](str(each), value) for each in given]
    return True if True in found else None if None in found else False


def _like(pattern: str, value: str) -> bool | None:
    """Whether a value matches a pattern with * and ?. None if the pattern has a variable."""
    if "${" in pattern:
        return None
    parts = ({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
