"""Entries of other appliances' logs, as they came, in `DATA/site_mirror.db`.

Rules:
- Entries are on the disk before their head is cosigned.
- A log that was rewritten, cut or forked gets nothing: entries follow the last ones, under a head
  that the log's key signed.
- What its log pruned goes here once the approvals hold under the policy here.
"""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Self, TypeAlias

import msgspec
import sqlalchemy as sa

from appliance.audit.anchors import LogBatch
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import LogEntry
from appliance.audit.handover import KIND, Handover
from appliance.audit.merkle import HASH_BYTES, Frontier
from appliance.audit.pruning import PEOPLE, SignedPrune
from appliance.clock import Clock
from appliance.db import open_database, reading
from appliance.errors import AuditRefused, PolicyRefused, Refused
from appliance.peers import seen_logs
from appliance.peers.cosigning import NotCosigned, SeenLog, signed_head
from appliance.peers.seen_logs import SeenLogs
from appliance.peers.witness import Witness
from appliance.trust.policy.policy import TrustPolicy
from appliance.trust.statements import approval
from appliance.trust.statements.approval import PrunedEntries

ENTRIES: Final = """\
CREATE TABLE mirrored_entries (
  log TEXT NOT NULL,
  seq INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
"""
_ENTRIES: Final = sa.table("mirrored_entries", *map(sa.column, ("log", "seq", "body")))
_INSERT: Final = sa.insert(_ENTRIES).prefix_with("OR IGNORE")  # a root covers what is there
_OF_LOG: Final = _ENTRIES.c.log == sa.bindparam("name")
_FIRST: Final = sa.select(sa.func.min(_ENTRIES.c.seq)).where(_OF_LOG)
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class MirrorAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Entries for a mirror; `peaks` and `handovers` are as of `LogBatch`.

    Attributes:
        first: number of the first one.
        note: signed head of the tree that ends with the last one; "" asks where to begin.
        pruned: for a mirror that has pruned entries.
    """

    member: str
    to: str
    first: _Size
    peaks: tuple[bytes, ...]
    bodies: tuple[str, ...]
    note: str
    handovers: tuple[bytes, ...]
    pruned: SignedPrune | None = None

    @classmethod
    def of(
        cls, member: str, to: str, batch: LogBatch | None, pruned: SignedPrune | None = None
    ) -> Self:
        """A request with these entries; without any it asks where to begin."""
        if batch is None:
            return cls(member, to, 0, (), (), "", (), pruned)
        bodies = tuple(body.decode() for body in batch.bodies)
        chain = tuple(handover.encode() for handover in batch.handovers)
        note = batch.note.decode()
        return cls(member, to, batch.first, batch.peaks, bodies, note, chain, pruned)


class MirrorTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of a mirror.

    Attributes:
        first: number of the first entry that it keeps.
        size: entries after which it goes on; 0 where it knows nothing of the log.
        line: its cosignature of the head, or "".
        refused: why it keeps pruned entries (`not_approved`).
    """

    first: _Size
    size: _Size
    line: str
    refused: str = ""


