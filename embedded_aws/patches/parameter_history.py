"""The history that Parameter Store keeps of a parameter's versions.

AWS: ``LastModifiedUser`` is the ARN of the principal that wrote the version, for a role that of its session
(https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterHistory.html). The 100 newest versions
are kept. If the oldest one has a label, the next write fails with ParameterMaxVersionLimitExceeded
(https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html).

ministack 1.5.33: every version was written by the account's root, and versions grow without end.

Why it matters: the runbook finds there who wrote a value, and config sync finds earlier versions.
"""

import json
from typing import Any

from ministack.core import iam_evaluator  # type: ignore[import-untyped]
from ministack.core.responses import error_response_json  # type: ignore[import-untyped]
from ministack.services import ssm  # type: ignore[import-untyped]

_KEPT_VERSIONS = 100


def apply() -> None:
    """Record the writer of a version and keep 100 of them."""
    put_parameter, describe_parameters = ssm._put_parameter, ssm._describe_parameters

    def put(data: dict[str, Any]) -> Any:
        name = data.get("Name")
        versions = ssm._parameter_history.get(name) or []
        if data.get("Overwrite") and len(versions) >= _KEPT_VERSIONS and versions[0]["Labels"]:
            return error_response_json(
                "ParameterMaxVersionLimitExceeded",
                f"You attempted to create a new version of {name} by calling the PutParameter API with the overwrite "
                f"flag. Version {versions[0]['Version']}, the oldest version, can't be deleted because it has a label "
                "associated with it. Move the label to another version of the parameter, and try again.",
                400,
            )
        answer = put_parameter(data)
        if answer[0] == 200:
            versions = ssm._parameter_history[name]
            versions[-1]["LastModifiedUser"] = iam_evaluator.caller_arn()
            del versions[:-_KEPT_VERSIONS]
        return answer

    def describe(data: dict[str, Any]) -> Any:
        status, headers, body = describe_parameters(data)
        if status != 200:
            return status, headers, body
        described = json.loads(body)
        for parameter in described["Parameters"]:
            parameter["LastModifiedUser"] = ssm._parameter_history[parameter["Name"]][-1]["LastModifiedUser"]
        return ssm.json_response(described)

    ssm._put_parameter = put
    ssm._describe_parameters = describe
