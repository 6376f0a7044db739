"""Asking a zone's name servers, which here are some of loopback's."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from payment_dr.failover_timing import ALIAS_TTL_SECONDS
from payment_dr.operations import probes
from payment_dr.operations.drill import live_dns
from payment_dr.operations.drill.client_dns import Change
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.live_dns import Clock, LiveDns, NameServers
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import ProbeResult
from payment_dr.operations.route53.zone import HealthCheck
from payment_dr.side import SIDES
from tests.operations.drill.dns_server import NameServer
from tests.operations.stack import PRIVATE_PATH, Stack, probed_privately

FQDN = "app.pay.acme.io"


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.mark.parametrize("truncates", [False, True])
def test_the_answer_is_a_host_and_how_long_it_may_be_kept_by_udp_or_tcp(server: NameServer, truncates: bool) -> None:
    server.answers, server.ttl, server.truncates = ["East.acme.io."], 42, truncates
    assert NameServers([server.address]).ask(FQDN, "CNAME") == (["east.acme.io"], 42)


def test_the_next_server_is_asked_when_one_does_not_answer(server: NameServer) -> None:
    server.answers = ["east.acme.io."]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{nobody.getsockname()[1]}"
        assert NameServers([silent, server.address]).ask(FQDN, "CNAME")[0] == ["east.acme.io"]


def test_the_error_names_the_server_that_did_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_dns, "ANSWER_SECONDS", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(OperationError, match=f"no name server of the zone answers for {FQDN}: 127.0.0.1: "):
            NameServers([f"127.0.0.1:{nobody.getsockname()[1]}"]).ask(FQDN, "CNAME")


def test_a_zone_with_unknown_name_servers_is_an_error() -> None:
    with pytest.raises(OperationError, match="the outputs name no name server") as raised:
        NameServers([])
    assert "--name-server" in raised.value.hint


def test_a_name_without_a_record_and_an_invalid_server_are_errors(server: NameServer) -> None:
    server.answers = []
    with pytest.raises(OperationError, match=f"no CNAME record of {FQDN} \\(NOERROR\\)"):
        NameServers([server.address]).ask(FQDN, "CNAME")
    with pytest.raises(OperationError, match=r"'127\.0\.0\.1:http' is no name server"):
        NameServers(["127.0.0.1:http"])


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were probed; each answers 503."""
    seen: list[str] = []

    def probe(_stack: Stack, check: HealthCheck) -> ProbeResult:
        seen.append(f"{check.host}{check.path}")
        return ProbeResult(connect_seconds=0.01, response_seconds=0.01, status=503)

    monkeypatch.setattr(probes, "probe", probe)
    return seen


@pytest.fixture
def watched(server: NameServer, stack: Stack, tmp_path: Path, probed: list[str]) -> Iterator[tuple[LiveDns, Journal]]:
    """A zone that answers with the primary, watched at a hundred times the speed of time until 100 s."""
    server.answers = [f"{stack.target('primary')}."]
    zone = probed_privately(stack.zone)
    journal = Journal(tmp_path, {"kind": "fence"})
    with ThreadPoolExecutor(4) as pool:
        servers = NameServers([server.address])
        yield LiveDns(servers, Clock(100), 100, stack, zone, journal, None, pool), journal  # type: ignore[arg-type]


def events(journal: Journal, kind: str) -> list[Any]:
    return [event for event in journal.content["events"] if event["kind"] == kind]


def test_a_new_answer_is_a_verdict_too_and_reaches_the_client_when_its_cache_expires(
    watched: tuple[LiveDns, Journal], server: NameServer, stack: Stack
) -> None:
    dns, journal = watched
    assert (dns.answered, dns.resolve(0)) == ("primary", "primary")
    server.answers = [f"{stack.target('secondary')}."]
    now = dns.advance(5)
    assert now >= 5
    assert (dns.answered, dns.healthy) == ("secondary", {"check-primary": False, "check-secondary": True})
    assert [(change.side, change.healthy) for change in dns.verdicts] == [("primary", False)]
    assert dns.resolve(dns.expires - 1) == "primary"
    expires = dns.expires
    assert dns.resolve(expires) == "secondary"
    assert [(change.side, change.at) for change in dns.expired] == [("secondary", expires)]
    assert [event["region"] for event in events(journal, "answer")] == ["us-east-1", "us-west-2"]


