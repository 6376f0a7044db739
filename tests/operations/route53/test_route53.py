"""Route 53's rules, against the worked examples in AWS's documentation, and a zone read from the embedded AWS."""

import collections
import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_aws import EmbeddedAws
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import (
    FollowedAlarm,
    HealthCheckerFleet,
    Observation,
    ProbeResult,
    judge,
    most_healthy_of_an_unhealthy_check,
    random_first_requests,
)
from payment_dr.operations.route53.resolvers import CachingResolver, name_server
from payment_dr.operations.route53.zone import (
    _UNMODELLED_ROUTING,
    CHECKER_REGIONS,
    AlarmCheck,
    AlarmState,
    CalculatedCheck,
    HealthCheck,
    Record,
    Zone,
)
from tests.embedded_aws.tenant import Tenant

CHECK = HealthCheck(id="check", host="api.pay.acme.io")
PASS = ProbeResult(connect_seconds=0, status=200)
FAIL = ProbeResult(connect_seconds=0, status=503)


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same in every run


def records(*weights_and_checks: tuple[int, str | None], ttl: int = 30) -> Zone:
    """A zone in which app.acme.io has these weighted records, numbered from 0."""
    return Zone(
        "Z1",
        tuple(
            Record(
                name="app.acme.io",
                type="A",
                ttl_seconds=ttl,
                values=(f"192.0.2.{number}",),
                routing="weighted",
                set_identifier=str(number),
                weight=weight,
                health_check_id=check,
            )
            for number, (weight, check) in enumerate(weights_and_checks)
        ),
        {},
    )


def shares(zone: Zone, healthy: Mapping[str, bool], queries: int = 10_000) -> dict[str | None, float]:
    """Share of the answers by record."""
    rng = dice(7)
    counts = collections.Counter(zone.answer("app.acme.io", "A", healthy, rng).set_identifier for _ in range(queries))
    return {record: count / queries for record, count in counts.items()}


def one_checker(results: list[ProbeResult], check: HealthCheck = CHECK) -> list[bool]:
    """The status of the check after each of these probes of its only checker."""
    each = iter(results)
    fleet = HealthCheckerFleet(check, lambda *_: next(each), [0])
    to = check.request_interval_seconds * (len(results) - 1)
    return [observation.healthy for observation in fleet.advance(to)]


