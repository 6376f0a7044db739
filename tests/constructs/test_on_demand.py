"""The prebuilt providers are loaded as far as they are used, and nobody can tell."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import assert_type

import pytest
from cdktf_cdktf_provider_aws.vpc import Vpc

from payment_dr import bindings
from payment_dr.on_demand import NODE_HOOK, load_on_demand

UNUSED = "cdktf_cdktf_provider_aws.xray_group"


def in_fresh_process(code: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that imports all of its modules, as the prebuilt providers do."""
    name = "eager_provider"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import bucket, queue\nloaded_all = True\n")
    (folder / "bucket.py").write_text("class Bucket: ...\n")
    (folder / "queue.py").write_text("class Queue: ...\n")
    (folder / "broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (name, *(f"{name}.{part}" for part in ("bucket", "queue", "broken"))):
        # Undone at the end, so that what the test loads is gone.
        monkeypatch.setitem(sys.modules, module, sys)
        monkeypatch.delitem(sys.modules, module)
    return name


def test_only_what_the_constructs_use_is_loaded() -> None:
    loaded = in_fresh_process("""
        import sys
        from payment_dr import App, TerraformStack
        print(*(name for name in sys.modules if name.startswith("cdktf_cdktf_provider_aws.")), sep="\\n")
    """)
    assert bindings.Vpc.__module__ in loaded
    assert {name.split(".")[1] for name in loaded} <= {"_jsii"} | {
        getattr(bindings, name).__module__.split(".")[1]
        for name in bindings.__all__
        if getattr(bindings, name).__module__.startswith("cdktf_cdktf_provider_aws.")
    }


def test_a_class_is_the_same_by_every_way_to_it_and_for_type_checkers() -> None:
    import cdktf_cdktf_provider_aws as aws

    assert_type(bindings.Vpc, type[Vpc])
    assert bindings.Vpc is Vpc is aws.vpc.Vpc is import_module("cdktf_cdktf_provider_aws.vpc").Vpc


def test_provider_classes_that_others_use_load_at_their_first_use() -> None:
    assert in_fresh_process(f"""
        import sys
        from payment_dr import App, TerraformStack
        import cdktf_cdktf_provider_aws as aws
        print({UNUSED!r} in sys.modules, "xray_group" in dir(aws), "xray_group" in aws.__all__)
        group = aws.xray_group.XrayGroup
        from cdktf_cdktf_provider_aws import xray_group
        print(xray_group.XrayGroup is group)
        stack = TerraformStack(App(outdir="unused"), "theirs")
        print(group(stack, "group", group_name="slow", filter_expression="responsetime > 5").friendly_unique_id)
    """) == ["False True True", "True", "group"]


@pytest.mark.slow
def test_a_provider_that_somebody_has_loaded_before_us_stays_as_it_is() -> None:
    assert in_fresh_process(f"""
        import sys
        import cdktf_cdktf_provider_aws as aws
        from payment_dr import App, TerraformStack
        print({UNUSED!r} in sys.modules, sys.modules["cdktf_cdktf_provider_aws"] is aws)
        from payment_dr import bindings
        print(bindings.Vpc is aws.vpc.Vpc)
    """) == ["True True", "True"]


@pytest.mark.parametrize(
    "statement", ["import cdktf_cdktf_provider_aws.vcp", "from cdktf_cdktf_provider_aws import vcp"]
)
def test_a_module_that_does_not_exist_gives_the_normal_import_error(statement: str) -> None:
    with pytest.raises(ImportError, match="vcp"):
        exec(statement, {})  # noqa: S102 - the two ways to import it


def test_an_attribute_that_does_not_exist_gives_the_normal_attribute_error() -> None:
    import cdktf_cdktf_provider_aws as aws

    with pytest.raises(AttributeError, match="module 'cdktf_cdktf_provider_aws' has no attribute 'vcp'"):
        _ = aws.vcp


def test_modules_load_one_at_a_time_or_all_with_a_star(package: str) -> None:
    load_on_demand(package)
    bucket = import_module(f"{package}.bucket").Bucket
    assert f"{package}.queue" not in sys.modules
    (Path(sys.modules[package].__path__[0]) / "broken.py").unlink()
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)  # noqa: S102 - the name is not known to a statement
    assert names["bucket"].Bucket is bucket  # type: ignore[attr-defined]
    assert "queue" in names


def test_a_module_that_fails_says_why(package: str) -> None:
    load_on_demand(package)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = sys.modules[package].broken


def test_a_loaded_package_stays_and_a_missing_one_fails_where_it_is_imported(package: str) -> None:
    whole = import_module(package)
    load_on_demand(package)
    assert sys.modules[package] is whole
    load_on_demand("no_such_provider")
    with pytest.raises(ModuleNotFoundError, match="no_such_provider"):
        import_module("no_such_provider")


def test_node_loads_the_modules_of_a_provider_when_they_are_used(tmp_path: Path) -> None:
    for owner in ("@cdktf/provider-aws", "other"):
        lib = tmp_path / "node_modules" / owner / "lib"
        lib.mkdir(parents=True)
        (lib / "index.js").write_text(
            "exports.vpc = exports.subnet = void 0;\n"
            'exports.vpc = require("./vpc");\nexports.subnet = require("./subnet");\n'
        )
        for module in ("vpc", "subnet"):
            (lib / f"{module}.js").write_text(f"console.log('{owner} {module}');\nexports.name = '{module}';\n")
    script = """
        const aws = require("./node_modules/@cdktf/provider-aws/lib/index.js");
        require("./node_modules/other/lib/index.js");
        console.log(Object.keys(aws).sort().join(), aws.subnet.name, aws.subnet === aws.subnet);
    """
    command = [bindings.NODE_ENVIRONMENT["JSII_NODE"], "--require", str(NODE_HOOK), "-e", script]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "other vpc",
        "other subnet",
        "@cdktf/provider-aws subnet",
        "subnet,vpc subnet true",
    ]


def test_the_environment_is_restored_once_node_runs() -> None:
    assert in_fresh_process("""
        import os
        before = dict(os.environ)
        from payment_dr import App, TerraformStack
        print(dict(os.environ) == before)
    """) == ["True"]
