"""Write files completely, or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, and rename it once it is complete.

    Args:
        path: The file. An existing file stays as it is until the new one is complete.
        content: The whole content.

    Raises:
        OSError: The file cannot be written, for example because the disk is full. Nothing is left of it.
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
