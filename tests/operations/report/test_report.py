"""The report of a drill: what it says, that it says so of any journal, and that it needs nothing but itself."""

import errno
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from payment_dr.operations.drill.journal import InconclusiveError
from payment_dr.operations.errors import OperationError
from payment_dr.operations.report import summary, write
from payment_dr.operations.report.figures import COLOURS
from payment_dr.operations.report.summary import reported
from payment_dr.operations.report.write import write_report
from payment_dr.operations.verify import seal_of
from tests.operations.report import journals
from tests.operations.report.journals import LOST, Journal

MAKERS = [journals.passed, journals.missed, journals.killed]
HOSTILE = "\0\x1b\x9b\a\r\u202e<script>alert(1)</script> \"quoted\" & 'so' $x_{ #18202b 'DejaVu Sans' \U0001f4a5"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Journal], ElementTree.Element]:
    """Makes the page of a journal, once for all tests that ask; it is read by a strict parser."""
    written: dict[str, Path] = {}

    def make(journal: Journal) -> ElementTree.Element:
        content = json.dumps(journal)
        if content not in written:
            written[content], _ = write_report(journals.write(journal, tmp_path_factory.mktemp("report")))
        return read(written[content])

    return make


def read(html: Path) -> ElementTree.Element:
    """The page, as a parser sees it that forgives nothing."""
    return ElementTree.fromstring(html.read_text(encoding="utf-8"))  # noqa: S314 - our own


def text(element: ElementTree.Element, path: str = ".") -> str:
    """The text of the first element on this path, as one line."""
    found = element.find(path)
    assert found is not None
    return " ".join("".join(found.itertext()).split())


def cards(page: ElementTree.Element) -> dict[str, str]:
    """The cards at the top by their titles."""
    return {text(card, "dt"): " ".join(text(dd) for dd in card.findall("dd")) for card in page.findall(".//dl/div")}


def rows(page: ElementTree.Element) -> list[list[str]]:
    """The rows of all tables."""
    return [[text(cell) for cell in row] for row in page.iter("tr")]


class TestTheTop:
    def test_a_passed_drill_says_so_with_outage_recovery_times_and_losses(self, page: Any) -> None:
        found = page(journals.passed())
        assert text(found, ".//h1") == "✓ Rehearsal on an emulated AWS passed: every target was met"
        missing = "Missing at the failover: 9 of 11,102 payments in local mode, 0 of 10,987 in confirmed mode."
        assert missing in text(found, ".//header")
        top = cards(found)
        assert top["Outage of us-east-1"] == (
            "300 s every call of us-east-1 answers 503 acknowledged during it: 7,683 of 8,703 payments"
        )
        assert top["Failover (RTO), one draw, seed 42"].startswith("102.5 s target 180 s: ✓ met")
        assert top["Failback (RTO), one draw, seed 42"].startswith("74.6 s target 180 s: ✓ met")
        assert top["Missing at the failover, local mode"].startswith("9 of 11,102 no target ")
        assert top["Missing at the failover, confirmed mode"].startswith("0 of 10,987 target 0: ✓ met ")

    def test_a_missed_drill_names_the_cause_and_the_target_it_missed(self, page: Any) -> None:
        journal = journals.missed()
        found = page(journal)
        assert text(found, ".//h1") == "✗ Rehearsal on an emulated AWS missed: not every target was met"
        assert journal["causes"][0] in text(found, ".//header")
        assert cards(found)["Failover (RTO), one draw, seed 42"].startswith("320.3 s target 180 s: ✗ missed")
        how = "computed; 410.2 s if probes hang"
        assert ["failover, bound of the model", "396.7 s", "180 s", "✗ no", how] in rows(found)

    def test_a_killed_drill_is_inconclusive_whatever_it_had_hoped_for(self, page: Any) -> None:
        journal = journals.killed()
        found = page(journal | {"verdict": "passed"})
        assert text(found, ".//h1") == "? Rehearsal on an emulated AWS: inconclusive"
        assert journal["causes"][0] in text(found, ".//header")
        assert "the journal stops 1:59 (min:s) after its start" in text(found, ".//header")
        measured = {title: card for title, card in cards(found).items() if not title.startswith("Outage")}
        assert len(measured) == 4
        assert [card for card in measured.values() if not card.startswith("not measured")] == []
        assert ["fail us-east-1", "1:00", "✗ no undo recorded"] in rows(found)
        assert ["tables equal, item by item", "? inconclusive", "not measured and not measured items"] in rows(found)

    def test_documents_that_are_not_copied_back_are_counted_and_no_fault(self, page: Any) -> None:
        (row,) = (row for row in rows(page(journals.passed())) if row[0] == "documents of us-east-1 copied")
        assert row[1].startswith("✓")
        assert row[2] == (
            "0 of 2 of us-east-1 missing in us-west-2, "
            "3 of 3 of us-west-2 missing in us-east-1 (the stack does not copy them back), "
            "2 deleted in one region alone (S3 copies no deletion)"
        )

    def test_a_drill_that_failed_in_preflight_has_no_outage_and_no_target(self, page: Any) -> None:
        refused = {"settings": {}, "outage": {**journals.killed()["outage"], "seconds": None}, "verdict": "missed"}
        refused |= {
            "ended": "2026-11-22T16:50:04Z",
            "events": [{"at": 0.0, "real": 0.0, "kind": "step", "name": "preflight"}],
        }
        top = cards(page(journals.killed() | refused))
        assert top["Outage of us-east-1"].startswith("did not begin")
        assert top["Failover (RTO), one draw, seed 42"].startswith("none target not measured")

    def test_an_outage_that_is_not_to_fail_over_has_no_recovery_time(self, page: Any) -> None:
        journal = journals.passed()
        journal["rto"] |= {"failover": None, "failback": None}
        found = page(journal)
        assert cards(found)["Failover (RTO), one draw, seed 42"].startswith("none target 180 s")
        assert "DNS did not switch, so no payment could be missing at a failover." in text(found, ".//header")


