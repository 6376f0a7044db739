"""Name servers of a deployed zone: they answer by what health checkers find, on a clock that may run fast."""

import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset

from embedded_aws.checks import eventually
from payment_dr.operations.deployed import Deployed
from payment_dr.operations.deployed_zone import read_zone
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.live_dns import Clock
from payment_dr.operations.drill.modelled_dns import ModelledDns

NOTHING: list[str] = []
AHEAD_SECONDS = 2.0


class FollowedClock(Clock):
    """A clock that runs fast, and waits for the name server that follows it.

    On a machine that is short of processors Route 53's model would fall behind otherwise, and an outage be found late.

    Attributes:
        followed: The time until which the model has come, once there is one.
    """

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self.followed: float | None = None
        self._waited = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """The time."""
        with self._lock:
            now = super().now() - self._waited
            ahead = 0.0 if self.followed is None else max(0.0, now - self.followed - AHEAD_SECONDS)
            self._waited += ahead
            return now - ahead


class NameServer:
    """Answers questions over UDP, and over TCP what is too long for that; always with the type that was asked for.

    Attributes:
        address: HOST:PORT.
        answers: What it says to a question; nothing at all while that is empty.
        truncates: Whether it sends its clients to TCP.
    """

    def __init__(self) -> None:
        self._udp, self._tcp = _two_of_one_port()
        self.address = "{}:{}".format(*self._udp.getsockname())
        self.answers: list[str] = NOTHING
        self.ttl, self.truncates, self.questions = 30, False, 0
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._datagrams, self._streams)]

    def __enter__(self) -> "NameServer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._udp, self._tcp):
            each.shutdown(socket.SHUT_RDWR) if each is self._tcp else None
            each.close()

    def _answer(self, asked: bytes, *, by_udp: bool) -> bytes | None:
        self.questions += 1
        if self.answers is NOTHING:
            return None
        question = dns.message.from_wire(asked)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.AA
        if by_udp and self.truncates:
            reply.flags |= dns.flags.TC
        elif self.answers:
            (about,) = question.question
            reply.answer.append(dns.rrset.from_text(about.name, self.ttl, "IN", about.rdtype, *self.answers))
        return reply.to_wire()

    def _datagrams(self) -> None:
        while True:
            try:
                asked, client = self._udp.recvfrom(4096)
                if answer := self._answer(asked, by_udp=True):
                    self._udp.sendto(answer, client)
            except OSError:
                return

    def _streams(self) -> None:
        while True:
            try:
                stream, _ = self._tcp.accept()
            except OSError:
                return
            with stream:
                asked = stream.recv(4096)
                if answer := self._answer(asked[2:], by_udp=False):
                    stream.sendall(len(answer).to_bytes(2, "big") + answer)


def _two_of_one_port() -> tuple[socket.socket, socket.socket]:
    """Sockets for UDP and TCP; a port that is free for one can be taken for the other."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp


@contextmanager
def name_server_of(stack: Deployed, clock: FollowedClock, directory: Path) -> Iterator[NameServer]:
    """One that follows the health of a deployed stack, as Route 53 would."""
    ended = threading.Event()
    with NameServer() as server, ThreadPoolExecutor(32) as pool:
        zone, rng = read_zone(stack), random.Random(1)  # noqa: S311 - it has to be repeatable
        server.ttl = min(record.ttl_seconds for record in zone.records if record.health_check_id)
        dns = ModelledDns(stack, zone, Journal(directory / "route53", {"kind": "route53"}), rng, pool)

        def follow() -> None:
            while not ended.wait(0.01):
                dns.forget()
                clock.followed = dns.advance(clock.now())
                server.answers = [f"{stack.target(dns.answered)}."]

        following = pool.submit(follow)
        try:
            eventually(lambda: server.answers is not NOTHING, "the name server knows what to answer")
            yield server
        finally:
            ended.set()
            following.result()
            clock.followed = None
