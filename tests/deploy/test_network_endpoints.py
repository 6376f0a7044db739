"""A network with endpoints, deployed by the real Terraform and AWS provider."""

import json
from pathlib import Path

import pytest

from embedded_aws.deployment import Deployment, synthesized
from embedded_aws.server import DEFAULT_ACCOUNT_ID

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("endpoints")]

APP = """
from payment_dr import App, AwsProvider, Region, RegionalNetwork, TerraformStack, require_versions
app = App()
stack = TerraformStack(app, "network")
require_versions(stack, "aws")
AwsProvider(stack, "aws", region="us-east-1")
RegionalNetwork(
    stack,
    "network",
    region=Region(name="us-east-1"),
    environment="dev",
    cidr="10.0.0.0/16",
    subnet_cidrs=["10.0.1.0/24", "10.0.2.0/24"],
    gateway_endpoints=["dynamodb", "s3"],
    interface_endpoints=["ssm", "kms", "sns", "logs"],
)
app.synth()
"""


def test_endpoints_are_as_they_were_declared_and_leave_nothing(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP, encoding="utf-8")
    with synthesized(app) as out, Deployment(stack_dir=out / "stacks" / "network") as deployment:
        deployment.apply()
        ec2 = deployment.aws.client("ec2", "us-east-1")
        found = {each["ServiceName"]: each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
        services = ("dynamodb", "s3", "ssm", "kms", "sns", "logs")
        assert found.keys() == {f"com.amazonaws.us-east-1.{service}" for service in services}
        groups: set[str] = set()
        for service, endpoint in found.items():
            (statement,) = json.loads(endpoint["PolicyDocument"])["Statement"]
            assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == DEFAULT_ACCOUNT_ID, service
            assert "*" not in json.dumps(statement["Action"]), service
            if endpoint["VpcEndpointType"] == "Interface":
                assert len(endpoint["SubnetIds"]) == 2
                groups.update(group["GroupId"] for group in endpoint["Groups"])
            else:
                assert len(endpoint["RouteTableIds"]) == 1
        (group,) = ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        ((rule),) = group["IpPermissions"]
        assert (rule["FromPort"], rule["ToPort"], [each["CidrIp"] for each in rule["IpRanges"]]) == (
            443,
            443,
            ["10.0.0.0/16"],
        )
        assert group["IpPermissionsEgress"] == []
        assert deployment.plan().actions == {}
        deployment.destroy()
        assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
        assert deployment.terraform.state_resources() == []
