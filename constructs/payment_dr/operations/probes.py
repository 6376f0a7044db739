"""Read-only probes of a deployed stack. Nothing here changes anything."""

import base64
import contextlib
import http.client
import json
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.utils import get_environ_proxies

from payment_dr.operations.aws import PROXY_HINT, CannotTellError, asked
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.errors import lack_of_this_machine
from payment_dr.operations.route53.checkers import (
    BODY_SECONDS,
    HTTP_CONNECT_SECONDS,
    RESPONSE_SECONDS,
    TCP_CONNECT_SECONDS,
    ProbeResult,
    Verdict,
    judge,
)
from payment_dr.operations.route53.zone import AlarmState, HealthCheck
from payment_dr.side import OTHER, SIDES, Side

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html: an updating table serves.
SERVING = ("ACTIVE", "UPDATING")
HTTPS_PORT = 443
DOCUMENTS_RULE = "all-documents"  # of both buckets' replication, as the stack names it


@dataclass(frozen=True)
class Health:
    """The result of a probe of a region.

    Attributes:
        verdict: The verdict of a Route 53 health checker on it.
        body: The answer of the health monitor. Empty without one.
    """

    verdict: Verdict
    body: Mapping[str, Any]

    def __str__(self) -> str:
        # on one line: the next one would look like a message of this program
        words = [" ".join(str(self.body[key]).split()) for key in ("status", "reason") if self.body.get(key)]
        return ", ".join([f"{'passes' if self.verdict.passed else 'fails'}: {self.verdict.reason}", *words])


def health(stack: Deployed, side: Side, path: str = HEALTH_PATH) -> Health:
    """Probe a health route of a region once, from this machine, as Route 53 would.

    Args:
        stack: The deployed stack.
        side: The side of the region.
        path: Path of the route. Default: the public one.

    Raises:
        CannotTellError: A proxy blocked the probe.
        ThisMachineError: This machine could not probe.
    """
    check = HealthCheck(id=side, host=stack.api_host(side), path=path)
    result = probe(stack, check)
    try:
        body = json.loads(result.body)
    except ValueError:
        body = {}
    return Health(judge(check, result), body if isinstance(body, dict) else {})


def probe(stack: Deployed, check: HealthCheck) -> ProbeResult:
    """Make one request as a health checker does for this check: to its host and port, with its limits.

    Route 53's checkers use no proxy. Where ``HTTPS_PROXY`` names one, there may be no other way out, so HTTPS goes
    through it as boto3's calls do. A request that the proxy blocks does not count against the region.

    Raises:
        CannotTellError: A proxy blocked the probe, or this machine does not serve the host.
        ThisMachineError: This machine could not probe.
    """
    side = stack.side_of_api(check.host)
    if stack.is_live:
        way = _Way(
            side or "primary",  # limits are the same for all hosts there
            check.address or check.host,
            check.port,
            tls=check.is_tls,
            server_name=check.server_name,
            path=check.path,
            headers={"Host": check.host_header},
        )
        return _probe(stack, check, way)
    if side is None or check.address:
        raise CannotTellError(
            f"the embedded AWS does not serve {check.address or check.host}, so it is unknown what a health checker "
            "would find there",
            hint="run terraform apply, which sets the health check's host to the region's API",
        )
    if rejected := _rejected_by_api_gateway(check):
        return rejected
    url = urlsplit(stack.health_url(side, check.path))
    is_tls = url.scheme == "https"
    host, port = url.hostname or "", url.port or (443 if is_tls else 80)
    path = f"{url.path}?{url.query}" if url.query else url.path
    return _probe(stack, check, _Way(side, host, port, tls=is_tls, server_name=host, path=path))


def _rejected_by_api_gateway(check: HealthCheck) -> ProbeResult | None:
    """The error of a probe that does not reach the API. The embedded AWS speaks only HTTP, so this follows AWS's rules.

    "All of the APIs created with Amazon API Gateway expose HTTPS endpoints only", so nothing but port 443 listens
    (https://aws.amazon.com/api-gateway/faqs/). Many APIs share an address, so the handshake must name one: "If you
    don't enable SNI, the status of the health check will be SSL alert handshake_failure"
    (https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html, EnableSNI).
    """
    if check.port != HTTPS_PORT:
        return ProbeResult(
            connect_seconds=0,
            error=f"no connection: {check.host} listens on port {HTTPS_PORT} only, not on {check.port}",
        )
    if check.type != "TCP" and not check.is_tls:
        return ProbeResult(connect_seconds=0, error=f"no answer: port {HTTPS_PORT} of {check.host} speaks TLS only")
    if check.is_tls and check.server_name is None:
        return ProbeResult(connect_seconds=0, error="no answer: SSL alert handshake_failure, as EnableSNI is false")
    return None


