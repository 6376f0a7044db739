"""The error that a construct raises when its props cannot work in AWS."""

from collections.abc import Sequence


class ConfigurationError(ValueError):
    """All mistakes found in the props of one construct, in one error.

    Args:
        owner: The construct (or value) whose props are wrong.
        mistakes: One sentence each, with the prop, its value, what is wrong and what to change.

    Attributes:
        mistakes: The sentences. A composing construct can merge them into its own error.
    """

    def __init__(self, owner: str, mistakes: Sequence[str]) -> None:
        self.owner = owner
        self.mistakes = tuple(dict.fromkeys(mistakes))  # two checks may find the same
        count = "one mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"{owner}: {count} in the configuration", *(f"  - {m}" for m in self.mistakes)]))


class NodeMissingError(ImportError):
    """Node.js is missing. jsii needs it to run the constructs.

    Args:
        node: The program that is missing.

    Attributes:
        message: One sentence: what is missing.
        hint: One sentence: what to do next.
    """

    def __init__(self, node: str) -> None:
        self.message = f"payment_dr runs its constructs on Node.js, but there is no program {node!r}"
        self.hint = (
            "pip install 'payment-dr[node]', or install Node 22"
            if node == "node"
            else "set JSII_NODE to the path of a Node, or unset it"
        )
        super().__init__(f"{self.message}\nhint: {self.hint}")


def reject(owner: str, mistakes: Sequence[str]) -> None:
    """Raise a `ConfigurationError` when there is at least one mistake."""
    if mistakes:
        raise ConfigurationError(owner, mistakes)
