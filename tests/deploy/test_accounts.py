"""A state is of one AWS account: with the credentials of another one Terraform refuses, and the state stays as it is.

Two embedded AWSs stand for two accounts. With the other one's credentials nothing of what the state holds can be found.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded_aws import stand_in_providers
from embedded_aws.deployment import LOCK_FILE, PROJECT, STACK, Deployment, synthesized
from embedded_aws.server import EmbeddedAws
from main import ACCOUNT
from payment_dr.operations.terraform.runner import TerraformFailed
from payment_dr.side import SIDES
from tests.deploy.programs import run, run_terraform
from tests.embedded_aws.tenant import eventually
from tests.embedded_aws.test_main import printed, start

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

HERE, ELSEWHERE = "000000000000", "111111111111"
NOTED = "terraform_data.account"
CONDITION = "Error: Resource postcondition failed"
PROVIDER = f"Error: AWS account ID not allowed: {ELSEWHERE}"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[EmbeddedAws]:
    """Another account, in which nothing is deployed."""
    with EmbeddedAws(account_id=ELSEWHERE) as aws:
        yield aws


def tf(deployment: Deployment, *arguments: str, account: EmbeddedAws) -> subprocess.CompletedProcess[str]:
    """Run Terraform where something is deployed, with the credentials of an account."""
    return run_terraform(deployment.terraform, *arguments, **account.environment())


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def of_account(state: str, credentials: str) -> str:
    return f"This state is of AWS account {state}, but the credentials are of {credentials}."


@pytest.mark.parametrize(
    ("command", "refused_by"),
    [
        (["plan"], CONDITION),
        (["plan", "-refresh=false"], CONDITION),
        (["apply", "-auto-approve"], CONDITION),
        # Here Terraform takes the condition for a warning.
        (["apply", "-refresh-only", "-auto-approve"], PROVIDER),
        (["destroy", "-auto-approve"], PROVIDER),
        (["destroy", "-auto-approve", *(f"-target=aws_route53_record.dns_{side}_record" for side in SIDES)], PROVIDER),
    ],
    ids=["plan", "plan without refresh", "apply", "refresh", "destroy", "destroy of the records"],
)
def test_another_accounts_credentials_are_refused(
    branched: Deployment, elsewhere: EmbeddedAws, command: list[str], refused_by: str
) -> None:
    before = {path: path.read_bytes() for path in branched.terraform.directory.glob("*.tfstate*")}
    assert before
    refused = tf(branched, *command, account=elsewhere)
    said = words(refused.stdout + refused.stderr)
    assert refused.returncode == 1, said
    assert of_account(HERE, ELSEWHERE) in said
    assert refused_by in said
    assert {path: path.read_bytes() for path in branched.terraform.directory.glob("*.tfstate*")} == before


def test_the_reverse_is_refused_too(branched: Deployment, elsewhere: EmbeddedAws) -> None:
    for state in branched.terraform.directory.glob("*.tfstate*"):
        state.unlink()
    begun = tf(branched, "apply", "-auto-approve", f"-target={NOTED}", account=elsewhere)
    assert begun.returncode == 0, begun.stderr
    refused = tf(branched, "plan", account=branched.aws)
    assert refused.returncode == 1
    assert of_account(ELSEWHERE, HERE) in words(refused.stderr)


def test_an_account_that_is_set_is_insisted_on_before_anything_is_deployed() -> None:
    with (
        synthesized(settings={ACCOUNT: ELSEWHERE}) as out,
        Deployment(stack_dir=out / "stacks" / STACK) as deployment,
        pytest.raises(TerraformFailed, match=f"AWS account ID not allowed: {HERE}"),
    ):
        deployment.plan()


@contextmanager
def started(tmp: Path) -> Iterator[dict[str, str]]:
    """An environment that has what `python -m embedded_aws start` prints, as long as that runs."""
    tmp.mkdir()
    steering = {"TF_WORKSPACE": "prod", "TF_CLI_ARGS_plan": "-state=prod.tfstate", "AWS_PROFILE": "prod"}
    with start(TMPDIR=str(tmp)) as running:
        try:
            shows = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
            script = printed(running) + shows
            shown = subprocess.run(
                ["bash", "-ec", script], env={**os.environ, **steering}, stdout=subprocess.PIPE, check=True
            ).stdout
            env: dict[str, str] = json.loads(shown)
            assert not env.keys() & steering
            yield env
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=120)


def test_what_start_prints_keeps_a_rehearsal_apart(tmp_path: Path, elsewhere: EmbeddedAws) -> None:
    """In a folder as a checkout is from which something is deployed on AWS."""
    checkout = tmp_path / "checkout"
    deployed_from = checkout / "cdktf.out/stacks" / STACK
    deployed_from.mkdir(parents=True)
    app = {"app": f"{sys.executable} {PROJECT / 'main.py'}"}
    (checkout / "cdktf.json").write_text(json.dumps({**json.loads((PROJECT / "cdktf.json").read_text()), **app}))
    (checkout / f"terraform.{STACK}.tfstate").write_text('{"version": 4, "serial": 7, "lineage": "deployed"}')
    (deployed_from / LOCK_FILE).write_text("its providers")
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}

    with started(tmp_path / "tmp") as env:
        env["PATH"] = f"{PROJECT / '.venv/bin'}{os.pathsep}{env['PATH']}"
        terraform = env.get("TERRAFORM_BINARY_NAME", "terraform")
        # Without an init before, and without the registry.
        planned = run(PROJECT / "node_modules/.bin/cdktf", "diff", STACK, "--no-color", cwd=checkout, env=env)
        assert planned.returncode == 0, planned.stdout[-3000:] + planned.stderr[-3000:]
        rehearsed = Path(env["CDKTF_OUTDIR"], "stacks", STACK)
        assert (rehearsed / "plan").exists()
        state = rehearsed / f"../../../terraform.{STACK}.tfstate"
        assert not state.exists()
        applied = run(terraform, "apply", "-auto-approve", f"-target={NOTED}", cwd=rehearsed, env=env)
        assert applied.returncode == 0, applied.stderr
        (noted,) = [each for each in json.loads(state.read_text())["resources"] if each["type"] == "terraform_data"]
        assert noted["instances"][0]["attributes"]["input"]["value"] == HERE

        asked = "from payment_dr.operations.deployed import STACK_DIRECTORY; print(STACK_DIRECTORY)"
        assert run(sys.executable, "-c", asked, cwd=checkout, env=env).stdout.strip() == str(rehearsed)  # for `dr`

        # Nor does the rehearsal get onto AWS.
        refused = run(terraform, "plan", "-no-color", cwd=rehearsed, env={**env, **elsewhere.environment()})
        assert f"Error: AWS account ID not allowed: {ELSEWHERE}" in words(refused.stderr)

        assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before
        # Without a lock file of its own a folder would get the stand-ins' versions in it, where there are stand-ins.
        (deployed_from / LOCK_FILE).unlink()
        shutil.copy(rehearsed / "cdk.tf.json", deployed_from)
        begun = run(terraform, "init", "-no-color", cwd=deployed_from, env=env)
        assert "Initializing provider plugins" in begun.stdout, begun.stderr
        locked = "".join(lock.read_text() for lock in deployed_from.glob(LOCK_FILE))
        assert [version for version in stand_in_providers.VERSIONS.values() if f'"{version}"' in locked] == []
    assert eventually(lambda: not rehearsed.exists())