class TestOneProbe:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html."""

    @pytest.mark.parametrize("status", [200, 204, 301, 399])
    def test_a_status_of_2xx_or_3xx_is_healthy(self, status: int) -> None:
        verdict = judge(CHECK, ProbeResult(connect_seconds=0.1, response_seconds=0.3, status=status))
        assert (verdict.passed, verdict.seconds, verdict.reason) == (True, 0.4, f"HTTP status {status}")

    @pytest.mark.parametrize("status", [100, 199, 400, 403, 429, 500, 503])
    def test_any_other_status_is_not(self, status: int) -> None:
        assert not judge(CHECK, ProbeResult(connect_seconds=0.1, response_seconds=0.3, status=status)).passed

    @pytest.mark.parametrize(
        ("connect", "response", "passed", "seconds"),
        [(4, 2, True, 6), (4.01, 0, False, 4), (math.inf, 0, False, 4), (1, 2.01, False, 3), (4, math.inf, False, 6)],
    )
    def test_http_has_four_seconds_to_connect_and_two_more_to_answer(
        self, connect: float, response: float, passed: bool, seconds: float
    ) -> None:
        verdict = judge(CHECK, ProbeResult(connect_seconds=connect, response_seconds=response, status=200))
        assert (verdict.passed, verdict.seconds) == (passed, seconds)

    @pytest.mark.parametrize(("connect", "passed", "seconds"), [(10, True, 10), (10.01, False, 10)])
    def test_tcp_has_ten_seconds_to_connect_and_needs_no_answer(
        self, connect: float, passed: bool, seconds: float
    ) -> None:
        verdict = judge(HealthCheck(id="tcp", host="x", type="TCP"), ProbeResult(connect_seconds=connect))
        assert (verdict.passed, verdict.seconds) == (passed, seconds)

    @pytest.mark.parametrize("type_", ["HTTPS", "TCP"])
    def test_a_refused_connection_fails_at_once_with_its_reason(self, type_: str) -> None:
        check = HealthCheck(id="c", host="x", type=type_)
        verdict = judge(check, ProbeResult(connect_seconds=0.2, error="connection refused"))
        assert (verdict.passed, verdict.seconds, verdict.reason) == (False, 0.2, "connection refused")


class TestManyCheckers:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html."""

    @staticmethod
    def settled(checkers: int, passing: int) -> Observation:
        """What is found when so many of the checkers get an answer, and the others never."""

        def probe(_check: HealthCheck, time: float) -> ProbeResult:
            checker = round(time % 30 * checkers / 30) % checkers
            return PASS if checker < passing else FAIL

        fleet = HealthCheckerFleet(CHECK, probe, [number * 30 / checkers for number in range(checkers)])
        return fleet.advance(to=300)[-1]

    @pytest.mark.parametrize(
        ("checkers", "passing", "healthy"),
        [
            (100, 19, True),  # "If more than 18% of health checkers report that an endpoint is healthy ... healthy"
            (100, 18, False),  # "If 18% of health checkers or fewer report that an endpoint is healthy ... unhealthy"
            (50, 9, False),
            (16, 3, True),
            (16, 2, False),
            (1, 0, False),
        ],
    )
    def test_more_than_18_percent_of_them_make_a_check_healthy(
        self, checkers: int, passing: int, healthy: bool
    ) -> None:
        found = self.settled(checkers, passing)
        assert (found.healthy_checkers, found.healthy) == (passing, healthy)

    @given(checkers=st.integers(1, 1000))
    def test_the_most_that_an_unhealthy_check_has_is_the_last_within_18_percent(self, checkers: int) -> None:
        most = most_healthy_of_an_unhealthy_check(checkers)
        assert most / checkers <= 0.18 < (most + 1) / checkers

    def test_there_are_two_in_each_of_the_eight_regions_unless_the_check_names_others(self) -> None:
        def seen(check: HealthCheck) -> collections.Counter[str]:
            requests = random_first_requests(check, dice(1))
            return collections.Counter(
                o.region for o in HealthCheckerFleet(check, lambda *_: PASS, requests).advance(30)
            )

        assert seen(CHECK) == dict.fromkeys(CHECKER_REGIONS, 2)
        three = ("us-east-1", "us-west-2", "eu-west-1")
        assert seen(HealthCheck(id="c", host="x", regions=three)) == dict.fromkeys(three, 2)

    @pytest.mark.parametrize(("interval", "least", "most"), [(30, 1.8, 2.2), (10, 0, 1)])
    def test_their_requests_come_about_every_two_seconds_or_more_than_one_a_second(
        self, interval: int, least: float, most: float
    ) -> None:
        # "If you choose an interval of 30 seconds, ... about every two seconds. If you choose an interval of 10
        # seconds, the endpoint will receive a request more than once per second."
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
        check = HealthCheck(id="c", host="x", request_interval_seconds=interval)
        times: list[float] = []

        def probe(_check: HealthCheck, time: float) -> ProbeResult:
            times.append(time)
            return ProbeResult(connect_seconds=0.1, response_seconds=0.1, status=200)

        HealthCheckerFleet(check, probe, random_first_requests(check, dice(3))).advance(to=3000)
        assert times == sorted(times)
        assert least < 3000 / len(times) < most
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert min(gaps) < 0.3 * interval / 16 < 2 * interval / 16 < max(gaps)  # "don't coordinate with one another"

    def test_an_interval_starts_when_the_answer_has_come(self) -> None:
        # "The number of seconds between the time that each Route 53 health checker gets a response from your endpoint
        # and the time that it sends the next health check request."
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
        times: list[float] = []

        def hanging(_check: HealthCheck, time: float) -> ProbeResult:
            times.append(time)
            return ProbeResult(connect_seconds=4, response_seconds=math.inf)

        fleet = HealthCheckerFleet(CHECK, hanging, [0])
        assert [observation.time for observation in fleet.advance(to=100)] == [6, 42, 78]
        assert times == [0, 36, 72]
        assert fleet.now == 100

    def test_time_may_pass_in_steps_of_any_size(self) -> None:
        def fleet() -> HealthCheckerFleet:
            def probe(_check: HealthCheck, time: float) -> ProbeResult:
                return FAIL if 100 < time < 300 else PASS

            return HealthCheckerFleet(CHECK, probe, random_first_requests(CHECK, dice(5)))

        at_once, stepwise = fleet(), fleet()
        steps = [observation for to in range(601) for observation in stepwise.advance(to)]
        assert steps == at_once.advance(600)
        assert {observation.healthy for observation in steps} == {True, False}


