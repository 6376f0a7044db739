"""Health monitor: reports whether its region can serve payments, and whether the other region is up.

Invoked by API Gateway (``GET /health``, probed by Route 53 about 30 times a minute) and by EventBridge every minute.

===========  =====  ================================================================================================
verdict      HTTP   meaning
===========  =====  ================================================================================================
healthy      200    the table is ACTIVE, or UPDATING, which "remains available for data operations"
unhealthy    503    the table has another status, or DynamoDB is unreachable, does not answer in time or answers 5xx
unknown      200    the monitor itself is at fault (permission, throttling, setting, credentials, an answer it does
                    not understand). Never fails a region over: the scheduled run raises, so the Errors alarm fires
===========  =====  ================================================================================================

Route 53 gives up 2 s after connecting, so DynamoDB has ``DEADLINE_SECONDS`` to answer, whatever it does meanwhile:
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html

It resolves DynamoDB's name before each call: a connection that is already open proves nothing about new ones.

Only the scheduled run mails, on a change of verdict and every 15 minutes while a verdict other than healthy lasts. Only
the execution environment remembers the last mail. A new one mails at once when the verdict is bad and not at all when
it is good. Where Lambda keeps several environments warm, each may mail the same change once.

Then, and only in the scheduled run, it probes the other region's monitor as Route 53 does: a connection within four
seconds, and an answer of 2xx or 3xx within two more. One attempt may fail. The other region never changes the verdict
on this one. The result is a metric, and an alarm on it mails.

Metric (EMF, dimension FunctionName), of every conclusive scheduled run, with the time when the run began:
    PeerUnhealthy   1 if the other region does not answer, or answers anything but 2xx and 3xx, else 0
An inconclusive run publishes nothing: this side's certificates or settings are at fault, or this side reaches neither
the other region nor its own DynamoDB. The monitor uses no proxy.

Environment: DYNAMODB_TABLE_NAME, SNS_TOPIC_ARN, AWS_REGION and AWS_LAMBDA_FUNCTION_NAME (set by Lambda);
PEER_HEALTH_URL, the address that Route 53 probes in the other region (without it there is no probe, and its path is
never logged); METRIC_NAMESPACE (default PaymentApp/HealthMonitor).
Permissions: dynamodb:DescribeTable on the table of this region; sns:Publish on the topic, with kms:GenerateDataKey and
kms:Decrypt on the topic's key; logs:CreateLogStream and logs:PutLogEvents on the function's log group.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import json
import os
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.utils import get_environ_proxies

HEALTHY, UNHEALTHY, UNKNOWN = "healthy", "unhealthy", "unknown"

DEADLINE_SECONDS = 1.2
# Two attempts, made in `_ask`, take 2 x (0.3 + 0.4) s at worst, if the deadline lets them. These limits hold for one
# socket operation each, and none for name resolution: a server that dribbles, or a resolver that hangs, meets the
# deadline alone.
DYNAMODB_CONFIG = Config(connect_timeout=0.3, read_timeout=0.4, retries={"total_max_attempts": 1, "mode": "standard"})
SNS_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"})
# A call that outlives its deadline keeps its thread until a socket timeout ends it. So many may hang at the same time.
HUNG_CALLS_MAX = 8
# What Route 53 grants an endpoint; its page is above.
PEER_CONNECT_SECONDS, PEER_ANSWER_SECONDS = 4.0, 2.0
PEER_ATTEMPTS = 2
PEER_PAUSE_SECONDS = 5.0
# 15 minutes, less half a minute for the jitter of a schedule that ticks every minute.
REMINDER_INTERVAL = timedelta(minutes=14, seconds=30)

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html. A status that is in neither
# set is newer than this code, which cannot know whether such a table serves: unknown.
SERVING = frozenset({"ACTIVE", "UPDATING"})
NOT_SERVING = frozenset(
    {
        "CREATING",
        "DELETING",
        "ARCHIVING",
        "ARCHIVED",
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        "REPLICATION_NOT_AUTHORIZED",
    }
)
THROTTLED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
ADVICE = {
    HEALTHY: "The table is healthy again. Before you fail back, read the runbook.",
    UNHEALTHY: "Route 53 moves traffic to the other region after three failed checks in a row, if that one is healthy. "
    "See the AWS Health Dashboard for DynamoDB in this region, and the table with: "
    "aws dynamodb describe-table --table-name {table} --region {region}",
    UNKNOWN: "The monitor cannot check the table, and this moves no traffic. It would not notice an outage now: "
    "find the error in the monitor's log, then check its role, its environment variables and the account's API limits.",
}


class DescribesTables(Protocol):
    """The part of a DynamoDB client that is used here."""

    @property
    def meta(self) -> Any: ...  # noqa: D102

    def describe_table(self, **kwargs: Any) -> Any: ...  # noqa: D102


class Publishes(Protocol):
    """The part of an SNS client that is used here."""

    def publish(self, **kwargs: Any) -> Any: ...  # noqa: D102


class MonitorFault(Exception):  # noqa: N818
    """The monitor could not do its work: the table's health is unknown, or the mail could not be sent."""


