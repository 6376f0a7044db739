"""What the pages say of this project is there: files, folders, commands, and the gate's output in the README."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import embedded_aws.__main__
import hcl.__main__
import no_loss.__main__
import pages.__main__
import permission_proof.__main__
from payment_dr.operations import cli
from permission_proof import iam_policies
from tests.operations.gate.plans import document, put

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "examples").rglob("README.md")),
]
COMMANDS = {
    "dr": cli.app,
    **{
        f"python -m {module.__name__.removesuffix('.__main__')}": module.app
        for module in (
            embedded_aws.__main__,
            hcl.__main__,
            no_loss.__main__,
            pages.__main__,
            permission_proof.__main__,
            iam_policies,
        )
    },
}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


def anchors(page: Path) -> set[str]:
    """The ends of links to the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(link)
    assert dead == []


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = re.findall(r"`[^`]*`|^ *\$ .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {target for each in code for target in re.findall(r"\bmake ([a-z-]+)", each)} <= targets


def test_the_layout_in_contributing_is_that_of_the_project() -> None:
    table = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layout")[2].partition("\n## ")[0]
    first_column = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for cell in first_column for name in re.findall(r"`(.*?)`", cell)}
    packages = {path.parent.name for path in PROJECT.glob("*/__main__.py")}
    assert packages <= named
    assert [name for name in named if not (PROJECT / name).exists()] == []


def commands_of(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of this project that a page has, and their words."""
    text = page.read_text(encoding="utf-8")
    for code in re.findall(r"`([^`\n]*)`|^ *\$ (.*)$", text, re.MULTILINE):
        for name in COMMANDS:
            found = re.match(rf"(?:\.venv/bin/)?{re.escape(name)}((?: [^#|&;]*)?)$", "".join(code).partition("  #")[0])
            if found:
                yield name, found[1].split()


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    for name, words in commands_of(page):
        command = typer.main.get_command(COMMANDS[name])
        said = [word for word in words if not word.startswith("-")]
        if subcommands := getattr(command, "commands", {}):
            if not said:  # the command as such is spoken of
                continue
            assert said[0] in subcommands, f"{name} {' '.join(words)}"
            command = subcommands[said[0]]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}


def test_the_readme_shows_what_the_gate_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = document("default")
    put("aws_route53_record.dns_primary_record", "health_check_id", "")(lost)
    (tmp_path / "plan.json").write_text(json.dumps(lost), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(cli.app, ["gate", "plan.json"]).stdout
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("dr gate plan.json\n")[2].partition("```")[0].rstrip().split("[...]")
    assert re.match(".*".join(re.escape(each) for each in shown), printed, re.DOTALL), printed
