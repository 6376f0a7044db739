"""Starting, using and stopping the embedded AWS."""

import contextlib
import functools
import json
import os
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, Self, TypedDict, Unpack

from embedded_aws.errors import EmbeddedAwsError
from payment_dr.operations import owned_directory

HOST = "127.0.0.1"
_WITHOUT_TLS = {"X-Forwarded-Proto": "http"}  # see the patch secure_transport
HEALTH_PATH = "/_ministack/health"
FAULT_PATH = "/_fault"
REPLICATION_PATH = "/_replication"
SCHEDULES_PATH = "/_schedules"
BRANCH_PATH = "/_branch"
FUNCTION_SECONDS = "x-embedded-aws-function-seconds"  # header of an API's answer
# Named pipes of a branch: the end of one tells it that its owner is gone, the end of the other tells the owner that it
# is gone.
OWNER_PIPE = "owner"
RUNNING_PIPE = "running"
DEFAULT_ACCOUNT_ID = "000000000000"
DEFAULT_REGION = "us-east-1"
# Replication "usually" takes less than a second: with this median and spread 96 % of the writes do.
TYPICAL_REPLICATION_SECONDS = 0.5
TYPICAL_REPLICATION_SPREAD = 0.4

_DIRECTORY_PREFIX = "embedded-aws-"

_START_DEADLINE_SECONDS = 30.0
_END_DEADLINE_SECONDS = 10.0
_ANSWER_DEADLINE_SECONDS = 60.0  # on a machine under load; an emulator that has ended answers at once
_LOOK_SECONDS = 0.005  # a look takes less than that
_LOG_TAIL_LINES = 15
# What a Python needs from its surroundings to start at all. Everything else, and every AWS_* variable above all, stays
# outside: functions inherit the emulator's environment.
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")


@functools.cache
def _service_models() -> Any:
    """The service models of botocore, shared: loading them takes most of the time to make a client."""
    import botocore.loaders

    return botocore.loaders.create_loader()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def at_new_port(text: str, old: int, new: int) -> str:
    """Replace the address of one embedded AWS by that of another in a text.

    Example:
        >>> at_new_port("http://1a2b3c4d.execute-api.localhost:40125", 40125, 40126)
        'http://1a2b3c4d.execute-api.localhost:40126'
    """
    return re.sub(rf"\b(localhost|127\.0\.0\.1):{old}(?!\d)", rf"\1:{new}", text) if str(old) in text else text


def without_tls(client: Any) -> None:
    """Mark the requests of a client as sent without TLS. Others count as sent over TLS."""
    client.meta.events.register("before-send", lambda request, **_: request.headers.update(_WITHOUT_TLS))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def _session_without_user_configuration() -> Any:  # untyped: boto3's stubs know a client by its literal name only
    """A session without profiles and files, whatever AWS_PROFILE and the user's home contain."""
    # Not at the top: the emulator imports this package too, and would take half as long again to start.
    import boto3
    import botocore.session

    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    session.register_component("data_loader", _service_models())
    return boto3.Session(botocore_session=session)


class _Process(Protocol):
    """An emulator's process and the group that it leads."""

    pid: int

    def ended(self) -> str | None:
        """How it ended. None while it runs."""

    def end(self) -> None:
        """End the group, and wait until the emulator has ended."""


def _kill_group(pid: int) -> None:
    # At once and for the whole group: there is no state to save, and a function that is still at work, or ignores
    # SIGTERM, must not outlive the emulator.
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none left; on macOS EPERM for zombies alone
        os.killpg(pid, signal.SIGKILL)


