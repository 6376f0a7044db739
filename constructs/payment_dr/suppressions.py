"""Reasons why a policy scanner's finding is accepted, kept beside the code that it is about."""

from .bindings import TerraformResource

# https://docs.aws.amazon.com/securityhub/latest/userguide/cloudwatch-controls.html#cloudwatch-16
YEAR_DAYS = 365


def suppress(resource: TerraformResource, **reasons: str) -> None:
    """Say, beside the code, why a finding of checkov or parliament does not apply to a resource.

    The reasons are written into the synthesized resource; the linters' test accepts a finding only with one.

    Args:
        resource: What the finding is about.
        reasons: The reason by check: checkov's id, or PARLIAMENT_ and the issue's name.

    Example:
        >>> suppress(bucket, CKV_AWS_18="the trail of data events is kept by the account's CloudTrail")
    """
    for check, reason in reasons.items():
        resource.add_override(f"//.suppressed.{check}", reason)


def short_retention(days: int, reason: str) -> dict[str, str]:
    """The suppression that a log group needs whose retention is shorter than a year; none where it is not.

    Args:
        days: Its retention in days; 0 keeps the log for good.
        reason: Why a shorter time is enough.

    Example:
        >>> short_retention(1, "the log is for the day's faults"), short_retention(365, "")
        ({'CKV_AWS_338': "the log is for the day's faults"}, {})
    """
    return {"CKV_AWS_338": reason} if 0 < days < YEAR_DAYS else {}
