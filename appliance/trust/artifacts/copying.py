"""Copying artifacts into the store: each is hashed as it is copied; an interrupted copy resumes.

Rules: a copy has no record. A partial file is used again only with the very same `model.sig`, and
only if its digest, read again from this disk, leads to the signed one. The signature is judged
later, on the stored copy.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import SignatureRefused, StateRefused
from appliance.trust.bytes import names, oms, sealed
from appliance.trust.bytes.directory import Artifact, BlockMeter, remove_tree, sync_directory
from appliance.trust.bytes.shards import ShardDigests, statement
from appliance.types import Report

_WRITABLE: Final = 0o600
_WHOLE: Final = 0o400
_GONE: Final = frozenset({"artifact_unreadable", "file_missing"})
"""Errors of reading from a stick that was pulled out: the copied part is kept."""


@dataclass(frozen=True)
class CopiedFile:
    """A file, and how much of it came from the medium this time."""

    name: str
    size: int
    copied: int
    sha256: str


Told = Callable[[CopiedFile], None]


def copy_artifact(
    artifact: Artifact, target: Path, progress: Report, told: Told = lambda file: None
) -> None:
    """Copy every file durably, or resume such a copy (`insufficient_disk`).

    Args:
        target: new, or left by an earlier copy. It stays, to be resumed, when the process ends, the
            medium cannot be read or `progress` raises; any other failure removes it.
        told: gets a line for each file that is whole.
    """
    signature = _signature(artifact)
    if not _belongs(target, artifact, signature):
        remove_tree(target)
    _check_room(artifact, target)
    target.mkdir(mode=0o700, exist_ok=True)
    stated = _Stated.by(signature)
    total = sum(artifact.sizes.values())
    meter = BlockMeter(progress, "copying", total)
    # The signature first: what lies beside it belongs to it.
    ordered = sorted(artifact.sizes, key=lambda name: (name != names.SIGNATURE_FILE, name))
    try:
        for name in ordered:
            told(_copy_file(artifact, name, target / name, stated, meter))
        for directory in {target / Path(name).parent for name in artifact.sizes} | {target.parent}:
            sync_directory(directory)
    except OSError as error:
        remove_tree(target)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateRefused("insufficient_disk", "The disk is full.") from error
        raise
    except SignatureRefused as error:
        if error.code not in _GONE:
            remove_tree(target)
        raise


def resumable(part: Path) -> bool:
    """True if a copy can be resumed: its signature is whole."""
    try:
        found = (part / names.SIGNATURE_FILE).lstat()
    except OSError:
        return False
    return found.st_mode & 0o777 == _WHOLE


def _signature(artifact: Artifact) -> bytes:
    try:
        return artifact.signature()
    except SignatureRefused as error:
        if error.code in _GONE:
            raise
        return b""


@dataclass(frozen=True)
class _Stated:
    """A signature's statement of its files, unverified, and its own SHA-256."""

    digests: Mapping[str, str]
    shard_size: int | None = None

    @classmethod
    def by(cls, signature: bytes) -> "_Stated":
        """Empty when the signature cannot be read."""
        own = {names.SIGNATURE_FILE: hashlib.sha256(signature).hexdigest()} if signature else {}
        try:
            found = oms.parse_manifest(oms.parse_bundle(signature))
        except SignatureRefused:
            return cls(own)
        return cls({**found.files, **own}, found.shard_size)

    def shards(self, name: str) -> ShardDigests | None:
        if self.shard_size is None or name == names.SIGNATURE_FILE:
            return None
        return ShardDigests(self.shard_size)


def _belongs(target: Path, artifact: Artifact, signature: bytes) -> bool:
    if not signature or not resumable(target):
        return False
    there = {str(p.relative_to(target)) for p in target.rglob("*") if not p.is_dir()}
    same = (target / names.SIGNATURE_FILE).read_bytes() == signature
    return same and there <= artifact.sizes.keys()


def _check_room(artifact: Artifact, target: Path) -> None:
    there = sum(path.lstat().st_size for path in target.rglob("*") if path.is_file())
    needed = sum(artifact.sizes.values()) - there
    space = os.statvfs(target.parent)
    if space.f_bavail * space.f_frsize < needed:
        remove_tree(target)
        raise StateRefused(
            "insufficient_disk",
            f"The artifact needs {needed} bytes; {space.f_bavail * space.f_frsize} are free.",
        )


def _copy_file(
    artifact: Artifact, name: str, target: Path, stated: _Stated, meter: BlockMeter
) -> CopiedFile:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size, wanted = artifact.sizes[name], stated.digests.get(name)
    if wanted is None:
        target.unlink(missing_ok=True)
    while True:
        shards = stated.shards(name)
        sha256, copied = _go_on(artifact, name, target, shards, meter)
        found = sha256 if shards is None else statement(shards.finish())
        if wanted in (None, found) or copied == size:
            return CopiedFile(name, size, copied, sha256)
        target.unlink()
        meter.advance(-size)


def _go_on(
    artifact: Artifact, name: str, target: Path, shards: ShardDigests | None, meter: BlockMeter
) -> tuple[str, int]:
    """Copy the rest of a file; its SHA-256, and the bytes that came from the medium."""
    size, digest = artifact.sizes[name], hashlib.sha256()
    hashed = shards.update if shards else _ignore
    source = artifact.open(name)
    try:
        copy, there, whole = _open_copy(target, size)
        try:
            sha256 = sealed.read_blocks(copy, name, hashed, meter.advance, digest=digest)
            if not whole:

                def take(block: memoryview) -> None:
                    sealed.write_all(copy, block)
                    hashed(block)

                os.lseek(copy, there, os.SEEK_SET)
                sha256 = sealed.read_blocks(
                    source, name, take, meter.advance, start=there, digest=digest
                )
                os.fsync(copy)
                os.fchmod(copy, _WHOLE)
                os.fsync(copy)
        finally:
            os.close(copy)
    finally:
        os.close(source)
    return sha256, size - there


def _open_copy(target: Path, size: int) -> tuple[int, int, bool]:
    try:
        found = target.lstat()
        if found.st_size > size or (found.st_mode & 0o777 == _WHOLE and found.st_size != size):
            target.unlink()
    except FileNotFoundError:
        pass
    whole = target.exists() and target.lstat().st_mode & 0o777 == _WHOLE
    access = os.O_RDONLY if whole else os.O_RDWR | os.O_CREAT
    fd = os.open(target, access | os.O_NOFOLLOW | os.O_CLOEXEC, _WRITABLE)
    return fd, os.fstat(fd).st_size, whole


def _ignore(_block: memoryview) -> None:
    pass