class NoAnswerError(Exception):
    """No answer came before the deadline."""


class MissingSettingError(Exception):
    """An environment variable that the monitor needs is not set."""


@dataclass(frozen=True)
class Verdict:
    """The health of the table, or of the other region.

    Attributes:
        status: healthy, unhealthy or unknown.
        reason: a fixed code that may be public, None when healthy.
        table_status: DynamoDB's status, None when unknown.
        cause: the error behind the verdict, for the log only.
    """

    status: str
    reason: str | None = None
    table_status: str | None = None
    cause: BaseException | None = field(default=None, compare=False)


def judge(outcome: object) -> Verdict:
    """Make a verdict from DescribeTable's answer or exception.

    Example:
        >>> judge({"Table": {"TableStatus": "ACTIVE"}}).status
        'healthy'
        >>> judge(NoAnswerError())
        Verdict(status='unhealthy', reason='dynamodb_timeout', table_status=None, cause=NoAnswerError())
    """
    if isinstance(outcome, BaseException):
        status, reason = _judge_error(outcome)
        return Verdict(status, reason, cause=outcome)
    table = outcome.get("Table") if isinstance(outcome, Mapping) else None
    table_status = table.get("TableStatus") if isinstance(table, Mapping) else None
    if not isinstance(table_status, str):
        return Verdict(UNKNOWN, "unexpected_answer")
    if table_status in SERVING:
        return Verdict(HEALTHY, None, table_status)
    if table_status in NOT_SERVING:
        return Verdict(UNHEALTHY, "table_not_serving", table_status)
    return Verdict(UNKNOWN, "unexpected_table_status", table_status)


def _judge_error(error: BaseException) -> tuple[str, str]:
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "ResourceNotFoundException":
            return UNHEALTHY, "table_not_found"
        if code in THROTTLED:
            return UNKNOWN, "monitor_throttled"
        if http_status >= 500:
            return UNHEALTHY, "dynamodb_error"
        return UNKNOWN, "monitor_refused"  # missing permission, expired credentials, disabled region, bad request ...
    if isinstance(error, NoAnswerError):
        return UNHEALTHY, "dynamodb_timeout"
    # A proxy is the monitor's own setting, and a certificate is judged by the monitor's own trust store and clock.
    if isinstance(error, ProxyConnectionError) or (
        isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
    ):
        return UNKNOWN, "monitor_connection"
    # Refused, reset, not resolved, TLS or read broken off, timed out: botocore has no single base class for these.
    if isinstance(error, (NoConnectionError, HTTPClientError, IncompleteReadError, socket.gaierror)):
        return UNHEALTHY, "dynamodb_unreachable"
    if isinstance(error, MissingSettingError):
        return UNKNOWN, "monitor_setting"
    return UNKNOWN, "monitor_error"  # no credentials, no region, an answer that cannot be parsed, a defect in this file


# Threads that ask, made when all others are at work, and those of them that wait for work: to start one takes longer
# than all else that this file does.
_threads = threading.BoundedSemaphore(HUNG_CALLS_MAX)
_idle: list[queue.SimpleQueue[tuple[Callable[[], object], queue.SimpleQueue[object]]]] = []


