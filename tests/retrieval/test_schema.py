"""The tables: made once, without an index of words, and with encrypted columns."""

from pathlib import Path

from sqlalchemy import TypeDecorator

from appliance.db import open_database
from appliance.retrieval.schema import MIGRATIONS, TEXTS


def test_what_is_deleted_is_overwritten_and_no_word_is_in_an_index(tmp_path: Path) -> None:
    database = open_database(tmp_path / "c.db", MIGRATIONS, erases=True)
    with database.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == len(MIGRATIONS)
        kept = connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
        assert not [name for name in kept if name.startswith(("terms", "postings"))]
    database.dispose()


def test_each_column_that_lies_encrypted_is_there(tmp_path: Path) -> None:
    database = open_database(tmp_path / "c.db", MIGRATIONS)
    with database.begin() as connection:
        for table in TEXTS:
            info = connection.exec_driver_sql(f"PRAGMA table_info({table.name})")
            there = {str(row[1]) for row in info}
            assert {column.name for column in table.c} <= there
            sealed = {c.name for c in table.c if isinstance(c.type, TypeDecorator)}
            assert sealed and sealed < there
    database.dispose()
