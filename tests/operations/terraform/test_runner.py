import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from embedded_aws import stand_in_providers
from payment_dr.operations.errors import OperationError
from payment_dr.operations.terraform import runner as terraform_module
from payment_dr.operations.terraform.provider_sources import Machine
from payment_dr.operations.terraform.runner import (
    Changes,
    ResourceEvent,
    Terraform,
    TerraformFailed,
    find_terraform,
    workspace,
)
from tests.embedded_aws.processes import killed_at_the_end
from tests.embedded_aws.tenant import eventually
from tests.operations.terraform.isolated_machine import isolated_machine

RANDOM = {"terraform": {"required_providers": {"random": {"source": "hashicorp/random", "version": "~> 3.6"}}}}
ONE_VALUE = {
    "variable": {"name": {"type": "string"}, "zones": {"type": "list(string)", "default": []}},
    "resource": {"terraform_data": {"table": {"input": "${var.name}"}}},
    "output": {
        "name": {"value": "${terraform_data.table.output}"},
        "zones": {"value": "${var.zones}", "sensitive": True},
    },
}


def write(directory: Path, configuration: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cdk.tf.json").write_text(json.dumps(configuration))
    return directory


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def snapshot(root: Path) -> dict[Path, tuple[float, bytes | None]]:
    return {each: (each.stat().st_mtime, each.read_bytes() if each.is_file() else None) for each in root.rglob("*")}


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files, to see what is left in it."""
    with TemporaryDirectory() as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return isolated_machine(tmp_path / "machine")


Open = Callable[..., Terraform]


@pytest.fixture
def opened(tmp_path: Path, machine: Machine) -> Iterator[Open]:
    running: list[Terraform] = []

    def run(configuration: dict[str, Any], **options: Any) -> Terraform:
        directory = write(tmp_path / "work", configuration)
        terraform = Terraform(
            directory, options.pop("env", {}), machine=machine, stand_ins=stand_in_providers, **options
        )
        running.append(terraform)
        terraform.init()
        return terraform

    yield run
    for terraform in running:
        terraform.__exit__(None, None, None)


# Finding Terraform


def test_terraform_is_found_on_the_path() -> None:
    found = find_terraform()
    assert Path(found.path).name == "terraform"
    assert tuple(map(int, found.version.split(".")[:2])) >= (1, 5)
    assert "_" in found.platform


def test_the_binary_can_be_named_as_for_cdktf(tmp_path: Path) -> None:
    answer = '{"terraform_version": "1.5.0", "platform": "linux_arm64"}'
    named = executable(tmp_path / "tf-next", f"echo '{answer}'")
    found = find_terraform({"PATH": os.environ["PATH"], "TERRAFORM_BINARY_NAME": str(named)})
    assert (found.path, found.version, found.platform) == (str(named), "1.5.0", "linux_arm64")


def test_no_terraform_is_one_sentence_and_a_hint(tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught:
        find_terraform({"PATH": str(tmp_path)})
    assert caught.value.message == "terraform is not on the PATH"
    assert caught.value.hint == "install Terraform 1.5 or newer, or set TERRAFORM_BINARY_NAME"


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('{"terraform_version": "1.4.7", "platform": "linux_amd64"}', "1.4.7"),
        ("Terraform v0.12.31", "0.12.31"),
        ("something else", "of unknown version"),
    ],
)
def test_a_terraform_that_is_too_old_says_which_it_is(tmp_path: Path, answer: str, version: str) -> None:
    old = executable(tmp_path / "terraform", f"echo '{answer}'")
    with pytest.raises(OperationError) as caught:
        find_terraform({"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    assert caught.value.message == f"{old} is Terraform {version}, too old for this project"


def test_a_terraform_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "terraform"
    broken.write_bytes(b"\x7fELF not really")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(OperationError, match="does not run"):
        find_terraform({"PATH": str(tmp_path)})


# The working directory


def test_a_workspace_is_a_copy_without_state_locks_or_backend(tmp_path: Path, temporary: Path) -> None:
    backend = {"terraform": {"backend": {"s3": {"bucket": "b", "key": "k", "region": "us-east-1"}}}}
    stack = write(tmp_path / "stack", {**ONE_VALUE, **backend})
    (stack / "assets").mkdir()
    (stack / "assets" / "handler.py").write_text("pass\n")
    for name in (".terraform.lock.hcl", "terraform.tfstate", "terraform.tfstate.backup"):
        (stack / name).write_text("left by the user")
    (stack / ".terraform").mkdir()
    machine = isolated_machine(tmp_path)
    before = snapshot(stack)

    with workspace(stack) as directory:
        assert (directory / "assets" / "handler.py").read_text() == "pass\n"
        with Terraform(
            directory, {}, variables={"name": "a"}, machine=machine, stand_ins=stand_in_providers
        ) as terraform:
            terraform.init()
            terraform.apply()
        assert "left by the user" not in (directory / "terraform.tfstate").read_text()

    assert snapshot(stack) == before
    assert list(temporary.iterdir()) == []


def test_a_directory_without_a_stack_says_to_synthesize(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="has no synthesized stack") as caught, workspace(tmp_path):
        pass
    assert caught.value.hint == "run 'cdktf synth' first"


# A life: plan, apply, read, destroy


def test_a_stack_lives_from_plan_to_destroy(opened: Open) -> None:
    events: list[ResourceEvent] = []
    terraform = opened(ONE_VALUE, variables={"name": "transactions", "zones": ["a", "b"]}, on_event=events.append)
    assert terraform.state_resources() == []
    assert terraform.validate() == ()

    plan = terraform.plan()
    assert (plan.changed, plan.actions) == (True, {"terraform_data.table": "create"})
    assert plan.outputs == {"name": "create", "zones": "create"}
    assert plan.json["planned_values"]["outputs"]["zones"]["value"] == ["a", "b"]

    assert terraform.apply(plan) == Changes(add=1)
    assert terraform.state_resources() == ["terraform_data.table"]
    output = terraform.output()
    assert (output["name"].value, output["name"].sensitive, output["name"].type) == ("transactions", False, "string")
    assert (output["zones"].value, output["zones"].sensitive) == (["a", "b"], True)
    assert output["zones"].type == ["list", "string"]

    again = terraform.plan()
    assert (again.changed, again.actions, again.outputs) == (False, {}, {})

    assert terraform.destroy() == Changes(remove=1)
    assert terraform.state_resources() == []
    steps = [(each.action, each.phase) for each in events if each.address == "terraform_data.table"]
    wanted = [("create", "start"), ("create", "complete"), ("delete", "start"), ("delete", "complete")]
    assert [step for step in steps if step[0] != "refresh"] == wanted
    assert ("refresh", "complete") in steps


def test_a_part_is_applied_and_destroyed_without_a_look_at_the_rest(opened: Open) -> None:
    seen: list[ResourceEvent] = []
    terraform = opened({"resource": {"terraform_data": {"one": {}, "two": {}}}}, on_event=seen.append)
    one, two = "terraform_data.one", "terraform_data.two"
    terraform.apply(targets=[one])
    assert terraform.state_resources() == [one]
    terraform.apply(refresh=False)
    assert terraform.state_resources() == [one, two]
    terraform.destroy(targets=[two], refresh=False)
    assert terraform.state_resources() == [one]
    assert [event for event in seen if event.action == "refresh"] == []
    terraform.apply()
    assert {event.address for event in seen if event.action == "refresh"} == {one}


def test_a_plan_can_be_kept_in_a_file(opened: Open, tmp_path: Path) -> None:
    plan = opened(ONE_VALUE, variables={"name": "a"}).plan(out=tmp_path / "kept.tfplan")
    assert plan.path == tmp_path / "kept.tfplan"
    assert plan.path.read_bytes()


def test_a_changed_output_alone_is_a_change(opened: Open, tmp_path: Path) -> None:
    opened({"output": {"a": {"value": 1}, "b": {"value": 1}, "c": {"value": 1}}}).apply()
    plan = opened({"output": {"a": {"value": 2}, "b": {"value": 1}}}).plan()
    assert (plan.changed, plan.actions, plan.outputs) == (True, {}, {"a": "update", "c": "delete"})


def test_the_run_sees_its_own_settings_and_not_the_users_account(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    users = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "TF_VAR_name": "users",
        "TF_WORKSPACE": "users",
        "TF_CLI_ARGS_plan": "-destroy",
        "TF_DATA_DIR": str(tmp_path / "data"),
        "TF_LOG_PROVIDER": "info",
        "TF_LOG_PATH": "terraform.log",
    }
    given = Machine(environ={**machine.environ, **users}, opt=machine.opt, registry_answers=lambda: False)
    provisioner = [{"local-exec": {"command": f"env > {tmp_path / 'seen'}"}}]
    directory = write(tmp_path / "work", {"resource": {"terraform_data": {"it": {"provisioner": provisioner}}}})
    with Terraform(
        directory, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, machine=given, stand_ins=stand_in_providers
    ) as terraform:
        terraform.init()
        terraform.apply()
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines() if "=" in line)
    assert seen["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert (seen["AWS_CONFIG_FILE"], seen["AWS_SHARED_CREDENTIALS_FILE"]) == (os.devnull, os.devnull)
    assert seen["TF_LOG_PROVIDER"] == "info"
    assert seen["TF_LOG_PATH"] == str(tmp_path / "terraform.log")
    assert users.keys() & seen.keys() == {"TF_LOG_PROVIDER", "TF_LOG_PATH"}


# Providers


def test_a_stand_in_is_announced(opened: Open) -> None:
    terraform = opened({**RANDOM, "resource": {"random_password": {"it": {"length": 8}}}})
    (notice,) = terraform.notices
    assert notice.startswith("Terraform provider hashicorp/random ~> 3.6 is in no mirror here")
    terraform.apply()
    assert terraform.state_resources() == ["random_password.it"]
    terraform.init()  # may be repeated


def test_a_provider_that_is_nowhere_is_an_error(opened: Open) -> None:
    aws = {"terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": "~> 5.0"}}}}
    with pytest.raises(OperationError, match=r"hashicorp/aws ~> 5\.0 .* is in no mirror directory"):
        opened(aws)


def test_the_users_configuration_is_followed_and_left_as_it_is(tmp_path: Path) -> None:
    machine = isolated_machine(tmp_path / "machine")
    stand_in_providers.install(
        "registry.terraform.io/hashicorp/random", tmp_path / "users-mirror", find_terraform(machine.environ).platform
    )
    (machine.home / ".terraformrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path / "users-mirror"}"\n  }}\n}}\n'
    )
    required = {
        "random": {"source": "hashicorp/random", "version": "~> 3.6"},
        "archive": {"source": "hashicorp/archive", "version": "~> 2.4"},
    }
    directory = write(
        tmp_path / "work",
        {
            "terraform": {"required_providers": required},
            "resource": {"random_password": {"it": {"length": 8}}},
            "data": {
                "archive_file": {
                    "it": {
                        "type": "zip",
                        "output_path": "a.zip",
                        "source_content": "x",
                        "source_content_filename": "x",
                    }
                }
            },
        },
    )
    before = snapshot(machine.home)
    with Terraform(directory, {}, machine=machine, stand_ins=stand_in_providers) as terraform:
        terraform.init()
        assert [notice.split()[2] for notice in terraform.notices] == ["hashicorp/archive"]
        terraform.apply()
        assert terraform.state_resources() == ["data.archive_file.it", "random_password.it"]
        terraform.destroy()
    assert snapshot(machine.home) == before


# Failures


def test_a_broken_configuration_fails_with_terraforms_diagnostics(opened: Open, temporary: Path) -> None:
    terraform = opened({"resource": {"terraform_data": {"it": {"input": "${var.missing}", "colour": "red"}}}})
    for command in (terraform.validate, terraform.plan, terraform.apply):
        with pytest.raises(TerraformFailed) as caught:
            command()
        summaries = {each.summary for each in caught.value.diagnostics}
        assert {"Reference to undeclared input variable", "Extraneous JSON object property"} & summaries
        assert caught.value.message.startswith(f"terraform {command.__name__} failed: ")
        assert "\n" not in caught.value.message
        assert "TF_LOG" in caught.value.hint
    terraform.__exit__(None, None, None)
    assert list(temporary.iterdir()) == []


def test_a_resource_that_fails_is_named(opened: Open) -> None:
    failing = {"local-exec": {"command": "echo no such table >&2; exit 3"}}
    terraform = opened({"resource": {"terraform_data": {"it": {"provisioner": [failing]}}}})
    with pytest.raises(TerraformFailed) as caught:
        terraform.apply()
    (found,) = caught.value.diagnostics
    assert found.address == "terraform_data.it"
    assert "exit status 3" in found.detail
    assert "(terraform_data.it)" in caught.value.message


def test_a_failing_init_is_recognized_by_its_text(opened: Open) -> None:
    with pytest.raises(TerraformFailed) as caught:
        opened({"terraform": {"required_version": ">= 99"}})
    assert caught.value.message.startswith("terraform init failed: Unsupported Terraform Core version: ")
    assert "TF_PROVIDER_MIRROR" in caught.value.hint
    (found,) = caught.value.diagnostics
    assert "does not support Terraform version" in " ".join(found.detail.split())


def test_a_state_that_cannot_be_read_is_an_error(opened: Open, tmp_path: Path) -> None:
    terraform = opened(ONE_VALUE, variables={"name": "a"})
    (tmp_path / "work" / "terraform.tfstate").write_text("{")
    with pytest.raises(TerraformFailed, match="terraform state list failed"):
        terraform.state_resources()


def test_a_long_error_is_cut_in_the_message_and_whole_in_the_diagnostics(opened: Open) -> None:
    validation = {"condition": '${var.name == "a"}', "error_message": "word " * 300}
    terraform = opened({"variable": {"name": {"validation": validation}}}, variables={"name": "b"})
    with pytest.raises(TerraformFailed) as caught:
        terraform.plan()
    assert len(caught.value.message) < 500
    assert caught.value.diagnostics[0].detail.count("word") == 300


def test_a_deep_temporary_directory_does_not_keep_providers_from_starting(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep-" * 16)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    terraform = opened({**RANDOM, "resource": {"random_password": {"it": {"length": 8}}}})
    assert terraform.validate() == ()


def test_every_problem_of_an_init_is_reported_without_its_heading(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "work", {})
    (tmp_path / "work" / "broken.tf.json").write_text('{"resource": ')
    with pytest.raises(TerraformFailed) as caught:
        opened({})
    summaries = [each.summary for each in caught.value.diagnostics]
    assert "Missing value" in summaries
    assert not [each for each in summaries if each.startswith("Terraform encountered problems")]


# Interruption


def survives(group: int) -> bool:
    """Whether a process group has a member, be it one that is dead and not reaped by init yet."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def slow(tmp_path: Path) -> dict[str, Any]:
    """A password, then a resource that takes for ever and notes the pid of Terraform, which leads its group."""
    note = f"echo $PPID > {tmp_path / 'new'}; mv {tmp_path / 'new'} {tmp_path / 'pid'}"
    waiting = {"local-exec": {"command": f"{note}; sleep 600"}}
    return {
        **RANDOM,
        "resource": {
            "random_password": {"first": {"length": 8}},
            "terraform_data": {"slow": {"depends_on": ["random_password.first"], "provisioner": [waiting]}},
        },
    }


def test_an_interruption_lets_terraform_write_its_state_and_ends_it(opened: Open, tmp_path: Path) -> None:
    def interrupt(event: ResourceEvent) -> None:
        if event.address == "terraform_data.slow":
            assert eventually((tmp_path / "pid").exists)
            raise KeyboardInterrupt

    terraform = opened(slow(tmp_path), on_event=interrupt)
    with pytest.raises(KeyboardInterrupt):
        terraform.apply()
    group = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not survives(group))
    assert terraform.state_resources() == ["random_password.first", "terraform_data.slow"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_ends_terraform_its_providers_and_the_run(
    tmp_path: Path, temporary: Path, signum: signal.Signals, code: int
) -> None:
    write(tmp_path / "stack", slow(tmp_path))
    program = f"""
from pathlib import Path
from payment_dr.operations.command import ended_by_signals
from embedded_aws import stand_in_providers
from payment_dr.operations.terraform.runner import Terraform, workspace
from tests.operations.terraform.isolated_machine import isolated_machine
root = Path({str(tmp_path)!r})
try:
    with ended_by_signals(), workspace(root / "stack") as directory:
        machine = isolated_machine(root / "machine")
        with Terraform(directory, {{}}, machine=machine, stand_ins=stand_in_providers) as terraform:
            terraform.init()
            terraform.apply()
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    begun = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    with killed_at_the_end(begun) as running:
        assert eventually(lambda: (tmp_path / "pid").exists() or running.poll() is not None)
        group = int((tmp_path / "pid").read_text())
        assert survives(group)
        running.send_signal(signum)
        assert running.wait(timeout=120) == code
        assert eventually(lambda: not survives(group))
        assert list(temporary.iterdir()) == []


def test_a_terraform_that_ignores_the_interruption_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform_module, "INTERRUPT_SECONDS", 0.3)
    stubborn = executable(
        tmp_path / "terraform",
        'if [ "$1" = version ]; then echo \'{"terraform_version": "1.9.0", "platform": "linux_amd64"}\'; exit; fi\n'
        f"trap '' INT; echo $$ > {tmp_path / 'pid'}\n"
        'hook=\'{"resource": {"addr": "a.b"}, "action": "create"}\'\n'
        'echo "{\\"type\\": \\"apply_start\\", \\"hook\\": $hook}"\n'
        "sleep 600 & sleep 600",
    )

    def interrupt(event: ResourceEvent) -> None:
        assert event == ResourceEvent("a.b", "create", "start", 0)
        raise KeyboardInterrupt

    machine = isolated_machine(tmp_path / "machine", TERRAFORM_BINARY_NAME=str(stubborn))
    with (
        Terraform(
            write(tmp_path / "work", {}), {}, machine=machine, on_event=interrupt, stand_ins=stand_in_providers
        ) as terraform,
        pytest.raises(KeyboardInterrupt),
    ):
        terraform.apply()
    group = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not survives(group))
