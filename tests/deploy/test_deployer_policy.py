"""The policies in docs/deployer-policies are enough to deploy, change and destroy, and hold nothing unused."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.deployment import STACK, synthesized
from embedded_aws.terraform import TerraformFailed
from main import CUSTOM_DOMAIN
from permission_proof import deployer as module
from permission_proof.deployer import (
    ASKED_OTHERWISE,
    DEPLOY,
    ENVIRONMENT,
    LONGEST_POLICY,
    NAMES,
    POLICIES,
    Deployer,
    allows,
    deployer,
    filled_in,
    for_the_embedded_aws,
    policies_of,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployer policy")]


def text_of(name: str) -> str:
    return (POLICIES / f"{name}.json").read_text(encoding="utf-8")


def proven(user: Deployer, names: Iterable[str]) -> dict[str, Any]:
    """These policies in one, without what is documented only."""
    documents = [json.loads(text_of(name).replace(module.ACCOUNT_ID, user.aws.account_id)) for name in names]
    statements = [each for document in documents for each in document["Statement"]]
    return {**documents[0], "Statement": [each for each in statements if not each["Sid"].startswith("Documented")]}


@pytest.fixture(scope="module")
def user() -> Iterator[Deployer]:
    """A deployer of the custom domain with what is proven of the policies, who has been through it all."""
    with synthesized(settings={CUSTOM_DOMAIN: "1"}) as out, deployer(out / "stacks" / STACK) as user:
        user.gets(for_the_embedded_aws(proven(user, NAMES)))
        user.cycle()
        yield user


@pytest.mark.parametrize("name", NAMES)
def test_the_files_hold_what_was_used_and_no_more(user: Deployer, name: str) -> None:
    assert text_of(name) == written(policies_of(user.deployed, user.changed)[name]), (
        "run: python -m permission_proof.deployer --write"
    )


def test_only_what_is_known_is_asked_about_another_arn(user: Deployer) -> None:
    documents = [
        filled_in(document, account_id=user.aws.account_id, environment=ENVIRONMENT)
        for document in policies_of(user.deployed, user.changed).values()
    ]
    otherwise = {
        action
        for action, arn in user.deployed | user.changed
        if not any(allows(document, action, arn) for document in documents)
    }
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
    assert action in refused(user, without(sid, proven(user, NAMES)), address)


def test_without_one_statement_a_change_is_refused_and_names_the_action(user: Deployer) -> None:
    address = "aws_kms_key.encryption_east_key"
    user.gets(for_the_embedded_aws(proven(user, NAMES)))
    user.terraform.apply(user.terraform.plan(targets=[address]))
    with user.newer_stack():
        assert "kms:UntagResource" in refused(user, without("ChangeKms", proven(user, NAMES)), address)
    user.gets(for_the_embedded_aws(proven(user, NAMES)))
    user.terraform.destroy()


def test_the_default_stack_needs_no_right_of_the_custom_domain_which_is_refused_without(
    user: Deployer, stack_dir: Path
) -> None:
    address = "aws_acm_certificate.dns_primary_domain_certificate"
    assert "acm:RequestCertificate" in refused(user, proven(user, [DEPLOY]), address)
    with deployer(stack_dir) as default:
        default.gets(for_the_embedded_aws(proven(default, [DEPLOY])))
        default.terraform.apply(default.terraform.plan())
        default.terraform.destroy()


def without(sid: str, document: dict[str, Any]) -> dict[str, Any]:
    """A policy without one of its statements."""
    rest = [each for each in document["Statement"] if each["Sid"] != sid]
    assert len(rest) < len(document["Statement"])
    return {**document, "Statement": rest}


def refused(user: Deployer, document: dict[str, Any], address: str) -> str:
    """What Terraform says when one resource is applied with this policy."""
    user.gets(for_the_embedded_aws(document))
    plan = user.terraform.plan(targets=[address])
    with pytest.raises(TerraformFailed) as failed:
        user.terraform.apply(plan)
    return " ".join(map(str, failed.value.diagnostics))


def test_each_fits_into_a_managed_policy_with_the_longest_environment() -> None:
    told = CliRunner().invoke(module.app, ["--environment", "a-long-stage"])
    lengths = {name: len(json.dumps(policy, separators=(",", ":"))) for name, policy in json.loads(told.stdout).items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_POLICY} == {}


def test_the_command_prints_all_for_another_account_and_environment() -> None:
    told = CliRunner().invoke(module.app, ["--account-id", "111122223333", "--environment", "prod"])
    assert told.exit_code == 0
    assert module.ACCOUNT_ID not in told.stdout
    policies = json.loads(told.stdout)
    assert tuple(policies) == NAMES
    arns = [arn for policy in policies.values() for each in policy["Statement"] for arn in each["Resource"]]
    assert "arn:aws:s3:::s3-payment-docs-*-prod-111122223333" in arns
    assert [arn for arn in arns if ENVIRONMENT in arn.replace(":", "-").replace("/", "-").split("-")] == []


def test_the_command_writes_files_that_aws_takes_as_they_are(tmp_path: Path) -> None:
    told = CliRunner().invoke(module.app, ["--account-id", "111122223333", "--out", str(tmp_path / "policies")])
    assert told.stdout.splitlines() == [str(tmp_path / "policies" / f"{name}.json") for name in NAMES]
    for path in map(Path, told.stdout.splitlines()):
        assert set(json.loads(path.read_text(encoding="utf-8"))) == {"Version", "Statement"}
