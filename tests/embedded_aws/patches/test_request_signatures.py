import hashlib
import json
import re
from collections.abc import Iterator

import pytest
import urllib3
from botocore.exceptions import ClientError

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Answer, Tenant, get, handshake, signed, unique

# What may be put into the query in place of an ``Authorization``, by anyone and without a secret.
FORGED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={account}/20261122/us-east-1/{service}/aws4_request"
    "&X-Amz-Date=20261122T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
LISTS_QUEUES = """
    import boto3

    def handler(event, context):
        return boto3.client("sqs", region_name="us-east-1").list_queues()["ResponseMetadata"]["HTTPStatusCode"]
"""


def ask(aws: EmbeddedAws, method: str, path: str, body: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = aws.endpoint_url + path
    response = urllib3.request(method, url, body=body, headers=named, retries=False, timeout=120)
    return Answer(response.status, response.data.decode())


@pytest.fixture
def branch(aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    with aws.branch() as made:
        yield made


CALLS = {
    "dynamodb": "list_tables",
    "iam": "list_roles",
    "lambda": "list_functions",
    "route53": "list_hosted_zones",
    "s3": "list_buckets",
    "sqs": "list_queues",
    "sts": "get_caller_identity",
}


@pytest.mark.parametrize("service", CALLS)
def test_a_root_key_is_nothing_without_the_secret(account: Tenant, service: str) -> None:
    guessed = {"AccessKeyId": account.account_id, "SecretAccessKey": "embedded"}
    with pytest.raises(ClientError, match="signature we calculated does not match"):
        getattr(account.aws.client(service, "us-east-1", guessed), CALLS[service])()
    getattr(account.client(service), CALLS[service])()


def test_upstream_still_takes_any_signature_of_a_root_key(unpatched_account: Tenant) -> None:
    guessed = {"AccessKeyId": unpatched_account.account_id, "SecretAccessKey": "guessed"}
    queues = unpatched_account.aws.client("sqs", "us-east-1", guessed).list_queues()
    assert queues["ResponseMetadata"]["HTTPStatusCode"] == 200, "upstream fixed this: request_signatures may go"


@pytest.mark.parametrize(
    "authorization", ["Bearer x", "Basic Og==", "AWS4-HMAC-SHA256 Credential=x", "AWS x:y", "x", ""]
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "Action=CreateRole&Version=2010-05-08&RoleName=burglar&AssumeRolePolicyDocument={}"),
        ("/2015-03-31/functions/f/invocations", "{}"),
        ("/v20180820/tags/arn:aws:s3:::bucket", ""),
        ("/v2/email/identities", "{}"),
        ("/iceberg/v1/config", ""),
        ("/oauth2/token", ""),
        ("/bucket/key", "x"),
    ],
)
def test_a_request_that_nobody_signed_is_refused(aws: EmbeddedAws, authorization: str, path: str, body: str) -> None:
    headers = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = ask(aws, "POST", path, body, **headers, **({"Authorization": authorization} if authorization else {}))
    assert 400 <= answer.status < 404, answer
    assert "burglar" not in json.dumps(aws.client("iam", "us-east-1").list_roles(), default=str)


# ministack answers these before it reads the body.
EARLY = [
    *(("OPTIONS", "/"), ("OPTIONS", "/bucket/key"), ("GET", "/health"), ("POST", "/health"), ("PUT", "/health")),
    *(("GET", "/oauth2/authorize"), ("GET", "/oauth2/userInfo"), ("GET", "/logout")),
]


@pytest.mark.parametrize(("method", "path"), EARLY)
def test_what_needs_no_body_needs_a_signature_too(aws: EmbeddedAws, method: str, path: str) -> None:
    forged = FORGED.format(account=aws.account_id, service="s3")
    unsigned = "AccessDenied|MissingAuthenticationToken"
    for query, refusal in (("", unsigned), (f"?{forged}", "SignatureDoesNotMatch|InvalidSignature")):
        answer = ask(aws, method, path + query)
        assert (answer.status, bool(re.search(refusal, answer.body))) == (403, True), answer


def test_upstream_still_answers_them_to_anyone(unpatched_aws: EmbeddedAws) -> None:
    refused = [path for path in EARLY if ask(unpatched_aws, *path).status == 403]
    assert refused == [], "upstream fixed this: what request_signatures does about these may go"


