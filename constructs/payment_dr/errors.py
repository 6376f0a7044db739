"""The error that a construct raises when its props cannot work in AWS."""

from collections.abc import Sequence


class ConfigurationError(ValueError):
    """All mistakes found in the props of one construct, in one error.

    Args:
        owner: The construct (or value) whose props are wrong.
        mistakes: One sentence each: the prop, its value, what is wrong and what to change.

    Attributes:
        mistakes: The sentences, so that a composing construct can merge them into its own error.
    """

    def __init__(self, owner: str, mistakes: Sequence[str]) -> None:
        self.owner = owner
        self.mistakes = tuple(dict.fromkeys(mistakes))  # two checks may find the same
        count = "one mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"{owner}: {count} in the configuration", *(f"  - {m}" for m in self.mistakes)]))


def refuse(owner: str, mistakes: Sequence[str]) -> None:
    """Raise a `ConfigurationError` when there is at least one mistake."""
    if mistakes:
        raise ConfigurationError(owner, mistakes)
