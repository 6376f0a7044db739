"""The model of Route 53 over probes, and the time of a drill that it is in."""

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from payment_dr.operations import probes
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.side import Side
from tests.operations.drill.parts import deployed_zone
from tests.operations.stack import PRIVATE_PATH, Stack, probed_privately

CHECKERS = 16


class Region:
    """What probes of both regions meet.

    Attributes:
        answers_in: Seconds until the answer; infinite if the region hangs.
        at_a_time: The most probes that were made at the same time.
        paths: The paths that were probed.
    """

    def __init__(self) -> None:
        self.answers_in = 0.1
        self.at_a_time = self._now = 0
        self.paths: set[str] = set()
        self._lock = threading.Lock()

    def probe(self, _stack: Stack, _side: Side, path: str) -> tuple[ProbeResult, bytes]:
        with self._lock:
            self.paths.add(path)
            self._now += 1
            self.at_a_time = max(self.at_a_time, self._now)
        time.sleep(0.01)
        with self._lock:
            self._now -= 1
        return ProbeResult(connect_seconds=0.0, response_seconds=self.answers_in, status=200), b""


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Region:
    region = Region()
    monkeypatch.setattr(probes, "probe", region.probe)
    return region


@pytest.fixture
def dns(stack: Stack, region: Region, tmp_path: Path) -> Iterator[ModelledDns]:
    with ThreadPoolExecutor(CHECKERS) as pool:
        journal = Journal(tmp_path, {"kind": "region"})
        yield ModelledDns(stack, deployed_zone(), journal, random.Random(1), pool)  # noqa: S311


def test_while_a_region_hangs_all_checkers_wait_at_the_same_time(dns: ModelledDns, region: Region) -> None:
    region.answers_in = math.inf
    dns.advance(45.0)
    assert region.at_a_time == CHECKERS


def test_the_path_is_that_of_the_health_check(stack: Stack, region: Region, tmp_path: Path) -> None:
    zone = probed_privately(deployed_zone())
    with ThreadPoolExecutor(CHECKERS) as pool:
        journal = Journal(tmp_path, {"kind": "region"})
        ModelledDns(stack, zone, journal, random.Random(1), pool).advance(45.0)  # noqa: S311
    assert region.paths == {PRIVATE_PATH}
    assert PRIVATE_PATH not in json.dumps(journal.content)


def test_a_slow_answer_is_one_and_its_function_is_not_called_by_all_checkers_at_the_same_time(
    dns: ModelledDns, region: Region
) -> None:
    region.answers_in = 1.5
    dns.advance(45.0)
    assert region.at_a_time == 1


def test_drill_time_stands_still_while_something_is_done_at_one_moment(dns: ModelledDns) -> None:
    started = time.monotonic()
    now = dns.running_from(5.0)
    with dns.standing_still():
        stopped = now()
        time.sleep(0.1)
        assert now() == stopped >= 5.0
    assert stopped <= now() <= 5.0 + time.monotonic() - started - 0.1
    later = now()
    time.sleep(0.01)
    assert now() > later
