"""How often a payment is read in the other region before it is confirmed, where nothing fails.

The lags are those that the drill gives the embedded AWS: lognormal, and less than a second for 96 % of the writes.
"""

import random
from collections.abc import Callable
from typing import Any

from no_loss.histories import Call, Client, Lag, Pay, Play, confirmed_payments
from no_loss.world import EAST, WEST, World

MEDIAN, SPREAD = 0.5, 0.4
PAYMENTS = 1_000


class _Counting(World):
    reads = 0

    def get(self, region: str, key: tuple[str, str]) -> Any:
        self.reads += region == WEST
        return super().get(region, key)


def reads_of_a_payment(client: Callable[[Call], Client] = confirmed_payments, payments: int = PAYMENTS) -> float:
    """The mean number of reads in the other region.

    Args:
        client: Makes the client.
        payments: How many are played.
    """
    rng, reads = random.Random(0), 0  # noqa: S311 - it must be reproducible
    for _ in range(payments):
        history = Pay(0, 1, "a", "7"), Lag(EAST, MEDIAN * rng.lognormvariate(0, SPREAD))
        play = Play(history, client, world=_Counting)
        play.run()
        reads += play.world.reads  # type: ignore[attr-defined]
    return reads / payments
