"""Cosignatures: a witness's statement that it saw a head, and when.

A cosignature means that the log signed this head, and that it was consistent with every head of
that log that the witness had seen before. docs/audit-format.md has the bytes.

Sources: c2sp.org/tlog-cosignature, c2sp.org/signed-note.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import ed25519
from appliance.audit.checkpoint import (
    COSIGNATURES,
    Checkpoint,
    VerifierKey,
    parse,
    signature_line,
)
from appliance.errors import AuditRefused

_TIME_BYTES: Final = 8


def witness_key(line: bytes) -> VerifierKey:
    """The key of a witness."""
    return VerifierKey.parse(line, COSIGNATURES)


def is_cosigned(note: bytes, witness: VerifierKey) -> bool:
    """True if a note carries a signature line of this witness, valid or not.

    `checkpoint_invalid` when the note is malformed.
    """
    return any((s.name, s.key_id) == (witness.name, witness.key_id) for s in parse(note).signatures)


def verify_cosigned(note: bytes, origin: str, witness: VerifierKey) -> tuple[Checkpoint, int]:
    """The head of a log that this witness cosigned, and when: seconds since the Unix epoch, by its
    clock (`checkpoint_invalid`).
    """
    parsed = parse(note)
    head = parsed.checkpoint
    if head.origin != origin:
        raise _invalid("it belongs to another log")
    for line in parsed.signatures:
        if (line.name, line.key_id) == (witness.name, witness.key_id):
            return head, _verify(line.value, head, witness)
    raise _invalid("it is not cosigned by the witness")


def cosigned(note: bytes, witness: VerifierKey, key: Ed25519PrivateKey, seconds: int) -> bytes:
    """A witness's line about the head of a note, with its newline."""
    value = seconds.to_bytes(_TIME_BYTES) + key.sign(message(parse(note).checkpoint, seconds))
    return signature_line(witness.name, witness.key_id, value).encode()


def message(head: Checkpoint, seconds: int) -> bytes:
    """The bytes that a witness signs."""
    return f"cosignature/v1\ntime {seconds}\n{head.text()}".encode()


def _verify(value: bytes, head: Checkpoint, witness: VerifierKey) -> int:
    seconds = int.from_bytes(value[:_TIME_BYTES])
    if not ed25519.holds(value[_TIME_BYTES:], message(head, seconds), witness.public):
        raise _invalid("the witness's signature does not hold")
    return seconds


_invalid: Final = AuditRefused.of("checkpoint_invalid", "The cosigned checkpoint is not valid")
