"""The policy in docs/deployer-policy.json is enough to deploy and to destroy, and holds nothing that was not used."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.terraform import TerraformFailed
from permission_proof import deployer as module
from permission_proof.deployer import (
    ASKED_OTHERWISE,
    DOCUMENTED,
    ENVIRONMENT,
    LONGEST_POLICY,
    POLICY,
    Deployer,
    allows,
    deployer,
    filled_in,
    for_the_embedded_aws,
    policy_of,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployer policy")]


def of_the_page(account_id: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(POLICY.read_text(encoding="utf-8").replace(module.ACCOUNT_ID, account_id))
    return document


@pytest.fixture(scope="module")
def user(stack_dir: Path) -> Iterator[Deployer]:
    """A deployer with the policy of the page and without what is documented only, who has been through it all."""
    with deployer(stack_dir) as user:
        document = of_the_page(user.aws.account_id)
        documented = {each["Sid"] for each in DOCUMENTED}
        proven = [each for each in document["Statement"] if each["Sid"] not in documented]
        user.gets(for_the_embedded_aws({**document, "Statement": proven}))
        user.cycle()
        yield user


def test_the_page_holds_what_was_used_and_no_more(user: Deployer) -> None:
    assert POLICY.read_text(encoding="utf-8") == written(policy_of(action for action, _ in user.used)), (
        "run: python -m permission_proof.deployer --write"
    )


def test_only_what_is_known_is_asked_about_another_arn(user: Deployer) -> None:
    document = filled_in(
        policy_of(action for action, _ in user.used), account_id=user.aws.account_id, environment=ENVIRONMENT
    )
    otherwise = {action for action, arn in user.used if not allows(document, action, arn)}
    assert otherwise - {"sts:GetCallerIdentity"} == ASKED_OTHERWISE


@pytest.mark.parametrize(
    ("sid", "address", "action"),
    [
        ("Dynamodb", "aws_dynamodb_table.data_table", "dynamodb:CreateTable"),
        ("Iam", "aws_iam_role.data_s3_replication_role", "iam:CreateRole"),
        ("Anywhere", "aws_kms_key.encryption_east_key", "kms:CreateKey"),
    ],
)
def test_without_one_statement_the_apply_is_refused_and_names_the_action(
    user: Deployer, sid: str, address: str, action: str
) -> None:
    document = of_the_page(user.aws.account_id)
    rest = [each for each in document["Statement"] if each["Sid"] != sid]
    assert len(rest) == len(document["Statement"]) - 1
    user.gets(for_the_embedded_aws({**document, "Statement": rest}))
    plan = user.terraform.plan(targets=[address])
    with pytest.raises(TerraformFailed) as failed:
        user.terraform.apply(plan)
    assert action in " ".join(map(str, failed.value.diagnostics))


def test_it_fits_into_managed_policies() -> None:
    """At most two: what was seen, and what is documented only."""
    document = json.loads(POLICY.read_text(encoding="utf-8"))
    documented = {each["Sid"] for each in DOCUMENTED}
    for wanted in (True, False):
        part = [each for each in document["Statement"] if (each["Sid"] in documented) == wanted]
        assert len(json.dumps({**document, "Statement": part}, separators=(",", ":"))) <= LONGEST_POLICY


def test_the_command_prints_it_for_another_account_and_environment() -> None:
    told = CliRunner().invoke(module.app, ["--account-id", "111122223333", "--environment", "prod"])
    assert told.exit_code == 0
    assert module.ACCOUNT_ID not in told.stdout
    arns = [arn for each in json.loads(told.stdout)["Statement"] for arn in each["Resource"]]
    assert "arn:aws:s3:::s3-payment-docs-*-prod-111122223333" in arns
    assert [arn for arn in arns if ENVIRONMENT in arn.replace(":", "-").replace("/", "-").split("-")] == []
