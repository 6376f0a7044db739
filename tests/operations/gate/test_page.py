"""docs/gate.md shows what `dr gate` really prints, and lists the rules that there are."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_dr.operations import cli
from payment_dr.operations.gate.rules import RULES
from tests.operations.gate.changes import BREAKING, HARMLESS
from tests.operations.gate.plans import document, put

PROJECT = Path(__file__).resolve().parents[3]
PAGE = (PROJECT / "docs/gate.md").read_text(encoding="utf-8")
STACK = "api_gateway_alias"


def test_the_output_on_the_page_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = document(STACK)
    put("aws_route53_record.ohio", "health_check_id", "")(lost)
    (tmp_path / "plan.json").write_text(json.dumps(document(STACK, "first")))
    (tmp_path / "lost.json").write_text(json.dumps(lost))
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^```console\n\$ dr (gate .*)\n((?:(?!```).*\n)+)```", PAGE, re.MULTILINE)
    assert [command for command, _ in shown] == ["gate plan.json", "gate lost.json", "gate --explain no-health-check"]
    for command, output in shown:
        assert CliRunner().invoke(cli.app, command.split()).stdout == output


def test_the_page_lists_every_rule_and_no_other() -> None:
    stops = {"error": "always", "warning": "if the change adds it", "note": "never"}
    assert re.findall(r"^\| `.*\|$", PAGE, re.MULTILINE) == [
        f"| `{rule.id}` | {rule.sentence} | {rule.hint} | {stops[rule.level]} | [AWS]({rule.page}) |"
        for rule in RULES.values()
    ]


def test_pages_say_how_many_there_are() -> None:
    counts = re.search(r"lists (\d+) one-line changes .*?\s(\d+) that it lets pass", PAGE, re.DOTALL)
    assert counts
    assert (int(counts[1]), int(counts[2])) == (len(BREAKING), len(HARMLESS))
    assert f"; {len(RULES)} rules follow AWS's pages" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_rule_is_shown_by_a_change() -> None:
    """But for those that only a plan of another kind shows: `test_rules.py` has them."""
    from tests.operations.gate import test_rules

    shown = {change.rule for change in BREAKING} | set(test_rules.ALONE)
    assert set(RULES) - shown == set()
