"""The page of the outages that a drill can make: the effect of each, and the required outcome."""

from pages.text import text_of
from payment_dr.operations.drill.outages import LIVE_OUTAGE, OUTAGES
from payment_dr.operations.route53.recovery_time import Settings


def render() -> str:
    """Render docs/outages.md."""
    settings = Settings()
    return text_of(
        "outages.md.j2",
        rows=[
            {
                "name": name,
                "what": outage.description.format(region="the primary region"),
                "must": outage.expected,
                "seconds": outage.lasts(outage.settings_during(settings)),
            }
            for name, outage in OUTAGES.items()
        ],
        live=LIVE_OUTAGE,
        backlog=next(outage.backlog(settings) for outage in OUTAGES.values() if outage.backlog),
    )