class _Child:
    """An emulator that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process

    def ended(self) -> str | None:
        code = self._process.poll()
        return None if code is None else f"with exit code {code}"

    def end(self) -> None:
        _kill_group(self.pid)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class _Fork:
    """An emulator that another one has forked. Pipes replace what only a parent process could do.

    Args:
        directory: Directory of the pipes, which are made before the fork.
    """

    def __init__(self, directory: Path) -> None:
        self.pid = 0  # of no process yet
        for pipe in (OWNER_PIPE, RUNNING_PIPE):
            os.mkfifo(directory / pipe, 0o600)
        self._running = os.open(directory / RUNNING_PIPE, os.O_RDONLY | os.O_NONBLOCK)
        # Without a reader it could not be opened for writing, and with this process as one it would never end.
        reader = os.open(directory / OWNER_PIPE, os.O_RDONLY | os.O_NONBLOCK)
        self._owner = os.open(directory / OWNER_PIPE, os.O_WRONLY)
        os.close(reader)

    def ended(self) -> str | None:
        try:
            return "as a branch, with an unknown exit code" if os.read(self._running, 1) == b"" else None
        except BlockingIOError:
            return None

    def end(self) -> None:
        if self.pid:
            _kill_group(self.pid)
            running = select.poll()
            running.register(self._running)
            running.poll(_END_DEADLINE_SECONDS * 1000)
        os.close(self._running)
        os.close(self._owner)


def _make_directory() -> tuple[Path, int]:
    """Make an emulator's directory. This process owns it while the descriptor is open."""
    directory = Path(tempfile.mkdtemp(prefix=_DIRECTORY_PREFIX))
    return directory, owned_directory.own(directory)


class Fault(TypedDict, total=False):
    """A fault of a region: all of its calls answer 503, unless one of these narrows it."""

    kind: Literal["error", "hang", "unresolved", "cut"]
    """``error`` answers 503; ``hang`` answers nothing until the client gives up or the region is restored;
    ``unresolved``: functions cannot resolve the service's name, and calls are answered; ``cut``: functions of this
    region get no answer of another one, nor functions there of this one, and nothing replicates between them."""
    service: str | Sequence[str] | None
    """The services that fail, by signing name: ``dynamodb``, ``execute-api`` (the APIs) ... Default: all.
    ``dynamodb-replication`` is the replication of global tables."""
    operations: Sequence[str]
    """Operations that fail, such as ``GetItem``. Default: all. Only for services whose calls have ``X-Amz-Target``."""
    spared: Sequence[str]
    """Operations that do not fail. For Lambda, only ``Invoke`` is supported."""
    share: float
    """The share of the calls that fails, above 0 and at most 1."""
    seed: int
    """Seed that chooses the failing calls, in the order of arrival."""


def _lag_query(seconds: float, spread: float, seed: int) -> str:
    return urllib.parse.urlencode({"seconds": seconds, "spread": spread, "seed": seed})