class MirroredLogs(SeenLogs):
    """The mirror of one appliance; callable from any thread."""

    def __init__(self, data: Path, witness: Witness, clock: Clock) -> None:
        migrations = (seen_logs.TABLES, ENTRIES, seen_logs.WITNESSED)
        super().__init__(open_database(data / "site_mirror.db", migrations))
        self._witness, self._clock = witness, clock
        self._witnessed = SeenLogs(self._database, "witnessed_logs")
        witness.reads(self._witnessed)
        self._lock = threading.Lock()
        self._begins: dict[str, int] = {}

    def close(self) -> None:
        self._database.dispose()

    def keep(self, genesis: VerifierKey, asked: MirrorAsked, policy: TrustPolicy) -> MirrorTold:
        """Keep entries and cosign their head, or tell where to begin.

        Raises:
            PolicyRefused: `travelling_malformed`: they are not those of the log.
        """
        with self._lock:
            kept, _ = self.seen(genesis)
            oldest, refused = self._pruned(genesis, kept, asked.pruned, policy)
            usable = kept.size and kept.size >= oldest  # what follows was not pruned
            begin = kept if usable else self._witness.seen(genesis)
            first = self._first(genesis, begin.size)
            fits = asked.first == begin.size or not begin.size
            if asked.first <= first:  # an answer may wait for older entries
                fits |= asked.first <= begin.size <= asked.first + len(asked.bodies)
            if not (asked.note and fits):
                return MirrorTold(first, begin.size, "", refused)

            def grown(seen: SeenLog) -> SeenLog:
                return self._grown(genesis, begin, seen, asked, oldest)

            try:
                line = self._witness.cosign(genesis, asked.note.encode(), grown)
            except NotCosigned as error:
                raise _malformed(error.why) from error
            size = asked.first + len(asked.bodies)
            if oldest or asked.first < first:
                self._begins.pop(genesis.encode(), None)
            return MirrorTold(self._first(genesis, size), size, line.decode(), refused)

    def entries(self, genesis: VerifierKey) -> list[bytes]:
        asked = sa.select(_ENTRIES.c.body).where(_OF_LOG).order_by(_ENTRIES.c.seq)
        with reading(self._database) as connection:
            found = connection.execute(asked, {"name": genesis.encode()})
            return [bytes(body) for (body,) in found]

    def _first(self, genesis: VerifierKey, size: int) -> int:
        name = genesis.encode()
        if name not in self._begins:
            with reading(self._database) as connection:
                first = connection.execute(_FIRST, {"name": name}).scalar_one()
            if first is None:
                return size
            self._begins[name] = int(first)
        return self._begins[name]

    def _pruned(
        self, genesis: VerifierKey, kept: SeenLog, prune: SignedPrune | None, policy: TrustPolicy
    ) -> tuple[int, str]:
        """The first entry that stays; why others stay, too."""
        if prune is None or self._first(genesis, kept.size) >= min(kept.size, prune.before):
            return 0, ""
        subject, names = PrunedEntries(genesis.name, prune.before, prune.root), []
        for envelope in prune.envelopes:
            with contextlib.suppress(Refused):
                names.append(approval.verify(envelope.encode(), policy, subject).name)
        try:
            policy.check_approvals(names, PEOPLE)
        except PolicyRefused as refused:
            return 0, f"{refused.code}: {refused.message}"
        return prune.before, ""

    def _grown(
        self, genesis: VerifierKey, begin: SeenLog, seen: SeenLog, asked: MirrorAsked, oldest: int
    ) -> SeenLog:
        """The log with the entries, which are durable then. Raises NotCosigned."""
        try:
            entries = [LogEntry.parse(body.encode()) for body in asked.bodies]
            sent = [Handover.decode(record) for record in asked.handovers]
        except (AuditRefused, ValueError) as error:
            raise NotCosigned(400, str(error)) from error
        edge = Frontier(asked.first, asked.peaks)
        widths = [len(peak) == HASH_BYTES for peak in asked.peaks]
        if not all(widths) or len(widths) != asked.first.bit_count():
            raise NotCosigned(400, "these are not the subtrees before the first entry")
        _check_same(edge, begin, seen)
        for place, entry in enumerate(entries, asked.first):
            if entry.seq != place:
                raise NotCosigned(400, f"entry {place} names another place")
            edge.append(entry.leaf)
            _check_same(edge, begin, seen)
        chain = [*sent, *(Handover.of(entry.body) for entry in entries if entry.kind == KIND)]
        epoch, head = signed_head(begin.epoch, chain, asked.note.encode(), changed=begin.size > 0)
        if (head.size, head.root) != (edge.size, edge.root()):
            raise NotCosigned(422, "these are not the entries of its head")
        # One that closed an epoch is not sent again with the entries that follow it.
        ends = (h for h in chain if h.size == head.size and h.epoch == epoch.number)
        after = SeenLog(epoch.through(ends), head.size, head.root)
        log = SeenLog(epoch, head.size, head.root)
        self._store(genesis, after, log, entries, oldest)
        return log

    def _store(
        self,
        genesis: VerifierKey,
        after: SeenLog,
        log: SeenLog,
        entries: Sequence[LogEntry],
        oldest: int,
    ) -> None:
        """Make entries and the log as it was witnessed durable; forget what the log pruned."""
        name = genesis.encode()
        rows = [{"log": name, "seq": one.seq, "body": one.raw} for one in entries]
        with self._database.begin() as connection:
            if rows:
                connection.execute(_INSERT, rows)
            if oldest:
                gone = (_ENTRIES.c.log == name) & (_ENTRIES.c.seq < oldest)
                connection.execute(sa.delete(_ENTRIES).where(gone))
            now_us = self._clock.wall_us()
            self.see_in(connection, genesis, after, now_us)
            self._witnessed.see_in(connection, genesis, log, now_us)
        self.saw(genesis, after, now_us)
        self._witnessed.saw(genesis, log, now_us)


def _check_same(edge: Frontier, *known: SeenLog) -> None:
    """Raises NotCosigned where a log has other entries than one of its size."""
    if any(log.size == edge.size > 0 and log.root != edge.root() for log in known):
        why = f"its first {edge.size} entries are not those that were seen"
        raise NotCosigned(422, why, other=True)


def _malformed(problem: str) -> PolicyRefused:
    return PolicyRefused("travelling_malformed", f"Entries of a log: {problem}.")
