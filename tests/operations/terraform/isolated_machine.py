"""A machine for Terraform that knows nothing of the one the tests run on, but for the PATH."""

import os
from pathlib import Path

from payment_dr.operations.terraform.provider_sources import Machine


def isolated_machine(root: Path, *, registry: bool = False, **environ: str) -> Machine:
    """A machine with an empty home and an empty /opt under ``root``, and with or without a registry."""
    (root / "home").mkdir(parents=True, exist_ok=True)
    (root / "opt").mkdir(exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(root / "home"), "XDG_DATA_DIRS": str(root / "share")}
    return Machine(environ={**own, **environ}, opt=root / "opt", registry_answers=lambda: registry)
