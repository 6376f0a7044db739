"""Outputs are read, AWS is asked, and every way not to get an answer has its sentence."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError, ProxyConnectionError, SSLError

from embedded_aws import EmbeddedAws
from payment_dr import health_monitor
from payment_dr.operations.aws import CannotTellError, NoAnswerError, asked
from payment_dr.operations.command import past_proxies
from payment_dr.operations.deployed import HEALTH_PATH, Deployed
from payment_dr.operations.errors import OperationError, ThisMachineError
from tests.handlers.loopback import Server, replies
from tests.operations.stack import GONE, OUTPUTS, PRIVATE_PATH, refusal


def test_the_public_route_is_that_of_the_construct() -> None:
    assert HEALTH_PATH == health_monitor.HEALTH_PATH


def outputs_file(folder: Path, without: str = "") -> Path:
    path = folder / "outputs.json"
    outputs = {name: {"value": value, "sensitive": False} for name, value in OUTPUTS.items() if name != without}
    path.write_text(json.dumps(outputs))
    return path


def terraform(folder: Path, script: str) -> str:
    path = folder / "terraform"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_outputs_come_from_a_file_and_secrets_are_not_kept(tmp_path: Path) -> None:
    stack = Deployed.read(outputs=outputs_file(tmp_path))
    assert [stack.region(side) for side in ("primary", "secondary")] == ["us-east-1", "us-west-2"]
    assert stack.account_id == "123456789012"
    assert stack.rto_target_seconds == 180
    assert "hunter2" not in str(vars(stack))


def test_outputs_come_from_terraform_in_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = outputs_file(tmp_path)
    monkeypatch.setenv(
        "TERRAFORM_BINARY_NAME", terraform(tmp_path, f'test "$*" = "-chdir=there output -json -no-color" && cat {path}')
    )
    assert Deployed.read(directory=Path("there")).region("secondary") == "us-west-2"


@pytest.mark.parametrize(
    ("script", "error_text"),
    [
        ("echo '│ Error: Backend initialization required' >&2; exit 1", "failed: Error: Backend initialization"),
        ("echo {}", "these outputs are missing: alarm_names, application_fqdn"),
        ("echo Usage", "has no Terraform outputs"),
    ],
)
def test_a_terraform_without_outputs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error_text: str
) -> None:
    monkeypatch.setenv("TERRAFORM_BINARY_NAME", terraform(tmp_path, script))
    with pytest.raises(OperationError, match=error_text) as error:
        Deployed.read(directory=Path("there"))
    assert error.value.hint


def test_a_missing_terraform_or_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERRAFORM_BINARY_NAME", str(tmp_path / "terraform"))
    with pytest.raises(OperationError, match=r"terraform does not run: .*No such file"):
        Deployed.read()
    with pytest.raises(OperationError, match=r"outputs.json cannot be read"):
        Deployed.read(outputs=tmp_path / "outputs.json")


@pytest.mark.parametrize("name", ["secondary_api_id", "rto_target_seconds"])
def test_a_missing_output_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=rf"these outputs are missing: {name}$"):
        Deployed.read(outputs=outputs_file(tmp_path, without=name))


def test_the_health_url_is_the_apis_own_or_the_embedded_awss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = outputs_file(tmp_path)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert Deployed.read(outputs=path).health_url("primary") == (
        "https://primary.execute-api.us-east-1.amazonaws.com/health"
    )
    assert Deployed.read(outputs=path).health_url("primary", PRIVATE_PATH).endswith(".amazonaws.com/health/s3cret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert Deployed.read(outputs=path).health_url("primary") == (
        "http://127.0.0.1:4566/_aws/execute-api/primary/$default/health"
    )
    assert Deployed.read(outputs=path).health_url("primary", PRIVATE_PATH).endswith("/$default/health/s3cret")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (GONE, NoAnswerError, "DynamoDB does not answer"),
        (refusal(503, "ServiceUnavailable"), NoAnswerError, "DynamoDB answers 503"),
        (refusal(400), CannotTellError, "DynamoDB rejects the call: AccessDeniedException"),
        (NoCredentialsError(), CannotTellError, "DynamoDB cannot be reached: Unable to locate credentials"),
        (
            ProxyConnectionError(proxy_url="http://proxy", error="Tunnel connection failed: 407"),
            CannotTellError,
            'DynamoDB cannot be reached: Failed to connect to proxy URL: "http://proxy"',
        ),
        (
            SSLError(
                endpoint_url="https://…", error=OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
            ),
            CannotTellError,
            "DynamoDB cannot be reached: SSL validation failed for https://… [SSL: CERTIFICATE_VERIFY_FAILED] "
            "self-signed certificate",
        ),
        (SSLError(endpoint_url="https://…", error=OSError("EOF")), NoAnswerError, "DynamoDB does not answer"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            ThisMachineError,
            "this process cannot open any more files or connections",
        ),
    ],
)
def test_each_failed_call_becomes_the_error_for_its_cause(
    error: Exception, kind: type[OperationError], message: str
) -> None:
    def fail() -> Any:
        raise error

    with pytest.raises(OperationError) as raised:
        asked("DynamoDB", fail)
    assert (type(raised.value), raised.value.message) == (kind, message)


def test_clients_go_to_the_endpoint_past_a_proxy_and_to_their_region(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}).items():
        monkeypatch.setenv(name, value)
    stack = Deployed.read(outputs=outputs_file(tmp_path))
    assert stack.client("sts", "secondary").get_caller_identity()["Account"] == aws.account_id
    with aws.region_outage("us-west-2"), pytest.raises(NoAnswerError, match="DynamoDB answers 503"):
        asked("DynamoDB", stack.client("dynamodb", "secondary").list_tables)
    assert asked("DynamoDB", stack.client("dynamodb", "primary").list_tables)["TableNames"] is not None


def test_a_region_that_hangs_is_waited_for_as_long_as_an_operator_would(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    config = Deployed.read(outputs=outputs_file(tmp_path)).client("lambda", "primary").meta.config
    attempts = config.retries["total_max_attempts"]
    assert attempts == 2
    assert (config.connect_timeout + config.read_timeout) * attempts <= 15
    once = Deployed.read(outputs=outputs_file(tmp_path)).client("lambda", "primary", seconds=3).meta.config
    assert (once.connect_timeout, once.read_timeout, once.retries["total_max_attempts"]) == (3, 3, 1)


def test_a_profile_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CannotTellError, match=r"The config profile \(nobody\) could not be found"):
        Deployed.read(outputs=outputs_file(tmp_path)).client("sts", "primary")


def test_on_aws_calls_go_through_the_users_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with Server(replies("407 Proxy Authentication Required", "")) as proxy, past_proxies():
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = Deployed.read(outputs=outputs_file(tmp_path)).client("lambda", "primary")
        with pytest.raises(CannotTellError, match="cannot be reached: Failed to connect to proxy URL") as raised:
            asked("Lambda", lambda: client.get_function_concurrency(FunctionName="any"))
    assert "HTTPS_PROXY" in raised.value.hint
    assert proxy.connections > 0
