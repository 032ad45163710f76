"""Lines that only the gate and the auditor's export read: encrypted records in a file.

Rules: each batch of lines is one record, which decrypts only in its place of its file; a torn one
is dropped, and its items are answered again.
"""

import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.audit import content
from appliance.errors import AuditRefused, EvaluationRefused
from appliance.trust.bytes import durable

_SIZE: Final = 4
_NONCE: Final = content.NONCE_BYTES
KEY_FILE: Final = "key"


def key_of(directory: Path, kek: bytes) -> bytes:
    """The key of a directory's files, made and kept wrapped the first time.

    Raises:
        EvaluationRefused: `outcomes_invalid` when it was wrapped by another appliance.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = directory / KEY_FILE
    name = f"gate-{directory.name}"
    if not file.exists():
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            out.write(content.wrap(kek, name, os.urandom(content.KEY_BYTES)))
            out.flush()
            os.fsync(out.fileno())
        part.rename(file)
    try:
        return content.unwrap(kek, name, file.read_bytes())
    except AuditRefused as error:
        raise EvaluationRefused(
            "outcomes_invalid", "The outcomes were written by another appliance."
        ) from error


def rewrap(directory: Path, kek: bytes) -> None:
    """Put a directory's key under the newest key-encryption key."""
    file = directory / KEY_FILE
    if file.exists():
        name = f"gate-{directory.name}"
        durable.replace(file, content.Opener(kek).rewrap(name, file.read_bytes(), kek))


def alias(key: bytes, item: str) -> str:
    """A sealed item in the log, by the job's key."""
    return hmac.new(key, b"item\0" + item.encode(), "sha256").hexdigest()[:32]


class SealedLines:
    """One file, under the key of its directory."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, key
        self._records = 0

    def read(self) -> list[bytes]:
        """Its lines; a torn record is removed.

        Raises:
            EvaluationRefused: `outcomes_invalid` for a record that does not decrypt.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        lines: list[bytes] = []
        place = self._records = 0
        while place < len(data):
            end = place + _SIZE + int.from_bytes(data[place : place + _SIZE])
            if place + _SIZE > len(data) or end > len(data):
                os.truncate(self._path, place)
                break
            lines += self._opened(data[place + _SIZE : end]).split(b"\n")
            self._records += 1
            place = end
        return lines

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines durably; call `read` first."""
        if not lines:
            return
        sealed = content.encrypt(self._key, self._path.name, self._place(), b"\n".join(lines))
        record = sealed.nonce + sealed.ciphertext
        with self._path.open("ab") as file:
            file.write(len(record).to_bytes(_SIZE) + record)
            file.flush()
            os.fsync(file.fileno())
        self._records += 1

    def _opened(self, record: bytes) -> bytes:
        sealed = content.EncryptedText(record[:_NONCE], record[_NONCE:])
        try:
            return content.decrypt(self._key, self._path.name, self._place(), sealed)
        except AuditRefused as error:
            raise EvaluationRefused(
                "outcomes_invalid", f"Record {self._records} of {self._path.name} does not decrypt."
            ) from error

    def _place(self) -> str:
        return str(self._records)
