"""The page of the preset `production`: its changes, their reasons and their costs."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

from pages.costs import estimate, total
from pages.synthesis import stack_of
from pages.text import text_of
from payment_dr.production import Settings

RUNBOOK = "https://wiki.acme.io/payments-dr"  # of the stack that is priced


def render(default: Mapping[str, Any]) -> str:
    """Render docs/production.md.

    Args:
        default: The default stack, as parsed from cdk.tf.json.
    """
    before = total(estimate(default))
    preset = stack_of(production=True, runbook=RUNBOOK)
    return text_of(
        "production.md.j2",
        rows=[_row(setting, before) for setting in fields(Settings)],
        before=before,
        after=total(estimate(preset)),
        rules=[rule["error_message"] for rule in preset["variable"]["alert_email"]["validation"]],
    )


def _row(setting: Field[Any], before: float) -> dict[str, Any]:
    value = setting.metadata["production"]
    alone = 0.0
    if setting.metadata["priced"]:
        needs = setting.metadata["needs"]
        without = total(estimate(stack_of(**needs))) if needs else before
        alone = total(estimate(stack_of(**needs, **{setting.name: value}))) - without
    return {
        "name": setting.name,
        "default": f"`{setting.default!r}`".replace("'", '"'),
        "production": "must be given" if value is None else f"`{value!r}`".replace("'", '"'),
        "why": setting.metadata["why"],
        "usd": f"{alone:+.2f}" if setting.metadata["priced"] else "",
    }
