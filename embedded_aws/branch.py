"""A branch of the emulator: another process that starts with the whole state of this one, and is then independent.

The emulator forks. The state of this AWS is the memory of one process: the modules of a hundred services, and the
queues, faults and clocks of the patches. A fork copies all of it within milliseconds. The alternative is to save the
state and load it in a new process. That would copy only listed parts (ministack's persistence omits metrics, for
example, and does not know the patches), and would wait for a Python to start.

The price are the things that a fork does not copy, or must not copy: threads, locks, the event loop and descriptors.

- The fork happens when every other thread sleeps or waits, so that none is in the middle of a change. If they are still
  busy after a second it happens anyway: the branch then has a state that any thread could have seen.
- The branch serves in an event loop of its own and never returns to the origin's. It replaces all descriptors.
- Locks are free. The branch forgets running functions and calls, because their clients wait for the origin's answer.
- Text in the state that contains the origin's address (the URL of a queue, the endpoint of an API, a variable of a
  function) gets the branch's. Bytes stay as they are: an object in a bucket, the code of a function.

Pending work happens in both. An event whose function runs or waits for a retry starts over in the branch with all its
attempts: like Lambda's own, this delivery is "at least once". A write to a global table arrives in the other region at
the same time in both. A schedule keeps its phase. But only the origin sends messages that leave the emulator, such as
one to an HTTP endpoint.

``PUT /_branch`` makes a branch. Its body has the environment variables of the branch. ``EMBEDDED_AWS_DIRECTORY`` is one
of them, a directory with the two pipes that ``embedded_aws.server`` describes. The answer has the id of the branch's
process, which leads a group of its own.
"""

import asyncio
import contextlib
import contextvars
import functools
import gc
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from asyncio.mixins import _LoopBoundMixin
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ministack import app  # type: ignore[import-untyped]
from ministack.core import concurrency, lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

from embedded_aws.emulator import end_with_parent
from embedded_aws.patches import region_outage, replication_lag
from embedded_aws.server import BRANCH_PATH, OWNER_PIPE, RUNNING_PIPE, at_new_port

_REST_SECONDS = 0.005  # the interpreter's switch interval: a thread that can go on does within it
_REST_DEADLINE_SECONDS = 1.0

_OURS = ("ministack.", "embedded_aws.")
# What does not start over in a branch: what leaves the emulator, and what ministack starts by itself when it serves.
_NOT_RESUMED = frozenset({"_deliver_to_api_destination", "_scheduler_loop", "_ticker_loop"})

_to_resume: list[Callable[[], None]] = []  # by a branch that has just begun to serve
_left_behind: list[object] = []  # what a branch keeps so that it is never finalized: it belongs to the origin


def apply() -> None:
    """Make a branch on ``PUT /_branch``."""
    serve = app.app

    async def serve_branches(scope: Any, receive: Any, send: Any) -> None:
        while _to_resume:  # with the first call, because functions may call back as soon as they are started
            _to_resume.pop(0)()
        if scope["type"] == "http" and scope["path"] == BRANCH_PATH:
            await region_outage.respond_json(send, *await _answer(scope["method"], receive))
        else:
            await serve(scope, receive, send)

    app.app = serve_branches


async def _answer(method: str, receive: Callable[[], Awaitable[Any]]) -> tuple[int, dict[str, Any]]:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if method != "PUT":
        return 400, {"message": f"PUT {BRANCH_PATH} with the environment variables of the branch"}
    try:
        surroundings = _Surroundings.read(json.loads(body))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return 400, {"message": f"a branch needs environment variables, and a directory with its pipes: {error!r}"}
    try:
        await _rest()
        return 200, {"pid": contextvars.Context().run(_fork, surroundings)}  # nothing of this call goes into the branch
    finally:
        surroundings.close()


async def _rest() -> None:
    """Wait until no other thread is in the middle of something."""
    deadline = time.monotonic() + _REST_DEADLINE_SECONDS
    before, now = None, _progress()
    while now != before and time.monotonic() < deadline:
        await asyncio.sleep(_REST_SECONDS)
        before, now = now, _progress()


def _progress() -> tuple[list[object], dict[int, tuple[int, int, int]]]:
    """The progress of each other thread. It does not change while all of them sleep, read or wait."""
    own = threading.get_ident()
    # Before the rest, because whoever reads a file lets other threads go on meanwhile.
    waits_for_processor = [object() for thread in threading.enumerate() if thread.ident != own and _is_ready(thread)]
    return waits_for_processor, {
        thread: (id(frame), frame.f_lasti, _processor_time(thread))
        for thread, frame in sys._current_frames().items()
        if thread != own
    }