def describe(dynamodb: DescribesTables, table_name: str, deadline: float = DEADLINE_SECONDS) -> object:
    """Describe the table, in at most `deadline` seconds.

    The call runs in a thread that is abandoned at the deadline: nothing else limits a hanging name resolution or a
    server that sends one byte at a time.

    Returns:
        The answer, or the exception of the call. Raises nothing.
    """
    try:
        calls = _idle.pop()
    except IndexError:
        if not _threads.acquire(blocking=False):
            return NoAnswerError(f"{HUNG_CALLS_MAX} earlier calls are still waiting for an answer")
        calls = queue.SimpleQueue()
        try:
            threading.Thread(target=_work, args=(calls,), daemon=True, name="describe-table").start()
        except RuntimeError as error:  # the operating system gives no more threads
            _threads.release()
            return error
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    calls.put((functools.partial(_ask, dynamodb, table_name), answers))
    try:
        return answers.get(timeout=deadline)
    except queue.Empty:
        return NoAnswerError(f"no answer within {deadline} s")


def _work(calls: queue.SimpleQueue[tuple[Callable[[], object], queue.SimpleQueue[object]]]) -> None:
    while True:
        ask, answers = calls.get()
        try:
            answer = ask()
        except BaseException as error:
            answer = error
        _idle.append(calls)  # before the answer, so that whoever gets it finds this thread
        answers.put(answer)


def _ask(dynamodb: DescribesTables, table_name: str) -> object:
    """Describe the table. Retry at once if DynamoDB is unreachable: Lambda freezes connections between invocations.

    botocore's own retry would first sleep for up to a second, which is most of the deadline.
    """
    try:
        return _resolve_and_call(dynamodb, table_name)
    except Exception as error:
        if judge(error).reason not in {"dynamodb_unreachable", "dynamodb_error"}:
            raise
    return _resolve_and_call(dynamodb, table_name)


def _resolve_and_call(dynamodb: DescribesTables, table_name: str) -> object:
    """Describe the table, if DynamoDB's name resolves.

    On 2025-10-20 it did not, in us-east-1. Open connections continued to work, and nobody could open a new one:
    https://aws.amazon.com/message/101925/. The client keeps its connection, so it would not have noticed.
    """
    endpoint = dynamodb.meta.endpoint_url
    if not get_environ_proxies(endpoint):  # a proxy resolves the name itself
        address = urlsplit(endpoint)
        socket.getaddrinfo(address.hostname, address.port, type=socket.SOCK_STREAM)
    return dynamodb.describe_table(TableName=table_name)


def check_health(dynamodb: DescribesTables, table_name: str) -> Verdict:
    """Judge the table by DynamoDB's present answer."""
    return judge(describe(dynamodb, table_name))


def judge_peer(outcome: object, own: Verdict) -> Verdict:
    """Make a verdict on the other region from its answer or the exception.

    Args:
        outcome: The HTTP status, or the exception.
        own: The verdict on this region. If its DynamoDB is unreachable too, the network or the resolver of this
            function may be at fault, so a missing answer is no evidence. An answer is.

    Example:
        >>> judge_peer(503, Verdict(HEALTHY))
        Verdict(status='unhealthy', reason='peer_status_503', table_status=None, cause=None)
    """
    if isinstance(outcome, int):
        # 4xx too, such as 404 of an API without the route: clients would get the same, and Route 53 decides so.
        return Verdict(HEALTHY) if 200 <= outcome < 400 else Verdict(UNHEALTHY, f"peer_status_{outcome}")
    error = outcome if isinstance(outcome, BaseException) else None
    # A certificate is judged by this function's own trust store and clock; Route 53 judges none.
    if isinstance(error, ssl.SSLCertVerificationError):
        return Verdict(UNKNOWN, "monitor_connection", cause=error)
    if isinstance(error, http.client.InvalidURL | ValueError | MissingSettingError):
        return Verdict(UNKNOWN, "monitor_setting", cause=error)
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
        return Verdict(UNKNOWN, "monitor_error", cause=error)
    # Refused, reset, not resolved, TLS or HTTP broken off, timed out.
    if isinstance(error, OSError | http.client.HTTPException | NoAnswerError):
        if own.reason in {"dynamodb_unreachable", "dynamodb_timeout", "monitor_connection"}:
            return Verdict(UNKNOWN, "monitor_connection", cause=error)
        return Verdict(UNHEALTHY, "peer_unreachable", cause=error)
    return Verdict(UNKNOWN, "monitor_error", cause=error)  # a defect in this file, no thread to be had


