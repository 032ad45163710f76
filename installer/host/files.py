"""Durable files: everything that is renamed into place is on the disk first."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from installer.host.problems import InstallError

BLOCK: Final = 1 << 20
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into `disk_full` or `mount_readonly`, naming the file."""
    codes = {
        errno.ENOSPC: "disk_full",
        errno.EDQUOT: "disk_full",
        errno.EROFS: "mount_readonly",
    }
    try:
        yield
    except OSError as error:
        code = codes.get(error.errno or 0)
        if code is None:
            raise
        raise InstallError(code, f"{path}: {error.strerror}.") from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file by one rename, durably."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except OSError:
        part.unlink()
        raise
    part.replace(path)
    sync_directory(path.parent)


def point_link(link: Path, target: str) -> None:
    """Make a symbolic link point elsewhere by one rename."""
    part = link.with_name(link.name + ".part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(link)
    sync_directory(link.parent)


def remove(path: Path) -> None:
    """Remove a file or directory if it is there; a link itself, never its target."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def sync_tree(path: Path) -> None:
    """All files and names below a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _syncfs(fd)
    finally:
        os.close(fd)


def exchange(one: Path, other: Path) -> None:
    """Swap two paths at once: renameat2(2), RENAME_EXCHANGE.

    Where the file system cannot, by renames between which `other` is missing.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    names = (ctypes.c_char_p(os.fsencode(one)), ctypes.c_char_p(os.fsencode(other)))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(other))
    between = other.with_name(other.name + ".damaged")
    other.rename(between)
    one.rename(other)
    between.rename(one)


def _syncfs(fd: int) -> None:
    """syncfs(2): one call for thousands of files; it fails when write-back failed (Linux 5.8)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def hash_stream(file: IO[bytes]) -> tuple[str, int]:
    """SHA-256 in hex and length of the rest of a file."""
    digest = hashlib.sha256()
    size = 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def hash_file(path: Path, *, from_disk: bool = False) -> tuple[str, int]:
    """As `hash_stream`; `from_disk` drops the file's pages from the cache first."""
    with path.open("rb") as file:
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hash_stream(file)
