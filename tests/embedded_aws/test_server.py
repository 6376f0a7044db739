import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import EmbeddedAws, EmbeddedAwsError
from embedded_aws.server import at_new_port
from payment_dr.operations.owned_directory import MARK, remove_abandoned
from tests.embedded_aws.processes import listens, runs, start_owner
from tests.embedded_aws.tenant import Tenant, eventually

SHOWS_ITS_SURROUNDINGS = """
    import importlib.util
    import os
    import time

    def handler(event, context):
        if event.get("hang"):
            time.sleep(900)
        found = importlib.util.find_spec("embedded_aws") is not None
        return {"pid": os.getpid(), "environment": dict(os.environ), "finds this repository": found}
"""

RUNS_UNTIL_TOLD = """
import json, time
from embedded_aws import EmbeddedAws
from payment_dr.operations.command import ended_by_signals
from tests.embedded_aws.test_server import hanging_function

with ended_by_signals(), EmbeddedAws() as aws:
    print(json.dumps({"pid": aws.pid, "port": aws.port, "function": hanging_function(aws)}), flush=True)
    while True:
        time.sleep(0.05)
"""


def gone(pid: int, port: int) -> bool:
    return not runs(pid) and not listens(port)


@pytest.fixture(autouse=True)
def temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where everything temporary of a test goes, so that it can be seen to be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def invoke(aws: EmbeddedAws) -> Any:
    answer = aws.client("lambda", "us-east-1").invoke(FunctionName="shows", Payload="{}")
    return json.loads(answer["Payload"].read())


def hanging_function(aws: EmbeddedAws) -> int:
    """Process id of a function that is at work on something long."""
    Tenant(aws, aws.account_id).function(SHOWS_ITS_SURROUNDINGS, name="shows", seconds=900)
    pid: int = invoke(aws)["pid"]
    aws.client("lambda", "us-east-1").invoke(FunctionName="shows", InvocationType="Event", Payload='{"hang": true}')
    return pid


def test_it_answers_while_its_block_lasts() -> None:
    with EmbeddedAws() as aws:
        assert aws.client("sts", "us-west-2").get_caller_identity()["Account"] == "000000000000"
        assert aws.endpoint_url == f"http://127.0.0.1:{aws.port}"
        aws.alive()


def test_it_listens_on_the_loopback_address_only() -> None:
    with EmbeddedAws() as aws:
        assert listens(aws.port)
        assert not listens(aws.port, "127.0.0.2")  # open if it listened on every address


def test_nothing_is_left_after_its_block(temporary_directory: Path) -> None:
    with EmbeddedAws() as aws:
        pid, port, function = aws.pid, aws.port, hanging_function(aws)
        assert list(temporary_directory.iterdir())

    assert gone(pid, port)
    assert eventually(lambda: not runs(function))
    assert list(temporary_directory.iterdir()) == []


