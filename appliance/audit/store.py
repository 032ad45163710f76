"""The tables of `log.db` and the statements on them.

Rules:
- Rows are added and never changed: triggers refuse UPDATE and DELETE on every table, and
  with `recursive_triggers` (set by db.py) also REPLACE. This raises the cost of tampering;
  what proves it is the chain, the tree and the signatures. The writer's own connection may not even
  try (`guard`): UPDATE, DELETE, other schemas, attached files and other pragmas are denied.
- Columns beside `body` are copies for SQLite's benefit: `seq`, `prev` and `hash` are compared
  with the body by the verifier, and the columns that queries use are generated from it.
- `node` holds inner nodes of the tree at levels 8, 16, …. They are derived and never believed:
  a root computed from them must be the signed one.
- Readers take raw DBAPI cursors: rows come as tuples while SQLite steps through them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pysqlite3.dbapi2 as driver
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.audit.merkle import TILE_LEVELS, Subtree, fold
from appliance.audit.tables import MIGRATIONS, SPAN
from appliance.db import open_database
from appliance.errors import AuditRefused, AuditUnavailable

# Someone who edits the file can put any type into a column; what is read is always bytes.
_LEAVES: Final = """
SELECT seq, coalesce(CAST(prev AS BLOB), x''), coalesce(CAST(hash AS BLOB), x''),
  coalesce(CAST(body AS BLOB), x'')
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
_HANDOVERS: Final = "SELECT CAST(body AS BLOB) FROM leaf WHERE kind = 'key_handover' "
_HANDOVER_ROWS: Final = """
SELECT seq, coalesce(CAST(body AS BLOB), x'')
FROM leaf WHERE kind = 'key_handover' AND seq < ? ORDER BY seq
"""

