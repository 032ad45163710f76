"""Verification of texts: each one is there, is the right one, and can be read.

Rules: the digest covers nonce and ciphertext together, so bytes moved from one to the other show
only in the nonce's length of 12 bytes. A content key may be gone only where the log says so
(erasures.py).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import Engine

from appliance.audit import store
from appliance.audit.content import NONCE_BYTES, Opener
from appliance.audit.erasures import Erasures
from appliance.audit.files import LogFiles
from appliance.audit.segments import Log
from appliance.audit.verification.findings import Findings
from appliance.db import open_readonly
from appliance.errors import AuditRefused

_BY_ID: Final = "SELECT id, CAST(wrapped AS BLOB), rowid FROM dek WHERE id = ?"
_NEXT: Final = "SELECT id, CAST(wrapped AS BLOB), rowid FROM dek WHERE rowid > ? LIMIT ?"


class KeptTexts(msgspec.Struct, frozen=True, gc=False):
    """An entry's statement about its texts.

    Attributes:
        ciphertexts: digest of each stored text by name; none where only commitments are kept.
    """

    key: str
    ciphertexts: dict[str, str]


class TextCheck:
    """A check under way; `close` closes `keys.db`."""

    def __init__(self, log: Log, files: LogFiles, findings: Findings, first: int) -> None:
        self._log, self._found = log, findings
        self._erasures = Erasures(log)
        self._keys: _Keys | None = _Keys(open_readonly(files.keys))
        self._opener: Opener | None = None
        try:
            self._opener = Opener(files.key_encryption_key())
        except AuditRefused:
            message = f"{files.kek.name} cannot be read; every content key is wrapped with it."
            findings.add(first, "key_missing", message)

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()
            self._keys = None

    def look(self, kept: Mapping[int, KeptTexts], first: int, end: int) -> None:
        """Check the texts of the entries first ≤ seq < end, of which these keep any."""
        deks = self._unwrapped(kept) if kept else {}
        wanted = sum(len(entry.ciphertexts) for entry in kept.values())
        for seq, name, nonce, ciphertext in store.contents(self._log, first, end):
            entry = kept.get(seq)
            expected = None if entry is None else entry.ciphertexts.get(name)
            if entry is None or expected is None:
                message = f"Entry {seq} names no {name!r}, but a ciphertext is stored."
                self._found.add(seq, "content_unexpected", message)
                continue
            wanted -= 1
            dek = deks.get(seq)
            if sha256(nonce + ciphertext).hexdigest() != expected:
                message = f"The stored {name} is not the one that entry {seq} names."
                self._found.add(seq, "content_mismatch", message)
            elif len(nonce) != NONCE_BYTES:
                message = f"The nonce of the {name} of entry {seq} has {len(nonce)} bytes, not 12."
                self._found.add(seq, "content_mismatch", message)
            elif dek is not None and not Opener.opens(dek, entry.key, name, nonce, ciphertext):
                message = f"The content key of entry {seq} does not decrypt its {name}."
                self._found.add(seq, "key_mismatch", message)
        if wanted:
            self._missing(kept, first, end)

    def _missing(self, kept: Mapping[int, KeptTexts], first: int, end: int) -> None:
        there = {row[:2] for row in store.contents(self._log, first, end)}
        for seq, entry in kept.items():
            for name in entry.ciphertexts:
                if (seq, name) not in there:
                    message = f"The {name} that entry {seq} names is missing."
                    self._found.add(seq, "content_missing", message)

    def _unwrapped(self, kept: Mapping[int, KeptTexts]) -> dict[int, bytes]:
        if self._keys is None:
            return {}
        try:
            wrapped = self._keys.of([entry.key for entry in kept.values()])
        except store.FAILURES as error:
            self._found.damage(min(kept), error, "keys.db")
            self.close()
            return {}
        deks = {}
        for seq, entry in kept.items():
            found = wrapped.get(entry.key)
            if found is None:
                if seq not in self._erasures:
                    message = f"The content key of entry {seq} is missing, and no entry erased it."
                    self._found.add(seq, "key_missing", message)
            elif self._opener is not None:
                dek = self._opener.unwrap(entry.key, found)
                if dek is None:
                    message = f"The content key of entry {seq} does not unwrap."
                    self._found.add(seq, "key_mismatch", message)
                else:
                    deks[seq] = dek
        return deks


class _Keys:
    """Wrapped keys, read in the order of their making, which is that of the entries.

    A key out of this order is looked up by its id, which takes eight times as long.
    """

    AHEAD: Final = 1_024
    MOST: Final = 4 * AHEAD

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at: int | None = None  # rowid of the last key that was read
        self._read: dict[str, bytes] = {}

    def close(self) -> None:
        self._engine.dispose()

    def of(self, ids: list[str]) -> dict[str, bytes]:
        """The wrapped keys of these ids that exist."""
        with self._engine.connect() as connection:
            dbapi = store.raw(connection)
            if self._at is None:
                first = dbapi.execute(_BY_ID, ids[:1]).fetchall()
                self._at = first[0][2] - 1 if first else 0
            known = self._read
            while not known.keys() >= set(ids) and len(known) < self.MOST:
                rows = dbapi.execute(_NEXT, (self._at, self.AHEAD)).fetchall()
                if not rows:
                    break
                known.update((row[0], row[1] or b"") for row in rows)
                self._at = rows[-1][2]
            found = {key: known.pop(key) for key in ids if key in known}
            if len(known) > self.MOST - self.AHEAD:
                known.clear()
            lacking = [key for key in ids if key not in found]
            for key in lacking:
                for row in dbapi.execute(_BY_ID, (key,)).fetchall():
                    found[key] = row[1] or b""
        return found