class TestThreshold:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html (Failure threshold).

    "The number of consecutive health checks that an endpoint must pass or fail for Route 53 to change the current
    status of the endpoint from unhealthy to healthy or vice versa."
    """

    @pytest.mark.parametrize("threshold", [1, 3, 10])
    def test_so_many_failures_in_a_row_make_a_checker_unhealthy_and_successes_healthy(self, threshold: int) -> None:
        check = HealthCheck(id="c", host="x", failure_threshold=threshold)
        found = one_checker([FAIL] * threshold + [PASS] * threshold, check)
        assert found == [True] * (threshold - 1) + [False] * threshold + [True]

    def test_a_success_in_between_restarts_the_count(self) -> None:
        assert one_checker([FAIL, FAIL, PASS, FAIL, FAIL, PASS]) == [True] * 6

    def test_a_failure_in_between_restarts_the_recovery(self) -> None:
        found = one_checker([FAIL, FAIL, FAIL, PASS, PASS, FAIL, PASS, PASS, PASS])
        assert found == [True, True, False, False, False, False, False, False, True]


class TestStatus:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled, Inverted)."""

    @pytest.mark.parametrize("inverted", [False, True])
    def test_a_new_check_is_healthy_until_there_is_data_and_unhealthy_if_inverted(self, inverted: bool) -> None:
        fleet = HealthCheckerFleet(HealthCheck(id="c", host="x", inverted=inverted), lambda *_: FAIL, [0, 10, 20])
        fleet.advance(to=59)
        assert fleet.healthy is not inverted
        fleet.advance(to=80)
        assert fleet.healthy is inverted

    @pytest.mark.parametrize(("inverted", "healthy"), [(False, True), (True, False)])
    def test_a_disabled_check_asks_nothing_and_is_healthy_unless_inverted(self, inverted: bool, healthy: bool) -> None:
        def probe(_check: HealthCheck, _time: float) -> ProbeResult:
            raise AssertionError("a disabled check sends no requests")

        check = HealthCheck(id="c", host="x", disabled=True, inverted=inverted)
        fleet = HealthCheckerFleet(check, probe, [0, 1, 2])
        assert fleet.advance(to=1000) == []
        assert fleet.healthy is healthy

    @pytest.mark.parametrize(
        ("threshold", "healthy"), [(0, True), (1, True), (2, True), (3, False), (4, False), (256, False)]
    )
    def test_a_calculated_check_counts_its_healthy_children(self, threshold: int, healthy: bool) -> None:
        """0 is always healthy and more than there are is always unhealthy (HealthThreshold)."""
        zone = calculated(threshold, "a", "b", "c")
        assert zone.status("parent", {"a": True, "b": True, "c": False}) is healthy
        assert zone.status("parent", dict.fromkeys("abc", False)) is (threshold == 0)
        assert zone.status("parent", dict.fromkeys("abc", True)) is (threshold <= 3)

    def test_a_disabled_child_counts_as_healthy_and_an_inverted_one_as_the_opposite(self) -> None:
        zone = calculated(2, "a", "b")
        checks = {"a": HealthCheck(id="a", host="a", disabled=True), "b": HealthCheck(id="b", host="b", inverted=True)}
        zone = Zone("Z1", (), {**zone.health_checks, **checks})
        known = {id_: HealthCheckerFleet(check, lambda *_: PASS, [0]).healthy for id_, check in checks.items()}
        assert known == {"a": True, "b": False}
        assert not zone.status("parent", known)
        assert zone.status("parent", {**known, "b": True})

    @pytest.mark.parametrize(
        ("inverted", "disabled", "healthy"), [(True, False, True), (False, True, True), (True, True, False)]
    )
    def test_a_calculated_check_is_inverted_and_disabled_as_any(
        self, inverted: bool, disabled: bool, healthy: bool
    ) -> None:
        zone = calculated(1, "a", inverted=inverted, disabled=disabled)
        assert [check.id for check in zone.followed("parent")] == ([] if disabled else ["a"])
        assert zone.status("parent", {"a": False}) is healthy

    def test_a_calculated_check_of_a_calculated_one_is_rejected_as_in_route_53(self) -> None:
        zone = calculated(1, "a")
        grandparent = CalculatedCheck(id="grandparent", children=("parent",), threshold=1)
        zone = Zone("Z1", (), {**zone.health_checks, "grandparent": grandparent})
        with pytest.raises(OperationError, match="the health check grandparent monitors parent, which is a calculated"):
            zone.status("grandparent", {"a": True})

    @pytest.mark.parametrize(
        ("without_data", "found"),
        [
            ("Healthy", [True, False, True, True, True, False, True]),
            ("Unhealthy", [False, False, False, False, True, False, True]),
            ("LastKnownStatus", [True, False, False, False, True, False, True]),
        ],
    )
    def test_a_check_of_an_alarm_follows_its_data(self, without_data: Any, found: list[bool]) -> None:
        """https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html."""
        states: list[AlarmState] = [
            *("INSUFFICIENT_DATA", "ALARM", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "OK", "ALARM", "OK"),
        ]
        check = AlarmCheck(id="c", region="us-west-2", alarm="canary", without_data=without_data)
        for inverted in (False, True):
            followed = FollowedAlarm(replace(check, inverted=inverted))
            assert followed.healthy is not inverted  # as of a new one
            assert [followed.see(state) is not inverted for state in states] == found
        assert FollowedAlarm(replace(check, disabled=True)).see("ALARM")

    def test_a_parent_follows_its_children_at_the_same_time(self) -> None:
        zone = calculated(2, "api", "alarm")
        fleet = HealthCheckerFleet(HealthCheck(id="api", host="x", failure_threshold=1), lambda *_: FAIL, [0, 10, 20])
        found = []
        for time in (5, 25):
            fleet.advance(time)
            found.append(zone.status("parent", {"api": fleet.healthy, "alarm": True}))
        assert found == [True, False]


