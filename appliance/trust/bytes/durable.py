"""Writing small files so that a crash at any instant leaves the old one or the new one, whole.

Rules: a file takes its name after its bytes are on the disk, and the name is on the disk when this
returns; nothing is written through a link.
"""

import contextlib
import os
from pathlib import Path

from appliance.trust.bytes import sealed
from appliance.trust.bytes.directory import sync_directory


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of the one that has the name, if there is one.

    Args:
        mode: permissions of the new file.

    Raises:
        OSError: the disk refuses; the old file stays.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # of a write that a crash interrupted
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            sealed.write_all(fd, memoryview(data))
            os.fsync(fd)
        finally:
            os.close(fd)
        part.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file of a new name.

    Raises:
        FileExistsError: there is one already; it stays.
        OSError: the disk refuses.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already")
    replace(path, data, mode)
