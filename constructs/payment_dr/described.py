"""Constructs that describe themselves in the synthesized stack."""

import inspect

from .bindings import Construct, TerraformStack


class Described(Construct):
    """A construct that writes its class and the first paragraph of its documentation into the synthesized stack.

    Terraform skips them. In HCL made from the stack they are comments, for reviewers who do not know the constructs.

    Args:
        scope, id_: As of every construct.

    Example:
        >>> class Ledger(Described):
        ...     "The bucket that settlements are archived in."
    """

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        said = (inspect.getdoc(type(self)) or "").partition("\n\n")[0]
        TerraformStack.of(self).add_override(
            f"//.descriptions.{self.node.path}", f"{type(self).__name__}: {' '.join(said.split())}"
        )
