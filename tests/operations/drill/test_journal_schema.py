"""The JSON Schema of a drill's journal: it describes what a drill writes, and refuses what none does."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pages.journal_schema import DIALECT, schema, violations
from payment_dr.operations.drill.journal import Content, InconclusiveError
from tests.operations.drill.test_run import drill, stack, steps  # noqa: F401 - the fixtures of a drill on fakes
from tests.operations.report import journals

SCHEMA = schema()


def wrong(journal: Any) -> list[str]:
    return violations(json.loads(json.dumps(journal)), SCHEMA, SCHEMA)


@pytest.mark.parametrize("kind", ["region", "both"])
def test_the_journal_of_a_drill_is_as_the_schema_says(kind: str, drill: Callable[..., Content]) -> None:  # noqa: F811
    journal: Any = drill(kind)
    assert wrong(journal) == []
    assert journal.keys() == SCHEMA["properties"].keys()


def test_a_drill_that_broke_off_is_as_the_schema_says_too(
    drill: Callable[..., Content],  # noqa: F811
    stack: Any,  # noqa: F811
) -> None:
    stack.parameters["secondary"].clear()
    with pytest.raises(InconclusiveError) as ended:
        drill()
    assert wrong(json.loads(ended.value.journal.read_text())) == []


Change = Callable[[Any], object]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda j: j.update(schema=2), "$.schema: 2 is not 1"),
        (lambda j: j.update(seed="42"), "$.seed: '42' is no integer"),
        (lambda j: j.update(seed=True), "$.seed: True is no integer"),
        (lambda j: j.update(more=1), "$: more is not known"),
        (lambda j: j.pop("schema"), "$: lacks schema"),
        (lambda j: j.update(time="soon"), "$.time: 'soon' is none of ['real', 'virtual']"),
        (lambda j: j["targets"][0].pop("met"), "$.targets[0]: lacks met"),
        (lambda j: j["system"].update(caller=7), "$.system.caller: 7 is no string"),
        (
            lambda j: j["regions"].update(third="eu-west-1"),
            "$.regions (key): 'third' is none of ['primary', 'secondary']",
        ),
        (lambda j: j["events"][0].pop("at"), "$.events[0]: lacks at"),
        (lambda j: j["events"][0].update(kind="party"), "$.events[0].kind: 'party' is not"),
    ],
)
def test_the_schema_rejects_a_journal_that_no_drill_writes(change: Change, line: str) -> None:
    journal = journals.passed()
    before = wrong(journal)
    change(journal)
    assert [each for each in wrong(journal) if each not in before and each.startswith(line)] != []


def test_every_reference_has_a_definition_and_every_word_is_one_that_the_check_knows() -> None:
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(SCHEMA)))
    assert references == SCHEMA["$defs"].keys()
    assert SCHEMA["$schema"] == DIALECT

    def words(part: Mapping[str, Any]) -> set[str]:
        found = set(part)
        for name in ("properties", "$defs"):
            for each in part.get(name, {}).values():
                found |= words(each)
        for name in ("items", "additionalProperties", "propertyNames"):
            if isinstance(part.get(name), dict):
                found |= words(part[name])
        for each in part.get("anyOf", ()):
            found |= words(each)
        return found

    known = {"$ref", "anyOf", "const", "enum", "type", "items", "required", "properties", "propertyNames"}
    assert words(SCHEMA) - known == {"$schema", "$defs", "title", "description", "additionalProperties"}
