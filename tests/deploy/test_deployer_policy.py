"""The policies in the deployer's files are enough to deploy, change and destroy, and hold nothing unused."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import STACK, synthesized
from embedded_aws.server import DEFAULT_REGION
from payment_dr.operations.iam_policies import DEPLOY, ENVIRONMENT, OF_A_DEPLOYER, filled_in, path_of, written
from payment_dr.operations.terraform.runner import TerraformFailed
from permission_proof.deployer import (
    Deployer,
    allows,
    deployer,
    for_the_embedded_aws,
    policies_of,
)
from permission_proof.deployer_scopes import ASKED_OTHERWISE
from tests.deploy.conftest import Deployers
from tests.deploy.iam_policies import proven, without_actions

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


@pytest.fixture
def user(deployers: Deployers) -> Deployer:
    """Who has deployed, changed and destroyed the stack: nothing is there."""
    return deployers.at_the_end


@pytest.fixture
def deployed(deployers: Deployers) -> Deployer:
    """Whose stack is there."""
    return deployers.when_deployed


@pytest.mark.parametrize("name", OF_A_DEPLOYER)
def test_the_files_hold_what_was_used_and_no_more(user: Deployer, name: str) -> None:
    assert path_of(name).read_text(encoding="utf-8") == written(policies_of(user.deployed, user.changed)[name]), (
        "run: python -m permission_proof.iam_policies"
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


def test_without_one_action_the_apply_is_refused_and_names_it(user: Deployer) -> None:
    """One apply of four resources that do not need each other; the certificate is of the custom domain."""
    resources = {
        "dynamodb:CreateTable": "aws_dynamodb_table.data_table",
        "iam:CreateRole": "aws_iam_role.data_s3_replication_role",
        "kms:CreateKey": "aws_kms_key.encryption_east_key",
        "acm:RequestCertificate": "aws_acm_certificate.dns_primary_domain_certificate",
    }
    in_statements = [action for each in proven(user, OF_A_DEPLOYER)["Statement"] for action in each["Action"]]
    assert {action: in_statements.count(action) for action in resources} == dict.fromkeys(resources, 1)
    of_every_stack = resources.keys() - {"acm:RequestCertificate"}
    said = refused(user, without_actions(of_every_stack, proven(user, [DEPLOY])), resources.values())
    assert [action for action in resources if action not in said] == []


def test_without_one_statement_a_change_is_refused_and_names_the_action(deployed: Deployer) -> None:
    document = without("ChangeKms", proven(deployed, OF_A_DEPLOYER))
    with deployed.newer_stack():
        assert "kms:UntagResource" in refused(deployed, document, ["aws_kms_key.encryption_east_key"])


def test_without_the_rights_to_documents_a_bucket_with_one_is_not_destroyed(deployed: Deployer) -> None:
    deployed.keep_a_document_in_each_bucket()
    deployed.gets(for_the_embedded_aws(without("S3Objects", proven(deployed, OF_A_DEPLOYER))))
    with pytest.raises(TerraformFailed, match="s3:DeleteObject"):
        deployed.terraform.destroy(targets=["aws_s3_bucket.data_destination_bucket"], refresh=False)


def test_the_default_stack_needs_no_right_of_the_custom_domain(stack_dir: Path, tmp_path: Path) -> None:
    """It begins in a zone that exists, which takes no right to make or to delete one, and moves to its own."""
    with deployer(stack_dir) as default:
        route53, directory = default.aws.client("route53", DEFAULT_REGION), default.terraform.directory
        zone = route53.create_hosted_zone(Name=ZONE_NAME, CallerReference="test")["HostedZone"]["Id"]
        app = tmp_path / "app.py"
        app.write_text(IN_A_ZONE_THAT_EXISTS, encoding="utf-8")
        with synthesized(app, settings={"ZONE_ID": zone.removeprefix("/hostedzone/")}) as out:
            shutil.copy(out / "stacks" / STACK / "cdk.tf.json", directory)
        rights = proven(default, [DEPLOY])
        default.gets(for_the_embedded_aws(without_actions(OF_ITS_OWN_ZONE, rights)))
        default.terraform.apply()
        assert "CNAME" in types_of_records(route53, zone)
        shutil.copy(stack_dir / "cdk.tf.json", directory)
        default.gets(for_the_embedded_aws(rights))
        default.terraform.apply(refresh=False)
        default.terraform.destroy()
        assert types_of_records(route53, zone) == {"NS", "SOA"}


def types_of_records(route53: Any, zone: str) -> set[str]:
    return {record["Type"] for record in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]}


def without(sid: str, document: dict[str, Any]) -> dict[str, Any]:
    """A policy without one of its statements."""
    rest = [each for each in document["Statement"] if each["Sid"] != sid]
    assert len(rest) < len(document["Statement"])
    return {**document, "Statement": rest}


def refused(user: Deployer, document: dict[str, Any], addresses: Iterable[str]) -> str:
    """What Terraform says when some resources are applied with this policy."""
    user.gets(for_the_embedded_aws(document))
    with pytest.raises(TerraformFailed) as failed:
        user.terraform.apply(targets=[*addresses], refresh=False)
    return " ".join(map(str, failed.value.diagnostics))
