"""A deployed stack with a time of its own."""

from collections.abc import Mapping
from typing import Any

from embedded_aws.server import FUNCTION_SECONDS
from payment_dr.operations.deployed import Deployed
from payment_dr.side import Side

PATIENCE_SECONDS = 60.0  # for a call that the machine has not got round to


class EmulatedStack(Deployed):
    """A stack on an embedded AWS, in a time of its own: no call takes longer because the machine is slow.

    Calls to a region that hangs take as long as a client or a health checker would wait. Calls to another region take
    the time that its function reports.

    Attributes:
        hanging: Regions that do not answer.
    """

    def __init__(self, outputs: Mapping[str, Any], endpoint_url: str) -> None:
        super().__init__(outputs, endpoint_url)
        self.hanging: set[str] = set()

    def limit(self, side: Side, seconds: float) -> float:
        """Seconds until a region must answer a call, if it answers at all."""
        return seconds if self.region(side) in self.hanging else PATIENCE_SECONDS

    def took(self, side: Side, measured: float, headers: Mapping[str, str] | None = None) -> float:
        """Seconds that a region took to answer. 0 for an answer without a function."""
        return measured if self.region(side) in self.hanging else float((headers or {}).get(FUNCTION_SECONDS, 0))