def test_nothing_is_left_after_an_error_in_its_block(temporary_directory: Path) -> None:
    aws = EmbeddedAws()
    pids = []

    def fail() -> None:
        with aws:
            pids.append(aws.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert gone(pids[0], aws.port)
    assert list(temporary_directory.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGINT, -signal.SIGINT),  # how Python ends on KeyboardInterrupt
        (signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=["SIGTERM", "SIGHUP", "Ctrl-C", "SIGKILL"],
)
def test_nothing_is_left_when_its_owner_is_told_to_end(
    temporary_directory: Path, number: signal.Signals, code: int
) -> None:
    with start_owner(RUNS_UNTIL_TOLD, temporary_directory) as owner:
        assert owner.stdout is not None
        started = json.loads(owner.stdout.readline())
        assert runs(started["pid"])
        owner.send_signal(number)
        assert owner.wait(120) == code

    assert eventually(lambda: gone(started["pid"], started["port"]))
    assert eventually(lambda: not runs(started["function"]))
    assert eventually(lambda: list(temporary_directory.iterdir()) == [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_what_it_takes_along_is_removed_when_its_owner_is_killed_and_not_before(
    temporary_directory: Path, tmp_path: Path, number: signal.Signals
) -> None:
    along = tmp_path / "a folder" / "with more"
    along.mkdir(parents=True)
    script = (
        "import sys, time; from pathlib import Path; from embedded_aws import EmbeddedAws\n"
        "from payment_dr.operations.command import ended_by_signals\n"
        "with ended_by_signals(), EmbeddedAws() as aws:\n"
        "    aws.take_along(Path(sys.argv[1]))\n"
        "    print(aws.pid, flush=True)\n"
        "    while True:\n"
        "        time.sleep(0.05)\n"
    )
    with start_owner(script, temporary_directory, str(along.parent)) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(number)
        owner.wait(120)
    assert eventually(lambda: not runs(pid))
    assert eventually(lambda: list(temporary_directory.iterdir()) == [])
    assert along.exists() == (number == signal.SIGTERM)  # an owner that can does it itself
    assert tmp_path.exists()


TAKES_ALONG = """
import signal, sys
from pathlib import Path
from embedded_aws import EmbeddedAws

with EmbeddedAws() as aws, aws.branch() as branch:
    for one, along in zip((aws, branch), sys.argv[1:], strict=True):
        one.take_along(Path(along))
    print(aws.pid, branch.pid, flush=True)
    signal.pause()
"""


@pytest.fixture
def alongs(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        (folder / "with more").mkdir(parents=True)
    return folders


@pytest.fixture
def with_dead_emulators(temporary_directory: Path, alongs: list[Path]) -> Iterator[subprocess.Popen[str]]:
    """The owner of an emulator and its branch that were killed, and took these folders along."""
    with start_owner(TAKES_ALONG, temporary_directory, *map(str, alongs)) as owner:
        assert owner.stdout is not None
        emulators = [int(pid) for pid in owner.stdout.readline().split()]
        for pid in emulators:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(runs, emulators)))
        yield owner


def test_what_is_left_when_an_emulator_and_its_owner_are_killed_goes_with_the_next_start(
    temporary_directory: Path, alongs: list[Path], with_dead_emulators: subprocess.Popen[str]
) -> None:
    left = list(temporary_directory.iterdir())
    assert len(left) == 2

    with EmbeddedAws():
        assert all(folder.exists() for folder in (*left, *alongs))  # their owner lives

    with_dead_emulators.kill()
    with_dead_emulators.wait(120)
    with EmbeddedAws() as aws:
        aws.alive()
        assert not any(folder.exists() for folder in (*left, *alongs))
    assert list(temporary_directory.iterdir()) == []


def test_what_only_looks_abandoned_stays(
    temporary_directory: Path,
    tmp_path: Path,
    alongs: list[Path],
    with_dead_emulators: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_dead_emulators.kill()
    with_dead_emulators.wait(120)
    left = set(temporary_directory.iterdir())
    unmarked, linked = temporary_directory / "embedded-aws-unmarked", temporary_directory / "embedded-aws-linked"
    unmarked.mkdir()
    elsewhere, kept = tmp_path / "elsewhere", tmp_path / "kept"
    for folder in (elsewhere, kept):
        folder.mkdir()
    (elsewhere / MARK).touch()
    (elsewhere / "taken-along").write_text(f"{kept.stat().st_ino} {kept}\n")
    linked.symlink_to(elsewhere)

    with monkeypatch.context() as other_user:
        other_user.setattr(os, "geteuid", lambda: os.getuid() + 1)
        remove_abandoned(temporary_directory)
    assert {*temporary_directory.iterdir()} == {*left, unmarked, linked}

    alongs[0].rename(tmp_path / "moved")
    alongs[0].mkdir()  # another one of that name
    alongs[1].rename(tmp_path / "linked to")
    alongs[1].symlink_to(tmp_path / "linked to")
    remove_abandoned(temporary_directory)
    assert {*temporary_directory.iterdir()} == {unmarked, linked}
    assert (elsewhere / MARK).exists()
    assert kept.exists()
    assert alongs[0].exists()
    assert (tmp_path / "moved" / "with more").exists()
    assert (tmp_path / "linked to" / "with more").exists()


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("http://127.0.0.1:4012/x?y=localhost:4012", "http://127.0.0.1:5000/x?y=localhost:5000"),
        ("http://1a2b.execute-api.localhost:4012", "http://1a2b.execute-api.localhost:5000"),
        ("127.0.0.1:40125, localhost:14012, 4012, notlocalhost:4012, 10.0.0.1:4012", None),
    ],
)
def test_an_address_is_moved_and_nothing_that_looks_like_it(text: str, moved: str | None) -> None:
    assert at_new_port(text, 4012, 5000) == (moved or text)


def test_stopping_twice_is_fine() -> None:
    aws = EmbeddedAws()
    aws.start()
    aws.stop()
    aws.stop()

    with pytest.raises(EmbeddedAwsError, match="not running"):
        aws.alive()


def test_starting_twice_is_refused_and_keeps_the_first() -> None:
    with EmbeddedAws() as aws:
        with pytest.raises(EmbeddedAwsError, match="already running"):
            aws.start()
        aws.alive()


def test_it_can_be_started_again_with_nothing_of_before() -> None:
    aws = EmbeddedAws()
    for _ in range(2):
        with aws:
            assert aws.client("dynamodb", "us-east-1").list_tables()["TableNames"] == []
            aws.client("ssm", "us-east-1").put_parameter(Name="/a", Value="1", Type="String")


def test_its_death_is_noticed_and_cleaned_up(temporary_directory: Path) -> None:
    with EmbeddedAws() as aws:
        pid, port, function = aws.pid, aws.port, hanging_function(aws)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not listens(port))

        with pytest.raises(EmbeddedAwsError, match="exit code -9") as died:
            eventually(aws.alive)
        assert died.value.hint

        assert eventually(lambda: not runs(function))
        assert list(temporary_directory.iterdir()) == []
    assert "Running on http://127.0.0.1" in aws.log_text()


