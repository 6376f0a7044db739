"""The pages that are made from the stack: they are as the stack is, and complete."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import payment_dr
from pages import __main__ as command
from pages import architecture, construct_pages, interface
from pages.docstrings import documented
from pages.graph import elements, references
from pages.synthesis import PROJECT, Template, stack_of, template_of


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """Every page as it would be written now."""
    return command.pages()


@pytest.fixture(scope="module")
def stack() -> Template:
    return stack_of()


def test_no_page_has_drifted_from_the_stack(written: dict[str, str]) -> None:
    docs = PROJECT / "docs"
    drifted = [name for name, text in written.items() if (docs / name).read_text(encoding="utf-8") != text]
    assert drifted == [], "make docs"
    left_over = {f"constructs/{path.name}" for path in (docs / "constructs").iterdir()} - written.keys()
    assert left_over == set()


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
    assert props["ttl_seconds"].description.startswith("How long resolvers may keep an answer. Default 30; refused")


def test_variables_and_outputs_are_all_there_and_secret_ones_say_so(stack: Template) -> None:
    page = interface.render(stack, stack_of(custom_domain=True))
    for name in [*stack["variable"], *stack["output"]]:
        assert f"| `{name}` |" in page
    for name, output in stack["output"].items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.endswith("Sensitive. |") == bool(output.get("sensitive"))
    assert "| `application_url` |" in page.partition("### With a custom domain")[2]


def test_an_event_rule_is_drawn_as_running_its_function() -> None:
    template = template_of(construct_pages.MINIMAL / "health_monitor.py")
    paths = {address: "/".join(element.path) for address, element in elements(template).items()}
    arrows = {(paths[one], paths[other]) for one, other in references(template)}
    assert ("health/function/schedule_rule", "health/function/function") in arrows
    assert ("health/api", "health/function/function") in arrows
    assert ("health/function/function", "health/api") not in arrows


class TestThePicture:
    def test_it_shows_both_regions_with_what_the_stack_gives_them(self, stack: Template) -> None:
        found = architecture.read(stack)
        assert [(side.region, side.weight, side.parameters) for side in found.sides] == [
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

    def test_a_custom_domain_is_drawn_with_alias_records(self) -> None:
        assert "A, alias" in architecture.render(stack_of(custom_domain=True))


class TestTheCommand:
    @pytest.fixture
    def run(self, written: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        monkeypatch.setattr(command, "pages", lambda: written)
        monkeypatch.setattr(command.progress, "file", None)
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
