"""The tables of a segment of the log and the statements on them.

Rules:
- Rows are added and never changed: triggers refuse UPDATE and DELETE, with `recursive_triggers`
  (set by db.py) also REPLACE. This only raises the cost of tampering; chain, tree and signatures
  prove it.
- Columns besides `body`, and `node` (inner nodes of the tree at levels 8, 16, …), are copies that
  the verifier compares.
- Readers take a `Log` and get rows as tuples while SQLite steps through them. Inner nodes, spans
  and earlier handovers are read from the newest segment.
"""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as driver
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.merkle import TILE_LEVELS, Subtree, fold
from appliance.audit.segments import NO_END, Log, LogSegment
from appliance.audit.tables import MIGRATIONS, SPAN
from appliance.db import open_database
from appliance.errors import AuditRefused, AuditUnavailable

# Someone who edits the file can put any type into a column; what is read is always bytes. A cast
# copies, a blob too.
_LEAVES: Final = """
SELECT seq, coalesce(CAST(prev AS BLOB), x''), coalesce(CAST(hash AS BLOB), x''),
  iif(typeof(body) = 'blob', body, coalesce(CAST(body AS BLOB), x''))
FROM leaf WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?
"""
_CONTENTS: Final = """
SELECT seq, name, coalesce(CAST(nonce AS BLOB), x''), coalesce(CAST(ct AS BLOB), x'')
FROM content WHERE seq >= ? AND seq < ? ORDER BY seq, name
"""

_CHECKPOINTS: Final = """
SELECT size, coalesce(CAST(note AS BLOB), x'')
FROM checkpoint WHERE size > ? AND size <= ? ORDER BY size
"""
_NODES: Final = """
SELECT coalesce(CAST(hash AS BLOB), x'')
FROM node WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx
"""
_NEWEST_HANDOVER: Final = """
SELECT CAST(body AS BLOB) FROM leaf WHERE kind = 'key_handover' AND seq < ?
ORDER BY seq DESC LIMIT 1
"""
_HANDOVER_ROWS: Final = """
SELECT seq, coalesce(CAST(body AS BLOB), x'')
FROM leaf WHERE kind = 'key_handover' AND seq < ? ORDER BY seq
"""

_OPEN_INTENTS: Final = """
SELECT seq FROM leaf AS i
WHERE kind = 'intent' AND seq >= ? AND NOT EXISTS (SELECT 1 FROM leaf WHERE intent = i.seq)
ORDER BY seq
"""

# Of the entries ?1 ≤ seq < ?2. Inner nodes and spans of a segment are those of all entries so far.
_STRAYS: Final = (
    (
        "content",
        """
SELECT * FROM (SELECT seq, name FROM content WHERE seq < ?1 ORDER BY seq LIMIT 3)
UNION ALL SELECT * FROM (SELECT seq, name FROM content WHERE seq >= ?2 ORDER BY seq LIMIT 3)
""",
        "a text {1!r} of entry {0}",
    ),
    (
        "checkpoint",
        """
SELECT * FROM (SELECT size - 1, size FROM checkpoint WHERE size <= ?1 ORDER BY size LIMIT 3)
UNION ALL
SELECT * FROM (SELECT size - 1, size FROM checkpoint WHERE size > ?2 ORDER BY size LIMIT 3)
""",
        "a head of size {1}",
    ),
    (
        "node",
        "SELECT 0, level, idx FROM node WHERE level < 8 OR level > 56 OR level % 8 "
        "OR idx < 0 OR idx >= ?2 >> level LIMIT 3",
        "the inner node {1}/{2}",
    ),
    (
        "span",
        "SELECT max(0, min(block, ?2 / 1024)) * 1024, block FROM span "
        "WHERE block < 0 OR block >= ?2 / 1024 LIMIT 3",  # from there on it hides entries
        "the span of block {1}",
    ),
)

_INSERT_SPAN: Final = """
INSERT INTO span (block, low_us, high_us)
SELECT ?, min(time_us), max(time_us) FROM leaf WHERE seq >= ? AND seq < ?
"""
_INSERT_LEAF: Final = "INSERT INTO leaf (seq, prev, hash, body) VALUES (?, ?, ?, ?)"
_INSERT_NODE: Final = "INSERT INTO node (level, idx, hash) VALUES (?, ?, ?)"
_INSERT_CONTENT: Final = "INSERT INTO content (seq, name, nonce, ct) VALUES (?, ?, ?, ?)"
_ROWS_AT_ONCE: Final = 16
_INSERT_CHECKPOINT: Final = "INSERT INTO checkpoint (size, note) VALUES (?, ?)"

