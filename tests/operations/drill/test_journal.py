"""The journal: whole at any time, in the order of drill time."""

import json
import os
from pathlib import Path

import pytest

from payment_dr.operations.drill.journal import MODES, PHASES, WAYS, Journal


def journal(directory: Path) -> Journal:
    return Journal(directory / "new", {"kind": "blip"}, seed=7)


def test_a_step_saves_what_is_known_until_then(tmp_path: Path) -> None:
    found = journal(tmp_path)
    found.now = 12.5
    found.note({"kind": "action", "name": "fail us-east-1", "undone": False})
    found.step("outage")
    saved = json.loads(found.path.read_text())
    assert (saved["seed"], saved["verdict"], saved["ended"]) == (7, "inconclusive", None)
    assert [(event["at"], event["kind"]) for event in saved["events"]] == [(12.5, "action"), (12.5, "step")]
    assert found.path.name == f"{saved['id']}.json"
    assert saved["id"].endswith("Z-blip")


def test_events_that_are_known_late_stand_where_they_happened(tmp_path: Path) -> None:
    found = journal(tmp_path)
    found.note({"kind": "answer", "region": "us-west-2"}, at=9)
    found.note({"kind": "answer", "region": "us-east-1"}, at=3)
    assert [event["at"] for event in found.content["events"]] == [3, 9]


def test_a_reader_never_sees_half_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = journal(tmp_path)
    found.step("preflight")
    before = found.path.read_text()

    def full(_file: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        found.close("passed", [])
    assert found.path.read_text() == before
    assert list(found.path.parent.iterdir()) == [found.path]


def test_the_end_has_a_verdict_and_its_causes(tmp_path: Path) -> None:
    found = journal(tmp_path)
    found.close("missed", ["TTL is 300 s"])
    saved = json.loads(found.path.read_text())
    assert (saved["verdict"], saved["causes"]) == ("missed", ["TTL is 300 s"])
    assert saved["ended"] >= saved["started"]


def test_the_words_of_the_file_are_those_that_earlier_journals_have() -> None:
    assert MODES == ("local", "confirmed")
    assert WAYS == ("failover", "failback")
    assert PHASES == ("detect", "switch", "cache", "first_write")
