"""A security group's rule for all protocols has no ports.

AWS: a rule of protocol -1 is for all ports, whatever ports a call names
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html). So it is revoked by its protocol and
ranges.

ministack 1.5.33: compares the ports too.

Why it matters: each new group has a rule that allows all outgoing traffic. The AWS provider revokes it with the ports 0
to 0. Here the rule stayed, and with it traffic that nobody had declared.
"""

from typing import Any

from ministack.services import ec2  # type: ignore[import-untyped]


def apply() -> None:
    """Ignore the ports of a rule for all protocols."""
    parse = ec2._parse_ip_permissions

    def parse_without_ports(parameters: Any, prefix: str) -> Any:
        rules = parse(parameters, prefix)
        for rule in rules:
            if rule["IpProtocol"] == "-1":
                rule.pop("FromPort", None)
                rule.pop("ToPort", None)
        return rules

    ec2._parse_ip_permissions = parse_without_ports
