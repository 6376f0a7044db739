"""``python -m embedded_aws``: the command line of the embedded AWS."""

import dataclasses
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console

from embedded_aws.adoption import NOT_ADOPTED, adopt_here
from embedded_aws.deploy_local import deploy_local, progress_of
from embedded_aws.deployment import Deployment, provider_settings
from embedded_aws.errors import EmbeddedAwsError
from embedded_aws.lifecycle import terminate_gracefully
from embedded_aws.plan_markdown import plan_markdown
from embedded_aws.server import EmbeddedAws

COULD_NOT_START = 2

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
progress = Console(stderr=True)

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of 127.0.0.1; a free one if unset.")]

StackDir = Annotated[
    Path | None,
    typer.Option(help="A synthesized stack, such as cdktf.out/stacks/payment-dr; synthesized anew if unset."),
]


def command(run: Callable[P, T]) -> Callable[P, T]:
    """Give a command its ends: cleaned up after SIGTERM, 130 after Ctrl-C, error and hint lines with exit code 2."""

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with terminate_gracefully():
                return run(*args, **kwargs)
        except EmbeddedAwsError as error:
            progress.print(f"error: {error.message}", style="red", markup=False, highlight=False, soft_wrap=True)
            progress.print(f"hint: {error.hint}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(COULD_NOT_START) from error
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(128 + signal.SIGINT) from interrupt

    return guarded


@app.callback()
def main() -> None:
    """An AWS on this machine for real Terraform: nothing leaves it, and nothing is left when it stops."""


@app.command()
@command
def start(port: Port = None) -> None:
    """Run the embedded AWS in the foreground and print the variables that point AWS tools and Terraform at it."""
    with EmbeddedAws(port) as aws, provider_settings() as (providers, notices):
        for notice in notices:
            progress.print(f"note: {notice}", markup=False, highlight=False, soft_wrap=True)
        environment = aws.environment()
        for name in sorted(name for name in os.environ if name.startswith("AWS_") and name not in environment):
            sys.stdout.write(f"unset {name}\n")  # a profile, say, would send the calls elsewhere
        for name, value in {**providers, **environment}.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        progress.print(f"Embedded AWS is up at {aws.endpoint_url}. Ctrl-C ends it.", highlight=False)
        while True:
            aws.alive()
            time.sleep(0.5)


@app.command()
@command
def plan(
    port: Port = None,
    stack_dir: StackDir = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a summary in Markdown, the plan folded.")] = False,
) -> None:
    """Synthesize the stack and plan it against an empty embedded AWS; the plan goes to stdout."""
    with (
        progress_of(progress) as (on_step, on_event),
        Deployment(on_step=on_step, on_event=on_event, port=port, stack_dir=stack_dir) as stack,
    ):
        planned = stack.plan()
        text = stack.terraform.text_of(planned)
    if markdown:
        text = plan_markdown(planned, text)
    sys.stdout.write(text)  # once the progress display is gone from the terminal


@app.command()
@command
def deploy(
    port: Port = None,
    stack_dir: StackDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Deploy the stack on an embedded AWS, check every output and behaviour, destroy it, and report.

    Exits with 0 when every check passed, 1 when one did not, 2 when nothing could be said.
    """
    raise typer.Exit(deploy_local(progress, as_json=as_json, port=port, stack_dir=stack_dir))


@app.command()
@command
def adopt(
    directory: Annotated[Path, typer.Argument(help="Where Terraform ran, such as cdktf.out/stacks/payment-dr.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be adopted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """After an interrupted deployment, on AWS or here: import what was created and is missing in Terraform's state.

    Uses your AWS settings and TF_VAR_ variables. Exits with 0 when the next apply can go ahead, 1 when something has to
    be decided by a person, 2 when nothing could be said.
    """
    with progress.status("comparing the plan with what exists"):
        findings = adopt_here(directory.absolute(), dry_run=dry_run)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2) + "\n")
    for finding in [] if as_json else findings:
        sys.stdout.write(" ".join([f"{finding.outcome}:", finding.address, *finding.ids]) + "\n")
        if finding.reason:
            sys.stdout.write(f"  {finding.reason}\n")
    if not findings:
        progress.print("Nothing that the plan wants to create exists already.", highlight=False)
    raise typer.Exit(1 if any(finding.outcome == NOT_ADOPTED for finding in findings) else 0)


if __name__ == "__main__":
    app(prog_name="python -m embedded_aws")
