"""Service: your own payments service behind the stack's name, in both regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checks import is_token, mistakes_in_props
from .dns_failover import Endpoint, mistakes_in_custom_domain
from .errors import reject
from .function_routes import mistakes_in_routes
from .standby_switch import SWITCH_PATH

TABLE_VARIABLE = "DYNAMODB_TABLE_NAME"
OWN_PURPOSES = ("health-monitor", "config-sync", "data-canary", "switch")  # of the stack's other functions


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service behind the name: routes of the stack's HTTP APIs that lead to a function in each region.

    Either the stack deploys the function from `source`, or you name existing functions with `primary_function_arn` and
    `secondary_function_arn`. The routes have no authorizer: the function must authorize callers itself. They share the
    throttle of the APIs with `GET /health`, unless Route 53 has a route of its own (`private_probe_route`).

    Args:
        routes: "METHOD /path" of each route, such as "POST /payments" and "GET /payments/{id}".
        source: The Python file. It must define `handler(event, context)` for API Gateway's payload format 2.0. The
            stack deploys it in both regions and sets the environment variable DYNAMODB_TABLE_NAME to the name of the
            region's table. Lambda sets AWS_REGION.
        actions: IAM actions on the items of its region's table, such as "dynamodb:PutItem". Apart from these, the
            function may only write its own log.
        variables: Further environment variables. No secrets: anyone who may read the function sees them.
        purpose: Part of names. Default "payments".
        memory_mb: The function's memory. Default 256.
        timeout_seconds: How long one request may take, 1 to 30. Default 10.
        primary_function_arn, secondary_function_arn: Existing functions, or versions or aliases of them, instead of
            `source`. Default: none.

    Raises:
        ConfigurationError: A prop is outside its limit, API Gateway cannot distinguish two routes, a route belongs to
            the health monitor, or the props name the function twice, not at all, or in one region only. The error lists
            all mistakes.

    Example:
        >>> Service(source=Path("payments.py"), routes=["POST /payments"], actions=["dynamodb:PutItem"])
    """

    routes: Sequence[str]
    source: Path | None = None
    actions: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    purpose: str = "payments"
    memory_mb: int = 256
    timeout_seconds: int = 10
    primary_function_arn: str | None = None
    secondary_function_arn: str | None = None

    def __post_init__(self) -> None:
        mistakes = mistakes_in_props(Service, vars(self))
        mistakes += mistakes_in_routes(self.routes)
        if self.purpose in OWN_PURPOSES:
            mistakes.append(f"purpose={self.purpose!r} names functions of the stack itself; choose another")
        reject("Service", mistakes + self._mistakes_in_functions())

    def _mistakes_in_functions(self) -> list[str]:
        given = [arn for arn in (self.primary_function_arn, self.secondary_function_arn) if arn]
        if self.source is None:
            needs = "source is not set, and needs"
            mistakes = [f"{needs} a function in each region; give source, or both function ARNs"] * (len(given) < 2)
            only = {"actions": self.actions, "variables": self.variables}
            return mistakes + [
                f"{prop} is for a function that the stack deploys; leave it out, and set it on your function"
                for prop, value in only.items()
                if value
            ]
        mistakes = ["source and function ARNs are both given; leave one of them out"] if given else []
        if not self.actions:
            mistakes.append("actions is empty, so the function could not use the table; name its DynamoDB actions")
        if TABLE_VARIABLE in self.variables:
            mistakes.append(f"variables has {TABLE_VARIABLE}, which the stack sets; leave it out")
        return mistakes


def mistakes_in_functions(service: Service | None, primary_region: str, secondary_region: str) -> list[str]:
    """Report functions of a service that are in another region than their API."""
    if service is None:
        return []
    functions = (
        (primary_region, "primary", service.primary_function_arn),
        (secondary_region, "secondary", service.secondary_function_arn),
    )
    return [
        f"service.{side}_function_arn={arn!r} is in {arn.split(':')[3]}; name a function in {region}"
        for region, side, arn in functions
        if arn and not is_token(arn) and arn.split(":")[3] != region
    ]


def mistakes_in_routes_beside_the_switch(service: Service | None) -> list[str]:
    """Report a route of a service that is the switch's route.

    Example:
        >>> mistakes_in_routes_beside_the_switch(None)
        []
    """
    return [
        f"service.routes has {route!r}, the route of the switch; use another path, or leave switch out"
        for route in (service.routes if service else ())
        if f"{route.partition(' ')[2]}/".startswith(f"{SWITCH_PATH}/")
    ]


def mistakes_in_endpoints(
    primary: Endpoint | None,
    secondary: Endpoint | None,
    *,
    regions: tuple[str, str],
    service: Service | None,
    custom_domain: bool,
    data_canary: bool,
) -> list[str]:
    """Report why the name cannot point to a team's own endpoints."""
    if primary is None and secondary is None:
        return []
    if primary is None or secondary is None:
        missing = "primary_endpoint" if primary is None else "secondary_endpoint"
        return [f"{missing} is missing, and the other one is given; give an endpoint in each region, or none"]
    mistakes = [
        f"{side}_endpoint is in {endpoint.region.name}, and the {side} region is {region}; give one in {region}"
        for side, endpoint, region in zip(("primary", "secondary"), (primary, secondary), regions, strict=True)
        if endpoint.region.name != region
    ]
    if data_canary:
        mistakes += [
            f"data_canary and {side}_endpoint.alarm_name would both decide about a failover; leave one of them out"
            for side, endpoint in (("primary", primary), ("secondary", secondary))
            if endpoint.alarm_name
        ]
    if service:
        mistakes.append(
            "service and endpoints are both given, but the name can point to one of them only; leave one out"
        )
    return mistakes + (mistakes_in_custom_domain(primary, secondary) if custom_domain else [])
