"""From the stick to the host: copied while it is hashed, resumable, and read back from the disk.

Rules: later steps use the copy, never the stick; a copy counts once its bytes, read from the disk
again, have the signed digest. A chunk that does not match is read once more, since cheap sticks
misread, then refused by name.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.host.files import BLOCK, explained, hash_file, sync_directory
from installer.host.manifest import Chunk, Part
from installer.host.problems import InstallError

Progress = Callable[[str, int, int], None]
_TRIES: Final = 2


@dataclass(frozen=True)
class Copied:
    """One line of the report: a part, and how much of it came from the stick this time."""

    name: str
    size: int
    copied: int
    sha256: str


class Media:
    """The bundle's directory on the stick."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_listing(self, sums: Iterable[str]) -> None:
        """Refuse files that the signed list does not name (`media_missing`, `file_unlisted`)."""
        known = {*sums, "MANIFEST.sha256", "MANIFEST.sig"}
        if not self.root.is_dir():
            raise InstallError("media_missing", f"{self.root} is not a directory.")
        strays = sorted(
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if (path.is_symlink() or not path.is_dir())
            and str(path.relative_to(self.root)) not in known
        )
        if strays:
            raise InstallError("file_unlisted", f"Not in the signed list: {', '.join(strays[:5])}.")

    def missing(self, parts: Iterable[Part]) -> list[tuple[Chunk, str]]:
        """Chunks that are absent or have another size, each with the code for it."""
        found = []
        for chunk in (chunk for part in parts for chunk in part.chunks):
            try:
                size = os.lstat(self.root / chunk.path).st_size
            except OSError:
                found.append((chunk, "file_missing"))
                continue
            if size != chunk.size:
                found.append((chunk, "file_truncated"))
        return found

    def open(self, chunk: Chunk) -> int:
        """A descriptor of a chunk (`file_missing`, `file_truncated`)."""
        path = self.root / chunk.path
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            code = "file_missing" if error.errno == errno.ENOENT else "media_unreadable"
            raise InstallError(code, f"{chunk.path}: {error.strerror}.") from error
        size = os.fstat(fd).st_size
        if size != chunk.size:
            os.close(fd)
            raise InstallError(
                "file_truncated", f"{chunk.path} has {size} bytes, not {chunk.size}."
            )
        return fd


class Store:
    """Copies on the host, named by their digests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, part: Part) -> Path:
        return self.root / part.sha256

    def has(self, part: Part) -> bool:
        """True if a copy of the right size is there; `verify` checks its bytes."""
        try:
            return self.path(part).stat().st_size == part.size
        except OSError:
            return False

    def copy(self, media: Media, part: Part, progress: Progress) -> Copied:
        """Or continue with a copy (`file_missing`, `file_truncated`, `file_changed`,
        `media_unreadable`, `disk_full`).
        """
        if self.has(part):
            return Copied(part.name, part.size, 0, part.sha256)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self.path(part).with_suffix(".part")
        copied = 0
        with explained(target):
            fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                start = 0
                for chunk in part.chunks:
                    copied += _copy_chunk(media, part, chunk, fd, start, progress)
                    start += chunk.size
                os.ftruncate(fd, start)
                os.fsync(fd)
            finally:
                os.close(fd)
        target.replace(self.path(part))
        sync_directory(self.root)
        return Copied(part.name, part.size, copied, part.sha256)

    def verify(self, part: Part) -> None:
        """Read the copy back from the disk; a wrong one is removed (`file_changed`)."""
        path = self.path(part)
        try:
            digest, size = hash_file(path, from_disk=True)
        except OSError as error:
            raise InstallError("file_changed", f"The copy of {part.name}: {error}.") from error
        if (digest, size) != (part.sha256, part.size):
            path.unlink()
            raise InstallError(
                "file_changed", f"The copy of {part.name} on this host is not what was signed."
            )

    def keep_only(self, parts: Iterable[Part]) -> None:
        """Remove all other copies."""
        wanted = {part.sha256 for part in parts}
        for path in self.root.glob("*"):
            if path.name not in wanted:
                path.unlink()


def _copy_chunk(
    media: Media, part: Part, chunk: Chunk, fd: int, start: int, progress: Progress
) -> int:
    """Copy one chunk to its place in the file; the number of bytes read from the stick."""
    digest, there = _resumed(fd, start, chunk.size)
    if there == chunk.size and digest.hexdigest() == chunk.sha256:
        return 0
    for attempt in range(_TRIES):
        if attempt or there == chunk.size:
            digest, there = hashlib.sha256(), 0
        source = media.open(chunk)
        try:
            if attempt:
                os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
            at = there
            while at < chunk.size:
                block = _read(source, chunk, at)
                digest.update(block)
                os.pwrite(fd, block, start + at)
                at += len(block)
                progress(f"copy {part.name}", start + at, part.size)
        finally:
            os.close(source)
        if digest.hexdigest() == chunk.sha256:
            return chunk.size - there
        os.ftruncate(fd, start)
    raise InstallError(
        "file_changed", f"{chunk.path} (part of {part.name}) is not what was signed; read twice."
    )


def _read(source: int, chunk: Chunk, at: int) -> bytes:
    try:
        block = os.pread(source, min(BLOCK, chunk.size - at), at)
    except OSError as error:
        raise InstallError(
            "media_unreadable", f"{chunk.path} at byte {at}: {error.strerror}."
        ) from error
    if not block:
        raise InstallError("file_truncated", f"{chunk.path} ends at byte {at}.")
    return block


def _resumed(fd: int, start: int, size: int) -> tuple["hashlib._Hash", int]:
    """The digest over the copied part of a chunk, and its bytes."""
    digest = hashlib.sha256()
    there = min(max(os.fstat(fd).st_size - start, 0), size)
    at = 0
    while at < there:
        block = os.pread(fd, min(BLOCK, there - at), start + at)
        digest.update(block)
        at += len(block)
    return digest, there
