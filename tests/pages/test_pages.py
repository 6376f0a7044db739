"""The pages that are made from the stack: they are as the stack is, and complete."""

import ast
import copy
import inspect
import re
import xml.etree.ElementTree as ET
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import payment_dr
from pages import __main__ as command
from pages import architecture, construct_pages, interface, production
from pages.costs import estimate, total
from pages.docstrings import documented
from pages.graph import elements, references
from pages.synthesis import PROJECT, Template, stack_of, template_of
from payment_dr.checks import LIMITS, NAMES
from payment_dr.operations.drill.outages import OUTAGES
from payment_dr.operations.route53.recovery_time import Settings as ModelSettings
from payment_dr.operations.route53.recovery_time import switches
from payment_dr.production import Settings


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """Every page as it would be written now."""
    return command.pages()


def test_no_page_has_drifted_from_the_stack(written: dict[str, str]) -> None:
    docs = PROJECT / "docs"
    drifted = [name for name, text in written.items() if (docs / name).read_text(encoding="utf-8") != text]
    assert drifted == [], "make docs"
    left_over = {f"constructs/{path.name}" for path in (docs / "constructs").iterdir()} - written.keys()
    assert left_over == set()


BY_HAND = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"), *(PROJECT / "examples").rglob("*.md")]
PROGRAMS = {
    f"{page.relative_to(PROJECT)}-{number}": program
    for page in sorted(BY_HAND)  # the examples of the generated pages run when those are made
    for number, program in enumerate(
        re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    )
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_python_that_a_page_prints_runs_as_printed(program: str, tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_text(PROGRAMS[program], encoding="utf-8")
    assert template_of(file)["resource"]


def test_the_page_of_the_preset_has_a_line_for_each_setting_and_prices_each_that_costs(
    written: dict[str, str], stack: Template
) -> None:
    cells = [line.strip("| ").split(" | ") for line in written["production.md"].splitlines() if line.startswith("| `")]
    assert [each[0].strip("`") for each in cells] == [each.name for each in fields(Settings)]
    free = {each.name: each.metadata["production"] for each in fields(Settings) if not each.metadata["priced"]}
    assert total(estimate(stack_of(**{**free, "runbook": production.RUNBOOK}))) == total(estimate(stack))


def test_the_page_of_the_recovery_time_has_what_each_choice_gives_and_costs(written: dict[str, str]) -> None:
    cells = [line.strip("| ").split(" | ") for line in written["recovery-time.md"].splitlines() if line[:2] == "| "]
    found = {tuple(each[:3]): each[3:] for each in cells[1:]}
    assert len(found) == len(cells) - 1 == 24
    assert found["10", "3", "5"] == ["41.7", "55.2", "23.0", "9.50"]
    assert found["**30**", "**3**", "**30**"] == ["**126.7**", "**140.2**", "**63.0**", "**5.50**"]
    assert found["30", "5", "5"][:2] == ["164.7", "187.2 †"]
    # What the model takes for harmless is so, and little more is not: event by event, wherever the checkers are.
    fast = ModelSettings(request_interval_seconds=10, failure_threshold=3, ttl_seconds=5)
    assert not any(switches(fast, {"primary": (0, 22.9)}, seed, until=200) for seed in range(50))
    assert any(switches(fast, {"primary": (0, 29)}, seed, until=200) for seed in range(50))


def test_the_page_of_the_outages_says_of_each_what_must_happen(written: dict[str, str]) -> None:
    cells = [line.strip("| ").split(" | ") for line in written["outages.md"].splitlines() if line.startswith("| `")]
    assert [each[0].strip("`") for each in cells] == [*OUTAGES]
    must = {each[0].strip("`"): (each[2], each[3]) for each in cells}
    assert must["control-plane"] == ("must fail over; local payments go on", "201")
    assert must["secondary"] == ("must not fail over; local payments go on, confirmed payments stop", "141")
    assert must["recovery-backlog"] == ("must fail over, and back before replication has caught up", "201")


def test_every_construct_has_a_page() -> None:
    public = [getattr(payment_dr, name) for name in payment_dr.__all__]
    constructs = {
        each.__name__
        for each in public
        if isinstance(each, type) and each.__module__.startswith("payment_dr.") and hasattr(each, "to_string")
    }
    assert constructs == {each.__name__ for each in construct_pages.CONSTRUCTS}


def test_every_link_of_the_pages_leads_to_a_file(written: dict[str, str]) -> None:
    docs = PROJECT / "docs"
    links = [(name, link) for name, text in written.items() for link in re.findall(r"\]\((?!http)([^)#]+)", text)]
    assert [(name, link) for name, link in links if not (docs / name).parent.joinpath(link).is_file()] == []


@pytest.mark.parametrize("construct", construct_pages.CONSTRUCTS, ids=lambda each: each.__name__)
def test_each_prop_has_a_description_and_each_needed_one_is_in_the_example(construct: type) -> None:
    about = documented(construct)
    assert [prop.name for prop in about.props if not prop.description] == []
    example = (construct_pages.MINIMAL / f"{construct_pages.file_name(construct)}.py").read_text(encoding="utf-8")
    needed = [prop.name for prop in about.props if prop.default is None]
    assert [name for name in needed if f"{name}=" not in example] == []


@pytest.mark.parametrize("construct", construct_pages.CONSTRUCTS, ids=lambda each: each.__name__)
def test_each_public_attribute_is_listed_and_each_listed_one_exists(construct: type) -> None:
    (body,) = (
        node
        for node in ast.parse(Path(inspect.getfile(construct)).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == construct.__name__
    )
    there = {
        node.attr
        for node in ast.walk(body)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    is_property = {name for name, member in vars(construct).items() if isinstance(member, property)}
    listed = {name for names in documented(construct).attributes for name in names.split(", ")}
    assert listed == {name for name in there | is_property if not name.startswith("_")}


def test_a_prop_without_a_description_is_refused_by_name() -> None:
    class Silent:
        """A thing.

        Args:
            region: Where.
        """

        def __init__(self, *, region: str, purpose: str = "x") -> None:
            """Make it."""

    with pytest.raises(ValueError, match="Silent does not describe purpose"):
        documented(Silent)


def test_what_the_default_column_says_is_not_said_again() -> None:
    props = {prop.name: prop for prop in documented(payment_dr.DnsFailover).props}
    assert (props["failure_threshold"].default, props["failure_threshold"].description) == (
        "3",
        "Failures in a row before a check is unhealthy.",
    )
    assert props["ttl_seconds"].description.startswith("How long resolvers may keep an answer. Default 30. Fails")
    assert props["custom_domain"].description.endswith("of both endpoints.")
    props = {prop.name: prop for prop in documented(payment_dr.GlobalData).props}
    assert props["force_destroy"].description.endswith("their contents. Set it to False with real documents.")


def test_of_several_props_described_together_each_has_its_own_default() -> None:
    props = {prop.name: prop for prop in documented(payment_dr.DisasterRecoveryStack).props}
    assert props["failure_threshold"].description == "Timing of the failover, see `DnsFailover`."
    assert props["ttl_seconds"].description == "Timing of the failover, see `DnsFailover`. Default 30."
    assert props["secondary_region"].description == "AWS regions."


def test_variables_and_outputs_are_all_there_and_secret_ones_say_so(
    stack: Template, with_custom_domain: Template
) -> None:
    page = interface.render(stack, with_custom_domain, stack_of(switch=True, failback="operator"))
    for name in [*stack["variable"], *stack["output"]]:
        assert f"| `{name}` |" in page
    for name, output in stack["output"].items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.endswith("Sensitive. |") == bool(output.get("sensitive"))
    _, _, more = page.partition("### With a custom domain")
    with_domain, _, with_switch = more.partition("### With the switch")
    assert "| `application_url` |" in with_domain
    assert "| `switch_table_name` |" in with_switch
    assert "| `switch_takeover_function_name` |" in with_switch


class TestTheDiagrams:
    @staticmethod
    def arrows(example: str) -> set[tuple[str, str]]:
        template = template_of(construct_pages.MINIMAL / f"{example}.py")
        paths = {address: "/".join(element.path) for address, element in elements(template).items()}
        return {(paths[one], paths[other]) for one, other in references(template)}

    def test_an_event_rule_is_drawn_as_running_its_function(self) -> None:
        arrows = self.arrows("health_monitor")
        assert ("health/function/schedule_rule", "health/function/function") in arrows
        assert ("health/api", "health/function/function") in arrows
        assert ("health/function/function", "health/api") not in arrows

    def test_a_role_leads_to_what_its_policy_names_and_not_to_who_may_assume_it(self) -> None:
        arrows = self.arrows("config_sync")
        assert {other for one, other in arrows if one == "config/east/role/role"} == {
            "config/parameter_api_key_east",
            "config/east_to_west/role",
        }
        assert {other for one, other in arrows if one == "config/east_to_west/role"} == {
            "config/parameter_api_key_west"
        }

    def test_an_arrow_leads_through_what_is_left_out(self) -> None:
        assert ("domain/domain_name", "domain/certificate") in self.arrows("custom_domain")

    def test_a_replica_is_drawn_in_its_region(self, written: dict[str, str]) -> None:
        boxes = self.boxes(written["constructs/global_data.md"])
        assert [box for box in boxes["us-west-2"] if "replica" in box] == [boxes["us-west-2"][-1]]
        assert f"<--> {boxes['us-west-2'][-1].partition('[')[0]}\n" in written["constructs/global_data.md"]

    def test_of_the_whole_stack_each_construct_stands_where_its_resources_are(self, written: dict[str, str]) -> None:
        boxes = self.boxes(written["constructs/disaster_recovery_stack.md"])
        assert boxes["both regions"] == ["config_sync", "data", "dns"]
        for region, label in (("us-east-1", "east"), ("us-west-2", "west")):
            assert boxes[region] == [
                f"{each}_{label}" for each in ("alerting", "encryption", "health_monitor", "network")
            ]

    def test_each_can_be_taken_in_at_a_glance(self, written: dict[str, str]) -> None:
        diagrams = {name: self.boxes(text) for name, text in written.items() if "```mermaid" in text}
        assert len(diagrams) == len(construct_pages.CONSTRUCTS)
        drawn = {name: sum(len(here) for here in boxes.values()) for name, boxes in diagrams.items()}
        assert {name: number for name, number in drawn.items() if not 1 <= number <= 15} == {}

    @staticmethod
    def boxes(page: str) -> dict[str, list[str]]:
        """What stands in each place of a page's diagram."""
        places = re.findall(r'^  subgraph \w+\["(.+)"\]\n((?:    .+\n)*)  end$', page, re.MULTILINE)
        return {place: [box.strip() for box in here.splitlines()] for place, here in places}


def test_the_type_of_a_prop_leads_to_what_is_written_about_it(written: dict[str, str]) -> None:
    assert (
        "| `primary` | [`Endpoint`](values.md#endpoint) | required | What the name points to. |\n"
        in written["constructs/dns_failover.md"]
    )
    headings = {each.lower() for each in re.findall(r"^## (.+)$", written["constructs/values.md"], re.MULTILINE)}
    linked = {each for text in written.values() for each in re.findall(r"\(values\.md#(\w+)\)", text)}
    assert headings == linked
    assert "condition" in linked  # which only another value takes
    assert "| `principals` | `Mapping[str, Sequence[str]]` | `{}` |" in written["constructs/values.md"]


def test_the_page_of_limits_has_the_row_of_every_check(written: dict[str, str]) -> None:
    page = written["constructs/limits.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for prop, limit in LIMITS.items():
        named = [row for row in rows if f"`{prop.rpartition('.')[2]}`" in row.split("|")[1]]
        assert [row for row in named if limit.takes in row and limit.page in row], prop
    assert [start for start in NAMES if f"| `{start}…` | {NAMES[start].takes} " not in page] == []
    assert "| `account` | DisasterRecoveryStack | an AWS account id of twelve digits (" in page
    assert "ConfigurationError" not in page  # whose `owner` is no tag


def test_a_page_says_in_words_what_its_resources_are_for(written: dict[str, str]) -> None:
    page = written["constructs/config_sync.md"]
    assert "`config/east/function`: Copies changed parameters from us-east-1 to us-west-2<br>" in page


class TestThePicture:
    def test_it_shows_both_regions_with_what_the_stack_gives_them(self, stack: Template) -> None:
        found = architecture.read(stack)
        assert [(half.region, half.weight, half.parameters) for half in found.halves] == [
            ("us-east-1", 100, 2),
            ("us-west-2", 0, 2),
        ]
        assert (found.fqdn, found.records) == ("app.payment-app.test", "CNAME, TTL 30 s")
        assert found.table_replicates
        assert found.bucket_replicates_from == {"us-east-1"}
        assert found.config_syncs_from == {"us-east-1", "us-west-2"}
        picture = architecture.render(stack)
        for said in ("us-west-2", "weight 100", "weight 0", "TTL 30 s", "every 30 s", "down after 3 failures"):
            assert said in picture

    def test_it_follows_a_change_of_the_stack(self, stack: Template) -> None:
        changed: Any = copy.deepcopy(stack)
        for check in changed["resource"]["aws_route53_health_check"].values():
            check["request_interval"] = 10
        changed["resource"]["aws_s3_bucket_replication_configuration"].clear()
        before, picture = architecture.render(stack), architecture.render(changed)
        assert "every 10 s" in picture
        assert picture.count('class="copy"') == before.count('class="copy"') - 1

    def test_only_the_probes_of_the_region_that_failed_fail(self, stack: Template) -> None:
        panels = ET.fromstring(architecture.render(stack)).findall("{*}g")  # noqa: S314 - our own
        probes = [[path.get("class") for path in panel.findall("{*}path")] for panel in panels]
        assert probes == [["probe", "probe"], ["probe", "gone"]]
        serving = [panel.findall(".//{*}g/{*}rect[@class='region serving']/../{*}text[1]") for panel in panels]
        assert [[text.text for text in texts] for texts in serving] == [["us-east-1"], ["us-west-2"]]

    def test_a_custom_domain_is_drawn_with_alias_records(self, with_custom_domain: Template) -> None:
        assert "A, alias" in architecture.render(with_custom_domain)


class TestTheCommand:
    @pytest.fixture
    def run(self, written: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        monkeypatch.setattr(command, "pages", lambda: written)
        return lambda *arguments: CliRunner().invoke(command.app, ["--docs", str(tmp_path), *arguments])

    def test_it_writes_and_is_done(self, run: Any, written: dict[str, str], tmp_path: Path) -> None:
        assert run("--check").exit_code == 1
        assert list(tmp_path.iterdir()) == []
        first = run()
        assert (first.exit_code, first.stdout.splitlines()) == (0, [str(tmp_path / name) for name in written])
        assert run("--check").exit_code == 0
        assert run("--json").stdout == '{\n  "changed": []\n}\n'

    def test_a_page_that_was_edited_by_hand_is_named(self, run: Any, tmp_path: Path) -> None:
        run()
        (tmp_path / "costs.md").write_text("nothing")
        found = run("--check")
        assert (found.exit_code, found.stdout) == (1, f"{tmp_path / 'costs.md'}\n")
        assert found.stderr.splitlines()[-1] == "hint: make docs"
