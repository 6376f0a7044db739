"""What clients of a custom domain meet when its region is down."""

import http.server
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
import urllib3
from botocore.exceptions import BotoCoreError, ReadTimeoutError
from urllib3.exceptions import SSLError

from embedded_aws import EmbeddedAws
from embedded_aws.custom_domains import CustomDomains

HOST = "app.pay.acme.io"


class Region:
    """A region that serves the host, until one of its services does not answer."""

    endpoint_url = "http://127.0.0.1:9"  # "discard": nobody listens
    exceptions = SimpleNamespace(NotFoundException=KeyError)

    def __init__(self, silent: str = "") -> None:
        self._silent = silent

    def client(self, service: str, region: str) -> Any:
        assert (service, region) in (("apigatewayv2", "eu-west-1"), ("acm", "eu-west-1"))
        return self

    def _answer(self, operation: str, answer: Any) -> Any:
        if operation == self._silent:
            error: BotoCoreError = ReadTimeoutError(endpoint_url=self.endpoint_url)
            raise error
        return answer

    def get_domain_name(self, **_: Any) -> Any:
        return self._answer("get_domain_name", {"DomainNameConfigurations": [{"CertificateArn": "arn"}]})

    def describe_certificate(self, **_: Any) -> Any:
        return {"Certificate": {"DomainName": HOST, "Status": "ISSUED"}}

    def get_api_mappings(self, **_: Any) -> Any:
        return self._answer("get_api_mappings", {"Items": [{"ApiId": "a", "Stage": "$default"}]})


def ask(region: Region) -> urllib3.BaseHTTPResponse:
    with CustomDomains(cast(EmbeddedAws, region), ["eu-west-1"]) as domains:
        return domains.get("eu-west-1", HOST, "/health")


def test_no_certificate_is_shown_when_the_region_does_not_tell_which(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SSLError):
        ask(Region("get_domain_name"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("silent", ["get_api_mappings", ""], ids=["mapping", "api"])
def test_503_is_answered_when_the_region_or_its_api_does_not(silent: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(Region(silent)).status == 503
    assert capfd.readouterr().err == ""


def test_an_api_may_take_longer_than_the_default_patience_of_an_http_library() -> None:
    """API Gateway waits 30 s, and urllib3 three."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(3.5)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class SlowRegion(Region):
        def __init__(self, port: int) -> None:
            super().__init__()
            self.endpoint_url = f"http://127.0.0.1:{port}"

    with http.server.HTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        try:
            assert ask(SlowRegion(server.server_address[1])).status == 204
        finally:
            server.shutdown()
