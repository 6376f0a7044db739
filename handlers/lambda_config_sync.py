"""Config sync: makes SecureString parameters of the other region equal to the last write in either region.

One function runs in each region. It reads both regions and writes only to the other one, under the cross-region role.

The last write wins. LastModifiedDate does not show which write that is: a copy is a modification too, and younger than
a value that was written at its source while the copy was on its way. So the description of a copy, which PutParameter
stores together with the value, names the write that it carries and the time of that write:

    Payments database [copied to us-west-2 from us-east-1 version 7 of 2026-11-22T12:00:00+00:00 at <time> by <nonce>]

The latest write among all versions of both histories wins. Of two with the same time, the one in the region that sorts
first wins. Descriptions outlive writes (the console fills them in again, PutParameter keeps them). So a version counts
as a copy only if its description names its own region, has a nonce that no earlier version has and its real time, and
its value is that of the write that it names. A write is later than the version that it replaced, even where a region's
clock is behind.

A seed is the value with which Terraform creates a parameter. It loses to every other write, at any time, because
Terraform creates parameters long after they were first written: to replace one, or for a new region. A seed ends its
description with [seed] and is version 1. A later version with that description is a user's write that kept it. The
stamp of a copy of a seed marks it as a seed, and it stays one.

A copy is a SecureString under the key of its region. A parameter with the right value, but of another type or under
another key, is written again. Copies use the advanced tier where the target or the write does.

Two writes in both regions before either is copied (during a partition) are a conflict: the later one wins, and a
warning and the metric WritesLost name the other one before it is replaced. Its value stays in its region's history.

PutParameter has no compare-and-set, so a copy can hide a write that came a moment earlier. The version that it returns
shows that, and the function compares again. If it dies first, the next run finds the write in the history (of 100
versions, far more than such races use up).

Deletions are not copied: a parameter missing in one region is created again from the other. To delete it in both, stop
the functions first: PutParameter creates missing parameters, so a run in flight would create it again.

Environment: PARAMETER_NAMES (JSON list of full names), TARGET_REGION, TARGET_KMS_KEY_ARN, CROSS_REGION_ROLE_ARN,
METRIC_NAMESPACE (default PaymentApp/ConfigSync); AWS_REGION and AWS_LAMBDA_FUNCTION_NAME are set by Lambda.
Permissions: the execution role needs ssm:GetParameter and ssm:GetParameterHistory on the parameters and kms:Decrypt on
the key of the home region, sts:AssumeRole on the cross-region role, logs:CreateLogStream and logs:PutLogEvents on its
log group; the cross-region role needs ssm:GetParameter, ssm:GetParameterHistory and ssm:PutParameter on the parameters
and kms:Decrypt, kms:Encrypt (standard tier) and kms:GenerateDataKey (advanced tier) on the key of the target region.
Metrics (EMF, dimension FunctionName): ParametersCopied and SyncFailures of every run; ParameterDrift, the number of
names whose sides differ or could not be compared, of full reconciliations only (a change event covers one name);
WritesLost with each conflict.

Values are never logged or raised. So no error's text is either, and SyncFailed has no cause: AWS quotes the offending
input in validation errors, and Lambda logs the whole chain of an exception.
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
SAME_MOMENT = timedelta(seconds=1)  # no page promises that GetParameter and GetParameterHistory round a time alike

TRANSIENT = frozenset(
    {"InternalServerError", "RequestLimitExceeded", "ServiceUnavailable", "ThrottlingException", "TooManyUpdates"}
)
NOT_THERE = frozenset({"ParameterNotFound", "ParameterVersionNotFound"})
# A key that the role may not use, that is disabled, or that is gone.
UNREADABLE = frozenset({"AccessDeniedException", "InvalidKeyId"})
AWS_MANAGED_KEY = "alias/aws/ssm"
SEED = "[seed]"  # how Terraform's description of a parameter ends


class SettingError(Exception):
    """An environment variable is missing or malformed."""


class SyncFailed(Exception):  # noqa: N818
    """Some parameters could not be synchronised: their names and error codes."""


class TryAgainError(Exception):
    """The parameter changed between two calls, or may have changed: compare again."""


@dataclass(frozen=True, order=True)
class Write:
    """A user's write of a value, or Terraform's seed."""

    time: datetime
    region: str
    version: int
    is_seed: bool = False

    def __str__(self) -> str:
        return f"{'seed ' * self.is_seed}{self.region} version {self.version} of {self.time.isoformat()}"


@dataclass(frozen=True)
class Version:
    """One version of one region's history, and the write whose value it has: its own, unless it is a copy."""

    region: str
    number: int
    own: Write
    copy_of: Write | None = None
    description: str = ""  # without the stamp of a copy and the mark of a seed
    modified: datetime | None = None
    type: str = "SecureString"
    key_id: str = ""  # a key's id, ARN or alias, as it was given to PutParameter
    is_advanced: bool = False

    @property
    def write(self) -> Write:
        """Whose value it holds."""
        return self.copy_of or self.own

    @property
    def is_copy(self) -> bool:
        """Whether the sync made it."""
        return self.copy_of is not None


