"""The journal of a drill: every event with its times, the one source of every report.

The journal's file is JSON of schema 1. The dictionaries with typed keys below say what it holds. Most of their keys may
be absent: a drill that broke off did not come to them.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NotRequired, TypedDict, Unpack, cast

from payment_dr.operations.errors import OperationError
from payment_dr.operations.files import write_whole
from payment_dr.operations.verify import seal_of
from payment_dr.side import SIDES, Side

SCHEMA = 1
PASSED, MISSED, INCONCLUSIVE = "passed", "missed", "inconclusive"

Way = Literal["failover", "failback"]
WAYS: Final[tuple[Way, ...]] = ("failover", "failback")
LOCAL, CONFIRMED = MODES = ("local", "confirmed")
Phase = Literal["detect", "switch", "cache", "first_write"]
PHASES: Final[tuple[Phase, ...]] = ("detect", "switch", "cache", "first_write")

PaymentPhase = Literal["steady", "outage", "secondary serves", "primary serves again"]
PAYMENT_PHASES: Final[tuple[PaymentPhase, ...]] = ("steady", "outage", "secondary serves", "primary serves again")

Percentile = Literal["p50", "p95", "p99", "worst", "bound"]
REPORTED: Final[tuple[Percentile, ...]] = ("p50", "p95", "p99", "bound")  # the worst of a sample limits nothing


class OutageRecord(TypedDict):
    """The outage: its kind, the primary region, a description, and its seconds (None: not known yet)."""

    kind: str
    region: str
    description: str
    seconds: float | None


class SettingsRecord(TypedDict, total=False):
    """What the recovery time depends on, as the stack has it; seconds and counts."""

    request_interval_seconds: int
    failure_threshold: int
    ttl_seconds: int
    rto_target_seconds: int
    replication_lag_seconds: dict[str, float]


class PhaseSeconds(TypedDict):
    """Seconds that each phase of a failover or a failback took, and all of them."""

    detect: float
    switch: float
    cache: float
    first_write: float
    total: float


class PercentileSeconds(TypedDict):
    """Seconds that simulated runs took: percentiles, the longest run, and the longest that the model allows."""

    p50: float
    p95: float
    p99: float
    worst: float
    bound: float


class SimulatedWay(TypedDict):
    """Simulated failovers or failbacks.

    Attributes:
        phases: Seconds by phase, and in all.
        runs_by_second: How many runs took 0 to 1 s in all, 1 to 2 s, and so on.
        worst_seed: The seed of the longest run.
        hanging_bound: The longest that the model allows in all when every failed probe hangs.
    """

    phases: dict[Phase | Literal["total"], PercentileSeconds]
    runs_by_second: list[int]
    worst_seed: int
    hanging_bound: float


class SimulatedRuns(TypedDict, total=False):
    """What the model's runs took with the settings of the stack."""

    settings: dict[str, float | None]
    runs: int
    seed: int
    failover: SimulatedWay
    failback: SimulatedWay


class ChoiceRecord(TypedDict):
    """The failover's time with one choice of settings; `hanging_bound` is the bound when every failed probe hangs."""

    request_interval_seconds: int
    failure_threshold: int
    ttl_seconds: int
    failover: PercentileSeconds
    hanging_bound: float


class Rto(TypedDict, total=False):
    """Recovery times: this run's two ways, the model's runs, and the model's runs by choice of settings."""

    failover: PhaseSeconds | None
    failback: PhaseSeconds | None
    distribution: SimulatedRuns | None
    sensitivity: list[ChoiceRecord]


class LatencyMs(TypedDict):
    """Milliseconds until a payment in the primary region was acknowledged."""

    p50: float | None
    p95: float | None


class PaymentFigures(TypedDict):
    """The attempts to pay of one client mode in one phase and region.

    Attributes:
        phase, region: Which.
        acknowledged: How many were acknowledged.
        by_one_region: Of these, without having been read in the other region.
        failed: How many failed.
        latency_ms: Of those that were acknowledged.
    """

    phase: PaymentPhase
    region: str
    acknowledged: int
    by_one_region: int
    failed: int
    latency_ms: LatencyMs


