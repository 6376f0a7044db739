"""The content of a journal, in the order of the report."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, Literal, NamedTuple, TypeVar

from payment_dr.operations.drill.journal import (
    CONFIRMED,
    INCONCLUSIVE,
    LOCAL,
    MISSED,
    MODES,
    PASSED,
    SCHEMA,
    WAYS,
    ActionEvent,
    AnswerEvent,
    ChoiceRecord,
    Content,
    DocumentsRecord,
    Event,
    Phase,
    PhaseSeconds,
    ProbeEvent,
    Rpo,
    Rto,
    SimulatedRuns,
    SimulatedWay,
    SplitBrainRecord,
    StepEvent,
    Target,
    TransactionsEvent,
    VerdictEvent,
    Way,
    copied_sides,
    load_in_words,
    mode_of_service,
    overwritten,
)
from payment_dr.operations.drill.targets import MISSES_WHEN
from payment_dr.operations.route53.recovery_time import LEFT_OUT
from payment_dr.side import OTHER, SIDES, Side

T = TypeVar("T")

UNMEASURED: Final = "not measured"
LONGEST_DRILL_SECONDS: Final = 7 * 24 * 3600


def seconds(value: float | None) -> str:
    """A duration in seconds, to a tenth."""
    return UNMEASURED if value is None else f"{value:,.1f} s"


def clock(value: float) -> str:
    """A time of the drill as minutes and seconds."""
    return f"{int(value) // 60}:{int(value) % 60:02}"


def number(value: float | None, unit: str = "") -> str:
    """A count or a measured value, with separators and at most one decimal."""
    return UNMEASURED if value is None else f"{value:,.1f}".removesuffix(".0") + (unit and f" {unit}")


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


class Outcome(NamedTuple):
    """How payments ended for a while: in which region, whether some were acknowledged and some failed, and how many."""

    region: str
    is_acknowledged: bool
    has_failed: bool
    acknowledged: int
    failed: int


class ReportContent:
    """The content of a journal, in the order of the report.

    Somebody else may have written the journal, so any of its keys may be absent or of another type. Where a drill that
    broke off has no such key, this has an empty value; anything else raises Python's own error.

    Args:
        journal: The journal.
        name: Name of its file.
        sha256: Of its content.

    Attributes:
        journal, name, sha256: As given.
        events, steps, actions, probes, verdicts, answers, transactions: The events in their order, all and by kind.
        end: Seconds of drill time of the last event.
        primary, secondary: The regions.
        rto: What the journal says of recovery times.
        target: Seconds that a failover may take; None if the journal does not say.
        is_emulated: Whether the AWS was.
        is_virtual: Whether time was, and DNS a model.
        run_in_short: What this run is, in a label.
        run_made_of, ledger_made_of: What this run and its counts are made of, in words.

    Raises:
        ValueError: The journal is of another schema, or lasts too long.

    Example:
        >>> drill = ReportContent(json.loads(text), "2026-11-22T16-50-03Z-region.json", sha256)  # doctest: +SKIP
        >>> drill.recovery("failover")  # doctest: +SKIP
        '102.5 s'
    """

    def __init__(self, journal: Content, name: str, sha256: str) -> None:
        if journal["schema"] != SCHEMA:
            raise ValueError(f"its schema is {journal['schema']}, this report knows {SCHEMA}")
        self.journal, self.name, self.sha256 = journal, name, sha256
        self.events: list[Event] = sorted(journal["events"], key=lambda event: event["at"])
        self.steps: list[StepEvent] = [event for event in self.events if event["kind"] == "step"]
        self.actions: list[ActionEvent] = [event for event in self.events if event["kind"] == "action"]
        self.probes: list[ProbeEvent] = [event for event in self.events if event["kind"] == "probe"]
        self.verdicts: list[VerdictEvent] = [event for event in self.events if event["kind"] == "verdict"]
        self.answers: list[AnswerEvent] = [event for event in self.events if event["kind"] == "answer"]
        self.transactions: list[TransactionsEvent] = [event for event in self.events if event["kind"] == "transactions"]
        self.end = max((event["at"] for event in self.events), default=0) or 1
        if not 0 <= self.end <= LONGEST_DRILL_SECONDS:
            raise ValueError(f"an event is {self.end} s after the start")
        self.primary, self.secondary = journal["regions"]["primary"], journal["regions"]["secondary"]
        self.rto: Rto = journal.get("rto") or {}
        self.target = journal["settings"].get("rto_target_seconds")
        self.is_emulated = journal["place"] != "live AWS"
        self.is_virtual = journal.get("time", "virtual") == "virtual"
        self.run_in_short = f"one draw, seed {journal['seed']}" if self.is_virtual else "measured"
        self.run_made_of = "real time, emulated AWS" if self.is_emulated else "real, live AWS"
        if self.is_virtual:
            ran = max((event.get("real", 0) for event in self.events), default=0)
            self.run_made_of = (
                f"one draw of seed {journal['seed']} in virtual time, run in {number(ran, 's')}: "
                "real probes, emulated AWS, simulated DNS"
            )
        self.ledger_made_of = "counted, emulated AWS" if self.is_emulated else "counted, live AWS"

    @property
    def known_target(self) -> float:
        """The target.

        Raises:
            ValueError: The journal has recovery times and no target.
        """
        if self.target is None:
            raise ValueError("its settings have no rto_target_seconds")
        return self.target

    @property
    def verdict(self) -> str:
        """The drill's verdict; one that has not ended has none."""
        return (self.journal.get("ended") and self.journal.get("verdict")) or INCONCLUSIVE

    @property
    def kind(self) -> str:
        """What kind of drill this was."""
        return "Rehearsal on an emulated AWS" if self.is_emulated else "Drill on AWS"

    @property
    def headline(self) -> str:
        """What kind of drill this was, and its verdict."""
        all_tested = all(target.get("tested", True) for target in self.journal.get("targets") or [])
        every = "every target" if all_tested else "every target that it tests"
        met = {PASSED: f"{every} was met", MISSED: "not every target was met"}.get(self.verdict)
        return f"{self.kind} {self.verdict}: {met}" if met else f"{self.kind}: {self.verdict}"

    @property
    def system_in_short(self) -> str:
        """The name that was drilled and its account, as the end of a sentence; empty where they are not known."""
        system = self.journal.get("system")
        return f". {system['fqdn']}, account {system['account']}" if system else ""

    def person(self, digits: int = 40) -> str:
        """Credentials, machine, and version of this project with so many digits of its commit. Empty if not known."""
        system = self.journal.get("system")
        if not system:
            return ""
        tool = system["tool"]
        sha, *changed = (tool["commit"] or "").partition("-")
        commit = f", commit {sha[:digits]}{''.join(changed)}" if sha else ""
        return (
            f"{system['caller'] or 'unknown credentials'} on {system['host']}, {tool['name']} {tool['version']}{commit}"
        )

    def system(self) -> Iterator[tuple[str, str]]:
        """The system under drill and the person: names and values."""
        system = self.journal.get("system")
        if not system:
            return
        regions: dict[Side, str] = {"primary": self.primary, "secondary": self.secondary}

        def both(found: Mapping[Side, str | None]) -> str:
            return ", ".join(f"{found[side] or 'unknown'} in {regions[side]}" for side in SIDES)

        yield "AWS", "emulated on this machine" if system["is_emulated"] else "AWS"
        yield "account", system["account"]
        yield "name", system["fqdn"]
        yield "hosted zone", f"{system['zone']['id']} ({system['zone']['name']})"
        yield "health checks", ", ".join(f"{system['health_checks'][side]} of {regions[side]}" for side in SIDES)
        yield "table", system["table"]["arn"]
        yield "table ids", both(system["table"]["ids"])
        yield "APIs", both(system["apis"])
        yield "buckets", both(system["buckets"])
        terraform = system["terraform"]
        yield "Terraform", ", ".join(f"{name} {value}" for name, value in (terraform or {}).items()) or "unknown"
        yield "drilled by", self.person()

    @property
    def loss(self) -> str | None:
        """What was missing of each client, a sentence that stands beside the verdict; None if that is not known."""
        if split_brain := self.split_brain:
            conflicts = split_brain["conflicts"]
            return (
                f"Both regions took {number(len(conflicts))} payments with different amounts, and "
                f"{number(sum(len(overwritten(each)) for each in conflicts))} acknowledged versions of these are "
                "overwritten"
            )
        found = {mode: lost for mode, _, lost in self.modes()}
        if UNMEASURED in found.values():
            return None
        if not self.measured.get("failover"):
            return "DNS did not switch, so no payment could be missing at a failover"
        whose = {mode: "of the service" if self.is_of_service(mode) else f"in {mode} mode" for mode in MODES}
        missing = f"{found[LOCAL]} payments {whose[LOCAL]}, {found[CONFIRMED]} {whose[CONFIRMED]}"
        return f"Missing at the failover: {missing}"

    def phase(self, phase: Phase | Literal["total"], value: float, *, of_the_model: bool = False) -> str:
        """Seconds of a phase, or why there is no such number."""
        if phase == "switch" and not value:
            return "not modelled" if of_the_model or self.is_virtual else "in detect"
        return seconds(value)

    @property
    def measured(self) -> dict[Way, PhaseSeconds]:
        """Seconds by phase of the failover and failback that this run had."""
        return {way: phases for way in WAYS if (phases := self.rto.get(way))}

    @property
    def simulated(self) -> dict[Way, SimulatedWay]:
        """What the model's runs took: failover and failback."""
        runs: SimulatedRuns = self.rto.get("distribution") or {}
        return {way: found for way in WAYS if (found := runs.get(way))}

    def bounds(self) -> Iterator[str]:
        """The bounds of failover and failback, and what they do not include, a sentence each."""
        for way, found in self.simulated.items():
            bound, hanging = found["phases"]["total"]["bound"], found.get("hanging_bound")
            if_they_hang = "" if hanging is None else f", {seconds(hanging)} if probes hang"
            yield f"{sentence(way)}: at most {seconds(bound)} in the model{if_they_hang}"
        if self.simulated:
            yield f"Not in these bounds: {'; '.join(LEFT_OUT)}"

    def bound(self, way: Way) -> PhaseSeconds:
        """The longest that the model allows for each phase of a failover or failback, in seconds."""
        phases = self.simulated[way]["phases"]
        return {
            "detect": phases["detect"]["bound"],
            "switch": phases["switch"]["bound"],
            "cache": phases["cache"]["bound"],
            "first_write": phases["first_write"]["bound"],
            "total": phases["total"]["bound"],
        }

    @property
    def runs(self) -> int:
        """How many runs of the model there were."""
        return max((sum(each["runs_by_second"]) for each in self.simulated.values()), default=0)

    def recovery(self, way: Way) -> str:
        """What a failover or failback took, or why there is no such number."""
        if way in self.measured:
            return seconds(self.measured[way]["total"])
        return UNMEASURED if self.verdict == INCONCLUSIVE else "none"

    def log(self) -> Iterator[tuple[Event, str]]:
        """Every event except probes and transactions, in words."""
        for event in self.events:
            if (words := _event_in_words(event)) is not None:
                yield event, words

    def probe_counts(self) -> Iterator[tuple[str, int, int, list[str]]]:
        """By region: probes that passed and failed, and why they failed."""
        for region in (self.primary, self.secondary):
            probes = [probe for probe in self.probes if probe["region"] == region]
            failed = [probe for probe in probes if not probe["ok"]]
            reasons = {str(probe.get("error") or f"HTTP status {probe.get('status')}") for probe in failed}
            yield region, len(probes) - len(failed), len(failed), sorted(reasons)

    @property
    def split_brain(self) -> SplitBrainRecord | None:
        """What came of two regions that did not reach each other; None where they did all the time."""
        return (self.journal.get("after") or {}).get("split_brain")

    def unseen(self, split_brain: SplitBrainRecord) -> Iterator[str]:
        """What clients of each region did not see when both reached each other again, a phrase each."""
        regions: dict[Side, str] = {"primary": self.primary, "secondary": self.secondary}
        for side in SIDES:
            yield f"{regions[side]} lacked {number(split_brain['unseen'][side])} payments of {regions[OTHER[side]]}"

    def conflicts(self, split_brain: SplitBrainRecord) -> Iterator[tuple[str, str, str, str]]:
        """Payments that both regions took: id, acknowledged versions, versions in the tables, overwritten ones."""
        for conflict in split_brain["conflicts"]:
            there = {amount or "nothing" for amount in conflict["after"].values()}
            versions, lost = (
                ", ".join(f"{each['amount']} in {each['region']} at {clock(each['at'])}" for each in some)
                for some in (conflict["versions"], overwritten(conflict))
            )
            yield conflict["id"], versions, " and ".join(sorted(there)), lost or "none"

    @property
    def load(self) -> str:
        """Where payments were sent, in words. Empty if the journal does not say."""
        load = self.journal.get("load")
        return load_in_words(load) if load else ""

    def acknowledged(self, mode: str) -> str:
        """When a payment of a client mode counts as acknowledged, in words."""
        if self.is_of_service(mode):
            where = "both regions" if mode == CONFIRMED else "one region"
            return f"acknowledged by the service, after its write in {where}: what such a service gives"
        if mode == CONFIRMED:
            return "acknowledged by the drill's own client when both regions have it, and after a failover by one alone"
        return "acknowledged after the local write: what a global table gives"

    def target_at_switch(self, mode: str) -> Target | None:
        """The target for what is missing at the failover. Only confirmed mode has one."""
        targets = self.journal.get("targets") or [] if mode == CONFIRMED else []
        at_switch = MISSES_WHEN["missing at the failover"]
        return next((target for target in targets if target.get("misses_when") == at_switch), None)

    def is_of_service(self, mode: str) -> bool:
        """Whether a service or an endpoint of the user's acknowledged the payments of a client mode."""
        return mode == mode_of_service(self.journal.get("load"))

    def modes(self) -> Iterator[tuple[str, Rpo, str]]:
        """The client modes: name, the record of its payments, and its loss in words."""
        for mode in MODES:
            rpo: Rpo = (self.journal.get("rpo") or {}).get(mode) or {}
            missing = rpo.get("missing_at_switch")
            lost = f"{number(None if missing is None else len(missing))} of {number(rpo.get('acknowledged'))}"
            yield mode, rpo, UNMEASURED if missing is None else lost

    def actions_with_undo(self) -> Iterator[tuple[ActionEvent, ActionEvent | None]]:
        """Every action with its undo."""
        for action in (each for each in self.actions if not each["undone"]):
            undone = (
                each
                for each in self.actions
                if each["undone"] and each["name"] == action["name"] and each["at"] >= action["at"]
            )
            yield action, next(undone, None)

    def checks(self) -> Iterator[tuple[str, bool | None, str]]:
        """The checks after recovery: name, result and details."""
        after = self.journal.get("after") or {}
        items, twice = after.get("items") or {}, after.get("written_twice")
        counts = f"{number(items.get('primary'))} and {number(items.get('secondary'))} items"
        yield (
            "tables equal, item by item",
            items.get("equal"),
            ", ".join([counts, *map(str, items.get("different", []))]),
        )
        yield "nothing written twice", None if twice is None else not twice, ", ".join(map(str, twice or []))
        yield "parameters equal", after.get("parameters_equal"), ""
        if "documents" not in after:
            yield "documents copied", None, ""
        elif documents := after["documents"]:  # where there are buckets
            yield (
                "documents copied" if documents["copied_back"] else f"documents of {self.primary} copied",
                not any(documents["missing"][side] for side in copied_sides(documents)),
                ", ".join(self.documents(documents)),
            )
        yield "everything undone", after.get("undone"), ""
        if alarms := after.get("alarms"):  # where alarms are evaluated
            fired, still = (", ".join(names) or "none" for names in (alarms["fired"], alarms["still"]))
            yield "alarms cleared", not alarms["still"], f"fired: {fired}; not cleared: {still}"

    def documents(self, documents: DocumentsRecord) -> Iterator[str]:
        """What was found of the documents, a phrase each."""
        regions: dict[Side, str] = {"primary": self.primary, "secondary": self.secondary}
        for side in SIDES:
            missing, count = len(documents["missing"][side]), documents["written"][side]
            found = f"{missing} of {count} of {regions[side]} missing in {regions[OTHER[side]]}"
            one_way = side == "secondary" and count and not documents["copied_back"]
            yield f"{found} (the stack does not copy them back)" if one_way else found
        if deleted := documents["deleted_in_one_region"]:
            yield f"{len(deleted)} deleted in one region alone (S3 copies no deletion)"

    def choices(self) -> dict[tuple[int, int], dict[int, ChoiceRecord]]:
        """The failover's time by interval and threshold, then by TTL."""
        rows: dict[tuple[int, int], dict[int, ChoiceRecord]] = {}
        for each in self.rto.get("sensitivity") or []:
            rows.setdefault((each["request_interval_seconds"], each["failure_threshold"]), {})[each["ttl_seconds"]] = (
                each
            )
        return rows

    def outage(self) -> tuple[float, float] | None:
        """From when until when the outage lasted; one without an end lasted until the journal's."""
        begin = [step["at"] for step in self.steps if step["name"] == "outage"]
        end = [step["at"] for step in self.steps if step["name"] == "recovery"]
        return (begin[0], end[0] if end else self.end) if begin else None

    def paid_during_outage(self) -> tuple[int, int]:
        """How many of the payments that clients began during the outage were acknowledged, and how many there were.

        They are counted by whole seconds: those of the seconds in which it began and ended are not among them.
        """
        begin, end = self.outage() or (0.0, 0.0)
        during = [each for each in self.transactions if begin < each["at"] < int(end)]
        acknowledged = sum(each["acknowledged"] for each in during)
        return acknowledged, acknowledged + sum(each["failed"] for each in during)

    def spans(self, changes: Iterable[tuple[float, T]], normal: T | None = None) -> Iterator[tuple[float, float, T]]:
        """From each change until the next.

        Args:
            changes: Seconds of drill time, and the state after that.
            normal: What is so at the start; what changes from it first was so before.
        """
        known = list(changes)
        if normal is not None and known and known[0][1] != normal:
            known.insert(0, (0, normal))
        ends = [*(at for at, _ in known[1:]), self.end]
        for (start, what), end in zip(known, ends, strict=False):  # without a change there is an end all the same
            yield start, end, what

    def outcomes(self, mode: str) -> Iterator[tuple[float, float, Outcome]]:
        """From when until when payments of a mode ended in the same way, of clients that follow DNS.

        It holds until the next payment of the mode. Where that goes to another region, it holds until the first payment
        of any mode there, because all clients share one cache of DNS. How many payments a second there are says nothing
        about a stack: virtual time passes as fast as it can, and payments that wait for their confirmation do not.
        """
        following = [event for event in self.transactions if not event.get("pinned")]
        calls = (event for event in following if event["mode"] == mode)
        groups = [
            (way, list(events)) for way, events in groupby(calls, lambda event: (event["region"], *_ended(event)))
        ]
        starts = [events[0]["at"] for _, events in groups]
        for place, ((before, *_), events) in enumerate(groups[:-1]):
            region = groups[place + 1][0][0]
            if region != before:
                there = (each["at"] for each in following if each["region"] == region)
                starts[place + 1] = next(at for at in there if at >= events[-1]["at"])
        ends = [*starts[1:], self.end]
        for ((region, acknowledged, failed), events), start, end in zip(groups, starts, ends, strict=False):
            count = sum(each["acknowledged"] for each in events), sum(each["failed"] for each in events)
            yield start, end, Outcome(region, acknowledged, failed, *count)


def _ended(event: TransactionsEvent) -> tuple[bool, bool]:
    """Whether payments of these seconds were acknowledged, and whether some failed."""
    return event["acknowledged"] > 0, event["failed"] > 0


def _event_in_words(event: Event) -> str | None:
    """An event in words. None for events that are counted."""
    if event["kind"] == "step":
        return event["name"]
    if event["kind"] == "verdict":
        return f"{event['region']} is {'healthy' if event['healthy'] else 'unhealthy'}"
    if event["kind"] == "answer":
        return f"DNS answers {event['region']}"
    if event["kind"] == "expired":
        return f"the client's cache expired; DNS answers {event['region']}"
    if event["kind"] == "served":
        return f"the first payment in {event['region']} is acknowledged"
    if event["kind"] == "strange answer":
        addresses = ", ".join(event["addresses"])
        return f"DNS answers {addresses}, known of neither region: counted as {event['taken_for']}"
    if event["kind"] == "alarm":
        return f"{event['name']}: {event['state']}"
    if event["kind"] == "action":
        return f"{'undone: ' if event['undone'] else ''}{event['name']}"
    return None
