"""Reading synthesized resources and policies as data."""

from typing import Any

Json = dict[str, Any]


def resource(stack: Json, type_: str, name: str) -> Json:
    """One resource by its address."""
    found: Json = stack["resource"][type_][name]
    return found


def statements(stack: Json, document: str) -> list[Json]:
    """The statements of an aws_iam_policy_document, in a plain form: lists sorted, conditions as one mapping."""
    return [
        {
            "sid": statement["sid"],
            "effect": statement["effect"],
            "actions": sorted(statement["actions"]),
            "resources": sorted(statement.get("resources", [])),
            "principals": {p["type"]: sorted(p["identifiers"]) for p in statement.get("principals", [])},
            "conditions": {f"{c['test']} {c['variable']}": sorted(c["values"]) for c in statement.get("condition", [])},
        }
        for statement in stack["data"]["aws_iam_policy_document"][document]["statement"]
    ]


def allow(
    sid: str,
    actions: list[str],
    resources: list[str] | None = None,
    principals: dict[str, list[str]] | None = None,
    conditions: dict[str, list[str]] | None = None,
) -> Json:
    """What a statement is expected to say, in the form of `statements`."""
    return {
        "sid": sid,
        "effect": "Allow",
        "actions": sorted(actions),
        "resources": sorted(resources or []),
        "principals": principals or {},
        "conditions": conditions or {},
    }
