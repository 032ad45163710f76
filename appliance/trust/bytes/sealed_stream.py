"""A stream that is encrypted to the public keys of people, each of whom can open it alone.

Rules:
- The stream's key is wrapped for each person by ECDH with a fresh pair and HKDF-SHA256 over both
  public halves.
- Chunks are AES-256-GCM: the nonce is the chunk's number and whether it is the last, the associated
  data the header's digest. One that is cut off, moved, repeated or of another stream does not
  decrypt.
- The header names keys by hints only.

Sources: NIST SP 800-56A (ECDH), RFC 5869 (HKDF), STREAM of Hoang, Reyhanitabar, Rogaway and Vizár
(CRYPTO 2015).
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import IO, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.errors import Refused
from appliance.trust.bytes import ecdsa

MAGIC: Final = b"appliance sealed backup v1\n"
CHUNK: Final = 1 << 20
MOST_RECIPIENTS: Final = 64
_TAG, _KEY, _SIZE = 16, 32, 4
_MOST_HEADER: Final = 1 << 16
_ONCE: Final = bytes(12)
"""The nonce of a key that encrypts once."""


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's way: the hint, the fresh public half, the wrapped key."""

    key: str
    point: bytes
    wrapped: bytes


class StreamHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The beginning of a stream."""

    recipients: tuple[Recipient, ...]
    format: Literal[1] = 1


def seal(source: IO[bytes], target: IO[bytes], people: Sequence[ecdsa.PublicKey]) -> str:
    """Encrypt all of a stream, and read it back where the target is a file; hex SHA-256 of the
    source.

    Raises:
        Refused: `backup_recipients`, `backup_damaged`.
    """
    if not 1 <= len(people) <= MOST_RECIPIENTS:
        raise Refused("backup_recipients", f"There are {len(people)} keys to encrypt it to.")
    key = os.urandom(_KEY)
    header = msgspec.json.encode(StreamHeader(wrapped(key, people)))
    begin = target.tell() if target.seekable() else 0
    target.write(MAGIC + len(header).to_bytes(_SIZE) + header)
    cipher, about, digest = AESGCM(key), hashlib.sha256(header).digest(), hashlib.sha256()
    for number, (chunk, last) in enumerate(_cut(source, CHUNK)):
        digest.update(chunk)
        target.write(cipher.encrypt(_nonce(number, last), chunk, about))
    target.flush()
    if target.seekable() and target.readable():
        target.seek(begin)
        found, again = _header(target), hashlib.sha256()
        for chunk in _opened(target, cipher, hashlib.sha256(found).digest()):
            again.update(chunk)
        if again.digest() != digest.digest():
            raise _damaged("what was written is not what was read")
    return digest.hexdigest()


def unseal(source: IO[bytes], target: IO[bytes], key: ecdsa.SigningKey) -> None:
    """Decrypt a stream with the key of one of its people, chunk by chunk.

    Raises:
        Refused: `backup_damaged`, `backup_other_key`; what was handed out before is the true
            beginning of the stream.
    """
    header = _header(source)
    try:
        found = msgspec.json.decode(header, type=StreamHeader)
    except msgspec.MsgspecError as error:
        raise _damaged("its header cannot be read") from error
    cipher = AESGCM(unwrapped(found.recipients, key))
    for chunk in _opened(source, cipher, hashlib.sha256(header).digest()):
        target.write(chunk)
    target.flush()


def wrapped(
    key: bytes, people: Sequence[ecdsa.PublicKey], purpose: bytes = MAGIC
) -> tuple[Recipient, ...]:
    """For each person."""
    return tuple(_wrapped(key, person, purpose) for person in people)


def _wrapped(key: bytes, person: ecdsa.PublicKey, purpose: bytes) -> Recipient:
    fresh = ec.generate_private_key(person.curve)
    point = _point(fresh.public_key())
    wrapping = _agreed(fresh.exchange(ec.ECDH(), person), point, person, purpose)
    return Recipient(ecdsa.hint(person), point, wrapping.encrypt(_ONCE, key, purpose))


def unwrapped(
    recipients: Sequence[Recipient], key: ecdsa.SigningKey, purpose: bytes = MAGIC
) -> bytes:
    """The key. Raises Refused (`backup_damaged`, `backup_other_key`)."""
    person = key.public_key()
    hint = ecdsa.hint(person)
    mine = next((one for one in recipients if one.key == hint), None)
    if mine is None:
        named = ", ".join(one.key[:12] for one in recipients)
        raise Refused("backup_other_key", f"It opens with the keys {named}, not with {hint[:12]}.")
    try:
        fresh = ec.EllipticCurvePublicKey.from_encoded_point(person.curve, mine.point)
        shared = key.exchange(ec.ECDH(), fresh)
        return _agreed(shared, mine.point, person, purpose).decrypt(_ONCE, mine.wrapped, purpose)
    except (ValueError, InvalidTag) as error:
        raise _damaged("its header was changed") from error


def _agreed(shared: bytes, point: bytes, person: ecdsa.PublicKey, purpose: bytes) -> AESGCM:
    salt = hashlib.sha256(point + _point(person)).digest()
    return AESGCM(HKDF(SHA256(), _KEY, salt, purpose).derive(shared))


def _point(key: ecdsa.PublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _header(source: IO[bytes]) -> bytes:
    if _read(source, len(MAGIC)) != MAGIC:
        raise _damaged("it is no encrypted backup")
    size = int.from_bytes(_read(source, _SIZE))
    header = _read(source, size) if 0 < size <= _MOST_HEADER else b""
    if not header or len(header) != size:
        raise _damaged("its header is cut off")
    return header


def _opened(source: IO[bytes], cipher: AESGCM, about: bytes) -> Iterator[bytes]:
    for number, (sealed, last) in enumerate(_cut(source, CHUNK + _TAG)):
        try:
            yield cipher.decrypt(_nonce(number, last), sealed, about)
        except (InvalidTag, ValueError) as error:
            raise _damaged(f"chunk {number} was changed, moved or cut off") from error


def _cut(source: IO[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """The pieces of a stream, at least one, and for each whether it is the last."""
    piece = _read(source, size)
    while following := _read(source, size) if len(piece) == size else b"":
        yield piece, False
        piece = following
    yield piece, True


def _read(source: IO[bytes], size: int) -> bytes:
    """So many bytes, fewer only at the end: a pipe returns what it has."""
    found = bytearray()
    while len(found) < size and (more := source.read(size - len(found))):
        found += more
    return bytes(found)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _damaged(problem: str) -> Refused:
    return Refused("backup_damaged", f"The backup does not decrypt: {problem}.")
