"""A file is written completely or not at all: what was there stays, and nothing half-written is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from payment_dr.operations.files import write_whole

PROJECT = Path(__file__).resolve().parents[2]
# Runs one line of a program where no file may be longer than 2,000 bytes.
SHORT_FILES = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import main
from payment_dr.operations import adoption

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
"""
IMPORTS = """
found = {f"aws_cloudwatch_log_group.logs_{number}": f"/logs/{number}" for number in range(100)}
with adoption._import_blocks(SimpleNamespace(directory=folder), found):
    print((folder / "adoption.tf").read_text())
"""
VARIABLES = "main.take_along_variables(folder / 'cdktf.out', environment='dev')"


def with_short_files(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SHORT_FILES + program, str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_blocks_that_find_no_room_leave_nothing_in_the_operators_folder(tmp_path: Path) -> None:
    done = with_short_files(tmp_path, IMPORTS)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_import_blocks_are_there_as_long_as_they_are_needed(tmp_path: Path) -> None:
    done = with_short_files(tmp_path, IMPORTS.replace("100", "2"))
    assert done.stdout.count("import {") == 2, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_variables_that_find_no_room_leave_the_former_ones(tmp_path: Path) -> None:
    """With half of them, Terraform would take the defaults for the rest."""
    stack = tmp_path / "cdktf.out/stacks/payment-dr"
    stack.mkdir(parents=True)
    (stack / "deployment.auto.tfvars").write_text('owner = "me"\n')
    (tmp_path / "dev.tfvars").write_text("".join(f'variable_{number} = "it"\n' for number in range(200)))
    done = with_short_files(tmp_path, VARIABLES)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert {path.name: path.read_text() for path in stack.iterdir()} == {"deployment.auto.tfvars": 'owner = "me"\n'}


def test_a_file_is_replaced_once_it_is_complete_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"the former one")
    seen = []

    def fsync(descriptor: int) -> None:
        (written,) = {each.name for each in tmp_path.iterdir()} - {"report"}
        seen.append((path.read_bytes(), (tmp_path / written).read_bytes(), os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, b"another")
    assert seen == [(b"the former one", b"another", 7)]
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"report": b"another"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_that_cannot_be_completed_leaves_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"the former one")

    def fails(_descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(error):
        write_whole(path, b"another")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"report": b"the former one"}


def test_a_folder_that_takes_no_file_is_the_error_that_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "report", b"another")
