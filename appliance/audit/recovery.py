"""Opening a log: what must hold before a new entry may follow.

Rules: the newest epoch's key signed the newest head, which covers every entry; the tree's edge from
stored hashes has the signed root; the newest entries (up to `TAIL`) are sound; HEAD, apart from the
database, is an ancestor of it, or the tail was lost; no row is in the place of a later entry's.
`verify` reads older bodies.
"""

from dataclasses import dataclass
from typing import Final, cast

from appliance.audit import store
from appliance.audit.checkpoint import Checkpoint, VerifierKey, parse, verify
from appliance.audit.entry import END_USER, NO_ENTRY, Draft, LogEntry
from appliance.audit.handover import Epoch, Handover
from appliance.audit.host import Moment
from appliance.audit.merkle import Frontier
from appliance.audit.pruning import missing_beginning
from appliance.audit.segments import Log
from appliance.audit.writer import Tail
from appliance.errors import AuditRefused

TAIL: Final = 4_096


@dataclass(frozen=True)
class End:
    """Where a log ends and may be continued.

    Attributes:
        epoch: the newest one.
        began: the newest epoch's beginning.
        intents: those without an outcome.
    """

    tail: Tail
    epoch: Epoch
    began: Moment
    intents: list[LogEntry]


def read_end(log: Log, key: VerifierKey, head_note: bytes) -> End:
    """The end of a log whose genesis key this is."""
    _check_genesis(log, key)
    epoch = epoch_of(log, key, None)
    head = _signed_head(log, epoch.key)
    frontier = Frontier.at(head.size, store.subtree(log))
    if frontier.root() != head.root:
        raise _corrupt("the entries do not have the signed root")
    _check_ancestor(log, key, head_note, head)
    for stray in store.strays(log.newest):
        raise _corrupt(f"its newest segment holds {stray.what}, which is none of its entries'")
    last = _check_newest(log, head.size)
    intents = _open_intents(log)
    requests = {e.seq: cast(str, e.body["request_id"]) for e in intents}
    tail = Tail(frontier, last.leaf, _moment(last), requests)
    began = next(store.leaves(log, max(log.first, epoch.start - 1), head.size))
    return End(tail, epoch, _moment(_parse(began[3], began[0])), intents)


def epoch_of(log: Log, genesis: VerifierKey, size: int | None) -> Epoch:
    """The epoch whose key signs the head of a tree of this size; None means the newest."""
    # The head over a handover itself closes the old epoch.
    below = store.size(log) if size is None else size - 1
    raw = store.handover_below(log, below)
    try:
        if raw is not None:
            last = Handover.of(LogEntry.parse(raw).body)
        elif carried := store.carried_handovers(log):
            last = Handover.decode(carried[-1])
        else:
            return Epoch.first(genesis)
    except AuditRefused as error:
        raise _corrupt(error.message) from error
    return Epoch(last.epoch + 1, last.size, VerifierKey(genesis.name, last.next_key))


def unknown_outcome(intent: LogEntry) -> Draft:
    """Draft the outcome of a request whose end was not seen."""
    names = ("request_id", "key_id", "model", "app", *END_USER)
    copied = {name: intent.body[name] for name in names if name in intent.body}
    return Draft("outcome", {**copied, "intent": intent.seq, "status": "unknown"})


def _open_intents(log: Log) -> list[LogEntry]:
    found = store.open_intents(log)
    return [_parse(row[3], seq) for seq in found for row in store.leaves(log, seq, seq + 1)]


def _signed_head(log: Log, key: VerifierKey) -> Checkpoint:
    note = store.newest_note(log)
    if note is None:
        raise _corrupt("it has no signed head")
    try:
        head = verify(note, key)
    except AuditRefused as error:
        raise _corrupt(error.message) from error
    if head.size != store.size(log):
        raise _corrupt(f"the newest head covers {head.size} of {store.size(log)} entries")
    return head


def _check_genesis(log: Log, key: VerifierKey) -> None:
    if log.first:
        if missing_beginning(log) is not None:
            raise _corrupt("its beginning is missing, and no prune entry says so")
        return
    for _, _, _, body in store.leaves(log, 0, 1):
        genesis = _parse(body, 0).body
        if (genesis.get("origin"), genesis.get("public_key")) == (key.name, key.public.hex()):
            return
    raise _corrupt("genesis.pub is not the key that entry 0 names")


def _check_ancestor(log: Log, genesis: VerifierKey, note: bytes, head: Checkpoint) -> None:
    try:
        # An epoch older than the log, perhaps: HEAD is written up to a second late.
        key = epoch_of(log, genesis, parse(note).checkpoint.size).key
        seen = verify(note, key)
    except AuditRefused as error:
        raise _corrupt(f"HEAD: {error.message}") from error
    if seen.size > head.size:
        raise _corrupt(f"it has {head.size} entries, but HEAD has seen {seen.size}")
    if Frontier.at(seen.size, store.subtree(log)).root() != seen.root:
        raise _corrupt("HEAD has seen other entries")


def _check_newest(log: Log, size: int) -> LogEntry:
    first = max(log.first, size - TAIL)
    expected, prev, entry = first, NO_ENTRY if first == 0 else None, None
    for seq, stored_prev, stored, body in store.leaves(log, first, size):
        entry = _parse(body, seq)
        follows = prev is None or stored_prev == prev
        named = (entry.body["seq"], entry.body["prev"]) == (seq, stored_prev.hex())
        if seq != expected or entry.leaf != stored or not follows or not named:
            raise _corrupt(f"entry {expected} does not verify")
        expected, prev = seq + 1, stored
    if entry is None or expected != size:
        raise _corrupt(f"entry {expected} is missing")
    return entry


def _moment(entry: LogEntry) -> Moment:
    body = entry.body
    return Moment(entry.time_us, cast(str, body["boot_id"]), cast(int, body["mono_us"]))


def _parse(body: bytes, seq: int) -> LogEntry:
    try:
        return LogEntry.parse(body)
    except AuditRefused as error:
        raise _corrupt(f"entry {seq} does not verify: {error.message}") from error


_corrupt: Final = AuditRefused.of("audit_corrupt", "The audit log does not verify")
