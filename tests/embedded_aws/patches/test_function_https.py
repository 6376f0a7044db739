import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Tenant

ASKS = """
    import http.client

    def handler(event, context):
        connection = http.client.HTTPSConnection(event["host"], timeout=event.get("timeout", 30))
        try:
            connection.request("GET", "/health", headers={"User-Agent": "a-function"})
            answer = connection.getresponse()
            return {"status": answer.status, "body": answer.read().decode()}
        except Exception as error:
            return {"error": type(error).__name__}
"""
HOST = "0a1b2c3d.execute-api.us-east-1.amazonaws.com"
SAYS_WHERE_IT_WOULD_CONNECT = f"""
    import http.client, socket

    def handler(event, context):
        def create_connection(address, *_, **__):
            raise ConnectionError(*address)

        socket.create_connection = create_connection
        try:
            http.client.HTTPSConnection("{HOST}").connect()
        except ConnectionError as error:
            return error.args
"""
ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": event["headers"]["host"] + " " + event["headers"]["user-agent"]}
"""


class Caller:
    """A function, and an API that it calls."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._account = Tenant(aws, aws.account_id)
        answering = self._account.function(ANSWERS, name="answering")
        self.api = self._account.http_api(answering, "answering")
        source = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{self.api}/*/*"
        self._account.let_in(answering, "apigateway.amazonaws.com", source)
        self._account.function(ASKS, name="asking")

    def ask(self, host: str, **more: float) -> Any:
        payload = json.dumps({"host": host, **more})
        answer = self._account.client("lambda", "us-east-1").invoke(FunctionName="asking", Payload=payload)
        return json.load(answer["Payload"])


@pytest.fixture
def own_aws(aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """Another one: its regions must not fail in other tests."""
    with aws.branch() as branch:
        yield branch


def test_a_function_reaches_an_api_by_its_host_on_aws_in_its_own_region_alone(own_aws: EmbeddedAws) -> None:
    caller = Caller(own_aws)
    host = f"{caller.api}.execute-api.us-east-1.amazonaws.com"
    assert caller.ask(host) == {"status": 200, "body": f"{host} a-function"}
    for other in (f"{caller.api}.execute-api.us-west-2.amazonaws.com", HOST):
        assert caller.ask(other)["status"] != 200


def test_a_failed_region_answers_503_and_one_that_hangs_nothing(own_aws: EmbeddedAws) -> None:
    caller = Caller(own_aws)
    host = f"{caller.api}.execute-api.us-east-1.amazonaws.com"
    with own_aws.region_outage("us-east-1", service="execute-api"):
        assert caller.ask(host)["status"] == 503
    with own_aws.region_outage("us-east-1", service="execute-api", kind="hang"):
        started = time.monotonic()
        assert caller.ask(host, timeout=0.5) == {"error": "TimeoutError"}
        assert time.monotonic() - started >= 0.5
    assert caller.ask(host)["status"] == 200


def test_upstream_still_leaves_the_machine(unpatched_aws: EmbeddedAws) -> None:
    account = Tenant(unpatched_aws)
    account.function(SAYS_WHERE_IT_WOULD_CONNECT)
    answer = account.client("lambda", "us-east-1").invoke(FunctionName="function")
    assert json.load(answer["Payload"]) == [HOST, 443], "upstream leads functions to its own APIs: the patch may go"
