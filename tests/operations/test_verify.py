"""`dr verify`: figures that are made again, seals, and signatures."""

import ast
import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from payment_dr.operations import cli
from payment_dr.operations.drill.journal import Content
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.recovery_time import HANGING_PROBE_SECONDS, Settings
from payment_dr.operations.sign import sign
from payment_dr.operations.verify import (
    ALGORITHM,
    DEFAULTS,
    DIFFERS,
    HANGING,
    INCONCLUSIVE,
    SEAL,
    VERIFIED,
    canonical,
    seal_of,
    verify,
)
from tests.operations.drill.test_run import drill, stack, steps  # noqa: F401 - the fixtures of a drill on fakes
from tests.operations.report import journals

Change = Callable[[Any], object]
MODULE = Path(cli.__file__).with_name("verify.py")
_drilled: dict[str, Any] = {}


@pytest.fixture
def journal(drill: Callable[..., Content]) -> Any:  # noqa: F811
    """The journal of one drill on fakes, for every test a copy."""
    if not _drilled:
        _drilled.update(drill())
    return copy.deepcopy(_drilled)


def found_in(journal: Any, *, seal_again: bool = False) -> tuple[int, list[str]]:
    if seal_again:
        journal = journal | {SEAL: seal_of(journal)}
    found = verify(json.dumps(journal).encode())
    return found.exit_code, found.differing


def event(journal: Any, kind: str, number: int = 0, **wanted: Any) -> Any:
    return [e for e in journal["events"] if e["kind"] == kind and wanted.items() <= e.items()][number]


def first_paid(journal: Any) -> Any:
    return next(each for each in journal["payments"] if each["mode"] == "confirmed" and each["acknowledged"])


@pytest.mark.parametrize("kind", ["region", "both", "partition"])
def test_a_journal_as_the_drill_wrote_it_is_verified(
    kind: str,
    drill: Callable[..., Content],  # noqa: F811
) -> None:
    written: Any = drill(kind)
    found = verify(json.dumps(written, indent=1).encode())
    assert (found.exit_code, found.differing) == (VERIFIED, [])
    assert [note for note in found.notes if note.startswith("taken as recorded")] == [
        "taken as recorded: faults found in the zone; health functions that do not report a failing table"
    ]
    assert f"sealed: sha256 {written['seal']['sha256']}" in found.notes


