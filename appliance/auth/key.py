"""Data of one API key, and its row in the database.

Rules: rows are only ever added to, so every later column has a default.
"""

import json
import unicodedata
from dataclasses import dataclass, field, fields
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import RowMapping

from appliance.errors import StateRefused
from appliance.types import ContentMode, Json, KeyState, KeyUsage, Limits

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
SHARES: Final = """
ALTER TABLE api_keys ADD COLUMN rpm INTEGER;
ALTER TABLE api_keys ADD COLUMN tpm INTEGER;
ALTER TABLE api_keys ADD COLUMN concurrency INTEGER;
ALTER TABLE api_keys ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_keys ADD COLUMN priority TEXT NOT NULL DEFAULT 'interactive';
ALTER TABLE api_keys ADD COLUMN old_sha256 BLOB;
ALTER TABLE api_keys ADD COLUMN old_until_us INTEGER;
ALTER TABLE api_keys ADD COLUMN certificate_sha256 BLOB;
ALTER TABLE api_keys ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX api_keys_certificate ON api_keys (certificate_sha256)
  WHERE revoked_us IS NULL AND certificate_sha256 IS NOT NULL;
"""
CONTENT: Final = """
ALTER TABLE api_keys ADD COLUMN content TEXT;
"""
EXAMPLES: Final = """
ALTER TABLE api_keys ADD COLUMN examples INTEGER NOT NULL DEFAULT 0;
"""
TASKS: Final = """
ALTER TABLE api_keys ADD COLUMN tasks_only INTEGER NOT NULL DEFAULT 0;
"""
PEOPLE: Final = """
ALTER TABLE api_keys ADD COLUMN person INTEGER NOT NULL DEFAULT 0;
"""
SITE: Final = """
DROP INDEX api_keys_active_name;
DROP INDEX api_keys_certificate;
"""
"""Two appliances of a site may have made keys of one name; each refuses a second one by itself."""
_LONGEST_NAME = 64


@dataclass(frozen=True)
class ApiKey:
    """Data of a key; times in microseconds since the epoch.

    Attributes:
        models: model ids that it may use; empty means all.
        expires_us: the first moment at which it is refused; None means never.
        old_until_us: until when the secret before the last rotation is good as well.
        certificate: SHA-256 of the client certificate that stands for the key, 32 bytes.
        content: what the log keeps of its prompts and answers; None is the log's own rule.
        examples: its owners agree that prompts become items of datasets.
    """

    id: str
    name: str
    role: str
    models: tuple[str, ...]
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None
    limits: Limits = field(default_factory=Limits)
    old_until_us: int | None = None
    certificate: bytes | None = None
    usage: KeyUsage = field(default_factory=KeyUsage)
    content: ContentMode | None = None
    examples: bool = False
    tasks_only: bool = False
    person: bool = False

    def state(self, now_us: int) -> KeyState:
        if self.revoked_us is not None:
            return "revoked"
        return "expired" if self.expires_us is not None and now_us >= self.expires_us else "valid"

    def live(self, now_us: int) -> bool:
        """True if it may be used: neither revoked nor expired."""
        return self.state(now_us) == "valid"


_FLAGS: Final = ("examples", "tasks_only", "person")
SAME: Final = (
    *("id", "name", "role", "created_us", "expires_us", "revoked_us", "old_until_us", "content"),
    *_FLAGS,
)
"""Columns that are fields of a key."""
KEYS: Final = sa.table(
    "api_keys",
    *map(sa.column, (*SAME, "models", "last_used_us")),
    *map(sa.column, ("secret_sha256", "old_sha256", "certificate_sha256")),
    *(sa.column(each.name) for form in (Limits, KeyUsage) for each in fields(form)),
)


@dataclass(frozen=True)
class KeyRow:
    """A key with the hashes of its secret and of the one before the last rotation."""

    key: ApiKey
    secret: bytes
    old: bytes | None


@dataclass(frozen=True)
class KeyChange:
    """Entry for the log about a key's change: its state before, or at its end, after.

    Attributes:
        action: key_create, key_limit, key_rotate or key_revoke.
    """

    action: str
    actor: str
    key: ApiKey
    secret: bytes
    old: bytes | None

    def fields(self) -> dict[str, Json]:
        """The fields of the entry: all that a row of the key permits."""
        key = self.key
        return {
            "action": self.action,
            "actor": self.actor,
            "key_id": key.id,
            "name": key.name,
            "role": key.role,
            "models": list(key.models),
            "expires_us": key.expires_us,
            "limits": {**vars(key.limits), "priority": key.limits.priority.value},
            "old_until_us": key.old_until_us,
            "certificate": key.certificate.hex() if key.certificate else None,
            "texts": key.content,
            "examples": key.examples,
            "tasks_only": key.tasks_only,
            "person": key.person,
            "secret_sha256": self.secret.hex(),
            "old_sha256": self.old.hex() if self.old else None,
        }


def key_of_row(row: RowMapping) -> ApiKey:
    """A row of `KEYS` as a key."""
    values = {
        **row,
        **{name: bool(row[name]) for name in _FLAGS},
        "models": json.loads(row["models"]),
        "certificate": row["certificate_sha256"],
        "limits": dict(row),
        "usage": dict(row),
    }
    return msgspec.convert(values, ApiKey)


def check_name(name: str) -> None:
    """Refuse a name that could not be printed as it is (`invalid_key_name`)."""
    # Printable in the sense of Unicode, so that a name can be shown and logged as it is.
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise StateRefused(
            "invalid_key_name",
            f"A key's name has 1 to {_LONGEST_NAME} printable characters and no space at its ends.",
            param="name",
        )
    if name != unicodedata.normalize("NFC", name):
        raise StateRefused("invalid_key_name", "A key's name must be in NFC.", param="name")


def check_limits(limits: Limits) -> None:
    """Refuse limits that nothing could pass (`invalid_value`)."""
    for name in ("rpm", "tpm", "concurrency", "weight"):
        value = getattr(limits, name)
        if value is not None and not 1 <= value <= 1_000_000_000:
            raise StateRefused("invalid_value", f"{name} must be 1 or more.", param=name)
    if limits.weight > 1_000:
        raise StateRefused("invalid_value", "The weight is 1 to 1000.", param="weight")
