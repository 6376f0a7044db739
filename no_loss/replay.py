"""Runs the client as it is, without threads, in virtual time: each call is replayed from its start for every answer.

The client blocks: it calls boto3, sleeps, reads the clock. In the world here each of these is an *effect*. A call runs
until it asks for an effect that takes time. Then it is abandoned by an exception, the world goes on, and once the
answer is there, the call runs again from its beginning: all earlier effects give the answers that they gave before, so
it gets one step further. That needs a client whose behaviour depends on effects alone, which is what handing in time,
sleep, ids and boto3's clients is for. It is deterministic, any number of calls can be under way at once, a process
that crashes is a call that nobody runs again, and the state of a call is the list of its answers, which a complete
search can copy. A call with n answers is run n times: 20 to 100 microseconds for a payment.
"""

from collections.abc import Callable
from typing import Any


class _Waits(BaseException):
    """The call cannot go on before the world has answered."""


class Run:
    """One call of the client.

    Args:
        body: The call. It takes this object, to make the client's clock and connections with.
        done: Called with what it returned, or the exception that it raised.

    Attributes:
        answers: Of all effects so far.
        dead: Whether its process has crashed.
    """

    __slots__ = ("_body", "_done", "_position", "answers", "dead")

    def __init__(self, body: "Callable[[Run], Any]", done: Callable[[Any], None]) -> None:
        self._body, self._done = body, done
        self._position = 0
        self.answers: list[Any] = []
        self.dead = False

    def go(self) -> None:
        """Run from the start until the next answer that is not there yet, or to the end."""
        self._position = 0
        try:
            result = self._body(self)
        except _Waits:
            return
        except Exception as error:
            result = error
        self._done(result)

    def answer(self, value: Any) -> None:
        """Give the answer that it waits for."""
        if not self.dead:
            self.answers.append(value)
            self.go()

    def ask(self, start: Callable[["Run"], None]) -> Any:
        """An effect that takes time: `start` begins it, and `answer` ends it."""
        if self._position == len(self.answers):
            start(self)
            raise _Waits
        return self.known()

    def is_known(self) -> bool:
        """Whether the next effect has its answer."""
        return self._position < len(self.answers)

    def known(self) -> Any:
        """The answer of the next effect."""
        value = self.answers[self._position]
        self._position += 1
        if isinstance(value, Exception):
            raise value.with_traceback(None)
        return value

    def note(self, look: Callable[[], Any]) -> Any:
        """An effect that takes no time, and happens once."""
        if self._position == len(self.answers):
            self.answers.append(look())
        value = self.answers[self._position]
        self._position += 1
        return value