_DENIED: Final = frozenset(
    getattr(driver, f"SQLITE_{action}")
    for action in (
        "UPDATE", "DELETE", "DROP_TABLE", "DROP_TRIGGER", "DROP_INDEX", "DROP_VIEW", "ALTER_TABLE",
        "CREATE_TABLE", "CREATE_TRIGGER", "CREATE_INDEX", "CREATE_VIEW", "CREATE_TEMP_TRIGGER",
        "CREATE_TEMP_TABLE", "CREATE_TEMP_VIEW", "ATTACH", "DETACH", "REINDEX",
    )
)  # fmt: skip
_SETTABLE: Final = frozenset({"wal_checkpoint", "wal_autocheckpoint"})

FAILURES: Final = (SQLAlchemyError, driver.Error, OSError)
"""Exceptions of driver and file system."""
DAMAGE: Final = driver.DatabaseError
"""Exceptions of SQLite for damaged pages."""

_DAMAGE: Final = frozenset(
    getattr(driver, f"SQLITE_{name}")
    for name in ("CORRUPT", "NOTADB", "ERROR", "SCHEMA", "MISMATCH", "FORMAT")
)

LeafRow = tuple[int, bytes, bytes, bytes]
"""seq, prev, hash, body."""
NodeRow = tuple[int, int, bytes]
"""level, index, hash."""
ContentRow = tuple[int, str, bytes, bytes]
"""seq, name, nonce, ciphertext."""


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn failures of driver and disk into AuditUnavailable."""
    try:
        yield
    except FAILURES as error:
        raise AuditUnavailable(code(error), f"{doing}: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """An error in a few words, without SQL."""
    origin = getattr(error, "orig", None) or error
    return str(origin).split("\n", 1)[0] or type(origin).__name__


def damaged(error: BaseException) -> bool:
    """True if SQLite met bytes, pages or tables that are not ours."""
    found = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return found is not None and found & 0xFF in _DAMAGE


def code(error: BaseException) -> str:
    """The stable code for a failure of driver or disk."""
    return "database_damaged" if damaged(error) else "audit_unavailable"


def full(error: BaseException | None) -> bool:
    """True if SQLite lacked disk space."""
    return bool(getattr(error, "sqlite_errorcode", None) == driver.SQLITE_FULL)


def open_log(path: Path) -> Engine:
    """Open or create a segment for the writer."""
    return open_database(path, MIGRATIONS)


def guard(dbapi: Any) -> None:
    """Let the writer's connection add rows and nothing else."""
    dbapi.set_authorizer(_allow)


def _allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    setting = action == driver.SQLITE_PRAGMA and second is not None and first not in _SETTABLE
    return int(driver.SQLITE_DENY if setting or action in _DENIED else driver.SQLITE_OK)


def raw(connection: Connection) -> Any:
    """The DBAPI connection below, for statements outside of SQLAlchemy's transactions."""
    return connection.connection.driver_connection


@contextmanager
def transaction(connection: Connection) -> Iterator[Any]:
    """The DBAPI connection in a transaction: SQLAlchemy's costs as much as the statements."""
    dbapi = raw(connection)
    dbapi.execute("BEGIN IMMEDIATE")
    try:
        yield dbapi
        dbapi.execute("COMMIT")
    except BaseException:
        with suppress(driver.Error):
            dbapi.execute("ROLLBACK")
        raise