@dataclass(frozen=True)
class Stamp:
    """The stamp of a copy, at the end of its description."""

    region: str
    write: Write
    made_at: datetime
    nonce: str

    _PATTERN = re.compile(
        r"\s*\[copied to (?P<region>[a-z0-9-]+) from (?P<seed>seed )?(?P<origin>[a-z0-9-]+) version (?P<version>[0-9]+)"
        r" of (?P<time>[0-9T:.+-]+) at (?P<made_at>[0-9T:.+-]+) by (?P<nonce>[0-9a-f]+)\]"
    )

    def attach_to(self, description: str) -> str:
        """Append the stamp to the description. Shorten the description if both are too long for SSM."""
        text = f"[copied to {self.region} from {self.write} at {self.made_at.isoformat()} by {self.nonce}]"
        return f"{description[: DESCRIPTION_LENGTH_MAX - len(text) - 1]} {text}".lstrip()

    @classmethod
    def split(cls, text: str) -> tuple[str, Stamp | None]:
        """Split a description into the user's text and the stamp, if there is one."""
        description = cls._PATTERN.sub("", text).strip()
        matches = list(cls._PATTERN.finditer(text))
        if not matches or matches[-1].end() != len(text.rstrip()):
            return description, None
        found = matches[-1]
        try:
            time, made_at = (datetime.fromisoformat(found[name]).astimezone(UTC) for name in ("time", "made_at"))
        except (ValueError, OverflowError):
            return description, None
        write = Write(time, found["origin"], int(found["version"]), bool(found["seed"]))
        return description, cls(found["region"], write, made_at, found["nonce"])


def read_history(region: str, entries: Iterable[Mapping[str, Any]]) -> list[Version]:
    """Distinguish writes and copies, oldest first, in a region's `Parameters` of GetParameterHistory."""
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
        is_seed = entry["Version"] == 1 and description.endswith(SEED)
        # Whoever wrote a version replaced what was there, so it is the later one even if this region's clock is behind.
        own = Write(max(modified, latest + timedelta(microseconds=1)), region, entry["Version"], is_seed)
        versions.append(
            Version(
                region,
                entry["Version"],
                own,
                stamp.write if stamp and is_copy else None,
                description.removesuffix(SEED).rstrip(),
                modified,
                entry.get("Type", ""),
                entry.get("KeyId") or "",
                entry.get("Tier") == "Advanced",
            )
        )
        latest = max(latest, versions[-1].write.time)
        if stamp:
            nonces.add(stamp.nonce)
    return versions


def ranked(versions: Sequence[Version]) -> list[Version]:
    """Versions in order: first the last write, which both regions should have, last the one that loses to all others.

    Of one write's versions the write itself comes before its copies. Both functions must choose the same one from the
    same histories, or they would overwrite each other for ever.
    """
    first_region = min(version.write.region for version in versions)
    return sorted(
        versions,
        key=lambda version: (
            not version.write.is_seed,
            version.write.time,
            version.write.region == first_region,
            version.write,
            not version.is_copy,
            version.region,
            version.number,
        ),
        reverse=True,
    )


