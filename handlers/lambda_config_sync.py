"""Config sync: makes SecureString parameters of the other region equal to what was last written in either region.

One function runs in each region. It reads both regions and writes only into the other one, under the cross-region role.

The last write wins. LastModifiedDate cannot tell which that is: a copy is a modification too, younger than a value that
was written at its source while the copy was on its way. So a copy says in its description, which PutParameter stores
together with the value, whose write it carries, and has the time of that write:

    Payments database [copied to us-west-2 from us-east-1 version 7 of 2026-11-22T12:00:00+00:00 at <time> by <nonce>]

The latest write among all versions of both histories wins; of two with the same time, the one in the region that sorts
first. Descriptions outlive writes (the console fills them in again, PutParameter keeps them), so a version is a copy
only if it says so for its own region, with a nonce that no earlier version has, and was made when it says. A write is
later than whatever it replaced, even where a region's clock is behind.

PutParameter has no compare-and-set, so a copy can hide a write that came a moment earlier. Its returned version tells,
and everything is compared again; if the function dies first, the next run finds the write in the history (of 100
versions, far more than such races use up).

Deletes are not copied: a parameter missing in one region is made again from the other. Delete it in both.

Environment: PARAMETER_NAMES (JSON list of full names), TARGET_REGION, TARGET_KMS_KEY_ARN, CROSS_REGION_ROLE_ARN,
METRIC_NAMESPACE (default PaymentApp/ConfigSync); AWS_REGION and AWS_LAMBDA_FUNCTION_NAME are set by Lambda.
Permissions: the execution role needs ssm:GetParameter and ssm:GetParameterHistory on the parameters and kms:Decrypt on
the key of the home region, sts:AssumeRole on the cross-region role, logs:CreateLogStream and logs:PutLogEvents on its
log group; the cross-region role needs ssm:GetParameter, ssm:GetParameterHistory and ssm:PutParameter on the parameters
and kms:Decrypt and kms:Encrypt on the key of the target region.
Metrics (EMF, dimension FunctionName): ParametersCopied and SyncFailures of every run; ParameterDrift, the number of
names whose sides differ or could not be compared, of full reconciliations only: a change event looks at one name.

No value is logged or raised, so no error's text is either and SyncFailed has no cause: AWS quotes the offending input
in validation errors, and Lambda logs the whole chain of an exception.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

READ_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})
# A retry inside botocore would store the same nonce twice, and the second version would count as somebody's write.
WRITE_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1, "mode": "standard"})

ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.5  # doubles; PutParameter allows 3 calls a second in an account with default throughput
SESSION_SECONDS = 3600  # the most that AWS allows a role that was assumed by a role
SESSION_RESERVE = timedelta(minutes=10)  # longer than a function can run
TIME_RESERVE_MS = 60_000  # what one name may take when AWS is slow
DESCRIPTION_LENGTH_MAX = 1024
# More than a function's longest run, so that no true copy is missed, and less than it takes to restore a backup.
STAMP_AGE_MAX = timedelta(minutes=15)

TRANSIENT = frozenset(
    {"InternalServerError", "RequestLimitExceeded", "ServiceUnavailable", "ThrottlingException", "TooManyUpdates"}
)
NOT_THERE = frozenset({"ParameterNotFound", "ParameterVersionNotFound"})


class SettingError(Exception):
    """An environment variable is missing or malformed."""


class SyncFailed(Exception):  # noqa: N818
    """Some parameters could not be synchronised: their names and error codes."""


class TryAgainError(Exception):
    """The parameter changed between two calls, or nobody knows whether it did: compare again."""


@dataclass(frozen=True, order=True)
class Write:
    """Somebody's write of a value."""

    time: datetime
    region: str
    version: int

    def __str__(self) -> str:
        return f"{self.region} version {self.version} of {self.time.isoformat()}"


@dataclass(frozen=True)
class Version:
    """One version of one region's history, and the write whose value it holds: itself, unless it is a copy."""

    region: str
    number: int
    write: Write
    is_copy: bool
    description: str  # without the stamp of a copy


@dataclass(frozen=True)
class Stamp:
    """What a copy says of itself, at the end of its description."""

    region: str
    write: Write
    made_at: datetime
    nonce: str

    _PATTERN = re.compile(
        r"\s*\[copied to (?P<region>[a-z0-9-]+) from (?P<origin>[a-z0-9-]+) version (?P<version>[0-9]+)"
        r" of (?P<time>[0-9T:.+-]+) at (?P<made_at>[0-9T:.+-]+) by (?P<nonce>[0-9a-f]+)\]"
    )

    def attach_to(self, description: str) -> str:
        """Put the stamp behind the description, which is cut short if both together are too long for SSM."""
        text = f"[copied to {self.region} from {self.write} at {self.made_at.isoformat()} by {self.nonce}]"
        return f"{description[: DESCRIPTION_LENGTH_MAX - len(text) - 1]} {text}".lstrip()

    @classmethod
    def split(cls, text: str) -> tuple[str, Stamp | None]:
        """Tell people's description from the stamp behind it, if there is one."""
        description = cls._PATTERN.sub("", text).strip()
        matches = list(cls._PATTERN.finditer(text))
        if not matches or matches[-1].end() != len(text.rstrip()):
            return description, None
        found = matches[-1]
        try:
            time, made_at = (datetime.fromisoformat(found[name]).astimezone(UTC) for name in ("time", "made_at"))
        except (ValueError, OverflowError):
            return description, None
        return description, cls(
            found["region"], Write(time, found["origin"], int(found["version"])), made_at, found["nonce"]
        )


