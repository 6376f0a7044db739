"""What goes wrong with the embedded AWS, as one error with a next move."""


class EmbeddedAwsError(Exception):
    """The embedded AWS, or a tool that works against it, could not do its job.

    Command lines print it as an ``error:`` and a ``hint:`` line on stderr and exit with 2 (could not tell or could not
    start), which is different from 1 (it ran and missed its target).

    Args:
        message: One sentence: what went wrong.
        hint: The next move, one sentence.

    Example:
        >>> error = EmbeddedAwsError("port 4566 is taken", hint="give another with --port")
        >>> f"error: {error.message} / hint: {error.hint}"
        'error: port 4566 is taken / hint: give another with --port'
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
