"""Verification of a whole log, or of a range of it, against its genesis key.

Rules:
- Read-only, and possible while the log is written: HEAD is read first, then the log's size, then
  rows below that.
- Nothing derived is trusted: inner nodes are compared with computed ones, and bodies are looked up
  in the indexes.
- A range begins at an entry whose tree edge comes from stored nodes and is proved by the next head,
  and ends at the first head at or after its end.
- A page that SQLite cannot read is the first finding: others may follow from it.
- Memory does not grow with the log, but for open intents and erased entries.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from appliance.audit import store
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import NO_ENTRY, LogEntry, readable
from appliance.audit.files import LogFiles
from appliance.audit.handover import KIND, Epoch, Handover
from appliance.audit.merkle import HASH_BYTES, Frontier
from appliance.audit.segments import Log, Segments
from appliance.audit.verification import bulk
from appliance.audit.verification.entries import Body, ChainCheck, Event, LinkCheck, ciphertexts
from appliance.audit.verification.epochs import EpochCheck
from appliance.audit.verification.findings import DAMAGED, Findings, VerificationReport
from appliance.audit.verification.indexes import IndexCheck
from appliance.audit.verification.second_process import Ahead, Helper, VerifierState, helps
from appliance.audit.verification.surroundings import Around
from appliance.audit.verification.texts import KeptTexts, TextCheck
from appliance.errors import AuditRefused, NotFound
from appliance.types import Receipt

CHUNK: Final = 1_024
"""Rows that are checked at once, up to the next multiple of it where none is missing."""
Progress = Callable[[int, int], None]
Heads: TypeAlias = deque[tuple[int, bytes]]


def verify_log(
    directory: Path,
    *,
    first: int = 0,
    last: int | None = None,
    progress: Progress | None = None,
    genesis_public: bytes | None = None,
    receipts: Iterable[Receipt] = (),
) -> VerificationReport:
    """Verify the entries `first` to `last` (default: all).

    Args:
        progress: gets entries done and entries in all.
        genesis_public: a genesis.pub kept elsewhere, to be believed instead of the one here.
        receipts: of clients; each must still be in the log.

    Raises:
        StateRefused: `data_missing` when there is no log.
        NotFound: `not_found` when the log does not reach the range.
    """
    files = LogFiles(directory)
    files.check_present()
    key = files.verifier_key()
    pinned = key if genesis_public is None else VerifierKey.parse(genesis_public)
    head = files.head.read_bytes() if files.head.is_file() else None
    found = Findings()
    for seq, path in files.foreign():
        message = f"{path.name} is next to the log, which never has such a file; SQLite obeys it."
        found.add(seq, DAMAGED, message)
    with _opened(files) as log:
        try:
            run = _Run(log, files, first, last, pinned, found)
        except store.FAILURES as error:
            found.damage(first, error, "The log")
            return VerificationReport.of_nothing(first, found)
        with closing(run):
            checks: list[Callable[[], None]] = [
                lambda: run.around.tables(files.keys),
                lambda: run.around.genesis(key, pinned),
                lambda: run.around.pruned(*run.beginning),
                lambda: run.all(files, progress or (lambda _done, _total: None)),
                *([run.around.carried] if first == 0 and last is None else []),
                lambda: run.around.head(head),
                lambda: run.around.receipts(receipts),
            ]
            for check in checks:
                try:
                    check()
                except store.FAILURES as error:
                    found.damage(run.first, error, "The log")
            return run.report()


def look_ahead(
    directory: Path, first: int, end: int, key: VerifierKey, progress: Progress
) -> Ahead | None:
    """Verify a range, assuming a sound log before it (second_process.py); None when anything was
    found.
    """
    files = LogFiles(directory)
    with (
        _opened(files) as log,
        closing(_Run(log, files, first, end - 1, key, Findings(), foreign=[])) as run,
    ):
        begin = run.state()
        began = [readable(row[3]) for row in store.leaves(log, first, first + 1)]
        run.rows(progress, end)
        run.hidden()
        return run.ahead(begin, began[0] if began else None, end)


@contextmanager
def _opened(files: LogFiles) -> Iterator[Log]:
    segments = Segments(files)
    try:
        with store.unavailable("The audit log cannot be read"), segments.open() as log:
            yield log
    finally:
        segments.close()


class _Run:
    """One verification."""

    def __init__(
        self,
        log: Log,
        files: LogFiles,
        first: int,
        last: int | None,
        key: VerifierKey,
        found: Findings,
        foreign: list[Event] | None = None,
    ) -> None:
        """`foreign` takes what only the verifier of earlier entries can judge."""
        self._found = found
        self.around = Around(log, self._found)
        self._size = self.around.size
        asked, first = first, max(first, log.first)
        self._db, self._key, self.first = log, key, first
        if asked < 0 or not first < max(self._size, 1) or (last is not None and last < first):
            raise NotFound("not_found", f"The log has {self._size} entries.")
        self._end = self._size if last is None else self._signed_end(last + 1)
        self._epochs = EpochCheck(self._found, *self._epoch_at(first))
        self._chain = ChainCheck(self._found, *self._edge(first), self._epochs)
        self.beginning = (first, self._chain.frontier.root().hex())
        self._foreign = foreign
        self._links = LinkCheck(self._found, self._request_before, log.first, foreign)
        self._indexes = IndexCheck(log)
        self._texts = TextCheck(log, files, self._found, first)

    def close(self) -> None:
        self._texts.close()

    def all(self, files: LogFiles, progress: Progress) -> None:
        first, end, middle = self.first, self._end, self._middle()
        if middle is None:
            self.rows(progress, end)
        else:
            with Helper(files.directory, middle, end, self._key.encode()) as helper:
                self.rows(lambda done, total: progress(done + helper.done(), total), middle)
                adopted = self.adopt(helper.result())
            if not adopted:
                self.rows(progress, end)
            progress(self._chain.expected - first, end - first)
        self.hidden()
        self._chain.end(end)
        self.crowded()

    def _middle(self) -> int | None:
        if not helps(self._end - self.first):
            return None
        # A little more than half: the second process takes a third of a second to start.
        half = (self._end - self.first) * 51 // 100
        middle = store.next_checkpoint(self._db, self.first + half)
        return middle if middle is not None and middle < self._end else None

    def state(self) -> VerifierState | None:
        """The position; None while anything is in doubt."""
        chain, epoch = self._chain, self._epochs.standing
        if epoch is None or not chain.settled or self._found.tree or chain.before is None:
            return None
        peaks = [peak.hex() for peak in chain.frontier.peaks()]
        keyed = (epoch.number, epoch.start, epoch.key.public.hex())
        return VerifierState(chain.expected, peaks, chain.before, keyed)

    def ahead(self, begin: VerifierState | None, first: Body | None, end: int) -> Ahead | None:
        self._chain.end(end)
        reached, covered = self.state(), self._chain.covered == self._chain.expected == end
        if begin is None or reached is None or first is None or self._found.count or not covered:
            return None
        began = (first["boot_id"], first["mono_us"])
        ended = self._chain.moment
        filed = self._indexes.filed
        return Ahead(
            begin, reached, began, ended, self._foreign or [], len(self._links.open), filed
        )

    def adopt(self, found: Ahead | None) -> bool:
        if found is None or self.state() != found.begin:
            return False
        self._chain.adopt(found)
        self._links.adopt(found)
        self._indexes.add(found.filed)
        return True

    def rows(self, progress: Progress, end: int) -> None:
        chain, total = self._chain, self._end - self.first
        try:
            while chunk := self._chunk(end):
                begun = chain.expected
                # Whole lists, so that no read transaction outlives a chunk and holds up the WAL.
                heads = deque(store.checkpoints(self._db, chain.expected, chunk[-1][0] + 1))
                texts: dict[int, KeptTexts] = {}
                bodies = bulk.read([row[3] for row in chunk])
                done = self._together(chunk, bodies, heads, texts)
                for row in chunk[done:]:
                    body = self._row(*row)
                    if body is not None:
                        self._links.entry(row[0], body)
                        texts.update(_kept(row[0], body))
                    self._heads(heads)
                whole = bodies if done == len(chunk) else None
                self._indexes.look(chunk[0][0], chain.expected, whole)
                self._texts.look(texts, begun, chain.expected)
                progress(chain.expected - self.first, total)
        except store.DAMAGE as error:
            message = f"The database is damaged from here on ({store.reason(error)})."
            self._found.entry(chain.expected, DAMAGED, message)

    def _together(
        self,
        rows: list[store.LeafRow],
        bodies: list[bulk.Fields] | None,
        heads: Heads,
        texts: dict[int, KeptTexts],
    ) -> int:
        """Check the sound rows at the beginning together; their number."""
        leaves = None if bodies is None else self._chain.plain(rows, bodies)
        if bodies is None or leaves is None:
            return 0
        chain, first, at = self._chain, rows[0][0], 0
        ends = [n for n, body in enumerate(bodies) if body.kind == KIND]
        while at < len(rows) and chain.settled:
            if ends and ends[0] == at:  # the key changes
                ends.pop(0)
                self._row(*rows[at])
                at += 1
            else:
                stop = min([len(rows), *ends[:1], *(size - first for size, _ in islice(heads, 1))])
                if {body.epoch for body in bodies[at:stop]} != {self._epochs.settled}:
                    break
                for node in chain.take(leaves[at:stop], bodies[stop - 1]):
                    self._node(*node)
                at = stop
            self._heads(heads)
        self._links.entries(first, bodies[:at])
        for seq, body in enumerate(bodies[:at], first):
            if body.content is not None and body.content.parts and body.content.key is not None:
                texts[seq] = KeptTexts(body.content.key, body.content.ciphertexts())
        return at

    def _row(self, seq: int, prev: bytes, stored: bytes, raw: bytes) -> Body | None:
        body, nodes = self._chain.row(seq, prev, stored, raw)
        for node in nodes:
            self._node(*node)
        return body

    def _heads(self, heads: Heads) -> None:
        while heads and heads[0][0] <= self._chain.expected:
            self._chain.head(*heads.popleft())

    def hidden(self) -> None:
        check = self._indexes
        if check.error is not None:
            if any(known.code == DAMAGED for known in self._found.kept):
                return  # and this follows from it
            message = f"The indexes cannot be read ({store.reason(check.error)})."
            self._found.add(self.first, "index_mismatch", message)
            return
        for seq in sorted(check.hidden):
            message = f"Entry {seq} is filed under other values than its body has."
            self._found.add(seq, "index_mismatch", message)
        self._found.count += check.count - len(check.hidden)

    def crowded(self) -> None:
        """Report indexes with foreign entries, if nothing else was found."""
        if self._found.count:
            return
        try:
            newest = self._end == self._size
            for seq, column in self._indexes.crowded(self.first, self._end, newest=newest):
                message = f"The index of {column} has other entries than the log from {seq} on."
                self._found.add(seq, "index_mismatch", message)
        except store.DAMAGE as error:
            message = f"The indexes cannot be read ({store.reason(error)})."
            self._found.add(self.first, "index_mismatch", message)

    def report(self) -> VerificationReport:
        done = self._chain.expected
        return VerificationReport(
            entries=done - self.first,
            first=self.first,
            last=done - 1,
            root=self._chain.frontier.root().hex(),
            problems=self._found.sorted(),
            problem_count=self._found.count,
            open_intents=len(self._links.open) + self._links.ahead,
            unwitnessed=done,
        )

    def _chunk(self, end: int) -> list[store.LeafRow]:
        begin = self._chain.expected
        rows: list[store.LeafRow] = []
        try:
            for row in store.leaves(self._db, begin, end, CHUNK - begin % CHUNK):
                rows.append(row)  # one by one: what lies before damage is checked
        except store.DAMAGE:
            if not rows:
                raise
        numbers = [row[0] for row in rows]
        if numbers != sorted({*numbers}) or (numbers and numbers[0] < begin):
            raise store.DAMAGE("rows are not in order")
        return rows

    def _edge(self, first: int) -> tuple[Frontier, bytes | None]:
        if first == 0:
            return Frontier(), NO_ENTRY
        try:
            frontier = Frontier.at(first, store.subtree(self._db))
        except AuditRefused as error:
            self._found.entry(first, "tree_incomplete", error.message)
            frontier = Frontier(first, [bytes(HASH_BYTES)] * first.bit_count())  # of no tree
        before = [row[2] for row in store.leaves(self._db, first - 1, first)]
        return frontier, before[0] if before else None

    def _epoch_at(self, first: int) -> tuple[int, Epoch | None]:
        """The epoch of the entry `first`; a broken chain is one finding."""
        epoch = Epoch.first(self._key)
        if first == 0:  # nothing to look up in an index that may have been changed
            return 0, epoch
        for record in store.carried_handovers(self._db):
            try:
                epoch = epoch.after(Handover.decode(record))
            except AuditRefused as error:
                message = f"The handover that ended epoch {epoch.number}: {error.message}"
                self._found.entry(first, "handover_invalid", message)
                return epoch.number + 1, None
        try:
            earlier = store.handovers(self._db, first)
        except store.DAMAGE as error:
            message = f"Key handovers cannot be looked up ({store.reason(error)})."
            self._found.entry(first, DAMAGED, message)
            return 0, None
        for seq, raw in earlier:
            try:
                epoch = epoch.after(Handover.of(LogEntry.parse(raw).body))
            except AuditRefused as error:
                self._found.entry(seq, "handover_invalid", f"Entry {seq}: {error.message}")
                return epoch.number + 1, None
        return epoch.number, epoch

    def _signed_end(self, end: int) -> int:
        if end > self._size:
            raise NotFound("not_found", f"The log has {self._size} entries.")
        return store.next_checkpoint(self._db, end) or self._size

    def _request_before(self, intent: int) -> str | None:
        if not 0 <= intent < self.first:
            return None
        for _, _, _, raw in store.leaves(self._db, intent, intent + 1):
            body = readable(raw)
            if body is not None and body["kind"] == "intent":
                return str(body["request_id"])
        return None

    def _node(self, level: int, index: int, node: bytes) -> None:
        if not self._found.tree and store.node(self._db, level, index) != node:
            message = f"The stored node {level}/{index} is not the tree's."
            self._found.add(((index + 1) << level) - 1, "node_mismatch", message)


def _kept(seq: int, body: Body) -> dict[int, KeptTexts]:
    content = body.get("content")
    if content is None or not content.get("parts"):
        return {}
    return {seq: KeptTexts(content["key"], ciphertexts(body))}
