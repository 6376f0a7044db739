"""The error of the embedded AWS."""

from payment_dr.operations.errors import OperationError


class EmbeddedAwsError(OperationError):
    """The embedded AWS could not do its job.

    Example:
        >>> error = EmbeddedAwsError("port 4566 is taken", hint="give another with --port")
        >>> f"error: {error.message} / hint: {error.hint}"
        'error: port 4566 is taken / hint: give another with --port'
    """
