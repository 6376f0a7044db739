"""The default security group of a new VPC allows traffic from its own members.

AWS: it has two rules, all incoming traffic from the group itself and all outgoing traffic
(https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html).

ministack 1.5.33: with the second one alone.

Why it matters: Terraform adopts a default security group by revoking its rules. Without a rule for incoming traffic it
never calls RevokeSecurityGroupIngress, and the deployer's policies, which are derived from its calls, lack that right.
"""

from typing import Any

from ministack.core.responses import get_account_id  # type: ignore[import-untyped]
from ministack.services import ec2  # type: ignore[import-untyped]


def apply() -> None:
    """Allow traffic from the members of a new VPC's default security group."""
    create_vpc = ec2._ACTION_MAP["CreateVpc"]

    def create_with_both_rules(parameters: Any) -> Any:
        before = set(ec2._vpcs)
        answer = create_vpc(parameters)
        for vpc in set(ec2._vpcs) - before:
            group = ec2._vpcs[vpc]["DefaultSecurityGroupId"]
            own_members = {"GroupId": group, "UserId": get_account_id()}
            ec2._security_groups[group]["IpPermissions"] = [
                {
                    "IpProtocol": "-1",
                    "IpRanges": [],
                    "Ipv6Ranges": [],
                    "PrefixListIds": [],
                    "UserIdGroupPairs": [own_members],
                }
            ]
        return answer

    ec2._ACTION_MAP["CreateVpc"] = create_with_both_rules