class TestTheRest:
    def test_the_report_names_the_system_and_the_person(self, page: Any) -> None:
        journal = journals.passed()
        found = page(journal)
        person = "arn:aws:iam::000000000000:user/ada on laptop, payment-dr 0.1.0, commit 1eaa6f5-dirty"
        top = f"app.payment-app.test, account 000000000000, us-east-1 and us-west-2. By {person}"
        assert top in text(found, ".//header")
        for row in (
            ["AWS", "emulated on this machine"],
            ["account", "000000000000"],
            ["name", "app.payment-app.test"],
            ["hosted zone", "Z1 (payment-app.test)"],
            ["health checks", "check-1 of us-east-1, check-2 of us-west-2"],
            ["table", "arn:aws:dynamodb:us-east-1:000000000000:table/transactions"],
            ["table ids", "table-1 in us-east-1, unknown in us-west-2"],
            ["APIs", "api-1 in us-east-1, api-2 in us-west-2"],
            ["buckets", "bucket-1 in us-east-1, bucket-2 in us-west-2"],
            ["Terraform", "serial 7, lineage b1f8"],
            ["drilled by", person],
        ):
            assert row in rows(found)
        older = {name: value for name, value in journal.items() if name != "system"}
        assert ["not recorded"] in rows(page(older))

    def test_every_number_says_what_it_was_made_of(self, page: Any) -> None:
        journal = journals.passed()
        emulated, live = page(journal), page(journal | {"place": "live AWS", "time": "real"})
        ran = max(event["real"] for event in journal["events"])
        draw = f"one draw of seed 42 in virtual time, run in {ran:.1f} s: real probes, emulated AWS, simulated DNS"
        assert cards(emulated)["Failover (RTO), one draw, seed 42"].endswith(draw)
        assert text(live, ".//h1") == "✓ Drill on AWS passed: every target was met"
        assert cards(emulated)["Missing at the failover, local mode"].endswith("counted, emulated AWS")
        assert cards(live)["Failover (RTO), measured"].endswith("real, live AWS")
        assert cards(live)["Missing at the failover, local mode"].endswith("counted, live AWS")
        by_phase = ["failover", "bound", "94.7 s", "not modelled", "30.0 s", "2.0 s", "126.7 s", "computed"]
        assert by_phase in rows(emulated)
        assert [row[3] for row in rows(emulated) if row[:2] == ["failover", "one draw, seed 42"]] == ["not modelled"]
        assert [row[3] for row in rows(live) if row[:2] == ["failover", "measured"]] == ["in detect"]
        assert "Failover: at most 126.7 s in the model, 140.2 s if probes hang." in text(emulated)
        assert (
            "Not in these bounds: spread of a new status in Route 53 (AWS publishes no time); "
            "caches beyond the TTL in resolvers and client runtimes; pooled connections"
        ) in text(emulated)
        assert "Simulated: 500 runs" in text(emulated)
        assert ["failover", "102.5 s", "180 s", "✓ yes", journals.DRAW] in rows(emulated)
        for kind, sentences in journal["made_of"].items():
            assert [kind, "".join(sentences)] in rows(emulated)

    def test_every_lost_transaction_is_listed(self, page: Any) -> None:
        assert [text(each) for each in page(journals.passed()).findall(".//li")] == LOST

    def test_settings_over_the_target_are_marked_in_words_and_the_drill_s_own_is_marked(self, page: Any) -> None:
        journal = journals.missed()
        choices = {
            (each["request_interval_seconds"], each["failure_threshold"], each["ttl_seconds"]): each["failover"][
                "bound"
            ]
            for each in journal["rto"]["sensitivity"]
        }
        table = page(journal).find(".//table[@class='choices']")
        header, *lines = ([text(cell) for cell in row] for row in table.iter("tr"))
        for interval, threshold, *cells in lines:
            for ttl, cell in zip(header[2:], cells, strict=True):
                key = int(interval.split()[0]), int(threshold.split()[0]), int(ttl.split()[1])
                sign, over = ("✗", " s, over p50") if choices[key] > 180 else ("✓", " s p50")
                assert cell.startswith(f"{sign} {choices[key]:.1f}{over}")
                assert cell.endswith("this drill's") == (key == (30, 3, 300))

    def test_actions_have_their_undo_and_events_their_times(self, page: Any) -> None:
        journal = journals.passed()
        found = rows(page(journal))
        assert ["fail us-east-1", "1:00", "6:00"] in found
        assert ["6:00", "30.0 s", "action", "undone: fail us-east-1"] in found
        assert ["2:17", "11.5 s", "verdict", "us-east-1 is unhealthy"] in found
        assert ["2:17", "11.5 s", "answer", "DNS answers us-west-2"] in found
        assert ["2:26", "12.2 s", "alarm", "route53-primary-health-check-dev: ALARM"] in found
        probes = [event["ok"] for event in journal["events"] if event.get("checker") and event["region"] == "us-east-1"]
        assert ["us-east-1", str(probes.count(True)), str(probes.count(False)), "HTTP status 503"] in found

    def test_the_timeline_names_regions_verdicts_modes_and_losses(self, page: Any) -> None:
        timeline = text(page(journals.passed()), ".//div[@aria-label]/{*}svg")
        for words in (
            "us-east-1",
            "us-west-2",
            "✗ unhealthy",
            "confirmed mode",
            "missing: 9 of 11,102",
            "3 outage",
        ):
            assert words in timeline

    def test_the_report_has_seed_versions_settings_and_the_journal_s_sha256(self, tmp_path: Path) -> None:
        path = journals.write(journals.passed(), tmp_path)
        html, _ = write_report(path)
        found = read(html)
        assert hashlib.sha256(path.read_bytes()).hexdigest() in [text(code) for code in found.iter("code")]
        for row in (["seed", "42"], ["terraform", "1.15.8"], ["replication lag seconds", "median 0.5, p99 1.5"]):
            assert row in rows(found)

    def test_the_seal_of_the_journal_and_who_signed_it_are_named(self, page: Any) -> None:
        journal = journals.passed()
        assert "Not sealed: the drill did not come to its end." in text(page(journal))
        sealed = page(journal | {"seal": seal_of(journal)})
        assert "Sealed when the drill ended, and not signed." in text(sealed)
        assert seal_of(journal)["sha256"] in [text(code) for code in sealed.iter("code")]
        signed = page(journal | {"seal": seal_of(journal) | {"signature": {"key": "kms:arn:aws:kms:1"}}})
        assert "Sealed when the drill ended, and signed by kms:arn:aws:kms:1." in text(signed)


