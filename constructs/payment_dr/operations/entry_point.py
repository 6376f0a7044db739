"""Where the command ``dr`` starts: it must run, and say what is missing, even when its extra is not installed."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from payment_dr.operations.cli import app

        app(prog_name="dr")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "payment_dr":
            raise
        sys.stderr.write(
            f"error: dr needs the Python package {error.name.partition('.')[0]}, which is not installed\n"
            "hint: pip install 'payment-dr[dr]'\n"
        )
        raise SystemExit(2) from error