class BrokenAws(EmbeddedAws):
    _command = (sys.executable, "-c", "raise SystemExit('cannot go on like this')")


def test_an_emulator_that_does_not_come_up_says_why(temporary_directory: Path) -> None:
    with pytest.raises(EmbeddedAwsError, match="cannot go on like this") as failed:
        BrokenAws().start()

    assert failed.value.hint
    assert list(temporary_directory.iterdir()) == []


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_refused_before_anything_starts(temporary_directory: Path, taken_port: int) -> None:
    with pytest.raises(EmbeddedAwsError, match=f"port {taken_port} of 127.0.0.1 is taken") as refused:
        EmbeddedAws(taken_port).start()

    assert "another port" in refused.value.hint
    assert list(temporary_directory.iterdir()) == []


def test_another_one_on_its_port_does_not_pass_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedAws() as first:
        monkeypatch.setattr("embedded_aws.server._free_port", lambda: first.port)  # taken after it was seen to be free

        with pytest.raises(EmbeddedAwsError, match="already in use"):
            EmbeddedAws().start()
        first.alive()


def test_it_listens_on_the_port_that_was_asked_for() -> None:
    with EmbeddedAws() as first:
        port = first.port

    with EmbeddedAws(port) as aws:  # it is free again at once
        assert aws.endpoint_url == f"http://127.0.0.1:{port}"
        assert aws.client("s3", "us-east-1").list_buckets()["Buckets"] == []


def test_two_run_side_by_side() -> None:
    with EmbeddedAws() as one, EmbeddedAws() as other:
        one.client("ssm", "us-east-1").put_parameter(Name="/a", Value="1", Type="String")

        assert other.client("ssm", "us-east-1").describe_parameters()["Parameters"] == []


def test_unsigned_requests_belong_to_its_account() -> None:
    with EmbeddedAws(account_id="210987654321") as aws:
        assert aws.client("sts", "us-east-1").get_caller_identity()["Account"] == "210987654321"
        assert aws.environment()["AWS_ACCESS_KEY_ID"] == "210987654321"


@pytest.mark.parametrize("account_id", ["", "12345678901", "1234567890123", "12345678901a", "١٢٣٤٥٦٧٨٩٠١٢"])
def test_what_is_no_account_id_is_refused(account_id: str) -> None:
    with pytest.raises(EmbeddedAwsError, match="is not an AWS account id"):
        EmbeddedAws(account_id=account_id)


def test_the_users_own_configuration_does_not_reach_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[production]\naws_access_key_id = AKIAPRODUCTION\naws_secret_access_key = x\n")
    for name, value in {
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAPRODUCTION",
        "AWS_SESSION_TOKEN": "production",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "DATABASE_PASSWORD": "hunter2",
    }.items():
        monkeypatch.setenv(name, value)

    with EmbeddedAws() as aws:
        assert aws.client("sts", "us-east-1").get_caller_identity()["Account"] == "000000000000"

        Tenant(aws, aws.account_id).function(SHOWS_ITS_SURROUNDINGS, name="shows")
        seen = invoke(aws)
        assert "hunter2" not in seen["environment"].values()
        assert "production" not in json.dumps(seen["environment"]).lower()
        assert seen["finds this repository"] is False


def test_the_environment_for_tools_takes_over_no_aws_setting() -> None:
    with EmbeddedAws() as aws:
        environment = aws.environment({"PATH": "/bin", "AWS_PROFILE": "production", "AWS_ENDPOINT_URL_S3": "http://s3"})

        assert environment == {"PATH": "/bin", **aws.environment()}
        assert environment["AWS_ENDPOINT_URL"] == aws.endpoint_url
        assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_boto3_finds_it_by_the_environment_for_tools() -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"

    with EmbeddedAws(account_id="210987654321") as aws:
        environment = aws.environment({**os.environ, "AWS_PROFILE": "production"})
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )

    assert ran.stdout.strip() == "210987654321"


def test_what_it_logged_can_be_read_during_and_after() -> None:
    with EmbeddedAws() as aws:
        aws.client("ssm", "us-east-1").put_parameter(Name="/during", Value="1", Type="String")
        assert "/during" in aws.log_text()
    assert "/during" in aws.log_text()


def test_nothing_can_be_asked_of_it_before_it_runs() -> None:
    aws = EmbeddedAws()

    for ask in (
        aws.alive,
        lambda: aws.port,
        lambda: aws.pid,
        lambda: aws.fail_region("us-east-1"),
        lambda: aws.take_along(Path("folder")),
        aws.branch,
    ):
        with pytest.raises(EmbeddedAwsError) as refused:
            ask()
        assert refused.value.hint == "start it first"
