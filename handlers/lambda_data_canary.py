"""Data canary: writes an item to its region's table every minute, reads it back, and reads the other region's item.

The health monitor asks DynamoDB's control plane (DescribeTable). This uses the data plane, as payments do: PutItem,
then a strongly consistent GetItem. Each region's canary overwrites one item, so the table holds two more items:

    transaction_id = dr-canary/us-east-1, timestamp = 0, written_at = milliseconds since 1970

Global tables copy the item to the other region, where the other canary reads how old it is. So the canaries detect
stalled replication without any payment, on the side that lacks the data, and no function needs rights in another
region.

A run makes three attempts and reports a failure when all three fail: a Route 53 health check can follow this metric,
and then one failing run moves the traffic of a region.

Metrics (EMF, dimension FunctionName), of every conclusive run, with the time when the run began:
    DataPathFailures   1 if DynamoDB rejected the write or did not return it, else 0
    ReplicationAge     seconds since the other region wrote its item, as this region has it
An inconclusive run publishes nothing: an alarm on missing data reports it.

Environment: DYNAMODB_TABLE_NAME, PEER_REGION, METRIC_NAMESPACE (default PaymentApp/DataCanary); AWS_REGION and
AWS_LAMBDA_FUNCTION_NAME are set by Lambda.
Permissions: dynamodb:PutItem on the item of this region and dynamodb:GetItem on both, by dynamodb:LeadingKeys;
logs:CreateLogStream and logs:PutLogEvents on the function's log group.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ProxyConnectionError, SSLError
from botocore.exceptions import ConnectionError as NoConnectionError

KEY_PREFIX = "dr-canary/"
ATTEMPTS = 3
PAUSE_SECONDS = 2.0
# A call that hangs takes 5 s with its retry, which comes within a second. Three attempts of three calls take 49 s then,
# and the next run comes in a minute.
CONFIG = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2, "mode": "standard"})
THROTTLED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
    }
)


class Table(Protocol):
    """The part of a DynamoDB client that is used here."""

    def put_item(self, **kwargs: Any) -> Any: ...  # noqa: D102

    def get_item(self, **kwargs: Any) -> Any: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class CanaryFault(Exception):  # noqa: N818
    """The canary could not do its work: a permission, a setting, a throttle. DynamoDB is not at fault."""


@dataclass(frozen=True)
class Finding:
    """The result of one run.

    Attributes:
        failure: Why DynamoDB rejected the write or did not return it in the last attempt. None if it worked.
        replication_age_seconds: Age of the other region's item in this region. None without one, or on a failure.
    """

    failure: str | None
    replication_age_seconds: float | None


def key_of(region: str) -> dict[str, dict[str, str]]:
    """Key of a region's item.

    Example:
        >>> key_of("us-east-1")
        {'transaction_id': {'S': 'dr-canary/us-east-1'}, 'timestamp': {'N': '0'}}
    """
    return {"transaction_id": {"S": f"{KEY_PREFIX}{region}"}, "timestamp": {"N": "0"}}


def is_of_dynamodb(error: Exception) -> bool:
    """Whether an error is a fault of DynamoDB that payments meet too, and not of the canary itself."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code == "ResourceNotFoundException" or (status >= 500 and code not in THROTTLED)
    if isinstance(error, ProxyConnectionError):
        return False
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    return isinstance(error, (NoConnectionError, HTTPClientError, IncompleteReadError))


def look(dynamodb: Table, table_name: str, home: str, peer: str, now_ms: int) -> Finding:
    """Write, read back, and read the other region's item; up to `ATTEMPTS` times, until that works.

    Args:
        dynamodb: Client of the home region. Each attempt closes its connections, so that the next one opens new ones.
        table_name: The table.
        home: The region of the client.
        peer: The other region.
        now_ms: Milliseconds since 1970.

    Raises:
        Exception: An error that is not DynamoDB's fault, see `is_of_dynamodb`.
    """
    for _ in range(ATTEMPTS - 1):
        finding = _look_once(dynamodb, table_name, home, peer, now_ms)
        if finding.failure is None:
            return finding
        _log("WARNING", "an attempt failed", failure=finding.failure)
        time.sleep(PAUSE_SECONDS)
    return _look_once(dynamodb, table_name, home, peer, now_ms)


def _look_once(dynamodb: Table, table_name: str, home: str, peer: str, now_ms: int) -> Finding:
    try:
        dynamodb.put_item(TableName=table_name, Item={**key_of(home), "written_at": {"N": str(now_ms)}})
        written_at = _written_at(dynamodb, table_name, home)
        if written_at is None or written_at < now_ms:  # later is another run of this function
            return Finding("the written item is missing", None)
        theirs = _written_at(dynamodb, table_name, peer)
    except Exception as error:
        if not is_of_dynamodb(error):
            raise
        return Finding(f"{type(error).__name__}: {error}", None)
    finally:
        dynamodb.close()
    return Finding(None, None if theirs is None else max(0.0, (now_ms - theirs) / 1000))


def _written_at(dynamodb: Table, table_name: str, region: str) -> int | None:
    item = dynamodb.get_item(TableName=table_name, Key=key_of(region), ConsistentRead=True).get("Item")
    return int(item["written_at"]["N"]) if item else None


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=CONFIG)


def _setting(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise CanaryFault(f"environment variable {name} is not set")
    return value


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")


def emit_metrics(finding: Finding, environment: Mapping[str, str], now_ms: int) -> None:
    """Write the result to the log in CloudWatch's embedded metric format, which needs no permission.

    Args:
        finding: The result of the run.
        environment: Names of the function and the namespace.
        now_ms: When the run began, so that a run with three attempts counts for the minute of its schedule.
    """
    values: dict[str, float] = {"DataPathFailures": int(finding.failure is not None)}
    if finding.replication_age_seconds is not None:
        values["ReplicationAge"] = finding.replication_age_seconds
    units = {"DataPathFailures": "Count", "ReplicationAge": "Seconds"}
    directive = {
        "Namespace": environment.get("METRIC_NAMESPACE", "PaymentApp/DataCanary"),
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
    }
    emf = {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}
    function_name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
    level = "ERROR" if finding.failure else "INFO"
    _log(level, "data path", failure=finding.failure, _aws=emf, FunctionName=function_name, **values)


def handler(event: object, context: object) -> dict[str, Any]:  # noqa: ARG001
    """Do one run.

    Returns:
        The result: `failure` and `replication_age_seconds`.

    Raises:
        CanaryFault: The run is inconclusive. The function's Errors alarm fires if that continues.
    """
    now_ms = int(time.time() * 1000)
    try:
        finding = look(
            _dynamodb(),
            _setting(os.environ, "DYNAMODB_TABLE_NAME"),
            _setting(os.environ, "AWS_REGION"),
            _setting(os.environ, "PEER_REGION"),
            now_ms,
        )
    except Exception as error:
        _log("ERROR", "inconclusive", error=f"{type(error).__name__}: {error}")
        raise CanaryFault(f"the canary is inconclusive: {type(error).__name__}") from error
    emit_metrics(finding, os.environ, now_ms)
    return {"failure": finding.failure, "replication_age_seconds": finding.replication_age_seconds}