@dataclass(frozen=True)
class _Way:
    """How to reach the endpoint of a health check from this machine."""

    side: Side
    host: str
    port: int
    tls: bool
    server_name: str | None
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


def _probe(stack: Deployed, check: HealthCheck, way: _Way) -> ProbeResult:
    side, address = way.side, (way.host, way.port)
    proxy = get_environ_proxies(f"https://{way.host}:{way.port}").get("https") if way.tls else None
    started = time.monotonic()
    limit = TCP_CONNECT_SECONDS if check.type == "TCP" else HTTP_CONNECT_SECONDS
    try:
        connection = _tunnel(proxy, *address) if proxy else socket.create_connection(address, stack.limit(side, limit))
    except OSError as error:
        if lacking := lack_of_this_machine(error):
            raise lacking from error
        waited = math.inf if isinstance(error, TimeoutError) else stack.took(side, time.monotonic() - started)
        return ProbeResult(connect_seconds=waited, error=f"no connection: {error}")
    connected = time.monotonic()
    # How long a proxy takes says nothing about the region.
    connect_seconds = 0.0 if proxy else stack.took(side, connected - started)
    if check.type == "TCP":
        connection.close()
        return ProbeResult(connect_seconds=connect_seconds)
    request = http.client.HTTPConnection(way.host, way.port)
    try:
        connection.settimeout(stack.limit(side, RESPONSE_SECONDS))
        if way.tls:
            connection = _checkers_tls().wrap_socket(connection, server_hostname=way.server_name)
        request.sock = connection
        request.request("GET", way.path, headers=dict(way.headers))
        answer = request.getresponse()
        answered = time.monotonic()
        response_seconds = stack.took(side, answered - connected, dict(answer.getheaders()))
        body, body_seconds = b"", math.inf
        connection.settimeout(stack.limit(side, BODY_SECONDS))
        with contextlib.suppress(OSError, http.client.HTTPException):  # which matters where a string is searched alone
            body = answer.read(65536)
            body_seconds = stack.took(side, time.monotonic() - answered)
    except (OSError, http.client.HTTPException) as error:
        if lacking := lack_of_this_machine(error):
            raise lacking from error
        waited = math.inf if isinstance(error, TimeoutError) else stack.took(side, time.monotonic() - connected)
        return ProbeResult(connect_seconds=connect_seconds, response_seconds=waited, error=f"no answer: {error}")
    finally:
        request.close()
        connection.close()
    return ProbeResult(
        connect_seconds=connect_seconds,
        response_seconds=response_seconds,
        status=answer.status,
        body=body,
        body_seconds=body_seconds,
    )


def _tunnel(proxy: str, host: str, port: int) -> socket.socket:
    """A new connection to a host through a proxy.

    Raises:
        CannotTellError: The proxy does not make the connection.
        ThisMachineError: This machine could not reach the proxy.
    """
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    named = f"{parts.hostname}:{parts.port or 80}"  # without the user's password
    if parts.scheme != "http":
        raise CannotTellError(
            f"{host} cannot be probed through the proxy {named}: it is not an http:// proxy", hint=PROXY_HINT
        )
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=HTTP_CONNECT_SECONDS)
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    connection.set_tunnel(host, port, headers)
    answers: list[http.client.HTTPResponse] = []  # Python 3.11.2 leaves them open, and the socket too

    def answer(*arguments: Any, **options: Any) -> http.client.HTTPResponse:
        answers.append(http.client.HTTPResponse(*arguments, **options))
        return answers[-1]

    connection.response_class = answer  # type: ignore[assignment]
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        if lacking := lack_of_this_machine(error):
            raise lacking from error
        raise CannotTellError(f"{host} cannot be probed through the proxy {named}: {error}", hint=PROXY_HINT) from error
    finally:
        for each in answers:
            each.close()
    made = connection.sock
    assert made is not None  # noqa: S101 - it is connected
    return made


def _checkers_tls() -> ssl.SSLContext:
    # "HTTPS health checks don't validate SSL/TLS certificates, so checks don't fail if a certificate is invalid or
    # expired." https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True)
class Table:
    """A region's table.

    Attributes:
        status: Its status.
        replica_status: Status of its replica in the other region. None without a replica.
        is_protected: Whether it has deletion protection.
    """

    status: str
    replica_status: str | None
    is_protected: bool = False


