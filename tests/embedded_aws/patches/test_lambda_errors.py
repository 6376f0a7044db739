import json
from typing import Any

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""
RAISES = """
    def handler(event, context):
        raise RuntimeError("the password is hunter2")
"""
ANSWERS_502 = """
    def handler(event, context):
        return {"statusCode": 502, "body": "mine"}
"""


class Api:
    """An HTTP API in front of a function, and the function's concurrency."""

    def __init__(self, aws: EmbeddedAws, source: str) -> None:
        self.aws, account, self.name = aws, Tenant(aws, aws.account_id), unique("errors")
        function = account.function(source, name=self.name)
        self.api_id = account.http_api(function, self.name)
        route = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{self.api_id}/*/*/health"
        account.let_in(function, "apigateway.amazonaws.com", route)
        self.functions: Any = account.client("lambda")

    def get(self) -> Answer:
        return get(self.aws.execute_api_url(self.api_id, "/health"))

    def fence(self) -> None:
        self.functions.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=0)


def test_a_failed_function_is_an_internal_server_error(aws: EmbeddedAws) -> None:
    answer = Api(aws, RAISES).get()

    assert (answer.status, json.loads(answer.body)) == (500, {"message": "Internal Server Error"})


def test_upstream_still_shows_the_functions_error(unpatched_aws: EmbeddedAws) -> None:
    answer = Api(unpatched_aws, RAISES).get()

    assert (answer.status, "hunter2" in answer.body) == (502, True), "upstream fixed this: the 500 may go"


def test_a_function_may_answer_502_itself(aws: EmbeddedAws) -> None:
    answer = Api(aws, ANSWERS_502).get()

    assert (answer.status, answer.body) == (502, "mine")


def test_a_function_without_concurrency_makes_its_api_unavailable_until_that_is_lifted(aws: EmbeddedAws) -> None:
    api = Api(aws, ANSWERS)
    assert api.get() == Answer(200, "here")

    api.fence()
    answer = api.get()
    assert (answer.status, json.loads(answer.body)) == (503, {"message": "Service Unavailable"})

    api.functions.delete_function_concurrency(FunctionName=api.name)
    assert api.get() == Answer(200, "here")


def test_upstream_still_shows_the_throttle(unpatched_aws: EmbeddedAws) -> None:
    api = Api(unpatched_aws, ANSWERS)
    api.fence()

    assert api.get().status == 429, "upstream fixed this: the 503 may go"