class EmbeddedAws:
    """An AWS on the loopback address, for the duration of a ``with`` block.

    It runs in a process group of its own, writes only to a temporary directory of its own, and ends with this process
    even if that is killed: the emulator watches a pipe that closes then. Ctrl-C unwinds the ``with`` block by itself;
    for SIGTERM wrap it in ``payment_dr.operations.command.ended_by_signals``.

    Args:
        port: Port to listen on. None: a free one.
        account_id: The 12-digit account of unsigned requests, such as ``GET /health``. ``environment`` and ``client``
            use its root.
        replication_lag: Median of the seconds that a write to a global table takes to the other regions. 0: at once.
            See ``set_replication_lag``.

    Attributes:
        secret_access_key: The random secret that the root of every account signs with.

    Raises:
        EmbeddedAwsError: The port is taken, or the emulator did not start.

    Example:
        >>> with EmbeddedAws() as aws:
        ...     aws.client("s3", "us-west-2").list_buckets()["Buckets"]
        []
    """

    _command: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "embedded_aws.emulator")

    def __init__(
        self, port: int | None = None, account_id: str = DEFAULT_ACCOUNT_ID, replication_lag: float = 0.0
    ) -> None:
        if not (len(account_id) == 12 and account_id.isascii() and account_id.isdigit()):
            raise EmbeddedAwsError(
                f"{account_id!r} is not an AWS account id", hint="give twelve digits, such as 000000000000"
            )
        self.account_id = account_id
        self.secret_access_key = secrets.token_urlsafe()
        self._replication_lag = replication_lag
        self._requested_port = port
        self._port: int | None = None
        self._process: _Process | None = None
        self._directory: Path | None = None
        self._lock: int | None = None
        self._last_log = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator and wait until it answers.

        Raises:
            EmbeddedAwsError: The port is taken, or the emulator did not start. It leaves nothing behind then.
        """
        if self._process is not None:
            raise EmbeddedAwsError("this embedded AWS is already running", hint="stop it first, or create another one")
        if self._requested_port is not None and _is_taken(self._requested_port):
            raise EmbeddedAwsError(
                f"port {self._requested_port} of {HOST} is taken",
                hint="give another port, or none to use a free one",
            )
        self._port = self._requested_port or _free_port()
        try:
            self._launch()
            self._wait_until_healthy()
        except BaseException:  # Ctrl-C while waiting must not leave a process either
            self.stop()
            raise

    def stop(self) -> None:
        """End the emulator and every function it runs, and remove its directory. It may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.end()
        directory, self._directory = self._directory, None
        if directory is not None:
            self._last_log = self._read_log(directory)
            owned_directory.remove(directory)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def alive(self) -> None:
        """Check that the emulator still runs.

        Raises:
            EmbeddedAwsError: It has ended. Its processes and files are removed.
        """
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running", hint="start it first")
        if (how := self._process.ended()) is not None:
            self.stop()
            raise EmbeddedAwsError(
                f"the embedded AWS ended by itself {how}; its last lines:\n{self._log_tail()}",
                hint="run it again; if it ends again, read the lines above for the cause",
            )

    def _launch(self) -> None:
        owned_directory.remove_abandoned(Path(tempfile.gettempdir()))
        self._directory, self._lock = _make_directory()
        with (self._directory / "emulator.log").open("wb") as log:
            process = subprocess.Popen(
                self._command,
                cwd=Path(__file__).parent.parent,  # where `-m` finds this package, without a PYTHONPATH for functions
                env=self._emulator_environment(self._directory),
                stdin=subprocess.PIPE,  # never written to: its end tells the emulator that this process is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._process = _Child(process)

    def _emulator_environment(self, directory: Path) -> dict[str, str]:
        home, temporary = directory / "home", directory / "tmp"
        for folder in (home, temporary):
            folder.mkdir()
        return {
            **self.environment({name: os.environ[name] for name in _INHERITED if name in os.environ}),
            "HOME": str(home),
            "TMPDIR": str(temporary),  # function code is unpacked here
            "EMBEDDED_AWS_DIRECTORY": str(directory),
            "EMBEDDED_AWS_REPLICATION_LAG": _lag_query(self._replication_lag, TYPICAL_REPLICATION_SPREAD, seed=0),
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "AUTH": "true",
            "MINISTACK_ACCOUNT_ID": self.account_id,
            "MINISTACK_EDITION": directory.name,  # the health path repeats it: see _answers
            "MINISTACK_REGION": DEFAULT_REGION,
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "0",
            "STATE_DIR": str(directory / "state"),
            "S3_PERSIST": "0",
            "S3_DATA_DIR": str(directory / "s3"),
            # These would listen on fixed ports of all addresses, or sweep containers of another ministack.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{directory / 'no-docker.sock'}",
        }

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            self.alive()
            if self._answers():
                return
            time.sleep(_LOOK_SECONDS)
        raise EmbeddedAwsError(
            f"the embedded AWS did not answer within {_START_DEADLINE_SECONDS:.0f} s; its last lines:\n"
            f"{self._log_tail()}",
            hint="look for a machine under load, then try again",
        )

    def _answers(self) -> bool:
        # Between picking the port and listening on it, another emulator may have taken it: it must not pass for ours.
        try:
            with self._open("GET", HEALTH_PATH) as answer:
                edition = json.load(answer).get("edition")
        except (OSError, ValueError):
            return False
        return self._directory is not None and edition == self._directory.name

    @property
    def port(self) -> int:
        """The port on the loopback address that it listens on."""
        if self._port is None:
            raise EmbeddedAwsError("the embedded AWS has not been started", hint="start it first")
        return self._port

    @property
    def pid(self) -> int:
        """The emulator's process id, which is its process group's id too."""
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running", hint="start it first")
        return self._process.pid

    @property
    def endpoint_url(self) -> str:
        """The endpoint of every service in every region."""
        return f"http://{HOST}:{self.port}"

    def take_along(self, directory: Path) -> None:
        """Remove a directory of this process even if the process is killed.

        Args:
            directory: Removed with its contents when this process ends before ``stop``: by the emulator, or by the
                next one if that is killed too.
        """
        if self._directory is None:
            raise EmbeddedAwsError("the embedded AWS is not running", hint="start it first")
        owned_directory.take_along(self._directory, directory)

    def log_text(self) -> str:
        """The emulator's log so far. After ``stop``, its log until then."""
        return self._last_log if self._directory is None else self._read_log(self._directory)

    def _log_tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-_LOG_TAIL_LINES:])

    @staticmethod
    def _read_log(directory: Path) -> str:
        try:
            return (directory / "emulator.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables that point an AWS tool to this AWS, and keep it from the user's own configuration.

        Args:
            base: The rest of a tool's environment. Its ``AWS_*`` variables are dropped: a profile, an endpoint of one
                service, or ``AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`` could send calls elsewhere.

        Example:
            >>> subprocess.run(["terraform", "plan"], env=aws.environment(os.environ))  # doctest: +SKIP
        """
        return {
            **{name: value for name, value in (base or {}).items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.account_id,  # a 12-digit access key is the root of that account
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": DEFAULT_REGION,
            "AWS_DEFAULT_REGION": DEFAULT_REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, region: str, credentials: Mapping[str, str] | None = None) -> Any:
        """A boto3 client of this AWS that does not read the user's configuration.

        Args:
            service: boto3's service name, such as ``dynamodb``.
            region: Region name, such as ``us-west-2``.
            credentials: The ``Credentials`` of ``sts.assume_role``, or ``AccessKeyId`` and ``SecretAccessKey`` of an
                IAM user. None: the root of the account.
        """
        from botocore.config import Config

        given = credentials or {"AccessKeyId": self.account_id, "SecretAccessKey": self.secret_access_key}
        return _session_without_user_configuration().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given.get("SessionToken"),
            config=Config(
                connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 1}, proxies={}
            ),
        )

    def execute_api_url(self, api_id: str, path: str) -> str:
        """The URL of an HTTP API's default stage, which on AWS is ``https://{api_id}.execute-api.{region}...``.

        Example:
            >>> aws.execute_api_url("1a2b3c4d", "/health")  # doctest: +SKIP
            'http://127.0.0.1:40125/_aws/execute-api/1a2b3c4d/$default/health'
        """
        return f"{self.endpoint_url}/_aws/execute-api/{api_id}/$default/{path.lstrip('/')}"

    def fail_region(self, region: str, **fault: Unpack[Fault]) -> None:
        """Make calls to this region fail until ``restore_region``: all with 503, unless ``fault`` narrows it.

        Faults of several services of a region add up. A new fault of the same service, or of the whole region, replaces
        the old one.

        Args:
            region: Region name, such as ``us-east-1``.
            **fault: See ``Fault``.

        Raises:
            EmbeddedAwsError: There is no such fault, or the emulator has ended.

        Example:
            >>> aws.fail_region("us-east-1", kind="hang", service="dynamodb")  # doctest: +SKIP
            >>> aws.fail_region("us-west-2", share=0.3, seed=7)  # doctest: +SKIP
            >>> aws.fail_region("us-east-1", service="dynamodb", operations=["GetItem"])  # doctest: +SKIP
        """
        given = {
            name: ",".join(value) if isinstance(value, list | tuple) else value
            for name, value in fault.items()
            if value is not None
        }
        self._control("PUT", f"{FAULT_PATH}/{region}?{urllib.parse.urlencode(given)}")

    def restore_region(self, region: str) -> None:
        """Lift all faults of this region."""
        self._control("DELETE", f"{FAULT_PATH}/{region}")

    def failed_regions(self) -> list[str]:
        """The regions that have a fault now."""
        regions: list[str] = self._control("GET", FAULT_PATH)["regions"]
        return regions

    def signed_calls(self, region: str) -> int:
        """Number of calls so far that were signed for this region with the credentials of `environment`."""
        return int(
            self._control("GET", FAULT_PATH)["calls"].get(f"{self.environment()['AWS_ACCESS_KEY_ID']} {region}", 0)
        )

    @contextlib.contextmanager
    def region_outage(self, region: str, **fault: Unpack[Fault]) -> Iterator[None]:
        """A fault of this region for the duration of a ``with`` block. At its end, all faults of the region end."""
        self.fail_region(region, **fault)
        try:
            yield
        finally:
            self.restore_region(region)

    def set_replication_lag(self, seconds: float, *, spread: float = TYPICAL_REPLICATION_SPREAD, seed: int = 0) -> None:
        """Set the lag of later writes to global tables. Pending writes keep their lag.

        Args:
            seconds: Median of the log-normal distribution of the lags. 0 replicates at once, even to a region that is
                down.
            spread: Its sigma. With 0 every write takes ``seconds``.
            seed: Seed of the lags, in the order of the writes.

        Raises:
            EmbeddedAwsError: There is no such lag, or the emulator has ended.
        """
        self._control("PUT", f"{REPLICATION_PATH}?{_lag_query(seconds, spread, seed)}")

    def writes_on_their_way(self) -> int:
        """Number of pending writes to global tables, without those that an outage delays."""
        return int(self._control("GET", REPLICATION_PATH)["on_their_way"])

    def run_schedules(self, region: str) -> list[str]:
        """End the period of each enabled scheduled rule of this region now. Return the names of these rules.

        Their targets are invoked asynchronously, as EventBridge does.
        """
        rules: list[str] = self._control("PUT", f"{SCHEDULES_PATH}/{region}")["rules"]
        return rules

    def branch(self, port: int | None = None) -> "EmbeddedAws":
        """Make a copy of this embedded AWS, with its present state.

        Later changes in one do not affect the other, and each ends separately: this one may stop first. The branch ends
        with this process, as this one does. Text that contains this one's address (a queue's URL, an API's endpoint, a
        variable of a function) has the branch's address there. Bytes, such as an object in a bucket, stay as they are.
        Functions start when they are called, running ones stay here, and pending events happen in both.
        ``embedded_aws.branch`` has the details.

        Args:
            port: Port to listen on. None: a free one.

        Returns:
            The running branch. Stop it, or use it in a ``with`` block. It cannot be started again.

        Raises:
            EmbeddedAwsError: This one does not run, the port is taken, or the branch did not start.

        Example:
            >>> with EmbeddedAws() as aws, aws.branch() as branch:
            ...     _ = branch.client("s3", "us-east-1").create_bucket(Bucket="only-in-the-branch")
            ...     aws.client("s3", "us-east-1").list_buckets()["Buckets"]
            []
        """
        branch = _Branch(self, port)
        branch.start()
        return branch

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        self.alive()
        try:
            with self._open(method, path, body) as answer:
                return json.load(answer)
        except OSError as error:
            said = f": {error.read().decode()}" if isinstance(error, urllib.error.HTTPError) else ""
            raise EmbeddedAwsError(
                f"the embedded AWS rejected {method} {path}: {error}{said}",
                hint="read its log for the cause",
            ) from error

    def _open(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.secret_access_key}"}
        request = urllib.request.Request(f"{self.endpoint_url}{path}", data, headers, method=method)  # noqa: S310 - always http://127.0.0.1
        # A proxy of the user's must not come between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(request, timeout=_ANSWER_DEADLINE_SECONDS)


class _Branch(EmbeddedAws):
    """The result of ``EmbeddedAws.branch``: forked from another one instead of started."""

    def __init__(self, origin: EmbeddedAws, port: int | None) -> None:
        super().__init__(port, origin.account_id)
        self._origin: EmbeddedAws | None = origin

    def __enter__(self) -> Self:
        self.alive()
        return self

    def _launch(self) -> None:
        origin, self._origin = self._origin, None
        if origin is None:
            raise EmbeddedAwsError("a branch cannot be started again", hint="create another one")
        self._directory, self._lock = _make_directory()
        environment = self._emulator_environment(self._directory)
        self._process = process = _Fork(self._directory)
        process.pid = origin._control("PUT", BRANCH_PATH, environment)["pid"]