def check_peer(url: str, home: str, own: Verdict) -> Verdict:
    """Judge the other region by its present answer, in up to `PEER_ATTEMPTS` attempts.

    Args:
        url: Its health address.
        home: The region of this function, which the request gives as its origin.
        own: The verdict on this region.
    """
    verdict = judge_peer(_ask_peer(url, home), own)
    for _ in range(PEER_ATTEMPTS - 1):
        if verdict.status == UNHEALTHY:
            _log("WARNING", "an attempt to probe the other region failed", reason=verdict.reason)
            time.sleep(PEER_PAUSE_SECONDS)
            verdict = judge_peer(_ask_peer(url, home), own)
    return verdict


def _ask_peer(url: str, home: str, deadline: float = PEER_CONNECT_SECONDS + PEER_ANSWER_SECONDS) -> object:
    """Probe once, for at most `deadline` seconds. Return the HTTP status, or the exception.

    It runs in a thread that is abandoned at the deadline, for the reasons in `describe`, and not in one of its threads:
    hanging calls here must not delay the verdict on the table.
    """
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    connections: list[http.client.HTTPSConnection] = []

    def ask() -> None:
        try:
            answers.put(_status_of(url, home, connections))
        except BaseException as error:
            answers.put(error)

    try:
        threading.Thread(target=ask, daemon=True, name="ask-peer").start()
    except RuntimeError as error:  # the operating system gives no more threads
        return error
    try:
        return answers.get(timeout=deadline)
    except queue.Empty:
        for connection in connections:  # so that an answer that never ends does not keep the thread
            with contextlib.suppress(Exception):
                connection.sock.shutdown(socket.SHUT_RDWR)
        return NoAnswerError(f"no answer within {deadline} s")


def _status_of(url: str, home: str, connections: list[http.client.HTTPSConnection]) -> int:
    address = urlsplit(url)
    if address.scheme != "https" or not address.hostname:
        raise MissingSettingError("PEER_HEALTH_URL is not an https:// address")
    # A new connection each time: one that is open proves nothing about new ones.
    connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=PEER_CONNECT_SECONDS)
    connections.append(connection)
    with contextlib.closing(connection):
        connection.connect()
        connection.sock.settimeout(PEER_ANSWER_SECONDS)
        connection.request("GET", address.path, headers={"User-Agent": f"payment-dr-health-monitor/{home}"})
        return connection.getresponse().status


def public_body(verdict: Verdict, region: str | None, now: datetime) -> dict[str, str | None]:
    """The public answer: no account, no ARN, no text of an error."""
    return {
        "status": verdict.status,
        "timestamp": now.isoformat(timespec="milliseconds"),
        "region": region,
        "table_status": verdict.table_status,
        "reason": verdict.reason,
    }


class Announcer:
    """Decides whether a verdict is worth a mail, and sends it.

    Lives as long as the execution environment. Probes must never touch it.

    Example:
        >>> announcer = Announcer()
        >>> announcer.announce(Verdict(HEALTHY), sns, topic_arn, "transactions", "us-east-1", now)  # no mail due
        False
    """

    def __init__(self) -> None:
        self._seen = HEALTHY
        self._since: datetime | None = None
        self._mailed = HEALTHY  # readers believe this until they get a mail
        self._mailed_at: datetime | None = None

    def announce(
        self, verdict: Verdict, sns: Publishes, topic_arn: str, table_name: str, region: str, now: datetime
    ) -> bool:
        """Publish the verdict if it is due. Remember it only if that worked, so that the next minute retries.

        Returns:
            Whether a message was published.
        """
        if self._since is None or verdict.status != self._seen:
            self._seen, self._since = verdict.status, now
        # Either way: a clock that was put back must not silence the reminders for as long as it was put back by.
        overdue = self._mailed_at is not None and abs(now - self._mailed_at) >= REMINDER_INTERVAL
        if verdict.status == self._mailed and not (verdict.status != HEALTHY and overdue):
            return False
        sns.publish(TopicArn=topic_arn, **self._message(verdict, table_name, region, self._since))
        self._mailed, self._mailed_at = verdict.status, now
        return True

    @staticmethod
    def _message(verdict: Verdict, table_name: str, region: str, since: datetime) -> dict[str, str]:
        return {
            # SNS: ASCII, one line, fewer than 100 characters.
            "Subject": f"Payment health in {region} is {verdict.status}"[:99],
            "Message": "\n".join(
                [
                    f"Region:       {region}",
                    f"Verdict:      {verdict.status}" + (f" ({verdict.reason})" if verdict.reason else ""),
                    f"Table:        {table_name}",
                    f"Table status: {verdict.table_status or 'not known'}",
                    f"Since:        {since.isoformat(timespec='seconds')}",
                    "",
                    ADVICE[verdict.status].format(table=table_name, region=region),
                ]
            ),
        }