class TestTheFiles:
    @pytest.mark.parametrize("make", MAKERS)
    def test_the_page_needs_nothing_from_elsewhere(self, make: Callable[[], Journal], page: Any) -> None:
        found = page(make())
        assert {each.tag.rpartition("}")[2] for each in found.iter()} & {"script", "link", "img", "image"} == set()
        attributes = [(key, value) for each in found.iter() for key, value in each.attrib.items()]
        assert [value for key, value in attributes if key in ("href", "src") and not value.startswith("#")] == []
        whole = ElementTree.tostring(found, encoding="unicode")
        assert re.findall(r"url\((?!#)|@import", whole) == []
        assert set(re.findall(r"https?://[^\"]*", whole)) <= {"http://www.w3.org/2000/svg"}

    def test_figures_follow_the_page_s_colours_light_or_dark(self, page: Any) -> None:
        figures = [
            ElementTree.tostring(svg, encoding="unicode")
            for svg in page(journals.passed()).iter()
            if svg.tag.endswith("svg")
        ]
        assert len(figures) == 3
        assert [re.findall(r"#[0-9a-f]{6}\b", figure) for figure in figures] == [[], [], []]

    def test_no_id_is_used_twice(self, page: Any) -> None:
        ids = [each.attrib["id"] for each in page(journals.passed()).iter() if "id" in each.attrib]
        assert len(set(ids)) == len(ids) > 0

    @pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
    def test_words_stand_out_from_what_is_behind_them(self, mode: int) -> None:
        def luminance(name: str) -> float:
            channels = (int(COLOURS[name][mode][at : at + 2], 16) / 255 for at in (1, 3, 5))
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        pairs = [(words, behind) for words in ("ink", "muted", "good", "bad", "doubt") for behind in ("paper", "shade")]
        pairs += [
            ("on", behind) for behind in COLOURS if behind not in ("ink", "muted", "rule", "paper", "shade", "on")
        ]
        for pair in pairs:
            darker, lighter = sorted(map(luminance, pair))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, pair  # WCAG 2.2, 1.4.3

    @pytest.mark.parametrize("make", MAKERS)
    def test_the_picture_is_1600_pixels_wide(self, make: Callable[[], Journal], tmp_path: Path) -> None:
        _, png = write_report(journals.write(make(), tmp_path))
        assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(png.read_bytes()[16:20]) == 1600

    def test_the_same_journal_gives_the_same_files_whatever_the_reader_s_style(self, tmp_path: Path) -> None:
        path = journals.write(journals.passed(), tmp_path)
        first = [file.read_bytes() for file in write_report(path)]
        with mpl.rc_context({"font.size": 30, "axes.labelsize": 30, "ytick.labelsize": 3}):
            assert [file.read_bytes() for file in write_report(path)] == first

    def test_files_are_named_after_the_journal_s_file_not_after_what_it_says(self, tmp_path: Path) -> None:
        path = journals.write(journals.killed() | {"id": "../elsewhere"}, tmp_path)
        assert write_report(path) == (tmp_path / "drill.html", tmp_path / "drill.png")

    @pytest.mark.parametrize("make", MAKERS)
    def test_a_browser_has_nothing_to_complain_about(self, make: Callable[[], Journal], tmp_path: Path) -> None:
        html, _ = write_report(journals.write(make(), tmp_path))
        shown, complaints = html.read_text(encoding="utf-8"), ""
        if BROWSER:  # else the strict parser has to do, as in the other tests
            options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
            command = [BROWSER, *options, "--enable-logging=stderr", "--dump-dom", html.as_uri()]
            run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
            shown, complaints = run.stdout, run.stderr
        assert re.findall(r".*CONSOLE.*", complaints) == []
        assert re.findall(r"<h1[^>]*>(\S)", shown) in (["✓"], ["✗"], ["?"])