@dataclass(frozen=True)
class Outcome:
    """The result of one name: whether a copy was written, and whether both regions have the same value now."""

    copied: bool
    in_sync: bool


class ParameterSync:
    """Updates parameters of the target region to the last write.

    Args:
        key_arn: the target region's key.
        home: SSM client of the home region.
        target: SSM client of the target region, under the cross-region role.
        target_writer: the same, without retries of its own.
        metrics: namespace and function name of the metric of lost writes.
        warned: the lost writes that were reported, with their parameters; extended here.
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
        metrics: tuple[str, str] = ("PaymentApp/ConfigSync", "config-sync"),
        warned: set[tuple[str, Write]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._home_region, self._target_region, self._key_arn = home_region, target_region, key_arn
        self._clients = {home_region: home, target_region: target}
        self._writer = target_writer
        self._metrics, self._warned = metrics, set() if warned is None else warned
        self._now, self._sleep = now, sleep

    def sync(self, name: str) -> Outcome:
        """Compare one parameter, and copy it if the target region lacks the last write.

        Raises:
            TryAgainError: other writes, or the error that is its cause, disturbed every attempt.
        """
        copied = False
        hidden = range(0)
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                outcome, hides = self._attempt(name, hidden)
            except TryAgainError:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            copied = copied or outcome.copied
            if hides is None:
                return replace(outcome, copied=copied)
            hidden = hides
        raise TryAgainError

    def _attempt(self, name: str, hidden: range) -> tuple[Outcome, range | None]:
        """Compare and copy once.

        Args:
            name: The parameter.
            hidden: The versions that the last copy may have hidden. Its end is the copy's own number.

        Returns:
            The result, and the versions that this copy may hide. None if it hides none.
        """
        home, target = (self._history(region, name) for region in (self._home_region, self._target_region))
        newest = target[-1].number if target else 0
        if newest < hidden.stop:  # SSM's reads may lag behind its writes: do not decide on less than is known
            raise TryAgainError
        if not home:
            # The other function makes it again. Here a copy of ours may still hide a write of the target region.
            _log("WARNING", "missing in the home region", parameter=name, missing_in_target=not target)
            if not target:
                return Outcome(copied=False, in_sync=False), None
        reader = _Reader(name, self._clients, (*home[-1:], *target[-1:]))
        versions = _without_false_copies(home, target, reader)
        home, target = versions[: len(home)], versions[len(home) :]
        last = ranked(versions)[0]
        value = reader.value_of_first(ranked(versions))
        for version in (*target[-1:], *(each for each in target[:-1] if each.number in hidden)):
            if _is_lost(version, last, value, versions, reader) and (name, version.own) not in self._warned:
                self._warned.add((name, version.own))
                self._warn_of_loss(name, version.own, last.write)
        in_sync = bool(home) and reader.look(home[-1]) == value
        if target and self._is_encrypted_as_it_should_be(target[-1]):
            held = reader.look(target[-1])
            if held is None and target[-1].copy_of == last.write:
                reader.read(target[-1])  # raises: another copy would be as unreadable as this one
            if held == value:
                return Outcome(copied=False, in_sync=in_sync), None
        is_advanced = any(version.is_advanced for version in (last, *target[-1:]))
        written = self._copy(name, last, value, "Advanced" if is_advanced else "Standard")
        if written <= newest:
            _log("WARNING", "deleted meanwhile, and created again", parameter=name, target_region=self._target_region)
        return Outcome(copied=True, in_sync=in_sync), range(newest + 1, written) if written != newest + 1 else None

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

    def _is_encrypted_as_it_should_be(self, version: Version) -> bool:
        """Whether a version of the target region is a SecureString under the region's key.

        Copies are made with the key's ARN. If AWS shows an alias instead, the two cannot be compared.
        """
        by_alias = version.is_copy and version.key_id.startswith("alias/") and version.key_id != AWS_MANAGED_KEY
        return version.type == "SecureString" and (_key_id(version.key_id) == _key_id(self._key_arn) or by_alias)

    def _warn_of_loss(self, name: str, lost: Write, kept: Write) -> None:
        # Before the copy: a run that dies after it would not warn, and the next one would see nothing to copy.
        _log(
            "WARNING",
            "a write loses to a conflicting write in the other region",
            parameter=name,
            lost=str(lost),
            kept=str(kept),
            **embedded_metrics(self._metrics, WritesLost=1),
        )

    def _copy(self, name: str, version: Version, value: str, tier: str) -> int:
        """Write the value to the target region and return its version there."""
        stamp = Stamp(self._target_region, version.write, self._now().astimezone(UTC), secrets.token_hex(8))
        try:
            answer = self._writer.put_parameter(
                Name=name,
                Description=stamp.attach_to(version.description),
                Value=value,
                Type="SecureString",
                # Without it SSM would silently take the account's AWS managed key, even for an existing parameter.
                KeyId=self._key_arn,
                Tier=tier,  # a parameter of the advanced tier cannot become one of the standard tier
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


class _Reader:
    """Decrypts versions of one parameter, each once.

    Args:
        clients: SSM clients by region.
        currents: The newest version of each region.
    """

    def __init__(self, name: str, clients: Mapping[str, Any], currents: Sequence[Version]) -> None:
        self._name, self._clients = name, clients
        self._currents = {(version.region, version.number) for version in currents}
        self._found: dict[tuple[str, int], str | ClientError] = {}

    def look(self, version: Version) -> str | None:
        """Decrypt a version's value. None if its key does not allow it."""
        try:
            return self.read(version)
        except ClientError as error:
            if error_code(error) not in UNREADABLE:
                raise
            return None

    def value_of_first(self, versions: Sequence[Version]) -> str:
        """Decrypt the value of the first version, or of another one that carries the same write."""
        for version in versions:
            value = self.look(version) if version.write == versions[0].write else None
            if value is not None:
                return value
        return self.read(versions[0])

    def read(self, version: Version) -> str:
        """Decrypt a version's value.

        Raises:
            TryAgainError: The version no longer exists.
            ClientError: AWS rejects the call.
        """
        place = version.region, version.number
        if place not in self._found:
            try:
                self._found[place] = self._decrypt(version, "" if place in self._currents else f":{version.number}")
            except ClientError as error:
                if error_code(error) in NOT_THERE:
                    raise TryAgainError from error
                self._found[place] = error
                if place in self._currents:  # an older one stays as it is, and would be reported for ever
                    where, code = str(version.own), error_code(error)
                    _log("WARNING", "cannot be decrypted", parameter=self._name, of=where, error=code)
        found = self._found[place]
        if isinstance(found, ClientError):
            raise found
        return found

    def _decrypt(self, version: Version, selector: str) -> str:
        answer = self._clients[version.region].get_parameter(Name=self._name + selector, WithDecryption=True)
        found = answer["Parameter"]
        # The time too: a parameter that was deleted and created again may have the same version number.
        # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_Parameter.html: LastModifiedDate is when
        # "the parameter version was created".
        age = found["LastModifiedDate"].astimezone(UTC) - (version.modified or found["LastModifiedDate"])
        # So a parameter that is deleted and created again within that time, between two calls, can be copied and
        # reported under the time of the one before it. No value is lost, and the next run knows the right time.
        if found["Version"] != version.number or abs(age) >= SAME_MOMENT:
            raise TryAgainError
        return str(found["Value"])


