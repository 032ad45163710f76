"""Files in sealed memory: the mapped bytes are the hashed ones, whatever happens on the disk.

Rules:
- A file is opened with `openat2`, which follows no link, and must be regular with one name.
- Each block is hashed and copied into a memfd in one pass; the memfd is then sealed against
  writing, growing, shrinking and further sealing.
- Where memory is too small, `hold_and_close` keeps the file of the store, if the service cannot
  write it: a weaker claim, marked as such.

Source: openat2(2), memfd_create(2), fcntl(2) "File Sealing".
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

from appliance.errors import SignatureRefused, StateRefused
from appliance.text import visible

Owners: TypeAlias = frozenset[int] | None
"""The uids that a file may belong to; None where any may own it."""
Blocks: TypeAlias = Callable[[memoryview], None]

BLOCK: Final = 4 << 20
_SYS_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE: Final = 0x02 | 0x04 | 0x08  # NO_MAGICLINKS | NO_SYMLINKS | BENEATH
_MFD_NOEXEC_SEAL: Final = 8  # since Linux 6.3; Python's os names it from 3.14 on
SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass
class SealedFile:
    """A file in sealed memory.

    Attributes:
        fd: read-only, with a shared offset: prefer `reopen`.
        sha256: hex, of exactly these bytes.
        on_disk: it is a file that the service cannot write, not sealed memory.
    """

    fd: int
    size: int
    sha256: str
    on_disk: bool = False

    @property
    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def reopen(self) -> int:
        """A new read-only descriptor with an offset of its own, at 0."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Safe to repeat. The memory is free once no other descriptor holds it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def open_beneath(directory: int, path: str, flags: int = os.O_RDONLY) -> int:
    """Open a path below the descriptor of a directory without following any link.

    Raises:
        OSError: of openat2; ELOOP for a symbolic link, EXDEV for a way out.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    how = struct.pack("=QQQ", flags, 0, _RESOLVE)
    fd = libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(fd)


def open_regular(directory: int, path: str, owners: Owners = None) -> int:
    """Open a regular file with one name in a directory (`file_missing`, `artifact_unreadable`)."""
    shown = visible(path, limit=200)
    try:
        fd = open_beneath(directory, path)
    except FileNotFoundError as error:
        raise SignatureRefused("file_missing", f"{shown} is missing.", param=path) from error
    except OSError as error:
        code = {
            errno.ELOOP: "file_symlink",
            errno.EXDEV: "file_symlink",
            errno.ENXIO: "file_special",
        }
        raise SignatureRefused(
            code.get(error.errno or 0, "artifact_unreadable"),
            f"{shown} cannot be opened: {error.strerror}.",
            param=path,
        ) from error
    try:
        check_regular(os.fstat(fd), path, owners)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_regular(status: os.stat_result, path: str, owners: Owners = None) -> None:
    """Refuse all but a plain file with one name and a right owner.

    Raises:
        SignatureRefused: `file_symlink`, `file_hardlink`, `file_special`, `file_owner`.
    """
    shown = visible(path, limit=200)
    if stat.S_ISLNK(status.st_mode):
        raise SignatureRefused("file_symlink", f"{shown} is a symbolic link.", param=path)
    if not stat.S_ISREG(status.st_mode):
        raise SignatureRefused("file_special", f"{shown} is not a regular file.", param=path)
    if status.st_nlink != 1:
        raise SignatureRefused("file_hardlink", f"{shown} has {status.st_nlink} names.", param=path)
    check_owner(status, path, owners)


def check_owner(status: os.stat_result, path: str, owners: Owners) -> None:
    """Refuse a file or directory that others than `owners` own or may write (`file_owner`)."""
    if owners is None:
        return
    if status.st_uid not in owners or status.st_mode & 0o022:
        raise SignatureRefused(
            "file_owner",
            f"{visible(path, limit=200)} belongs to uid {status.st_uid}, mode "
            f"{stat.S_IMODE(status.st_mode):04o}.",
            param=path,
        )


def read_blocks(
    fd: int,
    path: str,
    consume: Blocks,
    advance: Callable[[int], None],
    *,
    start: int = 0,
    digest: "hashlib._Hash | None" = None,
) -> str:
    """Hex SHA-256 of a file, read once; a second thread hashes each block, half of the time.

    Args:
        consume: gets each block, meanwhile.
        advance: gets the number of bytes of each block.
        start: the byte to begin at.
        digest: of the bytes before `start`; hashing continues from it.

    Raises:
        SignatureRefused: `file_changing` when the file's size changed; `artifact_unreadable` when
            the medium fails.
    """
    size = os.fstat(fd).st_size
    digest, done = digest or hashlib.sha256(), start
    free, full = (memoryview(bytearray(min(BLOCK, size + 1))) for _ in range(2))
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    with ThreadPoolExecutor(1) as beside:
        count = _read(fd, path, free, done)
        while count:
            free, full = full, free
            hashed = beside.submit(digest.update, full[:count])
            consume(full[:count])
            done += count
            advance(count)
            count = _read(fd, path, free, done) if done <= size else 0
            hashed.result()
    if done != size:
        raise SignatureRefused(
            "file_changing", f"{visible(path)} had {size} bytes and then {done}.", param=path
        )
    return digest.hexdigest()


def _read(fd: int, path: str, buffer: memoryview, offset: int) -> int:
    try:
        return os.preadv(fd, [buffer], offset)
    except OSError as error:
        raise SignatureRefused(
            "artifact_unreadable", f"{visible(path)} cannot be read: {error.strerror}.", param=path
        ) from error


def write_all(fd: int, block: memoryview) -> None:
    """Write a whole block."""
    while block:
        block = block[os.write(fd, block) :]


def seal_and_close(
    fd: int,
    path: str,
    advance: Callable[[int], None] = lambda count: None,
    consume: Blocks | None = None,
) -> SealedFile:
    """Copy an open file into sealed memory, hashing it in the same pass (`sealing_failed`).

    Args:
        fd: readable; closed in every case. The others are as in `read_blocks`.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        try:
            memory = _memfd()
            stack.callback(os.close, memory)

            def copy(block: memoryview) -> None:
                write_all(memory, block)
                if consume is not None:
                    consume(block)
                # The copy is what counts from here on; two in memory would be one too many.
                os.posix_fadvise(fd, 0, os.lseek(memory, 0, os.SEEK_CUR), os.POSIX_FADV_DONTNEED)

            digest = read_blocks(fd, path, copy, advance)
            os.fchmod(memory, 0o400)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
            if fcntl.fcntl(memory, fcntl.F_GET_SEALS) & SEALS != SEALS:
                raise StateRefused("sealing_failed", "The kernel did not keep the seals.")
            readable = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
            return SealedFile(readable, os.fstat(memory).st_size, digest)
        except OSError as error:
            raise StateRefused("sealing_failed", f"Sealing failed: {error.strerror}.") from error


