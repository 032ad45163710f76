"""The design's 31 ways to change a log, as data: the change, and the expected finding.

The log: entries 0 to 9 are three closed epochs of an intent, an outcome and a handover each (the
first begins with genesis), 10 to 17 were committed together in the open epoch, 18 stands alone.
"""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import store
from appliance.audit.checkpoint import Checkpoint, VerifierKey, b64, sign
from appliance.audit.export import TILE, tile_path
from appliance.audit.files import LogFiles, read_private
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.audit.reader import LogReader
from appliance.audit.segments import Segments
from appliance.types import Receipt
from tests.audit.epochs import epochs_log
from tests.audit.logs import (
    ORIGIN,
    Intruder,
    Row,
    admin,
    consistent,
    cut,
    flip,
    intent,
    new_log,
    open_log,
    outcome,
    raw_body,
)
from tests.audit.segmented import open_segments, prune

SIZE = 19


@dataclass
class World:
    """A log, the keys of its epochs, and copies that others kept of it."""

    directory: Path
    keys: list[Ed25519PrivateKey]
    genesis: bytes
    receipts: list[Receipt]
    image: Path

    @property
    def intruder(self) -> Intruder:
        return Intruder(self.directory)


def world(place: Path) -> World:
    directory, keys = epochs_log(place / "log", 3)
    with open_log(directory) as log:
        asked = log.append(*(intent(f"b{n}") for n in range(4))).result()  # 10 to 13
        log.append(*(outcome(r.seq, f"b{n}") for n, r in enumerate(asked))).result()
    image = place / "image"
    shutil.copytree(directory, image)
    with open_log(directory) as log:
        (last,) = log.append(admin("last")).result()
    return World(directory, keys, LogFiles(directory).genesis.read_bytes(), [last], image)


