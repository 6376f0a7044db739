"""Processes that a test starts and sees end."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import AnyStr

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def killed_at_the_end(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill a process when the block ends: after a failed assertion nobody else ends it, and Popen's own block waits."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def start_owner(
    script: str, temporary_directory: Path, *arguments: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a program that owns an embedded AWS; its output can be read, and its temporary files go to a directory."""
    return killed_at_the_end(
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(temporary_directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )


def runs(pid: int) -> bool:
    """Whether this process still does something (a zombie that nobody has collected yet does not)."""
    seen = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(seen) and not seen.startswith("Z")


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
