"""A plan as Markdown, for the summary of a CI job: how many change, which, and the whole plan folded away."""

import re
from collections import Counter
from collections.abc import Iterable

from payment_dr.operations.terraform.runner import PlanResult


def plan_markdown(plan: PlanResult, text: str) -> str:
    """Write a plan as GitHub's Markdown.

    Args:
        plan: The plan.
        text: The same plan as Terraform shows it to people, sensitive values hidden.

    Returns:
        One line of counts, and two parts that a click unfolds: the addresses by action, and the text.

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
    parts = [f"**Plan:** {summary}"]
    if addresses:
        parts.append(_folded("Changed addresses", addresses))
    parts.append(_folded("Whole plan", text.strip("\n").splitlines()))
    return "\n\n".join(parts) + "\n"


def _folded(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    # A fence ends at as many backticks as it began with: https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", body) or [""]))
    return f"<details><summary>{title}</summary>\n\n{fence}\n{body}\n{fence}\n\n</details>"
