"""The secret of an API key: `sk-<key id>-<43 base64url characters>`, shown once.

It has 256 random bits, so SHA-256 of the 43 characters, without salt or stretching, is enough.
"""

import hashlib
import re
import secrets
from typing import Final

NO_HASH: Final = bytes(32)
"""Compared with where there is no hash; nothing hashes to it."""

_FORM = re.compile(r"sk-([0-9a-f]{12})-([A-Za-z0-9_-]{43})", re.ASCII)


def new_id() -> str:
    """A fresh id for a key."""
    return secrets.token_hex(6)


def new_secret(key_id: str) -> tuple[str, bytes]:
    """A fresh secret of a key, and its hash."""
    random = secrets.token_urlsafe(32)
    return f"sk-{key_id}-{random}", _hash(random)


def parse(secret: str) -> tuple[str, bytes] | None:
    """Key id and hash of a client's secret; None when it has another form."""
    match = _FORM.fullmatch(secret)
    return None if match is None else (match[1], _hash(match[2]))


def _hash(random: str) -> bytes:
    return hashlib.sha256(random.encode("ascii")).digest()
