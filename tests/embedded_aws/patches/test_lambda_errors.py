import json

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, unique

RAISES = """
    def handler(event, context):
        raise RuntimeError("the password is hunter2")
"""
ANSWERS_502 = """
    def handler(event, context):
        return {"statusCode": 502, "body": "mine"}
"""


def call(aws: EmbeddedAws, source: str) -> Answer:
    account, name = Tenant(aws, aws.account_id), unique("errors")
    function = account.function(source, name=name)
    api_id = account.http_api(function, name)
    route = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api_id}/*/*/health"
    account.let_in(function, "apigateway.amazonaws.com", route)
    return get(aws.execute_api_url(api_id, "/health"))


def test_a_failed_function_is_an_internal_server_error(aws: EmbeddedAws) -> None:
    answer = call(aws, RAISES)

    assert (answer.status, json.loads(answer.body)) == (500, {"message": "Internal Server Error"})


def test_upstream_still_shows_the_functions_error(unpatched_aws: EmbeddedAws) -> None:
    answer = call(unpatched_aws, RAISES)

    assert (answer.status, "hunter2" in answer.body) == (502, True), "upstream fixed this: lambda_errors may go"


def test_a_function_may_answer_502_itself(aws: EmbeddedAws) -> None:
    answer = call(aws, ANSWERS_502)

    assert (answer.status, answer.body) == (502, "mine")
