"""What the pages say of this project is there: files, folders, commands, and the gate's output in the README."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
import typer.main
from botocore import xform_name
from botocore.session import Session
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
# Options of the AWS CLI itself: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html
AWS_OPTIONS = {"--cli-input-json", "--output", "--profile", "--query", "--region"}
# Commands of the AWS CLI that are no operation of a service, with their options.
AWS_OWN = {
    ("logs", "tail"): {"--since"},
    ("s3", "sync"): {"--dryrun", "--exclude", "--source-region"},
    ("sso", "login"): set(),
}
BOTOCORE = Session()
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


def code_of(page: str) -> Iterator[str]:
    """The lines of a page's indented and fenced code, and its code within lines."""
    page = page.replace("\\\n", "")
    for block in re.findall(r"^ *```.*?^ *```", page, re.MULTILINE | re.DOTALL):
        page = page.replace(block, "")
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from (line.strip() for line in re.findall(r"^ {4,}\S.*$", page, re.MULTILINE))
    yield from (re.sub(r"\s*\n\s*", " ", code) for code in re.findall(r"`([^`]+)`", page))


def apart(line: str) -> Iterator[str]:
    """A line of a shell without its command substitutions, and the line of each of those."""
    while (start := line.find("$(")) >= 0:
        depth, end = 1, start + 2
        while depth and end < len(line):
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            end += 1
        yield from apart(line[start + 2 : end - 1])
        line = f"{line[:start]}SUBSTITUTED{line[end:]}"
    yield line


def aws_commands_of(page: str) -> Iterator[list[str]]:
    """The words behind `aws` of each command on a page.

    Raises:
        ValueError: A quotation does not end in the line of its command.
    """
    for line in (each for code in code_of(page) for each in apart(code)):
        if re.match(r"(?:.*[;|] *|.*\bdo )?aws ", line):
            words = shlex.shlex(line, posix=True, punctuation_chars=";|>")
            words.whitespace_split = True
            for _, command in groupby(words, {";", "|", ">"}.__contains__):
                said = [word for word in command if word != "do"]
                if said[:1] == ["aws"]:
                    yield said[1:]


def mistakes_in(service: str, operation: str, *words: str) -> Iterator[str]:
    """What the AWS CLI would reject in a command before it calls AWS."""
    given: dict[str, list[str]] = {}
    own = AWS_OWN.get((service, operation))
    for word in words:
        if word.startswith("--"):
            given[word] = []
        elif given:
            given[[*given][-1]].append(word)
        elif own is None:
            yield f"{word} belongs to no option"
    if own is not None:
        yield from given.keys() - own - AWS_OPTIONS
        return
    model = BOTOCORE.get_service_model({"s3api": "s3"}.get(service, service))
    named = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in named:
        yield f"{service} has no {operation}"
        return
    shape = model.operation_model(named[operation]).input_shape
    options = {f"--{xform_name(name, '-')}": member for name, member in (shape.members if shape else {}).items()}
    flags = {name for name, member in options.items() if member.type_name == "boolean"}
    flags |= {name.replace("--", "--no-", 1) for name in flags}
    yield from given.keys() - options.keys() - flags - AWS_OPTIONS
    if given and "--cli-input-json" not in given:  # without options, the page only names the command
        required = {f"--{xform_name(name, '-')}" for name in (shape.required_members if shape else ())}
        yield from (f"{name} is missing" for name in required - given.keys())
    for name, values in given.items():
        is_list = name in options and options[name].type_name == "list"
        if bool(values) == (name in flags) or (len(values) > 1 and not is_list):
            yield f"{name} {' '.join(values)}"
        for value in values:
            if value.startswith("{"):
                try:
                    json.loads(value)
                except ValueError as error:
                    yield f"{name}: {error}"


@each_page
def test_the_aws_cli_takes_its_commands(page: Path) -> None:
    for service, operation, *words in aws_commands_of(page.read_text(encoding="utf-8")):
        assert list(mistakes_in(service, operation, *words)) == [], f"aws {service} {operation}"


@pytest.mark.parametrize(
    "command",
    [
        "dynamodb scann --table-name t",
        "dynamodb scan --table t",
        "dynamodb scan --table-name t --output json aws",
        "dynamodb scan --table-name",
        "dynamodb scan t --table-name t",
        "dynamodb scan --table-name t --consistent-read true",
        "dynamodb get-item --table-name t",
        """dynamodb get-item --table-name t --key '{"id": S}'""",
        "logs tail group --since 15m --follows",
    ],
)
def test_the_aws_cli_does_not_take(command: str) -> None:
    service, operation, *words = shlex.split(command)
    assert list(mistakes_in(service, operation, *words)) != []