_INSERT_SPAN: Final = """
INSERT INTO span (block, low_us, high_us)
SELECT ?, min(time_us), max(time_us) FROM leaf WHERE seq >= ? AND seq < ?
"""
_INSERT_LEAF: Final = "INSERT INTO leaf (seq, prev, hash, body) VALUES (?, ?, ?, ?)"
_INSERT_NODE: Final = "INSERT INTO node (level, idx, hash) VALUES (?, ?, ?)"
_INSERT_CONTENT: Final = "INSERT INTO content (seq, name, nonce, ct) VALUES (?, ?, ?, ?)"
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
"""What driver and file system raise."""
DAMAGE: Final = driver.DatabaseError
"""What SQLite raises when it meets pages that make no sense."""

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
        raise AuditUnavailable("audit_unavailable", f"{doing}: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """An error in a few words, without SQL."""
    origin = getattr(error, "orig", None) or error
    return str(origin).split("\n", 1)[0] or type(origin).__name__


def open_log(path: Path) -> Engine:
    """Open or create `log.db` for the writer. Raises StateRefused (`database_unusable`)."""
    return open_database(path, MIGRATIONS)


def guard(dbapi: Any) -> None:
    """Let the writer's connection add rows and nothing else; SQLite asks before each statement."""
    dbapi.set_authorizer(_allow)


def _allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    setting = action == driver.SQLITE_PRAGMA and second is not None and first not in _SETTABLE
    return int(driver.SQLITE_DENY if setting or action in _DENIED else driver.SQLITE_OK)


def raw(connection: Connection) -> Any:
    """The DBAPI connection below, for statements outside of SQLAlchemy's transactions."""
    return connection.connection.driver_connection


def insert(
    connection: Connection,
    leaves: Sequence[LeafRow],
    nodes: Sequence[NodeRow],
    contents: Sequence[ContentRow],
    checkpoint: tuple[int, bytes],
) -> None:
    """Add the rows of one commit; the caller owns the transaction."""
    connection.exec_driver_sql(_INSERT_LEAF, list(leaves))
    if nodes:
        connection.exec_driver_sql(_INSERT_NODE, list(nodes))
    if contents:
        connection.exec_driver_sql(_INSERT_CONTENT, list(contents))
    connection.exec_driver_sql(_INSERT_CHECKPOINT, checkpoint)
    for block in range(leaves[0][0] // SPAN, (leaves[-1][0] + 1) // SPAN):
        place = (block, block * SPAN, (block + 1) * SPAN)
        connection.exec_driver_sql(_INSERT_SPAN, place)


def leaves(dbapi: Any, first: int, end: int, limit: int = -1) -> Iterator[LeafRow]:
    """Rows with first ≤ seq < end, in order, at most `limit`."""
    return iter(dbapi.execute(_LEAVES, (first, end, limit)))


def checkpoints(dbapi: Any, above: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Heads of trees with above < size ≤ end, in order."""
    return iter(dbapi.execute(_CHECKPOINTS, (above, end)))


def next_checkpoint(dbapi: Any, size: int) -> int | None:
    """Size of the first head that covers `size` entries."""
    row = dbapi.execute("SELECT min(size) FROM checkpoint WHERE size >= ?", (size,)).fetchone()
    return None if row[0] is None else int(row[0])


def note_of(dbapi: Any, size: int) -> bytes | None:
    """The head of the tree of exactly this size."""
    sql = "SELECT CAST(note AS BLOB) FROM checkpoint WHERE size = ?"
    return _first(dbapi, sql, (size,))


def node(dbapi: Any, level: int, index: int) -> bytes | None:
    """A stored inner node."""
    sql = "SELECT CAST(hash AS BLOB) FROM node WHERE level = ? AND idx = ?"
    return _first(dbapi, sql, (level, index))


def contents(dbapi: Any, first: int, end: int) -> Iterator[ContentRow]:
    """Ciphertexts of the entries first ≤ seq < end, in order."""
    return iter(dbapi.execute(_CONTENTS, (first, end)))


def size(dbapi: Any) -> int:
    """One more than the highest sequence number."""
    return int(dbapi.execute("SELECT coalesce(max(seq) + 1, 0) FROM leaf").fetchone()[0])


def lowest(dbapi: Any) -> int:
    """The lowest sequence number; 0 where all is well."""
    return int(dbapi.execute("SELECT coalesce(min(seq), 0) FROM leaf").fetchone()[0])


def newest_size(dbapi: Any) -> int:
    """Size that the newest head speaks of; 0 when there is none."""
    return int(dbapi.execute("SELECT coalesce(max(size), 0) FROM checkpoint").fetchone()[0])


def newest_note(dbapi: Any) -> bytes | None:
    """The note of the newest checkpoint."""
    return _first(dbapi, "SELECT CAST(note AS BLOB) FROM checkpoint ORDER BY size DESC LIMIT 1")


def names_key(dbapi: Any, key_id: str) -> bool:
    """Whether an entry names this content key."""
    return dbapi.execute("SELECT 1 FROM leaf WHERE dek = ?", (key_id,)).fetchone() is not None


def subtree(dbapi: Any) -> Subtree:
    """The tree as it is stored, for proofs and for the writer's edge.

    The function raises AuditRefused (`audit_corrupt`) where a hash is missing.
    """

    def at(level: int, index: int) -> bytes:
        stored = level - level % TILE_LEVELS
        width = 1 << (level - stored)
        if stored == 0:
            values: tuple[int, ...] = (index * width, (index + 1) * width)
            found = [row[2] for row in leaves(dbapi, *values)]
        else:
            values = (stored, index * width, (index + 1) * width)
            found = [bytes(row[0]) for row in dbapi.execute(_NODES, values)]
        if len(found) != width:
            raise AuditRefused("audit_corrupt", "The audit log lacks hashes of its tree.")
        return fold(found)

    return at


def handover_below(dbapi: Any, seq: int) -> bytes | None:
    """Body of the newest key handover before an entry."""
    return _first(dbapi, _HANDOVERS + "AND seq < ? ORDER BY seq DESC LIMIT 1", (seq,))


def handovers(dbapi: Any, end: int) -> list[tuple[int, bytes]]:
    """Sequence numbers and bodies of the key handovers with seq < end, in order."""
    return list(dbapi.execute(_HANDOVER_ROWS, (end,)))


def of_kind(dbapi: Any, kind: str) -> Iterator[bytes]:
    """Bodies of the entries of a kind, oldest first."""
    sql = "SELECT coalesce(CAST(body AS BLOB), x'') FROM leaf WHERE kind = ? ORDER BY seq"
    return (row[0] for row in dbapi.execute(sql, (kind,)))


def newest_of_kind(dbapi: Any, kind: str) -> int | None:
    """Sequence number of the newest entry of a kind."""
    row = dbapi.execute("SELECT max(seq) FROM leaf WHERE kind = ?", (kind,)).fetchone()
    return None if row[0] is None else int(row[0])


def latest_us(dbapi: Any, first: int = 0) -> int:
    """The latest wall time of the entries from number `first` on, microseconds since the epoch; 0
    when there are none.
    """
    sql = "SELECT max(time_us) FROM leaf WHERE seq >= ? AND seq < ?"
    begun = -(-first // SPAN)  # the first block of which every entry counts
    (blocks,) = dbapi.execute("SELECT count(*) FROM span").fetchone()
    whole = "SELECT max(high_us) FROM span WHERE block >= ?"
    found = [
        dbapi.execute(sql, (first, begun * SPAN)).fetchone()[0],
        dbapi.execute(whole, (begun,)).fetchone()[0],
        dbapi.execute(sql, (max(first, blocks * SPAN), 1 << 62)).fetchone()[0],
    ]
    return max(found_us or 0 for found_us in found)


def outcome_of(dbapi: Any, intent: int) -> int | None:
    """Sequence number of the entry that closes an intent."""
    row = dbapi.execute("SELECT seq FROM leaf WHERE intent = ?", (intent,)).fetchone()
    return None if row is None else int(row[0])


def _first(dbapi: Any, sql: str, values: Sequence[int] = ()) -> bytes | None:
    """The only column of the first row; NULL counts as nothing."""
    row = dbapi.execute(sql, values).fetchone()
    return None if row is None else row[0]
