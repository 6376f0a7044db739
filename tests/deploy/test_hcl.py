"""What `make hcl` writes is the synthesized stack, with the same plan and state, and as Terraform formats it."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from embedded_aws import stand_in_providers
from embedded_aws.deployment import PRODUCTION_SETTINGS, PROJECT, STACK, Deployment, synthesized
from hcl.__main__ import app
from hcl.library import configuration, rendered, write
from main import OPTIONS, STATE
from payment_dr.operations.terraform.runner import Terraform, workspace
from tests.deploy.conftest import Deployed
from tests.deploy.programs import run_terraform

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

ARCHIVED = "source_file"  # the one value that may differ: lib/ archives its own handlers


@pytest.fixture(scope="module", autouse=True)
def _schemas_once() -> Iterator[None]:
    """Ask the providers for their schemas once: all configurations here have the same providers."""
    ask, known = Terraform.schemas, dict[str, Any]()

    def once(terraform: Terraform) -> dict[str, Any]:
        if not known:
            known.update(ask(terraform))
        return known

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Terraform, "schemas", once)
        yield


@pytest.fixture(scope="module")
def library(stack_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hcl") / "lib"
    told = CliRunner().invoke(app, ["--stack", str(stack_dir), "--out", str(folder), "--json"])
    assert told.exit_code == 0, told.stderr
    assert sorted(json.loads(told.stdout)["files"]) == sorted(map(str, folder.iterdir()))
    required = configuration(stack_dir)["terraform"]["required_providers"]
    override = {"terraform": {"required_providers": required}}  # read by the search for providers, which reads JSON
    (folder / "providers_override.tf.json").write_text(json.dumps(override))
    return folder


@pytest.fixture(scope="module")
def plans(deployment: Deployed, library: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an empty account would get from the synthesized JSON, and from the HCL."""
    with Deployment(stack_dir=library) as written:
        return deployment.planned, written.plan().json


def without_archived(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_archived(each) for key, each in value.items() if key != ARCHIVED}
    return [without_archived(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("part", ["planned_values", "resource_changes", "output_changes", "prior_state", "variables"])
def test_the_plans_are_equal(plans: tuple[dict[str, Any], dict[str, Any]], part: str) -> None:
    from_json, written = (without_archived(plan[part]) for plan in plans)
    assert written == from_json


def test_dependencies_and_providers_are_equal(plans: tuple[dict[str, Any], dict[str, Any]]) -> None:
    def told(plan: dict[str, Any]) -> dict[str, Any]:
        return {
            each["address"]: (each["provider_config_key"], each.get("depends_on"))
            for each in plan["configuration"]["root_module"]["resources"]
        }

    from_json, written = map(told, plans)
    assert written == from_json


def test_each_goes_on_with_the_state_of_the_other(branched: Deployment, stack_dir: Path, library: Path) -> None:
    terraform = branched.terraform
    hold(terraform.directory, library)
    # The state is written by the HCL now: the random value of this resource is new, and the output that shows it.
    # All else that the JSON has deployed is what the HCL asks for.
    applied = run_terraform(terraform, "apply", "-auto-approve", "-replace=random_password.initial_api_key")
    assert "1 added, 0 changed, 1 destroyed" in applied.stdout, applied.stdout[-2000:] + applied.stderr
    _, _, changed = applied.stdout.partition("Changes to Outputs:")
    assert re.findall(r"^ +[~+-] (\w+) +=", changed, re.MULTILINE) == ["ssm_parameter_values"]
    hold(terraform.directory, stack_dir)
    from_json = terraform.plan()
    assert (from_json.actions, from_json.changed) == ({}, False)


def hold(directory: Path, configuration: Path) -> None:
    """Put another configuration into a working directory; what Terraform keeps there stays."""
    for path in directory.iterdir():
        if not path.name.startswith((".terraform", "terraform.tfstate", "backend_override")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(configuration, directory, dirs_exist_ok=True)


@dataclass(frozen=True)
class Variant:
    """An app with settings, and lines of its HCL that are there for their sake."""

    app: Path
    stack: str
    settings: dict[str, str]
    lines: tuple[str, ...]


VARIANTS = {
    "default": Variant(PROJECT / "main.py", STACK, {}, ('    path = "../terraform.payment-dr.tfstate"',)),
    "production and state in S3": Variant(
        PROJECT / "main.py",
        STACK,
        {**PRODUCTION_SETTINGS, STATE: "s3://acme-state/dev"},
        (
            '  route_key = "GET /health/${random_password.health_monitor_east_private_segment.result}"',
            'resource "aws_acm_certificate" "dns_primary_domain_certificate" {',
            '    bucket       = "acme-state"',
            'resource "aws_s3_bucket_replication_configuration" "data_replication_back" {',
            "      replica_modifications {",
        ),
    ),
    "another pair": Variant(
        PROJECT / "examples/whole_stack/main.py", "whole-stack", {}, ('  region = "eu-central-1"',)
    ),
}


@pytest.fixture(scope="module")
def initialized(stack_dir: Path) -> Iterator[tuple[Terraform, dict[str, Any]]]:
    """A Terraform that has the providers, for whichever configuration is in its directory, and their schemas."""
    with workspace(stack_dir) as directory, Terraform(directory, env={}, stand_ins=stand_in_providers) as terraform:
        terraform.init()
        known = terraform.schemas()
        (directory / "backend_override.tf.json").unlink()  # each configuration's own is looked at
        yield terraform, known


@pytest.mark.parametrize("name", VARIANTS)
def test_terraform_finds_nothing_to_correct(
    name: str, initialized: tuple[Terraform, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terraform, known = initialized
    variant = VARIANTS[name]
    for setting in (*OPTIONS.values(), *PRODUCTION_SETTINGS, STATE):
        monkeypatch.delenv(setting, raising=False)
    with synthesized(variant.app, settings=variant.settings) as folder:
        written = rendered(folder / "stacks" / variant.stack, known, terraform)
    assert set(variant.lines) <= set("\n".join(written.values()).splitlines())
    write(tmp_path, written)
    hold(terraform.directory, tmp_path)
    assert terraform.validate() == ()
    for name in ("provider.tf", "main.tf"):
        assert terraform.formatted(written[name]) == written[name]
