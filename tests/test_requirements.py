"""docs/requirements.md: every row of it leads to files and tests that exist."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT / "docs/requirements.md"

SECTIONS = [
    "Design card",
    "Business Context",
    "Technical Requirements",
    "Network Foundation",
    "Data Layer with Global Replication",
    "Health Monitoring System",
    "DNS-Based Failover",
    "Monitoring and Alerting",
    "Configuration Synchronization",
    "IAM Security",
    "Encryption",
    "Provider Configuration",
    "Resource Naming",
    "Data Source Restrictions",
    "File Organization",
    "Cleanup Configuration",
    "Integration Testing Outputs",
]


@dataclass(frozen=True)
class Row:
    """One sentence of the brief, the files that build it and the tests that prove it."""

    section: str
    quote: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def headings() -> list[str]:
    return re.findall(r"^##+ (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


@cache
def rows() -> list[Row]:
    found: list[Row] = []
    section = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif line.startswith("|") and not re.match(r"\|( The brief |-)", line):
            quote, files, tests = line.strip("| ").split(" | ")
            found.append(Row(section, quote, *(tuple(re.findall(r"`([^`]+)`", cell)) for cell in (files, tests))))
    return found


@cache
def functions_of(module: Path) -> frozenset[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def is_a_test(node_id: str) -> bool:
    path, _, function = node_id.partition("::")
    module = PROJECT / path
    collected = path.startswith("tests/") and module.name.startswith("test_") and function.startswith("test_")
    return collected and module.is_file() and function in functions_of(module)


def test_every_section_of_the_brief_is_there_in_its_order_with_requirements() -> None:
    assert headings() == SECTIONS
    # this one is made of the sections below it
    assert set(SECTIONS) - {row.section for row in rows()} == {"Technical Requirements"}


def test_every_requirement_names_a_file_and_a_test() -> None:
    assert [(row.section, row.quote) for row in rows() if not row.files or not row.tests] == []


def test_every_named_test_exists() -> None:
    assert sorted({test for row in rows() for test in row.tests if not is_a_test(test)}) == []


def test_every_named_file_exists() -> None:
    assert sorted({file for row in rows() for file in row.files if not (PROJECT / file).is_file()}) == []


def test_no_requirement_is_listed_twice() -> None:
    keys = [(row.section, row.quote) for row in rows()]
    assert [key for key in keys if keys.count(key) > 1] == []
