"""What a construct is, said in the synthesized stack too."""

import inspect

from .bindings import Construct, TerraformStack


class Described(Construct):
    """A construct whose class and first paragraph of documentation go into the synthesized stack.

    Terraform skips them. HCL that is made of the stack has them as comments, for those who review that and do not know
    the constructs.

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
