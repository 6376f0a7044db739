"""Programs that a test runs as a user does, to read what they print."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from payment_dr.operations.terraform.runner import Terraform


def run(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code is."""
    return subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def run_terraform(terraform: Terraform, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform in its working directory, with more variables."""
    env = {**terraform.environment, "TF_CLI_ARGS": "-no-color", **environment}
    return run(terraform.binary.path, *arguments, cwd=terraform.directory, env=env)
