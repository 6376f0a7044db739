"""Terraform's state in a bucket of the secondary region: migrated to, locked, and there while us-east-1 is down.

In the order of docs/deploy.md, whose commands are run as they stand there.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PROJECT, STACK
from embedded_aws.inventory import inventory
from embedded_aws.server import EmbeddedAws, without_tls
from main import STATE
from payment_dr.operations.terraform.runner import Terraform, TerraformFailed
from tests.deploy.conftest import Deployed
from tests.deploy.programs import run_terraform

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

PRIMARY, SECONDARY = "us-east-1", "us-west-2"
BUCKET, KEY = "acme-terraform-state", f"dev/{STACK}.tfstate"
LOCK = f"{KEY}.tflock"
DEADLINE_SECONDS = 60.0
PAGE = (PROJECT / "docs/deploy.md").read_text(encoding="utf-8")


def documented(word: str, *, without: str = "") -> list[str]:
    """The arguments of the one command of Terraform on the page that is this, or has this option, without another."""
    prefix = f"terraform -chdir=cdktf.out/stacks/{STACK} "
    commands = re.findall(f"{re.escape(prefix)}([^`#\\n]*)", PAGE)
    split = {tuple(shlex.split(each)) for each in commands}
    (found,) = {each for each in split if word in (each if word.startswith("-") else each[:1]) and without not in each}
    return list(found)


class Operator:
    """Somebody who works in a folder as a checkout is: cdktf.out in it, and a state beside that."""

    def __init__(self, aws: EmbeddedAws, folder: Path, stack_dir: Path) -> None:
        self.aws = aws
        self.folder = folder
        shutil.copytree(stack_dir, folder / "cdktf.out/stacks" / STACK)
        self.terraform = Terraform(folder / "cdktf.out/stacks" / STACK, aws.environment(), stand_ins=stand_in_providers)
        self.s3 = aws.client("s3", SECONDARY)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PAYMENT_DR_"))}
        env = {**inherited, **self.aws.environment(), **environment}
        return subprocess.run(
            command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def synth(self, **environment: str) -> None:
        out = str(self.folder / "cdktf.out")
        done = self.run(sys.executable, "main.py", CDKTF_OUTDIR=out, **environment)
        assert done.returncode == 0, done.stderr

    def bootstrap(self, *options: str) -> list[dict[str, Any]]:
        done = self.run(str(PROJECT / ".venv/bin/dr"), "bootstrap", "--json", *options, **STATE_SETTING)
        assert done.returncode == 0, done.stderr
        settings: list[dict[str, Any]] = json.loads(done.stdout)
        return settings

    def tf(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_terraform(self.terraform, *arguments, **environment)

    def has(self, key: str) -> bool:
        try:
            self.s3.head_object(Bucket=BUCKET, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True


STATE_SETTING = {STATE: f"s3://{BUCKET}/dev"}


@pytest.fixture(scope="module")
def operator(deployment: Deployed, stack_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A copy of the deployed stack, with its state in a file as by default, and then migrated into the bucket."""
    with deployment.branch() as branch:
        operator = Operator(branch.aws, tmp_path_factory.mktemp("checkout"), stack_dir)
        shutil.copy(branch.terraform.directory / "terraform.tfstate", operator.folder / f"terraform.{STACK}.tfstate")
        with operator.terraform as terraform:
            terraform.init()
            assert terraform.state_resources() == branch.terraform.state_resources()

            operator.bootstrap()
            operator.synth(**STATE_SETTING)
            migrated = operator.tf(*documented("-migrate-state"))
            assert migrated.returncode == 0, migrated.stderr
            yield operator


def test_the_state_is_in_the_bucket_and_nothing_is_to_be_changed(operator: Operator) -> None:
    found = operator.s3.get_object(Bucket=BUCKET, Key=KEY)
    assert "aws_dynamodb_table" in {each["type"] for each in json.load(found["Body"])["resources"]}
    assert found["ServerSideEncryption"] == "AES256"
    planned = operator.tf(*documented("plan", without="-refresh=false"))
    assert "No changes." in planned.stdout, planned.stdout + planned.stderr
    assert not operator.has(LOCK)


