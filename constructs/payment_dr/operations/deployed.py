"""The deployed stack for an operator: its Terraform outputs, and AWS in its regions."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from payment_dr.operations.aws import CannotTellError
from payment_dr.operations.errors import OperationError
from payment_dr.side import SIDES, Side

STACK_DIRECTORY = Path(os.environ.get("CDKTF_OUTDIR") or "cdktf.out", "stacks/payment-dr")  # where main.py writes it
# Each call may meet a region that is gone: it is not waited for longer than an operator would.
CONNECT_SECONDS, READ_SECONDS = 3.0, 4.0
ATTEMPTS = 2
HEALTH_PATH = "/health"  # of the public route
CONNECTIONS = 64  # of at most 40 threads, see the drill
NEEDED = (
    "alarm_names",
    "application_fqdn",
    "cross_region_role_arns",
    "dynamodb_table_arn",
    "dynamodb_table_name",
    "hosted_zone_id",
    "hosted_zone_name",
    "hosted_zone_name_servers",
    "lambda_execution_role_arns",
    "rto_target_seconds",
    "ssm_parameter_names",
    *(f"{side}_{name}" for side in SIDES for name in ("api_endpoint", "api_id", "health_check_id")),
    *(f"{side}_{name}" for side in SIDES for name in ("bucket_name", "health_monitor_function_name", "region")),
    *(f"{side}_{name}" for side in SIDES for name in ("config_sync_function_name", "kms_key_arn", "sns_topic_arn")),
)
OF_A_CUSTOM_DOMAIN = tuple(f"{side}_target_name" for side in SIDES)
OF_ENDPOINTS = tuple(f"{side}_{name}" for side in SIDES for name in ("endpoint_host", "probed_host"))
OF_A_SERVICE = "service_routes"
OF_A_SWITCH = ("switch_table_name", "switch_path")
OF_A_TAKEOVER = "switch_takeover_function_name"
OF_TWO_WAY_DOCUMENTS = "s3_replication_back_role_arn"

T = TypeVar("T")


def called_in_time(
    call: Callable[[float], T], seconds: float, limit: Callable[[float], float], late: tuple[type[Exception], ...]
) -> T:
    """Make a call within a limit of the stack's time. Repeat it once if it was late in real time only.

    Args:
        call: The call. It gets the real seconds that it may take. Repeating it must be harmless.
        seconds: Its limit.
        limit: The real seconds of a limit, see `Deployed.limit`.
        late: The errors that it raises when it is late.

    Returns:
        The result of the call. Its errors propagate.
    """
    try:
        return call(seconds)
    except late:
        longer = limit(seconds)
        if longer == seconds:
            raise
    return call(longer)


class Deployed:
    """A deployed stack, on AWS or, if AWS_ENDPOINT_URL is set, on an embedded AWS.

    Args:
        outputs: The stack's Terraform outputs by name.
        endpoint_url: Address of all AWS services. Default: AWS itself.

    Attributes:
        read_from: The file or the working directory of the outputs, if they were read from one.

    Raises:
        OperationError: Outputs are missing.

    Example:
        >>> stack = Deployed.read(outputs=Path("outputs.json"))  # doctest: +SKIP
        >>> stack.region("secondary")  # doctest: +SKIP
        'us-west-2'
    """

    def __init__(self, outputs: Mapping[str, Any], endpoint_url: str | None = None) -> None:
        if missing := [name for name in NEEDED if name not in outputs]:
            raise OperationError(
                f"these outputs are missing: {', '.join(missing)}",
                hint="deploy first; --dir is the synthesized stack, --outputs a file of 'terraform output -json'",
            )
        optional = (*OF_A_CUSTOM_DOMAIN, *OF_ENDPOINTS, *OF_A_SWITCH, OF_A_TAKEOVER, OF_A_SERVICE, OF_TWO_WAY_DOCUMENTS)
        known = [*NEEDED, *(name for name in optional if name in outputs)]  # the secret ones stay out
        self.outputs = {name: outputs[name] for name in known}
        self.endpoint_url = endpoint_url
        self.read_from: Path | None = None
        self._session: Any = None
        self._clients: dict[tuple[str, str, float | None], Any] = {}
        self._lock = threading.Lock()  # a session makes clients for one thread at a time

    @classmethod
    def read(cls, *, outputs: Path | None = None, directory: Path = STACK_DIRECTORY) -> Self:
        """Read the outputs from a file, else from Terraform in a working directory.

        Raises:
            OperationError: They cannot be read.
        """
        text = _text_of(outputs) if outputs else terraform_says(directory, "output", "-json", "-no-color")
        try:
            values = {name: output["value"] for name, output in json.loads(text).items()}
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise OperationError(
                f"{outputs or directory} has no Terraform outputs", hint="write it with 'terraform output -json'"
            ) from error
        stack = cls(values, os.environ.get("AWS_ENDPOINT_URL") or None)
        stack.read_from = outputs or directory
        return stack

    @property
    def is_live(self) -> bool:
        """Whether this is AWS."""
        return self.endpoint_url is None

    @property
    def account_id(self) -> str:
        """The account of the stack."""
        return str(self.outputs["dynamodb_table_arn"].split(":")[4])

    @property
    def rto_target_seconds(self) -> int:
        """Maximum seconds of a failover, as the stack was deployed."""
        return int(self.outputs["rto_target_seconds"])

    def region(self, side: Side) -> str:
        """The region that is "primary" or "secondary"."""
        return str(self.outputs[f"{side}_region"])

    def output(self, side: Side, name: str) -> str:
        """An output that exists for both regions."""
        return str(self.outputs[f"{side}_{name}"])

    @property
    def has_custom_domain(self) -> bool:
        """Whether clients reach the name over TLS. Its records are then aliases."""
        return all(name in self.outputs for name in OF_A_CUSTOM_DOMAIN)

    @property
    def has_two_way_documents(self) -> bool:
        """Whether documents of the secondary region are copied to the primary one."""
        return OF_TWO_WAY_DOCUMENTS in self.outputs

    @property
    def has_switch(self) -> bool:
        """Whether the standby region has a switch that sends clients there."""
        return all(name in self.outputs for name in OF_A_SWITCH)

    @property
    def stays_over(self) -> bool:
        """Whether the standby region sets the switch by itself, so that clients stay until an operator fails back."""
        return OF_A_TAKEOVER in self.outputs

    @property
    def switch_path(self) -> str:
        """Path of the switch in the API of the standby region; it may be a secret."""
        return str(self.outputs["switch_path"])

    @property
    def record_type(self) -> str:
        """Type of the name's records."""
        return "A" if self.has_custom_domain else "CNAME"

    def api_host(self, side: Side) -> str:
        """Host of a region's API, even if an embedded AWS serves it elsewhere."""
        return f"{self.output(side, 'api_id')}.execute-api.{self.region(side)}.amazonaws.com"

    def side_of_api(self, host: str) -> Side | None:
        """The side of the region whose API has this host. None if it is not an API of the stack."""
        return next((side for side in SIDES if self.api_host(side).lower() == host.rstrip(".").lower()), None)

    def target(self, side: Side) -> str:
        """The target of a side's record."""
        if self.has_custom_domain:
            return self.output(side, "target_name")
        return str(self.outputs.get(f"{side}_endpoint_host") or self.api_host(side))

    def probed_host(self, side: Side) -> str:
        """Host that the health check of a side probes: that of the API, unless the stack has another one."""
        return str(self.outputs.get(f"{side}_probed_host") or self.api_host(side))

    def not_fenced_by_its_function(self, side: Side) -> str | None:
        """Why stopping a side's health function would not fail its health check. None if it would."""
        host = self.probed_host(side)
        if host == self.api_host(side):
            return None
        return f"Route 53 probes {host} in {self.region(side)} and not the health monitor, which a fence stops"

    @property
    def service_routes(self) -> list[str]:
        """Routes of the service behind the name. Empty without a service."""
        return list(self.outputs.get(OF_A_SERVICE, ()))

    def health_url(self, side: Side, path: str = HEALTH_PATH) -> str:
        """The address of a region's health monitor, or its local address on an embedded AWS.

        Args:
            side: The side of the region.
            path: The path that its health check probes. Default: the public one.
        """
        if self.is_live:
            return f"{self.output(side, 'api_endpoint')}{path}"
        return f"{self.endpoint_url}/_aws/execute-api/{self.output(side, 'api_id')}/$default{path}"

    def limit(self, side: Side, seconds: float) -> float:  # noqa: ARG002 - for the stack whose time is virtual
        """Real seconds that equal ``seconds`` of the stack's time. On AWS they are the same."""
        return seconds

    def took(self, side: Side, measured: float, headers: Mapping[str, str] | None = None) -> float:  # noqa: ARG002
        """Seconds of the stack's time that a call to a region took. On AWS that is the measured real time.

        Args:
            side: The side of the region.
            measured: Real seconds.
            headers: Those of the answer.
        """
        return measured

    def client(self, service: str, side: Side, *, seconds: float | None = None) -> Any:
        """A boto3 client with the credentials of the user and short timeouts.

        Args:
            service: The service.
            side: The side of the region.
            seconds: Real seconds for a connection, and for an answer, with a single attempt. Default: two attempts,
                each as long as an operator would wait.
        """
        key = (service, self.region(side), seconds)
        with self._lock:
            if key not in self._clients:
                config = Config(
                    connect_timeout=seconds or self.limit(side, CONNECT_SECONDS),
                    read_timeout=seconds or self.limit(side, READ_SECONDS),
                    retries={"total_max_attempts": 1 if seconds else ATTEMPTS},
                    max_pool_connections=CONNECTIONS,
                    proxies=None if self.is_live else {},  # an embedded AWS is never behind the user's proxy
                )
                try:
                    self._session = self._session or boto3.Session()
                    client = self._session.client(
                        service, region_name=self.region(side), endpoint_url=self.endpoint_url, config=config
                    )
                except BotoCoreError as error:
                    raise CannotTellError(f"no client for AWS: {error}", hint="check the AWS settings") from error
                self._clients[key] = client
            return self._clients[key]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(
            f"{path} cannot be read: {error}", hint="write it with 'terraform output -json'"
        ) from error


def terraform_says(directory: Path, *command: str) -> str:
    """The output of a read-only Terraform command in a working directory.

    Raises:
        OperationError: The command does not run, or fails.
    """
    terraform = os.environ.get("TERRAFORM_BINARY_NAME") or "terraform"  # cdktf's name for it too
    hint = "run it in the folder of the deployment, give that folder with --dir, or an outputs file with --outputs"
    try:
        reply = subprocess.run(
            [terraform, f"-chdir={directory}", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationError(f"{terraform} does not run: {error}", hint=hint) from error
    if reply.returncode:
        said = next((line.strip("│╷ ") for line in reply.stderr.splitlines() if "Error" in line), reply.stderr.strip())
        raise OperationError(f"terraform {command[0]} in {directory} failed: {said}", hint=hint)
    return reply.stdout
