"""Making proofs from an open log; each is checked before it leaves.

Rules:
- An entry is proved under a head of its own epoch: the newest, or the one that closed it.
- With a witness's key a proof rests on the oldest recorded checkpoint of that witness that covers
  the entry, or else starts from the newest.
"""

from collections.abc import Iterator
from typing import cast

from appliance.audit import store
from appliance.audit.checkpoint import VerifierKey, parse
from appliance.audit.consistency import build_consistency, check_consistency
from appliance.audit.cosignature import is_cosigned
from appliance.audit.entry import LogEntry
from appliance.audit.handover import Handover
from appliance.audit.merkle import consistency_proof, inclusion_proof
from appliance.audit.proof import Proof, Start, check_proof
from appliance.audit.segments import Log
from appliance.errors import AuditRefused, NotFound


def prove(log: Log, key: VerifierKey, entry: LogEntry, witness: VerifierKey | None) -> bytes:
    """The proof file of an entry; `audit_corrupt` when the log does not prove it."""
    try:
        proof = _rest_on_key(log, entry) if witness is None else _witnessed(log, entry, witness)
        document = proof.encode()
        named = None if witness is None else witness.encode().encode()
        check_proof(document, key.encode().encode(), named)
    except AuditRefused as error:
        message = f"Entry {entry.seq} of the audit log does not verify: {error.message}"
        raise AuditRefused("audit_corrupt", message) from error
    return document


def prove_consistency(log: Log, key: VerifierKey, old: bytes) -> bytes:
    """The proof that the newest head's log begins with that of an older checkpoint note.

    Raises:
        NotFound: `not_found` when the note has seen more entries than the log has, or ends among
            the pruned ones.
        AuditRefused: `checkpoint_invalid` for the note; `proof_invalid` when the log begins
            otherwise: the note is false, or the log was replaced.
    """
    size, new = parse(old).checkpoint.size, newest(log)
    end = parse(new).checkpoint.size
    if not 0 < size <= end:
        raise NotFound("not_found", f"The log has {end} entries; the checkpoint has seen {size}.")
    if size < log.first:
        message = f"Entries below {log.first} were pruned; the checkpoint has seen {size}."
        raise NotFound("not_found", message)
    path = consistency_proof(size, end, store.subtree(log))
    document = build_consistency(old, new, path, handovers(log))
    check_consistency(document, key.encode().encode())
    return document


def newest(log: Log) -> bytes:
    """The note of the newest head."""
    note = store.newest_note(log)
    if note is None:
        raise AuditRefused("audit_corrupt", "The audit log has no signed head.")
    return note


def handovers(log: Log) -> list[Handover]:
    """All key handovers from genesis on, oldest first."""
    rows = store.handovers(log, store.size(log))
    carried = map(Handover.decode, store.carried_handovers(log))
    return [*carried, *(Handover.of(LogEntry.parse(raw).body) for _, raw in rows)]


def cosigned(log: Log, witness: VerifierKey, above: int = 0) -> Iterator[tuple[int, bytes]]:
    """Sizes and notes of the checkpoints that a witness cosigned, of more than `above` entries."""
    for raw in store.of_kind(log, "witness"):
        body = LogEntry.parse(raw).body
        size, note = cast(int, body["size"]), cast(str, body["note"]).encode()
        if size > above and is_cosigned(note, witness):
            yield size, note


def _rest_on_key(log: Log, entry: LogEntry) -> Proof:
    epoch = cast(int, entry.body["epoch"])
    chain = handovers(log)
    note = newest(log)
    if epoch < len(chain):
        note = store.note_of(log, chain[epoch].size) or note
    return _proof(log, entry, note, tuple(chain[:epoch]), None)


def _witnessed(log: Log, entry: LogEntry, witness: VerifierKey) -> Proof:
    for _, note in cosigned(log, witness, above=entry.seq):
        return _proof(log, entry, note, (), None)
    seen = list(cosigned(log, witness))
    rest = _rest_on_key(log, entry)
    if not seen:
        return rest
    size, note = seen[-1]
    before = [handover for handover in rest.handovers if handover.size <= size]
    if not before or before[-1].size <= log.first:
        return rest
    (raw,) = (row[3] for row in store.leaves(log, before[-1].size - 1, before[-1].size))
    path = inclusion_proof(before[-1].size - 1, size, store.subtree(log))
    start = Start(note, raw, tuple(path))
    return _proof(log, entry, rest.note, rest.handovers[len(before) :], start)


def _proof(
    log: Log, entry: LogEntry, note: bytes, chain: tuple[Handover, ...], start: Start | None
) -> Proof:
    size = parse(note).checkpoint.size
    if entry.seq >= size:
        raise AuditRefused("audit_corrupt", "no head covers it")
    path = inclusion_proof(entry.seq, size, store.subtree(log))
    return Proof(entry.raw, entry.seq, tuple(path), note, chain, start)
