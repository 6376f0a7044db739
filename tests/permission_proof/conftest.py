"""The stack, deployed once by a run of the proof, and what the run left."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from embedded_aws.deployment import STACK, Deployment, synthesized
from main import TWO_WAY_DOCUMENTS
from permission_proof import __main__ as command_line


@dataclass(frozen=True)
class Run:
    """What a run of the command line left."""

    exit_code: int
    data: dict[str, Any]
    document: str
    deployment: Deployment


def run_command(*arguments: str) -> Result:
    """Run `python -m permission_proof` in this process."""
    result = CliRunner().invoke(command_line.app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`python -m permission_proof --stack-dir … --json --write …`, whose deployment stays for the tests."""
    document = tmp_path_factory.mktemp("docs") / "permissions.md"
    with ExitStack() as until_the_end, pytest.MonkeyPatch.context() as patch:
        made: list[Deployment] = []

        def kept(**arguments: Any) -> nullcontext[Deployment]:
            made.append(until_the_end.enter_context(Deployment(**arguments)))
            return nullcontext(made[0])

        patch.setattr(command_line, "Deployment", kept)
        folder = until_the_end.enter_context(synthesized(settings={TWO_WAY_DOCUMENTS: "1"}))
        result = run_command("--stack-dir", str(folder / "stacks" / STACK), "--json", "--write", str(document))
        (deployment,) = made
        yield Run(result.exit_code, json.loads(result.stdout), document.read_text(encoding="utf-8"), deployment)


@pytest.fixture(scope="session")
def deployment(run: Run) -> Deployment:
    """The deployment on which the proof has run."""
    return run.deployment


@pytest.fixture
def changed(deployment: Deployment) -> Iterator[Deployment]:
    """A branch with another stack to apply.

    It has a right too few, one too many, a condition dropped, and one that holds nobody back.
    """
    with deployment.branch() as branch:
        path = branch.terraform.directory / "cdk.tf.json"
        stack = json.loads(path.read_text(encoding="utf-8"))

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
        path.write_text(json.dumps(stack), encoding="utf-8")
        yield branch