def hold_and_close(
    fd: int,
    path: str,
    advance: Callable[[int], None] = lambda count: None,
    consume: Blocks | None = None,
) -> SealedFile:
    """Hash an open file and hold it where it is; otherwise as `seal_and_close`.

    `store_not_separated` when this process could write the file.
    """
    try:
        if problem := not_separated(os.fstat(fd)):
            raise StateRefused("store_not_separated", f"{visible(path)} {problem}.")
        digest = read_blocks(fd, path, consume or (lambda block: None), advance)
        readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        return SealedFile(readable, os.fstat(readable).st_size, digest, on_disk=True)
    finally:
        os.close(fd)


def not_separated(status: os.stat_result) -> str | None:
    """Why this process could change the file, as the end of a sentence, if it could."""
    if os.geteuid() == 0:
        return "is read by root, who could write it"
    if status.st_uid == os.geteuid():
        return "belongs to the service itself"
    if status.st_mode & 0o222:
        return f"can be written, mode {stat.S_IMODE(status.st_mode):04o}"
    return None


def rehash(model: SealedFile, path: str) -> None:
    """Read a held file once more (`file_changed`)."""
    fd = model.reopen()
    try:
        digest = read_blocks(fd, path, lambda block: None, lambda count: None)
    finally:
        os.close(fd)
    if digest != model.sha256:
        raise SignatureRefused("file_changed", f"{visible(path)} changed after it was checked.")


def _memfd() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("model", flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # before Linux 6.3
            raise
    return os.memfd_create("model", flags)