class Recovery(TypedDict):
    """Seconds of drill time from the outage, and from its end, to a client's first payment; None without one."""

    failover: float | None
    failback: float | None


class Rpo(TypedDict, total=False):
    """The payments of one client mode: counts of what was acknowledged, and ids of what was missing.

    Attributes:
        acknowledged: Until the clients switched to the other region, or until the outage ended without that.
        acknowledged_in_all: In the whole drill.
        acknowledged_by_one_region: Of these, without a copy in the other region.
        acknowledged_in_secondary: In the secondary region until the clients returned; 0 if they did not.
        missing_at_switch: Acknowledged and not in the secondary region when the clients switched.
        missing_at_failback: Acknowledged in the secondary region and not in the primary one when the clients returned.
            None if they did not.
        missing_after_recovery: Acknowledged and not in both regions in the end.
        latency_ms: Time to acknowledge, in the primary region.
        figures: By phase and region.
        recovery: Recovery times of this client.
    """

    acknowledged: int
    acknowledged_in_all: int
    acknowledged_by_one_region: int
    acknowledged_in_secondary: int
    missing_at_switch: list[str]
    missing_at_failback: list[str] | None
    missing_after_recovery: list[str]
    latency_ms: LatencyMs
    figures: list[PaymentFigures]
    recovery: Recovery


class PaymentRecord(TypedDict):
    """One attempt of a client to pay. An attempt that failed may come again with the same id.

    Attributes:
        id: The transaction's id.
        mode: The client mode.
        region: Where it was sent, as DNS had answered.
        at: Seconds of drill time at which the client began.
        done: Seconds of drill time at which it was acknowledged or had failed.
        seconds: Real seconds until then; where drill time is virtual, an answer takes none of it.
        acknowledged: Whether the client got an acknowledgement.
        confirmed: Whether it was read in the other region before that.
        phase: The phase of the drill at `at`.
        pinned: True of a client that stays with the secondary region, whatever DNS answers; absent of all others.
    """

    id: str
    mode: str
    region: str
    at: float
    done: float
    seconds: float
    acknowledged: bool
    confirmed: bool
    phase: PaymentPhase
    pinned: NotRequired[bool]


class ItemsRecord(TypedDict, total=False):
    """The tables after recovery: whether they are equal, their numbers of items, and ids of the items that differ."""

    equal: bool
    primary: int
    secondary: int
    different: list[str]


class AlarmsRecord(TypedDict):
    """What the alarms did.

    Attributes:
        expected: Names of the alarms of which one must fire, by the side whose failure it tells of.
        fired: Names of those that were in ALARM at any time.
        still: Names of those that are in ALARM in the end.
        undelivered: Why alarms that fired have reached nobody, a sentence each; None where that is not tested.
    """

    expected: dict[Side, list[str]]
    fired: list[str]
    still: list[str]
    undelivered: list[str] | None


class DocumentsRecord(TypedDict):
    """The documents after recovery, by the side where each was last written.

    Attributes:
        copied_back: Whether the stack copies documents of the secondary region to the primary one.
        written: How many there are.
        missing: Keys of those that the other region lacks or has differently, or that were overwritten in their own.
        deleted_in_one_region: Keys of those that were deleted in one region and are in the other one.
    """

    copied_back: bool
    written: dict[Side, int]
    missing: dict[Side, list[str]]
    deleted_in_one_region: list[str]


def copied_sides(documents: DocumentsRecord) -> Sequence[Side]:
    """The sides whose documents the stack copies to the other side."""
    return SIDES if documents["copied_back"] else ("primary",)


class RotationRecord(TypedDict):
    """The parameter that was rotated, and whether the other region got the value written in the region of a side."""

    name: str
    copied: dict[Side, bool]


class VersionRecord(TypedDict):
    """One version of a payment: the region that acknowledged it, its time in seconds of drill time, and its amount."""

    region: str
    at: float
    amount: str


