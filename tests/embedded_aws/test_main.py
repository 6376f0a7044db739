import os
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_start_runs_until_told_to_end(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with start(TMPDIR=str(tmp_path), AWS_PROFILE="production", NO_COLOR="1") as running:
        assert running.stdout is not None
        lines = [running.stdout.readline()]
        while not lines[-1].startswith("export AWS_EC2_METADATA_DISABLED"):
            lines.append(running.stdout.readline())
        # What it prints is what a shell needs, and enough for any AWS tool.
        script = (
            "".join(lines) + f"{sys.executable} -c 'import boto3; print(boto3.client(\"sts\").get_caller_identity())'"
        )
        asked = subprocess.run(
            ["bash", "-c", script], env={**os.environ, "AWS_PROFILE": "production"}, capture_output=True, text=True
        )
        running.send_signal(number)
        rest, progress = running.communicate(timeout=120)

    # Terraform finds its providers even where the registry cannot be reached.
    assert any(line.startswith("export TF_CLI_CONFIG_FILE=") for line in lines)
    assert "arn:aws:iam::000000000000:root" in asked.stdout
    assert (running.returncode, rest) == (code, "")
    assert "Embedded AWS is up at http://127.0.0.1:" in progress
    assert "Traceback" not in progress
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


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