def calculated(threshold: int, *children: str, **fields: bool) -> Zone:
    """A zone with a calculated check, ``parent``, of these children."""
    parent = CalculatedCheck(id="parent", children=children, threshold=threshold, **fields)
    return Zone("Z1", (), {**{id_: HealthCheck(id=id_, host=id_) for id_ in children}, "parent": parent})


class TestStringMatching:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html."""

    @pytest.mark.parametrize(
        ("body", "passed"),
        [
            (b'{"status": "healthy"}', True),
            (b'{"status": "Healthy"}', False),
            (b"", False),
            (b" " * (5120 - 7) + b"healthy", True),
            (b" " * (5120 - 6) + b"healthy", False),
        ],
    )
    def test_the_string_must_be_within_the_first_5120_bytes_and_its_case_counts(
        self, body: bytes, passed: bool
    ) -> None:
        for type_ in ("HTTP_STR_MATCH", "HTTPS_STR_MATCH"):
            check = HealthCheck(id="c", host="x", type=type_, search_string="healthy")
            assert judge(check, ProbeResult(connect_seconds=0, status=200, body=body)).passed is passed
        assert judge(CHECK, ProbeResult(connect_seconds=0, status=200, body=body)).passed

    def test_the_string_helps_no_status_beyond_2xx_and_3xx(self) -> None:
        check = HealthCheck(id="c", host="x", type="HTTPS_STR_MATCH", search_string="healthy")
        verdict = judge(check, ProbeResult(connect_seconds=0, status=503, body=b"unhealthy"))
        assert (verdict.passed, verdict.reason) == (False, "HTTP status 503")

    @pytest.mark.parametrize(
        ("body_seconds", "passed", "seconds"), [(2, True, 3.5), (2.1, False, 3.5), (math.inf, False, 3.5)]
    )
    def test_the_body_must_come_within_two_seconds_of_the_status(
        self, body_seconds: float, passed: bool, seconds: float
    ) -> None:
        check = HealthCheck(id="c", host="x", type="HTTPS_STR_MATCH", search_string="healthy")
        result = ProbeResult(
            connect_seconds=0.5, response_seconds=1, status=200, body=b"healthy", body_seconds=body_seconds
        )
        verdict = judge(check, result)
        assert (verdict.passed, verdict.seconds) == (passed, seconds)
        assert judge(CHECK, result).seconds == 1.5


class TestChoice:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html."""

    def test_one_of_three_weighted_records_that_is_unhealthy_leaves_the_other_two(self) -> None:
        # "suppose you create three weighted A records, and you assign health checks to all three ..."
        found = shares(records((10, "a"), (10, "b"), (10, "c")), {"a": True, "b": False, "c": True})
        assert found == {"0": pytest.approx(0.5, abs=0.02), "2": pytest.approx(0.5, abs=0.02)}

    @pytest.mark.parametrize(
        ("primary", "secondary", "answered"),
        [(True, True, "0"), (True, False, "0"), (False, True, "1"), (False, False, "0")],
    )
    def test_weight_zero_answers_only_while_the_primary_alone_is_unhealthy(
        self, primary: bool, secondary: bool, answered: str
    ) -> None:
        zone = records((100, "primary"), (0, "secondary"))
        assert shares(zone, {"primary": primary, "secondary": secondary}, 100) == {answered: 1}

    def test_weight_zero_waits_until_all_records_with_a_weight_are_unhealthy(self) -> None:
        zone = records((1, "a"), (255, "b"), (0, "c"))
        assert shares(zone, {"a": True, "b": False, "c": True}, 100) == {"0": 1}
        assert shares(zone, {"a": False, "b": False, "c": True}, 100) == {"2": 1}

    def test_a_record_without_a_health_check_is_always_healthy(self) -> None:
        # A primary without one never gives way; a secondary without one is taken even if it is down.
        assert shares(records((100, None), (0, "secondary")), {"secondary": True}, 100) == {"0": 1}
        assert shares(records((100, "primary"), (0, None)), {"primary": False}, 100) == {"1": 1}

    def test_none_healthy_is_all_healthy_and_decided_by_weight(self) -> None:
        found = shares(records((25, "a"), (75, "b"), (0, "c")), {"a": False, "b": False, "c": False})
        assert found == {"0": pytest.approx(0.25, abs=0.02), "1": pytest.approx(0.75, abs=0.02)}

    def test_all_weights_zero_are_equally_probable(self) -> None:
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html
        third = pytest.approx(1 / 3, abs=0.02)
        assert shares(records((0, None), (0, None), (0, None)), {}) == {"0": third, "1": third, "2": third}

    def test_weights_1_and_255_are_a_256th_and_the_rest(self) -> None:
        # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html
        found = shares(records((1, None), (255, None)), {}, queries=100_000)
        assert found == {"0": pytest.approx(1 / 256, abs=0.001), "1": pytest.approx(255 / 256, abs=0.001)}

    def test_weights_0_20_50_70_are_shared_as_the_knowledge_center_says(self) -> None:
        # https://repost.aws/knowledge-center/route-53-fix-dns-weighted-routing-issue
        zone = records((0, "a"), (20, "b"), (50, "c"), (70, "d"))
        all_healthy = dict.fromkeys("abcd", True)
        expected = {"1": 20 / 140, "2": 50 / 140, "3": 70 / 140}
        assert shares(zone, all_healthy) == {name: pytest.approx(share, abs=0.02) for name, share in expected.items()}
        assert shares(zone, {**dict.fromkeys("bcd", False), "a": True}, 100) == {"0": 1}

    @pytest.mark.parametrize("name", ["app.acme.io.", "APP.acme.io"])
    def test_a_name_is_the_same_with_a_final_dot_and_in_capitals(self, name: str) -> None:
        assert records((1, None)).answer(name, "A", {}, dice(1)).values == ("192.0.2.0",)

    def test_a_name_that_does_not_exist_is_an_error(self) -> None:
        with pytest.raises(OperationError, match=r"no CNAME record app\.acme\.io"):
            records((1, None)).answer("app.acme.io", "CNAME", {}, dice(1))