class ConflictRecord(TypedDict):
    """A payment that both regions acknowledged with different amounts while they did not reach each other.

    Attributes:
        id: The transaction's id.
        versions: Its versions in the order in which they were written.
        seen: The amount that each region had when it reached the other one again; None if it had no such payment.
        after: The amount that each region has in the end; None if it has no such payment.
    """

    id: str
    versions: list[VersionRecord]
    seen: dict[Side, str | None]
    after: dict[Side, str | None]


def overwritten(conflict: ConflictRecord) -> list[VersionRecord]:
    """The acknowledged versions of a payment that no region has in the end."""
    return [version for version in conflict["versions"] if version["amount"] not in conflict["after"].values()]


class SplitBrainRecord(TypedDict):
    """What came of two regions that did not reach each other while clients paid in both.

    Attributes:
        unseen: How many payments that the other region had acknowledged a region did not have when both reached each
            other again, by its side; without those that conflict.
        conflicts: The payments that both regions acknowledged with different amounts.
    """

    unseen: dict[Side, int]
    conflicts: list[ConflictRecord]


class After(TypedDict, total=False):
    """What the verification found.

    `documents`, `alarms` and `rotation` are None where a place has none, `split_brain` where the regions reached each
    other all the time.
    """

    items: ItemsRecord
    written_twice: list[str]
    parameters_equal: bool
    rotation: RotationRecord | None
    documents: DocumentsRecord | None
    alarms: AlarmsRecord | None
    split_brain: SplitBrainRecord | None
    undone: bool


class Target(TypedDict):
    """One target: the most that is allowed, and what was measured.

    Attributes:
        what: What was measured.
        unit: Its unit.
        target: The most that it may be.
        measured: What it is; None if nothing could be measured.
        met: Whether the target is met; None if that is not known.
        tested: Whether this outage can make a system miss the target. If it can, and `met` is None, the drill is
            inconclusive.
        how: What the value is made of, or why the target is not judged.
        misses_when: What in a stack makes it miss, a sentence.
    """

    what: str
    unit: str
    target: float
    measured: float | None
    met: bool | None
    tested: bool
    how: str
    misses_when: str


def verdict_on(targets: Iterable[Target]) -> str:
    """The verdict that follows from targets: one that was missed outweighs one that is inconclusive."""
    results = [target["met"] for target in targets if target["tested"]]
    if False in results:
        return MISSED
    return INCONCLUSIVE if None in results else PASSED


class _Timed(TypedDict):
    # `Journal.note` adds both: seconds of drill time, and seconds of real time since the drill began.
    at: NotRequired[float]
    real: NotRequired[float]


class StepEvent(_Timed):
    """A step of the drill begins."""

    kind: Literal["step"]
    name: str


class ActionEvent(_Timed):
    """The drill did something, or undid it."""

    kind: Literal["action"]
    name: str
    undone: bool


class ProbeEvent(_Timed):
    """A health checker probed a region. Without an HTTP status there is an error."""

    kind: Literal["probe"]
    region: str
    checker: str
    ok: bool
    status: int | None
    seconds: float
    error: str | None


class VerdictEvent(_Timed):
    """A region's health check is healthy from now on, or not."""

    kind: Literal["verdict"]
    region: str
    healthy: bool


class AnswerEvent(_Timed):
    """DNS answers with another region from now on."""

    kind: Literal["answer"]
    region: str


class ExpiredEvent(_Timed):
    """The client's cache is rid of the answer before; it is noted under the region that it answers with now."""

    kind: Literal["expired"]
    region: str


class ServedEvent(_Timed):
    """The first payment of another region than before is acknowledged."""

    kind: Literal["served"]
    region: str


class StrangeAnswerEvent(_Timed):
    """DNS answered with addresses of neither region."""

    kind: Literal["strange answer"]
    addresses: list[str]
    taken_for: str


class AlarmEvent(_Timed):
    """An alarm has another state from now on."""

    kind: Literal["alarm"]
    region: str
    name: str
    state: str