def _is_ready(thread: threading.Thread) -> bool:
    """Whether a thread waits only for a processor. Known on Linux only."""
    try:
        state = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] == "R"


def _processor_time(thread: int) -> int:
    """Processor time of a thread so far, in nanoseconds. Unknown on macOS."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return 0
    return time.clock_gettime_ns(time.pthread_getcpuclockid(thread))


@dataclass(frozen=True)
class _Surroundings:
    """A branch's own environment variables, and descriptors of its pipes and its log."""

    environment: dict[str, str]
    owner: int
    running: int
    log: int

    @classmethod
    def read(cls, environment: dict[str, str]) -> "_Surroundings":
        directory = Path(environment["EMBEDDED_AWS_DIRECTORY"])
        wanted = {  # the owner holds the other end of each pipe: no call of these waits
            OWNER_PIPE: os.O_RDONLY,
            RUNNING_PIPE: os.O_WRONLY,
            "emulator.log": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        }
        with contextlib.ExitStack() as on_failure:
            descriptors = []
            for name, flags in wanted.items():
                descriptors.append(os.open(directory / name, flags, 0o600))
                on_failure.callback(os.close, descriptors[-1])
            on_failure.pop_all()
        return cls(environment, *descriptors)

    def close(self) -> None:
        for descriptor in (self.owner, self.running, self.log):
            os.close(descriptor)


def _fork(surroundings: _Surroundings) -> int:
    loop = asyncio.get_running_loop()
    to_resume = [*_timers(loop), *_threads()]
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _begin(surroundings, loop, to_resume)
    with contextlib.suppress(OSError):  # the branch has done so itself, or has ended
        os.setpgid(pid, pid)
    # Once it ends, so that it does not stay as a zombie.
    threading.Thread(target=os.waitpid, args=(pid, 0), name=f"branch-{pid}", daemon=True).start()
    return pid


def _timers(loop: Any) -> Iterator[Callable[[], None]]:
    """Pending replication. All loops have the same clock."""
    for handle in (*loop._scheduled, *loop._ready):
        call, when = handle._callback, getattr(handle, "_when", loop.time())
        if call == loop.call_later:  # put off by another thread just now
            when, call = loop.time() + handle._args[0], handle._args[1]
        if not handle.cancelled() and getattr(call, "__module__", "") == replication_lag.__name__:
            yield functools.partial(_put_off, when, call)


