"""Reading the log, from any process and while it is written.

Rules: connections are read-only in SQLite itself. An entry is handed out only after its body was
decoded strictly, hashed to the stored leaf and found to name its own place. Every list is bounded.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from appliance.audit import anchors, prover, pruning, store
from appliance.audit.anchors import LogBatch
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.content import EncryptedText, commitment, decrypt
from appliance.audit.entry import Draft, LogEntry
from appliance.audit.erasures import Erasures
from appliance.audit.files import LogFiles
from appliance.audit.keyring import find_key
from appliance.audit.pruning import SegmentFacts, SignedPrune
from appliance.audit.search import MAX_LIMIT, Query, SearchPage, search
from appliance.audit.segments import Log, Segments
from appliance.audit.store import unavailable
from appliance.db import open_readonly
from appliance.errors import AuditRefused, NotFound
from appliance.types import Json

_DOING: Final = "The audit log cannot be read"


class LogReader:
    """The entries of an audit directory. Usable from any thread; methods raise as `entry`."""

    def __init__(self, directory: Path) -> None:
        self._files = LogFiles(directory)
        self._files.check_present()
        self._files.check_untouched()
        self._log = Segments(self._files)
        self._keys = open_readonly(self._files.keys)

    @property
    def size(self) -> int:
        with self._opened() as log:
            return store.size(log)

    def entry(self, seq: int) -> LogEntry:
        """One entry.

        Raises:
            NotFound: `not_found`.
            AuditRefused: `audit_corrupt` when the row does not verify.
            AuditUnavailable: when the database cannot be read.
        """
        with self._opened() as log:
            return _entry(log, seq)

    def tail(self, count: int) -> list[LogEntry]:
        """The newest entries, oldest first."""
        with self._opened() as log:
            end = store.size(log)
            first = max(log.first, end - min(count, MAX_LIMIT))
            return [_checked(row) for row in store.leaves(log, first, end)]

    def range(self, first: int, count: int) -> list[LogEntry]:
        with self._opened() as log:
            rows = store.leaves(log, first, store.size(log), min(count, MAX_LIMIT))
            return [_checked(row) for row in rows]

    @property
    def first(self) -> int:
        """The first entry that was not pruned."""
        with self._opened() as log:
            return log.first

    def since(self, first: int, end: int, kinds: Sequence[str]) -> Iterator[LogEntry]:
        """Entries of some kinds with first ≤ seq < end, in order; no others are read."""
        with self._opened() as log:
            for row in store.of_kinds(log, kinds, first, end):
                yield _checked(row)

    def newest_of(self, kinds: Sequence[str]) -> int:
        """The number of the newest entry of some kinds; -1 without one."""
        with self._opened() as log:
            found = (store.newest_of_kind(log, kind) for kind in kinds)
            return max((seq for seq in found if seq is not None), default=-1)

    def search(self, query: Query) -> SearchPage:
        with self._opened() as log:
            return search(log, query, lambda seq: _entry(log, seq))

    def find_request(self, request_id: str, key_id: str) -> tuple[LogEntry, LogEntry | None]:
        """A request's intent and its outcome, if there is one yet; of several hops the last.

        A search's entry has no outcome.

        Raises:
            NotFound: `not_found` when this key made no such request.
        """
        asked = Query(
            kind="intent", request_id=request_id, key_id=key_id, limit=1, newest_first=True
        )
        found = self.search(asked).entries
        intents = found or self.search(dataclasses.replace(asked, kind="search")).entries
        if not intents:
            raise NotFound("not_found", f"There is no request {request_id!r} of this key.")
        return intents[0], self.outcome_of(intents[0].seq)

    def requested(self, receipts: str) -> tuple[str, ...]:
        """The ids of the requests behind `x-appliance-receipt`."""
        places = [int(receipt.split()[0]) for receipt in receipts.split(", ") if receipt]
        return tuple(str(self.entry(place).body["request_id"]) for place in places)

    def outcome_of(self, intent: int) -> LogEntry | None:
        with self._opened() as log:
            seq = store.outcome_of(log, intent)
            outcome = None if seq is None else _entry(log, seq)
        if outcome is not None and outcome.body.get("intent") != intent:
            raise _corrupt(outcome.seq)
        return outcome

    def content(self, seq: int, name: str) -> bytes:
        """A text of an entry, decrypted and checked against its commitment.

        Raises:
            AuditRefused: `content_unavailable` when it was not kept, was erased or does not
                match the entry; `content_key_missing` when its key is gone and no entry erased it.
        """
        return self._texts(self.entry(seq), [name])[1][name]

    def texts(self, seq: int) -> tuple[bytes, dict[str, bytes]]:
        """The key and all texts of an entry, each checked."""
        entry = self.entry(seq)
        content = cast("dict[str, Json]", entry.body.get("content") or {})
        return self._texts(
            entry, list(cast("dict[str, Json]", content.get("parts") or {"text": 0}))
        )

    def erased(self, seq: int) -> bool:
        with self._opened() as log:
            return seq in Erasures(log)

    def _texts(self, entry: LogEntry, names: Sequence[str]) -> tuple[bytes, dict[str, bytes]]:
        seq = entry.seq
        wanted = {name: _part(entry, name) for name in names}
        with self._opened() as log:
            rows = store.contents(log, seq, seq + 1)
            stored = {row[1]: EncryptedText(*row[2:]) for row in rows}
        for name, (_, part) in wanted.items():
            if name not in stored or stored[name].digest().hex() != part["ciphertext"]:
                raise _gone(f"The stored {name} of entry {seq} is not what the entry names.")
        key_id = next(iter(wanted.values()))[0]
        with unavailable(_DOING), self._keys.connect() as keys:
            dek = find_key(store.raw(keys), self._files.key_encryption_key(), key_id)
        if dek is None:
            with self._opened() as log:
                if seq in Erasures(log):
                    raise _gone(f"The content of entry {seq} was erased.")
            message = f"The content key of entry {seq} is missing, and no entry erased it."
            raise AuditRefused("content_key_missing", message)
        texts = {name: decrypt(dek, key_id, name, stored[name]) for name in names}
        for name, text in texts.items():
            if commitment(dek, key_id, name, text).hex() != wanted[name][1]["commitment"]:
                raise _gone(f"The {name} of entry {seq} does not match its commitment.")
        return dek, texts

    def checkpoint(self) -> str:
        with self._opened() as log:
            return prover.newest(log).decode()

    def proof(self, seq: int, witness: VerifierKey | None = None) -> bytes:
        """The self-contained proof of an entry, checked.

        Args:
            witness: let the proof rest on what this witness cosigned, where it can.
        """
        key = self._files.verifier_key()
        with self._opened() as log:
            entry = _entry(log, seq)  # before the head, which then covers it
            return prover.prove(log, key, entry, witness)

    def consistency(self, old: bytes) -> bytes:
        key = self._files.verifier_key()
        with self._opened() as log:
            return prover.prove_consistency(log, key, old)

    def witness_request(self, witness: VerifierKey, seen: int | None = None) -> bytes:
        with self._opened() as log:
            return anchors.witness_request(log, witness, seen)

    def batch(self, first: int | None, known: int | None, last: LogBatch | None = None) -> LogBatch:
        """The next entries for a mirror: `anchors.log_batch`."""
        with self._opened() as log:
            return anchors.log_batch(log, first, known, last)

    def witnessed(self, note: bytes, witness: VerifierKey, actor: str) -> Draft:
        origin = self._files.verifier_key().name
        with self._opened() as log:
            return anchors.witnessed(log, origin, note, witness, actor)

    def segments(self) -> list[SegmentFacts]:
        with self._opened() as log:
            return pruning.facts(self._files, log)

    def pruned(self) -> SignedPrune | None:
        """As `pruning.newest`."""
        with self._opened() as log:
            return pruning.newest(log)

    def root_before(self, size: int) -> str:
        with self._opened() as log:
            return pruning.root_before(log, size)

    def least_witnessed(self) -> int | None:
        with self._opened() as log:
            return pruning.least_witnessed(log)

    @property
    def origin(self) -> str:
        return self._files.verifier_key().name

    def genesis(self) -> bytes:
        return self._files.genesis.read_bytes()

    def latest_us(self, first: int = 0) -> int:
        """The latest wall time from number `first` on, microseconds since the epoch."""
        with self._opened() as log:
            return store.latest_us(log, first)

    def last_witness(self) -> LogEntry | None:
        with self._opened() as log:
            seq = store.newest_of_kind(log, "witness")
            return None if seq is None else _entry(log, seq)

    @contextmanager
    def _opened(self) -> Iterator[Log]:
        with unavailable(_DOING), self._log.open() as log:
            yield log

    def close(self) -> None:
        self._log.close()
        self._keys.dispose()


def _entry(log: Log, seq: int) -> LogEntry:
    for row in store.leaves(log, seq, seq + 1):
        return _checked(row)
    if 0 <= seq < log.first:
        message = f"Entry {seq} was pruned; the log begins with entry {log.first}."
        raise NotFound("not_found", message)
    raise NotFound("not_found", f"The log has no entry {seq}.")


def _checked(row: Sequence[Any]) -> LogEntry:
    seq, prev, stored, body = row
    try:
        entry = LogEntry.parse(body)
    except AuditRefused as error:
        raise _corrupt(seq) from error
    if entry.leaf != stored or (entry.seq, entry.body["prev"]) != (seq, prev.hex()):
        raise _corrupt(seq)
    return entry


def _part(entry: LogEntry, name: str) -> tuple[str, dict[str, str]]:
    """Key id, commitment and ciphertext hash of a kept text."""
    content = cast("dict[str, Json]", entry.body.get("content") or {"mode": "off"})
    if content["mode"] != "encrypted":
        raise _gone(f"The content of entry {entry.seq} was not kept.")
    part = cast("dict[str, dict[str, str]]", content["parts"]).get(name)
    if part is None:
        raise _gone(f"Entry {entry.seq} has no {name}.")
    return cast(str, content["key"]), part


def _gone(message: str) -> AuditRefused:
    return AuditRefused("content_unavailable", message)


def _corrupt(seq: int) -> AuditRefused:
    return AuditRefused("audit_corrupt", f"Entry {seq} of the audit log does not verify.")