class TestCaches:
    """https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html (TTL)."""

    zone = records((100, "primary"), (0, "secondary"))

    def test_a_resolver_keeps_an_answer_for_the_ttl_and_then_asks_again(self) -> None:
        healthy = {"primary": True, "secondary": True}
        resolver = CachingResolver(name_server(self.zone, lambda: healthy, dice(1)))
        assert resolver.ask("app.acme.io", "A", 5).record.set_identifier == "0"
        healthy["primary"] = False
        assert resolver.ask("app.acme.io.", "A", 34.9).record.set_identifier == "0"
        assert resolver.ask("app.acme.io", "A", 35).record.set_identifier == "1"

    def test_a_client_behind_a_resolver_keeps_an_answer_for_what_is_left_of_the_ttl(self) -> None:
        healthy = {"primary": True, "secondary": True}
        resolver = CachingResolver(name_server(self.zone, lambda: healthy, dice(1)))
        client = CachingResolver(resolver.ask)
        resolver.ask("app.acme.io", "A", 5)
        assert client.ask("app.acme.io", "A", 30).record.set_identifier == "0"
        healthy["primary"] = False
        assert client.ask("app.acme.io", "A", 34.9).record.set_identifier == "0"
        assert client.ask("app.acme.io", "A", 35).record.set_identifier == "1"

    @settings(deadline=None)
    @given(
        asked=st.lists(st.tuples(st.floats(0, 300), st.booleans()), max_size=40),
        switch=st.floats(0, 200),
        ttl=st.integers(0, 60),
    )
    def test_a_client_behind_a_resolver_never_sees_an_answer_older_than_the_ttl(
        self, asked: list[tuple[float, bool]], switch: float, ttl: int
    ) -> None:
        now = 0.0
        zone = records((100, "primary"), (0, "secondary"), ttl=ttl)
        server = name_server(zone, lambda: {"primary": now < switch, "secondary": True}, dice(1))
        resolver = CachingResolver(server)
        client = CachingResolver(resolver.ask)
        for now, other_client in sorted(asked):
            found = (resolver if other_client else client).ask("app.acme.io", "A", now)
            if now >= switch + ttl:
                assert found.record.set_identifier == "1"
            if now < switch:
                assert found.record.set_identifier == "0"


