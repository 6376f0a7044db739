"""What an interrupted apply created is imported; what only looks like it is left alone and named."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_aws import EmbeddedAws
from payment_dr.operations.adoption import ADOPTED, NOT_ADOPTED, TO_ADOPT
from tests.operations.interrupted import RESOURCES, ROLE, TAGS, Interrupted

pytestmark = pytest.mark.slow


@pytest.fixture
def made(aws: EmbeddedAws, tmp_path: Path) -> Iterator[Interrupted]:
    made = Interrupted(aws, tmp_path / "stack", RESOURCES)
    yield made
    made.terraform.__exit__(None, None, None)


def test_existing_resources_are_imported_with_their_parts_and_the_next_plan_knows_them(made: Interrupted) -> None:
    vpc = made.vpc()
    spec = [
        {"ResourceType": "subnet", "Tags": [{"Key": k, "Value": v} for k, v in {"Name": "subnet-net", **TAGS}.items()]}
    ]
    subnet = made.client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", TagSpecifications=spec)["Subnet"]
    made.client("logs").create_log_group(logGroupName="/logs/10.9.0.0/16", tags=TAGS)
    exists = {
        "aws_cloudwatch_log_group.logs": ("/logs/10.9.0.0/16",),
        "aws_subnet.net": (subnet["SubnetId"],),
        "aws_vpc.net": (vpc,),
    }

    planned = made.adopt(dry_run=True)
    assert {address: finding.ids for address, finding in planned.items()} == exists
    assert {finding.outcome for finding in planned.values()} == {TO_ADOPT}
    assert made.terraform.state_resources() == []

    assert {finding.outcome for finding in made.adopt().values()} == {ADOPTED}
    assert made.terraform.state_resources() == sorted(exists)
    assert made.terraform.plan().actions == {"aws_iam_role.role": "create"}
    assert sorted(path.name for path in made.terraform.directory.glob("*.tf*")) == ["cdk.tf.json", "terraform.tfstate"]
    assert made.adopt() == {}


def test_a_resource_that_only_resembles_ours_is_named_and_left_alone(aws: EmbeddedAws, tmp_path: Path) -> None:
    others = {
        "aws_secretsmanager_secret": {"it": {"name": "a"}},
        "aws_route_table": {"x": {"vpc_id": "${aws_vpc.net.id}"}},
    }
    made = Interrupted(aws, tmp_path / "stack", {**RESOURCES, **others})
    with made.terraform:
        twins = {made.vpc(), made.vpc()}
        made.client("logs").create_log_group(logGroupName="/logs/10.9.0.0/16", tags={**TAGS, "Environment": "prod"})
        made.client("iam").create_role(
            RoleName=ROLE["name"],
            AssumeRolePolicyDocument=ROLE["assume_role_policy"],
            Path="/other/",
            Tags=[{"Key": key, "Value": value} for key, value in TAGS.items()],
        )
        found = made.adopt()
        assert {finding.outcome for finding in found.values()} == {NOT_ADOPTED}
        assert set(found["aws_vpc.net"].ids) == twins
        assert "2 of that name exist" in found["aws_vpc.net"].reason
        assert "its tags are not this stack's" in found["aws_cloudwatch_log_group.logs"].reason
        assert "would replace it" in found["aws_iam_role.role"].reason
        assert "dr adopt cannot look for a aws_secretsmanager_secret" in found["aws_secretsmanager_secret.it"].reason
        assert made.terraform.state_resources() == []


def test_a_resource_whose_import_would_create_another_is_left_alone(made: Interrupted) -> None:
    made.client("logs").create_log_group(logGroupName="/logs/10.9.0.0/16", tags=TAGS)
    found = made.adopt()
    assert {address: finding.outcome for address, finding in found.items()} == {
        "aws_cloudwatch_log_group.logs": NOT_ADOPTED
    }
    assert "without changing aws_vpc.net: fix those first" in found["aws_cloudwatch_log_group.logs"].reason
    assert made.terraform.state_resources() == []
    assert made.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["vpc-net"]}])["Vpcs"] == []


def command(made: Interrupted, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).with_name("dr")), "adopt", *arguments]
    return subprocess.run(
        program,
        capture_output=True,
        text=True,
        env={**os.environ, **made.environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_command_lists_and_adopts_and_its_exit_code_shows_the_result(made: Interrupted, tmp_path: Path) -> None:
    directory = str(made.terraform.directory)
    vpc = made.vpc()
    listed = command(made, directory, "--dry-run")
    assert (listed.returncode, listed.stdout) == (0, f"to adopt: aws_vpc.net {vpc}\n"), listed.stderr

    made.client("logs").create_log_group(logGroupName="/logs/10.9.0.0/16")
    some = command(made, directory, "--json")
    assert some.returncode == 1, some.stderr
    outcomes = {finding["address"]: finding["outcome"] for finding in json.loads(some.stdout)}
    assert outcomes == {"aws_vpc.net": ADOPTED, "aws_cloudwatch_log_group.logs": NOT_ADOPTED}

    nowhere = command(made, str(tmp_path))
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert nowhere.stderr.splitlines() == [
        f"error: {tmp_path} is not initialized",
        f"hint: run 'terraform -chdir={tmp_path} init' first",
    ]
