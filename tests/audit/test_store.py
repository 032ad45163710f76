"""The tables refuse change by SQL, and index columns come from the body itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest

from appliance.audit import store
from appliance.audit.merkle import Frontier, fold, leaf_hash
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder

TABLES = ("leaf", "checkpoint", "node", "content")


@pytest.fixture
def database(victim: Path) -> Iterator[Any]:
    """A connection as the writer opens it, on a log with a row in every table."""
    engine = store.open_log(victim / "log.db")
    connection = engine.connect()
    dbapi = store.raw(connection)
    dbapi.execute("INSERT INTO node VALUES (8, 0, zeroblob(32))")
    yield dbapi
    connection.close()
    engine.dispose()


def columns(database: Any, table: str) -> list[str]:
    rows = database.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return [row[0] for row in rows]


def refused(database: Any, sql: str) -> None:
    with pytest.raises(pysqlite3.dbapi2.DatabaseError, match="append-only"):
        database.execute(sql)


@pytest.mark.parametrize("table", TABLES)
def test_22_update_delete_replace_and_upsert_are_refused(database: Any, table: str) -> None:
    names = columns(database, table)
    column, listed = names[-1], ", ".join(names)
    before = database.execute(f"SELECT * FROM {table}").fetchall()
    assert before
    refused(database, f"UPDATE {table} SET {column} = {column}")
    refused(database, f"DELETE FROM {table}")
    refused(database, f"INSERT OR REPLACE INTO {table} ({listed}) SELECT {listed} FROM {table}")
    refused(
        database,
        f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {table} WHERE true "
        f"ON CONFLICT DO UPDATE SET {column} = {column}",
    )
    assert database.execute(f"SELECT * FROM {table}").fetchall() == before


@pytest.mark.parametrize("table", TABLES)
def test_22_control_without_triggers_the_same_goes_through(database: Any, table: str) -> None:
    database.execute(f"DROP TRIGGER {table}_no_update")
    database.execute(f"DROP TRIGGER {table}_no_delete")
    column = columns(database, table)[-1]
    database.execute(f"UPDATE {table} SET {column} = {column}")
    assert database.execute(f"DELETE FROM {table}").rowcount > 0


def test_22_control_replace_needs_recursive_triggers(database: Any) -> None:
    assert database.execute("PRAGMA recursive_triggers").fetchone() == (1,)
    database.execute("PRAGMA recursive_triggers = OFF")
    database.execute("INSERT OR REPLACE INTO checkpoint SELECT size, note FROM checkpoint")


def test_two_entries_cannot_follow_the_same_one(database: Any) -> None:
    with pytest.raises(pysqlite3.dbapi2.IntegrityError, match=r"leaf\.prev"):
        database.execute("INSERT INTO leaf (seq, prev, hash, body) SELECT 99, prev, hash, body "
                         "FROM leaf WHERE seq = 1")  # fmt: skip


def test_an_intent_has_one_outcome(database: Any) -> None:
    with pytest.raises(pysqlite3.dbapi2.IntegrityError, match=r"leaf\.intent"):
        database.execute("INSERT INTO leaf (seq, prev, hash, body) VALUES (99, zeroblob(32), "
                         "zeroblob(32), CAST('{\"intent\":2}' AS BLOB))")  # fmt: skip


def test_query_columns_are_those_of_the_body(database: Any) -> None:
    row = database.execute(
        "SELECT kind, time_us, request_id, key_id, model, intent, length(dek) "
        "FROM leaf WHERE seq IN (2, 3) ORDER BY seq"
    ).fetchall()
    time = 1_764_000_000_000_000
    assert row == [
        ("intent", time, "single-0", "k1", "m1", None, 36),
        ("outcome", time, "single-0", None, None, 2, 36),
    ]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("kind = 'x'", "leaf_kind"),
        ("time_us >= 5 AND time_us < 6", "leaf_time"),
        ("request_id = 'x'", "leaf_request"),
        ("key_id = 'x'", "leaf_key"),
        ("model = 'x'", "leaf_model"),
        ("intent = 5", "leaf_intent"),
        ("dek = 'x'", "leaf_dek"),
    ],
)
def test_each_query_column_has_its_index(database: Any, condition: str, index: str) -> None:
    plan = database.execute(f"EXPLAIN QUERY PLAN SELECT seq FROM leaf WHERE {condition}").fetchall()
    assert f"INDEX {index} " in plan[0][3]


def test_the_stored_tree_has_the_subtrees_of_the_leaves(tmp_path: Path) -> None:
    engine = store.open_log(tmp_path / "log.db")
    leaves = [leaf_hash(b'{"n":%d}' % n) for n in range(700)]
    frontier, nodes = Frontier(), []
    for leaf in leaves:
        nodes += frontier.append(leaf)
    rows = [(n, bytes(28) + n.to_bytes(4), leaf, b'{"n":%d}' % n) for n, leaf in enumerate(leaves)]
    with engine.begin() as connection:
        store.insert(connection, rows, nodes, [], (700, b"note"))
    with engine.connect() as connection:
        at = store.subtree(store.raw(connection))
        for level, index in [(0, 0), (0, 699), (3, 5), (7, 4), (8, 0), (8, 1), (9, 0)]:
            assert at(level, index) == fold(leaves[index << level : (index + 1) << level])
        assert Frontier.at(700, at).root() == frontier.root()
        with pytest.raises(AuditRefused, match="lacks hashes"):
            at(8, 2)
    engine.dispose()


def test_a_missing_hash_is_told(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM leaf WHERE seq = 3")
    engine = store.open_log(victim / "log.db")
    with engine.connect() as connection, pytest.raises(AuditRefused):
        store.subtree(store.raw(connection))(2, 0)
    engine.dispose()
