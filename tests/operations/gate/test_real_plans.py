"""What real Terraform plans for an edited source is judged as the same change made in a plan's JSON."""

import json
from collections.abc import Callable

import pytest

from tests.operations.gate.changes import API, BREAKING, CHECK, HARMLESS, PARIS, WEIGHTED, Change
from tests.operations.gate.make_plans import STACKS, settled, slim, terraform_of
from tests.operations.gate.plans import Document, document, judged

pytestmark = pytest.mark.slow

Edit = Callable[[Document], object]


def records(source: Document) -> Document:
    found: Document = source["module"]["records"]["records"]
    return found


# What one would edit in main.tf.json, by the change of `changes.py` that it makes.
EDITS: dict[str, dict[str, Edit]] = {
    WEIGHTED: {
        "a record loses its check": lambda s: records(s)["paris"].update(health_check_id=""),
        "one of two children suffices": lambda s: s["resource"]["aws_route53_health_check"]["frankfurt_all"].update(
            child_health_threshold=1
        ),
        "a weight of 0": lambda s: records(s)["frankfurt"].update(weight=0),
        "another TTL for one of them": lambda s: records(s)["paris"].update(ttl=30),
        "the address of the other region": lambda s: records(s)["paris"].update(
            records=["${aws_eip.frankfurt.public_ip}"]
        ),
        "other shares": lambda s: [each.update(weight=50) for each in records(s).values()],
        "a queue is destroyed": lambda s: s["resource"].pop("aws_sqs_queue"),
    },
    API: {
        "the primary loses its check": lambda s: s["resource"]["aws_route53_record"]["ohio"].pop("health_check_id"),
        "the route that is probed is removed": lambda s: s["resource"]["aws_apigatewayv2_route"].pop("ohio_ping"),
        "the replica of the key is destroyed": lambda s: s["resource"].pop("aws_kms_replica_key"),
        "the standby's domain is not mapped": lambda s: s["resource"]["aws_apigatewayv2_api_mapping"].pop("canada"),
        "an order's route is removed": lambda s: s["resource"]["aws_apigatewayv2_route"].pop("ohio_orders"),
    },
}


def found_in(plan: Document) -> tuple[str, list[tuple[str, str]]]:
    found = judged(plan)
    return found.verdict, sorted({(each.rule, each.address) for each in found.stopping})


def in_json(change: Change) -> tuple[str, list[tuple[str, str]]]:
    found = document(change.stack)
    for step in change.steps:
        step(found)
    return found_in(found)


@pytest.mark.parametrize("stack", EDITS)
def test_a_plan_of_an_edited_source_is_judged_as_the_change_in_json(stack: str) -> None:
    changes = {each.what: each for each in [*BREAKING, *HARMLESS] if each.stack == stack}
    with terraform_of(STACKS / stack, {}) as terraform:
        first = terraform.plan()
        assert found_in(slim(first)) == found_in(document(stack, "first"))
        terraform.apply(first)
        assert found_in(settled(slim(terraform.plan()))) == ("holds", [])
        source = (terraform.directory / "main.tf.json").read_text()
        for what, edit in EDITS[stack].items():
            edited = json.loads(source)
            edit(edited)
            (terraform.directory / "main.tf.json").write_text(json.dumps(edited))
            assert found_in(slim(terraform.plan())) == in_json(changes[what]), what


def test_both_ways_name_what_is_there() -> None:
    assert {PARIS, f"{CHECK}frankfurt_all"} <= {each["address"] for each in document(WEIGHTED)["resource_changes"]}
