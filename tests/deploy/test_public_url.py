"""Abuse of the public address: thousands of requests, of which GET /health alone is served."""

import http.client
import json
import os
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import unquote

import pytest

from embedded_aws.checks import eventually
from embedded_aws.deployment import Deployment
from payment_dr.side import SIDES
from tests.deploy.conftest import Deployed
from tests.deploy.mailbox import mailbox

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployment")]

REQUESTS = 3000
SEED = int(os.environ.get("ABUSE_SEED", "20261122"))  # another one makes other requests
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html: request line and header values have
# 10,240 bytes together, the payload 10 MB. (Lambda takes 6 MB, so a larger payload is the gateway's to refuse.)
HEADERS_MAX_BYTES = 10_240
PAYLOAD_MAX_BYTES = 10 * 1024 * 1024
LAMBDA_MAX_BYTES = 4 * 1024 * 1024  # 6 MB, of base64

SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire.

    Attributes:
        served: Whether the function has to answer it; None where AWS, or a proxy before it, may do either.
    """

    method: bytes
    target: bytes
    headers: tuple[bytes, ...] = ()
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    served: bool | None = False

    def on_the_wire(self, host: str) -> bytes:
        lines = [b" ".join([self.method, self.target, self.version]), f"Host: {host}".encode(), *self.headers]
        framed = any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in self.headers)
        if self.body and not framed:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"Connection: close", b"", self.body])


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when the connection was closed without an answer."""

    status: int
    headers: str = ""
    body: bytes = b""


def send(deployment: Deployment, api_id: str, request: Request) -> Answer:
    """Send a request to the API's own host."""
    with socket.create_connection(("127.0.0.1", deployment.aws.port), timeout=120) as connection:
        try:
            connection.sendall(request.on_the_wire(f"{api_id}.execute-api.localhost:{deployment.aws.port}"))
            connection.shutdown(socket.SHUT_WR)  # whatever was promised, nothing more comes
        except OSError:
            pass  # refused before all of it was sent; the answer may be there
        response = http.client.HTTPResponse(connection, method=request.method.decode("latin-1"))
        try:
            response.begin()
            return Answer(response.status, str(response.headers), response.read())
        except (http.client.HTTPException, ConnectionError):
            return Answer(0)


# Requests


def one_of(chance: random.Random, *choices: bytes | Callable[[], bytes]) -> bytes:
    choice = chance.choice(choices)
    return choice() if callable(choice) else choice


def noise(chance: random.Random, alphabet: bytes, longest: int) -> bytes:
    return bytes(chance.choices(alphabet, k=chance.randint(1, longest)))


