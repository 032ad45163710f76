"""Signed heads of the log: C2SP tlog-checkpoint in a C2SP signed-note, with Ed25519.

Rules:
- A key's name is the log's origin, so a log cannot pass for another one. Key kind 0x01 signs heads,
  0x04 cosigns them.
- A note has one spelling. Signatures by other keys (a key handover, witnesses) are kept and
  ignored; one by the expected key must hold.

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, RFC 8032.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import ed25519
from appliance.audit.merkle import HASH_BYTES
from appliance.errors import AuditRefused

MAX_NOTE: Final = 65_536
MAX_SIGNATURES: Final = 32
MAX_ORIGIN: Final = 200
HEADS: Final = b"\x01"
COSIGNATURES: Final = b"\x04"
_DASH: Final = "\u2014 "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_NOT_PLAIN: Final = re.compile(r"[\x00-\x1f\x7f+\s]")


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log; `root` has 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


@dataclass(frozen=True)
class VerifierKey:
    """A public key bound to the name of its log or witness.

    Attributes:
        public: Ed25519 public key, 32 bytes.
        kind: `HEADS` of a log, or `COSIGNATURES` of a witness.
    """

    name: str
    public: bytes
    kind: bytes = HEADS

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key in a signature line."""
        return sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4]

    def encode(self) -> str:
        """One line, without the newline."""
        return f"{self.name}+{self.key_id.hex()}+{b64(self.kind + self.public)}"

    @classmethod
    def parse(cls, line: bytes, kind: bytes = HEADS) -> "VerifierKey":
        """Read one line, with or without its newline.

        `audit_key_invalid` also for a key of another kind.
        """
        try:
            name, key_id, encoded = line.removesuffix(b"\n").decode().split("+", 2)
            kind_and_key = _unb64(encoded)
            if kind_and_key[:1] == kind and len(kind_and_key) == 33:
                key = cls(check_origin(name), kind_and_key[1:], kind)
                if key.key_id.hex() == key_id:
                    return key
        except (ValueError, AuditRefused):
            pass
        raise AuditRefused("audit_key_invalid", "The file is not a verifier key of this kind.")


@dataclass(frozen=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Note:
    """A parsed and not yet verified checkpoint note."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]


def check_origin(origin: str) -> str:
    """Return a log's name without blanks and plus signs, as C2SP asks (`audit_origin_invalid`)."""
    if not 0 < len(origin) <= MAX_ORIGIN or _NOT_PLAIN.search(origin):
        raise AuditRefused(
            "audit_origin_invalid",
            "The name of an audit log has 1 to 200 characters, no blanks and no plus sign.",
        )
    return origin


def sign(checkpoint: Checkpoint, *keys: Ed25519PrivateKey) -> bytes:
    """The note of a checkpoint, signed by each key."""
    text = checkpoint.text()
    name = checkpoint.origin
    note = text + "\n"
    for key in keys:
        key_id = VerifierKey(name, key.public_key().public_bytes_raw()).key_id
        note += signature_line(name, key_id, key.sign(text.encode()))
    return note.encode()


def signature_line(name: str, key_id: bytes, value: bytes) -> str:
    """One line, with its newline."""
    return f"{_DASH}{name} {b64(key_id + value)}\n"


def parse(note: bytes) -> Note:
    """Read a note, unverified (`checkpoint_invalid`)."""
    try:
        return _parse(note)
    except (ValueError, AuditRefused) as error:
        raise _invalid(str(error)) from error


def verify(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a note that this key signed (`checkpoint_invalid`)."""
    parsed = parse(note)
    checkpoint = parsed.checkpoint
    if checkpoint.origin != key.name:
        raise _invalid("it belongs to another log")
    wanted = (key.name, key.key_id)
    ours = [s for s in parsed.signatures if (s.name, s.key_id) == wanted]
    if not ours:
        raise _invalid("it is not signed by the log's key")
    text = checkpoint.text().encode()
    if not all(ed25519.holds(signature.value, text, key.public) for signature in ours):
        raise _invalid("its signature does not hold")
    return checkpoint


def _parse(note: bytes) -> Note:
    if len(note) > MAX_NOTE:
        raise _invalid("it is too long")
    head, _, tail = note.decode().rpartition("\n\n")
    lines, signatures = head.split("\n"), tail.split("\n")
    if len(lines) != 3 or signatures.pop() or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise _invalid("it has other lines than a checkpoint")
    origin, size, root = lines
    digest = _unb64(root)
    if not _SIZE.fullmatch(size) or len(digest) != HASH_BYTES:
        raise _invalid("its size or root is malformed")
    checkpoint = Checkpoint(check_origin(origin), int(size), digest)
    return Note(checkpoint, tuple(map(_signature, signatures)))


def _signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise _invalid("a signature line is malformed")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    value = _unb64(encoded)
    if len(value) <= 4:
        raise _invalid("a signature is too short")
    return Signature(check_origin(name), value[:4], value[4:])


def b64(value: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(value).decode()


def _unb64(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises ValueError."""
    value = base64.b64decode(text, validate=True)
    if b64(value) != text:
        raise binascii.Error("base64 has more than one spelling here")
    return value


_invalid: Final = AuditRefused.of("checkpoint_invalid", "The checkpoint is not valid")