def _put_off(when: float, call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_at(when, call)


def _threads() -> Iterator[Callable[[], None]]:
    """The work of ministack's threads, to start over."""
    for thread in threading.enumerate():
        try:
            target, args, kwargs = thread._target, thread._args, thread._kwargs  # type: ignore[attr-defined]
        except AttributeError:  # it has just ended
            continue
        work = args[0] if isinstance(getattr(target, "__self__", None), contextvars.Context) else target
        if _goes_on(work):
            yield functools.partial(_start_over, thread.name, target, args, kwargs)


def _goes_on(work: Any) -> bool:
    module, name = getattr(work, "__module__", None) or "", getattr(work, "__qualname__", "")
    if module == concurrency.__name__:  # run_reentrant, on the other hand, works for a client of the origin
        return bool(name == "spawn_background.<locals>._run")
    return module.startswith("ministack.services.") and name not in _NOT_RESUMED


def _start_over(name: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # A context that a thread is in cannot be entered once more: a copy of it can.
    if isinstance(context := getattr(target, "__self__", None), contextvars.Context):
        target = context.copy().run
    for cell in getattr(target, "__closure__", None) or ():
        if isinstance(cell.cell_contents, contextvars.Context):
            cell.cell_contents = cell.cell_contents.copy()
    threading.Thread(target=target, args=args, kwargs=kwargs, name=name, daemon=True).start()


def _begin(
    surroundings: _Surroundings, loop: asyncio.AbstractEventLoop, to_resume: list[Callable[[], None]]
) -> NoReturn:
    """Be the branch, from the fork to the end."""
    try:
        os.setpgid(0, 0)
        origin = _Place.current()
        _left_behind.extend([loop, *asyncio.all_tasks(loop)])
        _take_over(surroundings)
        _forget_what_is_under_way()
        _free_locks()
        _Move(origin, _Place.current()).everything()
        _to_resume.extend(to_resume)
        end_with_parent()
        app.main()
    except BaseException:  # nothing may get back into the origin's calls
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(1)


def _take_over(surroundings: _Surroundings) -> None:
    """Take the branch's own descriptors and environment."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    kept = {nowhere, surroundings.owner, surroundings.running, surroundings.log}
    # Not closed: an object of the origin's would close its number once more, and with it what has got that number.
    for descriptor in {int(entry.name) for entry in Path("/dev/fd").iterdir()} - kept:
        with contextlib.suppress(OSError):  # the one of this listing
            os.fstat(descriptor)
            os.dup2(nowhere, descriptor, inheritable=descriptor <= 2)
    for descriptor, standard in ((surroundings.owner, 0), (surroundings.log, 1), (surroundings.log, 2)):
        os.dup2(descriptor, standard)
    for descriptor in kept - {surroundings.running}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(surroundings.environment)
    tempfile.tempdir = None  # to be looked for anew


def _forget_what_is_under_way() -> None:
    """Forget running functions and the calls that wait for them: they belong to the origin."""
    _left_behind.extend(lambda_runtime._workers.values())
    lambda_runtime._workers.clear()
    lambda_svc._inflight.clear()
    lambda_svc._inflight_total = 0
    concurrency._reentrant_threads = 0


def _free_locks() -> None:
    """Free locks of threads that were not copied, and objects of the origin's event loop."""
    plain, reentrant = type(threading.Lock()), type(threading.RLock())
    own = threading.main_thread()._tstate_lock  # type: ignore[attr-defined]  # held as long as this thread lives
    for found in gc.get_objects():
        kind = type(found)
        if (kind is plain and found is not own and found.locked()) or kind is reentrant:
            found._at_fork_reinit()
        elif issubclass(kind, _LoopBoundMixin):
            found._loop = None
            if waiters := getattr(found, "_waiters", None):
                waiters.clear()
            if kind is asyncio.Lock:
                found._locked = False


@dataclass(frozen=True)
class _Place:
    """The place of an emulator: its port and its directory."""

    port: int
    directory: str

    @classmethod
    def current(cls) -> "_Place":
        return cls(int(os.environ["GATEWAY_PORT"]), os.environ["EMBEDDED_AWS_DIRECTORY"])


class _Move:
    """Replaces the old place by the new one in all text of the state.

    Args:
        old: The emulator's old place.
        new: Its new place.
    """

    def __init__(self, old: _Place, new: _Place) -> None:
        self._old, self._new = old, new
        self._seen: set[int] = set()

    def everything(self) -> None:
        """Rewrite the state of ministack and of the patches."""
        for module in [module for name, module in sys.modules.items() if name.startswith(_OURS)]:
            for variable, value in list(vars(module).items()):
                if variable.endswith("PORT") and value == str(self._old.port):
                    setattr(module, variable, str(self._new.port))
                elif not variable.startswith("__") and (moved := self._moved(value)) is not value:
                    setattr(module, variable, moved)

    def _moved(self, value: Any) -> Any:
        """The rewritten value. Mutable values change in place."""
        kind = type(value)
        if kind is str:
            return at_new_port(value, self._old.port, self._new.port).replace(self._old.directory, self._new.directory)
        if isinstance(value, tuple | frozenset):
            parts = [self._moved(part) for part in value]
            if all(new is old for new, old in zip(parts, value, strict=True)):
                return value
            return kind._make(parts) if hasattr(kind, "_make") else kind(parts)
        can_be_changed = isinstance(value, dict | list | set | deque) or kind.__module__.startswith(_OURS)
        if can_be_changed and id(value) not in self._seen:
            self._seen.add(id(value))
            self._move_inside(value)
        return value

    def _move_inside(self, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in list(value.items()):
                if (moved := self._moved(inner)) is not inner:
                    value[key] = moved
            keys = [self._moved(key) for key in value]
            if any(new is not old for new, old in zip(keys, value, strict=True)):
                items = list(zip(keys, value.values(), strict=True))
                value.clear()  # the order has to stay
                value.update(items)
        elif isinstance(value, list | deque):
            for index, inner in enumerate(value):
                if (moved := self._moved(inner)) is not inner:
                    value[index] = moved
        elif isinstance(value, set):
            for inner in list(value):
                if (moved := self._moved(inner)) is not inner:
                    value.remove(inner)
                    value.add(moved)
        else:
            slots = (slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ()))
            for name in [*slots, *getattr(value, "__dict__", ())]:
                inner = getattr(value, name, None)
                if (moved := self._moved(inner)) is not inner:
                    object.__setattr__(value, name, moved)
