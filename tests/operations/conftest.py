"""The deployed stack that the tests of `dr` look at."""

from collections.abc import Callable

import pytest

from payment_dr.operations import probes, standby_switch, standby_writes, status, switch
from payment_dr.operations.route53.zone import Zone
from tests.operations.stack import Clock, Stack, with_switch, zone


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the switch waits by."""
    clock = Clock()
    monkeypatch.setattr(switch, "time", clock)
    monkeypatch.setattr(standby_switch, "time", clock)
    monkeypatch.setattr(status, "time", clock)
    monkeypatch.setattr(standby_writes, "time", Clock())  # which waits for answers, not for a change
    return clock


@pytest.fixture
def make_stack(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[..., Stack]:
    """Makes a stack of fakes: AWS, the probe's socket and the clock are replaced, nothing else."""

    def make(
        *,
        live: bool = False,
        weights: tuple[int, int] = (100, 0),
        custom_domain: bool = False,
        two_way: bool = False,
        switch: bool = False,
    ) -> Stack:
        made = Stack(live=live, custom_domain=custom_domain, two_way=two_way, switch=switch)
        made.now = clock.time
        monkeypatch.setattr(probes, "probe", lambda _stack, check: made.probe(check))
        monkeypatch.setattr(Zone, "read", lambda client, zone_id: client.read(zone_id))
        plain = zone(weights, custom_domain=custom_domain)
        made.zone = with_switch(plain) if switch else plain
        return made

    return make


@pytest.fixture
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack on an embedded AWS."""
    return make_stack()
