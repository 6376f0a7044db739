"""The project's own shape: what is at the top, what depends on what, and which package `constructs` is."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import constructs
import pytest

import payment_dr

PROJECT = Path(__file__).resolve().parents[1]


def test_the_top_level_holds_what_was_asked_for() -> None:
    files = {"main.py", "cdktf.json", "Pipfile", "README.md"}
    folders = {"constructs", "handlers", "tests"}
    assert {name for name in files if not (PROJECT / name).is_file()} == set()
    assert {name for name in folders if not (PROJECT / name).is_dir()} == set()


def test_the_packages_that_were_asked_for_are_in_the_pipfile() -> None:
    pipfile = tomllib.loads((PROJECT / "Pipfile").read_text(encoding="utf-8"))
    assert set(pipfile["packages"]) >= {
        "cdktf",
        "cdktf-cdktf-provider-aws",
        "cdktf-cdktf-provider-archive",
        "cdktf-cdktf-provider-random",
        "constructs",
        "boto3",
    }
    assert "pytest" in pipfile["dev-packages"]


def test_cdktf_runs_the_python_app() -> None:
    settings = json.loads((PROJECT / "cdktf.json").read_text(encoding="utf-8"))
    assert settings["language"] == "python"
    assert settings["app"].split()[-1] == "main.py"


def test_the_folder_constructs_does_not_hide_the_library_of_that_name() -> None:
    assert not Path(str(constructs.__file__)).is_relative_to(PROJECT / "constructs")
    assert Path(str(payment_dr.__file__)).is_relative_to(PROJECT / "constructs")


def test_nothing_is_written_in_hcl() -> None:
    ours = ("constructs", "handlers", "embedded_aws", "tests", "docs")
    assert [*PROJECT.glob("*.tf"), *(found for folder in ours for found in (PROJECT / folder).rglob("*.tf"))] == []


@pytest.mark.xdist_group("a group")
def test_tests_that_share_a_deployment_are_kept_on_one_worker(request: pytest.FixtureRequest) -> None:
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@a group")


# What each part may not import. Handlers have a test of their own: tests/handlers/test_packages.py.
MAY_NOT_IMPORT = {
    "constructs/payment_dr/*.py": (
        "payment_dr.operations",
        *("embedded_aws", "permission_proof", "hcl", "pages", "benchmarks", "mutants", "no_loss", "tests", "main"),
    ),
    "constructs/payment_dr/operations/**/*.py": (
        *("embedded_aws", "permission_proof", "hcl", "pages", "benchmarks", "mutants", "no_loss", "tests", "main"),
    ),
    "no_loss/**/*.py": ("embedded_aws", "permission_proof", "hcl", "pages", "benchmarks", "mutants", "tests", "main"),
    "embedded_aws/**/*.py": ("permission_proof", "hcl", "pages", "benchmarks", "mutants", "no_loss", "tests"),
    "permission_proof/**/*.py": ("tests",),
    "hcl/**/*.py": ("tests",),
    "pages/**/*.py": ("tests",),
}
# Checks names by rules of the constructs, which takes Node; only `dr bootstrap` loads it.
STATE_BUCKET = "payment_dr.operations.state_bucket"
NEEDS_NO_NODE = f"""
import pkgutil, sys
from importlib import import_module
import payment_dr.operations, payment_dr.side
for module in pkgutil.walk_packages(payment_dr.operations.__path__, "payment_dr.operations."):
    if module.name != {STATE_BUCKET!r}:
        import_module(module.name)
print(*(name for name in ("jsii", "cdktf", "constructs", "payment_dr.bindings") if name in sys.modules))
"""


def module_of(file: Path) -> str:
    """The name by which a file is imported."""
    parts = file.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[parts[0] == "constructs" :]).removesuffix(".__init__")


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, in functions too, and what it takes from them, by their full names."""
    module = module_of(file)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def of(module: str, package: str) -> bool:
    """Whether a module is this one, or below it."""
    return f"{module}.".startswith(f"{package}.")


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_imports_lead_in_one_direction(part: str) -> None:
    files = sorted(PROJECT.glob(part))
    assert files != []
    wrong = [
        f"{file.relative_to(PROJECT)} imports {other}, which {part} may not: move what it needs"
        for file in files
        for other in MAY_NOT_IMPORT[part]
        if any(of(module, other) for module in imports(file))
    ]
    if wrong:
        pytest.fail("\n".join(wrong))


@pytest.fixture(scope="module")
def library() -> dict[str, set[str]]:
    """The modules of the library, and which of each other they import."""
    files = {module_of(file): file for file in (PROJECT / "constructs/payment_dr").rglob("*.py")}
    return {module: files.keys() & set(imports(file)) for module, file in files.items()}


def test_the_modules_of_the_library_do_not_import_each_other_in_a_circle(library: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(library).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other in a circle: {' <- '.join(error.args[1])}")


def test_of_the_operations_only_the_state_bucket_imports_what_needs_node(library: dict[str, set[str]]) -> None:
    need_node = {"payment_dr.bindings"}
    wrong = []
    for module in TopologicalSorter(library).static_order():
        found = library[module] & need_node
        if not of(module, "payment_dr.operations"):
            need_node |= {module} if found else set()
        elif module != STATE_BUCKET:
            wrong += [f"{module} imports {name}, which needs Node: move what it needs" for name in sorted(found)]
    if wrong:
        pytest.fail("\n".join(wrong))
    assert library[STATE_BUCKET] & need_node, f"{STATE_BUCKET} needs no Node any more: take it out of this file"


def test_the_operations_start_no_node() -> None:
    done = subprocess.run([sys.executable, "-c", NEEDS_NO_NODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], "payment_dr.side or payment_dr.operations loads the constructs"


@pytest.mark.parametrize("target", ["drill", "deploy-local", "plan", "prove-permissions", "test"])
def test_terraform_is_looked_for_before_anything_is_set_up(target: str, tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    environment = {"PATH": os.environ["PATH"], "TERRAFORM_BINARY_NAME": "no-terraform"}
    command = ["make", f"PYTHON={sys.executable}", target]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == [
        "error: no-terraform is not on the PATH",
        "hint: install Terraform 1.5 or newer, or set TERRAFORM_BINARY_NAME",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_editors_find_the_library_in_a_checkout() -> None:
    """Neither Pyright nor Pylance follows the hook of an editable installation."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    assert any((PROJECT / folder / "payment_dr/__init__.py").is_file() for folder in settings["extraPaths"])
