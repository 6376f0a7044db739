"""Resolvers that pass on Route 53's answers, and how long they cache them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from payment_dr.operations.route53.zone import Record, Zone, bare


@dataclass(frozen=True)
class Answer:
    """A record, and the virtual time when it expires."""

    record: Record
    expires: float


Ask = Callable[[str, str, float], Answer]
"""Asks for a name and a type at a virtual time."""


def name_server(zone: Zone, healthy: Callable[[], Mapping[str, bool]], rng: random.Random) -> Ask:
    """Route 53's own answer to a query, never from a cache.

    Args:
        zone: The hosted zone.
        healthy: Returns the present status of every health check.
        rng: Chooses between records by weight.
    """

    def ask(fqdn: str, record_type: str, time: float) -> Answer:
        record = zone.answer(fqdn, record_type, healthy(), rng)
        return Answer(record, time + record.ttl_seconds)

    return ask


class CachingResolver:
    """A recursive resolver, or a client's own cache behind one. It keeps an answer for the rest of its TTL.

    A cache passes on the rest of the TTL, so several caches in a row keep an answer no longer than one.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html (TTL)

    Args:
        upstream: A name server, or another resolver, that it asks.

    Example:
        >>> client = CachingResolver(CachingResolver(name_server(zone, healthy, rng)).ask)  # doctest: +SKIP
        >>> client.ask("app.pay.acme.io", "CNAME", 12.5).record.set_identifier  # doctest: +SKIP
        'primary'
    """

    def __init__(self, upstream: Ask) -> None:
        self._upstream = upstream
        self._kept: dict[tuple[str, str], Answer] = {}

    def ask(self, fqdn: str, record_type: str, time: float) -> Answer:
        """The cached answer, if it is valid at this time, else a new one."""
        key = bare(fqdn), record_type
        kept = self._kept.get(key)
        if kept is None or time >= kept.expires:
            kept = self._kept[key] = self._upstream(fqdn, record_type, time)
        return kept
