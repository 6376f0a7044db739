"""`python -m embedded_aws deploy` and `plan` as a user meets them: exit codes, streams, and nothing left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded_aws.deployment import PROJECT, STACK, synthesized
from embedded_aws.errors import EmbeddedAwsError
from main import ACCOUNT, FAILBACK, OPTIONS, STATE, TABLE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("command line")]
DEADLINE_SECONDS = 600  # of a machine that has other things to do
IN_EUROPE = {
    "environment": "dev",
    "primary_region": "eu-central-1",
    "secondary_region": "eu-west-1",
    "primary_vpc_cidr": "10.20.0.0/16",
    "secondary_vpc_cidr": "10.21.0.0/16",
    "primary_health_monitor_function_name": "lambda-health-monitor-central-dev",
    "secondary_health_monitor_function_name": "lambda-health-monitor-west-dev",
    "primary_config_sync_function_name": "lambda-config-sync-central-dev",
    "secondary_config_sync_function_name": "lambda-config-sync-west-dev",
}


class Run:
    """One run of the command line, with a temporary folder of its own."""

    def __init__(self, folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.errors = folder / "stderr"
        with self.errors.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded_aws", *arguments],
                cwd=PROJECT,
                env={**os.environ, "PATH": path, "TMPDIR": str(self.temporary), "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )

    def wait(self) -> tuple[int, str, str]:
        out, _ = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, out, self.errors.read_text()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.errors.read_text():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, self.errors.read_text()
            time.sleep(0.1)

    def leftovers(self) -> list[str]:
        """Files in its temporary folder, and processes that have that folder in their environment."""
        marker = f"TMPDIR={self.temporary}".encode()
        left = [str(path) for path in self.temporary.iterdir()]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (process / "environ").read_bytes() and (process / "cmdline").read_bytes():
                    left.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it ended meanwhile
                continue
        return left


@contextmanager
def running(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> Iterator[Run]:
    run = Run(folder, *arguments, path=path)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


def test_deploy_in_another_pair_of_regions_reports_every_check_as_json_and_leaves_nothing(tmp_path: Path) -> None:
    """The stack is that of `examples/whole_stack`, which is as the default one, but for where it is."""
    app = tmp_path / "main.py"  # neither in the repository nor beside it
    shutil.copy(PROJECT / "examples/whole_stack/main.py", app)
    with synthesized(app) as folder:
        stack_dir = folder / "stacks/whole-stack"
        stack = json.loads((stack_dir / "cdk.tf.json").read_text(encoding="utf-8"))
        with running(tmp_path, "deploy", "--json", "--stack-dir", str(stack_dir)) as run:
            code, out, errors = run.wait()
            assert run.leftovers() == []
    assert code == 0, out + errors
    report = json.loads(out)
    assert report["passed"] is True
    checks = {check["name"]: check for check in report["checks"]}
    assert all(check["passed"] for check in checks.values())
    assert {
        *(f"output {name}" for name in stack["output"]),
        "second plan is empty",
        "health of eu-central-1",
        "health of eu-west-1",
        "config sync eu-central-1 to eu-west-1",
        "config sync eu-west-1 to eu-central-1",
        "transaction replicates",
        "document replicates",
        "destroy leaves nothing",
    } <= set(checks)
    assert {"terraform plan", "terraform apply", "terraform destroy"} <= set(report["steps"])
    assert "terraform apply ..." in errors
    assert "Traceback" not in errors

    assert {name: checks[f"output {name}"]["found"] for name in IN_EUROPE} == IN_EUROPE
    assert [provider["region"] for provider in stack["provider"]["aws"]] == ["eu-central-1", "eu-west-1"]
    functions = [each["function_name"] for each in stack["resource"]["aws_lambda_function"].values()]
    assert sorted(each.replace("${var.environment}", "dev") for each in functions) == sorted(
        found for name, found in IN_EUROPE.items() if name.endswith("function_name")
    )
    # Route 53 publishes the metrics of health checks in us-east-1 alone, where this stack has nothing.
    assert "health-check" not in json.dumps(stack["resource"]["aws_cloudwatch_metric_alarm"])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_deployment_leaves_nothing(
    stack_dir: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    with running(tmp_path, "deploy", "--stack-dir", str(stack_dir)) as run:
        run.until("terraform apply ...")
        run.process.send_signal(sent)
        assert run.wait()[0] == code
        assert run.leftovers() == []


def test_plan_shows_the_plan_on_stdout(stack_dir: Path, tmp_path: Path) -> None:
    with running(tmp_path, "plan", "--stack-dir", str(stack_dir)) as run:
        code, out, errors = run.wait()
        assert code == 0, errors
        assert "# aws_dynamodb_table.data_table will be created" in out
        assert "0 to change, 0 to destroy" in out
        assert run.leftovers() == []


def test_a_taken_port_is_one_line_and_a_hint(stack_dir: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with running(tmp_path, "deploy", "--port", port, "--stack-dir", str(stack_dir)) as run:
            code, out, errors = run.wait()
            assert (code, out) == (2, "")
            error, hint = errors.strip().splitlines()[-2:]
            assert error.startswith(f"error: port {port}")
            assert hint.startswith("hint: ")
            assert run.leftovers() == []


def test_terraform_missing_is_one_line_and_a_hint(stack_dir: Path, tmp_path: Path) -> None:
    with running(tmp_path, "deploy", "--stack-dir", str(stack_dir), path=str(tmp_path)) as run:
        code, out, errors = run.wait()
        assert (code, out) == (2, "")
        error, hint = errors.strip().splitlines()[-2:]
        assert error.startswith("error: ")
        assert "erraform" in error
        assert hint.startswith("hint: ")
        assert run.leftovers() == []


def test_settings_that_cannot_work_are_refused_before_anything_starts(tmp_path: Path) -> None:
    """main.py prints every mistake and the next move, without a stack trace."""
    app = tmp_path / "main.py"
    app.write_text((PROJECT / "main.py").read_text().replace(" NAME,", ' NAME, ttl_seconds=300, config_keys=["a b"],'))
    run = subprocess.run(
        [sys.executable, str(app)], cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert run.returncode == 1
    lines = run.stderr.strip().splitlines()
    assert lines[0] == "error: DisasterRecoveryStack: 2 mistakes in the configuration"
    assert "config_keys has the key 'a b'" in lines[1]
    assert "ttl_seconds=300 is 390 s, beyond rto_target_seconds=180" in lines[2]
    assert lines[3] == "hint: change these settings in main.py"
    assert list(tmp_path.rglob("cdk.tf.json")) == []

    # The commands that synthesize pass all of it on.
    app.write_text(f"import sys; sys.exit({run.stderr.strip()!r})")
    with pytest.raises(EmbeddedAwsError) as refused, synthesized(app):
        pass
    assert f"error: {refused.value.message}\nhint: {refused.value.hint}" == run.stderr.strip()


@pytest.mark.parametrize("setting", OPTIONS.values())
def test_a_setting_that_is_neither_on_nor_off_is_refused(setting: str) -> None:
    with pytest.raises(EmbeddedAwsError) as refused, synthesized(settings={setting: "yes"}):
        pass
    assert refused.value.message == f"{setting}='yes' is neither 0 nor 1"
    assert refused.value.hint == "set it to 1 or 0, or unset it"


def test_an_account_that_is_none_is_refused_and_a_users_own_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbeddedAwsError) as refused, synthesized(settings={ACCOUNT: "prod"}):
        pass
    assert "account='prod' is not an AWS account id" in refused.value.message
    assert refused.value.hint == "change these settings in main.py or PAYMENT_DR_ACCOUNT"

    monkeypatch.setenv(ACCOUNT, "123456789012")
    with synthesized() as folder:
        assert "123456789012" not in (folder / "stacks" / STACK / "cdk.tf.json").read_text()


def test_an_operators_failback_is_set_beside_the_switch() -> None:
    with pytest.raises(EmbeddedAwsError) as refused, synthesized(settings={FAILBACK: "operator"}):
        pass
    assert "failback='operator' needs the switch, which is off" in refused.value.message
    assert refused.value.hint == "change these settings in main.py or PAYMENT_DR_FAILBACK"
    with synthesized(settings={FAILBACK: "operator", OPTIONS["switch"]: "1"}) as folder:
        stack = json.loads((folder / "stacks" / STACK / "cdk.tf.json").read_text())
    assert "switch_takeover_function_name" in stack["output"]


def test_the_table_gets_the_name_that_is_set() -> None:
    with synthesized(settings={TABLE: "payments-prod"}) as folder:
        stack = json.loads((folder / "stacks" / STACK / "cdk.tf.json").read_text())
    assert stack["resource"]["aws_dynamodb_table"]["data_table"]["name"] == "payments-prod"


def test_the_variables_of_an_environment_go_where_terraform_reads_them(tmp_path: Path) -> None:
    for environment in ("dev", "prod"):
        (tmp_path / f"{environment}.tfvars").write_text(f'domain_name = "{environment}.acme.io"\n', encoding="utf-8")
    out = tmp_path / "cdktf.out"
    taken = out / "stacks" / STACK / "deployment.auto.tfvars"

    def synthesized_with(state: str) -> str | None:
        environment = {**os.environ, "CDKTF_OUTDIR": str(out), STATE: state, ACCOUNT: ""}
        subprocess.run([sys.executable, "main.py"], cwd=PROJECT, env=environment, check=True, capture_output=True)
        return taken.read_text(encoding="utf-8") if taken.exists() else None

    assert synthesized_with("") == 'domain_name = "dev.acme.io"\n'
    assert synthesized_with("s3://acme-state/prod") == 'domain_name = "prod.acme.io"\n'
    assert synthesized_with("s3://acme-state/stage") is None  # and none of prod stays behind
