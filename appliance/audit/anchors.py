"""Anchors outside of the appliance: requests to a witness, and what it answers.

Rules:
- A request is the body of a C2SP tlog-witness add-checkpoint (`old N`, the consistency proof, a
  blank line, the newest head), preceded by one `handover BASE64` line per change of keys since
  the witness's last look: a witness that pins the genesis key follows our keys by these.
- An answer is the head with the witness's line added. It is recorded only if the log has exactly
  that head: a cosigned head that the log lacks means that the log was put back or forked.
"""

from typing import Final

from appliance.audit import prover, store
from appliance.audit.checkpoint import VerifierKey, b64, parse
from appliance.audit.cosignature import verify_cosigned
from appliance.audit.entry import Draft
from appliance.audit.merkle import Frontier, consistency_proof
from appliance.audit.segments import Log
from appliance.errors import AuditRefused
from appliance.types import Json


def witness_request(log: Log, witness: VerifierKey) -> bytes:
    """Write the file for the witness to cosign. Raises AuditRefused."""
    seen = max((size for size, _ in prover.cosigned(log, witness)), default=0)
    note = prover.newest(log)
    size = parse(note).checkpoint.size
    # A head that closed an epoch may be the last that the witness saw.
    chain = [h for h in prover.handovers(log) if h.size >= seen]
    path = consistency_proof(seen, size, store.subtree(log)) if seen else []
    lines = [f"handover {b64(handover.encode())}" for handover in chain]
    lines += [f"old {seen}", *map(b64, path), ""]
    return "\n".join(lines).encode() + b"\n" + note


def witnessed(log: Log, origin: str, note: bytes, witness: VerifierKey, actor: str) -> Draft:
    """The entry that records a witness's answer.

    Raises:
        AuditRefused: `checkpoint_invalid` when the witness did not sign it, or `audit_corrupt`
            when the witness has seen another log than this one.
    """
    head, _ = verify_cosigned(note, origin, witness)
    if head.size > store.size(log):
        raise _other(f"it has seen {head.size} entries, the log has {store.size(log)}")
    if Frontier.at(head.size, store.subtree(log)).root() != head.root:
        raise _other(f"it has seen other entries below {head.size}")
    fields: dict[str, Json] = {
        "actor": actor, "key": witness.encode(), "note": note.decode(), "size": head.size,
    }  # fmt: skip
    return Draft("witness", fields)


_other: Final = AuditRefused.of("audit_corrupt", "The witness knows another log")
