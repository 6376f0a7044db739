"""What a journal says, in the order of the report."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any, Final

import numpy as np

COULD_NOT_TELL: Final = "could not tell"
LONGEST_DRILL_SECONDS: Final = 7 * 24 * 3600


def seconds(value: float | None) -> str:
    """A duration in seconds, to a tenth."""
    return COULD_NOT_TELL if value is None else f"{value:,.1f} s"


def clock(value: float) -> str:
    """A time of the drill as minutes and seconds."""
    return f"{int(value) // 60}:{int(value) % 60:02}"


def number(value: float | None, unit: str = "") -> str:
    """A count or a measured value, with separators and at most one decimal."""
    return COULD_NOT_TELL if value is None else f"{value:,.1f}".removesuffix(".0") + (unit and f" {unit}")


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


class Drill:
    """What a journal says, in the report's order.

    Args:
        journal: The journal.
        name: Name of its file.
        sha256: Of its content.
    """

    def __init__(self, journal: Mapping[str, Any], name: str, sha256: str) -> None:
        if journal["schema"] != 1:
            raise ValueError(f"its schema is {journal['schema']}, this report knows 1")
        self.journal, self.name, self.sha256 = journal, name, sha256
        self.events: list[Mapping[str, Any]] = sorted(journal["events"], key=lambda event: event["at"])
        self.end = max((event["at"] for event in self.events), default=0) or 1
        if not 0 <= self.end <= LONGEST_DRILL_SECONDS:
            raise ValueError(f"an event is {self.end} s after the start")
        self.primary, self.secondary = journal["regions"]["primary"], journal["regions"]["secondary"]
        self.rto: Mapping[str, Any] = journal.get("rto") or {}
        self.target = journal["settings"].get("rto_target_seconds")  # not known before the zone was read
        emulated = journal["place"] != "live AWS"
        self.run_made_of = "real probes, emulated AWS, simulated DNS and clock" if emulated else "real, live AWS"
        self.ledger_made_of = "counted, emulated AWS" if emulated else "counted, live AWS"

    @property
    def verdict(self) -> str:
        """The drill's verdict; one that has not ended has none."""
        return (self.journal.get("ended") and self.journal.get("verdict")) or COULD_NOT_TELL

    @property
    def measured(self) -> dict[str, Mapping[str, float]]:
        """Seconds by phase of this run's failover and failback, without what did not happen."""
        return {name: self.rto[name] for name in ("failover", "failback") if self.rto.get(name)}

    @property
    def simulated(self) -> dict[str, Mapping[str, Any]]:
        """What the model's runs took: failover and failback."""
        found = self.rto.get("distribution") or {}
        return {name: found[name] for name in ("failover", "failback") if found.get(name)}

    @property
    def runs(self) -> int:
        """How many runs of the model there were."""
        return max((sum(each["runs_by_second"]) for each in self.simulated.values()), default=0)

    def recovery(self, name: str) -> str:
        """What a failover or failback took, or why there is no such number."""
        if name in self.measured:
            return seconds(self.measured[name]["total"])
        return COULD_NOT_TELL if self.verdict == COULD_NOT_TELL else "none"

    def of(self, kind: str, **fields: Any) -> list[Mapping[str, Any]]:
        """The events of a kind with these fields."""
        return [each for each in self.events if each["kind"] == kind and fields.items() <= each.items()]

    def log(self) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Every event but probes and transactions, and what it says."""
        say: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "step": lambda event: event["name"],
            "verdict": lambda event: f"{event['region']} is {'healthy' if event['healthy'] else 'unhealthy'}",
            "answer": lambda event: f"DNS answers {event['region']}",
            "strange answer": lambda event: (
                f"DNS answers {', '.join(event['addresses'])}, known of neither region: taken for {event['taken_for']}"
            ),
            "alarm": lambda event: f"{event['name']}: {event['state']}",
            "action": lambda event: f"{'undone: ' if event['undone'] else ''}{event['name']}",
        }
        for event in self.events:
            if event["kind"] in say:
                yield event, say[event["kind"]](event)

    def probes(self) -> Iterator[tuple[str, int, int, list[str]]]:
        """By region: probes that passed and failed, and why they failed."""
        for region in (self.primary, self.secondary):
            failed = self.of("probe", region=region, ok=False)
            reasons = {str(each.get("error") or f"HTTP status {each.get('status')}") for each in failed}
            yield region, len(self.of("probe", region=region, ok=True)), len(failed), sorted(reasons)

    def modes(self) -> Iterator[tuple[str, Mapping[str, Any], str]]:
        """The client modes: name, ledger, and what is lost in words."""
        for mode in ("local", "confirmed"):
            ledger = (self.journal.get("rpo") or {}).get(mode) or {}
            missing = ledger.get("missing_at_switch")
            of = f"{number(None if missing is None else len(missing))} of {number(ledger.get('acknowledged'))}"
            yield mode, ledger, COULD_NOT_TELL if missing is None else of

    def actions(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
        """Every action with its undo."""
        for action in self.of("action", undone=False):
            undone = (
                each for each in self.of("action", undone=True, name=action["name"]) if each["at"] >= action["at"]
            )
            yield action, next(undone, None)

    def checks(self) -> Iterator[tuple[str, bool | None, str]]:
        """What was looked at after recovery, whether it was as it should be, and what was found."""
        after = self.journal.get("after") or {}
        items, twice = after.get("items") or {}, after.get("written_twice")
        counts = f"{number(items.get('primary'))} and {number(items.get('secondary'))} items"
        yield (
            "tables equal, item by item",
            items.get("equal"),
            ", ".join([counts, *map(str, items.get("different", []))]),
        )
        yield "nothing written twice", None if twice is None else not twice, ", ".join(map(str, twice or []))
        keys = ("parameters", "objects", "") if after.get("objects_equal", True) is not None else ("parameters", "")
        for key in keys:
            what = f"{key} equal" if key else "everything undone"
            yield what, after.get(f"{key}_equal" if key else "undone"), ""
        if alarms := after.get("alarms"):  # where alarms are evaluated
            told = f"rang: {', '.join(alarms['fired']) or 'none'}"
            yield "alarms silent", not alarms["still"], f"{told}; still ringing: {', '.join(alarms['still']) or 'none'}"

    def choices(self) -> dict[tuple[int, int], dict[int, Mapping[str, Any]]]:
        """The failover's time by interval and threshold, then by TTL."""
        rows: dict[tuple[int, int], dict[int, Mapping[str, Any]]] = {}
        for each in self.rto.get("sensitivity") or []:
            rows.setdefault((each["request_interval_seconds"], each["failure_threshold"]), {})[each["ttl_seconds"]] = (
                each
            )
        return rows

    def outage(self) -> tuple[float, float] | None:
        """From when until when the outage lasted; one without an end lasted until the journal's."""
        begin = self.of("step", name="outage")
        end = self.of("step", name="recovery")
        return (begin[0]["at"], end[0]["at"] if end else self.end) if begin else None

    def called(self, mode: str) -> Iterator[tuple[float, float, str]]:
        """From when until when clients called which region."""
        for region, calls in groupby(self.of("transactions", mode=mode), lambda event: str(event["region"])):
            at = [event["at"] for event in calls]
            yield at[0], at[-1] + 1, region

    def spans(
        self, events: list[Mapping[str, Any]], key: str, normal: object = None
    ) -> Iterator[tuple[float, float, Any]]:
        """From each change to the next. What changes from normal first must have been normal before."""
        before = [{"at": 0, key: normal}] if normal is not None and events and events[0][key] != normal else []
        changes = [*before, *events, {"at": self.end}]
        for change, following in pairwise(changes):
            yield change["at"], following["at"], change[key]

    def load(self, region: str, mode: str, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Transactions a second, by second of the drill."""
        found = np.zeros(int(self.end) + 2)
        for event in self.of("transactions", region=region, mode=mode):
            per = max(1, round(event.get("per", 1)))
            found[round(event["at"]) :][:per] += event[what] / per
        return found
