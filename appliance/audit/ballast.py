"""Disk blocks that the log holds, for the ends of work that has begun.

Rules:
- The disk reserve is a limit that other programs do not know; allocated blocks are the log's.
- The WAL has its blocks ahead of its content: blocks freed from another file would go to the
  fastest process. Only small files (a new key, HEAD, the index of the WAL, content keys, what
  opening needs) live on the file `ballast`, which is cut when the disk is full.
- New work is refused until it is whole again. Under copy-on-write (btrfs, ZFS) it is only another
  reserve.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.audit.files import sync_directory

WAL_BYTES: Final = 16 << 20
"""Bytes that may wait in the WAL before they are moved into the database file."""
SLACK: Final = 1 << 20
"""Free space that small files need."""
FILE_BYTES: Final = 4 << 20


class Ballast:
    """One writing session's ballast. For one thread at a time; methods raise OSError."""

    def __init__(self, path: Path, ahead: int) -> None:
        """`ahead`: bytes that the WAL has ahead; 0 for no ballast at all."""
        self._path, self._ahead = path, ahead
        self._held = _blocks(path)
        self._wal, self._wal_blocks = path, 0

    def serve(self, wal: Path) -> None:
        self._wal, self._wal_blocks = wal, _blocks(wal)

    def missing(self, end: int) -> int:
        """Bytes that must be free to make it whole, when the WAL is used up to here."""
        if not self._ahead:
            return 0
        return max(0, FILE_BYTES - self._held) + max(0, self._wanted(end) - self._wal_blocks)

    def make(self, end: int) -> None:
        """Make it whole, durably, when the WAL is used up to here; earlier rows stay."""
        if not self._ahead:
            self._path.unlink(missing_ok=True)
            self._held = 0
            return
        _allocate(self._path, FILE_BYTES)
        self._held = FILE_BYTES
        if self._wal_blocks < self._wanted(end):
            _allocate(self._wal, self._wanted(end))
            self._wal_blocks = self._wanted(end)
        sync_directory(self._path.parent)

    def free(self) -> int:
        facts = os.statvfs(self._path.parent)
        return int(facts.f_bavail * facts.f_frsize)

    def make_room(self, need: int = SLACK) -> None:
        """Free so many bytes, as far as the file goes."""
        short = need - self.free() if self._held else 0
        if short <= 0:
            return
        left = max(0, self._held - short) // SLACK * SLACK
        with _opened(self._path) as descriptor:
            os.ftruncate(descriptor, left)
            os.fsync(descriptor)  # until then a journal may keep the blocks
        self._held = left

    def _wanted(self, end: int) -> int:
        """Blocks of the WAL, in steps that it seldom outgrows."""
        return max(1, -(-end // WAL_BYTES)) * WAL_BYTES + self._ahead


def _blocks(path: Path) -> int:
    """Bytes of a file that are on the disk: a copy of it may have holes."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return 0
    return min(facts.st_size, facts.st_blocks * 512)


def _allocate(path: Path, size: int) -> None:
    with _opened(path) as descriptor:
        before = os.fstat(descriptor).st_size
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Never a database of SQLite's: closing one drops the locks of its other users."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
