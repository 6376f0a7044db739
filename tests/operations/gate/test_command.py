"""`dr gate` as people, pull requests and code hosts meet it."""

import json
import re
import socket
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from payment_dr.operations import cli
from payment_dr.operations.gate.rules import RULES
from tests.operations.gate.plans import Document, Step, destroy, document, put

PROJECT = Path(__file__).resolve().parents[3]
DNS1 = "aws_route53_record.dns_primary_record"
LOST = put(DNS1, "health_check_id", "")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither AWS nor Terraform is called: no socket is opened, no program is started."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the gate asked somebody")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def dr(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["gate", *arguments], input=stdin)


def file_of(folder: Path, stack: str, *steps: Step, kind: str = "deployed") -> str:
    found: Document = document(stack, kind)
    for step in steps:
        step(found)
    path = folder / "plan.json"
    path.write_text(json.dumps(found))
    return str(path)


def test_a_plan_that_holds_exits_with_0_and_says_how_long_it_takes(tmp_path: Path) -> None:
    done = dr(file_of(tmp_path, "default"))
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[lines.index(next(filter(re.compile("app").match, lines))) :][:4] == [
        "app.payment-app.test (CNAME)                                   before      after",
        "  us-east-1 fails, clients get us-west-2                        127 s      127 s",
        "    failback                                                    124 s      124 s",
        "  us-west-2 fails                                          unaffected unaffected",
    ]
    assert lines[-1] == "Failover holds: app.payment-app.test leaves us-east-1 within 127 s, target 180 s"


def test_a_plan_that_breaks_exits_with_1_and_says_what_the_change_makes_of_it(tmp_path: Path) -> None:
    done = dr(file_of(tmp_path, "default", LOST))
    assert (done.exit_code, done.stderr) == (1, "")
    assert "  us-east-1 fails                                               127 s      never" in done.stdout
    output = " ".join(done.stdout.split())
    assert f"breaks, new: {DNS1} loses its health check" in output
    assert "hint: Set its health_check_id to a health check that probes its region." in output
    assert "AWS's page: dr gate --explain no-health-check" in output
    assert f"This plan would break failover: failover 127 s -> never: {DNS1} loses its health check" in output
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_a_failover_that_was_broken_before_stops_too_and_is_not_called_new(tmp_path: Path) -> None:
    broken: Document = document("default")
    LOST(broken)
    for each in broken["resource_changes"]:
        change = each["change"]
        change["before"], change["actions"] = change["after"], ["no-op"]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(broken))
    done = dr(str(path))
    assert done.exit_code == 1
    output = " ".join(done.stdout.split())
    assert f"breaks, not new: {DNS1} has no health check" in output
    assert "Failover stays broken after this plan" in output


def test_a_plan_with_too_many_unknowns_exits_with_2_and_names_them(tmp_path: Path) -> None:
    done = dr(file_of(tmp_path, "weighted_module", kind="first"))
    assert done.exit_code == 2
    output = " ".join(done.stdout.split())
    assert 'not known: records of module.records.aws_route53_record.this["paris"] (one of aws_eip.' in output
    assert "Cannot tell whether failover holds" in output


def test_a_plan_without_anything_that_fails_over_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"format_version": "1.2", "resource_changes": []}')
    done = dr(str(path))
    assert done.exit_code == 2
    assert "no name in this plan leads to two regions, and it copies no data" in " ".join(done.stdout.split())


def test_the_target_is_that_of_the_option(tmp_path: Path) -> None:
    path = file_of(tmp_path, "default")
    assert [dr(path, "--target", each).exit_code for each in ("127s", "126s", "3m")] == [0, 1, 0]
    output = " ".join(dr(path, "--target=100s").stdout.split())
    assert "needs 3 x 30 s, so a failover takes 127 s, beyond the target of 100 s [beyond-target]" in output
    wrong = dr(path, "--target", "soon")
    assert (wrong.exit_code, wrong.stderr.splitlines()[0]) == (2, "error: --target soon is not a duration")


