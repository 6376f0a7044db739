"""Reasons why a policy scanner's finding is accepted, kept beside the code that it is about."""

from .bindings import TerraformResource


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
