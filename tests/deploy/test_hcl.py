"""What `make hcl` writes plans as the synthesized stack does."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws.deployment import Deployment
from embedded_aws.terraform import find_terraform
from hcl.library import configuration, files, write

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hcl")]

ARCHIVED = "source_file"  # the one value that may differ: lib/ archives its own handlers


@pytest.fixture(scope="module")
def library(stack_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hcl") / "lib"
    write(folder, files(stack_dir))
    required = configuration(stack_dir)["terraform"]["required_providers"]
    override = {"terraform": {"required_providers": required}}  # read by the search for providers, which reads JSON
    (folder / "providers_override.tf.json").write_text(json.dumps(override))
    return folder


@pytest.fixture(scope="module")
def plans(stack_dir: Path, library: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    with Deployment(stack_dir=stack_dir) as synthesized:
        from_json = synthesized.plan().json
    with Deployment(stack_dir=library) as written:
        yield from_json, written.plan().json


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


def test_terraform_would_not_format_it_otherwise(library: Path) -> None:
    checked = subprocess.run([find_terraform().path, "fmt", "-check", str(library)], capture_output=True, check=False)
    assert checked.returncode == 0
