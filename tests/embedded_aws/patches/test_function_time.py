import urllib3

from embedded_aws import EmbeddedAws
from embedded_aws.server import FUNCTION_SECONDS
from tests.embedded_aws.tenant import Tenant, unique

# What its module takes is the start of the function, and not its work.
STARTS_SLOWLY = """
    import time
    time.sleep(0.5)
    def handler(event, context):
        return {"statusCode": 200, "body": "here", "headers": {"mine": "yes"}}
"""
WORKS_SLOWLY = """
    import time
    def handler(event, context):
        time.sleep(0.5)
        return {"statusCode": 503, "body": "here"}
"""
RAISES = """
    def handler(event, context):
        raise RuntimeError
"""


def headers_of(aws: EmbeddedAws, source: str) -> urllib3.HTTPHeaderDict:
    """Of the answer of an HTTP API in front of a function that is not running yet."""
    account, name = Tenant(aws, aws.account_id), unique("timed")
    function = account.function(source, name=name)
    api_id = account.http_api(function, name)
    route = f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api_id}/*/*/health"
    account.let_in(function, "apigateway.amazonaws.com", route)
    return urllib3.request("GET", aws.execute_api_url(api_id, "/health"), retries=False, timeout=60).headers


def test_an_answer_tells_how_long_the_function_worked_without_its_start(aws: EmbeddedAws) -> None:
    headers = headers_of(aws, STARTS_SLOWLY)
    assert 0 <= float(headers[FUNCTION_SECONDS]) < 0.5
    assert headers["mine"] == "yes"
    assert float(headers_of(aws, WORKS_SLOWLY)[FUNCTION_SECONDS]) >= 0.5


def test_where_no_function_has_answered_nothing_is_told(aws: EmbeddedAws) -> None:
    assert FUNCTION_SECONDS not in headers_of(aws, RAISES)


def test_upstream_still_tells_nothing(unpatched_aws: EmbeddedAws) -> None:
    told = [name for name in headers_of(unpatched_aws, WORKS_SLOWLY) if "seconds" in name or "duration" in name]
    assert told == [], "upstream tells it: the patch may go"