def export_as_it_is(directory: Path, out: Path) -> Path:
    """An export of this log without any check on the way."""
    files = LogFiles(directory).segments()
    databases = [Intruder(directory, path) for _, path in files]
    first, alone = files[0][0], len(files) == 1
    rows = [row for database in databases for row in database.rows()]
    placed = [(first + n if alone else row.seq, row) for n, row in enumerate(rows)]
    heads = dict(row for d in databases for row in d.all("SELECT size, note FROM checkpoint"))
    newest = max(heads, default=0)
    for tile in sorted({at // TILE for at, _ in placed if at < newest}):
        kept = [row for at, row in placed if at // TILE == tile and at < newest]
        bundle = b"".join(len(r.body).to_bytes(2) + r.body for r in kept)
        width = min(TILE, newest - tile * TILE)
        for name, data in (("entries", bundle), ("0", b"".join(r.hash for r in kept))):
            path = out / "tile" / name / tile_path(tile, width)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    inner: dict[tuple[int, int], bytes] = {}
    for level, index, node in sorted(databases[-1].all("SELECT level, idx, hash FROM node")):
        inner[level, index // TILE] = inner.get((level, index // TILE), b"") + node
    for (level, tile), data in inner.items():
        path = out / "tile" / str(level // 8) / tile_path(tile, len(data) // 32)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    lines = [base64.b64encode(heads[size]) + b"\n" for size in sorted(heads)]
    (out / "heads").write_bytes(b"".join(lines))
    (out / "checkpoint").write_bytes(heads.get(newest, b""))
    (out / "genesis.pub").write_bytes((directory / "genesis.pub").read_bytes())
    if first:
        with Segments(LogFiles(directory)).open() as log:
            peaks = Frontier.at(first, store.subtree(log)).peaks()
            carried = store.carried_handovers(log)
        (out / "start").write_text("\n".join([str(first), *map(b64, peaks), ""]))
        (out / "handovers").write_text("".join(b64(record) + "\n" for record in carried))
    return out


@dataclass(frozen=True)
class Case:
    """One way.

    Attributes:
        seq, code: the appliance's verifier's first finding.
        export: the auditor's first finding; None where an export does not carry the change.
    """

    number: int
    name: str
    do: Callable[[World], None]
    seq: int
    code: str
    export: tuple[int, str] | None

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


def _row(seq: int, change: Callable[[Row], Row]) -> Callable[[World], None]:
    return lambda it: it.intruder.change(seq, change)


def _body(seq: int, old: bytes, new: bytes) -> Callable[[World], None]:
    return _row(seq, lambda row: replace(row, body=row.body.replace(old, new)))


def _rebuilt(seq: int, **changes: object) -> Callable[[World], None]:
    """The entry changed and everything after it made to fit, without a key."""

    def do(it: World) -> None:
        bodies = [row.body for row in it.intruder.rows()]
        bodies[seq] = raw_body({**json.loads(bodies[seq]), **changes})
        it.intruder.write(it.intruder.rechain(bodies))

    return do


def _signed(it: World, first: int, *keys: Ed25519PrivateKey) -> None:
    frontier, note = Frontier(), b""
    for row in it.intruder.rows():
        frontier.append(row.hash)
        if frontier.size > first:
            note = sign(Checkpoint(ORIGIN, frontier.size, frontier.root()), *keys)
            it.intruder.sql(
                f"UPDATE checkpoint SET note = ? WHERE size = {frontier.size}", values=(note,)
            )
    it.intruder.files.head.write_bytes(note)


def _with_key(do: Callable[[World], None], seq: int) -> Callable[[World], None]:
    """The same by the holder of the open epoch's key."""

    def signed(it: World) -> None:
        do(it)
        _signed(it, seq, read_private(it.intruder.files.signing))

    return signed


def _without(seq: int, *, renumbered: bool = False) -> Callable[[World], None]:
    def do(it: World) -> None:
        rows = [row for row in it.intruder.rows() if row.seq != seq]
        it.intruder.write([replace(r, seq=n) for n, r in enumerate(rows)] if renumbered else rows)

    return do


def _swapped(it: World) -> None:
    rows = it.intruder.rows()
    rows[11], rows[12] = replace(rows[12], seq=11), replace(rows[11], seq=12)
    it.intruder.write(rows)


def _twice(it: World) -> None:
    rows = it.intruder.rows()
    later = [replace(row, seq=row.seq + 1) for row in rows[12:]]
    it.intruder.write([*rows[:12], replace(rows[11], seq=12), *later])


def _back_dated(it: World) -> None:
    rows = it.intruder.rows()
    forged = consistent(rows[12], time_us=1, action="grant", kind="admin", actor="uid:0")
    later = [replace(row, seq=row.seq + 1) for row in rows[12:]]
    it.intruder.write([*rows[:12], forged, *later])


def _another_key(it: World) -> None:
    _rebuilt(5, time_us=1)(it)
    _signed(it, 5, Ed25519PrivateKey.generate())


def _stripped(it: World) -> None:
    bare = "substr(note, 1, instr(note, x'0a0a') + 1)"
    it.intruder.sql(f"UPDATE checkpoint SET note = {bare} WHERE size = 7")


def _genesis(it: World) -> None:
    other = VerifierKey(ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    it.intruder.files.genesis.write_text(other.encode() + "\n", encoding="ascii")


def _cut(size: int, *, head: bool = False) -> Callable[[World], None]:
    def do(it: World) -> None:
        cut(it.intruder, size)
        if head:
            note = LogReader(it.directory).checkpoint()
            it.intruder.files.head.write_bytes(note.encode())

    return do


def _continued(it: World) -> None:
    cut(it.intruder, 7)
    bodies = [row.body for row in it.intruder.rows()]
    fields = {k: v for k, v in json.loads(bodies[-1]).items()
              if k not in ("next_key", "signature", "reason")}  # fmt: skip
    new = raw_body({**fields, "kind": "admin", "actor": "uid:0", "action": "x", "epoch": 2})
    it.intruder.write(it.intruder.rechain([*bodies, new]))
    it.intruder.sql("INSERT INTO checkpoint VALUES (8, x'')")
    _signed(it, 7, it.keys[3])


def _image(it: World) -> None:
    shutil.rmtree(it.directory)
    shutil.copytree(it.image, it.directory)


def _split(it: World) -> None:
    """Another last entry, by the log's own writer, on an earlier image."""
    _image(it)
    with open_log(it.directory) as log:
        log.append(admin("another")).result()


def _wal(change: Callable[[Path], None]) -> Callable[[World], None]:
    """Change the WAL, with entries of its own, after the power went."""

    def do(it: World) -> None:
        it.image = it.directory.parent / "running"
        with open_log(it.directory) as log:
            for n in range(20):
                log.append(admin(f"wal {n}")).result()
            log._session.write_head()
            shutil.copytree(it.directory, it.image)
        _image(it)
        (it.directory / "log.db-shm").unlink(missing_ok=True)
        change(it.directory / "log.db-wal")

    return do


def _halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(flip(data, len(data) // 2))


def _replaced(it: World) -> None:
    """`INSERT OR REPLACE`, once nothing refuses it."""
    row = it.intruder.rows()[4]
    it.intruder.sql(
        "INSERT OR REPLACE INTO leaf (seq, prev, hash, body) VALUES (4, ?, ?, ?)",
        values=(row.prev, row.hash, row.body.replace(b'"k1"', b'"k2"')),
    )


def _hidden(it: World) -> None:
    """A page of an index is rewritten so that a search for the request finds nothing."""
    it.intruder.sql(
        "CREATE TABLE taken AS SELECT * FROM leaf WHERE seq = 4",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'IS NOT NULL', '<> ''r1''') "
        "WHERE name = 'leaf_request'",
    )
    it.intruder.sql("REINDEX leaf_request")
    it.intruder.sql(
        "DROP TABLE taken",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '<> ''r1''', 'IS NOT NULL') "
        "WHERE name = 'leaf_request'",
    )


def _texts(it: World) -> None:
    it.intruder.sql("UPDATE content SET seq = seq + 100 WHERE seq IN (10, 11)")
    it.intruder.sql("UPDATE content SET seq = 121 - seq WHERE seq > 100")


def _no_outcome(it: World) -> None:
    bodies = [row.body for row in it.intruder.rows()]
    fields = json.loads(bodies[14])
    del fields["content"], fields["intent"]
    bodies[14] = raw_body({**fields, "kind": "start"})
    it.intruder.write(it.intruder.rechain(bodies))
    it.intruder.sql("DELETE FROM content WHERE seq = 14")
    _signed(it, 14, it.keys[3])


def _spelling(it: World) -> None:
    rows = it.intruder.rows()
    body = rows[18].body.replace(b'"v":1', b'"v":1,"v":1')
    it.intruder.write([*rows[:18], replace(rows[18], body=body, hash=leaf_hash(body))])
    _signed(it, 18, it.keys[3])


def _other_origin(it: World) -> None:
    shutil.rmtree(it.directory)
    new_log(it.directory, origin="other.example/audit")


def _two_heads(it: World) -> None:
    root = bytes(range(32))
    note = sign(Checkpoint(ORIGIN, SIZE, root), read_private(it.intruder.files.signing))
    it.intruder.files.head.write_bytes(note)


def _missing_link(seq: int) -> Callable[[World], None]:
    return _with_key(_rebuilt(seq, intent=3), seq)


def _gone(first: int) -> Callable[[World], None]:
    return lambda it: it.intruder.files.segment(first).unlink()


def _replaced_segment(it: World) -> None:
    """A segment consistent in itself, with one changed entry."""
    files = it.intruder.files
    there = Intruder(it.directory, files.segment(1_024))
    rows = there.rows()
    rows[4] = consistent(rows[4], action="x")
    for n in range(5, len(rows)):
        rows[n] = consistent(replace(rows[n], prev=rows[n - 1].hash), prev=rows[n - 1].hash.hex())
    there.write(rows)


def _pruned_further(it: World) -> None:
    with open_segments(it.directory) as log:
        prune(log, it.directory, 1_024, "Alice", "Bob")
    it.intruder.files.segment(1_024).unlink()


def _pruned_alone(it: World) -> None:
    """Root holds the open epoch's key and writes the prune entry itself."""
    with open_segments(it.directory) as log:
        prune(log, it.directory, 1_024, "Alice")


SEGMENTS = [
    Case(29, "first-segment-removed", _gone(0), 0, "entry_missing", (0, "entry_missing")),
    Case(29, "middle-segment-removed", _gone(1_024), 1_024, "entry_missing",
         (1_024, "entry_missing")),
    Case(29, "newest-segment-removed", _gone(2_048), 2_048, "tail_missing", None),
    Case(29, "segment-replaced", _replaced_segment, 1_028, "root_mismatch",
         (1_028, "root_mismatch")),
    Case(29, "removed-beyond-the-prune-entry", _pruned_further, 1_024, "entry_missing",
         (1_024, "entry_missing")),
    Case(29, "pruned-without-two-people", _pruned_alone, 2_053, "prune_invalid",
         (2_053, "prune_invalid")),
]  # fmt: skip
"""Ways to change a log of three segments: 0 to 1023, 1024 to 2047, and one just begun."""

CASES = [
    Case(1, "bit-in-body", _body(11, b"b1", b"b7"),
         11, "leaf_mismatch", (11, "leaf_mismatch")),
    Case(1, "bit-in-body-of-a-closed-epoch", _body(4, b"r1", b"r7"),
         4, "leaf_mismatch", (4, "leaf_mismatch")),
    Case(2, "bit-in-hash", _row(11, lambda r: replace(r, hash=flip(r.hash))),
         11, "leaf_mismatch", (11, "leaf_mismatch")),
    Case(3, "bit-in-prev", _row(11, lambda r: replace(r, prev=flip(r.prev))),
         11, "prev_mismatch", None),
    Case(4, "body-and-hash", lambda it: it.intruder.change(12, lambda r: consistent(r, ip="x")),
         12, "chain_broken", (12, "chain_broken")),
    Case(4, "its-predecessor-too",
         lambda it: it.intruder.change(12, lambda r: replace(
             consistent(r, prev="ab" * 32), prev=b"\xab" * 32)),
         12, "chain_broken", (12, "chain_broken")),
    Case(4, "body-and-hash-alone-in-its-commit",
         lambda it: it.intruder.change(4, lambda r: consistent(r, ip="x")),
         4, "chain_broken", (4, "chain_broken")),
    Case(5, "row-deleted", _without(12), 12, "entry_missing", (12, "seq_mismatch")),
    Case(6, "row-deleted-and-renumbered", _without(12, renumbered=True),
         12, "seq_mismatch", (12, "seq_mismatch")),
    Case(7, "rows-swapped", _swapped, 11, "seq_mismatch", (11, "seq_mismatch")),
    Case(8, "row-twice", _twice, 12, "seq_mismatch", (12, "seq_mismatch")),
    Case(9, "back-dated-row", _back_dated, 12, "chain_broken", (13, "seq_mismatch")),
    Case(10, "recomputed-without-key", _rebuilt(4, time_us=1),
         4, "root_mismatch", (4, "root_mismatch")),
    Case(10, "recomputed-with-another-key", _another_key,
         5, "checkpoint_invalid", (5, "checkpoint_invalid")),
    Case(11, "recomputed-with-the-newest-key", _with_key(_rebuilt(4, time_us=1), 4),
         4, "checkpoint_invalid", (4, "checkpoint_invalid")),
    Case(12, "handover-dropped", _without(6), 6, "entry_missing", (6, "seq_mismatch")),
    Case(13, "signatures-stripped", _stripped, 6, "checkpoint_invalid", (6, "checkpoint_invalid")),
    Case(14, "genesis-key-replaced", _genesis, 0, "genesis_mismatch", (0, "genesis_mismatch")),
    Case(15, "tail-cut-under-head", _cut(14), 14, "tail_missing", None),
    Case(16, "cut-and-continued", _continued, 7, "checkpoint_invalid", (7, "checkpoint_invalid")),
    Case(17, "tail-cut-with-head", _cut(18, head=True), 18, "receipt_mismatch", None),
    Case(18, "old-image", _image, 18, "receipt_mismatch", None),
    Case(19, "split-view", _split, 18, "receipt_mismatch", None),
    Case(20, "wal-deleted", _wal(Path.unlink), 19, "tail_missing", None),
    Case(21, "wal-halved", _wal(_halve), -1, "tail_missing", None),
    Case(21, "wal-flipped", _wal(_flip), -1, "tail_missing", None),
    Case(22, "or-replace", _replaced, 4, "leaf_mismatch", (4, "leaf_mismatch")),
    Case(23, "hidden-from-an-index", _hidden, 4, "index_mismatch", None),
    Case(24, "ciphertexts-swapped", _texts, 10, "content_mismatch", None),
    Case(25, "link-of-an-outcome", _missing_link(15), 15, "outcome_orphan", (15, "outcome_orphan")),
    Case(25, "request-of-an-outcome", _with_key(_rebuilt(15, request_id="x"), 15),
         15, "outcome_mismatch", (15, "outcome_mismatch")),
    Case(26, "outcome-missing", _no_outcome, 10, "outcome_missing", (10, "outcome_missing")),
    Case(27, "key-twice", _spelling, 18, "body_invalid", (18, "body_invalid")),
    Case(28, "other-origin", _other_origin, 0, "genesis_mismatch", (0, "genesis_mismatch")),
    Case(30, "two-heads-of-one-size", _two_heads, 18, "head_mismatch", None),
]  # fmt: skip
"""Ways to change a log of one segment; 31 (proofs) is in test_proof.py."""
