"""Recompute the figures of a drill's journal, and check whether it was changed: ``dr verify``, or this file alone.

This file needs Python 3.11 and nothing else, so that an auditor can read it whole and run it by itself:

    python verify.py 2026-11-26T14-34-05Z-region.json

It recomputes every figure that follows from the recorded events and payments: the phases of the recovery times,
counts, latencies, the model's bounds and percentiles (which a seed decides), targets and the verdict. It takes what the
drill read in AWS as recorded, such as the items that a region lacks, and recomputes only the counts of these.

A drill seals its journal when it ends: with one SHA-256 over everything, and a short one for each value, event and
payment, which locate a change. A seal shows a change by accident, or by somebody who did not seal again. Only a
signature shows who sealed: an owner of the private key. None of this shows that the drill took place.

Exit codes: 0 everything agrees, 1 something differs, 2 inconclusive (no journal, no seal, a drill that did not end).
"""

import argparse
import base64
import difflib
import hashlib
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

VERIFIED, DIFFERS, INCONCLUSIVE = 0, 1, 2
SCHEMA: Final = 1
SEAL: Final = "seal"
LISTS: Final = ("events", "payments")  # sealed element by element
SHORT: Final = 8  # hexadecimal digits that locate a change; the seal itself has all 64
ALGORITHM: Final = "RSASSA_PKCS1_V1_5_SHA_256"  # as KMS names it, and what `openssl dgst -sha256 -sign` makes
LEAST_KEY_BITS: Final = 2048
EXACT: Final = 1e-6
# Recovery times of a client, of which one moment is rounded in the events
HUNDREDTH: Final = 0.0101
WAYS: Final = ("failover", "failback")
PHASES: Final = ("detect", "switch", "cache", "first_write")

Json = Any
Content = Mapping[str, Json]


class CannotTellError(Exception):
    """A file is no journal that can be checked."""


# The seal


def canonical(content: Content) -> bytes:
    """The bytes that are sealed: everything but the seal as JSON, keys sorted, without spaces, ASCII alone."""
    sealed = {key: value for key, value in content.items() if key != SEAL}
    return json.dumps(sealed, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal_of(content: Content) -> dict[str, Json]:
    """The seal of a journal.

    Example:
        >>> seal_of({"seed": 42, "events": []})["values"]
        {'seed': '73475cb4'}
    """
    return {
        "sha256": hashlib.sha256(canonical(content)).hexdigest(),
        "values": {path: _short(value) for path, value in _values(content)},
        **{name: "".join(map(_short, content.get(name, []))) for name in LISTS},
    }


def _short(value: Json) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]