def test_a_client_that_asks_before_the_watcher_has_seen_the_switch_is_who_sees_it(
    watched: tuple[LiveDns, Journal], server: NameServer, stack: Stack
) -> None:
    dns, _ = watched
    for side in ("secondary", "primary"):
        server.answers = [f"{stack.target(side)}."]
        at = dns.expires + 10
        assert dns.resolve(at) == side
        assert (dns.answered, dns.switches[-1], dns.expired[-1]) == (side, Change(at, side), Change(at, side))
        assert dns.verdicts[-1] == Change(at, "primary", side == "primary")
    dns.advance(0)
    assert [change.side for change in dns.switches] == ["secondary", "primary"]


def test_both_regions_are_probed_from_here(watched: tuple[LiveDns, Journal], probed: list[str], stack: Stack) -> None:
    dns, journal = watched
    while len(dns.last_failure) < 2:
        dns.advance(dns.advance(0) + 1)
    assert set(probed) == {f"{stack.api_host(side)}{PRIVATE_PATH}" for side in SIDES}
    assert dns.last_failure == dict.fromkeys(("primary", "secondary"), "HTTP status 503")
    assert {(event["checker"], event["ok"]) for event in events(journal, "probe")} == {("this machine", False)}


def test_a_region_whose_record_has_no_health_check_is_probed_at_the_public_route(
    watched: tuple[LiveDns, Journal], probed: list[str], stack: Stack
) -> None:
    dns, _ = watched
    dns._zone = replace(dns._zone, health_checks={"check-secondary": dns._zone.health_checks["check-secondary"]})
    while len(dns.last_failure) < 2:
        dns.advance(dns.advance(0) + 1)
    assert set(probed) == {f"{stack.api_host('primary')}/health", f"{stack.api_host('secondary')}{PRIVATE_PATH}"}


def test_it_ends_at_the_time_limit(watched: tuple[LiveDns, Journal]) -> None:
    dns, _ = watched
    with pytest.raises(OperationError, match="the time limit is reached"):
        dns.advance(1000)


def test_an_answer_of_neither_region_is_an_error(server: NameServer, watched: tuple[LiveDns, Journal]) -> None:
    dns, _ = watched
    server.answers = ["parked.acme.io."]
    with pytest.raises(OperationError, match=f"{FQDN} points to parked.acme.io"):
        dns.advance(5)


def test_strange_addresses_are_waited_for_longer_than_a_resolver_keeps_an_alias() -> None:
    assert live_dns.STRANGE_SECONDS > ALIAS_TTL_SECONDS


def test_the_addresses_of_an_alias_show_the_region_and_unknown_ones_are_retried(
    server: NameServer,
    make_stack: Callable[..., Stack],
    tmp_path: Path,
    probed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = make_stack(custom_domain=True)
    east, west = (stack.target(side) for side in ("primary", "secondary"))
    addresses = {east: ["192.0.2.1"], west: ["198.51.100.1"]}
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda name: (name, [], addresses[name]))
    monkeypatch.setattr(live_dns, "STRANGE_SECONDS", 20.0)
    server.answers = addresses[east]
    with ThreadPoolExecutor(4) as pool:
        servers, journal = NameServers([server.address]), Journal(tmp_path, {"kind": "fence"})
        dns = LiveDns(servers, Clock(100), 1000, stack, stack.zone, journal, None, pool)  # type: ignore[arg-type]
        seen = [dns.answered]
        server.answers = ["203.0.113.9"]
        dns.advance(5)
        seen.append(dns.answered)
        addresses[west] = ["203.0.113.9"]  # its resolver tells this one now
        dns.advance(10)
        assert [*seen, dns.answered] == ["primary", "primary", "secondary"]
        server.answers = ["203.0.113.77"]
        with pytest.raises(
            OperationError, match=f"it is unknown which region {FQDN} answers with: 203.0.113.77"
        ) as unknown:
            dns.advance(100)
    assert unknown.value.hint == f"see whose they are: dig +short {east} {west}"
    strange = {(*event["addresses"], event["taken_for"]) for event in events(journal, "strange answer")}
    assert strange == {("203.0.113.9", "us-east-1"), ("203.0.113.77", "us-west-2")}
