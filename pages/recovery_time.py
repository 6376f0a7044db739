"""The page of the recovery time: what interval, threshold and TTL give and cost, and how the model compares to AWS."""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pages.costs import Line, estimate, total
from pages.text import text_of
from payment_dr.failover_timing import RTO_TARGET_SECONDS
from payment_dr.operations.route53.recovery_time import (
    HANGING_PROBE_SECONDS,
    Settings,
    failover_bound,
    longest_harmless_blip,
    simulate_failover,
)

INTERVALS: Final = (10, 30)
THRESHOLDS: Final = (1, 2, 3, 5)
TTLS: Final = (5, 30, 60)
# https://github.com/keycloak/keycloak-benchmark/issues/495
MEASURED_SECONDS: Final = (57, 72)
MEASURED_WITH: Final = Settings(request_interval_seconds=30, failure_threshold=1, ttl_seconds=60)
RUNS: Final = 10_000


@dataclass(frozen=True)
class Row:
    """What one choice of settings gives, in seconds and US dollars a month.

    Attributes:
        settings: The choice.
        bound, hanging_bound: The longest failover of the model, and the longest if every failed probe hangs.
        blip: The longest outage that causes no failover, wherever the checkers are in their cycles.
        usd: What the health checks cost.
    """

    settings: Settings
    bound: float
    hanging_bound: float
    blip: float
    usd: float

    @property
    def is_default(self) -> bool:
        """Whether these are the settings of the stack."""
        return self.settings == Settings()

    @property
    def is_within_target(self) -> bool:
        """Whether a failover takes no longer than the stack's target, even if every failed probe hangs."""
        return self.hanging_bound <= RTO_TARGET_SECONDS


def rows(stack: Mapping[str, Any]) -> list[Row]:
    """Every choice of settings.

    Args:
        stack: The default stack, as parsed from cdk.tf.json.
    """
    usd = {interval: total(_checks(_lines(stack, interval))) for interval in INTERVALS}
    return [
        Row(
            settings,
            failover_bound(settings).total,
            failover_bound(replace(settings, failed_probe_seconds=HANGING_PROBE_SECONDS)).total,
            longest_harmless_blip(settings),
            usd[settings.request_interval_seconds],
        )
        for settings in (
            Settings(request_interval_seconds=interval, failure_threshold=threshold, ttl_seconds=ttl)
            for interval, threshold, ttl in itertools.product(INTERVALS, THRESHOLDS, TTLS)
        )
    ]


def render(stack: Mapping[str, Any]) -> str:
    """The page docs/recovery-time.md.

    Args:
        stack: The default stack, as parsed from cdk.tf.json.
    """
    runs = sorted(simulate_failover(MEASURED_WITH, seed).total for seed in range(RUNS))
    fast, slow = (_lines(stack, interval) for interval in INTERVALS)
    return text_of(
        "recovery-time.md.j2",
        rows=rows(stack),
        target=RTO_TARGET_SECONDS,
        assumed=Settings(),
        hanging=HANGING_PROBE_SECONDS,
        probes_usd=total(fast) - total(slow) - total(_checks(fast)) + total(_checks(slow)),
        measured=MEASURED_SECONDS,
        measured_with=MEASURED_WITH,
        runs=RUNS,
        percentiles={percent: runs[RUNS * percent // 100 - 1] for percent in (5, 50, 95)},
    )


def _lines(stack: Mapping[str, Any], interval: int) -> list[Line]:
    changed = copy.deepcopy(dict(stack))
    for check in changed["resource"]["aws_route53_health_check"].values():
        check["request_interval"] = interval
    return estimate(changed)


def _checks(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.price.startswith("health check")]
