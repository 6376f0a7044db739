"""The stack's outputs: their names are a contract with tests, drills and other stacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bindings import Construct, TerraformOutput, TerraformStack


@dataclass(frozen=True)
class Output:
    """Value and description of one output. Terraform hides a sensitive one in its own output."""

    value: Any
    description: str
    sensitive: bool = False


def declare_outputs(stack: TerraformStack, outputs: Mapping[str, Output]) -> None:
    """Declare every output under exactly its name, which may also be the name of a variable."""
    scope = Construct(stack, "outputs")
    for output_name, output in outputs.items():
        TerraformOutput(
            scope,
            output_name,
            value=output.value,
            description=output.description,
            sensitive=output.sensitive or None,
        ).override_logical_id(output_name)
