"""The tables refuse change by SQL, index columns come from the body, scripts only add."""

from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest

from appliance.audit import store
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.tables import MIGRATIONS
from tests.audit.logs import Intruder, admin, copy, new_log, open_log

TABLES = ("leaf", "checkpoint", "node", "content", "span")


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
        ("request_id = 'x'", "leaf_request"),
        ("key_id = 'x'", "leaf_key"),
        ("model = 'x'", "leaf_model"),
        ("app = 'x'", "leaf_app"),
        ("code = 'x'", "leaf_code"),
        ("intent = 5", "leaf_intent"),
        ("dek = 'x'", "leaf_dek"),
    ],
)
def test_each_query_column_has_its_index(database: Any, condition: str, index: str) -> None:
    plan = database.execute(f"EXPLAIN QUERY PLAN SELECT seq FROM leaf WHERE {condition}").fetchall()
    assert f"INDEX {index} " in plan[0][3]


def spans(directory: Path) -> list[Any]:
    database = pysqlite3.dbapi2.connect(str(directory / "log.db"))
    try:
        return list(database.execute("SELECT * FROM span ORDER BY block"))
    finally:
        database.close()


def test_57_a_migration_keeps_the_root_and_adds_what_a_new_log_has(tmp_path: Path) -> None:
    newer = new_log(tmp_path / "newer")
    with open_log(newer) as log:
        for number in range(5):
            log.append(*(admin(f"{number} {n}") for n in range(500))).result()
    assert [block for block, _, _ in spans(newer)] == [0, 1]
    older = copy(newer, tmp_path / "older")
    Intruder(older).sql(
        "DROP INDEX leaf_app", "DROP INDEX leaf_code", "DROP TABLE span", "DROP TABLE handover",
        "ALTER TABLE leaf DROP COLUMN app", "ALTER TABLE leaf DROP COLUMN code",
        "CREATE INDEX leaf_time ON leaf (time_us)", "PRAGMA user_version = 1",
    )  # fmt: skip
    before = LogReader(older).checkpoint()
    store.open_log(older / "log.db").dispose()
    assert spans(older) == spans(newer)
    assert LogReader(older).checkpoint() == before
    assert LogReader(older).search(Query(kind="admin", limit=7)) == LogReader(newer).search(
        Query(kind="admin", limit=7)
    )


def test_57_no_script_touches_what_is_signed() -> None:
    for script in MIGRATIONS[1:]:
        for change in ("DROP TABLE", "UPDATE leaf", "DELETE FROM", "INTO leaf", "INTO checkpoint"):
            assert change not in script
