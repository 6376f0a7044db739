"""The app: one disaster recovery stack for payments. `cdktf synth`, `cdktf deploy` and `make synth` run it."""

import os
import sys
from pathlib import Path
from typing import Any

from payment_dr import App, ConfigurationError, DisasterRecoveryStack
from payment_dr.operations.files import write_whole
from payment_dr.state_backend import environment_of

# These settings shape the stack, so they are not Terraform variables. They come from the environment, which reaches
# this file through `make`, the cdktf command line and the embedded AWS. cdktf's context would need edits of cdktf.json.
PRODUCTION = "PAYMENT_DR_PRODUCTION"
CUSTOM_DOMAIN = "PAYMENT_DR_CUSTOM_DOMAIN"
PRIVATE_PROBE_ROUTE = "PAYMENT_DR_PRIVATE_PROBE_ROUTE"
DATA_CANARY = "PAYMENT_DR_DATA_CANARY"
SWITCH = "PAYMENT_DR_SWITCH"
TWO_WAY_DOCUMENTS = "PAYMENT_DR_TWO_WAY_DOCUMENTS"
DASHBOARDS = "PAYMENT_DR_DASHBOARDS"
DELETION_PROTECTION = "PAYMENT_DR_DELETION_PROTECTION"
FORCE_DESTROY = "PAYMENT_DR_FORCE_DESTROY"
OPTIONS = {  # by the argument of the stack; 1 is on, 0 is off; unset, the stack decides
    "production": PRODUCTION,
    "custom_domain": CUSTOM_DOMAIN,
    "private_probe_route": PRIVATE_PROBE_ROUTE,
    "data_canary": DATA_CANARY,
    "switch": SWITCH,
    "two_way_documents": TWO_WAY_DOCUMENTS,
    "dashboards": DASHBOARDS,
    "deletion_protection": DELETION_PROTECTION,
    "force_destroy": FORCE_DESTROY,
}
FAILBACK = "PAYMENT_DR_FAILBACK"  # automatic or operator; default: the stack decides
RUNBOOK = "PAYMENT_DR_RUNBOOK"  # address that alarms link to; default: that of the stack
STATE = "PAYMENT_DR_STATE"  # s3://BUCKET/ENVIRONMENT; default: a file beside this one
TABLE = "PAYMENT_DR_TABLE"  # name of the table; default: that of the stack
ACCOUNT = "PAYMENT_DR_ACCOUNT"  # twelve digits; default: the account of the first apply

NAME = "payment-dr"


def main() -> None:
    """Synthesize the stack into cdktf.out, or report every mistake in its settings."""
    options: dict[str, Any] = {argument: on for argument, name in OPTIONS.items() if (on := _is_on(name)) is not None}
    state, account = os.environ.get(STATE) or None, os.environ.get(ACCOUNT) or None
    runbook, failback = (os.environ.get(each) or None for each in (RUNBOOK, FAILBACK))
    if table := os.environ.get(TABLE):
        options["table_name"] = table
    app = App()
    try:
        DisasterRecoveryStack(
            app,
            NAME,
            state=state,
            account=account,
            failback=failback,
            runbook=runbook,
            **options,
        )
    except ConfigurationError as error:
        set_here = {STATE: state, ACCOUNT: account, TABLE: table, FAILBACK: failback}
        set_here[RUNBOOK] = runbook or options.get("production")
        places = ["main.py", *(name for name, value in set_here.items() if value)]
        sys.exit(f"error: {error}\nhint: change these settings in {' or '.join(places)}")
    app.synth()
    take_along_variables(Path(app.outdir), environment=environment_of(state) if state else "dev")


def take_along_variables(out: Path, *, environment: str) -> None:
    """Copy the variables of a deployment to where every Terraform of the stack reads them by itself.

    The file is ENVIRONMENT.tfvars beside `cdktf.out`, where the state is by default. Terraform reads all files
    *.auto.tfvars of its working directory: https://developer.hashicorp.com/terraform/language/values/variables

    Args:
        out: The folder cdktf.out.
        environment: The environment of the state, else "dev".
    """
    given, taken = out.absolute().parent / f"{environment}.tfvars", out / "stacks" / NAME / "deployment.auto.tfvars"
    if given.exists():
        write_whole(taken, given.read_bytes())  # with half of them, Terraform would take defaults for the rest
    else:
        taken.unlink(missing_ok=True)  # of another environment, synthesized here before


def _is_on(name: str) -> bool | None:
    value = os.environ.get(name) or None
    if value not in (None, "0", "1"):
        sys.exit(f"error: {name}={value!r} is neither 0 nor 1\nhint: set it to 1 or 0, or unset it")
    return None if value is None else value == "1"


if __name__ == "__main__":
    main()
