"""A VPC endpoint is described with what it was given."""

import json
from typing import Any

from tests.embedded_aws.tenant import Tenant

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "a<b", "Resource": "&"}],
}


def described(account: Tenant, **given: Any) -> Any:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="endpoints", Description="HTTPS", VpcId=vpc)["GroupId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.ssm",
        SubnetIds=[subnet],
        SecurityGroupIds=[group],
        PrivateDnsEnabled=True,
        **given,
    )["VpcEndpoint"]["VpcEndpointId"]
    (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[made])["VpcEndpoints"]
    return found, group


def test_it_has_its_policy_groups_and_private_dns(account: Tenant) -> None:
    found, group = described(account, PolicyDocument=json.dumps(POLICY))
    assert json.loads(found["PolicyDocument"]) == POLICY
    assert [each["GroupId"] for each in found["Groups"]] == [group]
    assert found["PrivateDnsEnabled"] is True


def test_without_a_policy_it_allows_everything(account: Tenant) -> None:
    found, _ = described(account)
    (statement,) = json.loads(found["PolicyDocument"])["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", "*", "*")


def test_a_change_is_kept(account: Tenant) -> None:
    found, group = described(account, PolicyDocument=json.dumps(POLICY))
    ec2, id_ = account.client("ec2"), found["VpcEndpointId"]
    ec2.modify_vpc_endpoint(
        VpcEndpointId=id_, ResetPolicy=True, RemoveSecurityGroupIds=[group], PrivateDnsEnabled=False
    )
    (changed,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[id_])["VpcEndpoints"]
    assert json.loads(changed["PolicyDocument"]) != POLICY
    assert (changed["Groups"], changed["PrivateDnsEnabled"]) == ([], False)


def test_upstream_still_forgets_them(unpatched_account: Tenant) -> None:
    found, _ = described(unpatched_account, PolicyDocument=json.dumps(POLICY))
    assert found.keys().isdisjoint({"PolicyDocument", "Groups", "PrivateDnsEnabled"})
