import json
from typing import Any

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""


class Api:
    """An HTTP API in front of a function, and the function's concurrency."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account, self.name = aws, Tenant(aws, aws.account_id), unique("throttled")
        function = self.account.function(ANSWERS, name=self.name)
        self.api_id = self.account.http_api(function, self.name)
        route = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{self.api_id}/*/*/health"
        self.account.let_in(function, "apigateway.amazonaws.com", route)
        self.functions: Any = self.account.client("lambda")

    def get(self) -> Answer:
        return get(self.aws.execute_api_url(self.api_id, "/health"))

    def fence(self) -> None:
        self.functions.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=0)


def test_a_function_without_concurrency_makes_its_api_unavailable_until_that_is_lifted(aws: EmbeddedAws) -> None:
    api = Api(aws)
    assert api.get() == Answer(200, "here")

    api.fence()
    answer = api.get()
    assert (answer.status, json.loads(answer.body)) == (503, {"message": "Service Unavailable"})

    api.functions.delete_function_concurrency(FunctionName=api.name)
    assert api.get() == Answer(200, "here")


def test_upstream_still_shows_the_throttle(unpatched_aws: EmbeddedAws) -> None:
    api = Api(unpatched_aws)
    api.fence()

    assert api.get().status == 429, "upstream fixed this: lambda_throttles may go"
