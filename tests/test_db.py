"""SQLite as the product opens it."""

import stat
from pathlib import Path

import pysqlite3.dbapi2
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from appliance import __version__, db
from appliance.db import (
    LENGTH,
    SealedBytes,
    SealedText,
    open_database,
    open_readonly,
    seal,
    sealed_columns,
)
from appliance.errors import StateRefused
from appliance.host.at_rest import DATABASE, MARK, PLAIN, TextCipher

pytestmark = pytest.mark.durable

FIRST = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT) STRICT;\n"
SECOND = """
CREATE TABLE log (text TEXT) STRICT;
CREATE TRIGGER copy AFTER INSERT ON note BEGIN
  INSERT INTO log VALUES (new.text);
END;
"""


def scalar(engine: Engine, sql: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(sql).scalar_one()


def test_the_pragmas_hold(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "a.db", [FIRST])
    assert scalar(engine, "PRAGMA journal_mode") == "wal"
    assert scalar(engine, "PRAGMA synchronous") == 2
    assert scalar(engine, "PRAGMA foreign_keys") == 1
    engine.dispose()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    open_database(tmp_path / "a.db", [FIRST]).dispose()
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    open_database(tmp_path / "a.db", [FIRST]).dispose()
    engine = open_database(tmp_path / "a.db", [FIRST, SECOND])
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO note (text) VALUES ('x')")
    assert scalar(engine, "SELECT text FROM log") == "x"
    assert scalar(engine, "PRAGMA user_version") == 2
    engine.dispose()


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DBAPIError):
        open_database(
            tmp_path / "a.db", [FIRST, "CREATE TABLE fine (x);\nCREATE TABLE note (x);\n"]
        )
    engine = open_database(tmp_path / "a.db", [FIRST])
    assert scalar(engine, "SELECT count(*) FROM sqlite_schema WHERE name = 'fine'") == 0
    engine.dispose()


def test_a_database_of_a_newer_release_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "__version__", "1.20.3rc1")
    open_database(tmp_path / "a.db", [FIRST, SECOND]).dispose()
    monkeypatch.undo()
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(StateRefused) as caught:
        open_database(tmp_path / "a.db", [FIRST])
    assert caught.value.code == "database_newer"
    assert caught.value.message == (
        f"a.db has schema 2, of release 1.20.3; release {__version__} knows schemas up to 1."
    )
    assert "rollback --with-snapshot" in caught.value.hint
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_database_names_the_release_that_wrote_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database(tmp_path / "a.db", [FIRST]).dispose()
    monkeypatch.setattr(db, "__version__", "9.0.0")
    open_database(tmp_path / "a.db", [FIRST]).dispose()  # nothing to add
    with pytest.raises(StateRefused, match=f"schema 1, of release {__version__}; release 9.0.0"):
        open_database(tmp_path / "a.db", [])


def test_a_newer_database_of_a_release_without_a_name(tmp_path: Path) -> None:
    database = open_database(tmp_path / "a.db", [FIRST, SECOND])
    with database.begin() as connection:
        connection.exec_driver_sql("PRAGMA application_id = 0")  # as 0.1.0 leaves it
    database.dispose()
    with pytest.raises(StateRefused, match="schema 2, of a release that is not named"):
        open_database(tmp_path / "a.db", [FIRST])


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pysqlite3.dbapi2, "sqlite_version_info", (3, 51, 2))
    with pytest.raises(StateRefused) as caught:
        open_database(tmp_path / "a.db", [FIRST])
    assert caught.value.code == "database_unusable"
    assert not (tmp_path / "a.db").exists()


