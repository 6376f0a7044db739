"""Inputs and outputs of the stack, as Terraform shows them."""

import json
from collections.abc import Mapping
from typing import Any

from pages.text import text_of


def render(template: Mapping[str, Any], with_custom_domain: Mapping[str, Any], with_switch: Mapping[str, Any]) -> str:
    """Render docs/inputs-and-outputs.md.

    Args:
        template: The synthesized stack, as parsed from cdk.tf.json.
        with_custom_domain: The same with its custom domain, which has more outputs.
        with_switch: The same with the switch in the standby region, which has more outputs too.
    """
    outputs = template["output"]
    groups: dict[str, dict[str, Any]] = {"Both regions": {}, "Primary region": {}, "Secondary region": {}}
    for name, output in sorted(outputs.items()):
        group = {"primary": "Primary region", "secondary": "Secondary region"}.get(name.split("_")[0], "Both regions")
        groups[group][name] = output
    more = {
        title: {name: output for name, output in sorted(stack["output"].items()) if name not in outputs}
        for title, stack in (("With a custom domain", with_custom_domain), ("With the switch", with_switch))
    }
    return text_of(
        "interface.md.j2",
        variables=[_variable(name, variable) for name, variable in sorted(template["variable"].items())],
        groups={**groups, **more},
        count=len(outputs),
    )


def _variable(name: str, variable: Mapping[str, Any]) -> dict[str, Any]:
    rules = [rule["error_message"] for rule in variable.get("validation", ())]
    return {
        "name": name,
        "type": variable["type"],
        "default": json.dumps(variable["default"]),
        "what": " ".join([variable["description"], *rules]),
        "sensitive": variable.get("sensitive", False),
    }
