"""Temporary directories. Their owner removes them, or the next run does if the owner was killed.

Each contains a file that its owner has locked, the mark. The operating system frees the lock whenever the owner ends. A
process that makes such a directory removes those whose lock is free. Directories without a mark stay, and so do those
of other users. The mark goes last: if a removal is cut short, the next run continues it.
"""

import fcntl
import os
import shutil
import stat
import weakref
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

MARK = "payment-dr-owner.lock"
_TAKEN_ALONG = "taken-along"  # a file that lists directories to remove with this one: inode and path


class OwnedDirectory(TemporaryDirectory[str]):
    """A temporary directory of this process.

    Args:
        prefix: Beginning of its name.
        parent: Where to make it. Default: the machine's directory for temporary files.

    Attributes:
        lock: A file descriptor. A child process that inherits it is an owner too, for as long as it lives.

    Example:
        >>> with OwnedDirectory("example-") as directory:
        ...     sorted(path.name for path in Path(directory).iterdir())
        ['payment-dr-owner.lock']
    """

    def __init__(self, prefix: str, parent: str | None = None) -> None:
        parent = parent or gettempdir()
        remove_abandoned(Path(parent))
        super().__init__(prefix=prefix, dir=parent)
        self.lock = own(Path(self.name))
        self._remove = weakref.finalize(self, _remove_and_release, Path(self.name), self.lock)

    def cleanup(self) -> None:
        """Remove it. It may be called twice.

        Raises:
            OSError: Something in it cannot be removed.
        """
        self._remove()
        super().cleanup()  # what is left: it also changes permissions, and reports errors


def _remove_and_release(directory: Path, lock: int) -> None:
    remove(directory)
    os.close(lock)


def own(directory: Path) -> int:
    """Make this process the owner of a directory. It is the owner while the returned descriptor is open."""
    unlocked = directory / "unlocked"
    lock = os.open(unlocked, os.O_WRONLY | os.O_CREAT, 0o600)
    with suppress(OSError):  # a file system without locks: `remove_abandoned` cannot lock it either
        fcntl.flock(lock, fcntl.LOCK_EX)
    unlocked.rename(directory / MARK)  # never seen unlocked while its owner lives
    return lock


def take_along(directory: Path, other: Path) -> None:
    """Remove another directory together with this one, in `remove_with_others` and `remove_abandoned`."""
    with (directory / _TAKEN_ALONG).open("a", encoding="utf-8") as file:
        file.write(f"{other.lstat().st_ino} {other.absolute()}\n")


def remove(directory: Path) -> None:
    """Remove a directory, its mark last. If something cannot be removed, the mark stays too, for the next run."""
    with suppress(OSError):  # it is gone
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != MARK:
                with suppress(OSError):  # it stays, and so does the mark
                    path.unlink()
        if all(path.name == MARK for path in directory.iterdir()):
            shutil.rmtree(directory, ignore_errors=True)


def remove_with_others(directory: Path) -> None:
    """Remove a directory and those that it takes along, unless they were replaced since."""
    with suppress(OSError):  # there are none
        for line in (directory / _TAKEN_ALONG).read_text(encoding="utf-8").splitlines():
            inode, _, along = line.partition(" ")
            with suppress(OSError):  # it is gone
                if _is_own(Path(along)) and Path(along).lstat().st_ino == int(inode):
                    remove(Path(along))
    remove(directory)


def remove_abandoned(parent: Path) -> None:
    """Remove the directories there whose owners were killed."""
    for mark in parent.glob(f"*/{MARK}"):
        with suppress(OSError):  # it is somebody else's, its owner lives, or it has just been removed
            if _is_own(mark.parent):
                lock = os.open(mark, os.O_WRONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_with_others(mark.parent)
                finally:
                    os.close(lock)


def _is_own(directory: Path) -> bool:
    """Whether this is a directory of this user, and not a link."""
    seen = directory.lstat()
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()
