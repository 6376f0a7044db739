"""A network with endpoints, deployed by the real Terraform and AWS provider with the deployer's policies alone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws.deployment import synthesized
from payment_dr.operations.adoption import NOT_ADOPTED, TO_ADOPT, adopt
from payment_dr.operations.iam_policies import CHANGE, DEPLOY, ENVIRONMENT, WITH_ENDPOINTS, filled_in, path_of, written
from payment_dr.operations.terraform.runner import TerraformFailed
from permission_proof.deployer import Deployer, allows, deployer, for_the_embedded_aws, policy_of_endpoints
from permission_proof.deployer_scopes import ASKED_OTHERWISE_FOR_ENDPOINTS
from permission_proof.iam_policies import NETWORK
from tests.deploy.iam_policies import proven, without_actions

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("endpoints")]

REGION = "us-east-1"
RIGHTS = (DEPLOY, CHANGE, WITH_ENDPOINTS)
SERVICES = ("dynamodb", "s3", "ssm", "kms", "sns", "logs")


@pytest.fixture(scope="module")
def user() -> Iterator[Deployer]:
    """Who has deployed the network, and nothing else."""
    with synthesized(NETWORK) as out, deployer(out / "stacks" / "network") as someone:
        stack = json.loads((out / "stacks" / "network" / "cdk.tf.json").read_text(encoding="utf-8"))
        (group,) = (f"aws_security_group.{name}" for name in stack["resource"]["aws_security_group"])
        rights = proven(someone, RIGHTS)
        someone.gets(for_the_embedded_aws(without_actions({"ec2:CreateSecurityGroup"}, rights)))
        with pytest.raises(TerraformFailed) as refused:
            someone.terraform.apply(targets=[group])
        assert "ec2:CreateSecurityGroup" in " ".join(map(str, refused.value.diagnostics))
        someone.gets(for_the_embedded_aws(rights))
        someone.deploy()
        yield someone


def endpoints(user: Deployer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = user.aws.client("ec2", REGION).describe_vpc_endpoints()["VpcEndpoints"]
    return found


def test_endpoints_are_as_they_were_declared(user: Deployer) -> None:
    found = {each["ServiceName"]: each for each in endpoints(user)}
    assert found.keys() == {f"com.amazonaws.{REGION}.{service}" for service in SERVICES}
    groups: set[str] = set()
    for service, endpoint in found.items():
        (statement,) = json.loads(endpoint["PolicyDocument"])["Statement"]
        assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == user.aws.account_id, service
        assert "*" not in json.dumps(statement["Action"]), service
        if endpoint["VpcEndpointType"] == "Interface":
            assert len(endpoint["SubnetIds"]) == 2
            groups.update(group["GroupId"] for group in endpoint["Groups"])
        else:
            assert len(endpoint["RouteTableIds"]) == 1
    (group,) = user.aws.client("ec2", REGION).describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    ((rule),) = group["IpPermissions"]
    addresses = [each["CidrIp"] for each in rule["IpRanges"]]
    assert (rule["FromPort"], rule["ToPort"], addresses) == (443, 443, ["10.0.0.0/16"])
    assert group["IpPermissionsEgress"] == []


def test_what_an_interrupted_apply_has_left_is_found(user: Deployer) -> None:
    with user.branch() as left:
        (left.terraform.directory / "terraform.tfstate").unlink()
        found = adopt(left.terraform, clients=left.aws.client, dry_run=True)
        kinds = {finding.address.partition(".")[0] for finding in found if finding.outcome == TO_ADOPT}
        assert {"aws_vpc_endpoint", "aws_security_group"} <= kinds
        assert [finding.address for finding in found if finding.outcome == NOT_ADOPTED] == []


def test_the_policies_are_enough_to_change_and_destroy_it_and_hold_nothing_unused(user: Deployer) -> None:
    user.change()
    user.destroy()
    assert endpoints(user) == []
    used = user.deployed | user.changed
    assert path_of(WITH_ENDPOINTS).read_text(encoding="utf-8") == written(policy_of_endpoints(used)), (
        "run: python -m permission_proof.iam_policies"
    )
    of_endpoints = filled_in(policy_of_endpoints(used), account_id=user.aws.account_id, environment=ENVIRONMENT)
    named = {action for each in of_endpoints["Statement"] for action in each["Action"]}
    otherwise = {action for action, arn in used if action in named and not allows(of_endpoints, action, arn)}
    assert otherwise - {"ec2:CreateTags", "ec2:DeleteTags"} == ASKED_OTHERWISE_FOR_ENDPOINTS