class TransactionsEvent(_Timed):
    """How many payments of a mode a region acknowledged in `per` seconds, and how many failed.

    They are those of clients that follow DNS, or with `pinned` of those that stay with the secondary region.
    """

    kind: Literal["transactions"]
    region: str
    mode: str
    acknowledged: int
    failed: int
    per: int
    pinned: NotRequired[bool]


Event = (
    StepEvent
    | ActionEvent
    | ProbeEvent
    | VerdictEvent
    | AnswerEvent
    | ExpiredEvent
    | ServedEvent
    | StrangeAnswerEvent
    | AlarmEvent
    | TransactionsEvent
)


class LoadRecord(TypedDict):
    """Which way payments went.

    Attributes:
        way: "service" by name over TLS, "endpoint" of the user's, or "table".
        to: To which of it.
        confirms: Whether the service or the endpoint acknowledges only what both regions have, as the user said.
    """

    way: str
    to: str
    confirms: bool


def mode_of_service(load: LoadRecord | None) -> str | None:
    """The client mode whose payments a service or an endpoint acknowledges; None where there is none."""
    if load is None or load["way"] == "table":
        return None
    return CONFIRMED if load.get("confirms") else LOCAL


def load_in_words(load: LoadRecord) -> str:
    """Where payments were sent, and who acknowledges in which mode, in words."""
    if load["way"] == "table":
        return f"payments written to the table {load['to']} directly"
    sent = f"payments sent to {load['to']}"
    if load["way"] == "service":
        sent = f"POST /payments to {load['to']} over TLS, in the region that DNS answered with"
    mode = mode_of_service(load)
    other = LOCAL if mode == CONFIRMED else CONFIRMED
    return f"{sent} (judged as {mode} mode). {other.capitalize()} mode: the drill's own client of the table"


class ZoneRecord(TypedDict):
    """The hosted zone of the application's name."""

    id: str
    name: str


class TableRecord(TypedDict):
    """The payments table: its ARN in the primary region, and the id that DynamoDB gave each replica, if known."""

    arn: str
    ids: dict[Side, str | None]


class TerraformRecord(TypedDict, total=False):
    """What the stack was deployed by: serial and lineage of the state, or SHA-256 of the file with the outputs."""

    serial: int
    lineage: str
    outputs_sha256: str


class ToolRecord(TypedDict):
    """This project: its name, version and git commit ("-dirty" with changes); None where it was installed."""

    name: str
    version: str
    commit: str | None


class SystemRecord(TypedDict, total=False):
    """The system under drill, the person and the tools.

    Attributes:
        is_emulated: Whether the AWS was emulated on this machine.
        account: The account of the stack.
        fqdn: The name that clients use.
        zone: Its hosted zone.
        health_checks, apis, buckets: Ids and names by side.
        table: The payments table.
        terraform: What is known of Terraform's state; None if nothing is.
        caller: ARN of the credentials; None if STS did not say.
        host: Name of the machine that ran the drill.
        tool: This project.
    """

    is_emulated: bool
    account: str
    fqdn: str
    zone: ZoneRecord
    health_checks: dict[Side, str]
    apis: dict[Side, str]
    buckets: dict[Side, str]
    table: TableRecord
    terraform: TerraformRecord | None
    caller: str | None
    host: str
    tool: ToolRecord


class KnownFromTheStart(TypedDict, total=False):
    """The part of a journal that is known before the drill. `made_of` lists what is real, emulated and simulated.

    Attributes:
        time: What the events' `at` counts: seconds that passed, or of a clock that the drill moves forward.
    """

    place: str
    time: Literal["real", "virtual"]
    system: SystemRecord
    seed: int
    versions: dict[str, str]
    regions: dict[Side, str]
    settings: SettingsRecord
    load: LoadRecord
    made_of: dict[str, list[str]]


class SignatureRecord(TypedDict):
    """Who sealed the journal: ARN or file of the key, the algorithm, and public key (DER) and signature in Base64."""

    key: str
    algorithm: str
    public_key: str
    value: str