def test_a_signature_opens_what_needs_no_body(account: Tenant) -> None:
    def answer_to(method: str, path: str) -> tuple[int, bytes]:
        headers = signed(account, "sqs", "", {}, method=method, path=path)
        answer = urllib3.request(method, account.aws.endpoint_url + path, headers=headers, retries=False, timeout=120)
        return answer.status, answer.data

    assert answer_to("OPTIONS", "/")[0] == 200
    status, body = answer_to("GET", "/health")
    assert (status, "sqs" in json.loads(body)["services"]) == (200, True)
    assert b"client_id is required" in answer_to("GET", "/logout")[1]


MQTT = {"Host": "a.iot.us-east-1.localhost", "Sec-WebSocket-Protocol": "mqtt"}
EVENTS = {"Host": "0a1b2c3d.appsync-realtime-api.localhost", "Sec-WebSocket-Protocol": "aws-appsync-event-ws"}


@pytest.mark.parametrize("path", ["/mqtt", f"/mqtt?{FORGED}", "/_aws/execute-api/0a1b2c3d/dev"])
@pytest.mark.parametrize("headers", [MQTT, EVENTS, {}], ids=["iot", "appsync", "none"])
def test_a_websocket_that_is_no_apis_is_refused(aws: EmbeddedAws, path: str, headers: dict[str, str]) -> None:
    path = path.format(account=aws.account_id, service="iotdevicegateway")
    assert handshake(aws, path, headers) == "HTTP/1.1 403 Forbidden"


def test_the_secret_opens_a_websocket(aws: EmbeddedAws) -> None:
    for authorization, status in ((aws.secret_access_key, "101 Switching Protocols"), ("embedded", "403 Forbidden")):
        answer = handshake(aws, "/mqtt", {**MQTT, "Authorization": f"Bearer {authorization}"})
        assert answer == f"HTTP/1.1 {status}"


def test_upstream_still_serves_mqtt_to_anyone(unpatched_aws: EmbeddedAws) -> None:
    opened = handshake(unpatched_aws, "/mqtt", MQTT)
    assert "101" in opened, "upstream fixed this: what request_signatures does about websockets may go"


def test_a_websocket_of_an_api_is_open_by_host_and_by_path(aws: EmbeddedAws) -> None:
    gateway = aws.client("apigatewayv2", "us-east-1")
    api = gateway.create_api(Name=unique("chat"), ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a")
    gateway.create_stage(ApiId=api["ApiId"], StageName="dev")
    by_host = {"Host": f"{api['ApiId']}.execute-api.localhost:{aws.port}"}
    for path, headers in ((f"/_aws/execute-api/{api['ApiId']}/dev", {}), ("/dev", by_host)):
        assert handshake(aws, path, headers) == "HTTP/1.1 101 Switching Protocols"
    # To write to its clients needs a signature.
    assert ask(aws, "POST", f"/_aws/execute-api/{api['ApiId']}/dev/@connections/x", "hey").status == 403


def test_a_signature_in_the_query_is_checked(account: Tenant) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    query = FORGED.format(account=account.account_id, service="iam")
    role = "Action=CreateRole&Version=2010-05-08&RoleName=burglar&AssumeRolePolicyDocument={}"
    assert ask(account.aws, "POST", f"/?{query}", role, **form).status == 403
    assert account.client("iam").list_roles()["Roles"] == []

    for path in ("/bucket/key", "/bucket", "/2015-03-31/functions", "/v2/repository/blobs/uploads/"):
        query = FORGED.format(account=account.account_id, service="s3")
        assert ask(account.aws, "PUT", f"{path}?{query}", "x").status == 403, path
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_a_presigned_url_is_good_for_what_it_was_made_for(account: Tenant) -> None:
    s3, bucket = account.client("s3"), unique("presigned")
    s3.create_bucket(Bucket=bucket)
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a"})
    assert urllib3.request("PUT", put, body=b"content", retries=False, timeout=120).status == 200

    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    assert get(url) == Answer(200, "content")
    assert get(url.replace(f"{bucket}/a", f"{bucket}/b")).status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/%5Fministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/health"),
        ("POST", "/_ministack/lambda-code/a/b/c"),
        ("PUT", "/_ministack/cfn-signal/x"),
        ("GET", "/_localstack/health"),
        ("GET", "/_aws/sqs/messages"),
        ("GET", "/_aws/ses"),
        ("GET", "/_fault"),
        ("PUT", "/_fault/us-east-1"),
        ("PUT", "/_replication?seconds=9"),
        ("PUT", "/_branch"),
    ],
)
def test_the_emulators_own_paths_need_the_secret(aws: EmbeddedAws, method: str, path: str) -> None:
    tenant, name = Tenant(aws), unique("kept")
    tenant.queue(name)
    for authorization in ("", "Bearer ", "Bearer embedded", aws.secret_access_key, f"Basic {aws.secret_access_key}"):
        answer = ask(aws, method, path, "{}", Authorization=authorization)
        assert (answer.status, "secret of this embedded AWS" in answer.body) == (403, True)
    assert name in tenant.client("sqs").list_queues()["QueueUrls"][0]
    assert aws.failed_regions() == []