VISIBLE = bytes(range(0x21, 0x7F))
SEGMENTS = b"abcdefgh0123456789-._~!$&'()*+,;=:@"
METHODS = (b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"BREW")
PATHS = (
    *(b"/", b"*", b"/.", b"/..", b"/../health", b"/./health", b"/x/../health", b"/health/..", b"/health/.", b"/HEALTH"),
    *(
        b"/health%00",
        b"/health%00.json",
        b"/health%0d%0aX-Injected:%20yes",
        b"/health;a=b",
        b"/health.json",
        b"/healthz",
    ),
    *(b"/health//", b"/%2e%2e/health", b"/..%2fhealth", b"/%c0%afhealth", b"/%ff", b"/%", b"/%zz", b"/h%C3%A9alth"),
    *(b"/$default/health", b"/%24default/health", b"/dev/health", b"/prod/health", b"/health/health", b"/favicon.ico"),
    *(b"/@connections/x", b"/2015-03-31/functions/f/invocations", b"/.env", b"/.git/config", b"/latest/meta-data/"),
    *(b"/_ministack/health", b"/_ministack/reset", b"/_localstack/init", b"/_fault/us-east-1", b"/restapis/x/y/z"),
    *(b"/_aws/execute-api/x/$default/health", b"/v2/", b"/iceberg/v1", b"/oauth2/token", b"/.well-known/jwks.json"),
    *(b"http://169.254.169.254/latest/meta-data/", b"/?Action=ListTopics&Version=2010-03-31", b"/health#top"),
)
SAME_ROUTE = (b"//health", b"///health", b"/health/", b"/%68ealth", b"/%68%65%61%6C%74%68", b"/health%2f", b"health")
HEADERS = (
    *(
        b"X-Amz-Invocation-Type: Event",
        b"X-Amz-Invocation-Type: DryRun",
        b"X-Amz-Log-Type: Tail",
        b"X-Amz-Function-Error: x",
    ),
    *(b"X-Amz-Client-Context: eyJzb3VyY2UiOiAiYXdzLmV2ZW50cyJ9", b"X-Amz-Target: DynamoDB_20120810.ListTables"),
    *(b"X-Amz-Security-Token: x", b"X-Amz-Date: 20261122T000000Z", b"X-Amzn-Trace-Id: Root=1-0-0", b"Range: bytes=0-1"),
    *(b"Authorization: Bearer x", b"Authorization: Basic Og==", b"Authorization: AWS4-HMAC-SHA256 Credential=x"),
    *(b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Host: admin", b"X-Forwarded-Proto: https", b"Forwarded: for=_x"),
    *(b"X-Original-URL: /admin", b"X-Rewrite-URL: /admin", b"X-HTTP-Method-Override: DELETE", b"Cookie: a=b; c"),
    *(b"Detail-Type: Scheduled Event", b"Source: aws.events", b"Accept: */*;q=x", b"Accept-Encoding: br, gzip, x"),
    *(
        b"Content-Type: application/json",
        b"Content-Type: x",
        b"Content-Encoding: gzip",
        b"Content-Encoding: aws-chunked",
    ),
    *(
        b"Origin: https://evil.test",
        b"Referer: \xff\xfe",
        b"User-Agent: ${jndi:ldap://x}",
        b"If-None-Match: *",
        b"Empty:",
    ),
    *(b"Expect: 100-continue", b"Upgrade: websocket", b"Via: 1.1 x", b"Max-Forwards: 0", b"X: \xc3\x28"),
)
BODIES = (
    *(json.dumps(event).encode() for event in (SCHEDULED, {**SCHEDULED, "requestContext": None}, [SCHEDULED])),
    *(b"null", b"{}", b"{", b"[" * 5000, b'{"a":' * 2000, b"\x00" * 64, b"\xff\xfe", b"Action=Publish&Message=x"),
)
UNFRAMED = (
    Request(b"GET", b"/health", (b"Content-Length: 100",), b"short"),
    Request(b"GET", b"/health", (b"Content-Length: 0",), b"GET /health HTTP/1.1\r\n\r\n", served=None),
    Request(b"GET", b"/health", (b"Content-Length: -1",)),
    Request(b"GET", b"/health", (b"Content-Length: many",)),
    Request(b"GET", b"/health", (b"Content-Length: 1", b"Content-Length: 2"), b"ab"),
    Request(b"GET", b"/health", (b"Content-Length: 4", b"Transfer-Encoding: chunked"), b"0\r\n\r\n", served=None),
    Request(b"GET", b"/health", (b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n", served=None),
    Request(b"GET", b"/health", (b"Transfer-Encoding: chunked",), b"ffffffffffffffffff\r\n"),
    Request(b"GET", b"/health", (b"Host: other.test",)),
    Request(b"GET", b"/health", (b"No colon",)),
    Request(b"GET", b"/health", (b"Null: \x00",)),
    Request(b"GET", b"/health", (b"Folded: a\r\n b",), served=None),
    Request(b"GET", b"/health", version=b"HTTP/1.0", served=None),
    Request(b"GET", b"/health", version=b"HTTP/3.0", served=None),
    Request(b"GET", b"/health", version=b""),
    Request(b"GET", b"/h\xc3\xa9alth"),
    Request(b"GET", b"/health\x00"),
    Request(b"GET ", b"/health"),
    Request(b"G\x00T", b"/health"),
    Request(b"\x16\x03\x01\x02\x00\x01\x00", b"/health"),
    Request(b"get", b"/health", served=None),  # method names are case-sensitive; the server here is not
    Request(b"X" * 5000, b"/health"),
    Request(b"GET", b"/health", (b"Large: " + b"x" * 9_900,), served=True),
    Request(b"GET", b"/health", (b"Large: " + b"x" * HEADERS_MAX_BYTES,)),
    Request(b"GET", b"/health", (b"Large: " + b"x" * 200_000,)),
    Request(b"GET", b"/health", (b"Repeated: x",) * 200, served=True),
    Request(b"GET", b"/health", (b"Repeated: x",) * (HEADERS_MAX_BYTES + 1)),
    Request(b"GET", b"/health?" + b"q=" + b"x" * 9_000, served=True),
    Request(b"GET", b"/health?" + b"q=" + b"x" * HEADERS_MAX_BYTES),
    Request(b"GET", b"/health", body=b"x" * LAMBDA_MAX_BYTES, served=True),
    Request(b"GET", b"/health", body=b"x" * PAYLOAD_MAX_BYTES, served=None),
    Request(b"GET", b"/health", body=b"x" * (PAYLOAD_MAX_BYTES + 1)),
    Request(b"POST", b"/health", body=b"x" * PAYLOAD_MAX_BYTES),
)


def query(chance: random.Random) -> bytes:
    pairs = (
        *(
            b"source=aws.events",
            b"detail-type=Scheduled+Event",
            b"a=%ff",
            b"a=%00",
            b"a",
            b"=",
            b"&&",
            b"a=1&a=2",
            b"a[]=1",
        ),
        *(b"X-Amz-Credential=x/20261122/eu-west-1/sqs/aws4_request&X-Amz-Signature=x", b"Action=Publish&TopicArn=x"),
        lambda: noise(chance, VISIBLE, 200),
    )
    return b"&".join(one_of(chance, *pairs) for _ in range(chance.randint(1, 6)))


def generated(chance: random.Random) -> Iterator[Request]:
    """The awkward ones, then random ones, half of which are meant for the one route."""
    yield from UNFRAMED
    for number in range(REQUESTS - len(UNFRAMED)):
        method, path = b"GET", b"/health"
        if number % 2:
            method = one_of(chance, *METHODS, b"GET", b"GET", lambda: noise(chance, b"ABCXYZ-", 20))
            segments = lambda: b"/" + noise(chance, SEGMENTS, 12)  # noqa: E731
            octets = lambda: b"/health%" + noise(chance, b"0123456789abcdefABCDEF", 4)  # noqa: E731
            path = one_of(chance, *PATHS, *SAME_ROUTE, b"/health", b"/" + b"x" * 5000, *[segments] * 9, *[octets] * 9)
        target = path + b"?" + query(chance) if chance.random() < 0.4 and b"?" not in path else path
        headers = tuple(chance.choices(HEADERS, k=chance.choice([0, 0, 1, 2, 6])))
        body = chance.choice([b"", b"", one_of(chance, *BODIES, lambda: chance.randbytes(2000))])
        yield Request(method, target, headers, body, served=is_served(method, target))


def is_served(method: bytes, target: bytes) -> bool | None:
    path = target.partition(b"?")[0]
    if method != b"GET" or unquote(path, "latin-1").strip("/") != "health":
        return False
    return True if path == b"/health" else None


# What must not be told


@pytest.fixture
def forbidden(deployment: Deployed) -> re.Pattern[str]:
    """The account, ARNs, stack traces, access keys, and every value of the functions' environments."""
    access_key = "(?-i:(ASIA|AKIA)[A-Z0-9]{16})"  # a request's id may hold its first letters by chance
    told = ["arn:aws", "Traceback", 'File "', "site-packages", access_key, deployment.aws.account_id]
    for side in SIDES:
        name = deployment.value(f"{side}_health_monitor_function_name")
        configuration = deployment.client("lambda", side).get_function_configuration(FunctionName=name)
        told += [re.escape(value) for value in configuration["Environment"]["Variables"].values()]
    return re.compile("|".join(told), re.IGNORECASE)


def wrong_with(request: Request, answer: Answer, forbidden: re.Pattern[str]) -> str | None:
    text = answer.headers + answer.body.decode("latin-1")
    if found := forbidden.search(text):
        return f"tells {found[0]!r}"
    served = answer.status in {200, 503} and b'"status"' in answer.body
    if served and json.loads(answer.body)["status"] != {200: "healthy", 503: "unhealthy"}[answer.status]:
        return "answers with another status than its verdict's"
    if served == (request.served is False) and request.served is not None:
        return "is served" if served else "is not served"
    if not served and answer.status != 0 and not 400 <= answer.status < 500:
        return f"is answered {answer.status}"
    return None


def test_only_the_health_route_is_served_and_nothing_is_told_or_mailed(
    deployment: Deployed, forbidden: re.Pattern[str]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    wrong = []
    with ExitStack() as open_:
        boxes = {side: open_.enter_context(mailbox(deployment, side)) for side in SIDES}
        for number, request in enumerate(generated(chance)):
            side = SIDES[number % len(SIDES)]
            answer = send(deployment, deployment.value(f"{side}_api_id"), request)
            if problem := wrong_with(request, answer, forbidden):
                wrong.append((problem, request, answer))
        told = [f"{problem}: {str(request)[:300]} -> {str(answer)[:300]}" for problem, request, answer in wrong]
        assert told == [], "\n".join([f"ABUSE_SEED={SEED}", *told[:20]])
        for side, box in boxes.items():  # what comes first in a queue came first to the topic
            topic = deployment.value(f"{side}_sns_topic_arn")
            deployment.client("sns", side).publish(TopicArn=topic, Message="is anybody there?")
            eventually(box.received, "the mailbox gets mail")
            assert [mail["Message"] for mail in box.mails] == ["is anybody there?"]


def test_a_request_without_a_route_is_not_found_as_on_aws(deployment: Deployed) -> None:
    api_id = deployment.value("primary_api_id")
    for method, target in [(b"GET", b"/"), (b"POST", b"/health"), (b"OPTIONS", b"/health"), (b"GET", b"/v2/")]:
        answer = send(deployment, api_id, Request(method, target))
        assert (answer.status, json.loads(answer.body)) == (404, {"message": "Not Found"}), (method, target)
    assert send(deployment, api_id, Request(b"HEAD", b"/health")).status == 404
