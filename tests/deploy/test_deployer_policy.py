"""The policies in docs/deployer-policies are enough to deploy, change and destroy, and hold nothing unused."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws.deployment import STACK, synthesized
from embedded_aws.server import DEFAULT_REGION
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

ZONE_NAME = "payment-app.test"
OF_ITS_OWN_ZONE = {"route53:CreateHostedZone", "route53:DeleteHostedZone"}
IN_A_ZONE_THAT_EXISTS = f"""
import os
from payment_dr import App, DisasterRecoveryStack, HostedZone
app = App()
zone = HostedZone(zone_id=os.environ["ZONE_ID"], name="{ZONE_NAME}", name_servers=["ns-1.{ZONE_NAME}"])
DisasterRecoveryStack(app, "{STACK}", hosted_zone=zone)
app.synth()
"""


def text_of(name: str) -> str:
    return (POLICIES / f"{name}.json").read_text(encoding="utf-8")


def proven(user: Deployer, names: Iterable[str]) -> dict[str, Any]:
    """These policies in one, without what is documented only."""
    account_id = user.aws.account_id
    documents = [filled_in(json.loads(text_of(name)), account_id=account_id, environment=ENVIRONMENT) for name in names]
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


def test_without_the_rights_to_documents_a_bucket_with_one_is_not_destroyed(user: Deployer) -> None:
    user.gets(for_the_embedded_aws(without("S3Objects", proven(user, NAMES))))
    user.terraform.apply(user.terraform.plan(targets=["aws_s3_bucket.data_destination_bucket"]))
    user.keep_a_document_in_each_bucket()
    with pytest.raises(TerraformFailed, match="s3:DeleteObject"):
        user.terraform.destroy()
    user.gets(for_the_embedded_aws(proven(user, NAMES)))
    user.terraform.destroy()


def test_the_default_stack_needs_no_right_of_the_custom_domain_which_is_refused_without(
    user: Deployer, stack_dir: Path, tmp_path: Path
) -> None:
    """It begins in a zone that exists, which takes no right to make or to delete one, and moves to its own."""
    address = "aws_acm_certificate.dns_primary_domain_certificate"
    assert "acm:RequestCertificate" in refused(user, proven(user, [DEPLOY]), address)
    with deployer(stack_dir) as default:
        route53, directory = default.aws.client("route53", DEFAULT_REGION), default.terraform.directory
        zone = route53.create_hosted_zone(Name=ZONE_NAME, CallerReference="test")["HostedZone"]["Id"]
        app = tmp_path / "app.py"
        app.write_text(IN_A_ZONE_THAT_EXISTS, encoding="utf-8")
        with synthesized(app, settings={"ZONE_ID": zone.removeprefix("/hostedzone/")}) as out:
            shutil.copy(out / "stacks" / STACK / "cdk.tf.json", directory)
        rights = proven(default, [DEPLOY])
        default.gets(for_the_embedded_aws(without_actions(OF_ITS_OWN_ZONE, rights)))
        default.terraform.apply(default.terraform.plan())
        assert "CNAME" in types_of_records(route53, zone)
        shutil.copy(stack_dir / "cdk.tf.json", directory)
        default.gets(for_the_embedded_aws(rights))
        default.terraform.apply(default.terraform.plan())
        default.terraform.destroy()
        assert types_of_records(route53, zone) == {"NS", "SOA"}


def types_of_records(route53: Any, zone: str) -> set[str]:
    return {record["Type"] for record in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]}


def without_actions(actions: set[str], document: dict[str, Any]) -> dict[str, Any]:
    """A policy without some of its actions."""
    assert actions <= {action for each in document["Statement"] for action in each["Action"]}
    statements = [
        {**each, "Action": [action for action in each["Action"] if action not in actions]}
        for each in document["Statement"]
    ]
    return {**document, "Statement": statements}


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
