"""The library works from a wheel: the handlers that it deploys are in it, and the operator's command."""

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from payment_dr.python_function import handler_file

PROJECT = Path(__file__).resolve().parents[2]
HANDLERS = ["lambda_config_sync.py", "lambda_health_monitor.py"]


def test_the_wheel_holds_the_handlers_the_operators_command_and_what_is_no_python(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build writes beside what it builds
    for folder in ("constructs", "handlers", "drill"):
        shutil.copytree(PROJECT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(PROJECT / "pyproject.toml", source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("payment_dr-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for handler in HANDLERS:
            assert archive.read(f"payment_dr/handlers/{handler}") == (PROJECT / "handlers" / handler).read_bytes()
        (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
        assert archive.read(scripts).decode() == "[console_scripts]\ndr = drill.cli:main\n"
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        needs = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    assert {"payment_dr/py.typed", "payment_dr/on_demand.cjs", "payment_dr/stack.py", "drill/cli.py"} <= names
    assert not [name for name in names if name.startswith(("embedded_aws", "tests"))]
    # who only synthesizes installs none of what the command needs
    extra = {need.partition(">")[0] for need in needs if 'extra == "dr"' in need}
    assert extra == {"boto3", "dnspython", "jinja2", "matplotlib", "rich", "typer"}
    assert "drill/report.html.j2" in names


def test_a_checkout_deploys_the_handlers_that_lie_in_it() -> None:
    assert [handler_file(name) for name in HANDLERS] == [PROJECT / "handlers" / name for name in HANDLERS]
