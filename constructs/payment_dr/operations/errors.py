"""The errors of this project's commands, each with a hint."""

import errno
import os
import socket
from collections.abc import Iterator
from typing import ClassVar


class OperationError(Exception):
    """A command could not do its job. Command lines print message and hint on stderr and exit with `exit_code`.

    Args:
        message: One sentence: what is wrong.
        hint: One sentence: what to do next.

    Attributes:
        exit_code: 2 if the result is inconclusive, 1 if the command ran and missed its target.

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


class ThisMachineError(OperationError):
    """This machine lacks something, such as disk space. AWS is not at fault."""


_OPEN_FILES = "'ulimit -n' shows the limit, and 'ulimit -n 4096' raises it; then run it again"
_ROOM = "free some space, then run it again"
_LACKING = {
    errno.EMFILE: ("this process cannot open any more files or connections", _OPEN_FILES),
    errno.ENFILE: ("this machine cannot open any more files or connections", "end other programs, then run it again"),
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("your disk quota is used up", _ROOM),
    errno.EFBIG: ("a file has reached the size limit", "'ulimit -f' shows the limit; raise it, then run it again"),
    errno.ENOMEM: ("this machine has no memory left", "end other programs, then run it again"),
}


def lack_of_this_machine(error: BaseException) -> ThisMachineError | None:
    """The error for what this machine lacks, if that is the cause of `error`. None if it is not.

    Args:
        error: Any error. Libraries chain the operating system's error to theirs.
    """
    for each in _chain(error):
        if isinstance(each, ThisMachineError):
            return each
        if isinstance(each, socket.gaierror):
            # A resolver that cannot open a file says that the name is not known.
            try:
                os.close(os.open(os.devnull, os.O_RDONLY))
            except OSError as lacking:
                each = lacking
        if isinstance(each, OSError) and each.errno in _LACKING:
            message, hint = _LACKING[each.errno]
            return ThisMachineError(f"{each.filename}: {message}" if each.filename else message, hint=hint)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
