"""An account in which an interrupted apply has created something that is in no state."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded_aws import EmbeddedAws, stand_in_providers
from payment_dr.operations.adoption import Finding, adopt
from payment_dr.operations.terraform.runner import Terraform
from tests.embedded_aws.tenant import Tenant

TAGS = {"Environment": "test", "ManagedBy": "terraform"}
SETTINGS = {
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": "~> 5.0"}}},
    "provider": {"aws": {"region": "us-west-2", "default_tags": [{"tags": TAGS}]}},
}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
ROLE = {
    "name": "iam-role-worker",
    "assume_role_policy": json.dumps({"Version": "2012-10-17", "Statement": [TRUST]}),
}
RESOURCES = {
    "aws_vpc": {"net": {"cidr_block": "10.9.0.0/16", "tags": {"Name": "vpc-net"}}},
    "aws_subnet": {
        "net": {"vpc_id": "${aws_vpc.net.id}", "cidr_block": "10.9.1.0/24", "tags": {"Name": "subnet-net"}},
    },
    "aws_cloudwatch_log_group": {"logs": {"name": "/logs/${aws_vpc.net.cidr_block}"}},
    "aws_iam_role": {"role": ROLE},
}


class Interrupted:
    """A working directory without state, and an account in which things exist already."""

    def __init__(self, aws: EmbeddedAws, directory: Path, resources: Mapping[str, Any]) -> None:
        self.account = Tenant(aws)
        self.environment = {**aws.environment(), "AWS_ACCESS_KEY_ID": self.account.account_id}
        directory.mkdir()
        (directory / "cdk.tf.json").write_text(json.dumps({**SETTINGS, "resource": resources}))
        self.terraform = Terraform(directory, self.environment, stand_ins=stand_in_providers)
        self.terraform.init()

    def vpc(self, cidr: str = "10.9.0.0/16", **tags: str) -> str:
        tags = {"Name": "vpc-net", **TAGS, **tags}
        spec = [{"ResourceType": "vpc", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        vpc_id: str = self.client("ec2").create_vpc(CidrBlock=cidr, TagSpecifications=spec)["Vpc"]["VpcId"]
        return vpc_id

    def client(self, service: str) -> Any:
        return self.account.client(service, "us-west-2")

    def adopt(self, **options: Any) -> dict[str, Finding]:
        found = adopt(self.terraform, clients=self.account.client, **options)
        return {finding.address: finding for finding in found}
