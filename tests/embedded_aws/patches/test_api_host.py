import pytest
import urllib3

from embedded_aws import EmbeddedAws
from embedded_aws.patches.api_host import HEADERS_MAX_BYTES, PAYLOAD_MAX_BYTES
from tests.embedded_aws.tenant import Tenant, unique

ANSWERS = """
    def handler(event, context):
        return {"statusCode": 503, "body": event["rawPath"]}
"""


class Api:
    """An HTTP API that is asked by its own host name, as the world does."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, account, name = aws, Tenant(aws, aws.account_id), unique("host")
        function = account.function(ANSWERS, name=name)
        self.id = account.http_api(function, name)
        source = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{self.id}/*/*"
        account.let_in(function, "apigateway.amazonaws.com", source)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, large: str = "", domain: str | None = None
    ) -> tuple[int, bytes]:
        host = f"{self.id}.execute-api.{domain or f'localhost:{self.aws.port}'}"
        headers = {"Host": host, "X-Large": large}
        url = self.aws.endpoint_url + path
        response = urllib3.request(method, url, headers=headers, body=body, retries=False, timeout=120)
        return response.status, response.data


@pytest.fixture(scope="module")
def api(aws: EmbeddedAws) -> Api:
    return Api(aws)


@pytest.fixture(scope="module")
def unpatched(unpatched_aws: EmbeddedAws) -> Api:
    return Api(unpatched_aws)


OTHER_PATHS = ["/_ministack/health", "/_fault", "/v2/", "/iceberg/v1", "/$default/health", "/_aws/sqs/messages"]


def test_a_route_is_served_at_the_root_of_the_host(api: Api) -> None:
    assert api.ask("GET", "/health") == (503, b"/health")


def test_the_host_on_aws_is_of_the_region_of_the_api(api: Api) -> None:
    assert api.ask("GET", "/health", domain="us-east-1.amazonaws.com") == (503, b"/health")
    assert api.ask("GET", "/_fault", domain="us-east-1.amazonaws.com") == (404, b'{"message":"Not Found"}')
    for other in ("us-west-2.amazonaws.com", "us-east-1.amazonaws.com.evil.test", "us-east-1.evil.test"):
        assert api.ask("GET", "/health", domain=other)[0] == 403


@pytest.mark.parametrize("path", OTHER_PATHS)
def test_what_is_no_route_is_not_found_whatever_else_it_means_to_the_emulator(api: Api, path: str) -> None:
    assert api.ask("GET", path) == (404, b'{"message":"Not Found"}')


def test_options_is_not_found_without_a_cors_configuration(api: Api) -> None:
    assert api.ask("OPTIONS", "/health") == (404, b'{"message":"Not Found"}')


def test_another_stage_is_named_by_the_path(aws: EmbeddedAws, api: Api) -> None:
    aws.client("apigatewayv2", "us-east-1").create_stage(ApiId=api.id, StageName="blue", AutoDeploy=True)
    assert api.ask("GET", "/blue/health") == (503, b"/health")


def test_headers_and_payload_are_served_up_to_the_quota_and_refused_beyond(api: Api) -> None:
    body = b"x" * PAYLOAD_MAX_BYTES
    assert api.ask("GET", "/health", body)[0] == 503
    assert api.ask("GET", "/health", body + b"x")[0] == 413
    assert api.ask("GET", "/health", large="x" * (HEADERS_MAX_BYTES - 300))[0] == 503
    assert api.ask("GET", "/health", large="x" * HEADERS_MAX_BYTES)[0] == 431


def test_upstream_still_answers_in_place_of_the_api(unpatched: Api) -> None:
    reserved = {path for path in OTHER_PATHS if unpatched.ask("GET", path)[0] == 200}
    assert unpatched.ask("GET", "/health", domain="us-east-1.amazonaws.com")[0] != 503, "upstream knows hosts on AWS"
    assert reserved or unpatched.ask("GET", "/health")[0] == 200, "upstream leaves its hosts to the APIs"
    assert unpatched.ask("OPTIONS", "/other")[0] == 403, "upstream answers OPTIONS as AWS does"
    assert unpatched.ask("GET", "/health", large="x" * HEADERS_MAX_BYTES)[0] != 431, "upstream has the quotas"
