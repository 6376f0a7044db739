"""The model of Route 53 over probes, and the time of a drill that it is in."""

import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from payment_dr.operations import probes, standby_switch
from payment_dr.operations.drill.client_dns import Change
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import AlarmCheck, AlarmState, CalculatedCheck, HealthCheck
from tests.operations.drill.parts import deployed_zone
from tests.operations.stack import GONE, PRIVATE_PATH, Stack, probed_privately

CHECKERS = 16


class Region:
    """What probes of both regions meet.

    Attributes:
        answers_in: Seconds until the answer; infinite if the region hangs.
        together: After the first probe of a health check, so many wait for each other before any is answered.
        at_a_time: The most probes that were made at the same time.
        paths: The paths that were probed.
    """

    def __init__(self) -> None:
        self.answers_in = 0.1
        self.at_a_time = self._now = 0
        self.together = 1
        self.paths: set[str] = set()
        self._probed: set[str] = set()
        self._changed = threading.Condition()

    def probe(self, _stack: Stack, check: HealthCheck) -> ProbeResult:
        with self._changed:
            self.paths.add(check.path)
            self._now += 1
            self.at_a_time = max(self.at_a_time, self._now)
            self._changed.notify_all()
            if check.id in self._probed:
                self._changed.wait_for(lambda: self.at_a_time >= self.together, timeout=20)
            self._probed.add(check.id)
        time.sleep(0.01)  # so that a second one can begin meanwhile
        with self._changed:
            self._now -= 1
        return ProbeResult(connect_seconds=0.0, response_seconds=self.answers_in, status=200)


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
    region.answers_in, region.together = math.inf, CHECKERS
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


def test_a_calculated_check_follows_the_api_and_an_alarm_whose_state_is_asked_for_at_drill_time(
    stack: Stack, region: Region, tmp_path: Path
) -> None:
    made, asked = deployed_zone(health_check_id="both"), []
    alarm = AlarmCheck(id="alarm", region="us-east-1", alarm="canary-east")
    both = CalculatedCheck(id="both", children=("check-primary", "alarm"), threshold=2)
    zone = replace(made, health_checks={**made.health_checks, "both": both, "alarm": alarm})

    def state(region: str, name: str, at: float) -> AlarmState:
        asked.append((region, name, at))
        return "ALARM" if 100 <= at < 200 else "OK"

    journal = Journal(tmp_path, {"kind": "region"})
    with ThreadPoolExecutor(CHECKERS) as pool:
        dns = ModelledDns(stack, zone, journal, random.Random(1), pool, state)  # noqa: S311
        dns.advance(300.0)
    assert set(asked) == {("us-east-1", "canary-east", at) for at in range(0, 301, 10)}
    assert dns.verdicts == [Change(100, "primary", healthy=False), Change(200, "primary", healthy=True)]
    assert dns.switches == [Change(100, "secondary"), Change(200, "primary")]
    noted = [(each["at"], each["region"]) for each in journal.content["events"] if each["kind"] == "answer"]
    assert noted[1:] == [(100, "us-west-2"), (200, "us-east-1")]
    assert dns.last_failure == {"primary": "the alarm canary-east of us-east-1 is in ALARM"}
    assert dns.healthy == {"both": True, "check-secondary": True}


def test_an_alarm_is_what_cloudwatch_says_and_a_region_that_does_not_answer_has_no_data(
    stack: Stack, region: Region, tmp_path: Path
) -> None:
    made = deployed_zone(health_check_id="alarm")
    alarm = AlarmCheck(id="alarm", region="us-east-1", alarm="alarm-drift-east-dev", without_data="Unhealthy")
    zone = replace(made, health_checks={**made.health_checks, "alarm": alarm})
    with ThreadPoolExecutor(CHECKERS) as pool:
        journal = Journal(tmp_path, {"kind": "region"})
        dns = ModelledDns(stack, zone, journal, random.Random(1), pool)  # noqa: S311
        answered = []
        for time_, alarm_state in enumerate(("OK", "ALARM", "OK", "INSUFFICIENT_DATA", "OK")):
            stack.alarms["primary"]["alarm-drift-east-dev"] = alarm_state
            dns.advance(10.0 * time_)
            answered.append(dns.answered)
        stack.failing["cloudwatch", "primary"] = GONE
        dns.advance(50.0)
    assert [*answered, dns.answered] == ["primary", "secondary", "primary", "secondary", "primary", "secondary"]


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


def test_the_switch_moves_clients_within_the_budget_and_says_nothing_of_a_region(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack(switch=True)
    journal = Journal(tmp_path, {"kind": "region"})
    with ThreadPoolExecutor(CHECKERS) as pool:
        dns = ModelledDns(stack, stack.zone, journal, random.Random(1), pool)  # noqa: S311
        dns.advance(120.0)
        assert (dns.switches, dns.last_failure) == ([], {})
        standby_switch.change(stack, None, switched=True, by="me", reason="payments fail", seconds=60)
        dns.advance(240.0)
        (over,) = dns.switches
        assert over.side == "secondary"
        assert 120 + 60 < over.at < 120 + 91  # three passes of more than 18 % of the checkers
        stack.failing["dynamodb", "secondary"] = GONE  # the table cannot be read, and the region's own probe passes
        dns.advance(360.0)
        assert [(each.side, each.at < 240 + 92) for each in dns.switches[1:]] == [("primary", True)]
    assert {event["ok"] for event in journal.content["events"] if event["kind"] == "probe"} == {True}
