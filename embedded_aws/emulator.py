"""The emulator's process: a patched ministack that runs until its parent stops it or ends.

``EmbeddedAws`` starts it as ``python -m embedded_aws.emulator`` with all settings in its environment.
"""

import importlib.metadata
import os
import signal
import sys
import threading
from pathlib import Path

from payment_dr.operations import owned_directory

MINISTACK_VERSION = "1.5.33"


def check_version() -> None:
    """Fail with any ministack version but the one that the patches were written for.

    The patches replace private functions. With another version they could fail, or worse, have no effect.

    Raises:
        SystemExit: Another version is installed, or none.
    """
    try:
        installed = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("error: ministack is not installed\nhint: make --always-make setup")
    if installed != MINISTACK_VERSION:
        sys.exit(
            f"error: ministack {installed} is installed, but the patches are for {MINISTACK_VERSION}\n"
            "hint: make --always-make setup"
        )


def end_with_parent() -> None:
    """End this process, its functions and its directory when stdin closes, because the parent has ended then.

    The directories of ``EmbeddedAws.take_along`` are removed too. A pipe closes at any death of its other end, SIGKILL
    included, on every Unix.
    """

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a blocked reader holds against the interpreter's own end
        owned_directory.remove_with_others(Path(os.environ["EMBEDDED_AWS_DIRECTORY"]))
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def main() -> None:
    """Patch ministack and serve."""
    check_version()
    end_with_parent()

    # ministack reads its environment on import, and the version check must come before.
    from ministack import app  # type: ignore[import-untyped]

    from embedded_aws import branch, patches

    branch.apply()  # below the patches, which say who may ask for a branch
    patches.apply_all()
    sys.argv[1:] = []  # ministack parses the command line
    app.main()


if __name__ == "__main__":
    main()