def table(stack: Deployed, side: Side) -> Table:
    """Describe a region's table.

    Raises:
        CannotTellError: The call failed.
    """
    client = stack.client("dynamodb", side)
    name = stack.outputs["dynamodb_table_name"]
    found = asked(f"DynamoDB in {stack.region(side)}", lambda: client.describe_table(TableName=name))["Table"]
    replicas = {replica["RegionName"]: replica.get("ReplicaStatus") for replica in found.get("Replicas", [])}
    return Table(
        found["TableStatus"],
        replicas.get(stack.region(OTHER[side])),
        is_protected=found.get("DeletionProtectionEnabled", False),
    )


def replication_latency_ms(stack: Deployed, side: Side, now: float, minutes: int = 5) -> float | None:
    """The highest mean replication latency of the last few minutes. None without a data point.

    Raises:
        CannotTellError: The call failed.
    """
    dimensions = {"TableName": stack.outputs["dynamodb_table_name"], "ReceivingRegion": stack.region(OTHER[side])}
    points = _by_the_minute(stack, side, "AWS/DynamoDB", "ReplicationLatency", dimensions, "Average", now, minutes)
    return max((point["Average"] for point in points), default=None)


def _by_the_minute(
    stack: Deployed,
    side: Side,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, str],
    statistic: str,
    now: float,
    minutes: int,
) -> list[Any]:
    """CloudWatch's data points of the last minutes, unordered."""
    client = stack.client("cloudwatch", side)
    answer = asked(
        f"CloudWatch in {stack.region(side)}",
        lambda: client.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - 60 * minutes,
            EndTime=now,
            Period=60,
            Statistics=[statistic],
        ),
    )
    return list(answer["Datapoints"])


@dataclass(frozen=True)
class DocumentCopies:
    """The replication of a region's documents to the other region. None where S3 has published no data.

    Attributes:
        failed: Number of operations that failed in the period.
        waiting: Number of operations that wait.
    """

    failed: int | None
    waiting: int | None


def document_copies(stack: Deployed, side: Side, now: float, minutes: int = 60) -> DocumentCopies:
    """Get the replication metrics of a side's bucket, from the regions where S3 publishes them.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html

    Raises:
        CannotTellError: A call failed.
    """
    dimensions = {
        "SourceBucket": stack.output(side, "bucket_name"),
        "DestinationBucket": stack.output(OTHER[side], "bucket_name"),
        "RuleId": DOCUMENTS_RULE,
    }

    failed, waiting = (
        _by_the_minute(stack, where, "AWS/S3", metric, dimensions, statistic, now, minutes)
        for where, metric, statistic in (
            (side, "OperationsFailedReplication", "Sum"),
            (OTHER[side], "OperationsPendingReplication", "Maximum"),
        )
    )
    return DocumentCopies(
        int(sum(point["Sum"] for point in failed)) if failed else None,
        int(max(waiting, key=lambda point: point["Timestamp"])["Maximum"]) if waiting else None,
    )


@dataclass(frozen=True)
class _Newest:
    """The newest entry of a key of a bucket: the ETag of a version, or None for a deletion."""

    key: str
    etag: str | None
    written: float


def documents_of_secondary(stack: Deployed, seconds: float) -> list[str]:
    """Keys of the documents that were written in the secondary region and that the primary lacks.

    A document counts if the primary never had it, or has an older version. A document that was deleted in the primary
    does not count, because deletions do not replicate.

    Args:
        stack: The stack.
        seconds: Maximum seconds to list both buckets.

    Raises:
        CannotTellError: A call to S3 failed, or there are too many documents for this time.
    """
    deadline = time.monotonic() + seconds
    missing = []
    primary = _newest(stack, "primary", deadline)
    there = next(primary, None)
    for here in _newest(stack, "secondary", deadline):
        while there and there.key.encode() < here.key.encode():
            there = next(primary, None)
        newest = there if there and there.key == here.key else None
        if here.etag and (newest is None or (newest.etag != here.etag and newest.written < here.written)):
            missing.append(here.key)
    return missing


