"""The ARNs that authorize Parameter Store calls.

AWS: the ARN of each parameter named, without the version or label of ``name:version``; for GetParametersByPath that
of the path. If one name is denied, the whole call fails
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html,
https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html).

ministack 1.5.33: treats the version as a part of the ARN, and checks calls with several names, or with a path,
against ``*``.

Why it matters: a role that may read only its own parameters was denied ``name:version`` and every GetParameters.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]
from ministack.core.responses import error_response_json, get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import ssm  # type: ignore[import-untyped]

from embedded_aws.patches import rights

# ministack asks for one resource a call: the first one named, here. Of the others this asks by itself.
_SEVERAL = {"GetParameters": "_get_parameters", "DeleteParameters": "_delete_parameters"}


def apply() -> None:
    """Check Parameter Store calls against the parameters that they name."""
    extract_resource_arn = iam_actions.extract_resource_arn

    def extract(
        service: str, method: str, path: str, headers: Any, body: Any, query: Any, region: str, account_id: str
    ) -> Any:
        if service == "ssm":
            named = _first_name(body)
            if named:
                return _arn(named, region, account_id)
        return extract_resource_arn(service, method, path, headers, body, query, region, account_id)

    iam_actions.extract_resource_arn = extract
    for action, handler in _SEVERAL.items():
        setattr(ssm, handler, _check_each(f"ssm:{action}", getattr(ssm, handler)))


def _first_name(body: bytes) -> str | None:
    try:
        data = json.loads(body)
    except (ValueError, TypeError):
        return None
    if not isinstance(data, dict):
        return None
    names = data.get("Names") or [data.get("Name") or data.get("Path")]
    return names[0] if isinstance(names, list) and isinstance(names[0], str) else None


def _arn(name: str, region: str, account_id: str) -> str:
    name, _ = ssm._split_selector(name)
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ssm:{region}:{account_id}:parameter/{name.lstrip('/')}"


def _check_each(action: str, handle: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def checked(data: dict[str, Any]) -> Any:
        for name in data.get("Names", []):
            refused = rights.denial(action, _arn(name, get_region(), get_account_id()))
            if refused:
                return error_response_json("AccessDeniedException", refused, 400)
        return handle(data)

    return checked
