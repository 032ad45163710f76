"""The tables: made once, and the tokeniser is the one that queries are cut with."""

from pathlib import Path

from appliance.db import open_database
from appliance.retrieval.schema import MIGRATIONS
from appliance.retrieval.terms import TOKENIZER


def test_the_index_and_the_queries_have_one_tokeniser() -> None:
    assert f"tokenize='{TOKENIZER}'" in MIGRATIONS[0]


def test_what_is_deleted_is_overwritten_and_terms_leave_their_index(tmp_path: Path) -> None:
    database = open_database(tmp_path / "c.db", MIGRATIONS, erases=True)
    with database.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == len(MIGRATIONS)
        option = "SELECT v FROM terms_config WHERE k = 'secure-delete'"
        assert connection.exec_driver_sql(option).scalar_one() == 1
    database.dispose()
