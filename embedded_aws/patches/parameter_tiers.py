"""How long a parameter's value may be.

AWS: 4 KB in the standard tier, 8 KB in the advanced one
(https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html).

ministack 1.5.33: takes any length.

Why it matters: config sync writes parameters of the standard tier, so a longer value that somebody stored in one
region cannot be copied, and has to be told as a failure.
"""

from typing import Any

from ministack.core.responses import error_response_json  # type: ignore[import-untyped]
from ministack.services import ssm  # type: ignore[import-untyped]

_LONGEST = {"Standard": 4096, "Advanced": 8192}


def apply() -> None:
    """Refuse what the tier does not hold."""
    put_parameter = ssm._put_parameter

    def put(data: dict[str, Any]) -> Any:
        value = data.get("Value", "")
        tier = data.get("Tier") or ssm._default_tier(data, value, ssm._parameters.get(data.get("Name")))
        longest = _LONGEST.get(tier, _LONGEST["Advanced"])
        if len(value.encode()) > longest:
            message = f"{tier} tier parameters support a maximum parameter value of {longest} characters."
            return error_response_json("ValidationException", message, 400)
        return put_parameter(data)

    ssm._put_parameter = put
