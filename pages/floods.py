"""The time that a flood of `GET /health` takes to cause a failover: the table of docs/security.md.

API Gateway throttles with a token bucket: each request takes a token, `rate` tokens come back a second, and the bucket
holds `burst` at most. A request that finds no token is answered 429, which Route 53 considers unhealthy.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html

The requests of a flood are not simulated one by one. A flood of more than `rate` requests a second empties the bucket
within burst / (flood - rate) seconds. After that, `rate` requests are served each second, and a probe is served with
the same probability as any other request: rate / flood.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from pages.graph import regions, resources
from payment_dr.operations.route53.checkers import HealthCheckerFleet, ProbeResult, random_first_requests
from payment_dr.operations.route53.zone import HealthCheck

Template = Mapping[str, Any]
BEGIN: Final = "<!-- begin of what `make docs` writes: floods -->\n"
END: Final = "<!-- end of what `make docs` writes -->\n"
FLOODED: Final = "GET /health"  # the public route
FLOODS: Final = (200, 300, 400, 500, 1_000, 2_000, 5_000)  # requests a second; the account's own throttle is 10,000
HOUR: Final = 3600.0
SEEDS: Final = range(5)


@dataclass(frozen=True)
class Throttle:
    """The token bucket of the route that Route 53 probes, under a flood that begins at time 0.

    Args:
        rate, burst: Sustained requests a second, and requests at once.
        flood: Requests a second of the flood that use its tokens.
    """

    rate: float
    burst: int
    flood: float

    def serves(self, at: float, rng: random.Random) -> bool:
        """Whether a probe finds a token at a time in seconds."""
        excess = self.flood - self.rate
        return excess <= 0 or at * excess <= self.burst or rng.random() < self.rate / self.flood


def throttle_of(template: Template, flood: float) -> Throttle:
    """The throttle for probes of the primary region during a flood of `GET /health`.

    Args:
        template: The synthesized stack, as parsed from cdk.tf.json.
        flood: Requests a second.
    """
    (stage,) = resources(template, "aws_apigatewayv2_stage", regions(template)[0]).values()
    (check,) = (each for name, each in resources(template, "aws_route53_health_check").items() if "primary" in name)
    probed = f"GET {check['resource_path']}"
    own = {each["route_key"]: each for each in stage.get("route_settings", [])}
    settings = own.get(probed, stage["default_route_settings"])
    is_reached = probed == FLOODED or probed not in own
    return Throttle(settings["throttling_rate_limit"], settings["throttling_burst_limit"], flood if is_reached else 0.0)


def seconds_until_failover(throttle: Throttle, seed: int, until: float = HOUR) -> float | None:
    """Seconds until Route 53 finds a healthy, flooded region unhealthy. None if it does not.

    Args:
        throttle: The throttle for the probes.
        seed: Determines when the checkers probe, and which probes are served.
        until: The end of the simulation, in seconds.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation, which must be repeatable
    check = HealthCheck(id="primary", host="primary")

    def probe(_check: HealthCheck, at: float) -> ProbeResult:
        status = 200 if throttle.serves(at, rng) else 429
        return ProbeResult(connect_seconds=0.1, response_seconds=0.1, status=status)

    # Each checker has probed once when the flood begins.
    fleet = HealthCheckerFleet(check, probe, random_first_requests(check, rng, start=-check.request_interval_seconds))
    for now in range(0, int(until), check.request_interval_seconds):
        for seen in fleet.advance(now + check.request_interval_seconds):
            if not seen.healthy:
                return seen.time
    return None


def written_into(page: str, default: Template, private: Template) -> str:
    """Return a page with the current table.

    Args:
        page: Its text, with the marks `BEGIN` and `END`.
        default: The stack.
        private: The stack with private probe routes.
    """
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page lacks a line {BEGIN.strip()} or {END.strip()}")
    limits = throttle_of(default, 0)
    lines = [
        f"| flood, requests a second | probes answered 429 | minutes:seconds to a failover, throttle {limits.rate:g} "
        f"a second and {limits.burst} at once | with `private_probe_route` |",
        "|---:|---:|---|---|",
    ]
    for flood in FLOODS:
        refused = max(0.0, 1 - limits.rate / flood)
        cells = (_cell(throttle_of(template, flood)) for template in (default, private))
        lines.append(f"| {flood:,} | {refused:.0%} | {' | '.join(cells)} |")
    return "".join([before, BEGIN, "".join(f"{line}\n" for line in lines), END, after])


def _cell(throttle: Throttle) -> str:
    """The result of the runs with all seeds."""
    if throttle.flood <= throttle.rate:
        return "never"
    found = [seconds_until_failover(throttle, seed) for seed in SEEDS]
    times = sorted(each for each in found if each is not None)
    if not times:
        return "not within an hour"
    if len(times) < len(found):
        return f"within an hour in {len(times)} of {len(found)} runs"
    return f"{_minutes(median(times))} ({_minutes(times[0])} to {_minutes(times[-1])})"


def _minutes(seconds: float) -> str:
    return "{}:{:02}".format(*divmod(round(seconds), 60))