def test_stdin_is_read_and_an_error_is_two_lines() -> None:
    done = dr("-", stdin=json.dumps(document("aurora_global")).encode())
    assert (done.exit_code, done.stderr) == (0, "")
    for stdin, message in (
        (b"", "error: stdin is empty"),
        (b"PK\x03\x04", "error: stdin is a plan file, not its JSON"),
    ):
        failed = dr("-", stdin=stdin)
        assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (2, "", 2)
        assert failed.stderr.splitlines()[0] == message
        assert failed.stderr.splitlines()[1].startswith("hint: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no plan was given"),
        (("no-such.json",), "there is no file no-such.json"),
        (("no-such.json", "--json", "--sarif"), "--json and --sarif exclude each other"),
        (("--explain", "no-helth-check"), "there is no rule no-helth-check"),
    ],
)
def test_a_wrong_argument_is_an_error_with_a_hint(arguments: tuple[str, ...], message: str) -> None:
    done = dr(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}\nhint: ")


def test_json_has_everything_and_the_worst_of_several_plans_decides(tmp_path: Path) -> None:
    broken = file_of(tmp_path, "default", LOST)
    (tmp_path / "other").mkdir()
    well = file_of(tmp_path / "other", "alb_failover")
    done = dr(broken, well, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [plan["verdict"] for plan in found["plans"]] == ["breaks", "holds"]
    (name,) = found["plans"][0]["names"]
    assert name["before"]["outages"][0] == {
        "region": "us-east-1",
        "clients_get": ["us-west-2"],
        "never": False,
        "failover_seconds": pytest.approx(126.7),
        "failback_seconds": pytest.approx(124.1),
    }
    assert name["after"]["outages"][0]["never"] is True
    (finding,) = [each for each in found["plans"][0]["findings"] if each["stops"]]
    assert (finding["rule"], finding["address"], finding["new"]) == ("no-health-check", DNS1, True)
    assert finding["page"].startswith("https://docs.aws.amazon.com/")
    table = {"kind": "DynamoDB table", "address": "aws_dynamodb_table.data_table"}
    assert {**table, "from": "us-east-1", "to": "us-west-2"} in found["plans"][0]["copies"]


def test_markdown_is_a_summary_with_before_and_after(tmp_path: Path) -> None:
    done = dr(file_of(tmp_path, "default", LOST), "--markdown")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("**dr gate: breaks.** This plan would break failover: failover 127 s -\\> never: ")
    assert "| app.payment-app.test (CNAME) | us-east-1 fails | 127 s | never |" in lines
    assert any(
        line.startswith("- aws\\_route53\\_record.dns\\_primary\\_record loses its health check") for line in lines
    )


def test_nothing_in_a_plan_commands_a_terminal_or_a_page(tmp_path: Path) -> None:
    evil = "\x1b[2J</details><script>|`@team`\n# x"
    found: Document = document("default")
    LOST(found)
    text = json.dumps(found).replace("dns_primary_record", json.dumps(evil)[1:-1]).replace("app.payment-app", "*app*")
    path = tmp_path / "plan.json"
    path.write_text(text)
    plain, page = dr(str(path)), dr(str(path), "--markdown")
    assert (plain.exit_code, page.exit_code) == (1, 1)
    assert "\x1b" not in plain.stdout + page.stdout
    before_the_fold = page.stdout.partition("<details><summary>What")[0]
    assert "<script>" not in before_the_fold.replace("\\<script\\>", "")
    assert "@team" not in before_the_fold
    assert json.loads(dr(str(path), "--sarif").stdout)["runs"][0]["results"]


def without(schema: Any, value: Any, where: str = "") -> list[str]:
    """What a value lacks of a schema: a dict of the keys that must be there, a type, or a list of such."""
    if isinstance(schema, type):
        return [] if isinstance(value, schema) else [f"{where} is no {schema.__name__}"]
    if isinstance(schema, list):
        missing = [] if isinstance(value, list) else [f"{where} is no list"]
        return missing or [each for n, part in enumerate(value) for each in without(schema[0], part, f"{where}[{n}]")]
    return [
        each
        for key, part in schema.items()
        for each in (without(part, value[key], f"{where}.{key}") if key in value else [f"{where}.{key} is missing"])
    ]


# What GitHub reads of SARIF 2.1.0:
# https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
TEXT = {"text": str}
SARIF: dict[str, Any] = {
    "$schema": str,
    "version": str,
    "runs": [
        {
            "tool": {
                "driver": {
                    "name": str,
                    "semanticVersion": str,
                    "rules": [
                        {
                            "id": str,
                            "name": str,
                            "shortDescription": TEXT,
                            "fullDescription": TEXT,
                            "help": {**TEXT, "markdown": str},
                            "helpUri": str,
                            "defaultConfiguration": {"level": str},
                            "properties": {"tags": list},
                        }
                    ],
                }
            },
            "invocations": [{"executionSuccessful": bool}],
            "results": [
                {
                    "ruleId": str,
                    "ruleIndex": int,
                    "level": str,
                    "message": TEXT,
                    "locations": [
                        {
                            "physicalLocation": {"artifactLocation": {"uri": str}, "region": {"startLine": int}},
                            "logicalLocations": [{"fullyQualifiedName": str}],
                        }
                    ],
                    "partialFingerprints": {"ruleAndAddress/v1": str},
                }
            ],
        }
    ],
}


def test_sarif_has_what_code_hosts_read(tmp_path: Path) -> None:
    done = dr(file_of(tmp_path, "default", LOST, destroy("aws_sns_topic_subscription.alerting_east_email")), "--sarif")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert without(SARIF, found) == []
    assert found["version"] == "2.1.0"
    (run,) = found["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert len({rule["name"] for rule in rules}) == len(rules)
    results = run["results"]
    assert {(each["ruleId"], each["level"]) for each in results} >= {
        ("no-health-check", "error"),
        ("topic-unheard", "error"),
        ("unprotected", "warning"),
        ("apply-needs-both", "note"),
    }
    for each in results:
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        assert each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "plan.json"
    prints = [each["partialFingerprints"]["ruleAndAddress/v1"] for each in results]
    assert len(set(prints)) == len({(each["ruleId"], each["message"]["text"]) for each in results})


ONLY_WITH = """
import sys
from importlib.machinery import PathFinder

class Rest:
    "Not installed."
    @staticmethod
    def find_spec(name, path=None, target=None):
        found = PathFinder.find_spec(name, path) if "." not in name else None
        if found and "site-packages" in str(found.origin) and name not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Rest)
sys.argv = ["dr", "gate", PLAN]
from payment_dr.operations.entry_point import main
main()
"""


def test_the_gate_needs_no_more_than_the_packages_of_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install boto3 rich typer` and the wheel without its dependencies: neither CDKTF nor Matplotlib."""
    monkeypatch.undo()
    page = (PROJECT / "docs/gate.md").read_text(encoding="utf-8")
    lines = (PROJECT / "requirements/gate.in").read_text().splitlines()
    listed = [line.partition(">")[0] for line in lines if not line.startswith("#")]
    needed = [name for name in listed if name != "setuptools"]  # builds the wheel, which the page has already
    assert f"pip install {' '.join(needed)} && pip install --no-deps ./payment_dr-*.whl" in page
    locked = re.findall(r"^([\w-]+)==", (PROJECT / "requirements/gate.txt").read_text(), re.MULTILINE)
    locked.remove("setuptools")
    modules = {name: {*(distribution(name).read_text("top_level.txt") or "").split(), name, name.replace("-", "_")}
               for name in locked}  # fmt: skip
    allowed = sorted({"payment_dr", "dateutil", "six", *(each for names in modules.values() for each in names)})
    script = ONLY_WITH.replace("ALLOWED", repr(allowed)).replace("PLAN", repr(file_of(tmp_path, "alb_failover")))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("Failover holds: ")


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_explained_with_its_page(rule: str) -> None:
    done = dr("--explain", rule)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith(f"{rule}: ")
    assert any(line.startswith("hint: ") for line in done.stdout.splitlines())
    assert re.fullmatch(r"https://docs\.aws\.amazon\.com/\S+\.html", done.stdout.splitlines()[-1])
    assert [line for line in done.stdout.splitlines()[:-1] if len(line) > 80] == []


@pytest.mark.parametrize(
    ("rule", "when"),
    [
        ("no-health-check", "stops every plan that has it"),
        ("unprotected", "stops a plan that adds it to an existing resource, and warns otherwise"),
        ("alarm-action-elsewhere", "stops a plan that adds it, and warns otherwise"),
        ("apply-needs-both", "never stops a plan"),
    ],
)
def test_an_explanation_says_which_plans_the_rule_stops(rule: str, when: str) -> None:
    output = " ".join(dr("--explain", rule).stdout.split())
    assert output.startswith(f"{rule}: {when} {RULES[rule].sentence}")