class TestWhatOthersHaveWritten:
    def test_no_text_of_a_journal_becomes_markup(self, page: Any) -> None:
        def poisoned(value: Any) -> Any:
            if isinstance(value, dict):
                keep = ("kind", "mode", "ended")
                return {key: each if key in keep else poisoned(each) for key, each in value.items()}
            if isinstance(value, list):
                return [poisoned(each) for each in value]
            return HOSTILE + value if isinstance(value, str) else value

        found = page(poisoned(journals.passed()))
        assert [each for each in found.iter() if each.tag.endswith("script")] == []
        shown = " ".join(HOSTILE.replace("\0\x1b\x9b\a\r\u202e", r"\x00\x1b\x9b\x07\r\u202e").split())
        whole = text(found)
        for value in ("fail us-east-1", "HTTP status 503", "1.15.8", "tx-local-001093", journals.DRAW):
            assert shown + value in whole

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff",
            b"[]",
            b"{}",
            json.dumps(journals.passed() | {"schema": 2}).encode(),
            json.dumps(journals.passed() | {"events": [{"kind": "step", "name": "preflight"}]}).encode(),
            json.dumps(journals.passed() | {"events": [{"at": 1e12, "kind": "step", "name": "late"}]}).encode(),
            json.dumps(journals.passed() | {"seed": float("nan")}).encode(),
            json.dumps(journals.passed() | {"rto": {"failover": {"total": "soon"}}}).encode(),
            json.dumps(journals.passed() | {"started": "\ud800"}).encode(),
            json.dumps(journals.passed() | {"settings": {}}).encode(),
            json.dumps(journals.passed() | {"events": [{"at": 1, "kind": "probe", "ok": True}]}).encode(),
        ],
        ids=[
            *("empty", "not UTF-8", "list", "nothing in it", "schema", "no time", "late", "NaN", "text", "surrogate"),
            *("no target", "no region"),
        ],
    )
    def test_a_file_that_is_no_journal_is_an_error_with_a_hint(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "drill.json"
        path.write_bytes(content)
        with pytest.raises(OperationError, match=r"drill\.json is no journal of a drill") as raised:
            write_report(path)
        assert raised.value.hint == "give the JSON file that 'dr drill' wrote, unchanged"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_missing_journal_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OperationError, match=r"nowhere\.json cannot be read: No such file"):
            write_report(tmp_path / "nowhere.json")