def _values(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Each value that has a path of its own, but for the lists that are sealed element by element."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            if path or key not in (SEAL, *LISTS):
                yield from _values(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict) and not path.endswith("sensitivity"):
        for place, each in enumerate(value):
            yield from _values(each, f"{path}[{place}]")
    else:
        yield path, value


def changes(content: Content) -> list[str]:
    """What is not as it was sealed: JSON paths, and which event or payment it is."""
    now, then = seal_of(content), content[SEAL]
    found = []
    for path in sorted(now["values"].keys() | then.get("values", {}).keys()):
        before, after = then.get("values", {}).get(path), now["values"].get(path)
        if before is None or after is None:
            found.append(f"{path}: was {'added' if before is None else 'removed'} after the seal")
        elif before != after:
            found.append(f"{path}: was changed after the seal")
    for name in LISTS:
        found += _changes_of_a_list(name, content.get(name, []), str(then.get(name, "")), now[name])
    if not found and now["sha256"] != then.get("sha256"):
        found.append("seal.sha256: is not that of the content, each part of which is as it was sealed")
    return found


def _changes_of_a_list(name: str, elements: Sequence[Json], before: str, after: str) -> Iterator[str]:
    was, is_now = ([text[at : at + SHORT] for at in range(0, len(text), SHORT)] for text in (before, after))
    for how, begin, end, first, last in difflib.SequenceMatcher(None, was, is_now, autojunk=False).get_opcodes():
        if how == "equal":
            continue
        same = min(end - begin, last - first)
        for place in range(first, first + same):
            yield f"{name}[{place}]: was changed after the seal ({_about(elements[place])})"
        for place in range(first + same, last):
            yield f"{name}[{place}]: was added after the seal ({_about(elements[place])})"
        if (removed := end - begin - same) > 0:
            yield f"{name}: {removed} removed after the seal before {name}[{last}]"


def _about(element: Json) -> str:
    known = [str(element.get(key)) for key in ("kind", "name", "mode", "region", "id") if key in element]
    return f"{' '.join(known)} at {element.get('at')} s"


# The signature: RSA alone, because it can be checked in a few lines. RFC 8017, 8.2.2 and 9.2.

_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_RSA_ENCRYPTION: Final = bytes.fromhex("06092a864886f70d010101")


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a public key in DER, by which two people can compare it."""
    return hashlib.sha256(public_key).hexdigest()


def is_signed_by(public_key: bytes, signature: bytes, content: Content) -> bool:
    """Whether the private half of an RSA key has signed the journal.

    Args:
        public_key: SubjectPublicKeyInfo in DER, as KMS and ``openssl pkey -pubout -outform DER`` give it.
        signature: The signature.
        content: The journal.

    Raises:
        CannotTellError: It is no RSA key of at least 2,048 bits.
    """
    modulus, exponent = _rsa(public_key)
    length = (modulus.bit_length() + 7) // 8
    if len(signature) != length:
        return False
    digest = _SHA256_INFO + hashlib.sha256(canonical(content)).digest()
    padded = b"\x00\x01" + b"\xff" * (length - len(digest) - 3) + b"\x00" + digest
    return pow(int.from_bytes(signature), exponent, modulus).to_bytes(length) == padded


def _rsa(der: bytes) -> tuple[int, int]:
    def inner(data: bytes, tag: int) -> tuple[bytes, bytes]:
        """The value of the element that data begin with, and what follows it."""
        if len(data) < 2 or data[0] != tag:
            raise ValueError
        length, at = data[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(data[2:at])
        if len(data) < at + length:
            raise ValueError
        return data[at : at + length], data[at + length :]

    try:
        algorithm, rest = inner(inner(der, 0x30)[0], 0x30)
        key, _ = inner(inner(rest, 0x03)[0][1:], 0x30)
        modulus, rest = inner(key, 0x02)
        exponent, _ = inner(rest, 0x02)
    except ValueError:
        algorithm = b""
    if not algorithm.startswith(_RSA_ENCRYPTION):
        raise CannotTellError("the public key is no RSA key in DER (SubjectPublicKeyInfo)")
    found = int.from_bytes(modulus), int.from_bytes(exponent)
    if found[0].bit_length() < LEAST_KEY_BITS:
        raise CannotTellError(f"the public key has {found[0].bit_length()} bits, fewer than {LEAST_KEY_BITS}")
    return found


def der_of(pem: str) -> bytes:
    """A public key in DER, from PEM.

    Raises:
        CannotTellError: It is none.
    """
    lines = [line.strip() for line in pem.strip().splitlines()]
    if not lines or lines[0] != "-----BEGIN PUBLIC KEY-----" or lines[-1] != "-----END PUBLIC KEY-----":
        raise CannotTellError("the public key is no PEM file that begins with -----BEGIN PUBLIC KEY-----")
    return _decoded("".join(lines[1:-1]), "the public key")


def _decoded(text: Json, what: str) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except ValueError:
        raise CannotTellError(f"{what} is not in Base64") from None


# The figures


@dataclass
class Figures:
    """The figures of a journal, recomputed.

    Attributes:
        content: The journal.
        differing: What differs, a line each: the JSON path, what it says, and what follows from the events.
        recomputed: How many figures were recomputed.
        taken: Targets that were taken as recorded, by what they measure.
    """

    content: Content
    differing: list[str] = field(default_factory=list)
    recomputed: int = 0
    taken: list[str] = field(default_factory=list)

    def check(self, path: str, says: Json, found: Json, why: str, tolerance: float = EXACT) -> None:
        """Compare what the journal says at a path with what was found."""
        self.recomputed += 1
        numbers = [each for each in (says, found) if isinstance(each, int | float) and not isinstance(each, bool)]
        same = abs(numbers[0] - numbers[1]) <= tolerance if len(numbers) == 2 else says == found
        if not same:
            self.differing.append(f"{path}: says {_brief(says)}, and {why} {_brief(found)}")

    def of(self, kind: str) -> list[Json]:
        """The events of a kind."""
        return [event for event in self.content["events"] if event["kind"] == kind]

    def all(self) -> None:
        """Make every figure again."""
        self._order()
        self._verdicts_of_probes()
        self._phases()
        self._model()
        if "payments" in self.content:
            self._payments()
        self._after()
        self._targets()

    # Events

    def _order(self) -> None:
        times = [event["at"] for event in self.content["events"]]
        late = next((place for place in range(1, len(times)) if times[place] < times[place - 1]), None)
        self.check("events", late, None, "the first event that stands before an earlier one is")

    def _verdicts_of_probes(self) -> None:
        """Make the primary's verdicts again from its probes: threshold results in a row, and 18 % of the checkers.

        It can be done where checkers that probed an endpoint decided alone.
        """
        settings = (self.content["rto"].get("distribution") or {}).get("settings") or {}
        primary = self.content["regions"]["primary"]
        probes = [event for event in self.of("probe") if event["region"] == primary]
        verdicts = [
            (place, event)
            for place, event in enumerate(self.content["events"])
            if event["kind"] == "verdict" and event["region"] == primary
        ]
        stated = [(event["at"], event["healthy"]) for _, event in verdicts]
        checkers = {probe["checker"] for probe in probes}
        # A check that an alarm decides on, or one that is inverted or disabled, follows other rules.
        if settings.get("alarm_period_seconds") or len(checkers) != settings.get("checkers") or not stated[0][1]:
            return
        threshold = self.content["settings"]["failure_threshold"]
        healthy, against = dict.fromkeys(checkers, True), dict.fromkeys(checkers, 0)
        found = [stated[0]]
        for probe in probes:
            checker = probe["checker"]
            against[checker] = 0 if probe["ok"] == healthy[checker] else against[checker] + 1
            if against[checker] == threshold:
                healthy[checker], against[checker] = probe["ok"], 0
            if (is_healthy := sum(healthy.values()) * 100 > len(checkers) * 18) != found[-1][1]:
                found.append((probe["at"], is_healthy))
        for number in range(max(len(found), len(stated))):
            path = f"events[{verdicts[number][0]}]" if number < len(verdicts) else "events"
            says, follows = (each[number] if number < len(each) else None for each in (stated, found))
            self.check(path, _verdict(says), _verdict(follows), "its probes say")

    def _first(self, kind: str, region: str, since: float, **wanted: Json) -> float | None:
        matching = (
            event["at"]
            for event in self.of(kind)
            if event["region"] == region and event["at"] >= since and wanted.items() <= event.items()
        )
        return next(matching, None)

    def _step(self, name: str) -> float | None:
        return next((event["at"] for event in self.of("step") if event["name"] == name), None)

    def _return(self) -> float | None:
        """From when on clients return: from the end of the outage, or from when an operator lets them after that."""
        found = self._step("failback")
        return self._step("recovery") if found is None or self._early_returns() else found

    def _early_returns(self) -> Json:
        """How often DNS returned to the primary after the outage, before the drill waited for that."""
        since, until = self._step("recovery"), self._step("failback")
        if since is None or until is None:
            return None
        answers = (event["at"] for event in self.of("answer") if event["region"] == self.content["regions"]["primary"])
        return sum(since <= at < until for at in answers)

    def _phases(self) -> None:
        """Make the phases of failover and failback again."""
        regions, rto = self.content["regions"], self.content["rto"]
        for way, side, begins in (("failover", "secondary", "outage"), ("failback", "primary", "recovery")):
            says = rto.get(way)
            if says is None:
                continue
            since = self._step(begins) if way == "failover" else self._return()
            if since is None:
                self.check(f"rto.{way}", "a recovery time", "no step", f"the events have for its begin ({begins})")
                continue
            to = regions[side]
            moments = [
                since,
                self._first("verdict", regions["primary"], since, healthy=side == "primary"),
                *(self._first(kind, to, since) for kind in ("answer", "expired", "served")),
            ]
            known = [moment for moment in moments if moment is not None]
            if len(known) < len(moments):
                self.check(f"rto.{way}", "a recovery time", None, f"the events lack a moment of its way to {to}:")
                continue
            for phase, (begin, end) in zip(PHASES, pairwise(known), strict=True):
                self.check(f"rto.{way}.{phase}", says[phase], round(end - begin, 2), "the events say")
            self.check(f"rto.{way}.total", says["total"], round(known[-1] - known[0], 2), "the events say")

    # The model

    def _model(self) -> None:
        """Make bounds, percentiles and histogram of the model again, with the draws that its seed decides."""
        model = self.content["rto"].get("distribution")
        if not model:
            return
        settings, runs = model["settings"], model["runs"]
        draws = _draws(settings["checkers"], runs, model["seed"])
        for way in WAYS:
            says, path = model[way], f"rto.distribution.{way}"
            found = [_phases_of(settings, draw, way) for draw in draws]
            bound = _phases_of(settings, _longest(), way)
            for phase in bound:
                self._percentiles(
                    f"{path}.phases.{phase}", says["phases"][phase], [run[phase] for run in found], bound[phase]
                )
            histogram = [0] * (int(max(run["total"] for run in found)) + 1)
            for run in found:
                histogram[int(run["total"])] += 1
            self.check(f"{path}.runs_by_second", says["runs_by_second"], histogram, "the draws of the seed make")
            hanging = settings | ({"failed_probe_seconds": HANGING} if settings["failed_probe_seconds"] else {})
            longest = _phases_of(hanging, _longest(), way)["total"]
            self.check(f"{path}.hanging_bound", says["hanging_bound"], longest, "its formula gives")
        draws = _draws(DEFAULTS["checkers"], runs, model["seed"])
        for place, choice in enumerate(self.content["rto"].get("sensitivity") or []):
            chosen = DEFAULTS | {name: choice[name] for name in DEFAULTS if name in choice}
            totals = [_phases_of(chosen, draw, "failover")["total"] for draw in draws]
            path = f"rto.sensitivity[{place}]"
            longest = _phases_of(chosen, _longest(), "failover")["total"]
            self._percentiles(f"{path}.failover", choice["failover"], totals, longest)
            hanging = _phases_of(chosen | {"failed_probe_seconds": HANGING}, _longest(), "failover")["total"]
            self.check(f"{path}.hanging_bound", choice["hanging_bound"], hanging, "its formula gives")

    def _percentiles(self, path: str, says: Json, values: list[float], bound: float) -> None:
        ordered = sorted(values)
        for percent in (50, 95, 99):
            found = ordered[math.ceil(len(ordered) * percent / 100) - 1]
            self.check(f"{path}.p{percent}", says[f"p{percent}"], found, "the draws of the seed make")
        self.check(f"{path}.worst", says["worst"], ordered[-1], "the draws of the seed make")
        self.check(f"{path}.bound", says["bound"], bound, "its formula gives")

    # Payments

    def _payments(self) -> None:
        """Make the counts, latencies and recovery times of both client modes again."""
        payments, regions = self.content["payments"], self.content["regions"]
        began, recovered = self._step("outage"), self._step("recovery")
        phases = _payment_phases(payments, regions["secondary"], began, recovered)
        for place, (payment, phase) in enumerate(zip(payments, phases, strict=True)):
            if payment["phase"] != phase:
                self.check(f"payments[{place}].phase", payment["phase"], phase, "its time makes it")
        self.recomputed += 1
        for mode, rpo in self.content["rpo"].items():
            made = [payment for payment in payments if payment["mode"] == mode]
            done = [payment for payment in made if payment["acknowledged"]]
            path, said = f"rpo.{mode}", "the payments make"
            self.check(f"{path}.acknowledged_in_all", rpo["acknowledged_in_all"], len(done), said)
            alone = sum(not payment["confirmed"] for payment in done)
            self.check(f"{path}.acknowledged_by_one_region", rpo["acknowledged_by_one_region"], alone, said)
            counted = [event for event in self.of("transactions") if event["mode"] == mode]
            for outcome, found in (("acknowledged", len(done)), ("failed", len(made) - len(done))):
                total = sum(event[outcome] for event in counted)
                self.check(f"events (transactions of {mode} mode, {outcome})", total, found, said)
            latencies = [payment["seconds"] for payment in done if payment["region"] == regions["primary"]]
            self._latency(f"{path}.latency_ms", rpo["latency_ms"], latencies)
            ids = {payment["id"] for payment in done}
            for name in ("missing_at_switch", "missing_at_failback", "missing_after_recovery"):
                strange = sorted(set(rpo.get(name) or []) - ids)
                self.check(f"{path}.{name}", strange, [], "none may be there that was not acknowledged:")
            self._figures(path, rpo, made)
            for way, seconds in _recovery(made, began, self._return()).items():
                self.check(f"{path}.recovery.{way}", rpo["recovery"][way], seconds, said, HUNDREDTH)

    def _figures(self, path: str, rpo: Json, made: list[Json]) -> None:
        groups: dict[tuple[int, str], list[Json]] = {}
        for payment in made:
            groups.setdefault((PAYMENT_PHASES.index(payment["phase"]), payment["region"]), []).append(payment)
        stated = [(each["phase"], each["region"]) for each in rpo["figures"]]
        found = [(PAYMENT_PHASES[phase], region) for phase, region in sorted(groups)]
        self.check(f"{path}.figures", stated, found, "the payments have these phases and regions:")
        for place, (says, key) in enumerate(zip(rpo["figures"], sorted(groups), strict=False)):
            done = [payment for payment in groups[key] if payment["acknowledged"]]
            counts = {
                "acknowledged": len(done),
                "by_one_region": sum(not payment["confirmed"] for payment in done),
                "failed": len(groups[key]) - len(done),
            }
            for name, count in counts.items():
                self.check(f"{path}.figures[{place}].{name}", says[name], count, "the payments make")
            self._latency(
                f"{path}.figures[{place}].latency_ms", says["latency_ms"], [payment["seconds"] for payment in done]
            )

    def _latency(self, path: str, says: Json, seconds: list[float]) -> None:
        ordered = sorted(seconds)
        for percent in (50, 95):
            found = round(ordered[math.ceil(len(ordered) * percent / 100) - 1] * 1000, 1) if ordered else None
            self.check(f"{path}.p{percent}", says[f"p{percent}"], found, "the payments make")

    # After recovery

    def _after(self) -> None:
        after = self.content["after"]
        left = {event["name"]: event["undone"] for event in self.of("action")}
        self.check("after.undone", after["undone"], all(left.values()), "the actions say")
        if items := after.get("items"):
            self.check("after.items.equal", items["equal"], not items["different"], "the items that differ make it")
        if alarms := after.get("alarms"):
            states = {event["name"]: event["state"] for event in self.of("alarm")}
            fired = list(dict.fromkeys(event["name"] for event in self.of("alarm") if event["state"] == "ALARM"))
            self.check("after.alarms.fired", alarms["fired"], fired, "the events say")
            still = sorted(name for name, state in states.items() if state == "ALARM")
            self.check("after.alarms.still", alarms["still"], still, "the events say")

    # Targets and verdict

    def _targets(self) -> None:
        targets = self.content["targets"]
        for place, target in enumerate(targets):
            path, what = f"targets[{place}]", target["what"]
            if target.get("tested", True) and target["met"] is not None:
                measured = target["measured"]
                met = measured is not None and measured <= target["target"]
                self.check(f"{path}.met", target["met"], met, "its value makes it")
            if target["unit"] == "s" and what.startswith(("failover", "failback")):
                self.check(
                    f"{path}.target", target["target"], self.content["settings"]["rto_target_seconds"], "the stack has"
                )
            if not target.get("tested", True):
                continue
            if (found := self._measured(what)) is _UNKNOWN:
                self.taken.append(what)
                continue
            self.check(
                f"{path}.measured",
                target["measured"],
                None if found is None else round(found, 1),
                "what it measures is",
            )
        results = [target["met"] for target in targets if target.get("tested", True)]
        verdict = "missed" if False in results else "inconclusive" if None in results else "passed"
        # A drill that broke off has targets that were met until then, and says why it has no verdict.
        if self.content["verdict"] != "inconclusive" or not self.content["causes"]:
            self.check("verdict", self.content["verdict"], verdict, "the targets make it")

    def _measured(self, what: str) -> Json:
        """What a target's value must be, by what it measures; `_UNKNOWN` for what was looked up in AWS alone."""
        rto, after, regions = (self.content[name] for name in ("rto", "after", "regions"))
        first, second = regions["primary"], regions["secondary"]
        totals = {way: (rto.get(way) or {}).get("total") for way in WAYS}
        if what in totals:
            return totals[what]
        if what.endswith(", bound of the model"):
            return rto["distribution"][what.partition(",")[0]]["phases"]["total"]["bound"]
        if what == f"longest time with {second} in DNS":
            return self._longest_away()
        if what == f"returns of DNS to {first} before an operator let clients return":
            return self._early_returns()
        known: dict[str, Json] = {}
        for mode, found in self.content["rpo"].items():
            missing, count = found["missing_after_recovery"], found["acknowledged_in_all"]
            known[f"{mode} mode: missing after recovery, of {count} acknowledged"] = len(missing)
            missing, count = found["missing_at_switch"], found["acknowledged"]
            known[f"{mode} mode: missing in {second} at the failover, of {count} acknowledged"] = (
                len(missing) if totals["failover"] and count else None
            )
            missing, count = found.get("missing_at_failback"), found.get("acknowledged_in_secondary")
            known[f"{mode} mode: missing in {first} at the failback, of {count} acknowledged in {second}"] = (
                len(missing) if missing is not None and count else None
            )
            known |= self._during_the_outage(mode, first) | self._during_the_outage(mode, second)
        if split_brain := after.get("split_brain"):
            known |= _of_conflicts(split_brain["conflicts"])
        if items := after.get("items"):
            known["after recovery: items that differ between the regions"] = len(items["different"])
        if "written_twice" in after:
            known["after recovery: transactions written twice"] = len(after["written_twice"])
        if "parameters_equal" in after:
            known["after recovery: parameters differ"] = int(not after["parameters_equal"])
        if documents := after.get("documents"):
            for side, here, there in (("primary", first, second), ("secondary", second, first)):
                missing, count = documents["missing"][side], documents["written"][side]
                known[f"after recovery: documents of {here} missing in {there}, of {count}"] = len(missing)
        if rotation := after.get("rotation"):
            for side, here, there in (("primary", first, second), ("secondary", second, first)):
                if side in rotation["copied"]:
                    is_copied = rotation["copied"][side]
                    known[f"parameter rotated in {here} and not copied to {there}"] = int(not is_copied)
        if alarms := after.get("alarms"):
            known |= _of_alarms(alarms, regions)
        return known.get(what, _UNKNOWN)

    def _during_the_outage(self, mode: str, region: str) -> dict[str, Json]:
        """How the payments of a mode to a region ended that were begun during the outage."""
        began, recovered = self._step("outage"), self._step("recovery")
        if began is None or recovered is None:
            return {}
        ended = [
            payment["acknowledged"]
            for payment in self.content.get("payments", [])
            if (payment["mode"], payment["region"]) == (mode, region) and began < payment["at"] < recovered
        ]
        counts = {"failed": ended.count(False), "acknowledged": ended.count(True)}
        return {
            f"{mode} payments to {region} {what} during the outage, of {len(ended)}": count if ended else None
            for what, count in counts.items()
        }

    def _longest_away(self) -> Json:
        """The longest time for which DNS answered with the secondary, if it answers with the primary in the end."""
        answers = self.of("answer")
        secondary = self.content["regions"]["secondary"]
        if answers[-1]["region"] == secondary:
            return _UNKNOWN
        stretches = pairwise(answers[1:])  # the first one was so before
        return max((end["at"] - begin["at"] for begin, end in stretches if begin["region"] == secondary), default=0.0)


def _of_conflicts(conflicts: Sequence[Json]) -> dict[str, Json]:
    """The value of the target that conflicting payments have, by what it measures."""
    last = [(conflict["versions"][-1]["amount"], conflict["after"]) for conflict in conflicts]
    lost = sum(any(amount != there for there in after.values()) for amount, after in last)
    return {f"split brain: payments not as written last, of {len(last)} that conflicted": lost if last else None}


def _of_alarms(alarms: Json, regions: Mapping[str, str]) -> dict[str, Json]:
    """The values of targets that alarms have, by what they measure."""
    fired, expected = alarms["fired"], alarms.get("expected") or {}
    silent = [side for side, names in expected.items() if not set(names) & set(fired)]
    known = {
        f"after recovery: alarms that have not cleared, of {len(fired)} that fired": len(alarms["still"]),
        f"health checks of {' and '.join(regions[side] for side in expected)} whose alarm did not fire": len(silent),
    }
    if alarms.get("undelivered") is not None:
        known[f"alarms that reached nobody, of {len(fired)} that fired"] = len(alarms["undelivered"])
    return known


_UNKNOWN: Final = object()
PAYMENT_PHASES: Final = ("steady", "outage", "secondary serves", "primary serves again")
HANGING: Final = 6  # seconds: Route 53 connects within 4 and waits 2 for a status
# Settings of the model where a choice names none.
DEFAULTS: Final[dict[str, Any]] = {
    "request_interval_seconds": 30,
    "failure_threshold": 3,
    "ttl_seconds": 30,
    "checkers": 16,
    "probe_seconds": 0.2,
    "failed_probe_seconds": 1.5,
    "propagation_seconds": 0.0,
    "retry_seconds": 1.0,
    "write_seconds": 1.0,
    "evaluation_seconds": 0.0,
}
Draw = tuple[Sequence[float], float, float, float, float, float]


def _draws(checkers: int, runs: int, seed: int) -> list[Draw]:
    """The chance in each run, as shares from 0 to 1: the checkers' waits, switch, cache, retry, write, evaluation."""
    found: list[Draw] = []
    for number in range(seed * runs, (seed + 1) * runs):
        rng = random.Random(number)  # noqa: S311 - the draws of the drill
        waits = sorted(rng.random() for _ in range(checkers))
        found.append((waits, rng.random(), rng.random(), rng.random(), rng.random() ** 3, rng.random()))
    return found


def _longest() -> Draw:
    return [1.0], 1.0, 1.0, 1.0, 1.0, 1.0


def _phases_of(settings: Mapping[str, Any], draw: Draw, way: str) -> dict[str, float]:
    """Seconds of each phase of one run of the model.

    Route 53 takes a region for unhealthy when 18 % of the checkers or fewer report it healthy.
    """
    waits, switch, cache, retry, write, evaluation = draw
    few = len(waits) * 18 // 100
    wait, before, after = waits[len(waits) - few - 1], settings["probe_seconds"], settings["failed_probe_seconds"]
    if way == "failback":
        wait, before, after = waits[few], after, before
    interval, threshold = settings["request_interval_seconds"], settings["failure_threshold"]
    detect = wait * (interval + before) + (threshold - 1) * (interval + after) + after
    phases = {
        "detect": detect + evaluation * settings["evaluation_seconds"],
        "switch": switch * settings["propagation_seconds"],
        "cache": cache * settings["ttl_seconds"],
        "first_write": retry * settings["retry_seconds"] + write * settings["write_seconds"],
    }
    return phases | {"total": sum(phases.values())}


def _payment_phases(
    payments: Sequence[Json], secondary: str, began: float | None, recovered: float | None
) -> Iterator[str]:
    """The phase of each payment: the secondary serves from the first one that it acknowledges in the outage.

    A client that stays with the secondary, whatever DNS answers, says nothing of that.
    """
    starts = [(-math.inf, "steady")]
    if began is not None:
        starts.append((began, "outage"))
        following = [each for each in payments if each["acknowledged"] and not each.get("pinned")]
        done = [(each["at"], each["region"]) for each in following if each["at"] >= began]
        served = next((at for at, region in done if region == secondary), None)
        if served is None:
            back = recovered
        else:
            starts.append((served, "secondary serves"))
            back = next((at for at, region in done if region != secondary and at > served), None)
        if back is not None:
            starts.append((back, "primary serves again"))
    for payment in payments:
        yield [phase for start, phase in starts if start <= payment["at"]][-1]


def _recovery(made: Sequence[Json], began: float | None, recovered: float | None) -> dict[str, float | None]:
    ends: dict[str, float] = {}
    for payment in made:
        if payment["acknowledged"]:
            ends[payment["phase"]] = min(payment["done"], ends.get(payment["phase"], math.inf))
    served, back = ends.get("secondary serves"), ends.get("primary serves again")
    if served is None:
        return {"failover": None, "failback": None}
    return {
        "failover": round(served - (began or 0.0), 2),
        "failback": None if back is None else round(back - (recovered or 0.0), 2),
    }


def _verdict(found: tuple[float, bool] | None) -> str:
    return "no such verdict" if found is None else f"{'healthy' if found[1] else 'unhealthy'} at {found[0]} s"


def _brief(value: Json) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 80 else f"{text[:77]}..."


# The command


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        exit_code: 0 everything agrees, 1 something differs, 2 inconclusive.
        differing: What differs, a line each.
        notes: Everything else, a line each.
    """

    exit_code: int
    differing: list[str]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """All lines to print."""
        word = {VERIFIED: "verified", DIFFERS: "differs", INCONCLUSIVE: "inconclusive"}[self.exit_code]
        return [*self.differing, *self.notes, word]


def parsed(data: bytes) -> dict[str, Json]:
    """A journal.

    Raises:
        CannotTellError: The bytes are none.
    """

    def object_of(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) < len(pairs):  # of which readers would take different ones
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise CannotTellError(f"the key {twice!r} occurs twice in one object")
        return found

    def refuse(constant: str) -> Json:
        raise CannotTellError(f"{constant} is no number of JSON")

    try:
        content = json.loads(data, object_pairs_hook=object_of, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise CannotTellError(f"byte {error.start} is not UTF-8") from None
    except ValueError as error:
        raise CannotTellError(f"this is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise CannotTellError(f"this is no journal of schema {SCHEMA}")
    return content


def verify(data: bytes, public_key: bytes | None = None) -> Verification:
    """Check a journal.

    Args:
        data: The file's bytes.
        public_key: The key in DER by which it must be signed. Default: a signature is checked with the key that the
            journal names, and may be absent.

    Example:
        >>> verify(b"{}").lines
        ['this is no journal of schema 1', 'inconclusive']
    """
    try:
        content = parsed(data)
        try:
            return _verified(content, public_key)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if SEAL in content and (changed := _changes_at_all(content)):
                return Verification(DIFFERS, changed, [f"figures not recomputed: {type(error).__name__}: {error}"])
            raise CannotTellError(f"this journal lacks something: {type(error).__name__}: {error}") from None
    except CannotTellError as error:
        return Verification(INCONCLUSIVE, [], [str(error)])


def _changes_at_all(content: Content) -> list[str]:
    try:
        return changes(content)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return []


def _verified(content: Content, public_key: bytes | None) -> Verification:
    seal = content.get(SEAL)
    changed = changes(content) if seal else []
    if not (content.get("rto") or {}).get("distribution") or not content.get("ended"):
        if changed:
            return Verification(DIFFERS, changed, [])
        raise CannotTellError("this drill did not end, so there are no figures")
    figures = Figures(content)
    figures.all()
    differing, notes = [*changed, *figures.differing], []
    counts = f"{len(content['events']):,} events and {len(content.get('payments', [])):,} payments"
    notes.append(f"{figures.recomputed:,} figures recomputed from {counts}: {len(figures.differing):,} differ")
    if figures.taken:
        notes.append(f"taken as recorded: {'; '.join(figures.taken)}")
    if not seal:
        notes.append("there is no seal: the journal may have been changed")
        return Verification(DIFFERS if differing else INCONCLUSIVE, differing, notes)
    if not changed:
        notes.append(f"sealed: sha256 {seal['sha256']}")
    if signature := seal.get("signature"):
        key = _decoded(signature["public_key"], "seal.signature.public_key")
        if public_key is not None and key != public_key:
            differing.append(f"seal.signature.public_key: has the SHA-256 {fingerprint(key)}, which is not your key")
        if not is_signed_by(key, _decoded(signature["value"], "seal.signature.value"), content):
            differing.append("seal.signature.value: is no signature of this content by this key")
        elif public_key is None:
            notes.append(f"signed by {signature['key']}; compare SHA-256 of its public key: {fingerprint(key)}")
        else:
            notes.append(f"signed by {signature['key']}, whose public key you gave")
    elif public_key is None:
        notes.append("not signed: anyone who can write the file can seal it again")
    else:
        differing.append("seal.signature: is absent, and you gave a public key")
    return Verification(DIFFERS if differing else VERIFIED, differing, notes)


def verify_file(path: Path, public_key: Path | None = None) -> Verification:
    """Check a journal in a file, with a public key in a PEM file if one is given."""
    try:
        key = der_of(public_key.read_text(encoding="ascii")) if public_key else None
        return verify(path.read_bytes(), key)
    except (OSError, UnicodeDecodeError, CannotTellError) as error:
        return Verification(INCONCLUSIVE, [], [str(error)])


def main(arguments: Sequence[str]) -> int:
    """Check the journal that the arguments name; the exit code."""
    parser = argparse.ArgumentParser(description="Check the journal of a drill.")
    parser.add_argument("report", type=Path, help="the JSON file of a drill")
    parser.add_argument("--public-key", type=Path, help="PEM file of the public key that must verify its signature")
    given = parser.parse_args(arguments)
    found = verify_file(given.report, given.public_key)
    for line in found.lines:
        sys.stdout.write("".join(letter if letter.isprintable() else "?" for letter in line) + "\n")
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
