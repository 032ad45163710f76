"""A changed schema hides entries without a change in any row: it is found (case 23)."""

from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.segments import Segments
from appliance.audit.verification import schema
from tests.audit.logs import Intruder, found, open_log

REQUEST = "json_extract(CAST(body AS TEXT), '$.request_id')"


def edit(intruder: Intruder, old: str, new: str) -> None:
    change = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'leaf'"
    intruder.sql(change, values=(old, new), before="PRAGMA writable_schema = ON")


def test_23_a_column_that_leaves_an_entry_out(intruder: Intruder, victim: Path) -> None:
    query = Query(request_id="single-1")
    assert len(LogReader(victim).search(query).entries) == 2
    edit(intruder, REQUEST, f"nullif({REQUEST}, 'single-1')")
    intruder.sql("REINDEX leaf_request")
    assert LogReader(victim).search(query).entries == []  # what it is for
    assert found(victim) == [(0, "schema_mismatch")]
    edit(intruder, f"nullif({REQUEST}, 'single-1')", REQUEST)
    intruder.sql("REINDEX leaf_request")
    assert found(victim) == []


def test_control_without_the_comparison_nobody_could_tell(
    intruder: Intruder, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(intruder, REQUEST, f"nullif({REQUEST}, 'single-1')")
    intruder.sql("REINDEX leaf_request")
    monkeypatch.setattr(schema, "changed", lambda _log: [])
    assert found(victim) == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP TRIGGER leaf_no_update",
        "CREATE TRIGGER more AFTER INSERT ON leaf BEGIN SELECT 1; END",
        "CREATE VIEW more AS SELECT 1",
        "DROP INDEX leaf_app",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 99",
    ],
)
def test_22_a_trigger_that_is_gone_and_whatever_else(victim: Path, change: str) -> None:
    database = pysqlite3.dbapi2.connect(str(victim / "log.db"))
    database.execute(change)
    database.close()
    assert (0, "schema_mismatch") in found(victim)


def test_segments_are_compared_each(three: Path) -> None:
    def changed() -> list[tuple[int, str]]:
        with Segments(LogFiles(three)).open() as log:
            return schema.changed(log)

    assert changed() == []
    database = pysqlite3.dbapi2.connect(str(LogFiles(three).segment(1_024)))
    database.execute("DROP TRIGGER node_no_delete")
    database.close()
    assert changed() == [(1_024, "node_no_delete")]


def test_a_log_in_use_is_as_it_should_be(victim: Path) -> None:
    with open_log(victim):
        assert found(victim) == []
