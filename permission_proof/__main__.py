"""``python -m permission_proof``: prove the permissions of the stack on the embedded AWS."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from embedded_aws.__main__ import Port, StackDir
from embedded_aws.deployment import PRODUCTION_SETTINGS, STACK, Deployment, synthesized
from payment_dr.operations.command import DONE, MISSED, command, progress, progress_of
from payment_dr.operations.files import write_whole
from permission_proof.claims import CLAIMS, PRODUCTION_CLAIMS
from permission_proof.proof import prove
from permission_proof.report import as_data, as_markdown, print_report

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main(
    port: Port = None,
    stack_dir: StackDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    production: Annotated[
        bool, typer.Option("--production", help="Prove the stack with the production preset.")
    ] = False,
    write: Annotated[Path | None, typer.Option(help="Also write the report to this file, as Markdown.")] = None,
) -> None:
    """Deploy the stack on an embedded AWS, and prove that each right is needed and sufficient.

    The stack has two-way documents, for the roles of both directions. With --production, it has the production preset.
    A stack in --stack-dir needs the same settings.

    Exits with 0 when all is proven, 1 when there is a gap, which is named, 2 when the proof could not run.
    """
    from main import TWO_WAY_DOCUMENTS  # loads the constructs, for which --help should not wait

    settings, claims = ({TWO_WAY_DOCUMENTS: "1"}, CLAIMS)
    if production:
        settings, claims = PRODUCTION_SETTINGS, PRODUCTION_CLAIMS
    with ExitStack() as opened:
        on_step, on_event = opened.enter_context(progress_of(progress))
        if stack_dir is None:
            folder = opened.enter_context(synthesized(settings=settings))
            stack_dir = folder / "stacks" / STACK
        stack = opened.enter_context(Deployment(on_step=on_step, on_event=on_event, port=port, stack_dir=stack_dir))
        stack.apply()
        data = as_data(stack, prove(stack, on_step, claims))
    if write:
        write_whole(write, as_markdown(data, production=production).encode())
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        print_report(data)
    raise typer.Exit(DONE if data["passed"] else MISSED)


if __name__ == "__main__":
    app(prog_name="python -m permission_proof")
