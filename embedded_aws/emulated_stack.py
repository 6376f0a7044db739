"""A deployed stack whose time is not that of the machine."""

from collections.abc import Mapping
from typing import Any

from embedded_aws.server import FUNCTION_SECONDS
from payment_dr.operations.deployed import Deployed
from payment_dr.side import Side

PATIENCE_SECONDS = 60.0  # for a call that the machine has not got round to


class EmulatedStack(Deployed):
    """A stack on an embedded AWS, in a time of its own: no call takes longer because the machine is slow.

    A region that hangs is waited for as long as a client, or a health checker, would wait. Another one answers sooner
    or later, and its function says how long it worked.

    Attributes:
        hanging: Regions that do not answer.
    """

    def __init__(self, outputs: Mapping[str, Any], endpoint_url: str) -> None:
        super().__init__(outputs, endpoint_url)
        self.hanging: set[str] = set()

    def limit(self, side: Side, seconds: float) -> float:
        """Seconds in which a call to a region is answered, if it ever is."""
        return seconds if self.region(side) in self.hanging else PATIENCE_SECONDS

    def took(self, side: Side, measured: float, headers: Mapping[str, str] | None = None) -> float:
        """Seconds that a region took to answer; none for what no function has done."""
        return measured if self.region(side) in self.hanging else float((headers or {}).get(FUNCTION_SECONDS, 0))
