"""Directories of runs that were killed are gone after the next run, and no other."""

import errno
import os
import re
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
# Removes directories, and is killed at the first deletion, then at the second, and so on. After each kill, it prints
# the files that no later run finds.
KILLED_AT_EACH_DELETION = """
import itertools, os, signal, sys, tempfile
from pathlib import Path
from payment_dr.operations import owned_directory
from payment_dr.operations.owned_directory import OwnedDirectory

parent = Path(sys.argv[1])
tempfile.gettempdir()  # it tries the directory out, and deletes a file

def made():
    directory = OwnedDirectory("killed-")
    for name in "abcd":
        Path(directory.name, name).write_text("secret")
        Path(directory.name, f"folder-{name}").mkdir()
        Path(directory.name, f"folder-{name}", "state").write_text("secret")
    Path(directory.name, "link").symlink_to(sys.argv[2])
    os.mkfifo(Path(directory.name, "pipe"))  # an emulator's directory has two; opening one would wait for ever
    return directory

def cleanup():
    made().cleanup()

def forgotten():
    made()

def remove():
    directory = made()
    owned_directory.remove(Path(directory.name))

def remove_abandoned():
    if not (child := os.fork()):
        abandoned = made()
        os._exit(0)
    os.waitpid(child, 0)
    owned_directory.remove_abandoned(parent)

def take_along():
    emulator = OwnedDirectory("emulator-")
    along = made()
    owned_directory.take_along(Path(emulator.name), Path(along.name))
    os.close(along.lock)
    owned_directory.remove_with_others(Path(emulator.name))

def killed_at(number, delete):
    def dies(*arguments, **options):
        if next(deletions) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return delete(*arguments, **options)

    return dies

for number in itertools.count():
    if not (child := os.fork()):
        deletions = itertools.count()
        os.unlink, os.rmdir = killed_at(number, os.unlink), killed_at(number, os.rmdir)
        try:
            globals()[sys.argv[3]]()
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    owned_directory.remove_abandoned(parent)
    files = [str(path) for path in parent.rglob("*") if path.is_symlink() or not path.is_dir()]
    print(ended, *files, flush=True)
    if ended != -signal.SIGKILL:
        break
"""
WAYS = ("cleanup", "forgotten", "remove", "remove_abandoned", "take_along")


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


def test_it_takes_others_along_unless_they_were_replaced_since(
    temporary_directory: Path, arguments: list[str], tmp_path: Path
) -> None:
    same, replaced, emulator = tmp_path / "same", tmp_path / "replaced", temporary_directory / "emulator"
    for each in (same, replaced, emulator):
        each.mkdir()
        (each / "state").write_text("secret")
    for each in (same, replaced):
        owned_directory.take_along(emulator, each)
    replaced.rename(tmp_path / "moved")
    replaced.mkdir()
    owned_directory.remove_with_others(emulator)
    assert [each.exists() for each in (same, replaced, emulator)] == [False, True, False]


def test_only_its_user_can_take_its_lock(temporary_directory: Path, arguments: list[str]) -> None:
    before = os.umask(0)
    try:
        with OwnedDirectory("tfwork-") as directory:
            modes = [path.stat().st_mode & 0o777 for path in (Path(directory), Path(directory, MARK))]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o600]


def test_it_may_be_removed_twice_and_releases_its_lock(temporary_directory: Path, arguments: list[str]) -> None:
    directory = OwnedDirectory("tfrun-")
    for _ in range(2):
        directory.cleanup()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(directory.lock)
    assert kinds_in(temporary_directory) == set()


@pytest.mark.parametrize("way", WAYS)
def test_no_file_is_left_when_its_owner_is_killed_while_it_removes_it(
    temporary_directory: Path, arguments: list[str], tmp_path: Path, way: str
) -> None:
    kept = tmp_path / "kept"
    kept.write_text("of somebody else")
    with start_owner(KILLED_AT_EACH_DELETION, temporary_directory, str(temporary_directory), str(kept), way) as run:
        assert run.stdout is not None
        rounds = run.stdout.read().splitlines()
    assert rounds[-1] == "0"
    assert len(rounds) > 16  # 8 files, a link, a pipe, the mark and 5 directories
    assert set(rounds[:-1]) == {"-9"}
    assert kept.read_text() == "of somebody else"


def test_what_cannot_be_removed_keeps_its_mark_for_the_next_run(
    temporary_directory: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = temporary_directory / "tfwork-abandoned"
    abandoned.mkdir()
    os.close(owned_directory.own(abandoned))
    (abandoned / "state").write_text("secret")
    unlink = os.unlink

    def busy(path: str | Path, **options: int) -> None:
        if Path(path).name == "state":
            raise OSError(errno.EBUSY, "Device or resource busy")
        unlink(path, **options)

    with monkeypatch.context() as while_busy:
        while_busy.setattr(os, "unlink", busy)
        remove_abandoned(temporary_directory)
    assert {path.name for path in abandoned.iterdir()} == {MARK, "state"}
    remove_abandoned(temporary_directory)
    assert kinds_in(temporary_directory) == set()


def test_every_temporary_directory_of_this_project_has_an_owner() -> None:
    project = Path(__file__).resolve().parents[2]
    packages = {path.parent for path in project.glob("*/__init__.py")} - {project / "tests"}
    makes = re.compile(r"\b(TemporaryDirectory|TemporaryFile|NamedTemporaryFile|mkdtemp|mkstemp)\(")
    found = {
        str(path.relative_to(project))
        for folder in (*packages, *(project / name for name in ("benchmarks", "constructs", "handlers", "examples")))
        for path in folder.rglob("*.py")
        if makes.search(path.read_text(encoding="utf-8"))
    }
    # The class itself does not call one, and an emulator's directory, which also a branch owns, has `own`.
    assert found == {"embedded_aws/server.py"}