def read_history(region: str, entries: Iterable[Mapping[str, Any]]) -> list[Version]:
    """Tell writes from copies, oldest first, in a region's `Parameters` of GetParameterHistory."""
    versions: list[Version] = []
    nonces: set[str] = set()
    latest = datetime.min.replace(tzinfo=UTC)
    for entry in sorted(entries, key=lambda entry: int(entry["Version"])):
        modified = entry["LastModifiedDate"].astimezone(UTC)
        description, stamp = Stamp.split(entry.get("Description") or "")
        is_copy = bool(
            stamp
            and stamp.region == region
            and stamp.nonce not in nonces
            and max(abs(modified - stamp.made_at), stamp.write.time - modified) <= STAMP_AGE_MAX
        )
        # Whoever wrote a version replaced what was there, so it is the later one even if this region's clock is behind.
        own = Write(max(modified, latest + timedelta(microseconds=1)), region, entry["Version"])
        write = stamp.write if stamp and is_copy else own
        versions.append(Version(region, entry["Version"], write, is_copy, description))
        latest = max(latest, write.time)
        if stamp:
            nonces.add(stamp.nonce)
    return versions


def choose(versions: Sequence[Version]) -> Version:
    """The version that both regions should hold: the last write, or a copy of it if it is gone itself.

    Both functions must choose the same one from the same histories, or they would overwrite each other for ever.
    """
    first_region = min(version.write.region for version in versions)
    return max(
        versions,
        key=lambda version: (
            version.write.time,
            version.write.region == first_region,
            version.write,
            not version.is_copy,
            version.region,
            version.number,
        ),
    )


@dataclass(frozen=True)
class Outcome:
    """What became of one name: whether a copy was written, and whether both regions hold the same value now."""

    copied: bool
    in_sync: bool