def test_while_one_applies_another_cannot_plan_and_a_killed_ones_lock_can_be_removed(operator: Operator) -> None:
    applying = subprocess.Popen(
        [operator.terraform.binary.path, "apply", "-no-color", "-refresh=false"],
        cwd=operator.terraform.directory,
        env={**operator.terraform.environment, "TF_INPUT": "1", "TF_VAR_alert_email": "new@acme.io"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # with its providers, which would outlive it
    )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not operator.has(LOCK):
            assert applying.poll() is None, applying.communicate()[0]
            assert time.monotonic() < deadline, "no lock was taken"
            time.sleep(0.1)
        with pytest.raises(TerraformFailed, match="Error acquiring the state lock"):
            operator.terraform.plan()
    finally:
        os.killpg(applying.pid, signal.SIGKILL)
        applying.communicate()

    refused = operator.tf("plan", "-input=false", "-refresh=false")
    holder = re.search(r"\bID: +(\S+)", refused.stderr)
    assert holder, refused.stderr
    *unlock, _ = documented("force-unlock")
    unlocked = operator.tf(*unlock, "-force", holder[1])
    assert unlocked.returncode == 0, unlocked.stderr
    assert not operator.has(LOCK)


def test_the_state_can_be_read_while_the_primary_region_is_down(operator: Operator) -> None:
    before = operator.terraform.state_resources()
    operator.aws.fail_region(PRIMARY)
    try:
        with pytest.raises(ClientError, match="503"):
            operator.aws.client("dynamodb", PRIMARY).list_tables()
        assert operator.terraform.output()["secondary_region"].value == SECONDARY
        assert operator.terraform.state_resources() == before
        servers = operator.tf(*documented("output")).stdout
        assert servers.count('"ns-') == 4, servers
    finally:
        operator.aws.restore_region(PRIMARY)


def test_another_environment_is_not_planned_against_this_state(operator: Operator) -> None:
    refused = operator.tf("plan", "-input=false", "-refresh=false", TF_VAR_environment="prod")
    assert refused.returncode == 1
    assert "The environment must be dev" in " ".join(refused.stderr.split())


def test_the_documented_rights_are_enough_and_only_over_tls(operator: Operator) -> None:
    iam = operator.aws.client("iam", PRIMARY)
    policy = PAGE.split("```json\n", 1)[1].split("```", 1)[0].replace("prod/", "dev/")
    iam.create_user(UserName="deployer")
    iam.put_user_policy(UserName="deployer", PolicyName="state", PolicyDocument=policy)
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    password = next(each for each in operator.terraform.state_resources() if each.startswith("random_password."))

    for command in ("taint", "untaint"):  # each takes the lock, reads, writes and gives the lock back
        done = operator.tf(command, password, **credentials)
        assert done.returncode == 0, done.stderr
    assert not operator.has(LOCK)

    only_reads = json.loads(policy)
    to_list, to_read, _ = only_reads["Statement"]
    only_reads["Statement"] = [to_list, {**to_read, "Action": "s3:GetObject"}]
    iam.put_user_policy(UserName="deployer", PolicyName="state", PolicyDocument=json.dumps(only_reads))
    assert operator.tf("output", "-json", **credentials).returncode == 0
    refused = operator.tf("taint", "-lock=false", password, **credentials)
    assert (refused.returncode, "s3:PutObject" in refused.stderr or "AccessDenied" in refused.stderr) == (1, True)

    s3 = operator.aws.client("s3", PRIMARY, key)
    assert s3.get_object(Bucket=BUCKET, Key=KEY)
    without_tls(s3)
    with pytest.raises(ClientError, match="explicit deny"):
        s3.get_object(Bucket=BUCKET, Key=KEY)
    operator.s3.delete_bucket_policy(Bucket=BUCKET)
    assert s3.get_object(Bucket=BUCKET, Key=KEY)
    assert [each["what"] for each in operator.bootstrap() if each["changed"]] == ["TLS only"]


def test_cdktf_destroys_by_this_state_and_leaves_an_empty_one(deployment: Deployed, operator: Operator) -> None:
    logs = operator.aws.client("logs", SECONDARY)
    logs.create_log_group(logGroupName="/left/behind")  # not the stack's
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/left/behind")["logGroups"]
    settings = json.loads((PROJECT / "cdktf.json").read_text())
    app = f"{sys.executable} {PROJECT / 'main.py'}"
    (operator.folder / "cdktf.json").write_text(json.dumps({**settings, "app": app}))
    destroyed = subprocess.run(
        [PROJECT / "node_modules/.bin/cdktf", "destroy", STACK, "--auto-approve", "--no-color"],
        cwd=operator.folder,
        env={
            **operator.terraform.environment,
            **STATE_SETTING,
            "PATH": f"{PROJECT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(operator.folder),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert destroyed.returncode == 0, destroyed.stdout[-3000:] + destroyed.stderr[-3000:]
    state = json.load(operator.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"])
    assert state["resources"] == []
    assert inventory(operator.aws, deployment.regions) - deployment.before == {
        f"{PRIMARY} s3 list_buckets {BUCKET}",  # the state's own
        f"{SECONDARY} logs describe_log_groups {group['arn']}",
    }
    assert operator.s3.list_object_versions(Bucket=BUCKET, Prefix=KEY)["Versions"][1:]  # an earlier one can be had back