def read_from(*answers: tuple[str, Mapping[str, Any] | str]) -> Zone:
    """Read a zone from an API that gives these answers, an error code among them."""
    client: Any = boto3.client("route53", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        for operation, answer in answers:
            if isinstance(answer, str):
                stub.add_client_error(operation, answer)
            else:
                stub.add_response(operation, dict(answer))
        zone = Zone.read(client, "Z1")
        stub.assert_no_pending_responses()
    return zone


def page(*record_sets: Mapping[str, Any], following: Mapping[str, str] | None = None) -> tuple[str, Mapping[str, Any]]:
    body = {"ResourceRecordSets": list(record_sets), "IsTruncated": bool(following), "MaxItems": "300"}
    return "list_resource_record_sets", {**body, **(following or {})}


def weighted(identifier: str, weight: int, check: str) -> dict[str, Any]:
    return {
        "Name": "app.acme.io.",
        "Type": "CNAME",
        "TTL": 30,
        "SetIdentifier": identifier,
        "Weight": weight,
        "HealthCheckId": check,
        "ResourceRecords": [{"Value": f"{identifier}.acme.io"}],
    }


def health_check(id_: str, **config: Any) -> tuple[str, Mapping[str, Any]]:
    config = {"Type": "HTTPS", "FullyQualifiedDomainName": f"{id_}.acme.io", **config}
    config = {name: value for name, value in config.items() if value is not None}
    check = {"Id": id_, "CallerReference": id_, "HealthCheckVersion": 1, "HealthCheckConfig": config}
    return "get_health_check", {"HealthCheck": check}


ROUTE_53: Any = boto3.client("route53", region_name="us-east-1").meta.service_model


class TestReading:
    def test_checkers_are_in_every_region_that_the_api_names(self) -> None:
        assert sorted(CHECKER_REGIONS) == sorted(ROUTE_53.shape_for("HealthCheckRegion").enum)

    @pytest.mark.parametrize("type_", ROUTE_53.shape_for("HealthCheckType").enum)
    def test_each_type_of_check_is_read_and_that_of_a_routing_control_has_no_status(self, type_: str) -> None:
        alarm = {"AlarmIdentifier": {"Name": "canary", "Region": "us-west-2"}} if type_ == "CLOUDWATCH_METRIC" else {}
        zone = read_from(page(weighted("a", 100, "one")), health_check("one", Type=type_, **alarm))
        found = zone.health_checks["one"]
        if type_ == "CALCULATED":
            assert found == CalculatedCheck(id="one", children=(), threshold=0)
        elif type_ == "CLOUDWATCH_METRIC":
            assert found == AlarmCheck(id="one", region="us-west-2", alarm="canary", without_data="LastKnownStatus")
        elif type_ == "RECOVERY_CONTROL":
            with pytest.raises(OperationError, match=r"the health check one is of type RECOVERY_CONTROL"):
                zone.status("one", {})
        else:
            assert isinstance(found, HealthCheck)
            assert (found.type, found.port) == (type_, 80 if type_.startswith("HTTP") and "S" not in type_[:5] else 443)

    def test_the_copy_of_an_alarm_says_how_long_it_takes(self) -> None:
        alarm = {"AlarmIdentifier": {"Name": "canary", "Region": "us-west-2"}, "FullyQualifiedDomainName": None}
        call, answer = health_check("one", Type="CLOUDWATCH_METRIC", **alarm)
        copied = {
            "EvaluationPeriods": 2,
            "Threshold": 0.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "Period": 120,
            "MetricName": "Failures",
            "Namespace": "Shop",
            "Statistic": "Minimum",
        }
        described = {"HealthCheck": {**answer["HealthCheck"], "CloudWatchAlarmConfiguration": copied}}
        check = read_from(page(weighted("a", 100, "one")), (call, described)).health_checks["one"]
        assert isinstance(check, AlarmCheck)
        assert (check.period_seconds, check.periods) == (120, 2)

    def test_each_field_of_a_check_is_read_or_changes_no_status(self) -> None:
        read = {
            *("IPAddress", "Port", "Type", "ResourcePath", "FullyQualifiedDomainName", "SearchString", "EnableSNI"),
            *("RequestInterval", "FailureThreshold", "Inverted", "Disabled", "HealthThreshold", "ChildHealthChecks"),
            *("Regions", "AlarmIdentifier", "InsufficientDataHealthStatus"),
        }
        # The graph of latencies, and what is refused.
        assert set(ROUTE_53.shape_for("HealthCheckConfig").members) - read == {"MeasureLatency", "RoutingControlArn"}

    def test_children_are_read_once_each_and_one_that_is_gone_leaves_the_parent_without_a_status(self) -> None:
        of = {"FullyQualifiedDomainName": None}
        parent = {"Type": "CALCULATED", "ChildHealthChecks": ["api", "alarm"], "HealthThreshold": 2}
        alarm = {
            "AlarmIdentifier": {"Name": "canary", "Region": "us-west-2"},
            "InsufficientDataHealthStatus": "Healthy",
        }
        answers = [
            page(weighted("a", 100, "one"), weighted("b", 0, "two")),
            health_check("one", **parent, **of),
            health_check("two", **parent, Inverted=True, **of),
            health_check("api"),
            health_check("alarm", Type="CLOUDWATCH_METRIC", **alarm, **of),
        ]
        zone = read_from(*answers)
        assert zone.health_checks["two"] == CalculatedCheck(
            id="two", children=("api", "alarm"), threshold=2, inverted=True
        )
        assert [check.id for check in zone.followed("one")] == ["api", "alarm"]
        zone = read_from(*answers[:3], ("get_health_check", "NoSuchHealthCheck"), answers[4])
        with pytest.raises(OperationError, match="the health check api does not exist"):
            zone.status("one", {"alarm": True})

    @pytest.mark.parametrize(
        ("config", "connects_to", "server_name", "host_header"),
        [
            ({}, "one.acme.io", "one.acme.io", "one.acme.io"),
            ({"EnableSNI": False}, "one.acme.io", None, "one.acme.io"),
            ({"Port": 8443}, "one.acme.io", "one.acme.io", "one.acme.io:8443"),
            ({"Type": "HTTP"}, "one.acme.io", None, "one.acme.io"),
            ({"Type": "HTTP", "Port": 443}, "one.acme.io", None, "one.acme.io:443"),
            ({"IPAddress": "192.0.2.1"}, "192.0.2.1", "one.acme.io", "one.acme.io"),
            ({"IPAddress": "192.0.2.1", "FullyQualifiedDomainName": None}, "192.0.2.1", None, "192.0.2.1"),
        ],
    )
    def test_a_request_is_built_from_host_address_port_and_sni(
        self, config: dict[str, Any], connects_to: str, server_name: str | None, host_header: str
    ) -> None:
        """https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html."""
        check = read_from(page(weighted("a", 100, "one")), health_check("one", **config)).health_checks["one"]
        assert isinstance(check, HealthCheck)
        assert (check.address or check.host, check.server_name, check.host_header) == (
            connects_to,
            server_name,
            host_header,
        )

    def test_a_path_gets_its_leading_slash(self) -> None:
        zone = read_from(page(weighted("a", 100, "one")), health_check("one", ResourcePath="health?deep=1"))
        check = zone.health_checks["one"]
        assert isinstance(check, HealthCheck)
        assert check.path == "/health?deep=1"

    def test_each_field_of_a_record_is_known_or_names_an_unsupported_policy(self) -> None:
        known = {"Name", "Type", "TTL", "ResourceRecords", "AliasTarget", "HealthCheckId", "SetIdentifier", "Weight"}
        # Which only says what has made the record.
        known.add("TrafficPolicyInstanceId")
        assert set(ROUTE_53.shape_for("ResourceRecordSet").members) - known == set(_UNMODELLED_ROUTING)

    def test_every_page_is_read_and_what_a_check_leaves_out_is_aws_s_default(self) -> None:
        following = {"NextRecordName": "app.acme.io.", "NextRecordType": "CNAME", "NextRecordIdentifier": "b"}
        zone = read_from(
            page(weighted("a", 100, "one"), following=following),
            page(weighted("b", 0, "two")),
            health_check("one"),
            health_check(
                "two",
                Type="HTTP",
                Port=8080,
                ResourcePath="/health",
                RequestInterval=10,
                FailureThreshold=5,
                Inverted=True,
                Disabled=True,
                Regions=["us-east-1", "us-west-2", "eu-west-1"],
            ),
        )
        assert [(record.set_identifier, record.weight, record.health_check_id) for record in zone.records] == [
            ("a", 100, "one"),
            ("b", 0, "two"),
        ]
        # https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
        assert zone.health_checks["one"] == HealthCheck(
            id="one", host="one.acme.io", port=443, path="/", request_interval_seconds=30, failure_threshold=3
        )
        assert zone.health_checks["two"] == HealthCheck(
            id="two",
            host="two.acme.io",
            port=8080,
            path="/health",
            type="HTTP",
            sni=False,
            request_interval_seconds=10,
            failure_threshold=5,
            inverted=True,
            disabled=True,
            regions=("us-east-1", "us-west-2", "eu-west-1"),
        )

    @pytest.mark.parametrize(
        ("answers", "said"),
        [
            ([("list_resource_record_sets", "NoSuchHostedZone")], "hosted zone Z1 does not exist"),
            (
                [page(weighted("a", 100, "gone")), ("get_health_check", "NoSuchHealthCheck")],
                "check gone does not exist",
            ),
        ],
    )
    def test_a_zone_that_cannot_be_modelled_is_an_error(self, answers: list[Any], said: str) -> None:
        with pytest.raises(OperationError, match=said):
            read_from(*answers).status("gone", {})

    def test_an_alias_of_api_gateway_points_there_for_60_seconds(self) -> None:
        target = {
            "HostedZoneId": "Z2",
            "DNSName": "D-1.execute-api.us-east-1.amazonaws.com.",
            "EvaluateTargetHealth": True,
        }
        fields = {"SetIdentifier": "a", "Weight": 100, "AliasTarget": target}
        zone = read_from(page({"Name": "app.acme.io.", "Type": "A", **fields}))
        record = zone.answer("app.acme.io", "A", {}, dice(1))
        assert (record.values, record.ttl_seconds) == (("d-1.execute-api.us-east-1.amazonaws.com",), 60)

    @pytest.mark.parametrize(
        ("fields", "policy"),
        [
            ({"Failover": "PRIMARY", "SetIdentifier": "a", "TTL": 30}, "Failover"),
            ({"AliasTarget": {"HostedZoneId": "Z2", "DNSName": "x.io", "EvaluateTargetHealth": True}}, "AliasTarget"),
        ],
    )
    def test_a_name_with_another_routing_policy_is_an_error_when_it_is_asked_for(
        self, fields: dict[str, Any], policy: str
    ) -> None:
        zone = read_from(page({"Name": "app.acme.io.", "Type": "A", **fields}))
        with pytest.raises(OperationError, match=policy):
            zone.answer("app.acme.io", "A", {}, dice(1))


def test_a_deployed_zone_is_read_as_it_was_made_and_fails_over(aws: EmbeddedAws) -> None:
    route53 = Tenant(aws).client("route53")
    zone_id = route53.create_hosted_zone(Name="drill.test", CallerReference="drill")["HostedZone"]["Id"]
    ids = {
        side: route53.create_health_check(
            CallerReference=side,
            HealthCheckConfig={
                "Type": "HTTPS",
                "FullyQualifiedDomainName": f"{side}.execute-api.amazonaws.com",
                "Port": 443,
                "ResourcePath": "/health",
                "RequestInterval": 30,
                "FailureThreshold": 3,
                "EnableSNI": True,
            },
        )["HealthCheck"]["Id"]
        for side in ("primary", "secondary")
    }
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": "app.drill.test",
                "Type": "CNAME",
                "TTL": 30,
                "SetIdentifier": side,
                "Weight": weight,
                "HealthCheckId": ids[side],
                "ResourceRecords": [{"Value": f"{side}.execute-api.amazonaws.com"}],
            },
        }
        for side, weight in (("primary", 100), ("secondary", 0))
    ]
    route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})

    zone = Zone.read(route53, zone_id)
    assert {record for record in zone.records if record.type == "CNAME"} == {
        Record(
            name="app.drill.test",
            type="CNAME",
            ttl_seconds=30,
            values=(f"{side}.execute-api.amazonaws.com",),
            routing="weighted",
            set_identifier=side,
            weight=weight,
            health_check_id=ids[side],
        )
        for side, weight in (("primary", 100), ("secondary", 0))
    }
    assert zone.health_checks == {
        id_: HealthCheck(id=id_, host=f"{side}.execute-api.amazonaws.com", port=443, path="/health")
        for side, id_ in ids.items()
    }

    def probe(check: HealthCheck, time: float) -> ProbeResult:
        return FAIL if check.host.startswith("primary") and time >= 60 else PASS

    rng = dice(4)
    fleets = {
        id_: HealthCheckerFleet(check, probe, random_first_requests(check, rng))
        for id_, check in zone.health_checks.items()
        if isinstance(check, HealthCheck)
    }
    ask: Callable[..., Any] = CachingResolver(
        name_server(zone, lambda: {id_: fleet.healthy for id_, fleet in fleets.items()}, rng)
    ).ask
    answers = []
    for time in range(0, 301, 10):
        for fleet in fleets.values():
            fleet.advance(time)
        answers.append(ask("app.drill.test", "CNAME", time).record.set_identifier)
    assert [answer for answer, _ in itertools.groupby(answers)] == ["primary", "secondary"]
    assert 60 + 60 < answers.index("secondary") * 10 <= 60 + 120
