"""Files that are whole, or not there."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, and rename it once it is whole.

    Args:
        path: The file. One that is there stays as it is until the new one is whole.
        content: All that it holds.

    Raises:
        OSError: It cannot be written, because the disk is full, say; nothing is left of it.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some file systems find only now that there is no room
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
