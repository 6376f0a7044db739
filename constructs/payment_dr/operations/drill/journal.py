"""The journal of a drill: every event with its times, the one source of every report."""

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from payment_dr.operations.errors import OperationError

SCHEMA = 1
PASSED, MISSED, COULD_NOT_TELL = "passed", "missed", "could not tell"


class CouldNotTellError(OperationError):
    """A drill has ended without a result.

    Attributes:
        journal: How far it came.
    """

    def __init__(self, message: str, *, hint: str, journal: Path) -> None:
        super().__init__(message, hint=hint)
        self.journal = journal


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Journal:
    """What a drill has met so far, in memory; `save` puts it into a file that is whole at any time.

    Args:
        directory: Where the file goes; made if need be.
        outage: The outage, as the journal tells it; its kind is part of the file's name.
        **known: What is known from the start: place, seed, versions, regions, settings, made_of.

    Attributes:
        now: Seconds of drill time, given to each event that names none.
        path: The file.

    Example:
        >>> journal = Journal(Path("drill-reports"), {"kind": "region"}, seed=42)  # doctest: +SKIP
        >>> journal.step("preflight")  # doctest: +SKIP
    """

    def __init__(self, directory: Path, outage: dict[str, Any], **known: Any) -> None:
        started = _utc()
        name = f"{started.replace(':', '-')}-{outage['kind']}"
        self.now = 0.0
        self.path = directory / f"{name}.json"
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._content: dict[str, Any] = {
            "schema": SCHEMA,
            "id": name,
            "started": started,
            "ended": None,
            "outage": outage,
            **known,
            "rto": {"failover": None, "failback": None, "distribution": None, "sensitivity": []},
            "rpo": {},
            "after": {},
            "targets": [],
            "verdict": COULD_NOT_TELL,
            "causes": [],
        }

    def event(self, kind: str, *, at: float | None = None, **what: Any) -> None:
        """Note one event."""
        with self._lock:
            real = round(time.monotonic() - self._started, 3)
            self._events.append({"at": round(self.now if at is None else at, 3), "real": real, "kind": kind, **what})

    def step(self, name: str) -> None:
        """A new step begins; what is known until then is saved."""
        self.event("step", name=name)
        self.save()

    def set(self, **known: Any) -> None:
        """Put what is known now in the place of what was known before."""
        self._content.update(known)

    def __getitem__(self, name: str) -> Any:
        return self.content[name]

    @property
    def content(self) -> dict[str, Any]:
        """Everything, the events in the order of drill time: some are known only after later ones."""
        with self._lock:
            events = sorted(self._events, key=lambda event: event["at"])
        return {**self._content, "events": events}

    def close(self, verdict: str, causes: list[str]) -> None:
        """The drill has ended."""
        self.set(verdict=verdict, causes=causes, ended=_utc())
        self.save()

    def save(self) -> None:
        """Write the file; a reader sees the former one or this one, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.path)
