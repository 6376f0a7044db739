"""The system under drill, the person and the tools, for the report."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from payment_dr.operations.aws import asked
from payment_dr.operations.deployed import Deployed, terraform_says
from payment_dr.operations.drill.journal import SystemRecord, TerraformRecord, ToolRecord
from payment_dr.operations.errors import OperationError
from payment_dr.side import SIDES, Side

GIT_SECONDS = 10.0
T = TypeVar("T")


def system_of(stack: Deployed, terraform: TerraformRecord | None = None) -> SystemRecord:
    """The system according to the stack's outputs and this machine, without a call to AWS.

    Args:
        stack: The deployed stack.
        terraform: What is known of Terraform's state.
    """
    return {
        "is_emulated": not stack.is_live,
        "account": stack.account_id,
        "fqdn": str(stack.outputs["application_fqdn"]),
        "zone": {"id": str(stack.outputs["hosted_zone_id"]), "name": str(stack.outputs["hosted_zone_name"])},
        "health_checks": {side: stack.output(side, "health_check_id") for side in SIDES},
        "apis": {side: stack.output(side, "api_id") for side in SIDES},
        "buckets": {side: stack.output(side, "bucket_name") for side in SIDES},
        "table": {"arn": str(stack.outputs["dynamodb_table_arn"]), "ids": dict.fromkeys(SIDES)},
        "terraform": terraform,
        "caller": None,
        "host": platform.node(),
        "tool": _tool(),
    }


def identified(stack: Deployed, system: SystemRecord) -> SystemRecord:
    """The same with values that only AWS knows: the ids of the table's replicas, and the caller's ARN.

    A value that AWS does not return stays None, because a drill does not depend on it.
    """
    table = str(stack.outputs["dynamodb_table_name"])

    def table_id(side: Side) -> str | None:
        found = stack.client("dynamodb", side).describe_table(TableName=table)["Table"].get("TableId")
        return None if found is None else str(found)

    def caller() -> str | None:  # the region of the outage may be in trouble before the drill begins
        found = stack.client("sts", "secondary").get_caller_identity().get("Arn")
        return None if found is None else str(found)

    ids = {side: _known("DynamoDB", partial(table_id, side)) for side in SIDES}
    return {**system, "caller": _known("STS", caller), "table": {**system["table"], "ids": ids}}


def _known(service: str, call: Callable[[], T | None]) -> T | None:
    try:
        return asked(service, call)
    except OperationError:
        return None


def state_record(text: str) -> TerraformRecord | None:
    """Serial and lineage of a state; None if the text is none."""
    try:
        state = json.loads(text)
        return {"serial": int(state["serial"]), "lineage": str(state["lineage"])}
    except (ValueError, LookupError, TypeError):
        return None


def state_of(stack: Deployed) -> TerraformRecord | None:
    """What is known of the state from which the stack's outputs were read; None if nothing is."""
    if stack.read_from is None:
        return None
    try:
        if stack.read_from.is_file():
            return {"outputs_sha256": hashlib.sha256(stack.read_from.read_bytes()).hexdigest()}
        return state_record(terraform_says(stack.read_from, "state", "pull"))
    except (OperationError, OSError):
        return None


def _tool() -> ToolRecord:
    return {"name": "payment-dr", "version": version("payment-dr"), "commit": _commit(Path(__file__))}


def _commit(file: Path) -> str | None:
    """The commit that a file of this project is of, with "-dirty" where something is changed; None without one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(file.parent), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return None if done.returncode else done.stdout.strip()

    if git("ls-files", "--error-unmatch", file.name) is None:  # installed below somebody else's repository, maybe
        return None
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