# What was changed, in words that begin a line of the result, whatever the change.
CHANGES: dict[str, Change] = {
    "rto.failover.total: says 7, and the events say": lambda j: j["rto"]["failover"].update(total=7),
    "rto.failback.cache: says 7, and the events say": lambda j: j["rto"]["failback"].update(cache=7),
    "rto.failover.switch: says": lambda j: event(j, "answer", region="us-west-2").update(at=j["events"][-1]["at"]),
    "rto.failover: says a recovery time, and the events lack": lambda j: j["events"].remove(event(j, "served")),
    "rto.distribution.failover.phases.total.p95: says 7": (
        lambda j: j["rto"]["distribution"]["failover"]["phases"]["total"].update(p95=7)
    ),
    "rto.distribution.failback.phases.detect.bound: says 7": (
        lambda j: j["rto"]["distribution"]["failback"]["phases"]["detect"].update(bound=7)
    ),
    "rto.distribution.failover.hanging_bound: says 7": (
        lambda j: j["rto"]["distribution"]["failover"].update(hanging_bound=7)
    ),
    "rto.distribution.failover.runs_by_second: says": (
        lambda j: j["rto"]["distribution"]["failover"]["runs_by_second"].append(1)
    ),
    "rto.sensitivity[3].failover.bound: says 7": lambda j: j["rto"]["sensitivity"][3]["failover"].update(bound=7),
    "rto.sensitivity[3].hanging_bound: says 7": lambda j: j["rto"]["sensitivity"][3].update(hanging_bound=7),
    "rpo.confirmed.acknowledged_in_all: says": lambda j: first_paid(j).update(acknowledged=False),
    "rpo.local.acknowledged_in_all: says 7": lambda j: j["rpo"]["local"].update(acknowledged_in_all=7),
    "rpo.confirmed.acknowledged_by_one_region: says": lambda j: first_paid(j).update(confirmed=False),
    "rpo.confirmed.latency_ms.p50: says 7": lambda j: j["rpo"]["confirmed"]["latency_ms"].update(p50=7),
    "rpo.local.figures[0].failed: says 7": lambda j: j["rpo"]["local"]["figures"][0].update(failed=7),
    "rpo.local.recovery.failover: says 7": lambda j: j["rpo"]["local"]["recovery"].update(failover=7),
    "rpo.local.missing_at_switch: says": lambda j: j["rpo"]["local"]["missing_at_switch"].append("nobody's"),
    "payments[0].phase: says outage": lambda j: j["payments"][0].update(phase="outage"),
    "events (transactions of local mode, failed): says": lambda j: event(j, "transactions", mode="local").update(
        failed=7
    ),
    "after.undone: says true": lambda j: event(j, "action", undone=True).update(undone=False),
    "after.items.equal: says true": lambda j: j["after"]["items"]["different"].append("one"),
    "targets[3].measured: says 7": lambda j: j["targets"][3].update(measured=7),
    "targets[3].met: says false": lambda j: j["targets"][3].update(met=False),
    "targets[3].target: says 600": lambda j: j["targets"][3].update(target=600),
    "targets[4].measured: says 7": lambda j: j["targets"][4].update(measured=7),
    "verdict: says missed, and the targets make it passed": lambda j: j.update(verdict="missed"),
    "verdict: says passed, and the targets make it missed": lambda j: j["targets"][0].update(measured=1, met=False),
    "events: says": lambda j: j["events"].reverse(),
}


@pytest.mark.parametrize("expected", CHANGES)
def test_a_figure_that_does_not_follow_from_the_events_is_named_even_if_sealed_again(
    expected: str, journal: Any
) -> None:
    CHANGES[expected](journal)
    exit_code, differing = found_in(journal, seal_again=True)
    assert exit_code == DIFFERS
    assert [line for line in differing if line.startswith(expected)] != []


def test_look_ups_after_recovery_are_counted_again(journal: Any) -> None:
    alarms = {"expected": {"primary": ["down"]}, "fired": ["down", "slow"], "still": ["slow"], "undelivered": ["why"]}
    journal["after"] |= {"alarms": alarms, "rotation": {"name": "key", "copied": {"primary": True, "secondary": False}}}
    for state, name in (("ALARM", "down"), ("ALARM", "slow"), ("OK", "down")):
        journal["events"].append({**journal["events"][-1], "kind": "alarm", "name": name, "state": state})
    counts = {
        "after recovery: alarms that have not cleared, of 2 that fired": 1,
        "health checks of us-east-1 whose alarm did not fire": 0,
        "alarms that reached nobody, of 2 that fired": 1,
        "parameter rotated in us-east-1 and not copied to us-west-2": 0,
        "parameter rotated in us-west-2 and not copied to us-east-1": 1,
    }
    journal["targets"] = [target for target in journal["targets"] if target["what"] not in counts]
    before = len(journal["targets"])
    for what, count in counts.items():
        target = {
            "what": what,
            "unit": "",
            "target": 0,
            "measured": count,
            "met": count == 0,
            "tested": True,
            "how": "",
        }
        journal["targets"].append(target)
    journal["verdict"] = "missed"
    assert found_in(journal, seal_again=True) == (VERIFIED, [])
    for place, count in enumerate(counts.values(), before):
        journal["targets"][place] |= {"measured": 1 - count, "met": count == 1}
    exit_code, differing = found_in(journal, seal_again=True)
    assert (exit_code, len(differing)) == (DIFFERS, len(counts))
    journal["after"]["alarms"] = alarms | {"still": [], "fired": ["down"]}
    assert [line.partition(":")[0] for line in found_in(journal, seal_again=True)[1]][:2] == [
        "after.alarms.fired",
        "after.alarms.still",
    ]