# Runs `dr` where no file may be longer than so many bytes.
SHORT_FILES = """
import resource, sys
from payment_dr.operations.report import write  # Matplotlib writes when it is loaded first
from payment_dr.operations.entry_point import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
main()
"""


def dr_with_short_files(limit: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SHORT_FILES, str(limit), *arguments], capture_output=True, text=True, check=False
    )


def test_a_report_that_finds_no_room_leaves_the_former_one_and_nothing_half_written(tmp_path: Path) -> None:
    journal = journals.write(journals.killed(), tmp_path)
    journal.with_suffix(".html").write_text("the former one")
    done = dr_with_short_files(20_000, "report", str(journal))
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"error: the report {journal.with_suffix('.html')} cannot be written: ")
    assert error.endswith(f"; the journal {journal} is whole")
    assert f"run 'dr report {journal}'" in hint
    assert {path.name for path in tmp_path.iterdir()} == {"drill.json", "drill.html"}
    assert journal.with_suffix(".html").read_text() == "the former one"


def test_a_drill_prints_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content: Any = journals.missed()
    evil = "[red]\x1b]8;;https://evil.example\a\u202e"
    content["outage"]["description"] += evil
    content["causes"] = [evil]
    content["targets"][0] |= {"what": evil, "how": evil}

    class Ended:
        path = journals.write(content, tmp_path)

    Ended.content = content  # type: ignore[attr-defined]
    monkeypatch.setattr(summary, "write_report", lambda _path: ())
    assert reported(Ended, as_json=False) == 1  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert [each for each in printed if not each.isprintable() and each != "\n"] == []
    assert printed.count(r"[red]\x1b]8;;https:") >= 3


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a drill with this journal prints, without line breaks."""

    def print_result(content: Journal, *, as_json: bool = False) -> str:
        class Ended:
            path = journals.write(content, tmp_path)

        Ended.content = content  # type: ignore[attr-defined]
        monkeypatch.setattr(summary, "write_report", lambda _path: ())
        reported(Ended, as_json=as_json)  # type: ignore[arg-type]
        return " ".join(capsys.readouterr().out.split())

    return print_result


def test_the_json_of_a_result_has_what_the_journal_says_and_names_its_file(
    printed: Callable[..., str], tmp_path: Path
) -> None:
    journal = journals.missed()
    found = json.loads(printed(journal, as_json=True))
    rto = {way: journal["rto"][way] for way in ("failover", "failback")}  # without the runs of the model
    same = ("id", "verdict", "causes", "system", "load", "targets", "rpo", "after")
    assert found == {name: journal[name] for name in same} | {"rto": rto, "files": [str(tmp_path / "drill.json")]}


def test_a_target_that_an_outage_does_not_test_is_neither_met_nor_missed(
    page: Callable[[Journal], ElementTree.Element], printed: Callable[[Journal], str]
) -> None:
    journal = journals.passed()
    why = "not tested by this outage: replication goes on"
    journal["targets"][3] |= {"measured": None, "met": None, "tested": False, "how": why}
    (row,) = (row for row in rows(page(journal)) if why in row)
    assert row[0].startswith(f"{journals.AT_SWITCH}Missed when: A payment was acknowledged as confirmed before")
    assert row[1:] == ["", "0", "not tested", why]
    printed_row = "confirmed mode: missing in us-west-2 at the 0 not tested failover, of 10987 acknowledged"
    assert printed_row in printed(journal)
    assert "0 of 10,987 target 0: not tested" in cards(page(journal))["Missing at the failover, confirmed mode"]
    headline = "✓ Rehearsal on an emulated AWS passed: every target that it tests was met"
    assert text(page(journal), ".//h1") == headline


def test_a_payment_that_both_regions_took_is_named_with_what_was_overwritten(
    page: Callable[[Journal], ElementTree.Element], printed: Callable[[Journal], str]
) -> None:
    journal: Any = journals.passed()
    versions = [
        {"region": "us-east-1", "at": 40.0, "amount": "110"},
        {"region": "us-west-2", "at": 61.0, "amount": "111"},
    ]
    kept = {"id": "p-1", "versions": versions, "seen": {"primary": "110", "secondary": "111"}}
    conflicts = [
        {**kept, "after": {"primary": "111", "secondary": "111"}},
        {**kept, "id": "p-2", "after": {"primary": "110", "secondary": "111"}},
    ]
    journal["after"]["split_brain"] = {"unseen": {"primary": 7, "secondary": 1200}, "conflicts": conflicts}
    found, paid = rows(page(journal)), "110 in us-east-1 at 0:40, 111 in us-west-2 at 1:01"
    assert ["p-1", paid, "111", "110 in us-east-1 at 0:40"] in found
    assert ["p-2", paid, "110 and 111", "none"] in found
    seen = "us-east-1 lacked 7 payments of us-west-2, us-west-2 lacked 1,200 payments of us-east-1"
    assert seen in text(page(journal))
    result = printed(journal)
    assert f"split brain: {seen}, until they reached each other" in result
    assert "overwritten: p-1: 110 in us-east-1 at 0:40; p-2: none" in result
    lost = "Both regions took 2 payments with different amounts, and 1 acknowledged versions of these are overwritten."
    assert result.endswith(lost)
    assert lost in text(page(journal))


def test_the_report_counts_payments_that_only_one_region_acknowledged(
    page: Callable[[Journal], ElementTree.Element], printed: Callable[[Journal], str]
) -> None:
    journal = journals.passed()
    assert "by one region alone: 4,002 of 10,987" in cards(page(journal))["Missing at the failover, confirmed mode"]
    figures = ["secondary serves", "us-west-2", "3,900", "3,900", "3", "512 ms", "1,290 ms"]
    assert figures in rows(page(journal))
    assert "Failover of this client: 102.5 s. Failback of this client: 61.0 s." in text(page(journal))
    assert "Missing in us-east-1 at the failback: none" in text(page(journal))
    result = printed(journal)
    assert "local mode 11102 all 9 of 11102 0 of 3900 102.5, 61.0 4, 8" in result
    assert "confirmed mode 10987 4002 0 of 10987 0 of 3900 102.5, 61.0 512, 1290" in result


@pytest.mark.parametrize("make", [journals.passed, journals.missed])
def test_what_a_drill_prints_fits_a_screen_and_says_what_it_was_of(
    make: Callable[[], Journal],
) -> None:
    journal: Any = make()
    lines = [line for line, _ in summary.result_of(journal, [Path(f"d/{journal['id']}.{k}") for k in ("json", "html")])]
    assert len(lines) <= 24 + 2 * len(journal["causes"])
    assert max(map(len, lines)) <= 80
    outage = journal["outage"]["seconds"]
    assert lines[0] == f"Rehearsal on an emulated AWS: every call of us-east-1 answers 503, for {outage} s"
    assert lines[1] == "app.payment-app.test, account 000000000000, zone Z1"
    assert lines[2].startswith("by arn:aws:iam::000000000000:user/ada on laptop, payment-dr 0.1.0")
    text = " ".join(" ".join(lines).split())
    total = journal["rto"]["failover"]["total"]
    hanging = journal["rto"]["distribution"]["failover"]["hanging_bound"]
    assert f"target result at most failover: one draw of seed 42, virtual time {total:.1f} s 180 s " in text
    assert "Not in these bounds: spread of a new status in Route 53 (AWS publishes no time)" in text
    words = {"passed": "every target was met", "missed": "not every target was met"}[journal["verdict"]]
    for line in ("  real probes, simulated DNS", f"  {hanging:.1f} s if probes hang"):
        assert line in lines
    zeros = "1 counts that must be 0: counted, emulated AWS"
    assert [line.split("  ")[0] for line in lines if "must be 0" in line] == [zeros]
    lost = "Missing at the failover: 9 of 11,102 payments in local mode, 0 of 10,987 in confirmed mode."
    assert text.endswith(f"Rehearsal on an emulated AWS {journal['verdict']}: {words}. {lost}")
    assert re.match("  [^ ]", lines[-1])  # which goes on from the line before


def test_a_drill_without_a_failback_does_not_speak_of_one(
    page: Callable[[Journal], ElementTree.Element], printed: Callable[[Journal], str]
) -> None:
    journal = journals.passed()
    for rpo in journal["rpo"].values():
        rpo |= {"missing_at_failback": None, "recovery": {"failover": None, "failback": None}}
    assert "at the failback" not in text(page(journal), ".//main")
    assert "local mode 11102 all 9 of 11102 - -, - " in printed(journal)


def test_policies_that_find_no_room_are_not_half_written(tmp_path: Path) -> None:
    done = dr_with_short_files(3_000, "policies", "--out", str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: a file has reached the size limit")
    for path in tmp_path.iterdir():
        assert path.suffix == ".json"
        assert json.loads(path.read_text())
    assert [*tmp_path.iterdir()] == [tmp_path / name for name in done.stdout.split()]


def test_what_a_drill_says_of_its_undo_is_said_though_its_report_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = journals.write(journals.killed(), tmp_path)

    def drill() -> Any:
        raise InconclusiveError("inconclusive; NOT every change was undone", hint="undo", journal=path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "write_whole", fail)
    with pytest.raises(InconclusiveError, match="NOT every change was undone"):
        reported(drill, as_json=False)


def test_the_report_says_which_way_payments_went(page: Callable[[Journal], ElementTree.Element]) -> None:
    journal = journals.passed()
    local, confirmed = (f"Missing at the failover, {mode} mode" for mode in ("local", "confirmed"))
    directly = page(journal)
    assert "Load: payments written to the table transactions directly" in text(directly)
    assert "what a global table gives" in cards(directly)[local]
    through_service = page(journal | {"load": {"way": "service", "to": "app.pay.acme.io"}})
    assert "Load: POST /payments to app.pay.acme.io over TLS" in text(through_service)
    assert "acknowledged by the service, after its write in one region" in cards(through_service)[local]
    assert "by one region alone" not in cards(through_service)[local]
    assert "the drill's own client" in cards(through_service)[confirmed]
    confirming = page(journal | {"load": {"way": "endpoint", "to": "https://pay.acme.io", "confirms": True}})
    assert "acknowledged by the service, after its write in both" in cards(confirming)[confirmed]
    assert "by one region alone" in cards(confirming)[local]
    lost = "Missing at the failover: 9 of 11,102 payments of the service, 0 of 10,987 in confirmed mode."
    assert lost in text(through_service, ".//header")
    lost = "Missing at the failover: 9 of 11,102 payments in local mode, 0 of 10,987 of the service."
    assert lost in text(confirming, ".//header")
    older = {name: value for name, value in journal.items() if name != "load"}
    assert "Load:" not in text(page(older))
