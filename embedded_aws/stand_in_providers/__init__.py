"""Stand-ins for the archive and random providers, as packages in a filesystem mirror for Terraform."""

import shlex
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from payment_dr.operations.errors import OperationError

# Numbered above every release of the line that they stand in for, so that "~>" constraints take them.
VERSIONS: Mapping[str, str] = {
    "registry.terraform.io/hashicorp/archive": "2.99.0",
    "registry.terraform.io/hashicorp/random": "3.99.0",
}
# What each one offers of the real provider, for the notice that it is in use.
OFFERS: Mapping[str, str] = {
    "registry.terraform.io/hashicorp/archive": "archive_file",
    "registry.terraform.io/hashicorp/random": "random_password",
}


def install(source: str, mirror: Path, platform: str) -> None:
    """Put the stand-in for a provider into a mirror directory.

    Args:
        source: Address of the provider, one of ``VERSIONS``.
        mirror: Directory of the run's own; the stand-in also keeps its certificate and sockets there, because the
            library that speaks the plugin protocol writes to HOME and TMPDIR.
        platform: Terraform's name of this platform, such as ``linux_amd64``.

    Raises:
        OperationError: The Python package ``tf`` is not installed.
    """
    if find_spec("tf") is None:
        raise OperationError(
            f"the stand-in for the Terraform provider {source} needs the Python package tf",
            hint="install the development packages: make --always-make setup",
        )
    folder, version, name = Path(__file__).parent, VERSIONS[source], source.rsplit("/", 1)[-1]
    home = mirror / "home" / name
    home.mkdir(parents=True, exist_ok=True)
    package = mirror / source / version / platform
    package.mkdir(parents=True, exist_ok=True)
    launcher = package / f"terraform-provider-{name}_v{version}"
    # By file, not by module: a provider starts several times a run, and the package would import boto3 each time.
    runner = shlex.join([sys.executable, str(folder / "until_terraform_ends.py")])
    program = shlex.quote(str(folder / f"{OFFERS[source]}.py"))
    launcher.write_text(f'#!/bin/sh\nHOME={shlex.quote(str(home))} exec {runner} $PPID {program} "$@"\n')
    launcher.chmod(0o755)
