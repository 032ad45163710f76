"""The changes of the signing key, and the handling of its file.

Rules:
- The next key is durable in `signing.next` before the entry that names it; then the old file is
  overwritten and replaced. After any crash one of the two files holds the newest epoch's key.
- Time is the time since boot. An epoch begun in another boot, or so it seems, ends at once.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.files import LogFiles, private_pem, read_private, sync_directory, write_secret
from appliance.audit.handover import Epoch
from appliance.audit.host import Moment, Moments
from appliance.errors import AuditRefused

_SECOND: Final = 1_000_000


@dataclass(frozen=True)
class EpochLimits:
    """Limits of a signing key's time and use.

    Attributes:
        seconds: at most so long, when there are entries.
        idle_seconds: at most so long, when there are none.
    """

    seconds: int = 600
    rows: int = 10_000
    idle_seconds: int = 3_600


class EpochKeeper:
    """The writer's current epoch: its age, its size and its key files. For one thread."""

    def __init__(
        self, files: LogFiles, epoch: Epoch, began: Moment, limits: EpochLimits, moments: Moments
    ) -> None:
        self._files, self._epoch, self._began = files, epoch, began
        self._limits, self._moments = limits, moments

    def due(self, size: int) -> str | None:
        """The reason why the epoch must end in a log of this size, or None."""
        if size + 1 - self._epoch.start >= self._limits.rows:
            return "rows"
        if self.seconds_left(size) > 0:
            return None
        return "time" if size > self._epoch.start else "idle"

    def seconds_left(self, size: int) -> float:
        now = self._moments.now()
        age = now.mono_us - self._began.mono_us
        if now.boot_id != self._began.boot_id or age < 0:
            return 0.0
        active = size > self._epoch.start
        limit = self._limits.seconds if active else self._limits.idle_seconds
        return max(0.0, limit - age / _SECOND)

    def prepare(self) -> Ed25519PrivateKey:
        """The next key, durable."""
        key = Ed25519PrivateKey.generate()
        self._files.signing_next.unlink(missing_ok=True)
        write_secret(self._files.signing_next, private_pem(key))
        return key

    def advance(self, epoch: Epoch) -> None:
        """Destroy the old key, once the handover is durable."""
        self._epoch, self._began = epoch, self._moments.now()
        destroy_old_key(self._files)


def current_key(files: LogFiles, epoch: Epoch) -> Ed25519PrivateKey:
    """The private key of the log's newest epoch; completes an interrupted change of keys
    (`audit_corrupt` when no file has it).
    """
    for path in (files.signing, files.signing_next):
        try:
            key = read_private(path)
        except AuditRefused:
            if path == files.signing and not files.signing_next.exists():
                raise
            continue
        if key.public_key().public_bytes_raw() == epoch.key.public:
            if path == files.signing_next:
                destroy_old_key(files)
            elif files.signing_next.exists():  # its handover was never recorded
                overwrite(files.signing_next)
                files.signing_next.unlink()
            return key
    message = f"No key file holds the key of the log's epoch {epoch.number}."
    raise AuditRefused("audit_corrupt", message)


def destroy_old_key(files: LogFiles) -> None:
    """Overwrite signing.pem, then put signing.next in its place."""
    overwrite(files.signing)
    files.signing_next.replace(files.signing)
    sync_directory(files.directory)


def overwrite(path: Path) -> None:
    """Fill a file with zeros in place, durably."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
