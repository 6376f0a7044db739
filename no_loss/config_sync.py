"""Both config-sync functions, everybody's writes and every kind of failure, in any order of API calls.

The functions are the handler's real code. Each invocation has a thread of its own, which stops before every API call
until the history says what becomes of that call. So a history plays the same way again.
"""

import contextlib
import io
import json
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType, TracebackType
from typing import Any, Self

from botocore.exceptions import ReadTimeoutError

from handlers import lambda_config_sync
from handlers.lambda_config_sync import SEED as SEED_MARK
from handlers.lambda_config_sync import STAMP_AGE_MAX, Stamp, Write
from no_loss.parameter_store import AWS_MANAGED_KEY, Clock, ParameterStore, StoredVersion, api_error
from no_loss.world import EAST, OTHER, REGIONS, WEST

NAMES = ("/payment-app/dev/database-url", "/payment-app/dev/api-key")
NAME = NAMES[0]
KEYS = {region: f"arn:aws:kms:{region}:111122223333:key/{region}" for region in REGIONS}
SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
HOUR_MS = 3_600_000
PATIENCE = 60  # seconds for a function's next call; it takes less than a millisecond


def must(holds: object, otherwise: str) -> None:
    """Fail the history unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


class Crash(BaseException):
    """The function's process ends here: nothing of it runs any more."""


@dataclass(frozen=True)
class UserWrite:
    """Somebody's write, or Terraform's seed."""

    region: str
    at_ms: int
    value: str
    replaced: frozenset[str]  # every value that this region had held before
    number: int = 0
    modified: datetime = datetime.min
    is_seed: bool = False
    claims: Write | None = None  # the write of which it looks like a copy, by a description that people gave it


