"""A VPC endpoint keeps its policy, security groups and private DNS.

AWS: CreateVpcEndpoint accepts all three, and DescribeVpcEndpoints returns them
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpcEndpoint.html). An endpoint without a policy has one that
allows everything (https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html).

ministack 1.5.33: forgets them.

Why it matters: Terraform would set the policy again in every plan, and nothing would show that an endpoint allows every
call to its service.
"""

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2  # type: ignore[import-untyped]

_EVERYTHING = json.dumps(
    {"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
)


def apply() -> None:
    """Keep the properties of an endpoint, and return them."""
    create, modify = ec2._ACTION_MAP["CreateVpcEndpoint"], ec2._ACTION_MAP["ModifyVpcEndpoint"]
    fields = ec2._vpce_fields_xml

    def create_whole(parameters: Any) -> Any:
        before = set(ec2._vpc_endpoints)
        answer = create(parameters)
        for id_ in set(ec2._vpc_endpoints) - before:
            ec2._vpc_endpoints[id_] |= {
                "PolicyDocument": ec2._p(parameters, "PolicyDocument") or _EVERYTHING,
                "Groups": ec2._parse_member_list(parameters, "SecurityGroupId"),
                "PrivateDnsEnabled": ec2._p(parameters, "PrivateDnsEnabled") == "true",
            }
        return answer

    def modify_whole(parameters: Any) -> Any:
        answer = modify(parameters)
        if endpoint := ec2._vpc_endpoints.get(ec2._p(parameters, "VpcEndpointId")):
            if ec2._p(parameters, "ResetPolicy") == "true":
                endpoint["PolicyDocument"] = _EVERYTHING
            removed = ec2._parse_member_list(parameters, "RemoveSecurityGroupId")
            groups = [*endpoint.get("Groups", []), *ec2._parse_member_list(parameters, "AddSecurityGroupId")]
            endpoint["Groups"] = [group for group in dict.fromkeys(groups) if group not in removed]
            if private := ec2._p(parameters, "PrivateDnsEnabled"):
                endpoint["PrivateDnsEnabled"] = private == "true"
        return answer

    def whole_fields(endpoint: Any, tag: str = "item") -> str:
        groups = "".join(f"<item><groupId>{group}</groupId></item>" for group in endpoint.get("Groups", []))
        more = (
            f"<policyDocument>{escape(endpoint.get('PolicyDocument', _EVERYTHING))}</policyDocument>"
            f"<groupSet>{groups}</groupSet>"
            f"<privateDnsEnabled>{str(endpoint.get('PrivateDnsEnabled', False)).lower()}</privateDnsEnabled>"
        )
        described: str = fields(endpoint, tag)
        return described.replace("<state>", f"{more}<state>", 1)

    ec2._ACTION_MAP["CreateVpcEndpoint"] = create_whole
    ec2._ACTION_MAP["ModifyVpcEndpoint"] = modify_whole
    ec2._vpce_fields_xml = whole_fields
