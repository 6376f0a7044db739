"""`cdktf synth` and `cdktf deploy`, as the pinned cdktf-cli runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded_aws.deployment import PROJECT, PROVIDERS, STACK, Deployment
from embedded_aws.server import EmbeddedAws
from main import ACCOUNT
from tests.deploy.programs import run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]


def test_cdktf_synthesizes_and_deploys_on_the_embedded_aws(stack_dir: Path, tmp_path: Path) -> None:
    settings = json.loads((PROJECT / "cdktf.json").read_text())
    assert settings["app"] == ".venv/bin/python main.py"
    # Run in a folder of its own, where the state and cdktf.out end as well.
    (tmp_path / "cdktf.json").write_text(json.dumps({**settings, "app": f"{sys.executable} {PROJECT / 'main.py'}"}))
    with Deployment(stack_dir=stack_dir) as deployment:
        node = PROJECT / ".venv/bin"
        environment = {
            **deployment.terraform.environment,
            "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(tmp_path),
        }

        def cdktf(*arguments: str, code: int = 0, **more: str) -> str:
            done = run(PROJECT / "node_modules/.bin/cdktf", *arguments, cwd=tmp_path, env={**environment, **more})
            assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
            return done.stdout

        # The variables lie there too, and every Terraform that works on the stack reads them.
        (tmp_path / "dev.tfvars").write_text('environment = "cdktf"\n', encoding="utf-8")
        cdktf("synth")
        written = tmp_path / "cdktf.out/stacks" / STACK
        assert (written / "cdk.tf.json").read_bytes() == (stack_dir / "cdk.tf.json").read_bytes()
        required = json.loads((written / "cdk.tf.json").read_text())["terraform"]["required_providers"]
        assert {name: provider["version"] for name, provider in required.items()} == PROVIDERS
        # Without a lock file cdktf asks the registry for checksums; Terraform makes one from where it finds providers.
        subprocess.run(
            [str(deployment.terraform.binary.path), "init", "-input=false"],
            cwd=written,
            env=environment,
            check=True,
            capture_output=True,
        )
        deploy = ("deploy", STACK, "--auto-approve", "--no-color")
        cdktf(*deploy)
        functions = deployment.aws.client("lambda", "us-west-2").list_functions()["Functions"]
        assert {function["FunctionName"] for function in functions} == {
            "lambda-health-monitor-west-cdktf",
            "lambda-config-sync-west-cdktf",
        }
        # The state lies where main.py's backend says, relative to the stack: beside cdktf.json.
        state = (tmp_path / f"terraform.{STACK}.tfstate").read_bytes()
        # Of what it holds, nothing is in another account: applied there, it would be forgotten.
        with EmbeddedAws(account_id="111111111111") as another:
            cdktf(*deploy, code=1, **another.environment())  # which may lose the end of a long plan, and the reason
            refused = cdktf(*deploy, code=1, **another.environment(), **{ACCOUNT: "000000000000"})
            assert "AWS account ID not allowed: 111111111111" in refused
        assert (tmp_path / f"terraform.{STACK}.tfstate").read_bytes() == state
