"""Entry point of the command ``dr``. It runs and reports what is missing even without the extra ``dr``."""

import sys

from payment_dr.errors import NodeMissingError


def main() -> None:
    """Run the command line."""
    try:
        from payment_dr.operations.cli import app

        try:
            app(prog_name="dr")
        except SystemExit:
            sys.stdout.flush()
            raise
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "payment_dr":
            raise
        sys.stderr.write(
            f"error: dr needs the Python package {error.name.partition('.')[0]}, which is not installed\n"
            "hint: pip install 'payment-dr[dr]'\n"
        )
        raise SystemExit(2) from error
    except NodeMissingError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        raise SystemExit(2) from error
    except OSError as error:  # of --help and --version, which are no commands
        from payment_dr.operations.command import leave_stdout

        sys.stderr.write(f"error: {error.strerror or error}\nhint: check where the output goes\n")
        leave_stdout()
        raise SystemExit(2) from error
