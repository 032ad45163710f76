"""Verification of a whole log, or of a range of it, against its genesis key.

Rules:
- Read-only, and possible while the log is written: HEAD is read first, then how far the log
  goes, then rows below that. What is appended meanwhile is not looked at.
- Checked for every entry: canonical body, place, chain, leaf hash, fields, intent and outcome,
  ciphertexts. For every head: signature and root. Then genesis, HEAD and, if given, receipts.
- Nothing derived is trusted: inner nodes are compared with those computed, and what a body says
  is looked up in the indexes, so that none hides an entry from a search.
- A range begins at an entry whose tree edge comes from stored nodes and is proved by the next
  head, and ends at the first head at or after its end.
- Streams: memory does not grow with the log, but for intents still open.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from appliance.audit import store
from appliance.audit.checkpoint import VerifierKey, parse
from appliance.audit.checks import ChainCheck, LinkCheck, ciphertexts
from appliance.audit.entry import NO_ENTRY, Entry
from appliance.audit.epochcheck import EpochCheck
from appliance.audit.files import LogFiles
from appliance.audit.findings import Findings, Problem
from appliance.audit.handover import Epoch, Handover
from appliance.audit.indexcheck import IndexCheck
from appliance.audit.merkle import Frontier
from appliance.db import open_readonly
from appliance.errors import AuditRefused, NotFound
from appliance.types import Receipt

CHUNK: Final = 2_048
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """The verdict.

    Attributes:
        entries: how many were checked, from `first` to `last` (rounded up to a signed head).
        root: hex root of the tree that ends with `last`.
        problems: the first of them; `problem_count` counts all.
        open_intents: intents in the range whose outcome is not there yet.
        unwitnessed: entries that no independent witness has countersigned. A tail cut off
            together with HEAD shows only against a witness, a receipt or a proof.
    """

    entries: int
    first: int
    last: int
    root: str
    problems: tuple[Problem, ...]
    problem_count: int
    open_intents: int
    unwitnessed: int

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problem_count


def verify_log(
    directory: Path,
    *,
    first: int = 0,
    last: int | None = None,
    progress: Progress | None = None,
    genesis_public: bytes | None = None,
    receipts: Iterable[Receipt] = (),
) -> Report:
    """Verify the entries `first` to `last` (default: all).

    Args:
        progress: called with entries done and entries in all.
        genesis_public: a genesis.pub kept elsewhere, to be believed instead of the one here.
        receipts: what clients were given; each must still be in the log.

    Raises:
        StateRefused: `data_missing` when there is no log.
        NotFound: `not_found` when the log does not reach the range.
        AuditRefused: `audit_key_invalid`.
        AuditUnavailable: when the disk refuses.
    """
    files = LogFiles(directory)
    files.check_present()
    key = files.verifier_key()
    pinned = key if genesis_public is None else VerifierKey.parse(genesis_public)
    head = files.head.read_bytes() if files.head.is_file() else None
    engine = open_readonly(files.log)
    try:
        with store.unavailable("The audit log cannot be read"), engine.connect() as connection:
            run = _Run(store.raw(connection), first, last, pinned)
            indexes = run.indexes(files.log)
            try:
                run.genesis(key)
                run.rows(progress or (lambda _done, _total: None))
                run.beside(head)
                run.receipts(receipts)
                run.hidden(indexes)
            finally:
                indexes.stop()
            return run.report()
    finally:
        engine.dispose()


class _Run:
    """One verification."""

    def __init__(self, dbapi: Any, first: int, last: int | None, key: VerifierKey) -> None:
        self._db, self._key, self._first = dbapi, key, first
        self._signed = store.newest_size(dbapi)  # first: heads never run ahead of entries
        self._size = store.size(dbapi)
        if not 0 <= first < max(self._size, 1) or (last is not None and last < first):
            raise NotFound("not_found", f"The log has {self._size} entries.")
        self._end = self._size if last is None else self._signed_end(last + 1)
        self._found = Findings()
        epochs = EpochCheck(self._found, *self._epoch_at(first))
        self._chain = ChainCheck(self._found, *self._edge(first), epochs)
        self._links = LinkCheck(self._found, self._request_before)

    def genesis(self, here: VerifierKey) -> None:
        """Entry 0 names the key that everything is checked with."""
        body: dict[str, Any] = {}
        for _, _, _, raw in store.leaves(self._db, 0, 1):
            body = dict(_entry_or_none(raw) or {})
        named = (body.get("kind"), body.get("origin"), body.get("public_key"))
        if here != self._key or named != ("genesis", self._key.name, self._key.public.hex()):
            message = "Entry 0, genesis.pub and the key to be believed do not agree."
            self._found.entry(0, "genesis_mismatch", message)
        if store.lowest(self._db) < 0:
            self._found.add(0, "entry_unexpected", "An entry is filed before entry 0.")

    def rows(self, progress: Progress) -> None:
        """Everything in the range."""
        chain, total = self._chain, self._end - self._first
        try:
            while chunk := self._chunk():
                # Whole lists, so that no read transaction outlives a chunk and holds up the WAL.
                heads = deque(store.checkpoints(self._db, chain.expected, chunk[-1][0] + 1))
                texts: dict[tuple[int, str], str] = {}
                for seq, prev, stored, raw in chunk:
                    body, nodes = chain.row(seq, prev, stored, raw)
                    if body is not None:
                        self._links.entry(seq, body)
                        texts.update({(seq, n): d for n, d in ciphertexts(body).items()})
                    for node in nodes:
                        self._node(seq, *node)
                    while heads and heads[0][0] <= chain.expected:
                        chain.head(*heads.popleft())
                self._contents(texts, chunk[0][0], chain.expected)
                progress(chain.expected - self._first, total)
            chain.end(self._end)
        except store.DAMAGE as error:
            message = f"The database is damaged from here on ({store.reason(error)})."
            self._found.entry(chain.expected, "database_damaged", message)

    def indexes(self, path: Path) -> IndexCheck:
        """The check of the indexes, which runs beside the others."""
        check = IndexCheck(path, self._first, self._end)
        check.start()
        return check

    def hidden(self, check: IndexCheck) -> None:
        """No index hides an entry."""
        try:
            for seq in check.result():
                message = f"Entry {seq} is filed under other values than its body has."
                self._found.add(seq, "index_mismatch", message)
            self._found.count += check.count - len(check.hidden)
        except store.DAMAGE as error:
            message = f"The indexes cannot be read ({store.reason(error)})."
            self._found.add(self._first, "index_mismatch", message)

    def beside(self, note: bytes | None) -> None:
        """HEAD, which lies beside the database, and the newest head saw no more than this log."""
        if self._signed > self._size:
            self._tail_missing("The newest head", self._signed)
        if note is None:
            self._found.add(self._size - 1, "head_missing", "HEAD is missing.")
            return
        try:
            head = parse(note).checkpoint
        except AuditRefused as error:
            self._found.add(self._size - 1, "head_invalid", f"HEAD: {error.message}")
            return
        if head.size > self._size:
            self._tail_missing("HEAD", head.size)
        elif store.note_of(self._db, head.size) != note:
            message = f"HEAD is not the head that the log has for size {head.size}."
            self._found.add(max(0, head.size - 1), "head_mismatch", message)

    def receipts(self, receipts: Iterable[Receipt]) -> None:
        """Each receipt names an entry that is still there."""
        for receipt in receipts:
            found = [row[2] for row in store.leaves(self._db, receipt.seq, receipt.seq + 1)]
            if found != [receipt.leaf]:
                message = f"A receipt proves another entry {receipt.seq} than the log has."
                self._found.add(receipt.seq, "receipt_mismatch", message)

    def report(self) -> Report:
        """The verdict so far."""
        done = self._chain.expected
        return Report(
            entries=done - self._first,
            first=self._first,
            last=done - 1,
            root=self._chain.frontier.root().hex(),
            problems=tuple(sorted(self._found.kept, key=lambda p: p.seq)),
            problem_count=self._found.count,
            open_intents=len(self._links.open),
            unwitnessed=done,
        )

    def _tail_missing(self, witness: str, size: int) -> None:
        message = f"{witness} has seen {size} entries; the log ends with {self._size - 1}."
        self._found.add(self._size, "tail_missing", message)

    def _chunk(self) -> list[store.LeafRow]:
        return list(store.leaves(self._db, self._chain.expected, self._end, CHUNK))

    def _edge(self, first: int) -> tuple[Frontier, bytes | None]:
        if first == 0:
            return Frontier(), NO_ENTRY
        try:
            frontier = Frontier.at(first, store.subtree(self._db))
        except AuditRefused as error:
            self._found.entry(first, "tree_incomplete", error.message)
            frontier = Frontier(first)
        before = [row[2] for row in store.leaves(self._db, first - 1, first)]
        return frontier, before[0] if before else None

    def _epoch_at(self, first: int) -> tuple[int, Epoch | None]:
        """The epoch of the entry `first`; a chain that does not hold is one finding."""
        epoch = Epoch.first(self._key)
        if first == 0:  # nothing to look up in an index that may have been changed
            return 0, epoch
        try:
            earlier = store.handovers(self._db, first)
        except store.DAMAGE as error:
            message = f"Key handovers cannot be looked up ({store.reason(error)})."
            self._found.entry(first, "database_damaged", message)
            return 0, None
        for seq, raw in earlier:
            try:
                epoch = epoch.after(Handover.of(Entry.parse(raw).body))
            except AuditRefused as error:
                self._found.entry(seq, "handover_invalid", f"Entry {seq}: {error.message}")
                return epoch.number + 1, None
        return epoch.number, epoch

    def _signed_end(self, end: int) -> int:
        if end > self._size:
            raise NotFound("not_found", f"The log has {self._size} entries.")
        return store.next_checkpoint(self._db, end) or self._size

    def _request_before(self, intent: int) -> str | None:
        """The request of an intent before the range that an outcome in it may close."""
        if not 0 <= intent < self._first:
            return None
        for _, _, _, raw in store.leaves(self._db, intent, intent + 1):
            body = _entry_or_none(raw)
            if body is not None and body["kind"] == "intent":
                return str(body["request_id"])
        return None

    def _node(self, seq: int, level: int, index: int, node: bytes) -> None:
        if not self._found.tree and store.node(self._db, level, index) != node:
            message = f"The stored node {level}/{index} is not the tree's."
            self._found.add(seq, "node_mismatch", message)

    def _contents(self, texts: dict[tuple[int, str], str], first: int, end: int) -> None:
        for seq, name, nonce, ciphertext in store.contents(self._db, first, end):
            expected = texts.pop((seq, name), None)
            if expected is None:
                message = f"Entry {seq} names no {name!r}, but a ciphertext is stored."
                self._found.add(seq, "content_unexpected", message)
            elif sha256(nonce + ciphertext).hexdigest() != expected:
                message = f"The stored {name} is not the one that entry {seq} names."
                self._found.add(seq, "content_mismatch", message)
        for seq, name in texts:
            message = f"The {name} that entry {seq} names is missing."
            self._found.add(seq, "content_missing", message)


def _entry_or_none(raw: bytes) -> dict[str, Any] | None:
    try:
        return dict(Entry.parse(raw).body)
    except AuditRefused:
        return None
