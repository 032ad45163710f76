"""Artifact directories: listed and hashed without trusting what is in them.

Rules: everything is reached from one directory descriptor; only plain files with one name and plain
directories are allowed, none under the paths that OMS leaves out; numbers, sizes and depth are
bounded. Each file is checked again at the descriptor that is opened. In a data directory, encrypted
files (`host/at_rest.py`) count as their plain content.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused, StateRefused
from appliance.host import at_rest
from appliance.host.at_rest import PLAIN, TextCipher
from appliance.text import visible
from appliance.trust.bytes import names, sealed
from appliance.trust.bytes.manifest import MAX_FILES
from appliance.trust.bytes.oms import MAX_BUNDLE
from appliance.trust.bytes.sealed import Owners
from appliance.trust.bytes.shards import Shard, ShardDigests, statement
from appliance.types import Report

MAX_DEPTH: Final = 16
MAX_FILE_BYTES: Final = 1 << 40
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Artifact:
    """An open artifact directory.

    Attributes:
        fd: descriptor of the directory.
        sizes: bytes of every file by relative path, `model.sig` included.
        owners: uids that the files must belong to; None on a medium.
        cipher: of the data directory that it is in.
    """

    fd: int
    sizes: Mapping[str, int]
    owners: Owners = None
    cipher: TextCipher = PLAIN

    @property
    def covered(self) -> dict[str, int]:
        """All files but `model.sig`."""
        return {name: size for name, size in self.sizes.items() if name != names.SIGNATURE_FILE}

    def signature(self) -> bytes:
        """The bytes of `model.sig` (`signature_missing`; `signature_json_invalid` when it is too
        large).
        """
        size = self.sizes.get(names.SIGNATURE_FILE)
        if size is None:
            raise SignatureRefused("signature_missing", "The artifact has no model.sig.")
        if size > MAX_BUNDLE:
            raise SignatureRefused(
                "signature_json_invalid", f"model.sig has {size} bytes, more than {MAX_BUNDLE}."
            )
        return self.prefix(names.SIGNATURE_FILE, MAX_BUNDLE)

    def open(self, name: str) -> int:
        """Open a file, checked again; an encrypted one in memory (`file_changed` where decryption
        fails).
        """
        fd = sealed.open_regular(self.fd, name, self.owners)
        return _decrypted(fd, name, self.cipher) if self.cipher and _encrypted(fd) else fd

    def prefix(self, name: str, limit: int) -> bytes:
        return _prefix_and_close(self.open(name), name, limit)


@contextlib.contextmanager
def open_artifact(path: Path, owners: Owners = None) -> Iterator[Artifact]:
    """Open and list an artifact directory.

    Args:
        owners: uids that everything below must belong to, and that alone may write there.

    Raises:
        SignatureRefused: `artifact_not_directory`, `artifact_unreadable`, `file_name_refused`,
            `file_ignored_path`, `file_limit`.
    """
    shown = visible(str(path), limit=200)
    cipher = at_rest.cipher_of(path)
    try:
        fd = os.open(path, _OPEN)
    except OSError as error:
        plain = error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT)
        raise SignatureRefused(
            "artifact_not_directory" if plain else "artifact_unreadable",
            f"{shown} cannot be opened as a directory: {error.strerror}.",
        ) from error
    try:
        sealed.check_owner(os.fstat(fd), shown, owners)
        sizes = _list(fd, owners)
        yield Artifact(fd, _plain_sizes(fd, sizes, owners) if cipher else sizes, owners, cipher)
    finally:
        os.close(fd)


def _plain_sizes(root: int, sizes: Mapping[str, int], owners: Owners) -> dict[str, int]:
    found = dict(sizes)
    for name, size in sizes.items():
        if size > at_rest.OVERHEAD:
            fd = sealed.open_regular(root, name, owners)
            try:
                found[name] = size - at_rest.OVERHEAD * _encrypted(fd)
            finally:
                os.close(fd)
    return found


def _encrypted(fd: int) -> bool:
    return os.pread(fd, len(at_rest.MARK), 0) == at_rest.MARK


def _decrypted(fd: int, name: str, cipher: TextCipher) -> int:
    try:
        text = cipher.open(_prefix_and_close(fd, name, MAX_FILE_BYTES))
    except StateRefused as error:
        raise SignatureRefused(
            "file_changed", f"{visible(name)} does not decrypt.", param=name
        ) from error
    memory = os.memfd_create("text", os.MFD_CLOEXEC)
    sealed.write_all(memory, memoryview(text))
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def _list(root: int, owners: Owners) -> dict[str, int]:
    sizes: dict[str, int] = {}
    try:
        _walk(root, "", 0, sizes, owners)
    except OSError as error:
        raise SignatureRefused(
            "artifact_unreadable", f"The artifact cannot be listed: {error.strerror}."
        ) from error
    if pair := names.twins(sizes):
        first, second = (visible(name, limit=200) for name in pair)
        raise SignatureRefused(
            "file_name_refused", f"{first} and {second} differ in case or form only."
        )
    return sizes


def _walk(directory: int, prefix: str, depth: int, sizes: dict[str, int], owners: Owners) -> None:
    if depth > MAX_DEPTH:
        raise SignatureRefused("file_limit", f"Directories are nested more than {MAX_DEPTH} deep.")
    with os.scandir(directory) as entries:
        found = sorted(entry.name for entry in entries)
    for name in found:
        path = prefix + name
        if wrong := names.problem(path):
            shown = visible(path, limit=200)
            raise SignatureRefused("file_name_refused", f"The name {shown} {wrong}.")
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if path in names.IGNORED_PATHS:
            raise SignatureRefused("file_ignored_path", f"{path} is outside the signature.")
        if stat.S_ISDIR(status.st_mode):
            sealed.check_owner(status, path, owners)
            below = sealed.open_beneath(directory, name, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _walk(below, path + "/", depth + 1, sizes, owners)
            finally:
                os.close(below)
            continue
        sealed.check_regular(status, path, owners)
        sizes[path] = status.st_size
        if len(sizes) > MAX_FILES or status.st_size > MAX_FILE_BYTES:
            raise SignatureRefused(
                "file_limit",
                f"More than {MAX_FILES} files, or {visible(path)} exceeds {MAX_FILE_BYTES} bytes.",
            )


class BlockMeter:
    """Turns blocks into calls of a `Report`."""

    def __init__(self, progress: Report, phase: str, total: int) -> None:
        self._progress, self._phase, self._total, self._done = progress, phase, total, 0

    def advance(self, count: int) -> None:
        self._done += count
        self._progress(self._phase, self._done, self._total)


@dataclass(frozen=True)
class FileDigest:
    """Digests of one file.

    Attributes:
        sha256: hex, of the whole file.
        shards: None when it was hashed whole only.
    """

    sha256: str
    shards: tuple[Shard, ...] | None = None

    @property
    def signed(self) -> str:
        """As `Manifest.files` states it."""
        return self.sha256 if self.shards is None else statement(self.shards)


def hash_files(
    artifact: Artifact, files: Mapping[str, int], meter: BlockMeter, shard_size: int | None = None
) -> dict[str, FileDigest]:
    """Digests of each file, whole and, with a shard size, in shards."""
    digests = {}
    for name in files:
        pieces = ShardDigests(shard_size) if shard_size else None
        fd = artifact.open(name)
        try:
            consume = pieces.update if pieces else _ignore
            whole = sealed.read_blocks(fd, name, consume, meter.advance)
        finally:
            os.close(fd)
        digests[name] = FileDigest(whole, pieces.finish() if pieces else None)
    return digests


def _ignore(_block: memoryview) -> None:
    pass


def read_prefix(directory: int, name: str, limit: int, owners: Owners = None) -> bytes:
    """The first bytes of a file, at most `limit`."""
    return _prefix_and_close(sealed.open_regular(directory, name, owners), name, limit)


def _prefix_and_close(fd: int, name: str, limit: int) -> bytes:
    try:
        data = bytearray()
        while len(data) < limit and (block := os.read(fd, min(sealed.BLOCK, limit - len(data)))):
            data += block
    except OSError as error:  # the medium fails
        raise SignatureRefused(
            "artifact_unreadable", f"{visible(name)} cannot be read: {error.strerror}.", param=name
        ) from error
    finally:
        os.close(fd)
    return bytes(data)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, _OPEN)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: Path) -> None:
    """Remove a directory of ours, if it exists, without following links."""
    for base, directories, files in os.walk(path, topdown=False, followlinks=False):
        for name in files:
            (Path(base) / name).unlink()
        for name in directories:
            entry = Path(base) / name
            if entry.is_symlink():
                entry.unlink()
            else:
                entry.rmdir()
    if path.is_dir():
        path.rmdir()
