"""Anchors outside of the appliance: requests to a witness, and its answers.

Rules:
- A request is the body of a C2SP tlog-witness add-checkpoint (`old N`, the consistency proof, a
  blank line, the newest head), preceded by one `handover BASE64` line per change of keys since
  the witness's last look: so a witness that pins the genesis key follows our keys.
- A cosigned head that the log lacks means that the log was put back or forked.
"""

import base64
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from appliance.audit import prover, store
from appliance.audit.checkpoint import VerifierKey, b64, parse
from appliance.audit.cosignature import verify_cosigned
from appliance.audit.entry import Draft
from appliance.audit.handover import Handover
from appliance.audit.merkle import Frontier, consistency_proof, leaf_hash
from appliance.audit.segments import Log
from appliance.errors import AuditRefused, NotFound
from appliance.types import Json

_HANDOVER: Final = "handover "
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_LONGEST_PATH: Final = 63
_MOST_ENTRIES: Final = 1_024
_MOST_BATCH: Final = 1 << 20
"""Bytes of the entries in one batch, but for those of one commit."""


@dataclass(frozen=True)
class WitnessRequest:
    """A request to a witness, unverified.

    Attributes:
        old: entries of the head that the witness saw last.
        path: consistency proof from `old` to the head in `note`.
    """

    handovers: tuple[Handover, ...]
    old: int
    path: tuple[bytes, ...]
    note: bytes


def witness_request(log: Log, witness: VerifierKey, seen: int | None = None) -> bytes:
    """The request for the witness to cosign the newest head.

    Args:
        seen: entries that the witness has seen; None: as many as the log says that it cosigned.
    """
    if seen is None:
        seen = max((size for size, _ in prover.cosigned(log, witness)), default=0)
    note = prover.newest(log)
    size = parse(note).checkpoint.size
    # A head that closed an epoch may be the last that the witness saw.
    chain = [h for h in prover.handovers(log) if h.size >= seen]
    path = consistency_proof(seen, size, store.subtree(log)) if seen else []
    lines = [f"handover {b64(handover.encode())}" for handover in chain]
    lines += [f"old {seen}", *map(b64, path), ""]
    return "\n".join(lines).encode() + b"\n" + note


@dataclass(frozen=True)
class LogBatch:
    """Entries for a mirror, which keeps them.

    Attributes:
        first: number of the first one.
        peaks: roots of the complete subtrees before it, the widest first.
        note: signed head of the tree that ends with the last one.
        handovers: changes of the key before it that a mirror may not have seen.
        oldest: first entry of the log.
    """

    first: int
    peaks: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    note: bytes
    handovers: tuple[Handover, ...]
    oldest: int

    @property
    def size(self) -> int:
        """Entries of the head."""
        return self.first + len(self.bodies)

    def edge(self) -> Frontier:
        """The tree's edge after them."""
        edge = Frontier(self.first, self.peaks)
        for body in self.bodies:
            edge.append(leaf_hash(body))
        return edge


def log_batch(
    log: Log, first: int | None, known: int | None, last: LogBatch | None = None
) -> LogBatch:
    """The next entries from number `first` on, as many as one signed head ends.

    Args:
        first: None to begin with the newest head, without an entry.
        known: entries that the mirror is known to have seen; None where it saw the last batch.
        last: an earlier batch, which may end at `first`.

    Raises:
        NotFound: `not_found`: they were pruned, or the log is shorter.
    """
    note = prover.newest(log)
    first = parse(note).checkpoint.size if first is None else first
    if not log.first <= first <= store.size(log):
        raise NotFound("not_found", f"Entry {first} is not here.")
    rows = [row[3] for row in store.leaves(log, first, first + _MOST_ENTRIES)]
    heads = list(store.checkpoints(log, first, first + len(rows)))
    total = [0, *accumulate(map(len, rows))]
    fits = [one for one in heads if total[one[0] - first] <= _MOST_BATCH] or heads[:1]
    end, note = fits[-1] if fits else (first, store.note_of(log, first) or note)
    before = () if known is None else (h for h in prover.handovers(log) if known <= h.size <= first)
    if last is not None and last.size == first:
        edge = last.edge()
    else:
        edge = Frontier.at(first, store.subtree(log))
    bodies = tuple(rows[: end - first])
    return LogBatch(first, tuple(edge.peaks()), bodies, note, tuple(before), log.first)


def read_request(request: bytes) -> WitnessRequest:
    """Read a request that `witness_request` wrote (`checkpoint_invalid`)."""
    try:
        head, _, note = request.partition(b"\n\n")
        lines, handovers = head.decode().split("\n"), list[Handover]()
        while lines[0].startswith(_HANDOVER):
            record = base64.b64decode(lines.pop(0).removeprefix(_HANDOVER), validate=True)
            handovers.append(Handover.decode(record))
        word, number = lines.pop(0).split(" ")
        path = tuple(base64.b64decode(line, validate=True) for line in lines)
        if word != "old" or not _NUMBER.fullmatch(number) or len(path) > _LONGEST_PATH:
            raise ValueError("no place where the witness stopped")
    except (ValueError, IndexError, AuditRefused) as error:
        message = f"It is no request to a witness: {error}"
        raise AuditRefused("checkpoint_invalid", message) from error
    return WitnessRequest(tuple(handovers), int(number), path, note)


def witnessed(log: Log, origin: str, note: bytes, witness: VerifierKey, actor: str) -> Draft:
    """The entry that records a witness's answer.

    Raises:
        AuditRefused: `checkpoint_invalid` when the witness did not sign it; `audit_corrupt`
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
