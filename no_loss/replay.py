"""Runs the client as it is, without threads, in virtual time: each call is replayed from its start for every answer.

The client blocks: it calls boto3, sleeps, reads the clock. In the world here each of these is an *effect*. A call runs
until it asks for an effect that takes time. Then it is abandoned by an exception, the world goes on, and once the
answer is there, the call runs again from its beginning: all earlier effects give the answers that they gave before, so
it gets one step further. That needs a client whose behaviour depends on effects alone, which is what handing in time,
sleep, ids and boto3's clients is for. It is deterministic, any number of calls can be under way at once, a process
that crashes is a call that nobody runs again, and the state of a call is the list of its answers, which a complete
search can copy. A call with n answers of DynamoDB runs n + 1 times.
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
        after: Lets something happen in so many seconds.

    Attributes:
        answers: Of all effects so far.
        dead: Whether its process has crashed.
    """

    __slots__ = ("_after", "_body", "_done", "_position", "_sleeps", "answers", "dead")

    def __init__(
        self,
        body: "Callable[[Run], Any]",
        done: Callable[[Any], None],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._body, self._done, self._after = body, done, after
        self._position = 0
        self._sleeps = 0.0  # seconds until the next effect
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
        self._once_awake(lambda: self._done(result))

    def answer(self, value: Any) -> None:
        """Give the answer that it waits for."""
        if not self.dead:
            self.answers.append(value)
            self.go()

    def ask(self, start: Callable[["Run"], None]) -> Any:
        """An effect that takes time: `start` begins it, and `answer` ends it."""
        if self._position == len(self.answers):
            self._once_awake(lambda: start(self))
            raise _Waits
        return self.known()

    def sleep(self, seconds: float) -> None:
        """An effect that takes time and has no answer. So the call is not abandoned before its next effect."""
        if self._position == len(self.answers):
            self._sleeps += seconds
            self.answers.append(None)
        self._position += 1

    def _once_awake(self, then: Callable[[], None]) -> None:
        seconds, self._sleeps = self._sleeps, 0.0
        if seconds:
            self._after(seconds, lambda: None if self.dead else then())
        else:
            then()

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
            if self._sleeps:
                self._once_awake(self.go)
                raise _Waits
            self.answers.append(look())
        value = self.answers[self._position]
        self._position += 1
        return value
