"""What goes wrong in a command of this project, as one error with a next move."""

from typing import ClassVar


class OperationError(Exception):
    """A command could not do its job. Command lines print both lines on stderr and exit with `exit_code`.

    Args:
        message: One sentence: what went wrong.
        hint: The next move, one sentence.

    Attributes:
        exit_code: 2, which says that the result is inconclusive; 1 says that a command ran and missed its target.

    Example:
        >>> error = OperationError("hosted zone Z1 does not exist", hint="run terraform apply")
        >>> f"error: {error.message} / hint: {error.hint}"
        'error: hosted zone Z1 does not exist / hint: run terraform apply'
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
