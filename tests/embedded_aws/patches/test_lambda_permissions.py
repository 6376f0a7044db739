import pytest

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 200, "body": "here"}
"""


def call(aws: EmbeddedAws, service: str | None, route: str = "*/*/health") -> Answer:
    account, name = Tenant(aws, aws.account_id), unique("permissions")
    function = account.function(ANSWERS, name=name)
    api_id = account.http_api(function, name)
    if service is not None:
        account.let_in(function, service, f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api_id}/{route}")
    return get(aws.execute_api_url(api_id, "/health"))


@pytest.mark.parametrize("route", ["*/*/health", "*/*", "$default/GET/health", "*/GET/health"])
def test_an_api_may_invoke_a_function_that_lets_it_in(aws: EmbeddedAws, route: str) -> None:
    answer = call(aws, "apigateway.amazonaws.com", route)

    assert (answer.status, answer.body) == (200, "here")


@pytest.mark.parametrize(
    ("service", "route"),
    [(None, ""), ("events.amazonaws.com", "*/*"), ("apigateway.amazonaws.com", "*/POST/health")],
    ids=["nobody", "another service", "another route"],
)
def test_an_api_that_is_not_let_in_answers_500(aws: EmbeddedAws, service: str | None, route: str) -> None:
    answer = call(aws, service, route)

    assert (answer.status, answer.body) == (500, '{"message":"Internal Server Error"}')


def test_upstream_still_lets_every_api_in(unpatched_aws: EmbeddedAws) -> None:
    assert call(unpatched_aws, None).status == 200, "upstream asks the function's policy: lambda_permissions may go"
