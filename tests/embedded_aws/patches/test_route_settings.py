from typing import Any

import pytest

from tests.embedded_aws.tenant import Tenant

THROTTLE: Any = {"ThrottlingRateLimit": 200.0, "ThrottlingBurstLimit": 400}


def api_with_routes(account: Tenant) -> tuple[Any, str]:
    """A client, and the id of an API that has two routes and a stage with settings of the first."""
    client = account.client("apigatewayv2")
    api_id: str = client.create_api(Name="payments", ProtocolType="HTTP")["ApiId"]
    for path in ("/health", "/health/x"):
        client.create_route(ApiId=api_id, RouteKey=f"GET {path}")
    client.create_stage(ApiId=api_id, StageName="$default", RouteSettings={"GET /health": THROTTLE})
    return client, api_id


def settings(client: Any, api_id: str) -> Any:
    return client.get_stage(ApiId=api_id, StageName="$default")["RouteSettings"]


def change(client: Any, api_id: str, settings: Any) -> None:
    client.update_stage(ApiId=api_id, StageName="$default", RouteSettings=settings)


def delete(client: Any, api_id: str, key: str) -> None:
    client.delete_route_settings(ApiId=api_id, StageName="$default", RouteKey=key)


def test_settings_come_back_are_added_to_and_are_deleted_by_themselves(account: Tenant) -> None:
    client, api_id = api_with_routes(account)
    assert settings(client, api_id) == {"GET /health": THROTTLE}
    change(client, api_id, {"GET /health/x": THROTTLE})
    assert settings(client, api_id) == {"GET /health": THROTTLE, "GET /health/x": THROTTLE}
    delete(client, api_id, "GET /health")
    assert settings(client, api_id) == {"GET /health/x": THROTTLE}
    with pytest.raises(client.exceptions.NotFoundException):
        delete(client, api_id, "GET /health")


def test_settings_of_a_route_that_is_not_there_are_refused(account: Tenant) -> None:
    client, api_id = api_with_routes(account)
    with pytest.raises(client.exceptions.NotFoundException, match="Unable to find Route by key GET /nowhere"):
        change(client, api_id, {"GET /nowhere": THROTTLE})
    with pytest.raises(client.exceptions.NotFoundException, match="Unable to find Route by key GET /nowhere"):
        client.create_stage(ApiId=api_id, StageName="other", RouteSettings={"GET /nowhere": THROTTLE})
    assert settings(client, api_id) == {"GET /health": THROTTLE}


def test_upstream_still_takes_any_and_deletes_the_stage(unpatched_account: Tenant) -> None:
    client, api_id = api_with_routes(unpatched_account)
    change(client, api_id, {"GET /nowhere": THROTTLE})
    assert settings(client, api_id) == {"GET /nowhere": THROTTLE}
    delete(client, api_id, "GET /nowhere")
    assert client.get_stages(ApiId=api_id)["Items"] == []