def test_the_secret_opens_them() -> None:
    with EmbeddedAws() as aws:
        Tenant(aws, aws.account_id).queue("lost")
        secret = {"Authorization": f"Bearer {aws.secret_access_key}"}
        assert ask(aws, "POST", "/_ministack/reset", **secret).status == 200
        assert aws.client("sqs", "us-east-1").list_queues().get("QueueUrls", []) == []


def test_the_host_of_an_api_that_is_none_opens_nothing(aws: EmbeddedAws) -> None:
    host = {"Host": f"0a1b2c3d.execute-api.localhost:{aws.port}"}
    assert ask(aws, "POST", "/_ministack/reset", **host).status == 403
    assert ask(aws, "POST", "/", "Action=ListRoles&Version=2010-05-08", **host).status == 403


def test_an_api_and_the_address_of_a_functions_code_are_open(aws: EmbeddedAws) -> None:
    tenant, name = Tenant(aws, aws.account_id), unique("open")
    function = tenant.function("def handler(event, context):\n    return {'statusCode': 200, 'body': 'x'}", name=name)
    api = tenant.http_api(function, name)
    tenant.let_in(function, "apigateway.amazonaws.com", f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api}/*/*")

    assert get(aws.execute_api_url(api, "/health")) == Answer(200, "x")
    code = tenant.client("lambda").get_function(FunctionName=name)["Code"]["Location"]
    assert urllib3.request("GET", code, retries=False, timeout=120).data.startswith(b"PK")


def test_a_functions_credentials_do_not_follow_from_its_name(account: Tenant) -> None:
    arn = account.function(LISTS_QUEUES, {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"})
    called = account.client("lambda").invoke(FunctionName=arn, Payload="{}")
    assert json.loads(called["Payload"].read()) == 200

    role = account.client("lambda").get_function_configuration(FunctionName=arn)["Role"]
    digest = hashlib.sha256(f"{arn}:{role}".encode()).hexdigest()  # as ministack has it
    computed = {
        "AccessKeyId": f"ASIA{digest[:16].upper()}",
        "SecretAccessKey": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        "SessionToken": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    }
    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        account.aws.client("sqs", "us-east-1", computed).list_queues()


def test_a_branch_has_a_secret_of_its_own(aws: EmbeddedAws, branch: EmbeddedAws) -> None:
    assert aws.secret_access_key != branch.secret_access_key
    assert len(aws.secret_access_key) > 40
    for one, other in ((aws, branch), (branch, aws)):
        keys = {"AccessKeyId": one.account_id, "SecretAccessKey": one.secret_access_key}
        one.client("sqs", "us-east-1", keys).list_queues()
        with pytest.raises(ClientError, match="signature we calculated does not match"):
            other.client("sqs", "us-east-1", keys).list_queues()
        bearer = f"Bearer {one.secret_access_key}"
        assert ask(one, "GET", "/_fault", Authorization=bearer).status == 200
        assert ask(other, "GET", "/_fault", Authorization=bearer).status == 403


def test_the_secret_is_in_no_log_and_no_function(aws: EmbeddedAws) -> None:
    tenant, name = Tenant(aws), unique("shows")
    tenant.function("import os\ndef handler(event, context):\n    return dict(os.environ)", name=name)
    shown = tenant.client("lambda").invoke(FunctionName=name, Payload="{}")["Payload"].read().decode()
    assert "AWS_SECRET_ACCESS_KEY" in shown
    assert aws.secret_access_key not in shown
    assert aws.secret_access_key not in aws.log_text()
