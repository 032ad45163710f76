"""The files of an audit directory, and how they are written.

    log.db        the log from entry 0 on         keys.db   wrapped content keys
    log-N.db      the segment from entry N on
    genesis.pub   verifier key of epoch 0         HEAD      newest signed head, seconds old
    genesis.cert  the site's statement about it   kek       key-encryption key, 0600
    signing.pem   private key of the epoch, 0600  signing.next  the next one, briefly, 0600
    ballast       blocks for a full disk          renewing  while the KEK is replaced

Rules: key files are created once and never overwritten. HEAD is replaced whole. The one writing
process holds flock on the directory itself.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.content import KEY_BYTES
from appliance.errors import AuditRefused, AuditUnavailable, StateRefused
from appliance.host import host_key

MODES: Final = ("encrypted", "commit-only", "off")
_SEGMENT: Final = re.compile(r"log-([0-9]{16})\.db")


@dataclass(frozen=True)
class LogFiles:
    """Paths inside one audit directory."""

    directory: Path

    def segment(self, first: int) -> Path:
        return self.directory / (f"log-{first:016d}.db" if first else "log.db")

    def segments(self) -> list[tuple[int, Path]]:
        """First entry and file of each segment, oldest first; the last one grows."""
        matches = filter(
            None, map(_SEGMENT.fullmatch, (path.name for path in self.directory.iterdir()))
        )
        found = [(first, self.segment(first)) for first in sorted(int(m[1]) for m in matches)]
        whole = self.segment(0)
        return [(0, whole), *found] if whole.exists() else found

    @property
    def keys(self) -> Path:
        return self.directory / "keys.db"

    @property
    def genesis(self) -> Path:
        return self.directory / "genesis.pub"

    @property
    def certificate(self) -> Path:
        return self.directory / "genesis.cert"

    @property
    def signing(self) -> Path:
        return self.directory / "signing.pem"

    @property
    def signing_next(self) -> Path:
        return self.directory / "signing.next"

    @property
    def kek(self) -> Path:
        return self.directory / "kek"

    @property
    def renewing(self) -> Path:
        """While the KEK is replaced: the length of its file before."""
        return self.directory / "renewing"

    @property
    def head(self) -> Path:
        return self.directory / "HEAD"

    @property
    def ballast(self) -> Path:
        return self.directory / "ballast"

    def check_present(self) -> None:
        for path in (self.keys, self.genesis):
            if not path.is_file():
                raise StateRefused("data_missing", f"{self.directory} holds no {path.name}.")
        if not self.segments():
            raise StateRefused("data_missing", f"{self.directory} holds no log.db.")

    def foreign(self) -> list[tuple[int, Path]]:
        """Journals next to the databases, with the first entry concerned.

        A database in WAL mode has none. SQLite would write one back into it, over the evidence.
        """
        beside = [*self.segments(), (0, self.keys)]
        journals = [(first, path.with_name(path.name + "-journal")) for first, path in beside]
        return [(first, path) for first, path in journals if path.exists()]

    def check_untouched(self) -> None:
        """Refuse where opening would destroy evidence (`database_damaged`)."""
        for _, path in self.foreign():
            message = f"{path.name} is next to the audit log, which never has such a file."
            raise AuditUnavailable("database_damaged", message)
        for _, path in [*self.segments(), (0, self.keys)]:
            if not path.stat().st_size:
                raise AuditUnavailable("database_damaged", f"{path.name} is empty.")

    def lock(self) -> int:
        """Become the one writer; closing the descriptor ends it (`data_locked`, `data_missing`)."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StateRefused("data_missing", f"{self.directory} cannot be opened.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            message = f"Another process writes the audit log in {self.directory}."
            raise StateRefused("data_locked", message) from error
        return descriptor

    def verifier_key(self) -> VerifierKey:
        return VerifierKey.parse(read_key(self.genesis))

    def key_encryption_key(self) -> bytes:
        """The KEKs, 32 bytes each, the newest first."""
        kek = read_key(self.kek)
        if not kek or len(kek) % KEY_BYTES:
            raise _bad_key(self.kek)
        return kek


def read_key(path: Path) -> bytes:
    """A small key file (`audit_key_invalid`, `host_key_locked`, `host_key_damaged`)."""
    try:
        return host_key.read(path)
    except OSError as error:
        raise _bad_key(path) from error


def read_private(path: Path) -> Ed25519PrivateKey:
    """The PEM key of a file."""
    try:
        key = load_pem_private_key(read_key(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad_key(path) from error
    except StateRefused as error:
        if error.code == "host_key_damaged":  # torn by a crash, perhaps
            raise _bad_key(path) from error
        raise
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad_key(path)
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """PKCS #8 in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_secret(path: Path, data: bytes) -> None:
    """As `write_new`, encrypted under the host key where there is one."""
    write_new(path, host_key.sealed(path, data), 0o600)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Create a new file, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        _write(file.fileno(), data)
    sync_directory(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Replace the content of a file, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
        _write(file.fileno(), data)
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _bad_key(path: Path) -> AuditRefused:
    return AuditRefused("audit_key_invalid", f"{path.name} cannot be read as a key of the log.")