class SealRecord(TypedDict):
    """What the journal was when the drill ended; see `payment_dr.operations.verify`.

    Attributes:
        sha256: Of everything but the seal.
        values: The beginning of the SHA-256 of each value, by its path.
        payments, events: The same of each payment and event, one after the other.
        signature: Of what `sha256` is of, if somebody signed it.
    """

    sha256: str
    values: dict[str, str]
    payments: str
    events: str
    signature: NotRequired[SignatureRecord]


class Content(KnownFromTheStart, total=False):
    """All that a journal holds. `started` and `ended` are UTC. `ended` and `seal` are None until the drill ends."""

    schema: int
    id: str
    started: str
    ended: str | None
    outage: OutageRecord
    rto: Rto
    rpo: dict[str, Rpo]
    after: After
    targets: list[Target]
    verdict: str
    causes: list[str]
    payments: list[PaymentRecord]
    events: list[Event]
    seal: SealRecord | None


class InconclusiveError(OperationError):
    """A drill has ended without a verdict of passed or missed.

    Attributes:
        journal: How far it came.
    """

    def __init__(self, message: str, *, hint: str, journal: Path) -> None:
        super().__init__(message, hint=hint)
        self.journal = journal


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Journal:
    """The record of a drill, in memory. `save` writes it to a file that is complete at any time.

    Args:
        directory: Where the file goes; made if need be.
        outage: An `OutageRecord`; its kind is part of the file's name.
        **known: What else is known from the start.

    Attributes:
        now: Seconds of drill time, given to each event that names none.
        path: The file.

    Example:
        >>> journal = Journal(Path("drill-reports"), outage, seed=42)  # doctest: +SKIP
        >>> journal.note({"kind": "answer", "region": "us-east-1"}, at=2.5)  # doctest: +SKIP
        >>> journal.content["events"]  # doctest: +SKIP
        [{'at': 2.5, 'real': 0.0, 'kind': 'answer', 'region': 'us-east-1'}]
    """

    def __init__(self, directory: Path, outage: Mapping[str, Any], **known: Unpack[KnownFromTheStart]) -> None:
        started = _utc()
        name = f"{started.replace(':', '-')}-{outage['kind']}"
        self.now = 0.0
        self.path = directory / f"{name}.json"
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._content: Content = {
            "schema": SCHEMA,
            "id": name,
            "started": started,
            "ended": None,
            "outage": cast(OutageRecord, outage),
            **known,
            "rto": {"failover": None, "failback": None, "distribution": None, "sensitivity": []},
            "rpo": {},
            "after": {},
            "targets": [],
            "verdict": INCONCLUSIVE,
            "causes": [],
            "payments": [],
            "events": [],
            "seal": None,
        }

    def note(self, event: Event, *, at: float | None = None) -> None:
        """Note one event.

        Args:
            event: What happened; its times are added.
            at: Drill time in seconds. Default: now.
        """
        with self._lock:
            times: dict[str, Any] = {
                "at": round(self.now if at is None else at, 3),
                "real": round(time.monotonic() - self._started, 3),
            }
            self._content["events"].append(cast(Event, times | event))

    def step(self, name: str) -> None:
        """Begin a new step, and save everything before it."""
        self.note({"kind": "step", "name": name})
        self.save()

    def set(self, **known: Unpack[Content]) -> None:
        """Replace values."""
        self._content.update(known)

    @property
    def content(self) -> Content:
        """Everything, the events in the order of drill time: some are known only after later ones."""
        with self._lock:
            events = sorted(self._content["events"], key=lambda event: event["at"])
        return {**self._content, "events": events}

    def close(self, verdict: str, causes: list[str]) -> None:
        """End the drill and seal the journal."""
        self.set(verdict=verdict, causes=causes, ended=_utc())
        self.set(seal=cast(SealRecord, seal_of(json.loads(json.dumps(self.content)))))
        self.save()

    def save(self) -> None:
        """Write the file; a reader sees the former one or this one, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, (json.dumps(self.content, indent=1) + "\n").encode())
