"""`dr deployer-policies`: for the account and the environment that are given, as files that AWS takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_dr import naming
from payment_dr.operations import cli
from payment_dr.operations.deployer_policies import ACCOUNT_ID, ENVIRONMENT, ENVIRONMENT_PATTERN, NAMES
from permission_proof.deployer import LONGEST_POLICY


def test_each_fits_into_a_managed_policy_with_the_longest_environment() -> None:
    told = CliRunner().invoke(cli.app, ["deployer-policies", "--environment", "a-long-stage"])
    lengths = {name: len(json.dumps(policy, separators=(",", ":"))) for name, policy in json.loads(told.stdout).items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_POLICY} == {}


def test_the_command_prints_all_for_another_account_and_environment() -> None:
    told = CliRunner().invoke(cli.app, ["deployer-policies", "--account-id", "111122223333", "--environment", "prod"])
    assert told.exit_code == 0
    assert ACCOUNT_ID not in told.stdout
    policies = json.loads(told.stdout)
    assert tuple(policies) == NAMES
    arns = [arn for policy in policies.values() for each in policy["Statement"] for arn in each["Resource"]]
    assert "arn:aws:s3:::s3-payment-docs-*-prod-111122223333" in arns
    assert [arn for arn in arns if ENVIRONMENT in arn.replace(":", "-").replace("/", "-").split("-")] == []


def test_the_command_writes_files_that_aws_takes_as_they_are(tmp_path: Path) -> None:
    told = CliRunner().invoke(
        cli.app, ["deployer-policies", "--account-id", "111122223333", "--out", str(tmp_path / "policies")]
    )
    assert told.stdout.splitlines() == [str(tmp_path / "policies" / f"{name}.json") for name in NAMES]
    for path in map(Path, told.stdout.splitlines()):
        assert set(json.loads(path.read_text(encoding="utf-8"))) == {"Version", "Statement"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--account-id", "12"], "error: '12' is not an AWS account id"),
        (["--account-id", "12345678901x"], "error: '12345678901x' is not an AWS account id"),
        (["--environment", "Prod"], "error: 'Prod' is not an environment of the stack"),
        (["--environment", "prod\n"], "error: 'prod\\n' is not an environment of the stack"),
    ],
)
def test_what_is_no_account_and_no_environment_is_refused(arguments: list[str], error: str) -> None:
    done = CliRunner().invoke(cli.app, ["deployer-policies", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == error
    assert done.stderr.splitlines()[1].startswith("hint: ")


def test_an_environment_is_what_the_stack_takes_for_one() -> None:
    assert ENVIRONMENT_PATTERN == naming.ENVIRONMENT_PATTERN