_announcer = Announcer()


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=DYNAMODB_CONFIG)


@functools.cache
def _sns() -> Any:
    return boto3.client("sns", config=SNS_CONFIG)


def _setting(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise MissingSettingError(f"environment variable {name} is not set")
    return value


def _check() -> Verdict:
    try:
        return check_health(_dynamodb(), _setting("DYNAMODB_TABLE_NAME"))
    except Exception as error:
        return judge(error)


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")


def handler(event: Any, context: object) -> dict[str, Any]:  # noqa: ARG001
    """Answer a probe, or do the scheduled run.

    Returns:
        For an HTTP request its answer, valid for both payload formats of API Gateway and for a load balancer. It never
        raises then. For any other event only the body.

    Raises:
        MonitorFault: in a scheduled run whose verdict is unknown or whose message could not be published.
    """
    started = time.monotonic()
    event = event if isinstance(event, dict) else {}
    is_probe = isinstance(event.get("requestContext"), dict)
    is_scheduled = event.get("detail-type") == "Scheduled Event"

    verdict = _check()
    now = datetime.now(UTC)
    body = public_body(verdict, os.environ.get("AWS_REGION"), now)
    _log(
        "INFO" if verdict.status == HEALTHY else "ERROR",
        "health",
        trigger="probe" if is_probe else "schedule" if is_scheduled else "manual",
        duration_ms=round((time.monotonic() - started) * 1000),
        error=None if verdict.cause is None else f"{type(verdict.cause).__name__}: {verdict.cause}",
        **body,
    )
    if is_probe:
        return {
            "statusCode": 503 if verdict.status == UNHEALTHY else 200,
            "headers": {"content-type": "application/json", "cache-control": "no-store"},
            "body": json.dumps(body),
        }
    if is_scheduled:
        try:
            _report(verdict, now)
        finally:  # whatever became of that
            _watch_peer(verdict, now)
    return dict(body)


def _report(verdict: Verdict, now: datetime) -> None:
    """Mail the verdict if due, then raise for Lambda's Errors metric if the verdict is unknown."""
    try:
        topic_arn, table_name, region = map(_setting, ("SNS_TOPIC_ARN", "DYNAMODB_TABLE_NAME", "AWS_REGION"))
        if _announcer.announce(verdict, _sns(), topic_arn, table_name, region, now):
            _log("INFO", "published", status=verdict.status)
    except Exception as error:
        _log("ERROR", "publish failed", status=verdict.status, error=f"{type(error).__name__}: {error}")
        raise MonitorFault(f"the verdict {verdict.status} could not be published: {type(error).__name__}") from error
    if verdict.status == UNKNOWN:
        raise MonitorFault(f"the table's health is unknown: {verdict.reason}") from verdict.cause


def _watch_peer(own: Verdict, now: datetime) -> None:
    """Probe the other region, if there is one, and publish the result. Raises nothing."""
    url = os.environ.get("PEER_HEALTH_URL", "").strip()
    if not url:
        return
    verdict = check_peer(url, os.environ.get("AWS_REGION", ""), own)
    found: dict[str, object] = {"status": verdict.status, "reason": verdict.reason}
    if verdict.cause is not None:
        # Its kind and no more: the text of an error can quote the path, which may be a private one.
        found["error"] = type(verdict.cause).__name__
    if verdict.status != UNKNOWN:
        directive = {
            "Namespace": os.environ.get("METRIC_NAMESPACE", "PaymentApp/HealthMonitor"),
            "Dimensions": [["FunctionName"]],
            "Metrics": [{"Name": "PeerUnhealthy", "Unit": "Count"}],
        }
        # When the run began: it then counts for the minute that it was scheduled for, however long its attempts took.
        found["_aws"] = {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]}
        found["FunctionName"] = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        found["PeerUnhealthy"] = int(verdict.status == UNHEALTHY)
    _log("INFO" if verdict.status == HEALTHY else "ERROR", "other region", **found)


# Lambda lends a full CPU while it loads this module: a client made here costs the first probe less. What fails here is
# made again by the handler, which reports it.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    with contextlib.suppress(Exception):
        _dynamodb()
