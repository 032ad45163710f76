"""Epochs of signing keys: each key signs its successor, then it is destroyed. Pure.

Rules:
- An epoch is a range of tree sizes; outside of it its key proves nothing, so a thief of a key
  cannot re-seal earlier entries. No clock decides which key is valid.
- The old key signs origin, epoch, size and next key, so a chain of handovers is checked without the
  log. The statement's first line has blanks, so it cannot be taken for a head.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import ed25519
from appliance.audit.checkpoint import VerifierKey
from appliance.errors import AuditRefused
from appliance.types import Json

KIND: Final = "key_handover"
RECORD_BYTES: Final = 112
_RECORD: Final = struct.Struct(">QQ32s64s")
_STATEMENT: Final = "appliance audit handover v1"


@dataclass(frozen=True)
class Handover:
    """An old key's statement about its successor.

    Attributes:
        epoch: the epoch that ends.
        size: entries in the log with the handover; later ones belong to the next epoch.
        next_key: Ed25519 public key of the next epoch, 32 bytes.
        signature: by the old key over `statement`, 64 bytes.
    """

    epoch: int
    size: int
    next_key: bytes
    signature: bytes

    def encode(self) -> bytes:
        """112 bytes: epoch and size as big-endian 64-bit numbers, key, signature."""
        return _RECORD.pack(self.epoch, self.size, self.next_key, self.signature)

    @classmethod
    def decode(cls, record: bytes) -> "Handover":
        """Read 112 bytes (`handover_invalid`)."""
        if len(record) != RECORD_BYTES:
            raise _invalid("a record has another length")
        return cls(*_RECORD.unpack(record))

    @classmethod
    def of(cls, body: Mapping[str, Json]) -> "Handover":
        """The handover in an entry."""
        if body["kind"] != KIND:
            raise _invalid("the entry is of another kind")
        key, signature = (bytes.fromhex(cast(str, body[n])) for n in ("next_key", "signature"))
        epoch, size = cast(int, body["epoch"]), cast(int, body["seq"]) + 1
        if epoch < 0 or size < 1:
            raise _invalid("its epoch or its place is no number of one")
        return cls(epoch, size, key, signature)


@dataclass(frozen=True)
class Epoch:
    """A key, bound to the log's origin, and its range: heads of trees with more than `start`
    entries.
    """

    number: int
    start: int
    key: VerifierKey

    @classmethod
    def first(cls, genesis: VerifierKey) -> "Epoch":
        return cls(0, 0, genesis)

    def after(self, handover: Handover) -> "Epoch":
        if handover.epoch != self.number or handover.size <= self.start:
            raise _invalid(f"epoch {self.number} does not end with it")
        said = statement(self.key.name, handover.epoch, handover.size, handover.next_key)
        if not ed25519.holds(handover.signature, said, self.key.public):
            raise _invalid("the old key did not sign it")
        return Epoch(self.number + 1, handover.size, VerifierKey(self.key.name, handover.next_key))

    def through(self, handovers: Iterable[Handover]) -> "Epoch":
        """The epoch after a chain of handovers."""
        epoch = self
        for handover in handovers:
            epoch = epoch.after(handover)
        return epoch


def statement(origin: str, epoch: int, size: int, next_key: bytes) -> bytes:
    """The bytes that the old key signs."""
    return f"{_STATEMENT}\n{origin}\n{epoch}\n{size}\n{next_key.hex()}\n".encode()


def fields(
    origin: str, epoch: int, size: int, old: Ed25519PrivateKey, following: Ed25519PrivateKey
) -> dict[str, Json]:
    """Build the body of a handover entry; `size` counts that entry."""
    public = following.public_key().public_bytes_raw()
    signature = old.sign(statement(origin, epoch, size, public))
    return {"next_key": public.hex(), "signature": signature.hex()}


_invalid: Final = AuditRefused.of("handover_invalid", "A key handover does not hold")
