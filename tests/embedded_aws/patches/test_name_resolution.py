import json
from typing import Any

import pytest

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Tenant, allow

ASKS = """
    import socket
    from urllib.parse import urlsplit
    import boto3
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1})
    kept = boto3.client("dynamodb", config=once)

    def said(call):
        try:
            call()
        except Exception as error:
            return type(error).__name__
        return "answered"

    def resolve(client):
        address = urlsplit(client.meta.endpoint_url)
        socket.getaddrinfo(address.hostname, address.port)

    def handler(event, context):
        new = boto3.client("dynamodb", config=once)
        other = boto3.client("dynamodb", region_name="us-west-2", config=once)
        return {
            "endpoint": new.meta.endpoint_url,
            "open connection": said(kept.list_tables),
            "name": said(lambda: resolve(kept)),
            "new connection": said(new.list_tables),
            "other region": said(other.list_tables),
            "other service": said(boto3.client("ssm", config=once).describe_parameters),
        }
"""
PERMISSIONS = [allow("dynamodb:ListTables", "*"), allow("ssm:DescribeParameters", "*")]


def asked(account: Tenant) -> dict[str, str]:
    answer = account.client("lambda", "us-east-1").invoke(FunctionName="function")
    found: dict[str, str] = json.load(answer["Payload"])
    return found


@pytest.fixture
def own_aws(aws: EmbeddedAws) -> Any:
    """Another one: its names must not fail in other tests."""
    with aws.branch() as branch:
        yield branch


def test_a_name_that_does_not_resolve_stops_new_connections_of_its_region_and_service_alone(
    own_aws: EmbeddedAws,
) -> None:
    account = Tenant(own_aws)
    account.function(ASKS, *PERMISSIONS)
    before = asked(account)
    assert before.pop("endpoint") == f"http://dynamodb.us-east-1.localhost:{own_aws.port}"
    assert set(before.values()) == {"answered"}

    with own_aws.region_outage("us-east-1", service="dynamodb", kind="unresolved"):
        assert account.client("dynamodb", "us-east-1").list_tables()["TableNames"] == []  # outside of functions
        during = asked(account)
    assert {each: said for each, said in during.items() if said != "answered"} == {
        "endpoint": f"http://dynamodb.us-east-1.localhost:{own_aws.port}",
        "name": "gaierror",
        "new connection": "EndpointConnectionError",
    }
    assert asked(account) == before | {"endpoint": during["endpoint"]}


def test_upstream_still_needs_no_name(unpatched_aws: EmbeddedAws) -> None:
    account = Tenant(unpatched_aws)
    account.function(ASKS, *PERMISSIONS)
    assert asked(account)["endpoint"].startswith("http://127.0.0.1:"), "upstream has names: the patch may go"
