"""The gate reads a stranger's file: whatever is wrong with it ends in one line and a hint."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payment_dr.operations.errors import OperationError
from payment_dr.operations.gate import plan as plan_module
from payment_dr.operations.gate.plan import UNKNOWN, parse, read
from payment_dr.operations.gate.report import Judged, as_json, markdown, sarif, text
from payment_dr.operations.gate.verdict import judge_plan
from tests.operations.gate.plans import OURS, THEIRS, document, judged
from tests.operations.gate.small import FAILOVER, REGIONS, pair, standing

NAN = b'{"format_version": "1.2", "resource_changes": NaN}'
CHANGE = {"address": "a.b", "type": "a", "change": {"actions": ["create"], "after": {}}}


def plan_of(*changes: Any) -> bytes:
    return json.dumps({"format_version": "1.2", "resource_changes": list(changes)}).encode()


REFUSED = {
    "empty": (b"", "is empty"),
    "blank": (b"  \n", "is empty"),
    "text": (b"No changes.", "is not JSON at line 1"),
    "truncated": (b'{"format_version": "1.2",\n "resource_changes": [', "is not JSON at line 2"),
    "a plan file": (b"PK\x03\x04rest", "is a plan file, not its JSON"),
    "bytes": (b"\xff\xfe\xfd", "is not JSON"),
    "a list": (b"[]", "is JSON, but not a plan or a state"),
    "a number": (b"1", "is JSON, but not a plan or a state"),
    "another document": (b'{"Resources": {}}', "is JSON, but not a plan or a state"),
    "a stored state": (b'{"version": 4, "serial": 3, "lineage": "x"}', "is a raw state file"),
    "a future format": (b'{"format_version": "2.0", "resource_changes": []}', "has the format '2.0'"),
    "a format that is none": (b'{"format_version": {"a": 1}, "values": {}}', "has the format"),
    "no number": (NAN, "is not JSON"),
    "a long number": (b'{"format_version": ' + b"9" * 5000 + b"}", "is not JSON"),
    "deep": (b'{"format_version": "1.2", "values": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, "is nested too deeply"),
    "deeper than any plan": (
        b'{"format_version": "1.2", "values": ' + b'{"a":' * 150 + b"1" + b"}" * 151,
        "is nested too deeply",
    ),
    "very deep": (b"[" * 200_000, "is nested too deeply"),
    "failed": (b'{"format_version": "1.2", "errored": true, "resource_changes": []}', "is a failed plan"),
    "nothing": (b'{"format_version": "1.0"}', "it is the state of nothing"),
    "changes that are none": (
        b'{"format_version": "1.2", "resource_changes": {}}',
        "its resource_changes are not a list",
    ),
    "a change that is none": (plan_of(1), "a change in it has no address"),
    "a former address that is none": (plan_of({**CHANGE, "previous_address": ["x"]}), "a former address in it"),
    "an address that is none": (plan_of({**CHANGE, "address": ["x"]}), "a change in it has no address"),
    "no actions": (plan_of({**CHANGE, "change": {"after": {}}}), "a change in it has no address"),
    "values that are none": (plan_of({**CHANGE, "change": {"actions": ["create"], "after": [1]}}), "a.b has values"),
    "a resource that is none": (
        b'{"format_version": "1.0", "values": {"root_module": {"resources": [{"address": 1}]}}}',
        "a resource in it has no address",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_plan_is_an_error_with_a_hint(name: str) -> None:
    content, expected = REFUSED[name]
    with pytest.raises(OperationError) as raised:
        parse(io.BytesIO(content), "plan.json")
    assert raised.value.message.startswith("plan.json ")
    assert expected in raised.value.message
    assert "\n" not in raised.value.message + raised.value.hint
    assert raised.value.hint
    assert raised.value.exit_code == 2


def test_a_plan_of_the_maximum_depth_is_read() -> None:
    deep = '{"a":' * 90 + "1" + "}" * 90
    change = json.dumps(CHANGE).replace('"after": {}', f'"after": {deep}')
    found = parse(io.BytesIO(b'{"format_version": "1.2", "resource_changes": [' + change.encode() + b"]}"), "plan.json")
    assert found.after.resources["a.b"].get("a", "a") is not None


def test_a_huge_file_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "MOST_BYTES", 1024**2)

    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            Endless.asked += size
            return b" " * size

    with pytest.raises(OperationError, match="has more than 1 MB"):
        parse(Endless(), "plan.json")  # type: ignore[arg-type]
    assert Endless.asked == 1024**2 + 1


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(OperationError, match=str(path)):
            read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])  # PowerShell's > writes the last one
def test_a_plan_is_read_in_each_encoding_that_shells_write(encoding: str) -> None:
    content = json.dumps(document("weighted_module")).encode(encoding)
    assert judge_plan(parse(io.BytesIO(content), "plan.json"), 180).verdict == "holds"


def test_times_of_many_digits_stay_apart_and_on_the_screen() -> None:
    # A TTL is at most 2147483647: https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
    content = json.dumps(
        {"format_version": "1.2", "resource_changes": standing(*pair(FAILOVER, ttl=2**31 - 1)), "configuration": {}}
    )
    lines = list(text(Judged("plan.json", judge_plan(parse(io.BytesIO(content.encode()), "plan.json"), 180))))
    (moved,) = (line for line in lines if line.startswith(f"  {REGIONS[0]} fails"))
    assert (moved.split()[-4:], len(moved)) == (["2147483684", "s"] * 2, 80)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "us-east-1", "\x1b[2J", "\ud800", "a" * 300, "aws_lb.x", "-1", "1e999", "\n\n|`<b>@x"])
    | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
    max_leaves=6,
)


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in a document, as its parent and key."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(each, dict | list):
            places(each, found)
    return found


def assert_no_traceback(content: bytes) -> None:
    """All that the gate does with a file: it ends in an error of its own, or in a verdict in each form."""
    try:
        plan = parse(io.BytesIO(content), "plan.json")
    except OperationError as error:
        if "\n" in error.message:
            pytest.fail(error.message)
        return
    found = Judged("plan.json", judge_plan(plan, 180))
    assert found.judgement.exit_code in (0, 1, 2)
    lines = list(text(found))
    assert [line for line in lines if len(line) > 80 and " " in line[2:].strip()] == []
    json.dumps([as_json([found]), sarif([found])]).encode()
    markdown(found).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    stack=st.sampled_from(THEIRS),
    kind=st.sampled_from(["first", "deployed"]),
    seed=st.integers(0),
    junk=st.lists(JUNK, min_size=1, max_size=6),
    left_out=st.booleans(),
)
def test_no_plan_ends_in_a_traceback(stack: str, kind: str, seed: int, junk: list[Any], left_out: bool) -> None:
    """Real plans with values of any kind in some places; some have every other resource in the prior state alone."""
    rng, found = random.Random(seed), document(stack, kind)  # noqa: S311 - which place is changed
    if left_out:
        changes = found["resource_changes"]
        found["prior_state"]["values"]["root_module"]["resources"] = [
            {"address": each["address"], "type": each["type"], "values": each["change"]["before"]} for each in changes
        ]
        found["resource_changes"] = changes[::2]
    for each in junk:
        parent, key = rng.choice(places(found, []))
        parent[key] = each
    assert_no_traceback(json.dumps(found).encode())


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200) | JUNK.map(lambda each: json.dumps(each).encode()))
def test_no_bytes_end_in_a_traceback(content: bytes) -> None:
    assert_no_traceback(content)


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0, 1), stack=st.sampled_from(THEIRS))
def test_no_truncated_plan_ends_in_a_traceback(cut: float, stack: str) -> None:
    content = json.dumps(document(stack, "first")).encode()
    with pytest.raises(OperationError, match=r"is (not JSON|empty)"):
        parse(io.BytesIO(content[: int(cut * (len(content) - 1))]), "plan.json")


def test_records_that_name_each_other_in_a_circle_end(tmp_path: Path) -> None:
    def record(name: str, to: str) -> dict[str, Any]:
        after = {
            "name": f"{name}.acme.io", "type": "A", "zone_id": "Z1", "set_identifier": name,
            "failover_routing_policy": [{"type": "PRIMARY"}],
            "alias": [{"name": f"{to}.acme.io", "evaluate_target_health": True}],
        }  # fmt: skip
        address = f"aws_route53_record.{name}"
        return {
            "address": address,
            "type": "aws_route53_record",
            "change": {"actions": ["create"], "before": None, "after": after},
        }

    assert_no_traceback(plan_of(record("a", "b"), record("b", "a"), record("c", "c")))
    assert_no_traceback(plan_of(*(record(f"n{n}", f"n{n + 1}") for n in range(300))))


def test_values_are_read_with_what_is_known_after_apply() -> None:
    found = parse(
        io.BytesIO(
            plan_of(
                {
                    **CHANGE,
                    "change": {
                        "actions": ["create"],
                        "before": None,
                        "after": {"ttl": "30", "alias": [{"name": "x"}], "on": True, "many": 1e400},
                        "after_unknown": {"id": True, "alias": [{"zone_id": True}]},
                    },
                }
            ).replace(b"Infinity", b"1e400")
        ),
        "plan.json",
    ).after.resources["a.b"]
    assert found.get("id") is UNKNOWN
    assert found.get("alias", 0, "zone_id") is UNKNOWN
    assert (found.text("alias", 0, "name"), found.get("none"), found.get("alias", 3)) == ("x", None, None)
    assert (found.number("ttl", default=0), found.number("on", default=7), found.number("many", default=9)) == (
        30,
        7,
        9,
    )
    assert found.truth("on")


@pytest.mark.parametrize("name", [*OURS, *THEIRS])
def test_first_plans_hold_or_say_what_is_not_known(name: str) -> None:
    found = judged(document(name, "first"))
    # A module of records gets them through for_each, so which address is whose is known after apply.
    assert found.verdict == ("cannot tell" if name == "weighted_module" else "holds"), found.findings
    assert [each for each in found.findings if each.stops or each.new] == []


@pytest.mark.parametrize("name", [*OURS, *THEIRS])
def test_a_state_is_judged_as_the_plan_that_has_nothing_to_change(name: str) -> None:
    deployed = document(name)
    resources = [
        {
            "address": each["address"],
            "type": each["type"],
            "index": each.get("index"),
            "values": each["change"]["after"],
        }
        for each in deployed["resource_changes"]
    ]
    state = {"format_version": "1.0", "values": {"root_module": {"child_modules": [{"resources": resources}]}}}
    found = judged(state)
    assert (found.verdict, found.is_state) == ("holds", True)
    in_plan = judged(deployed)
    assert [(each.key.fqdn, each.after.regions if each.after else None) for each in found.names] == [
        (each.key.fqdn, each.after.regions if each.after else None) for each in in_plan.names
    ]
