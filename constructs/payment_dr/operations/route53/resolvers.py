"""Who passes Route 53's answers on, and for how long each of them keeps one."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from payment_dr.operations.route53.zone import Record, Zone, bare


@dataclass(frozen=True)
class Answer:
    """A record, and the virtual time from which on it must be asked for again."""

    record: Record
    expires: float


Ask = Callable[[str, str, float], Answer]
"""Asks for a name and a type at a virtual time."""


def name_server(zone: Zone, healthy: Callable[[], Mapping[str, bool]], rng: random.Random) -> Ask:
    """Route 53's own answer to a query, never from a cache.

    Args:
        zone: The hosted zone.
        healthy: Gives the status of every health check at the moment.
        rng: Decides between records by weight.
    """

    def ask(fqdn: str, record_type: str, time: float) -> Answer:
        record = zone.answer(fqdn, record_type, healthy(), rng)
        return Answer(record, time + record.ttl_seconds)

    return ask


class CachingResolver:
    """A recursive resolver, or a client's own cache behind one: keeps an answer for what is left of its TTL.

    A cache passes on the TTL that is left, so that caches in a row keep an answer no longer than one does.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html (TTL)

    Args:
        upstream: What it asks: a name server, or another resolver.

    Example:
        >>> client = CachingResolver(CachingResolver(name_server(zone, healthy, rng)).ask)  # doctest: +SKIP
        >>> client.ask("app.pay.acme.io", "CNAME", 12.5).record.set_identifier  # doctest: +SKIP
        'primary'
    """

    def __init__(self, upstream: Ask) -> None:
        self._upstream = upstream
        self._kept: dict[tuple[str, str], Answer] = {}

    def ask(self, fqdn: str, record_type: str, time: float) -> Answer:
        """The answer that is known at this time, or a new one."""
        key = bare(fqdn), record_type
        kept = self._kept.get(key)
        if kept is None or time >= kept.expires:
            kept = self._kept[key] = self._upstream(fqdn, record_type, time)
        return kept
