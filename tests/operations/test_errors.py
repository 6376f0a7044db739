"""What this machine lacks is distinguished from an AWS that does not answer."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from payment_dr.operations.errors import ThisMachineError, lack_of_this_machine

# Makes a client, and asks with it once every file is open that may be.
ASKS_WITHOUT_FILES = """
import os, resource, sys
from payment_dr.operations import probes
from payment_dr.operations.aws import asked
from payment_dr.operations.errors import OperationError
from tests.operations.stack import OUTPUTS
from payment_dr.operations.deployed import Deployed

stack = Deployed(OUTPUTS, "http://aws.invalid:1" if sys.argv[1] == "by name" else "http://127.0.0.1:1")
client = stack.client("dynamodb", "primary")
for way in (lambda: asked("DynamoDB", client.list_tables), lambda: probes.health(stack, "primary")):
    try:  # once with files left, so that everything is loaded
        way()
    except OperationError:
        pass
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
for way in (lambda: asked("DynamoDB", client.list_tables), lambda: probes.health(stack, "primary")):
    try:
        print("found", way())
    except OperationError as error:
        print(type(error).__name__, error.message, error.hint, sep="|")
"""


@pytest.mark.parametrize("how", ["by address", "by name"])
def test_without_free_files_neither_a_call_nor_a_probe_counts_as_a_failure_of_aws(how: str) -> None:
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    run = subprocess.run(
        [sys.executable, "-c", ASKS_WITHOUT_FILES, how], env=environment, capture_output=True, text=True, check=False
    )
    expected = "ThisMachineError|this process cannot open any more files or connections|"
    assert [line.startswith(expected) and "ulimit -n" in line for line in run.stdout.splitlines()] == [True] * 2, (
        run.stdout + run.stderr
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_the_cause_behind_an_error_is_recognized(number: int) -> None:
    """Libraries raise their own, from it or while they handle it."""
    wrapped, outermost = ValueError("wrapped"), KeyError("wrapped again")
    wrapped.__cause__ = OSError(number, os.strerror(number), "/there/file")
    outermost.__context__ = wrapped
    found = lack_of_this_machine(outermost)
    assert isinstance(found, ThisMachineError)
    assert found.message.startswith("/there/file: ")
    assert found.hint


def test_other_errors_are_not_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as raised:
        (tmp_path / "none").read_text()
    assert lack_of_this_machine(raised.value) is None
    assert lack_of_this_machine(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None


def test_an_unresolved_name_for_lack_of_files_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some resolvers answer as if the network were away."""
    unknown = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert lack_of_this_machine(unknown) is None

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", fail)
    assert isinstance(lack_of_this_machine(unknown), ThisMachineError)
