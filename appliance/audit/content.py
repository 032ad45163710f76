"""Texts of requests and answers, outside the log: encrypted with one key per record.

Rules:
- An entry holds, for each text, a commitment and the hash of its ciphertext, never the text.
- The data key (DEK) encrypts with AES-256-GCM; the associated data is `<key id>|<name of the
  text>`, so a ciphertext fits one place only.
- The commitment is HMAC-SHA-256 under a key derived from the DEK by HKDF: it reveals nothing once
  the DEK is destroyed.
- A DEK is stored only wrapped under the key-encryption key (KEK). Destroying it erases the text;
  the log still verifies.
- After a KEK's replacement its file has all, the newest first: that wraps, and each unwraps.

Sources: NIST SP 800-38D (GCM), RFC 5869 (HKDF), RFC 2104 (HMAC).
"""

import contextlib
import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.draws import drawn
from appliance.errors import AuditRefused
from appliance.host import host_key

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_COMMIT: Final = b"appliance audit commitment v1|"
_WRAP: Final = b"appliance audit dek v1|"
_KEK_ID: Final = b"appliance audit kek v1"


@dataclass(frozen=True)
class EncryptedText:
    """An encrypted text: the nonce, and the ciphertext with its 16-byte tag."""

    nonce: bytes
    ciphertext: bytes

    def digest(self) -> bytes:
        """SHA-256(nonce ‖ ciphertext), as in the entry."""
        return sha256(self.nonce + self.ciphertext).digest()


def commitment(dek: bytes, key_id: str, name: str, text: bytes) -> bytes:
    """HMAC-SHA-256(HKDF(DEK), text), 32 bytes."""
    # HKDF of one block without salt; that of `cryptography` takes ten times as long.
    extracted = hmac.digest(bytes(KEY_BYTES), dek, "sha256")
    derived = hmac.digest(extracted, _COMMIT + _place(key_id, name) + b"\1", "sha256")
    return hmac.digest(derived, text, "sha256")


def encrypt(dek: bytes, key_id: str, name: str, text: bytes) -> EncryptedText:
    """Encrypt one text of a record."""
    nonce = drawn(NONCE_BYTES)
    return EncryptedText(nonce, AESGCM(dek).encrypt(nonce, text, _place(key_id, name)))


def decrypt(dek: bytes, key_id: str, name: str, sealed: EncryptedText) -> bytes:
    """The text; `content_unavailable` when key, place or bytes do not belong together."""
    try:
        return AESGCM(dek).decrypt(sealed.nonce, sealed.ciphertext, _place(key_id, name))
    except (InvalidTag, ValueError) as error:
        raise AuditRefused("content_unavailable", f"The {name} does not decrypt.") from error


def wrap(kek: bytes, key_id: str, dek: bytes) -> bytes:
    """A DEK as it is stored: nonce ‖ ciphertext ‖ tag, 60 bytes."""
    nonce = drawn(NONCE_BYTES)
    return nonce + AESGCM(kek[:KEY_BYTES]).encrypt(nonce, dek, _WRAP + key_id.encode())


def unwrap(kek: bytes, key_id: str, wrapped: bytes) -> bytes:
    """The DEK; `content_unavailable` when it was wrapped by another KEK or for another id."""
    dek = Opener(kek).unwrap(key_id, wrapped)
    if dek is None:
        message = "The content key does not unwrap with this key-encryption key."
        raise AuditRefused("content_unavailable", message)
    return dek


class Opener:
    """Unwraps many keys, and tries them on their texts."""

    def __init__(self, kek: bytes) -> None:
        self._keks = [AESGCM(one) for one in host_key.each(kek)]

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes | None:
        """None when the DEK was wrapped by another KEK or for another id."""
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        for kek in self._keks:
            with contextlib.suppress(InvalidTag, ValueError):
                return kek.decrypt(nonce, sealed, _WRAP + key_id.encode())
        return None

    def rewrap(self, key_id: str, wrapped: bytes, kek: bytes) -> bytes:
        """The same DEK under the newest KEK; what does not unwrap stays as it is."""
        dek = self.unwrap(key_id, wrapped)
        return wrapped if dek is None else wrap(kek, key_id, dek)

    @staticmethod
    def opens(dek: bytes, key_id: str, name: str, nonce: bytes, ciphertext: bytes) -> bool:
        """True if a DEK decrypts a text."""
        try:
            AESGCM(dek).decrypt(nonce, ciphertext, _place(key_id, name))
        except (InvalidTag, ValueError):
            return False
        return True


@dataclass(frozen=True)
class LockedText:
    """A text with its own wrapped key."""

    wrapped: bytes
    nonce: bytes
    sealed: bytes


def lock(kek: bytes, place: str, name: str, text: bytes) -> LockedText:
    """Encrypt a text for one place, under a new key."""
    key = os.urandom(KEY_BYTES)
    sealed = encrypt(key, place, name, text)
    return LockedText(wrap(kek, place, key), sealed.nonce, sealed.ciphertext)


def unlock(kek: bytes, place: str, name: str, locked: LockedText) -> bytes:
    """The text (`content_unavailable`)."""
    key = unwrap(kek, place, locked.wrapped)
    return decrypt(key, place, name, EncryptedText(locked.nonce, locked.sealed))


def kek_name(kek: bytes) -> str:
    """Sixteen hex digits that name a KEK and reveal nothing about it."""
    return hmac.digest(kek[:KEY_BYTES], _KEK_ID, "sha256")[:8].hex()


def _place(key_id: str, name: str) -> bytes:
    return f"{key_id}|{name}".encode()
