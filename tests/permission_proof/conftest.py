"""The stack, deployed once, and one run of the proof on it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.deployment import STACK, Deployment, synthesized
from permission_proof import __main__ as command_line


@dataclass(frozen=True)
class Run:
    """What a run of the command line left."""

    exit_code: int
    data: dict[str, Any]
    document: str


@pytest.fixture(scope="session")
def stack_dir() -> Iterator[Path]:
    """This project's stack as `make synth` writes it."""
    with synthesized() as folder:
        yield folder / "stacks" / STACK


@pytest.fixture(scope="session")
def deployment(stack_dir: Path) -> Iterator[Deployment]:
    with Deployment(stack_dir=stack_dir) as deployed:
        deployed.apply()
        yield deployed


@pytest.fixture(scope="session")
def run(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`python -m permission_proof --json --write …` on the deployment that is there."""
    document = tmp_path_factory.mktemp("docs") / "permissions.md"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "Deployment", lambda **_: nullcontext(deployment))
        result = CliRunner().invoke(command_line.app, ["--json", "--write", str(document)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, json.loads(result.stdout), document.read_text(encoding="utf-8"))


@pytest.fixture
def changed_stack_dir(stack_dir: Path, tmp_path: Path) -> Path:
    """The same stack with a right too few and one too many, a condition dropped and one that holds nobody back."""
    folder = tmp_path / "stacks" / STACK
    shutil.copytree(stack_dir, folder)
    stack = json.loads((folder / "cdk.tf.json").read_text(encoding="utf-8"))

    def statement(document: str, sid: str) -> dict[str, Any]:
        statements = stack["data"]["aws_iam_policy_document"][document]["statement"]
        found: dict[str, Any]
        (found,) = [each for each in statements if each["sid"] == sid]
        return found

    statement("config_sync_east_role_permissions", "WriteOwnLog")["actions"].remove("logs:PutLogEvents")
    statement("data_s3_replication_permissions", "WriteReplicas")["actions"].append("s3:ReplicateDelete")
    del statement("health_monitor_west_function_role_permissions", "EncryptAlerts")["condition"]
    trust = statement("config_sync_west_to_east_trust", "AssumedByConfigSync")
    trust["condition"][0]["values"] = ["arn:aws:iam::*:role/*"]
    (folder / "cdk.tf.json").write_text(json.dumps(stack), encoding="utf-8")
    return folder
