"""A proof that a later log still begins with an earlier one, as one file. Pure.

Rules: only the genesis key is needed besides. Each head must be signed by the key of the epoch in
whose range of sizes it falls. A file has one spelling.

Sources: RFC 9162 sections 2.1.4.1 and 2.1.4.2; the layout follows c2sp.org/tlog-proof.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.audit.checkpoint import Checkpoint, VerifierKey, b64, parse, verify
from appliance.audit.entry import canonical, parse_canonical
from appliance.audit.handover import Epoch, Handover
from appliance.audit.merkle import verify_consistency
from appliance.audit.proof import MAX_PROOF
from appliance.errors import AuditRefused
from appliance.types import Json

MAGIC: Final = "appliance/consistency-proof@v1"


@dataclass(frozen=True)
class ConsistencyResult:
    """Proof that the log of `new` entries begins with that of `old` entries; roots are hex."""

    old: int
    old_root: str
    new: int
    new_root: str


def build_consistency(
    old: bytes, new: bytes, path: Sequence[bytes], handovers: Sequence[Handover]
) -> bytes:
    """The file for two checkpoint notes."""
    extra: dict[str, Json] = {
        "handovers": [b64(handover.encode()) for handover in handovers],
        "old": old.decode(),
    }
    lines = [MAGIC, f"extra {b64(canonical(extra))}", *map(b64, path), ""]
    return "\n".join(lines).encode() + b"\n" + new


def check_consistency(document: bytes, genesis: bytes) -> ConsistencyResult:
    """Check a consistency proof against the verifier key of the log.

    `audit_key_invalid` is the key's, `proof_invalid` the proof's.
    """
    key = VerifierKey.parse(genesis)
    try:
        return _check(document, key)
    except (ValueError, KeyError, TypeError, AuditRefused) as error:
        raise AuditRefused("proof_invalid", f"The proof does not hold: {error}") from error


def signed_by(epochs: Sequence[Epoch], note: bytes) -> Checkpoint:
    """The checkpoint of a note signed by the key of its own epoch.

    `epochs` are all from genesis on (`checkpoint_invalid`).
    """
    size = parse(note).checkpoint.size
    # The head over a handover itself closes the old epoch.
    (*_, epoch) = [epochs[0], *(e for e in epochs[1:] if e.start < size)]
    return verify(note, epoch.key)


def _check(document: bytes, key: VerifierKey) -> ConsistencyResult:
    if len(document) > MAX_PROOF:
        raise ValueError("it is too long.")
    head, _, new = document.partition(b"\n\n")
    magic, extra_line, *lines = head.decode().split("\n")
    if magic != MAGIC or not extra_line.startswith("extra "):
        raise ValueError("it is not a consistency proof.")
    extra = parse_canonical(base64.b64decode(extra_line.removeprefix("extra "), validate=True))
    records, old = extra["handovers"], extra["old"]
    if not isinstance(records, list) or not isinstance(old, str):
        raise ValueError("it is not a consistency proof.")
    handovers = [Handover.decode(base64.b64decode(str(r), validate=True)) for r in records]
    path = [base64.b64decode(line, validate=True) for line in lines]
    if build_consistency(old.encode(), new, path, handovers) != document:
        raise ValueError("it is not in its one spelling.")
    epochs = [Epoch.first(key)]
    for handover in handovers:
        epochs.append(epochs[-1].after(handover))
    before, after = signed_by(epochs, old.encode()), signed_by(epochs, new)
    if not verify_consistency(before.size, after.size, path, before.root, after.root):
        raise ValueError("the newer log does not begin with the older one.")
    return ConsistencyResult(before.size, before.root.hex(), after.size, after.root.hex())
