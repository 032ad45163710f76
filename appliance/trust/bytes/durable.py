"""Writing small files so that a crash at any instant leaves the old one or the new one, whole.

Rules: a file gets its name after its bytes are on the disk; the name is durable when this returns;
nothing is written through a link.
"""

import contextlib
import os
from pathlib import Path

from appliance.trust.bytes import sealed
from appliance.trust.bytes.directory import sync_directory


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file with these permissions, replacing one of this name."""
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
    """Write a file of a new name. Raises FileExistsError."""
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already")
    replace(path, data, mode)
