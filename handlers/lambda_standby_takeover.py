"""Standby takeover: sets the switch of the standby region when the primary region fails, and never releases it.

Route 53 returns clients as soon as the primary's probe passes. Where an operator must decide that, this function sets
the switch after an automatic failover, and clients return with `dr failback`. AWS calls the pattern "standby takes over
primary". Setting the switch uses only data planes of the standby region.
https://aws.amazon.com/blogs/networking-and-content-delivery/creating-disaster-recovery-mechanisms-using-amazon-route-53/

A run, each minute:
1. Read the newest change of the switch. If the switch is set, the run ends.
2. Probe the primary once, with the limits of a Route 53 checker. The first probe ever that passes is recorded in the
   table, and ends the run. While the table is empty the primary has never answered, so nothing is set: a first
   deployment, whose API is not up yet, must not start failed over.
3. If the probe fails, make three more probes, 10 s apart, until one passes.
4. If one passes, read the state of the primary's alarm, where one is given, because Route 53 follows that alarm too.
   Unless it is ALARM, the run ends. This is a read in the primary region, and the only call to it besides the probes.
   No answer, or a status of 5xx, is logged and ends the run too.
5. Probe the standby itself once. If that fails, the switch stays as it is: no region could serve the clients.
6. Set the switch, without an end, unless somebody has changed it since step 1.

So an outage below 30 s never sets the switch, and a longer one sets it within 96 s: up to 60 until the next run, 30 of
failing probes, and 6 for a last probe that hangs. A run that EventBridge starts late adds its delay. Route 53 needs as
many passing probes to return traffic as it needs to see the switch, because both health checks have the same interval
and threshold. The function reads the alarm once a minute, so it can miss an alarm that lasts less than that.

An inconclusive run never sets the switch, and raises, so that the function's Errors alarm fires: the table cannot be
read or written, neither region is reachable, which is a fault of this end, or CloudWatch rejects the read of the alarm,
or has no alarm of that name.

Environment: SWITCH_TABLE_NAME, PRIMARY_REGION, PRIMARY_HEALTH_URL, OWN_HEALTH_URL; PRIMARY_ALARM_NAME, or nothing;
AWS_REGION is set by Lambda.
Permissions: dynamodb:Query and dynamodb:PutItem on the items of the primary region, by dynamodb:LeadingKeys;
cloudwatch:DescribeAlarms on the primary's alarm, where one is given; logs:CreateLogStream and logs:PutLogEvents on the
function's log group.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, ProxyConnectionError
from botocore.exceptions import ConnectionError as NoConnectionError

# A checker waits 4 s for a connection and 2 s more for a status, of which 2xx and 3xx pass. It takes any certificate.
# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
CONNECT_SECONDS, RESPONSE_SECONDS = 4, 2
FAILING_SECONDS = 30
PROBE_INTERVAL_SECONDS = 10
CONFIG = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2, "mode": "standard"})
ALARM_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})


class TakeoverFault(Exception):  # noqa: N818
    """This run is inconclusive, or cannot write. The switch stays as it is."""


class Table(Protocol):
    """The part of a DynamoDB client that is used here."""

    def query(self, **kwargs: Any) -> Any: ...  # noqa: D102

    def put_item(self, **kwargs: Any) -> Any: ...  # noqa: D102


class Alarms(Protocol):
    """The part of a CloudWatch client that is used here."""

    def describe_alarms(self, **kwargs: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Alarm:
    """An alarm that Route 53 follows for the primary: a client of the primary region, and its name."""

    cloudwatch: Alarms
    name: str


@dataclass(frozen=True, kw_only=True)
class Switch:
    """The switch, and the addresses to probe.

    Attributes:
        dynamodb: Client of the standby region.
        table_name: Its table.
        region: The primary region.
        primary_url, own_url: Health addresses of the primary and of the standby region.
        by: ARN of this function, for the history.
        alarm: The primary's alarm. Default: none.
    """

    dynamodb: Table
    table_name: str
    region: str
    primary_url: str
    own_url: str
    by: str
    alarm: Alarm | None = None


@dataclass(frozen=True)
class Found:
    """The result of one probe: the HTTP status, None without an answer, and the same in words."""

    status: int | None
    reason: str

    @property
    def passes(self) -> bool:
        """Whether a checker would consider the endpoint healthy."""
        return self.status is not None and 200 <= self.status < 400


Probe = Callable[[str], Found]


def probe(url: str) -> Found:
    """Probe an address once, as a Route 53 checker does.

    The request runs in a thread that is abandoned after 6 s: nothing else limits a name resolution that hangs, or an
    answer that trickles in.

    Args:
        url: An https:// address.
    """
    answer: Future[Found] = Future()

    def work() -> None:
        try:
            answer.set_result(_request(url))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True, name="probe").start()
    try:
        return answer.result(timeout=CONNECT_SECONDS + RESPONSE_SECONDS)
    except TimeoutError:
        return Found(None, f"no answer within {CONNECT_SECONDS + RESPONSE_SECONDS} s")


def _request(url: str) -> Found:
    address = urlsplit(url)
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address.netloc, timeout=CONNECT_SECONDS, context=unverified)
    try:
        connection.connect()
        connection.sock.settimeout(RESPONSE_SECONDS)
        connection.request("GET", address.path, headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Found(None, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return Found(status, f"HTTP status {status}")


def fails(url: str, probe: Probe) -> Found | None:
    """Probe until an address has failed for 30 s. Return the last result, or None as soon as a probe passes.

    Args:
        url: The address.
        probe: Probes it once.
    """
    start = time.monotonic()
    for number in range(FAILING_SECONDS // PROBE_INTERVAL_SECONDS + 1):
        time.sleep(max(0.0, start + number * PROBE_INTERVAL_SECONDS - time.monotonic()))
        found = probe(url)
        if found.passes:
            return None
        _log("WARNING", "a probe of the primary failed", number=number + 1, found=found.reason)
    return found


def run(switch: Switch, probe: Probe = probe) -> str:
    """Do one run.

    Args:
        switch: The switch, and the addresses to probe.
        probe: Probes an address once.

    Returns:
        The outcome, one of "switched already", "the primary answers", "armed", "the primary has never answered",
        "both regions fail", "taken over" and "changed meanwhile".

    Raises:
        TakeoverFault: Neither region is reachable, or there is no such alarm.
        Exception: The table could not be read or written, or the alarm may not be read.
    """
    before = _newest(switch)
    if before is not None and _is_switched(before, int(time.time() * 1000)):
        return "switched already"
    if before is None:
        if not probe(switch.primary_url).passes:
            return "the primary has never answered"
        reason = f"armed: {switch.region} has answered for the first time"
        return "armed" if _write(switch, 1, switched=False, reason=reason) else "changed meanwhile"
    theirs = fails(switch.primary_url, probe)
    if theirs is not None:
        why = f"{switch.region} has failed its health check for {FAILING_SECONDS} s"
    elif switch.alarm is not None and _is_firing(switch.alarm):
        why = f"alarm {switch.alarm.name} in {switch.region} is in ALARM: Route 53 considers the region unhealthy"
    else:
        return "the primary answers"
    own = probe(switch.own_url)
    if theirs is not None and own.status is None:
        raise TakeoverFault(f"neither region is reachable: {theirs.reason}; {own.reason}")
    if not own.passes:
        return "both regions fail"
    reason = f"{why}; 'dr failback' returns clients"
    version = int(before["version"]["N"]) + 1
    return "taken over" if _write(switch, version, switched=True, reason=reason) else "changed meanwhile"


def _is_firing(alarm: Alarm) -> bool:
    """Whether the alarm is in the state ALARM. False if the region does not answer, because its probe has passed."""
    try:
        found = alarm.cloudwatch.describe_alarms(AlarmNames=[alarm.name])["MetricAlarms"]
    except (ClientError, HTTPClientError, NoConnectionError) as error:
        if not _has_no_answer(error):
            raise
        _log("WARNING", "the alarm could not be read", alarm=alarm.name, error=f"{type(error).__name__}: {error}")
        return False
    if not found:
        raise TakeoverFault(f"there is no alarm {alarm.name}")
    return bool(found[0]["StateValue"] == "ALARM")


def _has_no_answer(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500
    return not isinstance(error, ProxyConnectionError)  # a setting of this end


def _newest(switch: Switch) -> Mapping[str, Any] | None:
    items: list[Mapping[str, Any]] = switch.dynamodb.query(
        TableName=switch.table_name,
        KeyConditionExpression="#region = :region",
        ExpressionAttributeNames={"#region": "region"},
        ExpressionAttributeValues={":region": {"S": switch.region}},
        ScanIndexForward=False,
        Limit=1,
        ConsistentRead=True,
    )["Items"]
    return items[0] if items else None


def _is_switched(item: Mapping[str, Any], now_ms: int) -> bool:
    """The same as `lambda_switch.is_switched`, which `GET /switch` uses."""
    return item["switched"]["BOOL"] is True and ("until" not in item or now_ms < int(item["until"]["N"]))


def _write(switch: Switch, version: int, *, switched: bool, reason: str) -> bool:
    """Add a change, unless one of this version exists. The retry of a lost answer finds its own change."""
    try:
        switch.dynamodb.put_item(
            TableName=switch.table_name,
            Item={
                "region": {"S": switch.region},
                "version": {"N": str(version)},
                "switched": {"BOOL": switched},
                "at": {"N": str(int(time.time() * 1000))},
                "by": {"S": switch.by},
                "reason": {"S": reason},
            },
            ConditionExpression="attribute_not_exists(version)",
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
            raise
        return False
    return True


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=CONFIG)


@functools.cache
def _cloudwatch(region: str) -> Any:
    return boto3.client("cloudwatch", region_name=region, config=ALARM_CONFIG)


def _setting(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise TakeoverFault(f"environment variable {name} is not set")
    return value


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")


def handler(event: object, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Do one run.

    Returns:
        The `outcome`, see `run`.

    Raises:
        TakeoverFault: The run is inconclusive, or cannot write the switch. The function's Errors alarm fires.
    """
    try:
        region, alarm_name = _setting(os.environ, "PRIMARY_REGION"), os.environ.get("PRIMARY_ALARM_NAME")
        outcome = run(
            Switch(
                dynamodb=_dynamodb(),
                table_name=_setting(os.environ, "SWITCH_TABLE_NAME"),
                region=region,
                primary_url=_setting(os.environ, "PRIMARY_HEALTH_URL"),
                own_url=_setting(os.environ, "OWN_HEALTH_URL"),
                by=context.invoked_function_arn,
                alarm=Alarm(_cloudwatch(region), alarm_name) if alarm_name else None,
            )
        )
    except Exception as error:
        _log("ERROR", "inconclusive", error=f"{type(error).__name__}: {error}")
        raise TakeoverFault(f"the switch stays as it is: {type(error).__name__}") from error
    is_news = outcome not in ("switched already", "the primary answers")
    _log("WARNING" if is_news else "INFO", "run", outcome=outcome)
    return {"outcome": outcome}
