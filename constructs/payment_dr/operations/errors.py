"""The failover drill: fail over, fail back, and measure both, with nothing but Terraform outputs and AWS APIs."""


class DrillError(Exception):
    """The drill could not start, or could not tell. Command lines print both lines and exit with 2.

    Args:
        message: One sentence: what went wrong.
        hint: The next move, one sentence.

    Example:
        >>> error = DrillError("hosted zone Z1 does not exist", hint="run terraform apply")
        >>> f"error: {error.message} / hint: {error.hint}"
        'error: hosted zone Z1 does not exist / hint: run terraform apply'
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