def test_payments_during_the_outage_are_counted_again(journal: Any) -> None:
    began, recovered = (event(journal, "step", name=name)["at"] for name in ("outage", "recovery"))
    first = journal["regions"]["primary"]
    ended = [
        payment["acknowledged"]
        for payment in journal["payments"]
        if payment["mode"] == "local" and payment["region"] == first and began < payment["at"] < recovered
    ]
    what = f"local payments to {first} acknowledged during the outage, of {len(ended)}"
    target = {"what": what, "unit": "payments", "target": 0, "measured": sum(ended), "met": not any(ended), "how": ""}
    journal["targets"].append(target)
    assert len(ended) > sum(ended)
    journal["verdict"] = "missed" if any(ended) else "passed"
    assert found_in(journal, seal_again=True) == (VERIFIED, [])
    target["measured"] = sum(ended) + 1
    assert f"targets[{len(journal['targets']) - 1}].measured: says" in " ".join(found_in(journal, seal_again=True)[1])


def test_a_verdict_that_does_not_follow_from_the_probes_is_named(journal: Any) -> None:
    primary = journal["regions"]["primary"]
    verdict = event(journal, "verdict", healthy=False)
    for each in journal["events"]:
        if each["kind"] == "probe" and each["region"] == primary and each["at"] >= verdict["at"] - 25:
            each["ok"] = True
    place = journal["events"].index(verdict)
    exit_code, differing = found_in(journal, seal_again=True)
    assert exit_code == DIFFERS
    assert f"events[{place}]: says unhealthy at {verdict['at']} s, and its probes say no such verdict" in differing


def test_a_seal_says_what_was_changed_added_and_removed(journal: Any) -> None:
    events, payments = journal["events"], journal["payments"]
    probe = event(journal, "probe", 5)
    place = events.index(probe)
    probe["seconds"] = 0.5  # of which no figure is made
    del payments[7]
    journal["seed"] = 43
    journal["system"]["caller"] = "arn:aws:iam::123456789012:user/eve"
    journal["extra"] = 1
    del journal["versions"]["python"]
    events.append({**event(journal, "step"), "at": events[-1]["at"]})
    exit_code, differing = found_in(journal)
    assert exit_code == DIFFERS
    changed = [line for line in differing if "after the seal" in line]
    assert changed == [
        "extra: was added after the seal",
        "seed: was changed after the seal",
        "system.caller: was changed after the seal",
        "versions: was added after the seal",  # as an empty object
        "versions.python: was removed after the seal",
        f"events[{place}]: was changed after the seal (probe {probe['region']} at {probe['at']} s)",
        f"events[{len(events) - 1}]: was added after the seal (step preflight at {events[-1]['at']} s)",
        "payments: 1 removed after the seal before payments[7]",
    ]


def test_a_seal_whose_sum_alone_was_changed_is_no_seal_of_the_content(journal: Any) -> None:
    journal[SEAL]["sha256"] = "0" * 64
    assert found_in(journal) == (
        DIFFERS,
        ["seal.sha256: is not that of the content, each part of which is as it was sealed"],
    )


def test_the_seal_covers_the_content_and_not_the_formatting(journal: Any) -> None:
    assert verify(json.dumps(dict(reversed(journal.items())), separators=(",", ":")).encode()).exit_code == VERIFIED


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "this is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"schema": 1, "a": \xff}', "byte 19 is not UTF-8"),
        (b"[]", "this is no journal of schema 1"),
        (b'{"schema": 2}', "this is no journal of schema 1"),
        (b'{"schema": 1, "seed": 1, "seed": 2}', "the key 'seed' occurs twice in one object"),
        (b'{"schema": 1, "seed": NaN}', "NaN is no number of JSON"),
        (b'{"schema": 1}', "this drill did not end, so there are no figures"),
        (json.dumps(journals.killed()).encode(), "this drill did not end, so there are no figures"),
        (
            b'{"schema": 1, "ended": "now", "rto": {"distribution": {"runs": 1}}}',
            "this journal lacks something: KeyError: 'events'",
        ),
    ],
)
def test_a_journal_that_cannot_be_checked_is_inconclusive(content: bytes, expected: str) -> None:
    found = verify(content)
    assert (found.exit_code, found.lines) == (INCONCLUSIVE, [expected, "inconclusive"])


