"""`make drill`: a stack on an embedded AWS of its own fails over and back, with any outage."""

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from embedded_aws.custom_domains import CustomDomains
from embedded_aws.deployment import PROJECT, Deployment, synthesized
from embedded_aws.emulated_stack import EmulatedStack
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.health_check_status import HealthCheckStatus
from embedded_aws.server import (
    TYPICAL_REPLICATION_SECONDS,
    TYPICAL_REPLICATION_SPREAD,
    EmbeddedAws,
)
from embedded_aws.standby_takeover import StandbyTakeover
from embedded_aws.virtual_alarms import VirtualAlarms
from payment_dr.operations.command import progress_of
from payment_dr.operations.deployed import OF_A_CUSTOM_DOMAIN, OF_A_SERVICE, Deployed
from payment_dr.operations.drill.journal import Journal, TerraformRecord
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.drill.place import Place
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.drill.service_load import refuse_without_load, refuse_without_service
from payment_dr.operations.drill.system import state_record
from payment_dr.operations.drill.tls_client import TlsClient
from payment_dr.operations.errors import OperationError
from payment_dr.side import SIDES

MADE_OF = {
    "real": [
        "Terraform and the AWS provider, which deployed the stack",
        "every probe: the request that the deployed health check describes, sent to the API that it names, which runs "
        "the deployed health function",
        "every transaction: a write to the deployed table with boto3",
    ],
    "emulated": [
        "AWS itself: DynamoDB, Lambda, API Gateway, IAM, Parameter Store, S3 and the rest, on this machine",
        f"replication of the global table, with a lag of {TYPICAL_REPLICATION_SECONDS} s (median of a log-normal "
        "distribution): AWS publishes only that it is usually below a second",
        "the outage: the emulator fails the calls of a region",
    ],
    "simulated": [
        "Route 53: its health checkers, its choice of a record, its DNS servers, by the rules that AWS documents; also "
        "what a checker meets at an API's host on another port, or without TLS or SNI",
        "time between the events: probes and transactions are made one after the other, as fast as they go; a probe "
        "takes as long as the function behind it worked, and two seconds where a region hangs",
        "caches: one resolver and one client, which both respect the TTL",
        "alarms are stored and not evaluated, but for two kinds. Of those that a health check follows, the deployed "
        "function is run once a period of drill time, and what it logs decides. Those on the status of a health check "
        "are evaluated once a minute of drill time, and their deployed actions go to the deployed topic",
        "schedules: each deployed one runs once, after the recovery, but that of the standby's takeover: its function "
        "is run once a minute of drill time, and a run takes none of it",
    ],
}
WRITES_ARE_REAL = MADE_OF["real"][-1]
SERVICE_IS_REAL = (
    "every payment through the service: POST /payments to the name that clients use, over TLS with the certificate "
    "verified (of the embedded AWS's own authority), answered by the deployed function, which writes to the table of "
    "its region; those of the drill's own client: a write to the deployed table with boto3"
)
TLS_IS_REAL = (
    "every payment's way to its region: HTTPS to the name that clients use, with the certificate verified; that is of "
    "the embedded AWS's own authority"
)
_DENY = "drill-deny"
EXAMPLE = PROJECT / "examples" / "payments_service" / "main.py"  # has a service, which the stack of main.py has not


def deploy_and_drill(
    kind: str,
    seed: int,
    directory: Path,
    console: Console,
    *,
    service: bool = False,
    confirms: bool = False,
    stack_dir: Path | None = None,
) -> Journal:
    """Deploy the stack on an embedded AWS, which ends with the drill, and do one drill there.

    Args:
        kind: One of `OUTAGES`.
        seed: Seed of all random choices.
        directory: Folder for the journal.
        console: Console for progress.
        service: Send the payments through the service behind the name.
        confirms: The service acknowledges only payments that both regions have, and is judged by that.
        stack_dir: A synthesized stack. Default: this project's, or the example that has a service.

    Raises:
        OperationError: There is no such outage, the stack has no service, or the result is inconclusive.
    """
    if kind not in OUTAGES:
        raise OperationError(f"there is no outage {kind!r}", hint=f"give one of {', '.join(OUTAGES)}")
    refuse_without_load(confirms=confirms, has_load=service)
    with ExitStack() as opening:
        on_step, on_event = opening.enter_context(progress_of(console))
        if service:
            if stack_dir is None:
                stack_dir = opening.enter_context(synthesized(EXAMPLE)) / "stacks" / "payments-service"
            routes, has_custom_domain = _service_in(stack_dir)
            refuse_without_service(routes, has_custom_domain=has_custom_domain)
        deployment = opening.enter_context(Deployment(on_step=on_step, on_event=on_event, stack_dir=stack_dir))
        deployment.apply(deployment.plan())
        protect_replica(deployment)
        with place_of(deployment, seed, service=service, confirms=confirms) as place:
            return Drill(place, kind, seed=seed, directory=directory, tell=on_step).run()


def protect_replica(deployment: Deployment) -> None:
    """Do the manual step of docs/deploy.md after the first apply with deletion protection."""
    table = str(deployment.value("dynamodb_table_name"))
    found = deployment.client("dynamodb", "primary").describe_table(TableName=table)["Table"]
    if found.get("DeletionProtectionEnabled"):
        deployment.client("dynamodb", "secondary").update_table(TableName=table, DeletionProtectionEnabled=True)


