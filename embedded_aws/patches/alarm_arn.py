"""The ARN that authorizes DescribeAlarms.

AWS: ``arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME`` for an alarm by name, and ``alarm:*`` for all. Only composite
alarms need a right for ``*``
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html). Here a call for several names
counts as one for all.

ministack 1.5.33: checks the call against ``*``.

Why it matters: a function that may see one alarm was denied.
"""

from collections.abc import Mapping
from json import loads
from typing import Any

from ministack.core import iam_actions  # type: ignore[import-untyped]

_ACTION = "DescribeAlarms"


def apply() -> None:
    """Check DescribeAlarms against AWS's form of the ARN."""
    extract_resource_arn = iam_actions.extract_resource_arn

    def extract(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, Any],
        region: str,
        account: str,
    ) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2] or iam_actions._query_param(query, "Action")
        if service != "monitoring" or action != _ACTION:
            return extract_resource_arn(service, method, path, headers, body, query, region, account)
        names = _names(headers, body, query)
        return f"arn:aws:cloudwatch:{region}:{account}:alarm:{names[0] if len(names) == 1 else '*'}"

    iam_actions.extract_resource_arn = extract


def _names(headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]) -> list[str]:
    if "x-amz-target" in headers:
        return list(loads(body or b"{}").get("AlarmNames") or ())
    return [iam_actions._query_param(query, name) for name in query if name.startswith("AlarmNames.member.")]
