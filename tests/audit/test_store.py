"""The stored tree, as proofs and the writer's edge read it."""

import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest

from appliance.audit import store
from appliance.audit.merkle import Frontier, fold, leaf_hash
from appliance.audit.segments import Log
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder, open_log

pytestmark = pytest.mark.durable


def test_the_stored_tree_has_the_subtrees_of_the_leaves(tmp_path: Path) -> None:
    engine = store.open_log(tmp_path / "log.db")
    leaves = [leaf_hash(b'{"n":%d}' % n) for n in range(700)]
    frontier, nodes = Frontier(), []
    for leaf in leaves:
        nodes += frontier.append(leaf)
    rows = [(n, bytes(28) + n.to_bytes(4), leaf, b'{"n":%d}' % n) for n, leaf in enumerate(leaves)]
    with engine.connect() as connection, store.transaction(connection) as dbapi:
        store.insert(dbapi, rows, nodes, [], (700, b"note"))
    with engine.connect() as connection:
        at = store.subtree(Log.of(store.raw(connection)))
        for level, index in [(0, 0), (0, 699), (3, 5), (7, 4), (8, 0), (8, 1), (9, 0)]:
            assert at(level, index) == fold(leaves[index << level : (index + 1) << level])
        assert Frontier.at(700, at).root() == frontier.root()
        with pytest.raises(AuditRefused, match="lacks hashes"):
            at(8, 2)
    engine.dispose()


def test_rows_of_a_commit_are_stored_in_order_by_few_statements(tmp_path: Path) -> None:
    engine, first = store.open_log(tmp_path / "log.db"), 0
    for count in (*range(1, 34), 256):
        end = first + count
        leaves = [
            (n, sha256(b"%d" % n).digest(), sha256(b"leaf%d" % n).digest(), b'{"n":%d}' % n)
            for n in range(first, end)
        ]
        texts = [(n, name, bytes(12), b"%d" % n) for n in range(first, end) for name in ("a", "b")]
        said: list[str] = []
        with engine.connect() as connection, store.transaction(connection) as dbapi:
            dbapi.set_trace_callback(said.append)
            store.insert(dbapi, leaves, [], texts, (end, b"note"))
            dbapi.set_trace_callback(None)
        with engine.connect() as connection:
            log = Log.of(store.raw(connection))
            assert list(store.leaves(log, first, end)) == leaves
            assert list(store.contents(log, first, end)) == texts
        for table, rows in (("leaf", count), ("content", 2 * count)):
            statements = [sql for sql in said if sql.startswith(f"INSERT INTO {table} ")]
            assert len(statements) == rows // 16 + (rows % 16).bit_count()
        first = end
    engine.dispose()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    engine = store.open_log(tmp_path / "log.db")
    row = (0, bytes(32), bytes(32), b"{}")
    with engine.connect() as connection:
        with pytest.raises(store.DAMAGE), store.transaction(connection) as dbapi:
            store.insert(dbapi, [row], [], [], (1, b"note"))
            store.insert(dbapi, [row], [], [], (2, b"note"))
        assert store.size(Log.of(store.raw(connection))) == 0
        with store.transaction(connection) as dbapi:
            store.insert(dbapi, [row], [], [], (1, b"note"))
        assert store.size(Log.of(store.raw(connection))) == 1
    engine.dispose()


def test_a_missing_hash_is_told(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM leaf WHERE seq = 3")
    engine = store.open_log(victim / "log.db")
    with engine.connect() as connection, pytest.raises(AuditRefused):
        store.subtree(Log.of(store.raw(connection)))(2, 0)
    engine.dispose()


def test_the_latest_time_from_any_entry_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a plain maximum, with blocks of four entries of which the last two have no span."""
    monkeypatch.setattr(store, "SPAN", 4)
    for size in (0, 1, 4, 9, 19):
        times = [(seq * 7919) % 23 for seq in range(size)]
        database = sqlite3.connect(":memory:")
        database.execute("CREATE TABLE leaf (seq INTEGER, time_us INTEGER)")
        database.execute("CREATE TABLE span (block INTEGER, low_us INTEGER, high_us INTEGER)")
        database.executemany("INSERT INTO leaf VALUES (?, ?)", enumerate(times))
        for block in range(max(0, size // 4 - 1)):
            part = times[4 * block : 4 * block + 4]
            database.execute("INSERT INTO span VALUES (?, ?, ?)", (block, min(part), max(part)))
        for first in range(size + 6):
            assert store.latest_us(Log.of(database), first) == max(times[first:], default=0)
        database.close()


FORBIDDEN = [
    "UPDATE leaf SET hash = hash",
    "DELETE FROM content",
    "DROP TRIGGER leaf_no_delete",
    "DROP TABLE checkpoint",
    "DROP INDEX leaf_kind",
    "ALTER TABLE leaf ADD COLUMN more",
    "ATTACH ':memory:' AS other",
    "CREATE TEMP TRIGGER t AFTER INSERT ON leaf BEGIN SELECT 1; END",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA synchronous = OFF",
    "DELETE FROM sqlite_schema WHERE name = 'leaf_no_delete'",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_22_the_writers_connection_may_only_add(database: Any, sql: str) -> None:
    store.guard(database)
    with pytest.raises(pysqlite3.dbapi2.DatabaseError, match=r"not authorized|may not be modified"):
        database.execute(sql)
    assert database.execute("SELECT count(*) FROM leaf").fetchone() == (40,)
    database.execute("INSERT INTO span VALUES (7, 1, 2)")
    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def test_22_control_without_the_guard_the_schema_can_be_changed(database: Any) -> None:
    for sql in FORBIDDEN[2:5]:
        database.execute(sql)
    database.execute("PRAGMA synchronous = OFF")
    assert database.execute("PRAGMA synchronous").fetchone() == (0,)


def test_the_writer_of_a_log_is_guarded(victim: Path) -> None:
    with open_log(victim) as log:
        dbapi = store.raw(log._session.connection)
        with pytest.raises(pysqlite3.dbapi2.DatabaseError, match="not authorized"):
            dbapi.execute("DROP TRIGGER leaf_no_delete")
