"""``python -m pages``: write the pages of docs/ that are generated from the synthesized stack."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pages import (
    architecture,
    construct_pages,
    costs,
    floods,
    interface,
    journal_schema,
    outages,
    production,
    recovery_time,
)
from pages.synthesis import PROJECT, stack_of
from payment_dr.operations.command import MISSED, command, progress, say
from payment_dr.operations.files import write_whole

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def pages() -> dict[str, str]:
    """Render every page, by its path below docs/."""
    stack = stack_of()
    return {
        "architecture.svg": architecture.render(stack),
        "costs.md": costs.render(
            stack,
            stack_of(data_canary=True),
            stack_of(switch=True),
            stack_of(interface_endpoints=costs.INTERFACE_SERVICES),
        ),
        "security.md": floods.written_into(
            (PROJECT / "docs/security.md").read_text(encoding="utf-8"), stack, stack_of(private_probe_route=True)
        ),
        "production.md": production.render(stack),
        "journal.schema.json": journal_schema.render(),
        "recovery-time.md": recovery_time.render(stack),
        "outages.md": outages.render(),
        "inputs-and-outputs.md": interface.render(
            stack, stack_of(custom_domain=True), stack_of(switch=True, failback="operator")
        ),
        **{f"constructs/{name}": text for name, text in construct_pages.pages().items()},
    }


@app.command()
@command
def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing. Print the pages that differ.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the names as JSON.")] = False,
    docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = PROJECT / "docs",
) -> None:
    """Write the pages and print the names of those that changed.

    Exits with 0 when the pages are written. With --check, exits with 0 when none differs, else with 1.
    """
    with progress.status("synthesizing the stack and every example"):
        found = pages()
    changed = [name for name, text in found.items() if not _is(docs / name, text)]
    if not check:
        for name in changed:
            (docs / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(docs / name, found[name].encode())
    names = [str(docs / name) for name in changed]
    sys.stdout.write(json.dumps({"changed": names}, indent=2) + "\n" if as_json else "".join(f"{n}\n" for n in names))
    if check and changed:
        say("error: these pages do not match the stack", style="red")
        say("hint: make docs")
        raise typer.Exit(MISSED)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    app(prog_name="python -m pages")
