"""Each region asks the other one, and says once that it is gone and once that it is back, to its own topic."""

import json
import re
from collections.abc import Mapping
from typing import Literal

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from embedded_aws.emulated_stack import EmulatedStack
from embedded_aws.virtual_alarms import VirtualAlarms
from payment_dr.side import OTHER, SIDES, Side
from tests.deploy.conftest import Deployed
from tests.deploy.mailbox import Mailbox, mailbox

pytestmark = pytest.mark.slow
with_defaults, with_all_options = (pytest.mark.xdist_group(each) for each in ("deployment", "options"))

ALARMS: Mapping[Side, str] = {
    "primary": "alarm-health-monitor-peer-east-dev",
    "secondary": "alarm-health-monitor-peer-west-dev",
}


class Watcher:
    """One region, in a time of its own, in which its alarm on the other region is evaluated once a minute.

    The deployed function is run as its schedule runs it. What it logs and the deployed settings of the alarm decide on
    the state, and a change of that takes the deployed actions.
    """

    def __init__(self, deployment: Deployment, side: Side) -> None:
        outputs = {name: output.value for name, output in deployment.outputs.items()}
        self._states = VirtualAlarms(deployment, EmulatedStack(outputs, deployment.aws.endpoint_url), seed=1)
        self._region, self._client = deployment.region(side), deployment.client("cloudwatch", side)
        self._name = ALARMS[side]
        self._now = 0.0

    def minutes(self, count: int) -> list[str]:
        """Let minutes pass; the state of the alarm after each."""
        return [self._minute() for _ in range(count)]

    def _minute(self) -> str:
        self._now += 60
        state = self._states(self._region, self._name, self._now)
        (alarm,) = self._client.describe_alarms(AlarmNames=[self._name])["MetricAlarms"]
        if state != alarm["StateValue"]:
            self._client.set_alarm_state(AlarmName=self._name, StateValue=state, StateReason="evaluated by a test")
        return state


def states_in(box: Mailbox) -> list[tuple[str, str]]:
    box.received()
    mails = [json.loads(mail["Message"]) for mail in box.mails]
    return [(mail["AlarmName"], mail["NewStateValue"]) for mail in mails]


@pytest.fixture
def watchers(branched: Deployment) -> Mapping[Side, Watcher]:
    found: dict[Side, Watcher] = {side: Watcher(branched, side) for side in SIDES}
    for watcher in found.values():
        assert watcher.minutes(1) == ["OK"]
    return found


@with_defaults
@pytest.mark.parametrize("kind", ["error", "hang"])
def test_the_surviving_region_says_once_that_the_other_one_is_gone_and_once_that_it_is_back(
    branched: Deployment, watchers: Mapping[Side, Watcher], kind: Literal["error", "hang"]
) -> None:
    west, name = watchers["secondary"], ALARMS["secondary"]
    with mailbox(branched, "secondary") as box:
        assert west.minutes(2) == ["OK", "OK"]
        assert states_in(box) == []
        with branched.aws.region_outage("us-east-1", kind=kind):
            assert west.minutes(2) == ["ALARM", "ALARM"]
            eventually(lambda: states_in(box) != [], "a mail about us-east-1")
        assert west.minutes(2) == ["OK", "OK"]
        eventually(lambda: len(states_in(box)) > 1, "a mail that us-east-1 is back")
        assert states_in(box) == [(name, "ALARM"), (name, "OK")]


@with_defaults
def test_both_regions_are_silent_while_both_are_well(branched: Deployment, watchers: Mapping[Side, Watcher]) -> None:
    for side, watcher in watchers.items():
        with mailbox(branched, side) as box:
            assert watcher.minutes(2) == ["OK", "OK"]
            assert states_in(box) == []


@with_all_options
def test_a_region_with_a_private_probe_route_is_asked_by_it_and_no_log_holds_it(with_options: Deployed) -> None:
    with with_options.branch() as branch:
        for side in SIDES:
            function = branch.value(f"{side}_health_monitor_function_name")
            asked = branch.client("lambda", side).get_function_configuration(FunctionName=function)
            path = asked["Environment"]["Variables"]["PEER_HEALTH_URL"].partition(".amazonaws.com")[2]
            assert re.fullmatch(r"/health/[A-Za-z0-9]{32}", path)
            assert Watcher(branch, side).minutes(1) == ["OK"]
            branch.aws.fail_region(branch.region(OTHER[side]), service="execute-api")
            assert Watcher(branch, side).minutes(1) == ["ALARM"]
            branch.aws.restore_region(branch.region(OTHER[side]))
            logs = branch.client("logs", side).get_paginator("filter_log_events")
            pages = list(logs.paginate(logGroupName=f"/aws/lambda/{function}"))
            assert "peer_status_503" in str(pages)
            assert path.rpartition("/")[2] not in str(pages)
