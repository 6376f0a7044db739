"""The words of pages, messages and docstrings: no invented ones, few semicolons, no endless lines.

`make lint` checks the spelling, test_project_pages.py the links. A new entry of `WORDS` needs the word to use instead.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
WORDS = {
    r"mend(?:s|ed|ing)?": "fix",
    r"could not tell|(?:cannot|could not) be told": "inconclusive, or unknown",
    r"(?:alarms?|that) (?:rings?|rang)": "an alarm fires",
    r"told": "reported, or known",
    r"(?:has|have|had) to be": "must be",
    r"the least that works": "the minimum",
    r"from (?:then|this time|that time) on": "later, or after that",
    r"sees? whether": "check whether",
    r"refused at synth": "fails at synth",
    r"goes? on against": "skip",
    r"nowhere to be had": "not available",
}
WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b".replace(" ", r"\s+"), re.IGNORECASE)
MOST_SEMICOLONS = 2  # lines of a page's prose that have one
LONGEST_LINE = 160  # of prose, without the addresses of links
PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *(file for dir_ in ("docs", "examples") for file in PROJECT.glob(f"{dir_}/**/*.md")),
]
CODE = (
    "constructs",
    "handlers",
    "embedded_aws",
    "examples",
    "permission_proof",
    "no_loss",
    "pages",
    "hcl",
    "mutants",
    "benchmarks",
)
TEXTS = [
    *PAGES,
    *(PROJECT / name for name in ("Makefile", "main.py", "action.yml")),
    *(PROJECT / ".github").rglob("*.yml"),
    *(file for dir_ in CODE for ending in ("py", "j2") for file in (PROJECT / dir_).rglob(f"*.{ending}")),
]
OF_RELEASES = PROJECT / "CHANGELOG.md"  # what was released stays as it was written
GENERATED = {path.stem for path in (PROJECT / "pages").glob("*.md.j2")} | {"inputs-and-outputs.md"}  # nobody edits them


def name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def prose(page: Path) -> list[str]:
    """The lines of a page without code, tables and the addresses of links."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```", lambda code: "\n" * code[0].count("\n"), text, flags=re.M | re.S)
    text = re.sub(r"^ {4,}.*$|^ *\|.*$|\]\([^)]*\)|https?://\S+", "", text, flags=re.M)
    return re.sub(r"`[^`]*`", lambda code: "`" + "\n" * code[0].count("\n"), text).split("\n")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The text of a file, or the comments and longer strings of Python, each with the line where it begins."""
    if path.suffix == ".md":
        yield 1, "\n".join(prose(path))
    elif path.suffix != ".py":
        yield 1, path.read_text(encoding="utf-8")
    else:
        in_words = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None))
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type in in_words and " " in token.string:
                yield token.start[0], token.string


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_word_is_invented(path: Path) -> None:
    wrong = []
    for line, text in texts(path):
        for match in WORD.finditer(text):
            word, place = " ".join(match[0].split()), line + text.count("\n", 0, match.start())
            instead = next(each for pattern, each in WORDS.items() if re.fullmatch(pattern, word, re.IGNORECASE))
            wrong.append(f"{word!r}: use {instead} ({name(path)}:{place})")
    if wrong:
        pytest.fail("\n".join(wrong))


@pytest.mark.parametrize("page", [page for page in PAGES if page != OF_RELEASES], ids=name)
def test_a_page_has_few_semicolons_and_no_endless_lines(page: Path) -> None:
    lines = dict(enumerate(prose(page), 1))
    wrong = []
    with_one = [str(number) for number, line in lines.items() if ";" in re.sub(r"&\w+;", "", line)]
    if len(with_one) > MOST_SEMICOLONS:
        wrong.append(
            f"more than {MOST_SEMICOLONS} lines with a semicolon: use full stops ({name(page)}:{','.join(with_one)})"
        )
    long = [str(number) for number, line in lines.items() if len(line) > LONGEST_LINE]
    if long and page.name not in GENERATED and page.parent.name != "constructs":
        wrong.append(f"more than {LONGEST_LINE} characters: wrap the line ({name(page)}:{','.join(long)})")
    if wrong:
        pytest.fail("\n".join(wrong))