def _newest(stack: Deployed, side: Side, deadline: float) -> Iterator[_Newest]:
    """The newest version or deletion of each key, in S3's order, which is that of the key's bytes."""
    client, bucket = stack.client("s3", side), stack.output(side, "bucket_name")
    pages = iter(client.get_paginator("list_object_versions").paginate(Bucket=bucket))
    while page := asked(f"S3 in {stack.region(side)}", lambda: next(pages, None)):
        if time.monotonic() > deadline:
            raise CannotTellError(
                f"{stack.region(side)} has too many documents to compare here",
                hint="compare them with 'aws s3 sync --dryrun', see the runbook under Fail back",
            )
        newest = [each for kind in ("Versions", "DeleteMarkers") for each in page.get(kind, []) if each["IsLatest"]]
        for each in sorted(newest, key=lambda each: each["Key"].encode()):
            yield _Newest(each["Key"], each.get("ETag"), each["LastModified"].timestamp())


def alarms(stack: Deployed, side: Side, *, seconds: float | None = None) -> dict[str, str]:
    """State of each of the stack's alarms in this region, by name.

    Args:
        stack: The deployed stack.
        side: The side of the region.
        seconds: Real seconds for an answer, with a single attempt. Default: as `Deployed.client`.

    Raises:
        CannotTellError: The call failed.
    """
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described_alarms(stack, side, seconds=seconds)}


def described_alarms(stack: Deployed, side: Side, *, seconds: float | None = None) -> list[Mapping[str, Any]]:
    """Each of the stack's alarms in this region, as CloudWatch describes it.

    Args:
        stack: The deployed stack.
        side: The side of the region.
        seconds: Real seconds for an answer, with a single attempt. Default: as `Deployed.client`.

    Raises:
        CannotTellError: The call failed.
    """
    client = stack.client("cloudwatch", side, seconds=seconds)
    answers = _asked_in_portions(
        f"CloudWatch in {stack.region(side)}",
        stack.outputs["alarm_names"],
        100,
        lambda names: client.describe_alarms(AlarmNames=names, MaxRecords=100),
    )
    return [alarm for answer in answers for alarm in answer["MetricAlarms"]]


def alarm(stack: Deployed, region: str, name: str) -> Mapping[str, Any] | None:
    """A metric alarm as CloudWatch describes it. None if it does not exist.

    Raises:
        CannotTellError: The call failed, or the region does not belong to the stack.
    """
    side = next((each for each in SIDES if stack.region(each) == region), None)
    if side is None:
        raise CannotTellError(
            f"the alarm {name} is in {region}, which is not a region of the stack",
            hint="set the health check to an alarm in one of the stack's regions",
        )
    client = stack.client("cloudwatch", side)
    found = asked(f"CloudWatch in {region}", lambda: client.describe_alarms(AlarmNames=[name]))["MetricAlarms"]
    return next(iter(found), None)


def alarm_state(stack: Deployed, region: str, name: str) -> AlarmState:
    """The state of an alarm's data stream: that of the alarm, unless somebody has called SetAlarmState.

    Raises:
        CannotTellError: The call failed, or the region does not belong to the stack.
    """
    found = alarm(stack, region, name)
    state: AlarmState = found["StateValue"] if found else "INSUFFICIENT_DATA"  # one that is gone has no data stream
    return state


def reserved_concurrency(stack: Deployed, side: Side) -> int | None:
    """The reserved concurrency of a region's health function: 0 is a fence, None the deployed setting.

    Raises:
        CannotTellError: The call failed.
    """
    client = stack.client("lambda", side)
    name = stack.output(side, "health_monitor_function_name")
    answer = asked(f"Lambda in {stack.region(side)}", lambda: client.get_function_concurrency(FunctionName=name))
    reserved: int | None = answer.get("ReservedConcurrentExecutions")
    return reserved


def drifted_parameters(stack: Deployed) -> list[str]:
    """Names of the parameters that differ between the regions or are missing in one of them.

    Raises:
        CannotTellError: A call failed.
    """
    primary, secondary = (_parameters(stack, side) for side in OTHER)
    names: list[str] = stack.outputs["ssm_parameter_names"]
    return [name for name in names if name not in primary or primary[name] != secondary.get(name)]


def _parameters(stack: Deployed, side: Side) -> dict[str, str]:
    client = stack.client("ssm", side)
    answers = _asked_in_portions(
        f"Parameter Store in {stack.region(side)}",
        stack.outputs["ssm_parameter_names"],
        10,
        lambda names: client.get_parameters(Names=names, WithDecryption=True),
    )
    return {parameter["Name"]: parameter["Value"] for answer in answers for parameter in answer["Parameters"]}


def _asked_in_portions(what: str, names: list[str], size: int, ask: Callable[[list[str]], Any]) -> Iterator[Any]:
    """The values of all names, in as many calls as needed."""
    for start in range(0, len(names), size):
        yield asked(what, partial(ask, names[start : start + size]))
