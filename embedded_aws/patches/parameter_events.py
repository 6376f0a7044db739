"""Parameter Store sends events of changes to EventBridge.

AWS: Create, Update and Delete of a parameter each put a "Parameter Store Change" event of ``aws.ssm`` on the default
bus (https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html).

ministack 1.5.33: puts none.

Why it matters: these events trigger config sync.
"""

import json
from typing import Any

from ministack.core.responses import get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import eventbridge, ssm  # type: ignore[import-untyped]


def apply() -> None:
    """Put an event after each write and delete."""
    put_parameter, delete_parameter = ssm._put_parameter, ssm._delete_parameter
    delete_parameters = ssm._delete_parameters

    def put(data: dict[str, Any]) -> Any:
        before = _find(data.get("Name"))
        answer = put_parameter(data)
        if answer[0] == 200:
            _announce("Create" if before is None else "Update", _find(data["Name"]))
        return answer

    def delete(data: dict[str, Any]) -> Any:
        before = _find(data.get("Name"))
        answer = delete_parameter(data)
        if answer[0] == 200:
            _announce("Delete", before)
        return answer

    def delete_several(data: dict[str, Any]) -> Any:
        before = {name: _find(name) for name in data.get("Names", [])}
        answer = delete_parameters(data)
        if answer[0] == 200:
            for name in json.loads(answer[2])["DeletedParameters"]:
                _announce("Delete", before[name])
        return answer

    ssm._put_parameter = put
    ssm._delete_parameter = delete
    ssm._delete_parameters = delete_several


def _find(name: str | None) -> Any:
    return ssm._lookup_parameter(name)[1]


def _announce(operation: str, parameter: dict[str, Any]) -> None:
    detail = {"operation": operation, "name": parameter["Name"], "type": parameter["Type"]}
    if parameter["Description"]:
        detail["description"] = parameter["Description"]
    arn = f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/{parameter['Name'].lstrip('/')}"
    event = {
        "Source": "aws.ssm",
        "DetailType": "Parameter Store Change",
        "Resources": [arn],
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)
