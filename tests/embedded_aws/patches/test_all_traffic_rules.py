"""The rule that lets everything out is revoked as the AWS provider revokes it: with the ports 0 to 0."""

from typing import Any

from tests.embedded_aws.tenant import Tenant

EVERYTHING: Any = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def rules_out_after_revoking(account: Tenant, rule: Any) -> Any:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="closed", Description="Closed", VpcId=vpc)["GroupId"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[rule])
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return found["IpPermissionsEgress"]


def test_a_rule_for_all_protocols_is_revoked_whatever_ports_are_named(account: Tenant) -> None:
    assert rules_out_after_revoking(account, EVERYTHING) == []


def test_a_rule_of_another_range_stays(account: Tenant) -> None:
    other = {**EVERYTHING, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    assert len(rules_out_after_revoking(account, other)) == 1


def test_upstream_still_compares_the_ports(unpatched_account: Tenant) -> None:
    assert len(rules_out_after_revoking(unpatched_account, EVERYTHING)) == 1