@contextmanager
def place_of(deployment: Deployment, seed: int, *, service: bool = False, confirms: bool = False) -> Iterator[Place]:
    """The environment of a drill: this process's AWS settings point to it, and replication takes time.

    Args:
        deployment: The deployed stack.
        seed: Decides the replication lags.
        service: Send the payments through the service behind the name.
        confirms: The service acknowledges only payments that both regions have.

    Raises:
        OperationError: There is no such service.
    """
    aws, before = deployment.aws, dict(os.environ)
    outputs = {name: output.value for name, output in deployment.outputs.items()}
    os.environ.clear()
    os.environ.update(aws.environment(before))
    try:
        aws.set_replication_lag(TYPICAL_REPLICATION_SECONDS, seed=seed)
        stack = EmulatedStack(outputs, aws.endpoint_url)
        if service:
            refuse_without_service(stack.service_routes, has_custom_domain=stack.has_custom_domain)
        with _tls_client(stack, aws) as tls:
            real = [*MADE_OF["real"], *([TLS_IS_REAL] if tls else [])]
            if service:
                real = [each for each in real if each not in (WRITES_ARE_REAL, TLS_IS_REAL)] + [SERVICE_IS_REAL]
            yield Place(
                name="embedded AWS",
                stack=stack,
                maker=_Maker(deployment, stack),
                buckets={side: str(outputs[f"{side}_bucket_name"]) for side in SIDES},
                replication_lag={"median": TYPICAL_REPLICATION_SECONDS, "spread": TYPICAL_REPLICATION_SPREAD},
                dns=partial(ModelledDns, alarm_state=VirtualAlarms(deployment, stack, seed)),
                made_of={**MADE_OF, "real": real},
                versions={
                    "terraform": deployment.terraform.binary.version,
                    "ministack": version("ministack"),
                    "python": platform.python_version(),
                },
                check=aws.alive,
                run_schedules=lambda: [aws.run_schedules(stack.region(side)) for side in SIDES],
                is_replicating=lambda: aws.writes_on_their_way() > 0,
                alarms_fire=True,
                evaluates_alarms=True,
                as_time_passes=_as_time_passes(deployment, stack),
                tls=tls,
                service=service,
                terraform=_state_of(deployment),
                confirms=confirms,
            )
    finally:
        os.environ.clear()
        os.environ.update(before)
        with suppress(EmbeddedAwsError):  # it may be gone, and the lag with it
            aws.set_replication_lag(0)


def _as_time_passes(deployment: Deployment, stack: EmulatedStack) -> Callable[[float, Mapping[str, bool]], None]:
    """Events that AWS triggers by itself, in drill time."""
    status = HealthCheckStatus(deployment, stack)
    if not stack.stays_over:
        return status
    takeover = StandbyTakeover(deployment, stack)

    def pass_time(at: float, healthy: Mapping[str, bool]) -> None:
        takeover(at)
        status(at, healthy)

    return pass_time


def _state_of(deployment: Deployment) -> TerraformRecord | None:
    """The place of the deployment's state, which is in its directory."""
    state = Path(deployment.terraform.directory, "terraform.tfstate")
    return state_record(state.read_text(encoding="utf-8")) if state.is_file() else None


def _service_in(stack_dir: Path) -> tuple[list[str], bool]:
    """The routes of a synthesized stack's service, and whether it has a custom domain, before the deployment."""
    outputs = json.loads((stack_dir / "cdk.tf.json").read_text(encoding="utf-8"))["output"]
    return outputs.get(OF_A_SERVICE, {"value": []})["value"], all(name in outputs for name in OF_A_CUSTOM_DOMAIN)


@contextmanager
def _tls_client(stack: Deployed, aws: EmbeddedAws) -> Iterator[TlsClient | None]:
    """A client of the custom domain, if there is one, which trusts only the embedded AWS's own authority."""
    if not stack.has_custom_domain:
        yield None
        return
    with CustomDomains(aws, [stack.region(side) for side in SIDES]) as domains:
        addresses = {side: ("127.0.0.1", domains.ports[stack.region(side)]) for side in SIDES}
        yield TlsClient(str(stack.outputs["application_fqdn"]), addresses, domains.authority, stack.limit)


class _Maker:
    """Makes regions of the embedded AWS fail."""

    def __init__(self, deployment: Deployment, stack: EmulatedStack) -> None:
        self._aws, self._deployment, self._stack = deployment.aws, deployment, stack

    def fail(self, region: str, **fault: Any) -> None:
        if fault.get("kind") == "hang":
            self._stack.hanging.add(region)
        self._aws.fail_region(region, **fault)

    def restore(self, region: str) -> None:
        self._aws.restore_region(region)
        self._stack.hanging.discard(region)

    def forbid_describe_table(self) -> None:
        statement = {"Effect": "Deny", "Action": "dynamodb:DescribeTable", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._iam.put_role_policy(RoleName=self._role, PolicyName=_DENY, PolicyDocument=policy)

    def allow_describe_table(self) -> None:
        self._iam.delete_role_policy(RoleName=self._role, PolicyName=_DENY)

    @property
    def _iam(self) -> Any:
        return self._deployment.client("iam", "primary")

    @property
    def _role(self) -> str:
        return str(self._deployment.value("lambda_execution_role_arn")).rsplit("/", 1)[1]
