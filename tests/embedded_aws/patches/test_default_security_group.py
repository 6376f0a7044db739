from typing import Any

from tests.embedded_aws.tenant import Tenant


def default_group_of_a_new_vpc(account: Tenant) -> dict[str, Any]:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    found: dict[str, Any] = group
    return found


def test_it_lets_its_own_members_in_and_everything_out(account: Tenant) -> None:
    group = default_group_of_a_new_vpc(account)
    (rule_in,), (rule_out,) = group["IpPermissions"], group["IpPermissionsEgress"]
    assert rule_in["IpProtocol"] == rule_out["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in rule_in["UserIdGroupPairs"]] == [group["GroupId"]]
    assert (rule_in["IpRanges"], rule_out["IpRanges"]) == ([], [{"CidrIp": "0.0.0.0/0"}])


def test_it_can_be_emptied(account: Tenant) -> None:
    group = default_group_of_a_new_vpc(account)
    ec2 = account.client("ec2")
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    (emptied,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    assert emptied["IpPermissions"] == []


def test_upstream_still_has_no_rule_for_what_comes_in(unpatched_account: Tenant) -> None:
    assert default_group_of_a_new_vpc(unpatched_account)["IpPermissions"] == []
