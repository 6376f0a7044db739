"""Route settings need an existing route, are merged by a change of the stage, and are deleted separately.

AWS: rejects a stage with settings of a route that does not exist
(https://github.com/terraform-aws-modules/terraform-aws-apigateway-v2/pull/80), UpdateStage keeps settings that it does
not name (https://github.com/hashicorp/terraform-provider-aws/issues/16094), and DeleteRouteSettings deletes those of
one route (https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename-routesettings-routekey.html).

ministack 1.5.33: accepts settings of any route, replaces all at once, and deletes the whole stage instead of settings.

Why it matters: the throttle of the private probe route is such a setting. A stage that does not wait for its routes
would deploy only here, and the option could not be switched off.
"""

from typing import Any
from urllib.parse import unquote

from ministack.services import apigateway  # type: ignore[import-untyped]


def apply() -> None:
    """Check the settings of routes before a stage is made or changed, and delete them on DeleteRouteSettings."""
    handle_request, create, update = apigateway.handle_request, apigateway._create_stage, apigateway._update_stage

    async def handle(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
        stage, found, route_key = path.partition("/routesettings/")
        parts = stage.strip("/").split("/")
        if method == "DELETE" and found and parts[:2] == ["v2", "apis"]:
            _, _, api_id, _, stage_name = map(unquote, parts)
            return _delete(api_id, stage_name, unquote(route_key))
        return await handle_request(method, path, headers, body, query_params)

    def update_added(api_id: str, stage_name: str, data: dict[str, Any]) -> Any:
        if "routeSettings" in data:
            data = {**data, "routeSettings": {**_settings(api_id, stage_name), **data["routeSettings"]}}
        return _refusal(api_id, data) or update(api_id, stage_name, data)

    apigateway.handle_request = handle
    apigateway._create_stage = lambda api_id, data: _refusal(api_id, data) or create(api_id, data)
    apigateway._update_stage = update_added


def _settings(api_id: str, stage_name: str) -> dict[str, Any]:
    settings: dict[str, Any] = apigateway._stages.get(api_id, {}).get(stage_name, {}).get("routeSettings", {})
    return settings


def _refusal(api_id: str, data: dict[str, Any]) -> Any:
    there = {route["routeKey"] for route in apigateway._routes.get(api_id, {}).values()}
    for key in data.get("routeSettings") or {}:
        if key not in there:
            message = f"Unable to find Route by key {key} within the provided RouteSettings"
            return apigateway._apigw_error("NotFoundException", message, 404)
    return None


def _delete(api_id: str, stage_name: str, route_key: str) -> Any:
    if _settings(api_id, stage_name).pop(route_key, None) is None:
        return apigateway._apigw_error("NotFoundException", f"No settings of the route {route_key}", 404)
    return 204, {}, b""
