"""Who holds the switch after an automatic failover: each branch of a run, and runs beside Route 53 in virtual time."""

from __future__ import annotations

import http.client as http_client
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
)
from botocore.stub import Stubber

from handlers import lambda_standby_takeover as takeover
from handlers.lambda_standby_takeover import (
    ALARM_CONFIG,
    CONFIG,
    Alarm,
    Found,
    Switch,
    TakeoverFault,
    handler,
    probe,
    run,
)
from handlers.lambda_switch import is_switched
from payment_dr.operations.route53.checkers import HealthCheckerFleet, ProbeResult, random_first_requests
from payment_dr.operations.route53.zone import HealthCheck
from tests.handlers.loopback import (
    Manner,
    Server,
    certificate_in,
    closes,
    dribbles,
    is_silent,
    over_tls,
    replies,
    resets,
)

PRIMARY, STANDBY = "https://east.acme.io/health/x", "https://west.acme.io/health/y"
ARN = "arn:aws:lambda:us-west-2:123456789012:function:lambda-switch-takeover-west-dev"
TABLE = "table-switch-west-dev"
BEGIN = 1_790_000_000
PASSES, FAILS, GONE = Found(200, "HTTP status 200"), Found(503, "HTTP status 503"), Found(None, "gaierror: no name")
ALARM_NAME = "alarm-data-canary-failover-east-dev"
FIRES = (
    f"alarm {ALARM_NAME} in us-east-1 is in ALARM: Route 53 considers the region unhealthy; "
    "'dr failback' returns clients"
)
HOLDS = "us-east-1 has failed its health check for 30 s; 'dr failback' returns clients"


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(
            takeover,
            "time",
            SimpleNamespace(monotonic=lambda: self.now, time=lambda: BEGIN + self.now, sleep=self.wait),
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Table:
    """The table of the switch, in memory.

    Attributes:
        items: All changes, the oldest first.
        before_write: Called before a write, for what somebody else does meanwhile.
    """

    def __init__(self, *changes: dict[str, Any]) -> None:
        self.items: list[dict[str, Any]] = []
        self.before_write: Callable[[], None] = lambda: None
        for each in changes:
            self.add(**each)

    def add(self, *, switched: bool, until: float | None = None, by: str = "oncall", reason: str = "") -> None:
        end = {} if until is None else {"until": {"N": str(int((BEGIN + until) * 1000))}}
        self.items.append(
            {
                "region": {"S": "us-east-1"},
                "version": {"N": str(len(self.items) + 1)},
                "switched": {"BOOL": switched},
                "by": {"S": by},
                "reason": {"S": reason},
                **end,
            }
        )

    def query(self, **_: Any) -> Any:
        return {"Items": self.items[-1:]}

    def put_item(self, **request: Any) -> Any:
        self.before_write()
        if request["Item"]["version"] in [each["version"] for each in self.items]:
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")
        self.items.append(request["Item"])
        return {}

    def is_set(self, now: float) -> bool:
        return is_switched(self.items[-1] if self.items else None, int((BEGIN + now) * 1000))


ARMED: dict[str, Any] = {"switched": False, "reason": "armed"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Regions:
    """What probes meet: from the first to the last finding of each address, the last one for ever."""

    def __init__(self, clock: Clock, primary: Sequence[Found], standby: Sequence[Found] = (PASSES,)) -> None:
        self._clock = clock
        self._findings = {PRIMARY: list(primary), STANDBY: list(standby)}
        self.probes: list[tuple[float, str]] = []

    def __call__(self, url: str) -> Found:
        self.probes.append((self._clock.now, url))
        findings = self._findings[url]
        found = findings.pop(0) if len(findings) > 1 else findings[0]
        if found.status is None:
            self._clock.wait(6)
        return found


class CloudWatch:
    """CloudWatch of the primary region, which has one alarm.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self, state: str | Exception | None) -> None:
        self._state = state
        self.asked = 0

    def describe_alarms(self, **request: Any) -> Any:
        assert request == {"AlarmNames": [ALARM_NAME]}
        self.asked += 1
        if isinstance(self._state, Exception):
            raise self._state
        return {"MetricAlarms": [{"AlarmName": ALARM_NAME, "StateValue": self._state}] if self._state else []}


def switch(table: Table, cloudwatch: CloudWatch | None = None) -> Switch:
    alarm = Alarm(cloudwatch, ALARM_NAME) if cloudwatch else None
    return Switch(
        dynamodb=table,
        table_name=TABLE,
        region="us-east-1",
        primary_url=PRIMARY,
        own_url=STANDBY,
        by=ARN,
        alarm=alarm,
    )


@pytest.mark.parametrize("failing", [FAILS, GONE])
def test_it_takes_over_when_four_probes_within_30_s_have_failed(clock: Clock, failing: Found) -> None:
    table, regions = Table(ARMED), Regions(clock, [failing])
    assert run(switch(table), regions) == "taken over"
    ends = 36 if failing is GONE else 30
    assert regions.probes == [(0, PRIMARY), (10, PRIMARY), (20, PRIMARY), (30, PRIMARY), (ends, STANDBY)]
    assert table.items[-1] == {
        "region": {"S": "us-east-1"},
        "version": {"N": "2"},
        "switched": {"BOOL": True},
        "at": {"N": str((BEGIN + ends) * 1000)},
        "by": {"S": ARN},
        "reason": {"S": HOLDS},
    }  # without `until`: it has no end


@pytest.mark.parametrize("good", range(4))
def test_one_probe_that_passes_ends_the_run_without_a_change(clock: Clock, good: int) -> None:
    table, regions = Table(ARMED), Regions(clock, [*[FAILS] * good, PASSES, FAILS])
    assert run(switch(table), regions) == "the primary answers"
    assert len(regions.probes) == good + 1
    assert len(table.items) == 1


@pytest.mark.parametrize("failing", [FAILS, GONE])
def test_a_primary_that_has_never_answered_is_not_left(clock: Clock, failing: Found) -> None:
    table, regions = Table(), Regions(clock, [failing])
    for _ in range(30):
        assert run(switch(table), regions) == "the primary has never answered"
    assert table.items == []
    assert {url for _, url in regions.probes} == {PRIMARY}


def test_the_first_answer_of_the_primary_is_noted_once_and_arms_the_function(clock: Clock) -> None:
    table, regions = Table(), Regions(clock, [PASSES, PASSES, FAILS])
    assert [run(switch(table), regions) for _ in range(3)] == ["armed", "the primary answers", "taken over"]
    assert [(each["switched"]["BOOL"], each["by"]["S"], each["reason"]["S"]) for each in table.items] == [
        (False, ARN, "armed: us-east-1 has answered for the first time"),
        (True, ARN, HOLDS),
    ]


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_with_both_regions_ill_nothing_is_set(clock: Clock, status: int) -> None:
    table = Table(ARMED)
    regions = Regions(clock, [FAILS], [Found(status, "")])
    assert run(switch(table), regions) == "both regions fail"
    assert len(table.items) == 1


def test_a_function_that_reaches_neither_region_cannot_tell(clock: Clock) -> None:
    table = Table(ARMED)
    with pytest.raises(TakeoverFault, match="neither region is reachable: gaierror"):
        run(switch(table), Regions(clock, [GONE], [GONE]))
    assert len(table.items) == 1


@pytest.mark.parametrize("until", [None, 1])
def test_while_the_switch_is_set_nobody_is_probed(clock: Clock, until: float | None) -> None:
    table, regions = Table({"switched": True, "until": until}), Regions(clock, [FAILS])
    assert run(switch(table), regions) == "switched already"
    assert regions.probes == []
    assert len(table.items) == 1


def test_a_switch_that_ends_while_the_primary_is_ill_is_taken_over_without_an_end(clock: Clock) -> None:
    table, regions = Table({"switched": True, "until": 60, "reason": "for an hour"}), Regions(clock, [FAILS])
    clock.wait(59.9)
    assert run(switch(table), regions) == "switched already"
    clock.wait(0.1)
    assert run(switch(table), regions) == "taken over"
    assert "until" not in table.items[-1]


def test_after_a_failback_the_next_failure_takes_over_again(clock: Clock) -> None:
    table, regions = Table(ARMED), Regions(clock, [*[FAILS] * 4, PASSES, FAILS])
    assert run(switch(table), regions) == "taken over"
    table.add(switched=False, reason="us-east-1 is fit")
    assert [run(switch(table), regions) for _ in range(2)] == ["the primary answers", "taken over"]
    assert [each["switched"]["BOOL"] for each in table.items] == [False, True, False, True]


@pytest.mark.parametrize("others", [{"switched": False, "reason": "failback"}, {"switched": True, "until": 3600}])
def test_whoever_has_changed_the_switch_meanwhile_has_decided(clock: Clock, others: dict[str, Any]) -> None:
    table = Table(ARMED)
    table.before_write = lambda: table.add(**others)
    assert run(switch(table), Regions(clock, [FAILS])) == "changed meanwhile"
    assert len(table.items) == 2
    assert table.items[-1]["by"]["S"] == "oncall"


def test_of_two_first_runs_one_arms(clock: Clock) -> None:
    table = Table()
    table.before_write = lambda: table.add(**ARMED)
    assert run(switch(table), Regions(clock, [PASSES])) == "changed meanwhile"


@pytest.mark.parametrize("call", ["query", "put_item"])
@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServerError"])
def test_a_table_that_refuses_is_a_fault(clock: Clock, call: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(ARMED)

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, call)

    monkeypatch.setattr(table, call, refuse)
    with pytest.raises(ClientError, match=code):
        run(switch(table), Regions(clock, [FAILS]))


# The alarm that Route 53 follows too, while the primary's probe passes.


def error_of(status: int, code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "DescribeAlarms")


@pytest.mark.parametrize("failed", [0, 3])
def test_an_alarm_that_fires_while_the_primary_answers_takes_over(clock: Clock, failed: int) -> None:
    table, regions, cloudwatch = Table(ARMED), Regions(clock, [*[FAILS] * failed, PASSES]), CloudWatch("ALARM")
    assert run(switch(table, cloudwatch), regions) == "taken over"
    assert [url for _, url in regions.probes] == [*[PRIMARY] * (failed + 1), STANDBY]
    newest = table.items[-1]
    assert (newest["switched"]["BOOL"], newest["by"]["S"], newest["reason"]["S"]) == (True, ARN, FIRES)
    assert "until" not in newest
    assert run(switch(table, cloudwatch), regions) == "switched already"
    assert cloudwatch.asked == 1


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_an_alarm_in_another_state_sets_nothing(clock: Clock, state: str) -> None:
    table, regions, cloudwatch = Table(ARMED), Regions(clock, [PASSES]), CloudWatch(state)
    assert run(switch(table, cloudwatch), regions) == "the primary answers"
    assert (len(table.items), len(regions.probes), cloudwatch.asked) == (1, 1, 1)


@pytest.mark.parametrize("own", [FAILS, GONE])
def test_an_alarm_that_fires_while_the_standby_fails_sets_nothing(clock: Clock, own: Found) -> None:
    table = Table(ARMED)
    assert run(switch(table, CloudWatch("ALARM")), Regions(clock, [PASSES], [own])) == "both regions fail"
    assert len(table.items) == 1


@pytest.mark.parametrize("own", [PASSES, FAILS])
def test_a_primary_that_fails_is_not_asked_for_its_alarm(clock: Clock, own: Found) -> None:
    cloudwatch = CloudWatch("ALARM")
    outcome = run(switch(Table(ARMED), cloudwatch), Regions(clock, [FAILS], [own]))
    assert outcome == ("taken over" if own is PASSES else "both regions fail")
    assert cloudwatch.asked == 0


@pytest.mark.parametrize(
    ("changes", "primary"), [([], FAILS), ([], PASSES), ([{"switched": True, "until": 60}], PASSES)]
)
def test_nobody_asks_for_the_alarm_before_the_table_is_armed_or_while_the_switch_is_set(
    clock: Clock, changes: list[dict[str, Any]], primary: Found
) -> None:
    cloudwatch = CloudWatch("ALARM")
    run(switch(Table(*changes), cloudwatch), Regions(clock, [primary]))
    assert cloudwatch.asked == 0


@pytest.mark.parametrize(
    "error",
    [
        error_of(500, "InternalServiceFault"),
        error_of(503, "ServiceUnavailable"),
        ConnectTimeoutError(endpoint_url="monitoring"),
        ReadTimeoutError(endpoint_url="monitoring"),
        EndpointConnectionError(endpoint_url="monitoring"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_region_that_does_not_show_its_alarm_is_logged_and_sets_nothing(
    clock: Clock, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    table, regions = Table(ARMED), Regions(clock, [PASSES])
    assert run(switch(table, CloudWatch(error)), regions) == "the primary answers"
    assert (len(table.items), len(regions.probes)) == (1, 1)
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"], line["alarm"]) == ("WARNING", "the alarm could not be read", ALARM_NAME)
    assert line["error"] == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    "error",
    [
        error_of(403, "AccessDenied"),
        error_of(400, "ValidationError"),
        NoCredentialsError(),
        ProxyConnectionError(proxy_url="http://proxy"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_alarm_that_may_not_be_seen_is_a_fault(clock: Clock, error: Exception) -> None:
    table = Table(ARMED)
    with pytest.raises(type(error)):
        run(switch(table, CloudWatch(error)), Regions(clock, [PASSES]))
    assert len(table.items) == 1


def test_an_alarm_that_is_not_there_is_a_fault(clock: Clock) -> None:
    with pytest.raises(TakeoverFault, match=f"there is no alarm {ALARM_NAME}"):
        run(switch(Table(ARMED), CloudWatch(None)), Regions(clock, [PASSES]))


# What runs and Route 53 make of an outage, together.
SLOWEST_DECISION = 60 + takeover.FAILING_SECONDS + takeover.CONNECT_SECONDS + takeover.RESPONSE_SECONDS


class World:
    """Runs once a minute, in an outage of the primary that begins at second 0."""

    def __init__(self, clock: Clock, *, outage: Sequence[tuple[float, float]], first_run: float, hangs: bool) -> None:
        self._clock, self.table, self._outage, self._hangs = clock, Table(ARMED), outage, hangs
        self.set_at: float | None = None
        for begin in (first_run + 60 * minute for minute in range(20)):
            clock.now = begin
            run(switch(self.table), self._probe)
            if self.set_at is None and self.table.is_set(clock.now):
                self.set_at = clock.now

    def fails(self, now: float) -> bool:
        return any(begin <= now < end for begin, end in self._outage)

    def _probe(self, url: str) -> Found:
        if url == STANDBY or not self.fails(self._clock.now):
            return PASSES
        self._clock.wait(6 if self._hangs else 0)
        return GONE if self._hangs else FAILS


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("first_run", [0.5, 15, 29.5, 45, 59.5])
def test_what_lasts_96_s_sets_the_switch_and_what_ends_within_30_s_does_not(
    clock: Clock, first_run: float, hangs: bool
) -> None:
    lasting = World(clock, outage=[(0, SLOWEST_DECISION)], first_run=first_run, hangs=hangs)
    assert lasting.set_at is not None
    assert lasting.set_at <= SLOWEST_DECISION == 96
    blip = World(clock, outage=[(0, takeover.FAILING_SECONDS)], first_run=first_run, hangs=hangs)
    assert blip.set_at is None


@pytest.mark.parametrize("first_run", [0.5, 15, 29.5, 45, 59.5])
def test_a_primary_that_flaps_and_answers_for_10_s_in_between_is_left_to_route_53(
    clock: Clock, first_run: float
) -> None:
    flaps = [(begin, begin + 25) for begin in range(0, 900, 36)]
    assert World(clock, outage=flaps, first_run=first_run, hangs=False).set_at is None


def test_a_primary_that_comes_and_goes_stays_switched_from_its_first_outage(clock: Clock) -> None:
    comes_and_goes = [(begin, begin + 120) for begin in range(0, 900, 240)]
    world = World(clock, outage=comes_and_goes, first_run=30, hangs=False)
    assert [each["switched"]["BOOL"] for each in world.table.items] == [False, True]
    assert world.table.is_set(1200)


def answering_with_the_primary(world: World, interval: int, threshold: int, seed: int, until: float) -> list[bool]:
    """Each second, whether Route 53 takes the primary's record for healthy."""
    rng = random.Random(seed)  # noqa: S311 - it has to be repeatable

    def answer(status: int) -> ProbeResult:
        return ProbeResult(connect_seconds=0, status=status)

    def of_primary(_: HealthCheck, now: float) -> ProbeResult:
        return answer(503 if world.fails(now) else 200)

    def of_switch(_: HealthCheck, now: float) -> ProbeResult:
        return answer(200 if world.set_at is not None and now >= world.set_at else 503)

    primary = HealthCheck(
        id="primary", host="east.acme.io", request_interval_seconds=interval, failure_threshold=threshold
    )
    fleets = [
        HealthCheckerFleet(check, of, random_first_requests(check, rng, start=-interval), found=found)
        for check, of, found in (
            (primary, of_primary, True),
            (replace(primary, id="switch", inverted=True), of_switch, False),
        )
    ]
    healthy = []
    for second in range(int(until)):
        for fleet in fleets:
            fleet.advance(second)
        healthy.append(all(fleet.healthy for fleet in fleets))
    return healthy


@pytest.mark.parametrize(("interval", "threshold"), [(30, 3), (10, 3), (10, 1), (30, 1), (30, 5)])
@pytest.mark.parametrize("first_run", [1, 20, 40, 59])
def test_route_53_keeps_clients_in_the_standby_after_the_outage(
    clock: Clock, interval: int, threshold: int, first_run: float
) -> None:
    for seed, longer in enumerate((0, 10, 30, 60, 120)):
        outage = SLOWEST_DECISION + interval + longer
        world = World(clock, outage=[(0, outage)], first_run=first_run, hangs=False)
        healthy = answering_with_the_primary(world, interval, threshold, seed, until=900)
        assert True not in healthy[healthy.index(False) :], (seed, outage, healthy.index(False))


# The handler, by the rules of DynamoDB's requests, and probes against real sockets.


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = boto3.client(
        "dynamodb", region_name="us-west-2", aws_access_key_id="test", aws_secret_access_key="test", config=CONFIG
    )
    monkeypatch.setattr(takeover, "_dynamodb", lambda: client)
    for name, value in {
        "SWITCH_TABLE_NAME": TABLE,
        "PRIMARY_REGION": "us-east-1",
        "PRIMARY_HEALTH_URL": PRIMARY,
        "OWN_HEALTH_URL": STANDBY,
    }.items():
        monkeypatch.setenv(name, value)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


QUERY = {
    "TableName": TABLE,
    "KeyConditionExpression": "#region = :region",
    "ExpressionAttributeNames": {"#region": "region"},
    "ExpressionAttributeValues": {":region": {"S": "us-east-1"}},
    "ScanIndexForward": False,
    "Limit": 1,
    "ConsistentRead": True,
}
CONTEXT = SimpleNamespace(invoked_function_arn=ARN)


def test_the_handler_asks_as_dynamodb_wants_to_be_asked(
    dynamodb: Stubber, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(takeover.run, "__defaults__", (Regions(clock, [FAILS]),))
    table = Table(ARMED)
    dynamodb.add_response("query", {"Items": table.items}, QUERY)
    dynamodb.add_response(
        "put_item",
        {},
        {
            "TableName": TABLE,
            "Item": {
                "region": {"S": "us-east-1"},
                "version": {"N": "2"},
                "switched": {"BOOL": True},
                "at": {"N": str((BEGIN + 30) * 1000)},
                "by": {"S": ARN},
                "reason": {"S": HOLDS},
            },
            "ConditionExpression": "attribute_not_exists(version)",
        },
    )
    assert handler({}, CONTEXT) == {"outcome": "taken over"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        *[("WARNING", "a probe of the primary failed")] * 4,
        ("WARNING", "run"),
    ]
    assert [(line["number"], line["found"]) for line in lines[:4]] == [(each, FAILS.reason) for each in (1, 2, 3, 4)]
    assert lines[4]["outcome"] == "taken over"
    assert "/health/" not in json.dumps(lines)  # the path may be one that nobody is to know


@pytest.mark.parametrize("error", [None, "AccessDeniedException"])
def test_the_handler_asks_for_the_alarm_in_the_primary_region(
    dynamodb: Stubber,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    error: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(takeover.run, "__defaults__", (Regions(clock, [PASSES]),))
    monkeypatch.setenv("PRIMARY_ALARM_NAME", ALARM_NAME)
    made: list[tuple[str, Any]] = []
    client = boto3.client("cloudwatch", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")

    def make(service: str, region_name: str, config: Any) -> Any:
        assert service == "cloudwatch"
        made.append((region_name, config))
        return client

    takeover._cloudwatch.cache_clear()
    monkeypatch.setattr(boto3, "client", make)
    dynamodb.add_response("query", {"Items": Table(ARMED).items}, QUERY)
    with Stubber(client) as cloudwatch:
        if error:
            cloudwatch.add_client_error("describe_alarms", error, http_status_code=403)
            with pytest.raises(TakeoverFault, match="the switch stays as it is: ClientError"):
                handler({}, CONTEXT)
        else:
            state = {"MetricAlarms": [{"AlarmName": ALARM_NAME, "StateValue": "OK"}]}
            cloudwatch.add_response("describe_alarms", state, {"AlarmNames": [ALARM_NAME]})
            assert handler({}, CONTEXT) == {"outcome": "the primary answers"}
            line = {"level": "INFO", "message": "run", "outcome": "the primary answers"}
            assert json.loads(capsys.readouterr().out) == line
        cloudwatch.assert_no_pending_responses()
    takeover._cloudwatch.cache_clear()
    assert made == [("us-east-1", ALARM_CONFIG)]


def test_a_lost_race_is_no_error(dynamodb: Stubber, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover.run, "__defaults__", (Regions(clock, [FAILS]),))
    dynamodb.add_response("query", {"Items": Table(ARMED).items}, QUERY)
    dynamodb.add_client_error("put_item", "ConditionalCheckFailedException", http_status_code=400)
    assert handler({}, CONTEXT) == {"outcome": "changed meanwhile"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ThrottlingException"])
def test_a_table_that_cannot_be_read_fails_the_run(
    dynamodb: Stubber, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb.add_client_error("query", code, http_status_code=400)
    with pytest.raises(TakeoverFault, match="the switch stays as it is"):
        handler({}, CONTEXT)
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"]) == ("ERROR", "inconclusive")
    assert code in line["error"]


@pytest.mark.parametrize("name", ["SWITCH_TABLE_NAME", "PRIMARY_REGION", "PRIMARY_HEALTH_URL", "OWN_HEALTH_URL"])
def test_a_missing_setting_is_a_fault(
    dynamodb: Stubber, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(TakeoverFault):
        handler({}, CONTEXT)
    assert f"environment variable {name} is not set" in capsys.readouterr().out


def test_a_run_that_hangs_ends_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-west-2")
    config = takeover._dynamodb.__wrapped__().meta.config
    a_call = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout) + 1  # backoff
    a_probe = takeover.CONNECT_SECONDS + takeover.RESPONSE_SECONDS
    alarm: Any = ALARM_CONFIG
    assert alarm.retries["total_max_attempts"] == 1
    a_look = alarm.connect_timeout + alarm.read_timeout
    assert (alarm.connect_timeout, alarm.read_timeout) == (1, 2)
    assert 2 * a_call + takeover.FAILING_SECONDS + 2 * a_probe + a_look == 55


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_in(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize(
    ("manner", "status"),
    [
        (replies("200 OK", "{}"), 200),
        (replies("302 Found", ""), 302),
        (replies("503 Service Unavailable", "{}"), 503),
        (replies("429 Too Many Requests", "{}"), 429),
    ],
)
def test_a_probe_sees_the_status_behind_any_certificate(certificate: Path, manner: Manner, status: int) -> None:
    with Server(over_tls(certificate, manner)) as server:
        found = probe(server.url.replace("http:", "https:") + "/health")
    assert found == Found(status, f"HTTP status {status}")
    assert found.passes is (status in (200, 302))


def test_a_probe_asks_as_a_checker_does_for_the_path_and_once(certificate: Path) -> None:
    seen: list[bytes] = []

    def answer(server: Server, connection: socket.socket) -> None:
        seen.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with Server(over_tls(certificate, answer)) as server:
        assert probe(server.url.replace("http:", "https:") + "/health/x").passes
    (request,) = seen
    assert request.startswith(b"GET /health/x HTTP/1.1\r\n")
    assert b"\r\nConnection: close\r\n" in request


@pytest.mark.parametrize(
    "manner",
    [closes, resets, dribbles(b"", b"no HTTP at all\r\n\r\n"), is_silent, dribbles(b"H", b"TTP/1.1 200 OK\r\n\r\n")],
    ids=["closes", "resets", "speaks no HTTP", "hangs", "answers in drops"],
)
def test_a_probe_that_gets_no_answer_ends_in_time(
    certificate: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(takeover, "RESPONSE_SECONDS", 1)
    with Server(over_tls(certificate, manner)) as server:
        assert probe(server.url.replace("http:", "https:") + "/health").status is None


def test_an_answer_that_comes_after_the_two_seconds_of_a_checker_is_none(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(server: Server, connection: socket.socket) -> None:
        server.stopped.wait(1)
        replies("200 OK", "{}")(server, connection)

    monkeypatch.setattr(takeover, "RESPONSE_SECONDS", 0.2)  # of a connection that may take 4 s
    with Server(over_tls(certificate, late)) as server:
        assert probe(server.url.replace("http:", "https:") + "/health").status is None


def test_a_handshake_that_hangs_and_a_port_without_anybody_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "CONNECT_SECONDS", 0.2)
    with Server(is_silent) as server:
        url = server.url.replace("http:", "https:") + "/health"
        assert probe(url).reason.startswith("TimeoutError")  # of the socket, so that its thread ends too
    assert probe(url).reason.startswith("ConnectionRefusedError")


def test_a_name_resolution_that_hangs_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hangs(*_: Any, **__: Any) -> Any:
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    monkeypatch.setattr(takeover, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(takeover, "RESPONSE_SECONDS", 0.1)
    try:
        assert probe(PRIMARY) == Found(None, "no answer within 0.2 s")
    finally:
        released.set()


def test_a_probe_that_cannot_be_made_is_no_finding() -> None:
    with pytest.raises(http_client.InvalidURL, match="nonnumeric port"):
        probe("https://east.acme.io:none/health")
