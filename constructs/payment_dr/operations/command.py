"""Ending in order: a signal unwinds the ``with`` blocks instead of cutting them off."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def _leave(signum: int, _frame: FrameType | None) -> NoReturn:
    for each in _SIGNALS:  # a second signal must not interrupt the clean-up that the first one started
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + signum)


@contextmanager
def terminate_gracefully() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``SystemExit(128 + signal)``, as Ctrl-C already becomes ``KeyboardInterrupt``.

    Without it Python ends at once on SIGTERM and no ``with`` block, such as ``EmbeddedAws``, gets to clean up. Enter it
    in the main thread, outside of what has to be cleaned up.

    Example:
        >>> with terminate_gracefully(), EmbeddedAws() as aws:  # doctest: +SKIP
        ...     deploy(aws)
    """
    previous = {each: signal.signal(each, _leave) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
