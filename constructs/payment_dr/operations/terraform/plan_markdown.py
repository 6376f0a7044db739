"""A plan as Markdown, for the summary of a CI job: counts, addresses, and the whole plan folded."""

import re
from collections import Counter
from collections.abc import Iterable

from payment_dr.operations.terraform.runner import PlanResult

PARAMETER, NEW = "aws_ssm_parameter.", ("create", "replace")


def plan_markdown(plan: PlanResult, text: str) -> str:
    """Write a plan as GitHub's Markdown.

    Args:
        plan: The plan.
        text: The same plan in Terraform's text format, with sensitive values hidden.

    Returns:
        One line of counts, a line for each parameter that the plan would create again in an existing stack, and two
        folded parts: the addresses by action, and the text.

    Example:
        >>> nothing = PlanResult(changed=False, actions={}, outputs={}, path=Path("plan"), _show=lambda _: {})
        >>> plan_markdown(nothing, "No changes.").splitlines()[0]
        '**Plan:** no resource changes'
    """
    counts = Counter(plan.actions.values())
    summary = ", ".join(f"{count} to {action}" for action, count in sorted(counts.items())) or "no resource changes"
    addresses = [
        f"{action:<7} {address}" for address, action in sorted(plan.actions.items(), key=lambda each: each[::-1])
    ]
    parts = [f"**Plan:** {summary}", *_seeds(plan)]
    if addresses:
        parts.append(folded("Changed addresses", addresses))
    parts.append(folded("Whole plan", text.strip("\n").splitlines()))
    return "\n\n".join(parts) + "\n"


def _seeds(plan: PlanResult) -> list[str]:
    created = {a: action for a, action in plan.actions.items() if a.startswith(PARAMETER) and action in NEW}
    if not created or (set(created.values()) == {"create"} and not _exists(plan)):
        return []
    return [
        f"**First value again:** `{address}` would be created with the value that Terraform knows. Config sync gives "
        "it the other region's value within minutes, but not if it is created in both regions at once."
        for address in sorted(created)
    ]


def _exists(plan: PlanResult) -> bool:
    """Whether anything is deployed. Data sources do not count: they are in the state of a first plan too."""
    resources = plan.json.get("prior_state", {}).get("values", {}).get("root_module", {}).get("resources", [])
    return any(resource["mode"] == "managed" for resource in resources)


def folded(title: str, lines: Iterable[str]) -> str:
    """Folded lines, unchanged."""
    body = "\n".join(lines)
    # A fence ends at as many backticks as it began with: https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", body) or [""]))
    return f"<details><summary>{title}</summary>\n\n{fence}\n{body}\n{fence}\n\n</details>"
