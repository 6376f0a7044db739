import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.embedded_aws.processes import killed_at_the_end
from tests.embedded_aws.tenant import eventually


def start(*arguments: str, **environment: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return killed_at_the_end(
        subprocess.Popen(
            [sys.executable, "-m", "embedded_aws", "start", *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def printed(running: subprocess.Popen[str]) -> str:
    """What `start` prints for a shell."""
    assert running.stdout is not None
    lines = [running.stdout.readline()]
    while not lines[-1].startswith("export AWS_EC2_METADATA_DISABLED"):
        assert lines[-1], lines
        lines.append(running.stdout.readline())
    return "".join(lines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_start_runs_until_told_to_end(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with start(TMPDIR=str(tmp_path), AWS_PROFILE="production", NO_COLOR="1") as running:
        script = printed(running)
        assert running.stderr is not None
        while "Embedded AWS is up at http://127.0.0.1:" not in (progress := running.stderr.readline()):
            assert progress
        running.send_signal(number)
        rest, progress = running.communicate(timeout=120)

    # Terraform finds its providers even where the registry cannot be reached.
    assert "\nexport TF_CLI_CONFIG_FILE=" in script
    assert (running.returncode, rest) == (code, "")
    assert "Traceback" not in progress
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# Of the terminal that the lines are pasted into, which `start` does not see.
STEERING = {
    **{"AWS_PROFILE": "production", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", "AWS_ROLE_ARN": "$(touch ran)"},
    **{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": "'; touch ran; '"},
    **{"TF_CLI_ARGS": "-no-color", "TF_CLI_ARGS_plan": "-state=production.tfstate", "TF_DATA_DIR": "/production"},
    **{"TF_WORKSPACE": "production", "TF_REATTACH_PROVIDERS": "{}", "TF_CLOUD_ORGANIZATION": "acme"},
}
# Of the same terminal too, and none of what steers.
KEPT = {
    **{"TF_VAR_domain_name": "acme.io", "TF_LOG": "warn", "TF_TOKEN_app_terraform_io": "t", "TF_REGISTRY_X": "1"},
    **{"MY_AWS_PROFILE": "mine", "NOTES": "one\nPATH=/nowhere\nAWS_REGION=x\n\udcff", "TFX": "x"},
}
ASK = """
import boto3, json, os
print(json.dumps([boto3.client("sts").get_caller_identity()["Arn"], dict(os.environ)]))
"""


def test_what_start_prints_works_in_a_terminal_with_variables_of_its_own(tmp_path: Path) -> None:
    theirs = {**STEERING, **KEPT, **dict.fromkeys(PROXIES, "http://127.0.0.1:9")}
    base = {name: os.environ[name] for name in ("PATH", "HOME")}
    with start() as running:
        script = f"set -eu\n{printed(running)}{shlex.join([sys.executable, '-c', ASK])}"
        exported = {line.partition("=")[0].removeprefix("export ") for line in script.splitlines()}
        for shell in SHELLS:
            for direct in ({}, {"NO_PROXY": "acme.io"}, {"no_proxy": "acme.io"}):
                asked = subprocess.run(
                    [shell, "-c", script],
                    cwd=tmp_path,
                    env={**base, **theirs, **direct},
                    capture_output=True,
                    text=True,
                )
                assert (asked.returncode, asked.stderr) == (0, ""), shell
                arn, env = json.loads(asked.stdout)
                assert arn == "arn:aws:iam::000000000000:root"
                assert {name: env[name] for name in KEPT} == KEPT
                assert {name for name in env if name.startswith(("AWS_", "TF_"))} <= exported | {*KEPT}
                assert env["AWS_REGION"] == "us-east-1"
                addresses = ",".join(["127.0.0.1", "localhost", *direct.values()])
                assert [env[name].rstrip(",") for name in ("NO_PROXY", "no_proxy")] == [addresses, addresses]
            # In a terminal where nothing of this is set.
            assert subprocess.run([shell, "-c", script], env=base, capture_output=True).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_start_says_what_to_do_about_a_taken_port() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with start("--port", str(port), NO_COLOR="1") as refused:
            output, errors = refused.communicate(timeout=120)

    assert (refused.returncode, output) == (2, "")
    assert errors.splitlines() == [
        f"error: port {port} of 127.0.0.1 is taken",
        "hint: give another port, or none to use a free one",
    ]


def test_a_port_that_cannot_be_is_refused() -> None:
    with start("--port", "70000") as refused:
        output, errors = refused.communicate(timeout=120)

    assert (refused.returncode, output) == (2, "")
    assert "65535" in errors
