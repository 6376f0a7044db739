"""Directories of runs that were killed are gone after the next run, and no other."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from payment_dr.operations import owned_directory
from payment_dr.operations.owned_directory import MARK, OwnedDirectory, remove_abandoned
from tests.embedded_aws.processes import runs, start_owner
from tests.embedded_aws.tenant import eventually

# What `dr adopt`, a test and `python -m embedded_aws start` make, without an emulator that could remove it. The
# terraform of this machine is a program that never ends.
MAKES_ALL = """
import os, signal, sys, threading
from pathlib import Path
from embedded_aws import deployment
from payment_dr.operations.terraform import runner

folder, app = Path(sys.argv[1]), Path(sys.argv[2])
with deployment.synthesized(app) as out, runner.workspace(folder) as directory:
    with runner.Terraform(directory, {}) as terraform, deployment.OwnedDirectory("rehearsal-"):
        if "with a child" in sys.argv:
            command = [sys.executable, "-c", "import os, signal; print(os.getpid(), flush=True); signal.pause()"]
            say = lambda line: print(line, flush=True)
            terraform._follow(command, cwd=directory, env=dict(os.environ), on_line=say)
        print(out, flush=True)
        signal.pause()
"""
KINDS = {"rehearsal", "synth", "tfrun", "tfwork"}


@pytest.fixture
def temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's, for this test; its path is short enough for sockets."""
    directory = Path("/tmp") / f"owned-{os.getpid()}-{tmp_path.name[-8:]}"  # noqa: S108 - made here, removed below
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


@pytest.fixture
def arguments(tmp_path: Path, temporary_directory: Path) -> Iterator[list[str]]:
    """A synthesized stack and an app that synthesizes nothing."""
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "cdk.tf.json").write_text("{}")
    (tmp_path / "app.py").write_text("")
    yield [str(tmp_path / "stack"), str(tmp_path / "app.py")]
    owned_directory.remove(temporary_directory)


def kinds_in(directory: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in directory.iterdir()}


def test_all_of_a_run_that_was_killed_goes_with_the_next_one_and_nothing_before(
    temporary_directory: Path, arguments: list[str]
) -> None:
    with start_owner(MAKES_ALL, temporary_directory, *arguments) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        with OwnedDirectory("next-"):
            assert kinds_in(temporary_directory) == {*KINDS, "next"}  # whose owner lives
        owner.kill()
        owner.wait(120)
    assert kinds_in(temporary_directory) == KINDS
    with OwnedDirectory("next-"):
        assert kinds_in(temporary_directory) == {"next"}
    assert kinds_in(temporary_directory) == set()


def test_terraform_keeps_its_directory_until_it_has_ended_too(temporary_directory: Path, arguments: list[str]) -> None:
    with start_owner(MAKES_ALL, temporary_directory, *arguments, "with a child") as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
        owner.wait(120)
    try:
        remove_abandoned(temporary_directory)
        assert kinds_in(temporary_directory) == {"tfrun"}
    finally:
        os.kill(child, signal.SIGKILL)
    assert eventually(lambda: not runs(child))
    remove_abandoned(temporary_directory)
    assert kinds_in(temporary_directory) == set()


def test_a_directory_without_a_mark_or_of_another_user_stays(
    temporary_directory: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmarked, linked = temporary_directory / "tfrun-unmarked", temporary_directory / "tfrun-linked"
    unmarked.mkdir()
    marked = tmp_path / "elsewhere"
    marked.mkdir()
    os.close(owned_directory.own(marked))
    linked.symlink_to(marked)
    abandoned = temporary_directory / "synth-abandoned"
    abandoned.mkdir()
    os.close(owned_directory.own(abandoned))

    with monkeypatch.context() as other_user:
        other_user.setattr(os, "geteuid", lambda: os.getuid() + 1)
        remove_abandoned(temporary_directory)
    assert kinds_in(temporary_directory) == {"tfrun", "synth"}

    remove_abandoned(temporary_directory)
    assert set(temporary_directory.iterdir()) == {unmarked, linked}
    assert (marked / MARK).exists()


def test_it_may_be_removed_twice_and_releases_its_lock(temporary_directory: Path, arguments: list[str]) -> None:
    directory = OwnedDirectory("tfrun-")
    for _ in range(2):
        directory.cleanup()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(directory.lock)
    assert kinds_in(temporary_directory) == set()
