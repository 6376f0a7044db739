"""FunctionRoutes: routes of an HTTP API that lead to a Lambda function."""

import re
from collections.abc import Sequence
from typing import Final

from .bindings import (
    Apigatewayv2Integration,
    Apigatewayv2Route,
    Construct,
    LambdaPermission,
)
from .checks import is_token, mistakes_in_props
from .described import Described
from .errors import reject
from .health_monitor import HEALTH_PATH
from .region import PARTITION, Region, arn, mistakes_in_home, mistakes_in_providers, region_name
from .suppressions import suppress

_VARIABLE = re.compile(r"\{[^}]*\}")


def address_of(route: str) -> str:
    """The name of a route in Terraform addresses.

    Example:
        >>> address_of("GET /payments/{id}"), address_of("ANY /")
        ('get_payments_id', 'any')
    """
    return re.sub(r"[^a-z0-9]+", "_", route.lower()).strip("_")


def mistakes_in_routes(routes: Sequence[str]) -> list[str]:
    """Report routes that API Gateway cannot distinguish, and routes of the health monitor."""
    mistakes = []
    seen: dict[str, str] = {}
    for route in routes:
        path = route.partition(" ")[2]
        if path == HEALTH_PATH or path.startswith(f"{HEALTH_PATH}/"):
            mistakes.append(f"routes has {route!r}, a path that Route 53 probes or a path below it; use another path")
        # API Gateway takes one route for paths that differ in the names of their variables alone.
        keys = {_VARIABLE.sub("{}", route), address_of(route)}
        other = next((seen[key] for key in keys if key in seen), None)
        if other is not None:
            mistakes.append(
                f"routes has {other!r} and {route!r}, which API Gateway cannot distinguish; change one of them"
            )
        seen |= dict.fromkeys(keys, route)
    return mistakes


class FunctionRoutes(Described):
    """Routes of an existing HTTP API that lead to one function in the same region.

    The function may be of the same stack or of another one. API Gateway may invoke it for these routes only.

    Args:
        region: The region of both.
        api_id, stage: The HTTP API and its stage. The stage must deploy new routes by itself.
        routes: "METHOD /path" of each route, such as "POST /payments" and "GET /payments/{id}".
        function_arn: The function, or a version or alias of it.

    Attributes:
        routes: As given.

    Raises:
        ConfigurationError: A prop is outside its limit, API Gateway cannot distinguish two routes, a route belongs to
            `HealthMonitor`, or the region's provider or the function is in another region. The error lists all
            mistakes.

    Example:
        >>> FunctionRoutes(self, "refunds", region=east, api_id=health.api_id, stage=health.stage,
        ...                routes=["POST /refunds"], function_arn=function.function_arn)
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        api_id: str,
        stage: str,
        routes: Sequence[str],
        function_arn: str,
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(FunctionRoutes, locals())
        mistakes += mistakes_in_providers(self, region) + mistakes_in_home(region, function_arn=function_arn)
        reject("FunctionRoutes", mistakes + mistakes_in_routes(routes))
        # A permission is of the function as a whole, or of one version or alias, which is named apart.
        parts = function_arn.split(":")
        qualified = len(parts) > 7 and not is_token(function_arn)
        home = region_name(self, region)
        integration = Apigatewayv2Integration(
            self,
            "integration",
            api_id=api_id,
            integration_type="AWS_PROXY",
            integration_method="POST",
            integration_uri=f"arn:{PARTITION}:apigateway:{home}:lambda:path/2015-03-31/functions/{function_arn}/invocations",
            payload_format_version="2.0",
            provider=region.provider,
        )
        for route_key in routes:
            method, path = route_key.split(" ")
            address = address_of(route_key)
            permission = LambdaPermission(
                self,
                f"permission_{address}",
                statement_id=f"Allow{''.join(part.capitalize() for part in address.split('_'))}",
                action="lambda:InvokeFunction",
                function_name=":".join(parts[:7]) if qualified else function_arn,
                qualifier=parts[7] if qualified else None,
                principal="apigateway.amazonaws.com",
                # The path as the route's key has it, with the variables by name.
                source_arn=arn(
                    self, "execute-api", region, f"{api_id}/{stage}/{'*' if method == 'ANY' else method}{path}"
                ),
                provider=region.provider,
            )
            route = Apigatewayv2Route(
                self,
                f"route_{address}",
                api_id=api_id,
                route_key=route_key,
                target=f"integrations/{integration.id}",
                depends_on=[permission],
                provider=region.provider,
            )
            suppress(route, CKV_AWS_309="the function itself decides whom it serves")
        self.routes: Final = list(routes)
