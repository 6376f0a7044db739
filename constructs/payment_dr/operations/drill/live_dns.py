"""What DNS really answers: a zone's own name servers, asked all the time, and a client that respects their TTL."""

import random
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from payment_dr.failover_timing import ALIAS_TTL_SECONDS
from payment_dr.operations import probes
from payment_dr.operations.alias_targets import AliasTargets
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.deployed_zone import endpoint_check_of
from payment_dr.operations.drill.client_dns import ClientDns
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.errors import OperationError
from payment_dr.operations.route53.checkers import judge
from payment_dr.operations.route53.resolvers import Answer
from payment_dr.operations.route53.zone import HealthCheck, Record, Zone
from payment_dr.side import SIDES, Side

DNS_PORT = 53
ANSWER_SECONDS = 2.0  # that one name server is given
POLL_SECONDS = 1.0
# An alias may answer with addresses that a resolver has not seen yet.
STRANGE_SECONDS = 2.0 * ALIAS_TTL_SECONDS
PROBE_SECONDS = 10.0  # between our own probes of a region


class Clock:
    """Seconds since the drill began. Tests let it run faster.

    Args:
        speed: Seconds that pass in one of real time.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._started = speed, time.monotonic()

    def now(self) -> float:
        """The time."""
        return (time.monotonic() - self._started) * self._speed

    def sleep_until(self, time_: float) -> None:
        """Let time pass until then."""
        time.sleep(max(0.0, (time_ - self.now()) / self._speed))


class NameServers:
    """A zone's authoritative name servers, whose answers never come from a cache.

    Args:
        servers: Their names or addresses, each with a port where it is not 53: ``ns-1.awsdns-01.org``,
            ``127.0.0.1:5300``.

    Raises:
        OperationError: There is none, or a port is no number.

    Example:
        >>> NameServers(["ns-1.awsdns-01.org"]).ask("app.pay.acme.io", "CNAME")  # doctest: +SKIP
        (['a1b2c3.execute-api.us-east-1.amazonaws.com'], 30)
    """

    def __init__(self, servers: Sequence[str]) -> None:
        if not servers:
            raise OperationError(
                "the outputs name no name server of the zone", hint="--name-server names one: dig +short NS DOMAIN"
            )
        self._servers = [_host_and_port(server) for server in servers]

    def ask(self, fqdn: str, record_type: str) -> tuple[list[str], int]:
        """What a name points to, and for how many seconds that may be kept.

        Raises:
            OperationError: No server answers, or there is no such record.
        """
        failures = []
        for host, port in self._servers:  # as a resolver does, which goes on to the next
            try:
                return self._ask(fqdn, record_type, host, port)
            except (OSError, dns.exception.DNSException) as error:
                failures.append(f"{host}: {str(error) or type(error).__name__}")
        raise OperationError(
            f"no name server of the zone answers for {fqdn}: {'; '.join(failures)}",
            hint="UDP and TCP to port 53 must be open; --name-server names others",
        )

    @staticmethod
    def _ask(fqdn: str, record_type: str, host: str, port: int) -> tuple[list[str], int]:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
        query = dns.message.make_query(fqdn, record_type)
        query.flags &= ~dns.flags.RD  # an authoritative server is not to ask others
        answer, _ = dns.query.udp_with_fallback(query, str(address), timeout=ANSWER_SECONDS, port=port)
        for found in answer.answer:
            if found.rdtype == query.question[0].rdtype:
                return [str(each).rstrip(".").lower() for each in found], found.ttl
        raise OperationError(
            f"{host} has no {record_type} record of {fqdn} ({dns.rcode.to_text(answer.rcode())})",
            hint="deploy first, and check application_fqdn",
        )


def _host_and_port(server: str) -> tuple[str, int]:
    host, colon, port = server.partition(":")
    if colon and not port.isdecimal():
        raise OperationError(f"{server!r} is no name server", hint="write it as HOST or HOST:PORT")
    return host, int(port or DNS_PORT)


class LiveDns(ClientDns):
    """What the zone's name servers answer, in real time.

    Route 53 shows the verdict of its health checkers through its answers, so a verdict is seen when the answer changes:
    detection and switch are one phase.

    Args:
        servers: The zone's name servers.
        clock: Drill time.
        limit: Drill time at which the drill ends, whatever it has come to.
        stack, zone, journal: As of `ClientDns`.
        pool: Where probes are made.

    Raises:
        OperationError: The zone does not answer.
    """

    def __init__(
        self,
        servers: NameServers,
        clock: Clock,
        limit: float,
        stack: Deployed,
        zone: Zone,
        journal: Journal,
        _rng: random.Random,  # nothing is left to chance here
        pool: ThreadPoolExecutor,
    ) -> None:
        self._servers, self._clock, self._limit, self._pool = servers, clock, limit, pool
        self._targets = AliasTargets(stack) if stack.has_custom_domain else None
        self._last_known: tuple[float, Record] | None = None
        self._probing: list[Future[None]] = []
        self._next_probe = clock.now()
        super().__init__(stack, zone, journal, self._ask, clock.now())

    def advance(self, to: float) -> float:
        """Watch until a time, and return the time afterwards.

        Raises:
            OperationError: The time limit is reached, or the zone does not answer.
        """
        while True:
            if self._clock.now() > self._limit:
                raise OperationError("the time limit is reached", hint="give a longer --limit")
            self._look()
            if self._clock.now() >= to:
                return self._clock.now()
            self._clock.sleep_until(min(to, self._clock.now() + POLL_SECONDS))

    def running_from(self, base: float) -> Callable[[], float]:  # noqa: ARG002 - real time has one base
        """A clock of drill time while real time passes."""
        return self._clock.now

    def _look(self) -> None:
        with self._lock:
            at = self._clock.now()
            self._on_new_answer(at, self._side_of(self._ask(self._fqdn, self._stack.record_type, at).record))
        if at >= self._next_probe and all(each.done() for each in self._probing):
            for each in self._probing:
                each.result()
            self._next_probe = at + PROBE_SECONDS
            self._probing = [self._pool.submit(self._probe, side) for side in SIDES]

    def _on_new_answer(self, at: float, side: Side) -> None:
        # Whoever asks first, the watcher or the client, sees the switch.
        if side != self.answered:
            self._note_verdict(at, "primary", healthy=side == "primary")
            self._note_answer(at, side)

    def _probe(self, side: Side) -> None:
        at = self._clock.now()
        unused = HealthCheck(id=side, host=self._stack.api_host(side), path=HEALTH_PATH)
        check = endpoint_check_of(self._stack, self._zone, side) or unused
        result = probes.probe(self._stack, check)
        self._note_probe(at, side, "this machine", result, judge(check, result))

    def _ask(self, fqdn: str, record_type: str, at: float) -> Answer:
        values, ttl = self._servers.ask(fqdn, record_type)
        if self._targets:
            target = self._targets.target_of(values)
            if target is None:
                return self._answer_to_strange(values, at)
            values = [target]
        record = Record(name=fqdn, type=record_type, ttl_seconds=ttl, values=tuple(values))
        self._last_known = at, record
        return Answer(record, at + ttl)

    def _answer_to_strange(self, addresses: list[str], at: float) -> Answer:
        """What to take addresses of neither region's domain name for: the same region as before, for a while."""
        if self._last_known is None or at - self._last_known[0] >= STRANGE_SECONDS:
            raise OperationError(
                f"it is unknown which region {self._fqdn} answers with: {', '.join(addresses)}",
                hint=f"see whose they are: dig +short {' '.join(self._stack.target(side) for side in SIDES)}",
            )
        taken_for = self._stack.region(self.answered)
        self._journal.note({"kind": "strange answer", "addresses": addresses, "taken_for": taken_for}, at=at)
        return Answer(self._last_known[1], at + POLL_SECONDS)
