"""``python -m hcl``: write the synthesized stack as HCL."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hcl.library import files, write
from payment_dr.operations.command import command, progress

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@command
def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("lib"),
    stack: Annotated[Path, typer.Option(help="A synthesized stack.")] = Path("cdktf.out/stacks/payment-dr"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the written files as JSON.")] = False,
) -> None:
    """Write provider.tf, main.tf and the handlers. Exits with 0 when they are written, else with 2."""
    progress.print("reading the schemas of the providers", highlight=False)
    contents = files(stack)
    write(out, contents)
    names = [str(out / name) for name in contents]
    sys.stdout.write(json.dumps({"files": names}, indent=2) + "\n" if as_json else "".join(f"{n}\n" for n in names))


if __name__ == "__main__":
    app(prog_name="python -m hcl")
