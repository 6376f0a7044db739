"""The switch of the standby region as it is deployed: who is answered, by the checkers' own rules in virtual time."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from embedded_aws import checks
from embedded_aws.checks import eventually
from embedded_aws.deployment import PROJECT, Deployment
from embedded_aws.emulated_stack import EmulatedStack
from payment_dr.operations import cli, probes, standby_switch, standby_writes
from payment_dr.operations.deployed import ATTEMPTS
from payment_dr.operations.deployed_zone import answers, checks_of, is_switch, read_zone, settings_of
from payment_dr.operations.route53.checkers import HealthCheckerFleet, ProbeResult, random_first_requests
from payment_dr.operations.route53.zone import HealthCheck
from payment_dr.operations.zone_faults import ZoneFaults
from tests.deploy.conftest import Deployed
from tests.deploy.programs import run_terraform
from tests.embedded_aws.tenant import get

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("options")]

# All that `dr` could ask us-east-1 for, Route 53's API among it. DynamoDB serves: the probe of the region passes.
AWAY = ("lambda", "ssm", "sts", "route53", "apigateway", "monitoring", "sns", "s3", "kms", "iam", "logs")
SET = ("failover", "--yes", "--reason", "payments fail", "--for", "60m")
Dr = Callable[..., Result]
SCHEDULE = "event-rule-switch-takeover-west-dev"
ARMED = "armed: us-east-1 has answered for the first time"
HOLDS = "us-east-1 has failed its health check for 30 s; 'dr failback' returns clients"
FAILOVER_ALARM = "alarm-data-canary-failover-east-dev"
FIRES = (
    f"alarm {FAILOVER_ALARM} in us-east-1 is in ALARM: Route 53 considers the region unhealthy; "
    "'dr failback' returns clients"
)
TAKES_OVER_SECONDS = 120.0  # 30 of failing probes, and what a busy machine needs
Kind = Literal["error", "hang"]
Lost = Callable[[str, Kind], AbstractContextManager[None]]


@pytest.fixture
def branch(with_options: Deployed) -> Iterator[Deployment]:
    """A branch in which the standby takes over when a test runs it, and not when a minute of this machine is over."""
    with with_options.branch() as branch:
        branch.client("events", "secondary").disable_rule(Name=SCHEDULE)
        yield branch


@pytest.fixture
def hanging() -> set[str]:
    """The regions of which no call is answered."""
    return set()


@pytest.fixture
def kind_of_stack(hanging: set[str], monkeypatch: pytest.MonkeyPatch) -> type[EmulatedStack]:
    """What `dr` takes the outputs for."""

    class Stack(EmulatedStack):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.hanging = hanging

    monkeypatch.setattr(cli, "Deployed", Stack)
    monkeypatch.setattr(standby_writes, "EMPTY_SECONDS", 0.0)  # what is written is in the stream at once
    return Stack


@pytest.fixture
def outputs(branch: Deployment, outputs_for_dr: Callable[[Deployment], Path]) -> Path:
    return outputs_for_dr(branch)


@pytest.fixture
def dr(outputs: Path, kind_of_stack: type[EmulatedStack]) -> Dr:
    return lambda *arguments: CliRunner().invoke(cli.app, [*arguments, "--outputs", str(outputs)])


@pytest.fixture
def stack(outputs: Path, kind_of_stack: type[EmulatedStack]) -> EmulatedStack:
    return kind_of_stack.read(outputs=outputs)


@pytest.fixture
def lost(branch: Deployment, hanging: set[str]) -> Lost:
    """Lets a region answer every call with 503, or none at all."""

    @contextmanager
    def lose(region: str, kind: Kind) -> Iterator[None]:
        hanging.update({region} if kind == "hang" else ())
        with branch.aws.region_outage(region, kind=kind):
            yield
        hanging.clear()

    return lose


class Route53:
    """All checkers of the name's health checks, which probe the stack as it is, and what they have come to.

    Attributes:
        budget: Seconds of virtual time in which clients must be sent elsewhere: the target without the TTL.
    """

    def __init__(self, stack: EmulatedStack) -> None:
        self._stack, self._zone, self._now, rng = stack, read_zone(stack), 0.0, random.Random(1)  # noqa: S311
        followed = {each.id: each for id_ in checks_of(stack, self._zone).values() for each in self._zone.followed(id_)}
        self._results: dict[str, ProbeResult] = {}
        self._always = {
            id_ for id_, check in followed.items() if not isinstance(check, HealthCheck)
        }  # alarms: no fault
        self._fleets = {
            check.id: HealthCheckerFleet(
                check,
                lambda check, _: self._probed(check),
                random_first_requests(check, rng),
                found=not is_switch(stack, check),
            )
            for check in followed.values()
            if isinstance(check, HealthCheck)
        }
        self.budget = stack.rto_target_seconds - settings_of(stack, self._zone).ttl_seconds

    def _probed(self, check: HealthCheck) -> ProbeResult:
        """What all checkers meet, while nothing changes."""
        if check.id not in self._results:
            self._results[check.id] = probes.probe(self._stack, check)
        return self._results[check.id]

    def answers_after(self, seconds: float) -> list[str]:
        """Let virtual time pass; whom Route 53 answers with then."""
        self._results = {}
        self._now += seconds
        for fleet in self._fleets.values():
            fleet.advance(self._now)
        known = {id_: fleet.healthy for id_, fleet in self._fleets.items()} | dict.fromkeys(self._always, True)
        healthy = {id_: self._zone.status(id_, known) for id_ in checks_of(self._stack, self._zone).values()}
        return answers(self._stack, self._zone, healthy)


def test_clients_leave_without_a_call_to_the_primary_and_return_when_the_standby_is_lost(
    branch: Deployment, stack: EmulatedStack, dr: Dr, lost: Lost
) -> None:
    route53 = Route53(stack)
    assert ZoneFaults(stack, read_zone(stack)).all() == []
    assert route53.answers_after(route53.budget) == ["primary"]
    branch.aws.fail_region("us-east-1", service=AWAY, spared=["Invoke"])  # which runs the function that the probe asks
    calls = branch.aws.signed_calls("us-east-1")
    found = dr(*SET)
    assert found.exit_code == 0, found.output
    assert branch.aws.signed_calls("us-east-1") == calls
    assert probes.health(stack, "primary").verdict.passed  # nothing but the switch sends clients away
    assert route53.answers_after(route53.budget) == ["secondary"]

    branch.aws.restore_region("us-east-1")
    kinds: tuple[Kind, ...] = ("error", "hang")
    for kind in kinds:
        with lost("us-west-2", kind):
            assert route53.answers_after(route53.budget) == ["primary"]
        assert route53.answers_after(route53.budget) == ["secondary"]  # nobody has released it

    back = dr("failback", "--yes", "--reason", "all is well")
    assert back.exit_code == 0, back.output
    assert route53.answers_after(route53.budget) == ["primary"]
    assert [(each.switched, each.reason) for each in standby_switch.history(stack, 2)] == [
        (False, "all is well"),
        (True, "payments fail"),
    ]


def test_a_primary_that_hangs_is_left_without_a_call_to_it_and_keeps_no_command_waiting(
    branch: Deployment, stack: EmulatedStack, dr: Dr, lost: Lost
) -> None:
    route53 = Route53(stack)
    assert route53.answers_after(route53.budget) == ["primary"]
    with lost("us-east-1", "hang"):
        calls = branch.aws.signed_calls("us-east-1")
        found = dr(*SET)
        assert found.exit_code == 0, found.output
        assert branch.aws.signed_calls("us-east-1") == calls
        assert route53.answers_after(route53.budget) == ["secondary"]

        status = dr("status", "--json")
        seen = json.loads(status.stdout)
        assert (status.exit_code, seen["switched"]["state"]) == (2, "bad")
        health = seen["regions"]["us-east-1"]["health"]
        assert health == {"state": "bad", "found": "fails: no answer within 2 s of connecting"}
        silent = [name for name, cell in seen["regions"]["us-east-1"].items() if "does not answer" in str(cell)]
        assert silent == ["table", "replica", "replication lag", "documents", "alarms", "fenced"]

        waiting = dr(*SET, "--wait")
        assert (waiting.exit_code, "error: Route 53's API does not answer" in waiting.stderr) == (2, True)
        assert "Clients already go to us-west-2" in waiting.stderr

        calls = branch.aws.signed_calls("us-east-1")
        back = dr("failback", "--yes", "--reason", "all is well")
        assert (back.exit_code, "us-east-1 does not answer" in back.stderr) == (2, True)
        assert branch.aws.signed_calls("us-east-1") - calls == ATTEMPTS  # the first silence ends it
    assert route53.answers_after(route53.budget) == ["secondary"]  # it is not the outage that keeps clients there


def test_a_switch_ends_by_itself_and_one_that_cannot_be_read_is_none(
    branch: Deployment, stack: EmulatedStack, dr: Dr
) -> None:
    route53 = Route53(stack)
    assert dr(*SET).exit_code == 0
    assert route53.answers_after(route53.budget) == ["secondary"]
    status = json.loads(dr("status", "--json").stdout)
    assert status["switched"]["state"] == "bad"
    assert status["switched"]["found"].endswith(" UTC: payments fail")

    newest = standby_switch.newest(stack)
    standby_switch.change(stack, newest, switched=True, by="a laptop that is lost", reason="drill", seconds=0)
    assert route53.answers_after(route53.budget) == ["primary"]
    assert json.loads(dr("status", "--json").stdout)["switched"] == {"state": "ok", "found": "no"}

    assert dr(*SET).exit_code == 0
    assert route53.answers_after(route53.budget) == ["secondary"]
    branch.aws.fail_region("us-west-2", service="dynamodb")
    assert probes.health(stack, "secondary", stack.switch_path).verdict.reason == "HTTP status 500"
    assert route53.answers_after(route53.budget) == ["primary"]


def takes_over(branch: Deployment) -> str:
    """Run the function that sets the switch by itself; what came of it, or how it failed."""
    function = branch.value("switch_takeover_function_name")
    answer = branch.client("lambda", "secondary").invoke(FunctionName=function)
    said = json.loads(answer["Payload"].read())
    return str(said.get("outcome") or said["errorMessage"])


def changes(stack: EmulatedStack) -> list[tuple[bool, str]]:
    return [(each.switched, each.reason) for each in reversed(standby_switch.history(stack, 99))]


def clear(branch: Deployment) -> None:
    """The table as it is before the first run."""
    dynamodb, table = branch.client("dynamodb", "secondary"), branch.value("switch_table_name")
    for item in dynamodb.scan(TableName=table)["Items"]:
        dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("region", "version")})


def fails_back_for_good(dr: Dr, route53: Route53, branch: Deployment) -> None:
    """An operator lets clients return, and the function does not take over again."""
    back = dr("failback", "--yes", "--reason", "all is well")
    assert back.exit_code == 0, back.output
    assert route53.answers_after(route53.budget) == ["primary"]
    assert takes_over(branch) == "the primary answers"


def test_after_an_outage_clients_stay_in_the_standby_until_an_operator_returns_them(
    branch: Deployment, stack: EmulatedStack, dr: Dr
) -> None:
    route53 = Route53(stack)
    assert route53.answers_after(route53.budget) == ["primary"]
    clear(branch)
    takes_over(branch)
    assert changes(stack) == [(False, ARMED)]
    branch.aws.fail_region("us-east-1")
    calls = branch.aws.signed_calls("us-east-1")
    branch.client("events", "secondary").enable_rule(Name=SCHEDULE)
    assert SCHEDULE in branch.aws.run_schedules("us-west-2")
    eventually(lambda: len(changes(stack)) > 1, "the standby takes over", TAKES_OVER_SECONDS)
    assert changes(stack) == [(False, ARMED), (True, HOLDS)]
    assert branch.aws.signed_calls("us-east-1") == calls
    assert route53.answers_after(route53.budget) == ["secondary"]

    branch.aws.restore_region("us-east-1")
    assert probes.health(stack, "primary").verdict.passed
    assert route53.answers_after(10 * route53.budget) == ["secondary"]
    assert takes_over(branch) == "switched already"
    newest = standby_switch.newest(stack)
    assert newest is not None
    assert newest.by.endswith(":function:lambda-switch-takeover-west-dev")
    status = json.loads(dr("status", "--json").stdout)["switched"]
    assert status["state"] == "bad"
    assert newest.by in status["found"]
    assert status["found"].endswith(f", without an end: {HOLDS}")

    fails_back_for_good(dr, route53, branch)
    assert changes(stack) == [(False, ARMED), (True, HOLDS), (False, "all is well")]


def test_an_alarm_of_the_data_canary_keeps_clients_in_the_standby_although_the_probe_passes(
    branch: Deployment, stack: EmulatedStack, dr: Dr
) -> None:
    clear(branch)
    takes_over(branch)
    cloudwatch, deployed = branch.client("cloudwatch", "primary"), {"AlarmName": FAILOVER_ALARM, "StateReason": "test"}
    assert takes_over(branch) == "the primary answers"
    cloudwatch.set_alarm_state(**deployed, StateValue="ALARM")
    assert takes_over(branch) == "taken over"
    assert probes.health(stack, "primary").verdict.passed
    assert changes(stack) == [(False, ARMED), (True, FIRES)]

    cloudwatch.set_alarm_state(**deployed, StateValue="OK")
    assert takes_over(branch) == "switched already"
    route53 = Route53(stack)
    assert route53.answers_after(route53.budget) == ["secondary"]

    fails_back_for_good(dr, route53, branch)
    assert changes(stack) == [(False, ARMED), (True, FIRES), (False, "all is well")]


def test_a_primary_region_that_does_not_show_its_alarm_sets_nothing_and_one_without_it_fails_the_run(
    branch: Deployment, stack: EmulatedStack
) -> None:
    takes_over(branch)
    before = changes(stack)
    branch.aws.fail_region("us-east-1", service="monitoring")
    assert takes_over(branch) == "the primary answers"
    branch.aws.restore_region("us-east-1")
    branch.client("cloudwatch", "primary").delete_alarms(AlarmNames=[FAILOVER_ALARM])
    assert takes_over(branch) == "the switch stays as it is: TakeoverFault"
    assert changes(stack) == before


def test_a_first_deployment_whose_primary_does_not_answer_yet_is_not_switched(
    branch: Deployment, stack: EmulatedStack
) -> None:
    branch.aws.fail_region("us-east-1", service="execute-api")
    clear(branch)
    assert takes_over(branch) == "the primary has never answered"
    assert changes(stack) == []


def test_a_table_that_cannot_be_read_fails_the_run_and_sets_nothing(branch: Deployment, stack: EmulatedStack) -> None:
    before = changes(stack)
    branch.aws.fail_region("us-west-2", service="dynamodb")
    assert takes_over(branch) == "the switch stays as it is: ClientError"
    branch.aws.restore_region("us-west-2")
    assert changes(stack) == before


class PrivatePath:
    """The private path of the primary region: who asks for it, and what it answers."""

    def __init__(self, branch: Deployment) -> None:
        self._branch = branch

    @property
    def probed(self) -> str:
        """The path that Route 53 probes."""
        return urlsplit(checks.Deployed(self._branch).probed_url("primary")).path

    @property
    def asked(self) -> dict[str, str]:
        """The paths that the functions of the standby ask for."""
        found = {}
        for output, variable in (
            ("secondary_health_monitor_function_name", "PEER_HEALTH_URL"),
            ("switch_takeover_function_name", "PRIMARY_HEALTH_URL"),
        ):
            function = self._branch.value(output)
            asks = self._branch.client("lambda", "secondary").get_function_configuration(FunctionName=function)
            found[variable] = urlsplit(asks["Environment"]["Variables"][variable]).path
        return found

    def status(self, path: str) -> int:
        return get(self._branch.aws.execute_api_url(self._branch.value("primary_api_id"), path)).status


def test_a_private_path_is_replaced_as_the_page_says_although_the_first_apply_stops_in_between(
    branch: Deployment, stack: EmulatedStack
) -> None:
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    (command,) = [line.split() for line in page.splitlines() if line.lstrip().startswith("terraform ")]
    _, _, *options = [word.replace("_west_", "_east_") for word in command]
    lambda_, function = branch.client("lambda", "secondary"), branch.value("switch_takeover_function_name")
    path, route53, printed = PrivatePath(branch), Route53(stack), []

    def apply(*options: str) -> None:
        applied = run_terraform(branch.terraform, *options, "-auto-approve")
        printed.append(applied.stdout + applied.stderr)
        assert applied.returncode == 0, applied.stderr

    takes_over(branch)
    before, old = changes(stack), path.probed
    lambda_.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    parts = ("apigatewayv2_route", "private_route"), ("lambda_permission", "private_api_permission")
    apply(*options, *(f"-target=aws_{kind}.health_monitor_east_{part}" for kind, part in parts))
    assert (path.status(old), path.probed, set(path.asked.values())) == (404, old, {old})
    with pytest.raises(ClientError, match="TooManyRequests"):
        takes_over(branch)
    assert route53.answers_after(route53.budget / 2) == ["primary"]
    assert route53.answers_after(route53.budget) == ["secondary"]  # so: at once

    apply(*(option for option in options if not option.startswith("-replace")))
    new = path.probed
    assert new != old
    assert set(path.asked.values()) == {new}
    assert [path.status(each) for each in (old, new, "/health")] == [404, 200, 200]
    assert lambda_.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"] == 0
    lambda_.delete_function_concurrency(FunctionName=function)
    assert takes_over(branch) == "the primary answers"
    assert changes(stack) == before
    again = branch.plan()
    assert not again.changed
    shown = "".join((*printed, branch.terraform.text_of(again)))
    assert [each for each in (old, new) if each.rpartition("/")[2] in shown] == []
