"""``python -m embedded_aws``: the command line of the embedded AWS."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from embedded_aws.deploy_local import deploy_local
from embedded_aws.deployment import ACCOUNT_SETTING, Deployment, terraform_settings
from embedded_aws.server import EmbeddedAws
from payment_dr.operations.cli import REPORTS, AsJson, Confirms, List, ReportDir, Seed, ThroughService, show_outages
from payment_dr.operations.command import command, progress, progress_of, say
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.files import write_whole
from payment_dr.operations.terraform.plan_markdown import plan_markdown

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1. Default: a free one.")]

StackDir = Annotated[
    Path | None,
    typer.Option(help="A synthesized stack, such as cdktf.out/stacks/payment-dr. Default: synthesizes this project's."),
]


Outage = Annotated[str, typer.Option(help=f"What fails: {', '.join(OUTAGES)}.")]

# For the terminal that it is pasted into, whose variables this process does not see: a profile or a proxy would send
# calls elsewhere, and a workspace or an option of Terraform's would use the state of a deployment. It unsets what the
# runner of Terraform sets aside, and keeps TF_VAR_*. The shell evaluates no value, only names.
_FOR_ANY_TERMINAL = r"""
eval "$(env | LC_ALL=C sed -nE '/^TF_(LOG|REGISTRY_|TOKEN_|VAR_)/d; s/^((AWS|TF)_[A-Za-z0-9_]*)=.*/unset \1/p')"
export NO_PROXY="127.0.0.1,localhost,${no_proxy:-${NO_PROXY:-}}"
export no_proxy="$NO_PROXY"
""".lstrip()


@app.callback()
def main() -> None:
    """An AWS on this machine for real Terraform. Makes no calls to AWS, and leaves nothing behind."""


@app.command()
@command
def start(port: Port = None) -> None:
    """Run the embedded AWS in the foreground and print the environment variables that make AWS tools use it."""
    with EmbeddedAws(port) as aws, terraform_settings() as (settings, notices):
        for notice in notices:
            say(f"note: {notice}")
        environment = {ACCOUNT_SETTING: aws.account_id, **settings, **aws.environment()}
        sys.stdout.write(_FOR_ANY_TERMINAL)
        for name, value in environment.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        say(f"Embedded AWS is up at {aws.endpoint_url}. Ctrl-C stops it and removes {settings['CDKTF_OUTDIR']}.")
        while True:
            aws.alive()
            time.sleep(0.5)


@app.command()
@command
def plan(
    port: Port = None,
    stack_dir: StackDir = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a summary in Markdown, with the plan folded.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option(help="File for the plan as JSON, for 'dr gate'.")] = None,
) -> None:
    """Synthesize the stack and plan it against an empty embedded AWS. Print the plan."""
    with (
        progress_of(progress) as (on_step, on_event),
        Deployment(on_step=on_step, on_event=on_event, port=port, stack_dir=stack_dir) as stack,
    ):
        planned = stack.plan()
        text = stack.terraform.text_of(planned)
        if json_file:
            write_whole(json_file, json.dumps(planned.json).encode())
    if markdown:
        text = plan_markdown(planned, text)
    sys.stdout.write(text)  # once the progress display is gone from the terminal


@app.command()
@command
def deploy(
    port: Port = None,
    stack_dir: StackDir = None,
    as_json: AsJson = False,
) -> None:
    """Deploy the stack on an embedded AWS, check every output and behaviour, destroy it, and report.

    Exits with 0 when every check passed, 1 when one failed, 2 when the result is inconclusive.
    """
    raise typer.Exit(deploy_local(progress, as_json=as_json, port=port, stack_dir=stack_dir))


@app.command()
@command
def drill(
    outage: Outage = "region",
    service: ThroughService = False,
    confirms: Confirms = False,
    stack_dir: StackDir = None,
    seed: Seed = 42,
    report_dir: ReportDir = REPORTS,
    as_json: AsJson = False,
    list_: List = False,
) -> None:
    """Deploy the stack on an embedded AWS of its own, fail and restore a region, and measure what clients see.

    With --service and no --stack-dir, the stack is that of examples/payments_service. Exits with 0 when every target
    was met, 1 when one was missed, 2 when the result is inconclusive.
    """
    if list_:
        show_outages(as_json=as_json)
        return
    from embedded_aws.drill import deploy_and_drill
    from payment_dr.operations.report.summary import reported  # loads Matplotlib

    def run() -> Journal:
        return deploy_and_drill(
            outage, seed, report_dir, progress, service=service, confirms=confirms, stack_dir=stack_dir
        )

    raise typer.Exit(reported(run, as_json=as_json))


if __name__ == "__main__":
    app(prog_name="python -m embedded_aws")
