"""The stand-ins under the real Terraform."""

import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import stand_in_providers
from payment_dr.operations.errors import OperationError
from payment_dr.operations.terraform.provider_sources import Machine
from payment_dr.operations.terraform.runner import Terraform, TerraformFailed
from tests.embedded_aws.processes import runs
from tests.embedded_aws.tenant import eventually
from tests.operations.terraform.isolated_machine import isolated_machine

PROVIDERS = {
    "archive": {"source": "hashicorp/archive", "version": "~> 2.4"},
    "random": {"source": "hashicorp/random", "version": "~> 3.6"},
}
PASSWORD = {"length": 24, "special": False, "min_upper": 2, "keepers": {"of": "${var.generation}"}}
CONFIGURATION = {
    "terraform": {"required_providers": PROVIDERS},
    "variable": {"generation": {"type": "string"}},
    "data": {
        "archive_file": {
            "code": {"type": "zip", "source_dir": "code", "output_path": "out/code.zip", "output_file_mode": "0644"}
        }
    },
    "resource": {"random_password": {"secret": PASSWORD}},
    "output": {
        "digest": {"value": "${data.archive_file.code.output_base64sha256}"},
        "secret": {"value": "${random_password.secret.result}", "sensitive": True},
        "hash": {"value": "${random_password.secret.bcrypt_hash}", "sensitive": True},
    },
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return isolated_machine(tmp_path / "machine")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "code").mkdir(parents=True)
    (work / "code" / "handler.py").write_text("def handler(event, context): ...\n")
    (work / "cdk.tf.json").write_text(json.dumps(CONFIGURATION))
    return work


def terraform_in(directory: Path, machine: Machine, **variables: Any) -> Terraform:
    return Terraform(
        directory, {}, variables={"generation": "1", **variables}, machine=machine, stand_ins=stand_in_providers
    )


@pytest.fixture
def terraform(directory: Path, machine: Machine) -> Iterator[Terraform]:
    with terraform_in(directory, machine) as each:
        each.init()
        yield each


def test_a_configuration_is_applied_kept_and_destroyed(terraform: Terraform, directory: Path) -> None:
    terraform.apply()
    outputs = terraform.output()
    secret = outputs["secret"].value
    assert outputs["secret"].sensitive
    assert len(secret) == 24
    assert secret.isalnum()
    assert "hash" not in outputs, "an output that is null is no output"
    with zipfile.ZipFile(directory / "out" / "code.zip") as archive:
        assert archive.namelist() == ["handler.py"]
    first = (directory / "out" / "code.zip").read_bytes()

    again = terraform.plan()
    assert (again.changed, again.actions) == (False, {})
    assert (directory / "out" / "code.zip").read_bytes() == first

    assert terraform.state_resources() == ["data.archive_file.code", "random_password.secret"]
    terraform.destroy()
    assert terraform.state_resources() == []


def test_a_changed_keeper_replaces_the_password_and_a_changed_file_the_digest(
    terraform: Terraform, directory: Path, machine: Machine
) -> None:
    terraform.apply()
    before = terraform.output()
    (directory / "code" / "handler.py").write_text("def handler(event, context): return 1\n")
    with terraform_in(directory, machine, generation="2") as later:
        later.init()
        plan = later.plan()
        assert plan.actions == {"random_password.secret": "replace"}
        later.apply(plan)
        after = later.output()
    assert after["secret"].value != before["secret"].value
    assert after["digest"].value != before["digest"].value


def test_the_plan_hides_the_password_and_shows_what_is_known(terraform: Terraform) -> None:
    (change,) = terraform.plan().json["resource_changes"]
    planned = change["change"]
    assert planned["after_unknown"]["result"] is True
    assert planned["after_sensitive"]["result"] is True
    assert planned["after"]["upper"] is True
    assert planned["after"]["min_lower"] == 0


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "complaint"),
    [
        ("resource", "random_password", {"length": 3, "min_upper": 4}, "min_special = 4"),
        ("data", "archive_file", {"type": "tar.gz", "source_dir": "code", "output_path": "a"}, "writes zip only"),
    ],
)
def test_what_a_stand_in_refuses_fails_validation(
    directory: Path, machine: Machine, kind: str, name: str, arguments: dict[str, Any], complaint: str
) -> None:
    broken = {"terraform": CONFIGURATION["terraform"], kind: {name: {"it": arguments}}}
    (directory / "cdk.tf.json").write_text(json.dumps(broken))
    with Terraform(directory, {}, machine=machine, stand_ins=stand_in_providers) as terraform:
        terraform.init()
        with pytest.raises(TerraformFailed, match=complaint):
            terraform.validate()


def test_a_stand_in_writes_nothing_to_the_users_home(terraform: Terraform, machine: Machine) -> None:
    terraform.apply()
    assert list(machine.home.rglob("*")) == []


def test_a_stand_in_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in_providers, "find_spec", lambda *_: None)
    with pytest.raises(OperationError, match="needs the Python package tf") as caught:
        stand_in_providers.install("registry.terraform.io/hashicorp/random", tmp_path, "linux_amd64")
    assert "make --always-make setup" in caught.value.hint


def children_of(parent: int) -> list[int]:
    seen = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = (map(int, line.split()) for line in seen.splitlines())
    return [pid for pid, of in pairs if of == parent]


def test_a_stand_in_ends_when_terraform_is_killed(terraform: Terraform, directory: Path) -> None:
    started = directory / "started"
    waits = [{"local-exec": {"command": "echo $$ > writing; mv writing started; exec sleep 600"}}]
    secret = {"random_password": {"secret": {**PASSWORD, "provisioner": waits}}}
    (directory / "cdk.tf.json").write_text(json.dumps({**CONFIGURATION, "resource": secret}))
    sockets = Path(terraform.environment["TMPDIR"])

    with subprocess.Popen(
        [terraform.binary.path, "apply", "-auto-approve", "-no-color"],
        cwd=directory,
        env=terraform.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            assert eventually(started.exists, 60)
            provisioner = int(started.read_text())
            stand_ins = [pid for pid in children_of(running.pid) if pid != provisioner]
            assert stand_ins
            assert list(sockets.iterdir())
        finally:
            running.send_signal(signal.SIGKILL)
    os.kill(provisioner, signal.SIGKILL)

    assert eventually(lambda: not any(map(runs, stand_ins)))
    assert list(sockets.iterdir()) == []
