"""What is deployed: single files that need nothing but the Lambda runtime."""

from __future__ import annotations

import ast
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "payments_service" / "payments.py"
HANDLERS = sorted((Path(__file__).parents[2] / "handlers").glob("*.py"))


def test_there_are_two_handlers() -> None:
    assert [path.name for path in HANDLERS] == [
        "lambda_config_sync.py",
        "lambda_data_canary.py",
        "lambda_health_monitor.py",
        "lambda_standby_takeover.py",
        "lambda_switch.py",
    ]


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_a_handler_is_a_package_of_less_than_11_kb(path: Path) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    assert len(package.getvalue()) < 11 * 1024


@pytest.mark.parametrize("path", [*HANDLERS, EXAMPLE], ids=lambda path: path.stem)
def test_a_handler_imports_only_what_the_runtime_has(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])
    assert imported - set(sys.stdlib_module_names) <= {"boto3", "botocore"}


def test_a_checkout_with_crlf_leaves_the_handlers_as_they_are(tmp_path: Path) -> None:
    """What Git for Windows is set to by default; other bytes would be other packages, and update all functions."""
    project = HANDLERS[0].parents[1]
    for path in (project / ".gitattributes", *HANDLERS):
        shutil.copy(path, tmp_path / path.name)
    mine = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> None:
        command = ["git", "-c", "core.autocrlf=true", *arguments]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **mine}, check=True, capture_output=True)

    git("init")
    git("add", ".")
    for path in HANDLERS:
        (tmp_path / path.name).unlink()
    git("checkout-index", "--all", "--force")
    assert [path.name for path in HANDLERS if (tmp_path / path.name).read_bytes() != path.read_bytes()] == []
