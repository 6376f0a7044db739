"""What makes each target of a drill miss: a target that no fault can miss proves nothing.

Tests break a stack in each of these ways and see the target miss. docs/drill-targets.md has the same table.
"""

from collections.abc import Mapping
from typing import Final

MISSES_WHEN: Final[Mapping[str, str]] = {
    "unfit": "A replica, record, health check or TLS endpoint is missing or wrong, so a drill would measure nothing.",
    "zone": "A record or a health check is unfit for a failover: no check, a long TTL, a wrong host or path.",
    "health functions": "A region's deployed health function does not answer 503 while its DynamoDB fails.",
    "failover": "Clients complete no payment in the other region within the target after the outage began.",
    "failback": "Clients complete no payment in the primary region within the target after the outage ended.",
    "bound": "With the deployed interval, threshold and TTL, a failover may take longer than the target.",
    "stays": "DNS answers with the other region although this outage must not fail over.",
    "returned": "DNS or clients are not back in the primary region at the end.",
    "missing after recovery": "A payment that was acknowledged is missing in the table of one region at the end.",
    "missing at the failover": "A payment was acknowledged as confirmed before the other region had it.",
    "staying over": "Clients return without an operator, although the stack requires one.",
    "missing at the failback": "Clients return before the primary has what the other region acknowledged.",
    "payments during the outage": "Payments to the primary stop in an outage that spares them, or the other way round.",
    "conflicts": "A payment that both regions took with different amounts is not in both as written last.",
    "items": "An item is missing or different in one of the tables at the end.",
    "written twice": "A payment that a client retried is stored twice.",
    "parameters": "A parameter has different values in the two regions at the end, or exists in one of them alone.",
    "rotated parameter": "Config sync of the region that serves is absent, disabled or without a right it needs.",
    "documents": "Replication of the bucket is absent or disabled, or its role may not copy.",
    "alarms fired": "No alarm watches the health check of a region that fails, or its threshold is never crossed.",
    "notifications": "An alarm has no action or a disabled one, or its topic refuses it or has no subscription.",
    "alarms cleared": "An alarm is still in ALARM 15 minutes after the clients are back.",
}
