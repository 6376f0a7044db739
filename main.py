"""The app: one disaster recovery stack for payments. `cdktf synth`, `cdktf deploy` and `make synth` run it."""

import sys

from payment_dr import App, ConfigurationError, DisasterRecoveryStack


def main() -> None:
    """Synthesize the stack into cdktf.out, or say everything that is wrong with its settings."""
    app = App()
    try:
        DisasterRecoveryStack(app, "payment-dr")
    except ConfigurationError as error:
        sys.exit(f"error: {error}\nhint: change these settings in main.py")
    app.synth()


if __name__ == "__main__":
    main()
