"""Drafts become rows: numbered, chained, encrypted, and signed in the commit that stores them.

Rules:
- One commit holds the entries, their ciphertexts and a checkpoint signed over them, so no
  durable entry is ever unsigned.
- After any error of a commit the writer must be thrown away and the log opened again. A draft that
  cannot become an entry fails alone.
- Within one boot the time since boot never falls, whatever the host reports.
- A key handover is the last entry of its commit, whose head both keys sign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from appliance.audit import content, handover, store
from appliance.audit.ballast import SLACK, WAL_BYTES, Ballast
from appliance.audit.checkpoint import Checkpoint, VerifierKey, sign
from appliance.audit.entry import SCHEMA, Draft, encode
from appliance.audit.handover import Epoch
from appliance.audit.host import Moment, Moments
from appliance.audit.keyring import Keyring
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.errors import AuditRefused
from appliance.types import Json, Receipt

PAGE: Final = 4_096
_FRAME: Final = PAGE + 24


@dataclass
class Tail:
    """The end of the log.

    Attributes:
        frontier: edge of the tree over all entries.
        open_intents: request id by sequence number of each intent without an outcome.
    """

    frontier: Frontier
    prev: bytes
    moment: Moment | None
    open_intents: dict[int, str]


@dataclass
class _Batch:
    tail: Tail
    leaves: list[store.LeafRow] = field(default_factory=list)
    nodes: list[store.NodeRow] = field(default_factory=list)
    contents: list[store.ContentRow] = field(default_factory=list)

    def wal_bytes(self) -> int:
        """Upper estimate of what the commit adds to the WAL."""
        payload = sum(len(row[3]) for row in (*self.leaves, *self.contents))
        return PAGE * (14 + 2 * len(self.leaves)) + payload


class Writer:
    """Commits batches of drafts. For one thread at a time.

    Attributes:
        note: the newest signed head; empty before the first commit.
        wal_bytes: about how much waits in the WAL and will need as much again when it moves; it
            grows beyond `WAL_BYTES` when a reader keeps it from moving.
        wal_end: no more of the WAL than up to this byte is in use.
    """

    def __init__(
        self,
        connection: Connection,
        keyring: Keyring,
        tail: Tail,
        *,
        epoch: Epoch,
        key: Ed25519PrivateKey,
        mode: str,
        moments: Moments,
        ballast: Ballast,
    ) -> None:
        self._connection, self._keyring, self._tail = connection, keyring, tail
        self._origin, self.epoch, self._key = epoch.key.name, epoch, key
        self._mode, self._moments, self._ballast = mode, moments, ballast
        self.note = b""
        self.wal_bytes, self.wal_end = 0, 0
        self.move(connection)

    def move(self, connection: Connection) -> None:
        """Continue in another, empty segment."""
        dbapi = store.raw(connection)
        dbapi.execute("PRAGMA wal_autocheckpoint = 0")
        (_, _, path), *_ = dbapi.execute("PRAGMA database_list").fetchall()
        self._ballast.serve(Path(path + "-wal"))
        self._connection = connection
        self.checkpoint("NOOP")

    @property
    def size(self) -> int:
        return self._tail.frontier.size

    @property
    def under_way(self) -> int:
        return len(self._tail.open_intents)

    def commit(
        self,
        groups: Sequence[Sequence[Draft]],
        next_key: Ed25519PrivateKey | None = None,
        reason: str = "",
    ) -> list[tuple[Receipt, ...] | AuditRefused]:
        """Store all drafts, each group in consecutive entries or not at all.

        Args:
            next_key: ends the epoch with this commit; signs from then on.
            reason: why it ends.

        Returns:
            For each group its receipts, or why it cannot be recorded.
        """
        kept = [d for drafts in groups for d in drafts if d.contents and self._mode_of(d) != "off"]
        if kept:
            self._keyring.ensure(len(kept))
        batch = _Batch(self._copy_tail())
        built: list[list[store.LeafRow] | AuditRefused] = []
        for drafts in groups:
            try:
                built.append(self._add(batch, drafts))
            except AuditRefused as refusal:
                built.append(refusal)
        if next_key is not None:
            self._add(batch, [self._handover(batch.tail, next_key, reason)])
        if batch.leaves:
            self._store(batch, next_key)
        size = self.size
        return [
            rows
            if isinstance(rows, AuditRefused)
            else tuple(Receipt(r[0], r[2], size) for r in rows)
            for rows in built
        ]

    def tidy(self, *, spare: bool) -> None:
        """After the waiters are served: make keys, move a long WAL into the database file.

        Args:
            spare: space is short, so move the WAL at once and write into its old place again.
        """
        if not spare:
            self._keyring.refill()
        if self.wal_bytes < (1 if spare else WAL_BYTES):
            return
        try:
            self.checkpoint("NOOP" if self.cramped else "PASSIVE")
        except store.DAMAGE as error:
            if not store.full(error):
                raise
            # Somebody was faster. What is in the WAL is durable there.

    @property
    def cramped(self) -> bool:
        """True if the disk has no room for what the WAL holds."""
        return self._ballast.free() < self.wal_bytes + SLACK

    def checkpoint(self, how: str) -> None:
        """Run SQLite's WAL checkpoint and raise its errors (automatic ones swallow them).

        `NOOP` moves nothing and only counts.
        """
        (row,) = store.raw(self._connection).execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        _, pages, moved = row
        # What a reader still needs stays in the WAL, which then grows.
        self.wal_bytes = (pages - moved) * PAGE
        self.wal_end = (pages + 1) * _FRAME

    def _copy_tail(self) -> Tail:
        tail = self._tail
        return Tail(tail.frontier.copy(), tail.prev, tail.moment, dict(tail.open_intents))

    def _handover(self, tail: Tail, following: Ed25519PrivateKey, reason: str) -> Draft:
        size = tail.frontier.size + 1
        said = handover.fields(self._origin, self.epoch.number, size, self._key, following)
        return Draft(handover.KIND, {**said, "reason": reason})

    def _store(self, batch: _Batch, next_key: Ed25519PrivateKey | None) -> None:
        frontier = batch.tail.frontier
        head = Checkpoint(self._origin, frontier.size, frontier.root())
        note = sign(head, self._key, *([] if next_key is None else [next_key]))
        with store.transaction(self._connection) as dbapi:
            store.insert(dbapi, batch.leaves, batch.nodes, batch.contents, (head.size, note))
        self._tail, self.note = batch.tail, note
        if next_key is not None:
            public = VerifierKey(self._origin, next_key.public_key().public_bytes_raw())
            self.epoch, self._key = Epoch(self.epoch.number + 1, head.size, public), next_key
        more = batch.wal_bytes()
        self.wal_bytes += more
        self.wal_end += more

    def _add(self, batch: _Batch, drafts: Sequence[Draft]) -> list[store.LeafRow]:
        tail = batch.tail
        moment = self._moment(tail.moment)
        seq, prev = tail.frontier.size, tail.prev
        rows: list[store.LeafRow] = []
        contents: list[store.ContentRow] = []
        keys: list[tuple[str, bytes]] = []
        intents = _Intents(tail.open_intents)
        try:
            for draft in drafts:
                body = self._header(draft, seq, prev, moment)
                intents.follow(body)
                if draft.contents:
                    mode = self._mode_of(draft)
                    body["content"] = self._seal(mode, draft.contents, seq, keys, contents)
                raw = encode(body)
                leaf = leaf_hash(raw)
                rows.append((seq, prev, leaf, raw))
                seq, prev = seq + 1, leaf
        except AuditRefused:
            self._keyring.put_back(keys)
            raise
        intents.apply()
        for row in rows:
            batch.nodes += tail.frontier.append(row[2])
        tail.prev, tail.moment = prev, moment
        batch.leaves += rows
        batch.contents += contents
        return rows

    def _header(self, draft: Draft, seq: int, prev: bytes, moment: Moment) -> dict[str, Json]:
        return {
            **draft.fields,
            "v": SCHEMA,
            "kind": draft.kind,
            "seq": seq,
            "prev": prev.hex(),
            "epoch": self.epoch.number,
            "time_us": moment.time_us,
            "boot_id": moment.boot_id,
            "mono_us": moment.mono_us,
        }

    def _mode_of(self, draft: Draft) -> str:
        return draft.mode or self._mode

    def _seal(
        self,
        mode: str,
        texts: Mapping[str, bytes],
        seq: int,
        keys: list[tuple[str, bytes]],
        rows: list[store.ContentRow],
    ) -> Json:
        if mode == "off":
            return {"mode": "off"}
        keys.append(self._keyring.take())
        key_id, dek = keys[-1]
        parts: dict[str, Json] = {}
        for name, text in texts.items():
            part: dict[str, Json] = {
                "commitment": content.commitment(dek, key_id, name, text).hex()
            }
            if mode == "encrypted":
                sealed = content.encrypt(dek, key_id, name, text)
                part["ciphertext"] = sealed.digest().hex()
                rows.append((seq, name, sealed.nonce, sealed.ciphertext))
            parts[name] = part
        return {"key": key_id, "mode": mode, "parts": parts}

    def _moment(self, last: Moment | None) -> Moment:
        now = self._moments.now()
        if last is not None and last.boot_id == now.boot_id and now.mono_us < last.mono_us:
            return Moment(now.time_us, now.boot_id, last.mono_us)
        return now


class _Intents:
    """Open intents as one group of drafts changes them, applied when the group is complete."""

    def __init__(self, open_intents: dict[int, str]) -> None:
        self._open = open_intents
        self._opened: dict[int, str] = {}
        self._closed: set[int] = set()

    def follow(self, body: Mapping[str, Json]) -> None:
        if body["kind"] == "intent":
            self._opened[cast(int, body["seq"])] = cast(str, body.get("request_id"))
        elif body["kind"] == "outcome":
            intent = cast(int, body.get("intent"))
            request = self._open.get(intent)
            if request is None or request != body.get("request_id") or intent in self._closed:
                message = f"Entry {intent} is not an open intent of this request."
                raise AuditRefused("audit_entry_invalid", message)
            self._closed.add(intent)

    def apply(self) -> None:
        self._open.update(self._opened)
        for intent in self._closed:
            del self._open[intent]