def _without_false_copies(home: list[Version], target: list[Version], reader: _Reader) -> list[Version]:
    """Treat a current version as a write of its own if its value differs from the write that it names.

    Somebody has deleted the parameter and created it again with its old description.
    """
    versions = home + target

    def original_of(copy: Version, among: Iterable[Version]) -> Version | None:
        return next((each for each in among if each.own == copy.write and each != copy), None)

    def differ(one: Version, other: Version) -> bool:
        values = reader.look(one), reader.look(other)
        return None not in values and values[0] != values[1]

    writes = [version for version in versions if not version.is_copy]
    copies = [version for version in (*home[-1:], *target[-1:]) if version.is_copy]
    originals = {copy: original_of(copy, writes) for copy in copies}
    # Nothing is a copy of a true copy. But in a parameter that was created again, in a region whose clock is behind, a
    # true copy can have the number and the time of a write that is gone.
    true = [copy for copy, original in originals.items() if original and not differ(copy, original)]
    doubtful = [version for version in versions if version.is_copy and version not in true]
    for copy in copies:
        original = originals[copy] or original_of(copy, doubtful)
        if original and differ(copy, original):
            versions[versions.index(copy)] = replace(copy, copy_of=None)
    return versions


def _is_lost(version: Version, last: Version, value: str, versions: Sequence[Version], reader: _Reader) -> bool:
    """Whether this version is a write of the other region that conflicts with the last write, and loses to it."""
    if version.is_copy or version.own.is_seed or version.region == last.write.region:
        return False
    before = [each for each in versions if each.region == last.write.region and each.number < last.write.version]
    if any(each.write.region == version.region and each.write.time >= version.own.time for each in before):
        return False
    held = reader.look(version)
    if held is None:
        return True
    # The same value may have been written in both regions: what the other one held since then is no conflict either.
    earlier = [each for each in before if each.own.time <= version.own.time]
    since = earlier[-1:] + before[len(earlier) :]
    return held != value and all(reader.look(each) != held for each in since)