class World:
    """Two regions, their functions, their users, and the change events that EventBridge has still to deliver.

    Args:
        skew_ms: By how much the clock of us-west-2 is ahead, in milliseconds; below zero if it is behind.
        handler: The handler's code.

    Attributes:
        troubles: By region what it has: "away" does not answer and runs no function, "throttles" takes no copy.
        calls, kills: How many API calls the functions made, and how many of them a function did not outlive.
    """

    def __init__(self, skew_ms: int = 0, handler: ModuleType = lambda_config_sync) -> None:
        self.handler = handler
        self.skew_ms = abs(skew_ms)
        self.clock = Clock(offsets_ms={WEST: skew_ms})
        self.stores = {region: ParameterStore(region, self.clock, page_max=3) for region in (EAST, WEST)}
        self.writes: dict[str, list[UserWrite]] = {name: [] for name in NAMES}
        self.copies, self.crossed = Counter[str](), Counter[str]()
        self.changes = Counter[str]()
        self.faults: list[str] = []  # of copies, seen when they arrive
        self.disturbances = Counter[str]()  # deletes, and writes with another type or key
        self.deleted = Counter[str]()
        self.misled: set[str] = set()  # parameters with a claim that the functions could not check
        self.events: list[tuple[str, Any]] = []
        self.late_puts: list[Callable[[], object]] = []
        self.invocations: list[Invocation] = []
        self.troubles: dict[str, str] = {}
        self.calls = self.kills = 0
        self.log, self.history = io.StringIO(), list[str]()
        for store in self.stores.values():
            store.on_change = self._changed

    def _changed(self, region: str, name: str, operation: str) -> None:
        self.changes[name] += 1
        detail = {"name": name, "operation": operation}
        self.events.append((region, {"detail-type": "Parameter Store Change", "detail": detail}))

    def __enter__(self) -> Self:
        """Keep what the functions print."""
        self._printed = contextlib.redirect_stdout(self.log)
        self._printed.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the functions that still run. What fails has the history as its note."""
        self.kill()
        self._printed.__exit__(kind, error, trace)
        if error:
            error.add_note("\n".join(self.history))

    def record(self, text: str) -> None:
        """Add a line to the history."""
        time = f"{self.clock.now():%M:%S.%f}"[: -len("000")]
        self.history.append(f"{time} {text.replace(NAMES[0].rpartition('/')[0] + '/', '').rstrip()}")

    def newest(self, name: str) -> dict[str, tuple[int, datetime]]:
        """The newest version in each region: its number, and its time, as numbers start again after a delete."""
        current = {r: store.parameters[name][-1] for r, store in self.stores.items() if name in store.parameters}
        return {region: (version.number, version.modified) for region, version in current.items()}

    def written(self, name: str, write: Write) -> UserWrite | None:
        """What a stamp names. A write's time may be moved to behind what it replaced."""
        found = [
            each
            for each in self.writes[name]
            if (each.region, each.number) == (write.region, write.version) and each.modified <= write.time
        ]
        return max(found, key=lambda each: each.modified, default=None)

    def is_there(self, name: str, write: UserWrite) -> bool:
        """Whether the write itself, not a copy, is still in its region's history."""
        return any(
            (version.number, version.modified) == (write.number, write.modified)
            for version in self.stores[write.region].parameters.get(name, [])
        )

    def _is_known(self, name: str, write: UserWrite) -> bool:
        """Whether a function can know this write: nobody gave it a copy's description, none before had its number."""
        numbers = [(each.region, each.number) for each in self.writes[name]]
        is_only_one = numbers.count((write.region, write.number)) == 1
        return self.is_there(name, write) and not write.claims and is_only_one

    def held(self, name: str, region: str, version: StoredVersion) -> UserWrite | None:
        """Whose value a stored version holds."""
        for write in self.writes[name]:
            if (write.region, write.number, write.modified) == (region, version.number, version.modified):
                return write
        stamp = Stamp.split(version.description)[1]
        return self.written(name, stamp.write) if stamp else None

    def write(self, region: str, name: str = NAME, how: str = "plain") -> None:
        """Somebody writes, if the region answers."""
        if self.troubles.get(region) == "away":
            return
        here, there = (self.stores[r].parameters.get(name, []) for r in (region, OTHER[region]))
        value = f"secret-{sum(map(len, self.writes.values()))}-of-{region}"
        if how == "long":  # more than the standard tier takes
            value = value.ljust(5000, ".")
        if how == "same value" and there:
            value = there[-1].value
        # The console fills in the description that was there when its form was opened; people copy from elsewhere.
        forms = {"text": "Payments database", "seed": f"Payments database {SEED_MARK}"}
        forms |= {"current": here[-1].description, "old": here[len(here) // 2].description} if here else {}
        forms |= {"again": here[-1].description} if here else {}
        forms |= {"other region": there[-1].description} if there else {}
        if how in ("again", "seed"):  # Terraform replaces a parameter, or people do with its old description
            self.delete(region, name)
            here = []
        key = {"no key": AWS_MANAGED_KEY}.get(how, KEYS[region])
        request: dict[str, Any] = {"Type": "String" if how == "String" else "SecureString", "KeyId": key}
        request |= {"Tier": "Advanced"} if how == "Advanced" or len(value) > 4096 else {}
        self.disturbances[name] += how in ("no key", "String")
        self.record(f"somebody writes {value[:40]} in {region} to {name} ({how})")
        self.stores[region].put_parameter(Name=name, Value=value, Overwrite=True, Description=forms.get(how), **request)
        version = self.stores[region].parameters[name][-1]
        claims = self._claim(region, here, version)
        is_seed = not claims and not here and Stamp.split(version.description)[0].endswith(SEED_MARK)
        replaced = frozenset(v.value for v in here)
        self.writes[name].append(
            UserWrite(region, self.clock.now_ms, value, replaced, version.number, version.modified, is_seed, claims)
        )

    @staticmethod
    def _claim(region: str, here: Sequence[StoredVersion], version: StoredVersion) -> Write | None:
        stamp = Stamp.split(version.description)[1]
        known = any(stamp and stamp.nonce in each.description for each in here)
        if not stamp or known or stamp.region != region or version.modified - stamp.made_at > STAMP_AGE_MAX:
            return None
        return stamp.write

    def delete(self, region: str, name: str) -> None:
        """Somebody deletes a parameter, if it is there and the region answers."""
        if self.stores[region].value(name) is not None and self.troubles.get(region) != "away":
            self.record(f"somebody deletes {name} in {region}")
            self.stores[region].delete_parameter(Name=name)
            self.clock.advance(1)  # or what is created next would look like what was there
            self.disturbances[name] += 1
            self.deleted[name] += 1

    def reports(self) -> list[dict[str, Any]]:
        """The warnings of lost writes."""
        return [json.loads(line) for line in self.log.getvalue().splitlines() if '"WritesLost"' in line]

    def start(self, region: str, event: Any = SCHEDULE) -> "Invocation":
        """A function begins to run."""
        self.invocations.append(Invocation(self, region, event))
        return self.invocations[-1]

    def running(self) -> list["Invocation"]:
        """The functions that run."""
        return [invocation for invocation in self.invocations if not invocation.done]

    def kill(self) -> None:
        """Everything that runs ends where it is."""
        for invocation in self.running():
            invocation.resume("killed")

    def hour(self, trouble: str, region: str, writes: Sequence[tuple[str, str, str]], *, backwards: bool) -> None:
        """For an hour a region has a trouble or, with "no events", nobody delivers any; then all arrive at once.

        Nothing that was under way before goes on afterwards: functions do not run that long, and AWS refuses a request
        whose signature has expired (https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html).
        """
        self.kill()
        self.late_puts.clear()
        self.record(f"for an hour: {trouble} in {region}")
        self.troubles[region] = trouble
        for writer, name, how in writes:
            self.clock.advance(HOUR_MS // (len(writes) + 1))
            self.write(writer, name, how)
            if trouble != "no events":
                self.start(OTHER[region]).until("the end")
        self.clock.advance(HOUR_MS // (len(writes) + 1))
        self.troubles.clear()
        self.record("the hour is over, and its events arrive")
        events, self.events = self.events, []
        for each in reversed(events) if backwards else events:
            self.start(*each)

    def finish(self, order: Sequence[int] = (0,), deliver: Callable[[], object] = lambda: None) -> None:
        """Let everything that runs go on undisturbed, taking turns."""
        deliver()
        turn = 0
        while running := self.running():
            running[order[turn % len(order)] % len(running)].resume()
            deliver()
            turn += 1
            must(turn < 5_000, "the functions keep each other busy")

    def check_converged(self) -> None:
        """Both regions hold the last write of those that are in their histories."""
        for name, writes in self.writes.items():
            values = {store.value(name) for store in self.stores.values()}
            versions = [(r, version) for r, store in self.stores.items() for version in store.parameters.get(name, [])]
            if not versions:
                must(values == {None}, f"there is no {name}, and a region shows {values}")
                continue
            must(len(values) == 1, f"the regions differ: {values}")
            for region, store in self.stores.items():
                current = store.parameters[name][-1]
                kind = current.type, current.key_id
                must(kind == ("SecureString", KEYS[region]), f"{name} in {region} is a {kind}")
            must(values <= {write.value for write in writes}, f"nobody wrote {values}")
            if name in self.misled or any(not self._can_be_checked(name, write) for write in writes):
                continue
            alive = {write for region, version in versions if (write := self.held(name, region, version))}
            must(self.deleted[name] or alive == set(writes), f"a write is in no history: {set(writes) - alive}")
            winners = [write for write in alive if write.value in values]
            must(winners, f"nobody wrote {values}, as far as the histories go")
            winner = max(winners, key=lambda write: (not write.is_seed, write.at_ms))
            if winner.is_seed:
                must(all(write.is_seed for write in alive), "a seed beats a write")
            else:
                newer = [w for w in alive if w.at_ms > winner.at_ms + self.skew_ms and not w.is_seed]
                must(not newer, f"lost, and newer by more than the clocks differ: {[w.value for w in newer]}")
            if len(winners) == 1:
                later = [w for w in writes[writes.index(winner) + 1 :] if w in alive and w.is_seed <= winner.is_seed]
                must(not any(winner.value in w.replaced for w in later), "what was replaced came back")

    def _can_be_checked(self, name: str, write: UserWrite) -> bool:
        claimed = self.written(name, write.claims) if write.claims else None
        return not write.claims or bool(claimed and self.is_there(name, claimed))

    def check_copies(self) -> None:
        """A copy is crossed if a region changed between the function's look at it and the copy's arrival.

        An uncrossed copy repairs one region; a write breaks at most one, a delete or a write with another type or key
        one more, and so does a crossed copy. So there are at most writes + disturbances + crossed uncrossed ones.
        Functions that do not overlap cross nothing: one copy a write.
        """
        for name, writes in self.writes.items():
            bound = len(writes) + self.disturbances[name] + 2 * self.crossed[name]
            must(self.copies[name] <= bound, f"{self.copies[name]} copies of {name}, and {bound} are enough")
        must(not self.faults, "; ".join(self.faults))
        must("secret" not in self.log.getvalue(), "a value is in the log")

    def check_reports(self) -> None:
        """Nothing is reported as lost that the later write knew of. What must be reported is seen at each copy."""
        for report in self.reports():
            name = report["parameter"]
            if self.deleted[name]:  # a run may take what was created again within a second for what was there before
                continue
            lost, kept = (self._named(name, report[which]) for which in ("lost", "kept"))
            if self._is_ambiguous(name, lost):
                continue
            must(not lost.is_seed, f"a seed is reported as lost: {lost}")
            must(lost.region != kept.region, f"{lost} and {kept} are of one region")
            must(lost.value not in kept.replaced, f"{kept} knew of {lost}")

    def _named(self, name: str, text: str) -> UserWrite:
        region, _, version, _, time = text.split()
        found = self.written(name, Write(datetime.fromisoformat(time).astimezone(UTC), region, int(version)))
        if found is None:
            raise AssertionError(f"nobody wrote {text}")
        return found

    def _is_ambiguous(self, name: str, write: UserWrite) -> bool:
        return [each.value for each in self.writes[name]].count(write.value) > 1

    def look_at_copy(self, store: ParameterStore, request: dict[str, Any], crossed: bool) -> None:
        """Find what is wrong with a copy that is about to arrive."""
        name, region = request["Name"], store.region
        stamp = Stamp.split(request["Description"])[1]
        if stamp is None:
            raise AssertionError("a copy does not say that it is one")
        carried = self.written(name, stamp.write)
        current = store.parameters[name][-1] if name in store.parameters else None
        if not carried or carried.value != request["Value"]:
            if self.deleted[name] and not (carried and self._is_known(name, carried)):
                self.misled.add(name)
            else:
                self.faults.append("a copy carries another value than the write it names")
        if not current or not carried:
            return
        replaced = self.held(name, region, current)
        if crossed:
            if replaced and replaced.claims and replaced.modified == current.modified:
                self.misled.add(name)  # only what a region holds now is checked
            return
        if current.value == request["Value"] and (current.type, current.key_id) == ("SecureString", KEYS[region]):
            self.faults.append("a copy is written though nothing differs")
        if (
            replaced
            and (replaced.region, replaced.modified) == (region, current.modified)
            and not replaced.is_seed
            and carried.region != region
            and replaced.value not in {request["Value"], *carried.replaced}
            and not self.deleted[name]
            and replaced
            not in [self._named(name, each["lost"]) for each in self.reports() if each["parameter"] == name]
        ):
            self.faults.append("a write is lost and not reported")


class Invocation:
    """One run of a function, that stops before every API call until it is resumed with the call's fate."""

    def __init__(self, world: World, region: str, event: Any) -> None:
        self.done = False
        self.next_operation = ""
        self.summary: Any = None
        self._world, self._region, self._event = world, region, event
        self._label = f"{region}#{len(world.invocations)}"
        self._read: dict[str, tuple[int, datetime]] = {}
        self._changes, self._was_misled = world.changes.copy(), False
        self._fates: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stops: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        why = "{operation} of {name}".format(**event["detail"]) if event["detail"] else "reconciliation"
        world.record(f"{self._label} starts: {why}")
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        home, target = (Wire(self, self._world.stores[region]) for region in (self._region, OTHER[self._region]))
        handler = self._world.handler
        sync = handler.ParameterSync(
            self._region,
            OTHER[self._region],
            KEYS[OTHER[self._region]],
            home=home,
            target=target,
            target_writer=target,
            now=lambda: self._world.clock.now(self._region),
            sleep=lambda seconds: self._world.clock.advance(round(seconds * 1000)),
        )
        configuration = handler.Settings(NAMES, self._region, OTHER[self._region], "key", "role", ("Test", "sync"))
        try:
            self.summary = handler.run(self._event, configuration, lambda: sync, choose_first=lambda _: 0)
            self._look_at_summary(handler.names_to_sync(self._event, NAMES)[0])
        except (handler.SyncFailed, Crash) as error:
            self._world.record(f"{self._label} ends: {error!r}")
        except BaseException as error:
            self._error = error
        self._stops.put(True)

    def _look_at_summary(self, names: Sequence[str]) -> None:
        """What a run reports to be the same in both regions is the same, unless others wrote meanwhile."""
        world = self._world
        for name in names:
            undisturbed = world.changes[name] == self._changes[name] and not self._was_misled
            if undisturbed and name not in self.summary["drifted"]:
                values = {region: store.value(name) for region, store in world.stores.items()}
                must(len(set(values.values())) == 1, f"{self._label} reports success, and the regions differ: {values}")

    def resume(self, fate: str = "") -> None:
        """Let the next API call happen."""
        self._fates.put(fate)
        self._wait()

    def _wait(self) -> None:
        for _ in range(PATIENCE):  # one second each, so that a machine that stood still for long uses up only one
            with contextlib.suppress(queue.Empty):
                self.done = self._stops.get(timeout=1)
                break
        else:
            raise TimeoutError(f"{self._label} has neither made a call nor ended within {PATIENCE} s")
        if self.done:
            self._thread.join()
        if self._error:
            raise self._error

    def until(self, operation: str) -> "Invocation":
        """Run undisturbed until it is about to make a call of this operation, or to the end."""
        while not self.done and self.next_operation != operation:
            self.resume()
        return self

    def call(self, operation: str, store: ParameterStore, request: dict[str, Any]) -> Any:
        """An API call of the function, from its thread."""
        self.next_operation = operation
        self._stops.put(False)
        fate = self._fates.get()
        world = self._world
        world.clock.advance(1)
        world.calls += 1
        world.kills += fate.startswith("killed")
        trouble = world.troubles.get(store.region)
        if not fate and (trouble == "away" or (trouble == "throttles" and operation == "put_parameter")):
            fate = "timeout" if trouble == "away" else "throttled"
        world.record(f"{self._label} {operation} {request['Name']} in {store.region} {fate}")
        if fate == "killed":
            raise Crash
        if fate == "throttled":
            raise api_error(operation, "ThrottlingException")
        act = self._act(operation, store, request)
        if fate.endswith("arrives later") and operation == "put_parameter":
            world.late_puts.append(act)
        elif not fate.startswith("timeout"):
            before = world.changes.copy()
            answer = act(stale=fate == "stale")
            self._changes += world.changes - before  # its own
        self._was_misled |= fate == "stale"
        if fate.startswith("killed"):
            raise Crash
        if fate.startswith("timeout") or fate == "answer lost":
            raise ReadTimeoutError(endpoint_url="https://ssm")
        return answer

    def _act(self, operation: str, store: ParameterStore, request: dict[str, Any]) -> Callable[..., Any]:
        """What the call does when it arrives."""
        world, name, read = self._world, request["Name"].partition(":")[0], dict(self._read)

        def act(*, stale: bool = False) -> Any:
            if operation == "put_parameter":
                crossed = read != world.newest(name)
                world.copies[name] += 1
                world.crossed[name] += crossed
                world.look_at_copy(store, request, crossed)
                world.record(f"{self._label} {request['Value'][:40]} arrives in {store.region}{' crossed' * crossed}")
            elif operation == "get_parameter_history":
                self._read.pop(store.region, None)
            answer = getattr(store, operation)(**request)
            if operation == "get_parameter_history":
                if stale and len(answer["Parameters"]) > 1:
                    answer["Parameters"].pop()
                    answer.pop("NextToken", None)
                last = answer["Parameters"][-1]
                self._read[store.region] = last["Version"], last["LastModifiedDate"]
            if operation == "get_parameter" and stale and (number := answer["Parameter"]["Version"] - 1):
                answer = store.get_parameter(**request | {"Name": f"{name}:{number}"})
            return answer

        return act


class Wire:
    """An SSM client whose calls go through an invocation."""

    def __init__(self, invocation: Invocation, store: ParameterStore) -> None:
        self._invocation, self._store = invocation, store

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: self._invocation.call(operation, self._store, request)
