"""Verification around the entries: tables, genesis, pruned entries, HEAD, receipts.

Each finding names the entry at fault, or the first missing one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.audit import prover, pruning, store
from appliance.audit.checkpoint import VerifierKey, parse
from appliance.audit.entry import LogEntry
from appliance.audit.segments import Log
from appliance.audit.verification import schema
from appliance.audit.verification.findings import Findings
from appliance.errors import AuditRefused
from appliance.types import Receipt

STRAY: Final = {
    "leaf": "entry_unexpected", "content": "content_unexpected",
    "checkpoint": "checkpoint_unexpected", "node": "node_mismatch", "span": "index_mismatch",
}  # fmt: skip
"""The finding for a row that belongs to no entry, by table."""


class Around:
    """The checks, which report to `findings`; `size` is the log's at the start."""

    def __init__(self, log: Log, findings: Findings) -> None:
        self._log, self._found = log, findings
        self._signed = store.newest_size(log)  # first: heads never run ahead of entries
        self.size = store.size(log)

    def tables(self, keys: Path) -> None:
        """Check tables, indexes and triggers, and that no row is where none is read."""
        for first, name in schema.changed(self._log):
            message = f"The tables of the segment from entry {first} on were changed: {name}."
            self._found.add(first, "schema_mismatch", message)
        try:
            changed = schema.changed_keys(keys)
        except store.FAILURES as error:
            self._found.damage(self._log.first, error, "keys.db")
            changed = None
        if changed is not None:
            self._found.add(self._log.first, "schema_mismatch", f"keys.db was changed: {changed}.")
        for segment in self._log.segments:
            for stray in store.strays(segment):
                if stray.table == "checkpoint" and stray.seq >= self.size < self._signed:
                    continue  # the tail is missing, and `head` says so
                message = f"The segment from entry {segment.first} on holds {stray.what}."
                self._found.add(max(stray.seq, 0), STRAY[stray.table], message)

    def carried(self) -> None:
        try:
            known = {(h.size, h.encode()) for h in prover.handovers(self._log)}
            carried = [(segment, store.carried(segment)) for segment in self._log.segments]
        except (AuditRefused, *store.FAILURES):  # who reads the entries says so
            return
        for segment, told in carried:
            for size, _ in sorted(told ^ {h for h in known if h[0] <= segment.first}):
                message = f"The segment from entry {segment.first} on carries another handover."
                self._found.add(size - 1, "handover_invalid", message)

    def genesis(self, here: VerifierKey, believed: VerifierKey) -> None:
        named: object = None
        for row in store.leaves(self._log, 0, 1):
            try:
                body = LogEntry.parse(row[3]).body
                named = (body["kind"], body.get("origin"), body.get("public_key"))
            except AuditRefused:
                named = None
        wanted = ("genesis", believed.name, believed.public.hex())
        if here != believed or (not self._log.first and named != wanted):
            message = "Entry 0, genesis.pub and the key to be believed do not agree."
            self._found.entry(0, "genesis_mismatch", message)

    def pruned(self, first: int, root: str) -> None:
        """Check that the missing beginning was pruned, and that the prune was approved.

        `root`: hex root of the tree of all entries before `first`.
        """
        log = self._log
        try:
            prunes = pruning.prunes(log)
        except store.DAMAGE:  # the check of the indexes says so
            prunes = []
        allowed = max((prune.before for prune in prunes), default=0)
        if log.first > allowed:
            gap = f"Entries {allowed} to {log.first - 1} are missing, and no prune entry says so."
            self._found.add(allowed, "entry_missing", gap)
        for prune in prunes:
            if not pruning.approved(log, prune):
                message = f"Entry {prune.seq} prunes without the approval of two people."
                self._found.add(prune.seq, "prune_invalid", message)
            elif prune.before == first and prune.root != root:
                message = f"What entry {prune.seq} pruned is not what came before the first entry."
                self._found.add(prune.seq, "prune_invalid", message)

    def head(self, note: bytes | None) -> None:
        """Check that HEAD, a file apart, and the newest head saw no more than this log."""
        if self._signed > self.size:
            self._tail_missing("The newest head", self._signed)
        if note is None:
            self._found.add(self.size - 1, "head_missing", "HEAD is missing.")
            return
        try:
            head = parse(note).checkpoint
        except AuditRefused as error:
            self._found.add(self.size - 1, "head_invalid", f"HEAD: {error.message}")
            return
        if head.size > self.size:
            self._tail_missing("HEAD", head.size)
        elif store.note_of(self._log, head.size) != note:
            message = f"HEAD is not the head that the log has for size {head.size}."
            self._found.add(max(0, head.size - 1), "head_mismatch", message)

    def receipts(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            if receipt.seq < self._log.first:
                continue
            found = [row[2] for row in store.leaves(self._log, receipt.seq, receipt.seq + 1)]
            if found != [receipt.leaf]:
                message = f"A receipt proves another entry {receipt.seq} than the log has."
                self._found.add(receipt.seq, "receipt_mismatch", message)

    def _tail_missing(self, witness: str, size: int) -> None:
        message = f"{witness} has seen {size} entries; the log ends with {self.size - 1}."
        self._found.add(self.size, "tail_missing", message)