def _key_id(name: str) -> str:
    """A key's id from its id or ARN."""
    return name.rpartition("/")[2]


def error_code(error: BaseException) -> str:
    """The public part of an error: AWS's code or the class, never the text, which may quote a value."""
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
    """Namespace and function name of the metrics."""
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
        self._warned: set[tuple[str, Write]] = set()
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
                metrics=self.settings.metrics,
                warned=self._warned,
                now=self._now,
            )
            self._expires = credentials["Expiration"]
        return self._sync

    def close(self) -> None:
        """Forget the session: the next run assumes the role again."""
        self._sync = None


def names_to_sync(event: Any, names: Sequence[str]) -> tuple[Sequence[str], bool]:
    """The names that an event covers, and whether it is a full reconciliation: scheduled, or an empty event."""
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
    choose_first: Callable[[int], int] = secrets.randbelow,
) -> dict[str, Any]:
    """Synchronise the names of the event. A failure of one name does not stop the others.

    The run begins with a random name, so that a timeout does not always hit the same ones.

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
    first = choose_first(len(names))
    for name in (*names[first:], *names[:first]) if not failures else ():
        if remaining_ms and remaining_ms() < TIME_RESERVE_MS:
            failures[name] = "OutOfTime"
            continue
        try:
            outcomes[name] = sync(name)
        except Exception as error:
            failures[name] = error_code(error)
            _log("ERROR", "sync failed", parameter=name, error=failures[name], line=_line_of(error))
    copied = [name for name in names if name in outcomes and outcomes[name].copied]
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
        raise SyncFailed("; ".join(f"{name}: {failures[name]}" for name in names if name in failures))
    return {"copied": copied, "unchanged": len(names) - len(copied), "drifted": drifted}


def _line_of(error: BaseException) -> int | None:
    """The last line of this file in the error's traceback. Its text must not be logged."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
    return lines[-1] if lines else None


def emit_metrics(identity: tuple[str, str], **counts: int) -> None:
    """Write counts to the log in CloudWatch's embedded metric format, which needs no permission."""
    _log("INFO", "metrics", **embedded_metrics(identity, **counts))


def embedded_metrics(identity: tuple[str, str], **counts: int) -> dict[str, object]:
    """Return the fields that make counts of a line of the log."""
    namespace, function_name = identity
    metrics = [{"Name": name, "Unit": "Count"} for name in counts]
    directive = {"Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": metrics}
    emf = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": emf, "FunctionName": function_name, **counts}


def _log(level: str, message: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"level": level, "message": message, **fields}) + "\n")


_connection: Connection | None = None


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Synchronise the names of the event.

    Raises:
        SettingError: a setting is wrong. It counts as drift, because nothing could be compared.
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