def insert(
    dbapi: Any,
    leaves: Sequence[LeafRow],
    nodes: Sequence[NodeRow],
    contents: Sequence[ContentRow],
    checkpoint: tuple[int, bytes],
) -> None:
    """Add the rows of one commit."""
    for sql, rows in (
        (_INSERT_LEAF, leaves), (_INSERT_NODE, nodes), (_INSERT_CONTENT, contents),
    ):  # fmt: skip
        _add(dbapi, sql, rows)
    dbapi.execute(_INSERT_CHECKPOINT, checkpoint)
    for block in range(leaves[0][0] // SPAN, (leaves[-1][0] + 1) // SPAN):
        dbapi.execute(_INSERT_SPAN, (block, block * SPAN, (block + 1) * SPAN))


def _add(dbapi: Any, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by few statements: after each, the driver waits for its turn among threads.

    The numbers of rows are powers of two, so that all statements are soon prepared.
    """
    while rows:
        count = min(_ROWS_AT_ONCE, 1 << len(rows).bit_length() - 1)
        values = sql[sql.rindex("(") :]
        dbapi.execute(sql + f", {values}" * (count - 1), [*chain.from_iterable(rows[:count])])
        rows = rows[count:]


def leaves(log: Log, first: int, end: int, limit: int = -1) -> Iterator[LeafRow]:
    """Rows with first ≤ seq < end, in order, at most `limit`."""
    rows = chain.from_iterable(
        dbapi.execute(_LEAVES, (low, high, limit)) for dbapi, low, high in log.within(first, end)
    )
    return rows if limit < 0 else islice(rows, limit)


def checkpoints(log: Log, above: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Heads of trees with above < size ≤ end, in order."""
    # A head lies with the last entry that it covers.
    return chain.from_iterable(
        dbapi.execute(_CHECKPOINTS, (low, high)) for dbapi, low, high in log.within(above, end)
    )


def next_checkpoint(log: Log, size: int) -> int | None:
    """Size of the first head that covers `size` entries."""
    sql = "SELECT min(size) FROM checkpoint WHERE size > ?"
    for dbapi, low, _ in log.within(size - 1):
        (found,) = dbapi.execute(sql, (low,)).fetchone()
        if found is not None:
            return int(found)
    return None


def note_of(log: Log, size: int) -> bytes | None:
    """The head of the tree of exactly this size."""
    sql = "SELECT CAST(note AS BLOB) FROM checkpoint WHERE size = ?"
    for dbapi, _, _ in log.within(size - 1, size):
        return _first(dbapi, sql, (size,))
    return None


def node(log: Log, level: int, index: int) -> bytes | None:
    """A stored inner node."""
    sql = "SELECT CAST(hash AS BLOB) FROM node WHERE level = ? AND idx = ?"
    return _first(log.newest.dbapi, sql, (level, index))


def contents(log: Log, first: int, end: int) -> Iterator[ContentRow]:
    """Ciphertexts of the entries first ≤ seq < end, in order."""
    return chain.from_iterable(
        dbapi.execute(_CONTENTS, (low, high)) for dbapi, low, high in log.within(first, end)
    )


def size(log: Log) -> int:
    """One more than the highest sequence number."""
    newest = log.newest
    (highest,) = newest.dbapi.execute("SELECT max(seq) FROM leaf").fetchone()
    return newest.first if highest is None else int(highest) + 1


@dataclass(frozen=True)
class Stray:
    """A row outside of the entries of its segment, where no check of entries meets it.

    Attributes:
        seq: the entry that it claims to belong to, or the last one below it in the tree.
    """

    table: str
    seq: int
    what: str


def strays(segment: LogSegment) -> list[Stray]:
    """Stray rows of a segment, the first of each table."""
    dbapi, first = segment.dbapi, segment.first
    dbapi.execute("BEGIN")  # all tables as of one moment, also while the log grows
    try:
        # Each by itself, or SQLite reads the whole table.
        (low,) = dbapi.execute("SELECT min(seq) FROM leaf").fetchone()
        (high,) = dbapi.execute("SELECT max(seq) FROM leaf").fetchone()
        found = []
        if low is not None and (low < first or high >= segment.end):
            found.append(Stray("leaf", first, "an entry of another one"))
        size = first if high is None else high + 1
        end = min(segment.end, size) if segment.end == NO_END else segment.end
        for table, sql, words in _STRAYS:
            for row in dbapi.execute(sql, (first, end)):
                found.append(Stray(table, row[0], words.format(*row)))
        return found
    finally:
        dbapi.execute("COMMIT")


def newest_size(log: Log) -> int:
    """Size of the newest head; 0 when there is none."""
    for dbapi, _, _ in log.backwards():
        (found,) = dbapi.execute("SELECT max(size) FROM checkpoint").fetchone()
        if found is not None:
            return int(found)
    return 0


def newest_note(log: Log) -> bytes | None:
    """The note of the newest checkpoint."""
    sql = "SELECT CAST(note AS BLOB) FROM checkpoint ORDER BY size DESC LIMIT 1"
    for dbapi, _, _ in log.backwards():
        found = _first(dbapi, sql)
        if found is not None:
            return found
    return None


def names_key(log: Log, key_id: str) -> bool:
    """True if an entry names this content key."""
    sql = "SELECT 1 FROM leaf WHERE dek = ?"
    return any(
        dbapi.execute(sql, (key_id,)).fetchone() is not None for dbapi, _, _ in log.backwards()
    )


def subtree(log: Log) -> Subtree:
    """The tree as it is stored; the function raises AuditRefused (`audit_corrupt`) for a missing
    hash.
    """

    def at(level: int, index: int) -> bytes:
        stored = level - level % TILE_LEVELS
        width = 1 << (level - stored)
        if stored == 0:
            found = [row[2] for row in leaves(log, index * width, (index + 1) * width)]
        else:
            values = (stored, index * width, (index + 1) * width)
            found = [bytes(row[0]) for row in log.newest.dbapi.execute(_NODES, values)]
        if len(found) != width:
            raise AuditRefused("audit_corrupt", "The audit log lacks hashes of its tree.")
        return fold(found)

    return at


def carried_handovers(log: Log) -> list[bytes]:
    """Records of the key handovers before the first entry of the log, oldest first."""
    sql = "SELECT coalesce(CAST(record AS BLOB), x'') FROM handover WHERE size <= ? ORDER BY size"
    dbapi = log.segments[0].dbapi
    return [row[0] for row in dbapi.execute(sql, (log.first,))] if log.first else []


def carried(segment: LogSegment) -> set[tuple[int, bytes]]:
    """Sizes and records of the key handovers that a segment carries."""
    sql = "SELECT size, coalesce(CAST(record AS BLOB), x'') FROM handover"
    return set(segment.dbapi.execute(sql))


def handover_below(log: Log, seq: int) -> bytes | None:
    """Body of the newest key handover before an entry, of those in the log."""
    for dbapi, _, high in log.backwards(seq):
        found = _first(dbapi, _NEWEST_HANDOVER, (high,))
        if found is not None:
            return found
    return None


def handovers(log: Log, end: int) -> list[tuple[int, bytes]]:
    """Sequence numbers and bodies of the key handovers with seq < end, in order."""
    return [
        row
        for dbapi, _, high in log.within(0, end)
        for row in dbapi.execute(_HANDOVER_ROWS, (high,))
    ]


def of_kind(log: Log, kind: str) -> Iterator[bytes]:
    """Bodies of the entries of a kind, oldest first."""
    sql = "SELECT coalesce(CAST(body AS BLOB), x'') FROM leaf WHERE kind = ? ORDER BY seq"
    return (row[0] for dbapi, _, _ in log.within(0) for row in dbapi.execute(sql, (kind,)))


def of_kinds(log: Log, kinds: Sequence[str], first: int, end: int) -> Iterator[LeafRow]:
    """Rows of some kinds with first ≤ seq < end, in order, by the index."""
    sql = (
        "SELECT seq, coalesce(CAST(prev AS BLOB), x''), coalesce(CAST(hash AS BLOB), x''),"
        " coalesce(CAST(body AS BLOB), x'') FROM leaf"
        " INDEXED BY leaf_kind WHERE kind = ? AND seq >= ? AND seq < ? ORDER BY seq"
    )
    for dbapi, low, high in log.within(first, end):
        yield from heapq.merge(*(dbapi.execute(sql, (kind, low, high)) for kind in kinds))


def newest_of_kind(log: Log, kind: str) -> int | None:
    """Sequence number of the newest entry of a kind."""
    for dbapi, _, _ in log.backwards():
        row = dbapi.execute("SELECT max(seq) FROM leaf WHERE kind = ?", (kind,)).fetchone()
        if row[0] is not None:
            return int(row[0])
    return None


def latest_us(log: Log, first: int = 0) -> int:
    """The latest wall time from number `first` on, microseconds since the epoch; or 0."""
    begun = -(-first // SPAN)  # the first block of which every entry counts
    newest = log.newest.dbapi
    (blocks,) = newest.execute("SELECT coalesce(max(block) + 1, 0) FROM span").fetchone()
    whole = "SELECT max(high_us) FROM span WHERE block >= ?"
    found = [newest.execute(whole, (begun,)).fetchone()[0]]
    sql = "SELECT max(time_us) FROM leaf WHERE seq >= ? AND seq < ?"
    for low, high in ((first, begun * SPAN), (max(first, blocks * SPAN), 1 << 62)):
        found += [
            dbapi.execute(sql, (start, end)).fetchone()[0]
            for dbapi, start, end in log.within(low, high)
        ]
    return max(found_us or 0 for found_us in found)


def outcome_of(log: Log, intent: int) -> int | None:
    """Sequence number of the entry that closes an intent."""
    for dbapi, _, _ in log.within(intent):
        row = dbapi.execute("SELECT seq FROM leaf WHERE intent = ?", (intent,)).fetchone()
        if row is not None:
            return int(row[0])
    return None


def open_intents(log: Log) -> list[int]:
    """Intents since the newest `start` that no outcome closes, in order."""
    # Every opening closes all that it finds and `start` is appended after it, so intents before
    # the newest `start` need no look.
    started = newest_of_kind(log, "start")
    found: list[int] = []
    for dbapi, low, _ in log.within(0 if started is None else started):
        found += [row[0] for row in dbapi.execute(_OPEN_INTENTS, (low,))]
    last = log.newest.first
    return [seq for seq in found if seq >= last or outcome_of(log, seq) is None]


def _first(dbapi: Any, sql: str, values: Sequence[int] = ()) -> bytes | None:
    """The only column of the first row; NULL counts as nothing."""
    row = dbapi.execute(sql, values).fetchone()
    return None if row is None else row[0]
