"""What DNS really answers: a zone's own name servers, asked all the time, and a client that respects their TTL."""

import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from drill import DrillError, diagnosis, probes
from drill.deployed import ROLES, Deployed
from drill.journal import Journal
from drill.modelled_dns import Turn
from drill.route53 import Answer, CachingResolver, HealthCheck, Record, Zone, judge
from drill.rto import HANGING_PROBE_SECONDS

DNS_PORT = 53
ANSWER_SECONDS = 2.0  # that one name server is given
POLL_SECONDS = 1.0
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

    def wait(self, until: float, event: threading.Event) -> None:
        """Wait until a time, or for an event."""
        event.wait(max(0.0, (until - self.now()) / self._speed))


class NameServers:
    """A zone's authoritative name servers; what they say is never from a cache.

    Args:
        servers: Their names or addresses, each with a port where it is not 53: ``ns-1.awsdns-01.org``,
            ``127.0.0.1:5300``.

    Raises:
        DrillError: A port is no number.

    Example:
        >>> NameServers(["ns-1.awsdns-01.org"]).cname("app.pay.acme.io")  # doctest: +SKIP
        ('a1b2c3.execute-api.us-east-1.amazonaws.com', 30)
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [_host_and_port(server) for server in servers]

    def cname(self, fqdn: str) -> tuple[str, int]:
        """Whom a name points to, and for how many seconds that may be kept.

        Raises:
            DrillError: No server answers, or there is no such record.
        """
        failures = []
        for host, port in self._servers:  # as a resolver does, which goes on to the next
            try:
                return self._ask(fqdn, host, port)
            except (OSError, dns.exception.DNSException) as error:
                failures.append(f"{host}: {str(error) or type(error).__name__}")
        raise DrillError(
            f"no name server of the zone answers for {fqdn}: {'; '.join(failures)}",
            hint="UDP and TCP to port 53 have to be open; --name-server names others",
        )

    @staticmethod
    def _ask(fqdn: str, host: str, port: int) -> tuple[str, int]:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
        query = dns.message.make_query(fqdn, dns.rdatatype.CNAME)
        query.flags &= ~dns.flags.RD  # an authoritative server is not to ask others
        answer, _ = dns.query.udp_with_fallback(query, str(address), timeout=ANSWER_SECONDS, port=port)
        for found in answer.answer:
            if found.rdtype == dns.rdatatype.CNAME:
                return str(found[0].target).rstrip(".").lower(), found.ttl
        raise DrillError(
            f"{host} has no CNAME record of {fqdn} ({dns.rcode.to_text(answer.rcode())})",
            hint="deploy first, and check application_fqdn",
        )


def _host_and_port(server: str) -> tuple[str, int]:
    host, colon, port = server.partition(":")
    if colon and not port.isdecimal():
        raise DrillError(f"{server!r} is no name server", hint="write it as HOST or HOST:PORT")
    return host, int(port or DNS_PORT)


class LiveDns:
    """What `ModelledDns` tells of a model, told of what really happens, in real time.

    Route 53 shows the verdict of its health checkers through its answers, so a verdict is seen when the answer changes:
    detection and switch are one phase.

    Args:
        servers: The zone's name servers.
        clock: Drill time.
        limit: Drill time at which the drill ends, whatever it has come to.
        stack, zone, journal, rng, pool: As of `ModelledDns`.

    Attributes:
        healthy, answered, verdicts, switches, expired, last_failure: As of `ModelledDns`.

    Raises:
        DrillError: The zone does not answer.
    """

    def __init__(
        self,
        servers: NameServers,
        clock: Clock,
        limit: float,
        stack: Deployed,
        zone: Zone,
        journal: Journal,
        rng: random.Random,  # noqa: ARG002 - nothing is left to chance here
        pool: ThreadPoolExecutor,
    ) -> None:
        self._servers, self._clock, self._limit = servers, clock, limit
        self._stack, self._journal, self._pool = stack, journal, pool
        self._fqdn = str(stack.outputs["application_fqdn"])
        self._checks = {role: stack.output(role, "health_check_id") for role in ROLES}
        self.healthy = dict.fromkeys(zone.health_checks, True)
        self.verdicts: list[Turn] = []
        self.switches: list[Turn] = []
        self.expired: list[Turn] = []
        self.last_failure: dict[str, str] = {}
        self._resolver = CachingResolver(self._ask)
        self._lock = threading.Lock()
        self._probing: list[Future[None]] = []
        self._next_probe = clock.now()
        self._known = self._resolver.ask(self._fqdn, "CNAME", clock.now())
        self.answered = self._role_of(self._known.record)
        journal.event("answer", region=stack.region(self.answered))
        for role in ROLES:
            journal.event("verdict", region=stack.region(role), healthy=True)

    def advance(self, to: float) -> float:
        """Watch until a time; what time it is then.

        Raises:
            DrillError: The time limit is reached, or the zone does not answer.
        """
        while True:
            if self._clock.now() > self._limit:
                raise DrillError("the time limit is reached", hint="give a longer --limit")
            self._look()
            if self._clock.now() >= to:
                return self._clock.now()
            self._clock.wait(min(to, self._clock.now() + POLL_SECONDS), threading.Event())

    def resolve(self, at: float) -> str:
        """The role of the region that the client's cache knows, or asks for. Several threads may ask."""
        with self._lock:
            answer = self._resolver.ask(self._fqdn, "CNAME", at)
            role = self._role_of(answer.record)
            if answer.record.values != self._known.record.values and self.switches:
                self.expired.append(Turn(max(self._known.expires, self.switches[-1].at), role))
            self._known = answer
            return role

    @property
    def expires(self) -> float:
        """When the client will ask again."""
        return self._known.expires

    def running_from(self, base: float) -> Callable[[], float]:  # noqa: ARG002 - drill time is real time already
        """A clock of drill time while real time passes."""
        return self._clock.now

    def forget(self) -> None:
        """Nothing is known in advance here."""

    def _look(self) -> None:
        at = self._clock.now()
        role = self._role_of(self._ask(self._fqdn, "CNAME", at).record)
        if role != self.answered:
            self.answered = role
            is_primary = role == "primary"
            self.healthy[self._checks["primary"]] = is_primary
            for turns, turn in (
                (self.verdicts, Turn(at, "primary", is_primary)),
                (self.switches, Turn(at, role)),
            ):
                turns.append(turn)
            self._journal.event("verdict", at=at, region=self._stack.region("primary"), healthy=is_primary)
            self._journal.event("answer", at=at, region=self._stack.region(role))
        if at >= self._next_probe and all(each.done() for each in self._probing):
            for each in self._probing:
                each.result()
            self._next_probe = at + PROBE_SECONDS
            self._probing = [self._pool.submit(self._probe, role) for role in ROLES]

    def _probe(self, role: str) -> None:
        at, url = self._clock.now(), self._stack.health_url(role)
        result, _ = probes.probe(url)
        found = judge(HealthCheck(id=role, host=url), result)
        if not found.passed:
            self.last_failure[role] = found.reason
        self._journal.event(
            "probe",
            at=at,
            region=self._stack.region(role),
            checker="this machine",
            ok=found.passed,
            status=result.status,
            seconds=round(min(found.seconds, HANGING_PROBE_SECONDS), 3),
            error=None if found.passed else found.reason,
        )

    def _ask(self, fqdn: str, record_type: str, at: float) -> Answer:
        host, ttl = self._servers.cname(fqdn)
        return Answer(Record(name=fqdn, type=record_type, ttl_seconds=ttl, values=(host,)), at + ttl)

    def _role_of(self, record: Record) -> str:
        role = diagnosis.role_of(self._stack, record)
        if role is None:
            raise DrillError(f"{record.name} points to {', '.join(record.values)}", hint="run terraform apply")
        return role