def test_without_its_seal_a_journal_whose_figures_agree_is_inconclusive(journal: Any) -> None:
    journal[SEAL] = None
    found = verify(json.dumps(journal).encode())
    assert (found.exit_code, found.differing) == (INCONCLUSIVE, [])
    assert found.notes[-1] == "there is no seal: the journal may have been changed"
    journal["verdict"] = "missed"
    assert found_in(journal)[0] == DIFFERS


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Private and public keys by name."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for name, options in {
        "ada": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "eve": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "short": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "curve": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    }.items():
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", *options, "-out", private], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        made[name] = private, public
    return made


@pytest.fixture
def path(journal: Any, tmp_path: Path) -> Path:
    """The journal's file."""
    path = tmp_path / "drill.json"
    path.write_text(json.dumps(journal, indent=1) + "\n")
    return path


def dr(*arguments: object) -> tuple[int, list[str]]:
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    return done.exit_code, (done.stdout + done.stderr).splitlines()


def test_a_signature_shows_who_has_sealed(path: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    assert "not signed: anyone who can write the file can seal it again" in dr("verify", path)[1]
    assert dr("verify", path, "--public-key", keys["ada"][1])[0] == DIFFERS
    exit_code, written = dr("report", path, "--sign-with", keys["ada"][0])
    assert (exit_code, written) == (0, [str(path), *(str(path.with_suffix(s)) for s in (".html", ".png"))])
    exit_code, lines = dr("verify", path)
    assert exit_code == VERIFIED
    assert any(line.startswith("signed by ada.pem; compare SHA-256 of its public key: ") for line in lines)
    exit_code, lines = dr("verify", path, "--public-key", keys["ada"][1])
    assert (exit_code, lines[-2:]) == (VERIFIED, ["signed by ada.pem, whose public key you gave", "verified"])
    exit_code, lines = dr("verify", path, "--public-key", keys["eve"][1])
    assert exit_code == DIFFERS
    assert any(line.startswith("seal.signature.public_key: has the SHA-256") for line in lines)


def test_a_changed_journal_that_is_sealed_again_has_no_signature(
    path: Path, keys: dict[str, tuple[Path, Path]]
) -> None:
    sign(path, str(keys["ada"][0]))
    content = json.loads(path.read_text())
    signature = content[SEAL]["signature"]
    content["system"]["host"] = "elsewhere"
    content[SEAL] = seal_of(content) | {"signature": signature}
    assert found_in(content) == (
        DIFFERS,
        ["seal.signature.value: is no signature of this content by this key"],
    )
    signature["value"] = signature["value"][4:]
    assert found_in(content)[0] == DIFFERS


@pytest.mark.parametrize(
    ("key", "expected"),
    [("short", "has 1024 bits, fewer than 2048"), ("curve", "is no RSA key"), ("nowhere", "cannot sign: ")],
)
def test_a_key_that_cannot_sign_leaves_the_journal_as_it_was(
    key: str, expected: str, path: Path, keys: dict[str, tuple[Path, Path]]
) -> None:
    before = path.read_bytes()
    with pytest.raises(OperationError, match=expected):
        sign(path, str(keys[key][0]) if key in keys else str(path.with_name("nowhere.pem")))
    assert path.read_bytes() == before


def test_a_journal_that_was_changed_or_has_no_seal_is_not_signed(
    path: Path, journal: Any, keys: dict[str, tuple[Path, Path]]
) -> None:
    path.write_text(json.dumps(journal | {"seed": 7}))
    with pytest.raises(OperationError, match="was changed after the drill: seed: was changed after the seal"):
        sign(path, str(keys["ada"][0]))
    path.write_text(json.dumps(journals.killed()))
    with pytest.raises(OperationError, match="has no seal"):
        sign(path, str(keys["ada"][0]))
    path.write_text("{")
    with pytest.raises(OperationError, match="cannot be signed: this is not JSON"):
        sign(path, str(keys["ada"][0]))


class Kms:
    """KMS, with the key of a file."""

    def __init__(self, private: Path, algorithms: list[str]) -> None:
        self._private, self._algorithms = private, algorithms
        self.asked: list[dict[str, Any]] = []

    def get_public_key(self, **_: Any) -> dict[str, Any]:
        command = ["openssl", "pkey", "-in", str(self._private), "-pubout", "-outform", "DER"]
        key = subprocess.run(command, check=True, capture_output=True).stdout
        return {"PublicKey": key, "SigningAlgorithms": self._algorithms}

    def sign(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        command = ["openssl", "pkeyutl", "-sign", "-inkey", str(self._private), "-pkeyopt", "digest:sha256"]
        done = subprocess.run(command, input=arguments["Message"], check=True, capture_output=True)
        return {"Signature": done.stdout}


ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_a_key_in_kms_signs_the_digest_in_its_own_region(path: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    kms = Kms(keys["ada"][0], ["RSASSA_PSS_SHA_256", ALGORITHM])
    regions: list[str] = []

    def client(region: str) -> Kms:
        regions.append(region)
        return kms

    sign(path, f"kms:{ARN}", client)
    (asked,) = kms.asked
    assert (asked["KeyId"], asked["MessageType"], asked["SigningAlgorithm"]) == (ARN, "DIGEST", ALGORITHM)
    assert regions == ["eu-west-1"]
    exit_code, lines = dr("verify", path, "--public-key", keys["ada"][1])
    assert (exit_code, lines[-2:]) == (VERIFIED, [f"signed by kms:{ARN}, whose public key you gave", "verified"])


def test_a_key_in_kms_of_another_kind_is_an_error(path: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    with pytest.raises(OperationError, match="does not sign with RSASSA_PKCS1_V1_5_SHA_256"):
        sign(path, f"kms:{ARN}", lambda _: Kms(keys["ada"][0], ["ECDSA_SHA_256"]))
    with pytest.raises(OperationError, match="alias/mine is not the ARN of a KMS key"):
        sign(path, "kms:alias/mine", lambda _: Kms(keys["ada"][0], [ALGORITHM]))


def test_the_file_runs_alone_and_takes_nothing_but_the_standard_library(path: Path, tmp_path: Path) -> None:
    tree = ast.parse(MODULE.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names

    alone = tmp_path / "elsewhere" / "check.py"
    alone.parent.mkdir()
    alone.write_bytes(MODULE.read_bytes())

    def run() -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(alone), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()[-1]

    assert run() == (VERIFIED, "verified")
    path.write_text(path.read_text().replace('"seed": 1,', '"seed": 2,', 1))
    assert run() == (DIFFERS, "differs")
    path.unlink()
    assert run() == (INCONCLUSIVE, "inconclusive")


def test_json_has_the_same(path: Path) -> None:
    exit_code, lines = dr("verify", path, "--json")
    found = json.loads("\n".join(lines))
    assert (exit_code, found["exit_code"], found["differing"]) == (0, 0, [])


def test_its_model_has_the_defaults_of_the_drill_s() -> None:
    known = dataclasses.asdict(Settings())
    assert {name: known[name] for name in DEFAULTS} == DEFAULTS
    assert known.keys() - DEFAULTS.keys() == {"alarm_period_seconds", "alarm_periods"}
    assert HANGING == HANGING_PROBE_SECONDS


def test_the_sealed_bytes_do_not_depend_on_the_seal() -> None:
    assert canonical({"b": "é", "a": 1.0, SEAL: {"sha256": "x"}}) == b'{"a":1.0,"b":"\\u00e9"}'
