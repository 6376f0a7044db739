"""The maximum length of a parameter's value, and changes of its tier.

AWS: 4 KB in the standard tier, 8 KB in the advanced one. A standard parameter can become an advanced one, but not the
reverse
(https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html). The error's
text is quoted by Terraform's provider (hashicorp/terraform-provider-aws, internal/service/ssm/parameter.go).

ministack 1.5.33: accepts any length and any tier.

Why it matters: a copy by config sync must have the tier that its value and its target need, or AWS rejects it.
"""

from typing import Any

from ministack.core.responses import error_response_json  # type: ignore[import-untyped]
from ministack.services import ssm  # type: ignore[import-untyped]

_LONGEST = {"Standard": 4096, "Advanced": 8192}
_DOWNGRADE = (
    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier "
    "to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard "
    "parameter."
)


def apply() -> None:
    """Reject values that are too long for the tier."""
    put_parameter = ssm._put_parameter

    def put(data: dict[str, Any]) -> Any:
        value, existing = data.get("Value", ""), ssm._parameters.get(data.get("Name"))
        tier = data.get("Tier") or ssm._default_tier(data, value, existing)
        if tier == "Standard" and existing and existing["Tier"] == "Advanced" and data.get("Overwrite"):
            return error_response_json("ValidationException", _DOWNGRADE, 400)
        longest = _LONGEST.get(tier, _LONGEST["Advanced"])
        if len(value.encode()) > longest:
            message = f"{tier} tier parameters support a maximum parameter value of {longest} characters."
            return error_response_json("ValidationException", message, 400)
        return put_parameter(data)

    ssm._put_parameter = put
