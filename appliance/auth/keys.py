"""API keys of apps: made, checked, revoked.

Rules:
- A secret is `sk-<key id>-<43 base64url characters>`: 256 random bits, shown once, stored as
  SHA-256 of the 43 characters. A hash without salt or stretching is enough for 256 random bits.
- Lookup is by key id, comparison takes constant time, and an unknown id costs a comparison too.
  The refusal never says which part was wrong.
- The process that holds the data directory's lock is the only writer, so the keys live in
  memory: checking one reads no database, and a revocation holds from the next request on.
- `last_used` is for people. It is noted in memory and written by a thread of its own, at most
  once a minute, so that no request waits for a commit.
"""

import hashlib
import hmac
import json
import logging
import re
import secrets
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from appliance.clock import Clock
from appliance.errors import StateRefused, Unauthenticated
from appliance.types import Principal

TABLES: Final = """
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  models TEXT NOT NULL,
  secret_sha256 BLOB NOT NULL CHECK (length(secret_sha256) = 32),
  created_us INTEGER NOT NULL,
  expires_us INTEGER,
  revoked_us INTEGER,
  last_used_us INTEGER
) STRICT;
CREATE UNIQUE INDEX api_keys_active_name ON api_keys (name) WHERE revoked_us IS NULL;
"""
ROLES: Final = ("app",)
_SECRET = re.compile(r"sk-([0-9a-f]{12})-([A-Za-z0-9_-]{43})", re.ASCII)
_FLUSH_EVERY_US = 60_000_000
_LONGEST_NAME = 64
_logger = logging.getLogger("appliance.auth")


@dataclass(frozen=True)
class ApiKey:
    """What is known about a key; times in microseconds since the epoch.

    Attributes:
        models: model ids that it may use; empty means all.
        expires_us: the first moment at which it is refused; None means never.
    """

    id: str
    name: str
    role: str
    models: tuple[str, ...]
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None


class KeyStore:
    """The keys of one appliance.

    Args:
        database: an engine whose migrations include `TABLES`.
        clock: decides about expiry.
    """

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._hashes: dict[str, bytes] = {}
        self._used: dict[str, int] = {}
        self._flushed_us = clock.wall_us()
        self._flushing: threading.Thread | None = None
        with database.connect() as connection:
            for row in connection.execute(text("SELECT * FROM api_keys")).mappings():
                self._keys[row["id"]] = _key(row)
                self._hashes[row["id"]] = bytes(row["secret_sha256"])

    def create(
        self,
        name: str,
        *,
        models: Sequence[str] = (),
        expires_us: int | None = None,
        role: str = "app",
    ) -> tuple[ApiKey, str]:
        """Make a key; the secret is returned here and never again.

        Args:
            name: 1 to 64 printable characters, not the name of a key that is not revoked.

        Raises:
            StateRefused: `invalid_key_name`, `key_name_taken`, `invalid_value`.
        """
        _check_name(name)
        now = self._clock.wall_us()
        if role not in ROLES:
            raise StateRefused("invalid_value", f"No such role for a key: {role!r}.", param="role")
        if expires_us is not None and expires_us <= now:
            raise StateRefused("invalid_value", "The expiry is in the past.", param="expires")
        random = secrets.token_urlsafe(32)
        with self._lock:
            if any(k.name == name and k.revoked_us is None for k in self._keys.values()):
                raise StateRefused("key_name_taken", f"A key named {name!r} exists.", param="name")
            key = ApiKey(self._new_id(), name, role, tuple(models), now, expires_us)
            self._insert(key, _hash(random))
        return key, f"sk-{key.id}-{random}"

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones included, oldest first, with the newest use known."""
        with self._lock:
            return tuple(
                replace(key, last_used_us=self._used.get(key.id, key.last_used_us))
                for key in sorted(self._keys.values(), key=lambda k: (k.created_us, k.id))
            )

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good; revoking it again changes nothing.

        Raises:
            StateRefused: `unknown_key_id`.
        """
        with self._lock:
            key = self._keys.get(key_id)
            if key is None:
                raise StateRefused("unknown_key_id", f"No key has the id {key_id!r}.", param="id")
            if key.revoked_us is None:
                key = replace(key, revoked_us=self._clock.wall_us())
                with self._database.begin() as connection:
                    connection.execute(
                        text("UPDATE api_keys SET revoked_us = :at WHERE id = :id"),
                        {"at": key.revoked_us, "id": key_id},
                    )
                self._keys[key_id] = key
            return key

    def authenticate(self, secret: str) -> Principal:
        """Who holds this secret.

        Raises:
            Unauthenticated: `invalid_api_key`, for every reason in the same words.
        """
        match = _SECRET.fullmatch(secret)
        if match is None:
            raise _refusal()
        key_id, random = match.groups()
        same = hmac.compare_digest(_hash(random), self._hashes.get(key_id, bytes(32)))
        key = self._keys.get(key_id)
        now = self._clock.wall_us()
        if not same or key is None or key.revoked_us is not None:
            raise _refusal()
        if key.expires_us is not None and key.expires_us <= now:
            raise _refusal()
        self._used[key_id] = now
        self._flush_when_due(now)
        return Principal(key_id=key.id, name=key.name, models=frozenset(key.models))

    def close(self) -> None:
        """Write what is known of last uses; the store stays usable."""
        if self._flushing is not None:
            self._flushing.join()
        self._flush()

    def _flush_when_due(self, now: int) -> None:
        if abs(now - self._flushed_us) >= _FLUSH_EVERY_US:
            self._flushed_us = now
            self._flushing = threading.Thread(target=self._flush, daemon=True)
            self._flushing.start()

    def _flush(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
            if not used:
                return
            for key_id, at in used.items():
                self._keys[key_id] = replace(self._keys[key_id], last_used_us=at)
            try:
                with self._database.begin() as connection:
                    connection.execute(
                        text("UPDATE api_keys SET last_used_us = :at WHERE id = :id"),
                        [{"at": at, "id": key_id} for key_id, at in used.items()],
                    )
            except SQLAlchemyError as error:
                _logger.warning("last uses of keys were not written: %s", type(error).__name__)

    def _new_id(self) -> str:
        while (key_id := secrets.token_hex(6)) in self._keys:
            pass
        return key_id

    def _insert(self, key: ApiKey, digest: bytes) -> None:
        with self._database.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO api_keys (id, name, role, models, secret_sha256, created_us,"
                    " expires_us) VALUES (:id, :name, :role, :models, :digest, :created, :expires)"
                ),
                {
                    "id": key.id,
                    "name": key.name,
                    "role": key.role,
                    "models": json.dumps(key.models),
                    "digest": digest,
                    "created": key.created_us,
                    "expires": key.expires_us,
                },
            )
        self._hashes[key.id] = digest
        self._keys[key.id] = key


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        models=tuple(json.loads(row["models"])),
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        last_used_us=row["last_used_us"],
    )


def _check_name(name: str) -> None:
    # Printable in the sense of Unicode, so that a name can be shown and logged as it is.
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise StateRefused(
            "invalid_key_name",
            f"A key's name has 1 to {_LONGEST_NAME} printable characters and no space at its ends.",
            param="name",
        )
    if name != unicodedata.normalize("NFC", name):
        raise StateRefused("invalid_key_name", "A key's name must be in NFC.", param="name")


def _hash(random: str) -> bytes:
    return hashlib.sha256(random.encode("ascii")).digest()


def _refusal() -> Unauthenticated:
    return Unauthenticated("invalid_api_key", "The API key is missing, wrong, expired or revoked.")
