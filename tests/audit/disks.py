"""Small file systems that really fill up, by this process or another one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from appliance.audit.log import Receipt
from appliance.errors import AuditUnavailable
from tests.conftest import need_tool, unavailable

_FILLER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sizes = [1 << 20, 4096, 1]
while True:
    try:
        os.write(fd, bytes(sizes[0]))
    except OSError:
        if len(sizes) == 1:
            break
        sizes.pop(0)
print("full", flush=True)
while sys.argv[2] == "greedy":
    try:
        os.write(fd, bytes(4096))
    except OSError:
        pass
"""


@contextmanager
def mounted(place: Path, kind: str, mib: int) -> Iterator[Path]:
    """An empty file system, `tmpfs` or `ext4` in a file, of so many MiB."""
    mount, umount = need_tool("mount"), need_tool("umount")
    if os.geteuid():
        unavailable("mounting a small file system needs root")
    place.mkdir()
    how, source = ["-t", "tmpfs", "-o", f"size={mib}m"], "tmpfs"
    if kind == "ext4":
        image = place.with_suffix(".image")
        with image.open("wb") as file:
            file.truncate(mib << 20)
        # No blocks for root alone: what is free is free for everybody.
        subprocess.run([need_tool("mkfs.ext4"), "-q", "-m", "0", image], check=True)
        how, source = ["-o", "loop"], str(image)
    done = subprocess.run([mount, *how, source, place], capture_output=True, text=True)
    if done.returncode:
        unavailable(f"a small file system cannot be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([umount, "--lazy", place], check=True)


@contextmanager
def again(image: Path, place: Path) -> Iterator[Path]:
    mount, umount = need_tool("mount"), need_tool("umount")
    place.mkdir()
    subprocess.run([mount, "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run([umount, "--lazy", place], check=True)


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    facts = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - leave)
    return filler


@contextmanager
def filled_by_another(disk: Path, *, greedy: bool = False) -> Iterator[None]:
    """Another process writes until the disk is full; a greedy one then takes all freed space."""
    filler = disk / "filler"
    command = [sys.executable, "-c", _FILLER, str(filler), "greedy" if greedy else "once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "full\n"
            yield
        finally:
            process.kill()
    filler.unlink()


def until_refused(futures: Iterator["Future[tuple[Receipt, ...]]"]) -> tuple[list[Receipt], str]:
    """Receipts up to the first failure, and its message; "" without one."""
    receipts: list[Receipt] = []
    for future in futures:
        error = future.exception()
        if error is not None:
            assert isinstance(error, AuditUnavailable)
            assert error.code == "audit_unavailable"
            return receipts, error.message
        receipts += future.result()
    return receipts, ""