class ParameterSync:
    """Brings parameters of the target region up to the last write.

    Args:
        key_arn: the target region's key.
        home: SSM client of the home region.
        target: SSM client of the target region, under the cross-region role.
        target_writer: the same, without retries of its own.
    """

    def __init__(
        self,
        home_region: str,
        target_region: str,
        key_arn: str,
        *,
        home: Any,
        target: Any,
        target_writer: Any,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._home_region, self._target_region, self._key_arn = home_region, target_region, key_arn
        self._clients = {home_region: home, target_region: target}
        self._writer = target_writer
        self._now, self._sleep = now, sleep

    def sync(self, name: str) -> Outcome:
        """Compare one parameter, and copy it if the target region lacks the last write.

        Raises:
            TryAgainError: every attempt was crossed by other writes, or by the error that is its cause.
        """
        copied = False
        newest_known = 0
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                outcome, hiding = self._attempt(name, newest_known)
            except TryAgainError:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            copied = copied or outcome.copied
            if not hiding:
                return replace(outcome, copied=copied)
            newest_known = hiding
        raise TryAgainError

    def _attempt(self, name: str, newest_known: int) -> tuple[Outcome, int | None]:
        """Compare and copy once; also returns the number of the copy if it hides a version that was not seen."""
        home, target = (self._history(region, name) for region in (self._home_region, self._target_region))
        newest = target[-1].number if target else 0
        if newest < newest_known:  # SSM's reads may lag behind its writes: do not decide on less than is known
            raise TryAgainError
        if not home:
            # The other function makes it again. Here a copy of ours may still hide a write of the target region.
            _log("WARNING", "missing in the home region", parameter=name, missing_in_target=not target)
            if not target:
                return Outcome(copied=False, in_sync=False), None
        last = choose(home + target)
        currents = (*home[-1:], *target[-1:])
        value = self._read(name, last, currents)
        in_sync = bool(home) and (last == home[-1] or self._read(name, home[-1], currents) == value)
        if target and (last == target[-1] or self._read(name, target[-1], currents) == value):
            return Outcome(copied=False, in_sync=in_sync), None
        written = self._copy(name, last, value)
        return Outcome(copied=True, in_sync=in_sync), written if written != newest + 1 else None

    def _history(self, region: str, name: str) -> list[Version]:
        entries: list[Mapping[str, Any]] = []
        request: dict[str, Any] = {"Name": name, "WithDecryption": False, "MaxResults": 50}
        while True:
            try:
                page = self._clients[region].get_parameter_history(**request)
            except ClientError as error:
                if error_code(error) in NOT_THERE:
                    return []
                raise
            entries += page["Parameters"]
            if not page.get("NextToken"):
                return read_history(region, entries)
            request["NextToken"] = page["NextToken"]

    def _read(self, name: str, version: Version, currents: Sequence[Version]) -> str:
        """Decrypt one version's value."""
        selector = "" if version in currents else f":{version.number}"
        try:
            answer = self._clients[version.region].get_parameter(Name=name + selector, WithDecryption=True)
        except ClientError as error:
            if error_code(error) in NOT_THERE:
                raise TryAgainError from error
            raise
        if answer["Parameter"]["Version"] != version.number:
            raise TryAgainError
        return str(answer["Parameter"]["Value"])

    def _copy(self, name: str, version: Version, value: str) -> int:
        """Write the value into the target region and return the version that it became there."""
        stamp = Stamp(self._target_region, version.write, self._now().astimezone(UTC), secrets.token_hex(8))
        try:
            answer = self._writer.put_parameter(
                Name=name,
                Description=stamp.attach_to(version.description),
                Value=value,
                Type="SecureString",
                # Without it SSM would silently take the account's AWS managed key, even for an existing parameter.
                KeyId=self._key_arn,
                Tier="Standard",
                Overwrite=True,
            )
        except Exception as error:
            if _is_transient(error):  # it may have been written all the same
                raise TryAgainError from error
            raise
        written = int(answer["Version"])
        _log(
            "INFO",
            "copied",
            parameter=name,
            origin=str(version.write),
            target_region=self._target_region,
            target_version=written,
        )
        return written


def error_code(error: BaseException) -> str:
    """What may be said of an error: AWS's code or the class, never the text, which may quote a value."""
    if isinstance(error, TryAgainError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "ClientError")
    return type(error).__name__


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in TRANSIENT or status >= 500
    return isinstance(error, (HTTPClientError, NoConnectionError))


@dataclass(frozen=True)
class Settings:
    """The function's environment."""

    parameter_names: tuple[str, ...]
    home_region: str
    target_region: str
    target_key_arn: str
    role_arn: str
    metrics: tuple[str, str]  # namespace and function name

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingError: naming every variable that is missing or malformed.
        """
        required = ("AWS_REGION", "TARGET_REGION", "TARGET_KMS_KEY_ARN", "CROSS_REGION_ROLE_ARN")
        wrong = [name for name in required if not environment.get(name)]
        try:
            names = json.loads(environment.get("PARAMETER_NAMES", ""))
        except ValueError:
            names = None
        if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
            wrong.append("PARAMETER_NAMES (a JSON list of names)")
        if not wrong and environment["AWS_REGION"] == environment["TARGET_REGION"]:
            wrong.append("TARGET_REGION (must not be the function's own)")
        if wrong:
            raise SettingError("missing or malformed environment variables: " + ", ".join(wrong))
        return cls(
            parameter_names=tuple(dict.fromkeys(names)),
            home_region=environment["AWS_REGION"],
            target_region=environment["TARGET_REGION"],
            target_key_arn=environment["TARGET_KMS_KEY_ARN"],
            role_arn=environment["CROSS_REGION_ROLE_ARN"],
            metrics=metric_identity(environment),
        )


def metric_identity(environment: Mapping[str, str]) -> tuple[str, str]:
    """Under which namespace and function name the metrics are published."""
    return (
        environment.get("METRIC_NAMESPACE") or "PaymentApp/ConfigSync",
        environment.get("AWS_LAMBDA_FUNCTION_NAME") or "config-sync",
    )


class Connection:
    """The clients, kept for as long as the cross-region session lasts."""

    def __init__(
        self,
        settings: Settings,
        make_client: Callable[..., Any] = boto3.client,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self._make_client, self._now = make_client, now
        # Older botocore would ask the global STS endpoint, which is in us-east-1.
        os.environ.setdefault("AWS_STS_REGIONAL_ENDPOINTS", "regional")
        self._sts = make_client("sts", region_name=settings.home_region, config=READ_CONFIG)
        self._home = make_client("ssm", region_name=settings.home_region, config=READ_CONFIG)
        self._sync: ParameterSync | None = None
        self._expires = datetime.min.replace(tzinfo=UTC)

    def open(self) -> ParameterSync:
        """Assume the cross-region role, unless the session in hand still lasts."""
        if self._sync is None or self._now() + SESSION_RESERVE >= self._expires:
            credentials = self._sts.assume_role(
                RoleArn=self.settings.role_arn,
                RoleSessionName=self.settings.metrics[1][:64],
                DurationSeconds=SESSION_SECONDS,
            )["Credentials"]
            target, writer = (
                self._make_client(
                    "ssm",
                    region_name=self.settings.target_region,
                    aws_access_key_id=credentials["AccessKeyId"],
                    aws_secret_access_key=credentials["SecretAccessKey"],
                    aws_session_token=credentials["SessionToken"],
                    config=config,
                )
                for config in (READ_CONFIG, WRITE_CONFIG)
            )
            self._sync = ParameterSync(
                self.settings.home_region,
                self.settings.target_region,
                self.settings.target_key_arn,
                home=self._home,
                target=target,
                target_writer=writer,
                now=self._now,
            )
            self._expires = credentials["Expiration"]
        return self._sync

    def close(self) -> None:
        """Forget the session: the next run assumes the role again."""
        self._sync = None


def names_to_sync(event: Any, names: Sequence[str]) -> tuple[Sequence[str], bool]:
    """Which names an event asks for, and whether that is a full reconciliation: scheduled, or by an empty event."""
    if not event:
        return names, True
    kind = event.get("detail-type") if isinstance(event, dict) else None
    if kind == "Scheduled Event":
        return names, True
    detail = event.get("detail") if isinstance(event, dict) else None
    name, operation = (detail.get("name"), detail.get("operation")) if isinstance(detail, dict) else (None, None)
    if kind == "Parameter Store Change" and operation in ("Create", "Update") and name in names:
        return [str(name)], False
    _log("INFO", "event ignored", kind=str(kind)[:99], operation=str(operation)[:99], parameter=str(name)[:99])
    return [], False


def run(
    event: Any,
    settings: Settings,
    connect: Callable[[], ParameterSync],
    remaining_ms: Callable[[], int] | None = None,
) -> dict[str, Any]:
    """Do what the event asks for: every name is tried, whatever becomes of the others.

    Returns:
        {"copied": names, "unchanged": count, "drifted": names}

    Raises:
        SyncFailed: some names failed.
    """
    names, is_full = names_to_sync(event, settings.parameter_names)
    if not names:
        return {"copied": [], "unchanged": 0, "drifted": []}
    outcomes: dict[str, Outcome] = {}
    failures: dict[str, str] = {}
    try:
        sync = connect().sync
    except Exception as error:
        failures = dict.fromkeys(names, error_code(error))
        _log("ERROR", "not connected", error=error_code(error), line=_line_of(error))
    for name in names if not failures else ():
        if remaining_ms and remaining_ms() < TIME_RESERVE_MS:
            failures[name] = "OutOfTime"
            continue
        try:
            outcomes[name] = sync(name)
        except Exception as error:
            failures[name] = error_code(error)
            _log("ERROR", "sync failed", parameter=name, error=failures[name], line=_line_of(error))
    copied = [name for name, outcome in outcomes.items() if outcome.copied]
    drifted = [name for name in names if name in failures or not outcomes[name].in_sync]
    if drifted:
        _log("WARNING", "regions differ", parameters=drifted)
    emit_metrics(
        settings.metrics,
        ParametersCopied=len(copied),
        SyncFailures=len(failures),
        **({"ParameterDrift": len(drifted)} if is_full else {}),
    )
    if failures:
        # Not from a cause, see the module's docstring.
        raise SyncFailed("; ".join(f"{name}: {code}" for name, code in failures.items()))
    return {"copied": copied, "unchanged": len(names) - len(copied), "drifted": drifted}


def _line_of(error: BaseException) -> int | None:
    """The last line of this file that the error came through; its text cannot be told."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
    return lines[-1] if lines else None


def emit_metrics(identity: tuple[str, str], **counts: int) -> None:
    """Write counts into the log in CloudWatch's embedded metric format, which needs no permission."""
    namespace, function_name = identity
    metrics = [{"Name": name, "Unit": "Count"} for name in counts]
    directive = {"Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": metrics}
    emf = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    _log("INFO", "metrics", _aws=emf, FunctionName=function_name, **counts)


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")


_connection: Connection | None = None


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Synchronise what the event asks for.

    Raises:
        SettingError: which counts as drift, for nothing could be compared.
        SyncFailed: some names failed.
    """
    global _connection
    try:
        settings = Settings.from_environment(os.environ)
    except SettingError as error:
        _log("ERROR", "setting", error=str(error))
        emit_metrics(metric_identity(os.environ), ParametersCopied=0, SyncFailures=1, ParameterDrift=1)
        raise

    def connect() -> ParameterSync:
        global _connection
        if _connection is None or _connection.settings != settings:
            _connection = Connection(settings)
        return _connection.open()

    try:
        return run(event, settings, connect, getattr(context, "get_remaining_time_in_millis", None))
    except SyncFailed:
        if _connection is not None:
            _connection.close()
        raise
