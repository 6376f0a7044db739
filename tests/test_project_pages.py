"""What the pages beside the README say of this project is there: files, folders, commands."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    *(PROJECT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "examples").rglob("README.md")),
]
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
            target = page.parent / path
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(link)
    assert dead == []


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = re.findall(r"`[^`]*`|^\$ .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {target for each in code for target in re.findall(r"\bmake ([a-z-]+)", each)} <= targets


def test_the_layout_in_contributing_is_that_of_the_project() -> None:
    table = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layout")[2].partition("\n## ")[0]
    first_column = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for cell in first_column for name in re.findall(r"`(.*?)`", cell)}
    packages = {path.parent.name for path in PROJECT.glob("*/__main__.py")}
    assert packages <= named
    assert [name for name in named if not (PROJECT / name).exists()] == []
