"""Standby switch: reports in the standby region whether an operator has sent the primary region's clients there.

`GET /switch` answers 200 only while the switch is set. Route 53 probes it with an inverted health check, which the
primary's record follows: while the probe passes, the primary counts as unhealthy. Any other answer means *not
switched*: 503 while the switch is not set or its end has passed, and 500 when the table cannot be read. So losing the
standby region never keeps clients away from the primary. A failed read raises, so that the function's Errors alarm
fires.

The table holds one item for each change. Items are never overwritten. The newest one decides:

    region = us-east-1, version = 7, switched = true, at = 1732608000000, until = 1732611600000, by = ..., reason = ...

`until` and `at` are in milliseconds since 1970. Without `until` the switch stays set until somebody releases it. The
answer does not contain who set the switch and why, because the address is public.

Environment: SWITCH_TABLE_NAME, PRIMARY_REGION; AWS_REGION is set by Lambda.
Permissions: dynamodb:Query on the table; logs:CreateLogStream and logs:PutLogEvents on the function's log group.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import boto3
from botocore.config import Config

# A checker waits 2 s for an answer once it is connected.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
CONFIG = Config(connect_timeout=0.5, read_timeout=0.5, retries={"total_max_attempts": 2, "mode": "standard"})
SWITCHED, NOT_SWITCHED = 200, 503  # not 404, which is what an API without the route answers


class SwitchFault(Exception):  # noqa: N818
    """The switch cannot be read, which counts as not switched."""


class Table(Protocol):
    """The part of a DynamoDB client that is used here."""

    def query(self, **kwargs: Any) -> Any: ...  # noqa: D102


def is_switched(item: Mapping[str, Any] | None, now_ms: int) -> bool:
    """Whether the newest item of the table sends clients to the standby region.

    Args:
        item: The item. None if there is none.
        now_ms: Milliseconds since 1970.

    Example:
        >>> is_switched({"switched": {"BOOL": True}, "until": {"N": "2000"}}, 1999)
        True
        >>> is_switched({"switched": {"BOOL": True}, "until": {"N": "2000"}}, 2000)
        False
    """
    if item is None or item["switched"]["BOOL"] is not True:
        return False
    return "until" not in item or now_ms < int(item["until"]["N"])


def newest(dynamodb: Table, table_name: str, region: str) -> Mapping[str, Any] | None:
    """The newest item of a region's switch. None if it was never set.

    Args:
        dynamodb: Client of the standby region.
        table_name: The table.
        region: The region whose clients the switch sends away.
    """
    items: list[Mapping[str, Any]] = dynamodb.query(
        TableName=table_name,
        KeyConditionExpression="#region = :region",
        ExpressionAttributeNames={"#region": "region"},
        ExpressionAttributeValues={":region": {"S": region}},
        ScanIndexForward=False,
        Limit=1,
        ConsistentRead=True,
    )["Items"]
    return items[0] if items else None


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=CONFIG)


def _setting(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SwitchFault(f"environment variable {name} is not set")
    return value


def handler(event: object, context: object) -> dict[str, Any]:  # noqa: ARG001
    """Answer one probe.

    Returns:
        A response of API Gateway: 200 while switched, else 503.

    Raises:
        SwitchFault: The switch cannot be read. API Gateway answers 500 then.
    """
    try:
        item = newest(_dynamodb(), _setting(os.environ, "SWITCH_TABLE_NAME"), _setting(os.environ, "PRIMARY_REGION"))
        switched = is_switched(item, int(time.time() * 1000))
    except Exception as error:
        line = {"level": "ERROR", "message": "cannot read the switch", "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(line) + "\n")
        raise SwitchFault(f"the switch cannot be read: {type(error).__name__}") from error
    return {
        "statusCode": SWITCHED if switched else NOT_SWITCHED,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps({"status": "switched" if switched else "not switched"}),
    }