def test_a_transaction_holds_the_write_lock_from_its_begin(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "a.db", [FIRST])
    other = pysqlite3.dbapi2.connect(str(tmp_path / "a.db"), timeout=0)
    with (
        engine.begin(),
        pytest.raises(pysqlite3.dbapi2.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")  # the control: it is free now
    other.close()
    engine.dispose()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_database(tmp_path / "a.db", [FIRST]).dispose()
    engine = open_readonly(tmp_path / "a.db")
    assert scalar(engine, "SELECT count(*) FROM note") == 0
    with engine.connect() as connection, pytest.raises(DBAPIError, match="readonly"):
        connection.exec_driver_sql("INSERT INTO note (text) VALUES ('x')")
    engine.dispose()


def test_the_driver_is_the_bundled_one() -> None:
    assert pysqlite3.dbapi2.sqlite_version_info >= db.OLDEST_SQLITE


def test_texts_lie_encrypted_and_are_found_by_what_they_are(tmp_path: Path) -> None:
    path, cipher = tmp_path / "a.db", TextCipher(bytes(range(32)), DATABASE)
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY, said TEXT, meant TEXT) STRICT;"
    table = sa.table("t", sa.column("id"), sa.column("said", SealedText),
                     sa.column("meant", SealedText))  # fmt: skip
    engine = open_database(path, (script,))
    old = [{"id": 1, "said": "canary", "meant": "canary"}, {"id": 2, "said": "{}", "meant": None},
           {"id": 3, "said": "\0erased", "meant": ""}]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(table), old)
    seal(engine, cipher, (table,))
    with engine.begin() as connection:
        connection.execute(sa.insert(table), {"id": 4, "said": "canary", "meant": "other"})
        assert [dict(row) for row in connection.execute(sa.select(table)).mappings()] == [
            *old, {"id": 4, "said": "canary", "meant": "other"},
        ]  # fmt: skip
        same = sa.select(table.c.id).where(table.c.said == table.c.meant)
        assert connection.execute(same).scalars().all() == [1]
        named = sa.select(table.c.id).where(table.c.said == "canary")
        assert connection.execute(named).scalars().all() == [1, 4]
        empty = sa.select(table.c.id).where((table.c.said == "{}") | (table.c.meant == ""))
        assert connection.execute(empty).scalars().all() == [2, 3]
    seal(engine, cipher, (table,))  # nothing is left to do
    engine.dispose()
    disk = b"".join(found.read_bytes() for found in tmp_path.iterdir())
    assert b"canary" not in disk and b"erased" in disk  # the control: what is no text is there
    for other in (TextCipher(b"k" * 32, DATABASE), PLAIN):
        engine = open_database(path, (script,))
        seal(engine, other, (table,))
        with engine.connect() as connection, pytest.raises(StateRefused) as caught:
            connection.execute(sa.select(table)).all()
        assert caught.value.code == "content_unavailable"
        engine.dispose()


def test_sql_as_text_has_sealed_columns_and_so_have_bytes(tmp_path: Path) -> None:
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, body BLOB) STRICT;"
    table = sa.table("t", sa.column("name", SealedText), sa.column("body", SealedBytes))
    cipher = TextCipher(bytes(32), DATABASE)
    engine = open_database(tmp_path / "a.db", (script,))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 'old', x'00ff'), (2, '', x'')")
    seal(engine, cipher, (table,))
    add = sealed_columns("INSERT INTO t VALUES (:id, :name, :body)", *table.c)
    every = f"SELECT *, {LENGTH.format('body')} AS size FROM t ORDER BY id"
    with engine.begin() as connection:
        connection.execute(add, {"id": 3, "name": "old", "body": b"new"})
        rows = connection.execute(sealed_columns(every, *table.c)).all()
        assert [tuple(row) for row in rows] == [
            (1, "old", b"\x00\xff", 2), (2, "", b"", 0), (3, "old", b"new", 3),
        ]  # fmt: skip
        same = sealed_columns("SELECT id FROM t WHERE name = :name", *table.c)
        assert connection.execute(same, {"name": "old"}).scalars().all() == [1, 3]
        raw = connection.exec_driver_sql("SELECT body FROM t ORDER BY id").scalars().all()
        assert raw[0].startswith(MARK) and raw[1] == b"" and raw[2].startswith(MARK)
    engine.dispose()
