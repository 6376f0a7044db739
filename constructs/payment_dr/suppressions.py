"""Reasons to suppress a policy scanner's findings, beside the code that they are about."""

from .bindings import TerraformResource

# https://docs.aws.amazon.com/securityhub/latest/userguide/cloudwatch-controls.html#cloudwatch-16
YEAR_DAYS = 365


def suppress(resource: TerraformResource, **reasons: str) -> None:
    """Suppress findings of checkov or parliament that do not apply to a resource, with a reason each.

    The synthesized resource has the reasons. The linters' test accepts a finding only with a reason.

    Args:
        resource: The resource with the finding.
        reasons: The reason by check: checkov's id, or PARLIAMENT_ and the issue's name.

    Example:
        >>> suppress(bucket, CKV_AWS_18="the trail of data events is kept by the account's CloudTrail")
    """
    for check, reason in reasons.items():
        resource.add_override(f"//.suppressed.{check}", reason)


def short_retention(days: int, reason: str) -> dict[str, str]:
    """The suppression for a log group with a retention of less than a year. None for a longer one.

    Args:
        days: Its retention in days. 0 keeps the log forever.
        reason: Why a shorter time is enough.

    Example:
        >>> short_retention(1, "the log is for the day's faults"), short_retention(365, "")
        ({'CKV_AWS_338': "the log is for the day's faults"}, {})
    """
    return {"CKV_AWS_338": reason} if 0 < days < YEAR_DAYS else {}
