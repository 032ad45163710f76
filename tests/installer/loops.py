"""File systems of their own: an ext4 in a file."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import need_tool, unavailable

ROOT = os.geteuid() == 0


@contextlib.contextmanager
def mounted(
    image: Path, place: Path, megabytes: int, *, options: str = "rw", inodes: int = 0
) -> Iterator[None]:
    """Make an ext4 of this size (the file is sparse) and mount it."""
    if not ROOT:
        unavailable("mounting takes root")
    image.write_bytes(b"")
    os.truncate(image, megabytes << 20)
    command = [need_tool("mkfs.ext4"), "-q", "-F", "-m", "0"]
    subprocess.run([*command, *(["-N", str(inodes)] if inodes else []), image], check=True)
    with attached(image, place, options=options):
        yield


@contextlib.contextmanager
def attached(image: Path, place: Path, *, options: str = "rw") -> Iterator[None]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", f"loop,{options}", image, place], capture_output=True)
    if done.returncode != 0:
        unavailable(f"no loop mounts here: {done.stderr!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int = 0) -> None:
    """Fill a file system but for `leave` bytes."""
    with (place / "filler").open("ab") as file, contextlib.suppress(OSError):
        while True:
            free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize - leave
            if free <= 0:
                return
            size = file.seek(0, os.SEEK_END)
            os.posix_fallocate(file.fileno(), size, free)
