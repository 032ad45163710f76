"""A proof that an entry is in the log, as one file that needs only a key. Pure.

Rules:
- Nothing in it is believed before the checkpoint's signature holds and the body is proved to be in
  its root.
- The checkpoint is one of the entry's own epoch, so a thief of the newest key cannot prove another
  past.
- A key is reached from genesis by every handover since, or from a handover in the tree of a
  checkpoint that the caller's witness cosigned. A checkpoint that this witness cosigned needs no
  key of the log.

Sources: c2sp.org/tlog-proof, c2sp.org/tlog-cosignature, RFC 9162 section 2.1.3.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from appliance.audit.checkpoint import Checkpoint, VerifierKey, b64, verify
from appliance.audit.cosignature import is_cosigned, verify_cosigned, witness_key
from appliance.audit.entry import LogEntry, canonical, parse_canonical
from appliance.audit.handover import Epoch, Handover
from appliance.audit.merkle import HASH_BYTES, verify_inclusion
from appliance.errors import AuditRefused
from appliance.types import Json

MAX_PROOF: Final = 16 << 20
"""Room for 80,000 handovers: more than a year of changes every ten minutes."""
_MAGIC: Final = "c2sp.org/tlog-proof@v1"
_MAX_PATH: Final = 63
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True)
class Start:
    """A key handover in the tree of a cosigned checkpoint: where a proof may begin.

    Attributes:
        note: the checkpoint, with the witness's signature.
        body: the entry of the handover.
        path: inclusion proof of that entry in the checkpoint.
    """

    note: bytes
    body: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Proof:
    """Content of a proof file.

    Attributes:
        body, index: of the entry.
        path: inclusion proof, leaf side first.
        note: the checkpoint.
        handovers: from genesis, or from `start`, to the key of the checkpoint.
    """

    body: bytes
    index: int
    path: tuple[bytes, ...]
    note: bytes
    handovers: tuple[Handover, ...] = ()
    start: Start | None = None

    def encode(self) -> bytes:
        extra: dict[str, Json] = {
            "body": self.body.decode(),
            "handovers": [b64(handover.encode()) for handover in self.handovers],
        }
        if self.start is not None:
            extra["start"] = {
                "note": self.start.note.decode(),
                "body": self.start.body.decode(),
                "path": [b64(node) for node in self.start.path],
            }
        lines = [_MAGIC, f"extra {b64(canonical(extra))}", f"index {self.index}"]
        return "\n".join([*lines, *map(b64, self.path), ""]).encode() + b"\n" + self.note


@dataclass(frozen=True)
class ProofResult:
    """A proved statement.

    Attributes:
        seq: number of the entry.
        root: hex root of its tree of `size` entries.
        witnessed: when the witness cosigned that tree, seconds since the Unix epoch; None when only
            the log's key vouches for it.
    """

    seq: int
    root: str
    size: int
    body: dict[str, Json]
    witnessed: int | None = None


def check_proof(document: bytes, genesis: bytes, witness: bytes | None = None) -> ProofResult:
    """Check a proof (`audit_key_invalid`, `proof_invalid`).

    Args:
        genesis: verifier key of the log (the content of genesis.pub).
    """
    key = VerifierKey.parse(genesis)
    trusted = None if witness is None else witness_key(witness)
    try:
        return _check(document, key, trusted)
    except (ValueError, AuditRefused) as error:
        raise AuditRefused("proof_invalid", f"The proof does not hold: {error}") from error


def _check(document: bytes, key: VerifierKey, witness: VerifierKey | None) -> ProofResult:
    proof = parse_proof(document)
    entry = LogEntry.parse(proof.body)
    witnessed = None
    if witness is not None and is_cosigned(proof.note, witness):
        head, witnessed = verify_cosigned(proof.note, key.name, witness)
    else:
        head = _head(proof, entry, key, witness)
    _included(entry, proof.index, proof.path, head)
    return ProofResult(proof.index, head.root.hex(), head.size, dict(entry.body), witnessed)


def _head(
    proof: Proof, entry: LogEntry, key: VerifierKey, witness: VerifierKey | None
) -> Checkpoint:
    epoch = Epoch.first(key) if proof.start is None else _start(proof.start, key, witness)
    epoch = epoch.through(proof.handovers)
    if entry.body["epoch"] != epoch.number or entry.seq < epoch.start:
        raise ValueError("the entry is not of the epoch whose key signed the checkpoint.")
    return verify(proof.note, epoch.key)


def _start(start: Start, key: VerifierKey, witness: VerifierKey | None) -> Epoch:
    if witness is None:
        raise ValueError("it starts from a witness's checkpoint, and no witness key was given.")
    head, _ = verify_cosigned(start.note, key.name, witness)
    entry = LogEntry.parse(start.body)
    handover = Handover.of(entry.body)
    _included(entry, entry.seq, start.path, head)
    return Epoch(handover.epoch + 1, handover.size, VerifierKey(key.name, handover.next_key))


def _included(entry: LogEntry, index: int, path: Sequence[bytes], head: Checkpoint) -> None:
    if not verify_inclusion(entry.leaf, index, head.size, path, head.root):
        raise ValueError("the entry is not in the signed tree at this index.")
    if entry.seq != index:
        raise ValueError("the entry gives itself another place.")


def parse_proof(document: bytes) -> Proof:
    """Read a proof, unverified."""
    if len(document) > MAX_PROOF:
        raise ValueError("it is too long.")
    head, separator, note = document.partition(b"\n\n")
    lines = head.decode().split("\n")
    if not separator or len(lines) < 3 or len(lines) > 3 + _MAX_PATH:
        raise ValueError("it is not a tlog-proof with an entry.")
    magic, extra, index, *path = lines
    place = _INDEX.fullmatch(index)
    if magic != _MAGIC or place is None:
        raise ValueError("it is not a tlog-proof with an entry.")
    body, handovers, start = _extra(extra)
    proof = Proof(body, int(place[1]), _hashes(path), note, handovers, start)
    if proof.encode() != document:
        raise ValueError("it is not in its one spelling.")
    return proof


def _extra(line: str) -> tuple[bytes, tuple[Handover, ...], Start | None]:
    if not line.startswith("extra "):
        raise ValueError("it carries no entry.")
    extra = parse_canonical(base64.b64decode(line.removeprefix("extra "), validate=True))
    if not {"body", "handovers"} <= extra.keys() <= {"body", "handovers", "start"}:
        raise ValueError("it carries no entry.")
    records = _strings(extra["handovers"])
    handovers = tuple(Handover.decode(base64.b64decode(r, validate=True)) for r in records)
    start = extra.get("start")
    return _text(extra["body"]), handovers, None if start is None else _start_of(start)


def _start_of(start: Json) -> Start:
    if not isinstance(start, dict) or start.keys() != {"body", "note", "path"}:
        raise ValueError("its start is malformed.")
    return Start(_text(start["note"]), _text(start["body"]), _hashes(_strings(start["path"])))


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    found = tuple(base64.b64decode(line, validate=True) for line in lines)
    if len(found) > _MAX_PATH or any(len(node) != HASH_BYTES for node in found):
        raise ValueError("a hash has another length.")
    return found


def _strings(value: Json) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts is malformed.")
    return cast("list[str]", value)


def _text(value: Json) -> bytes:
    if not isinstance(value, str):
        raise ValueError("a text is malformed.")
    return value.encode()
