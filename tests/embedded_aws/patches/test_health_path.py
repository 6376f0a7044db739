from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 503, "body": "unhealthy"}
"""


def probe(aws: EmbeddedAws) -> Answer:
    """Ask for an API's health as a DNS health check does: by the API's own host name."""
    account, name = Tenant(aws, aws.account_id), unique("health")
    function = account.function(ANSWERS, name=name)
    api_id = account.http_api(function, name)
    account.let_in(function, "apigateway.amazonaws.com", f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api_id}/*/*")
    return get(f"{aws.endpoint_url}/health", {"Host": f"{api_id}.execute-api.localhost:{aws.port}"})


def test_the_path_health_is_the_apis(aws: EmbeddedAws) -> None:
    answer = probe(aws)

    assert (answer.status, answer.body) == (503, "unhealthy")


def test_upstream_still_answers_for_the_api(unpatched_aws: EmbeddedAws) -> None:
    assert probe(unpatched_aws).status == 200, "upstream leaves /health to the API: health_path may go"
