"""Every statement that proposes candidates follows an index and needs no sorting."""

from typing import Any

import pytest

from appliance.audit import indexes
from appliance.audit.segments import Log

COLUMNS = ("kind", "request_id", "key_id", "model", "app", "code")


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("column", COLUMNS)
def test_candidates_come_from_their_index_in_order(database: Any, column: str, down: bool) -> None:
    sql = "EXPLAIN QUERY PLAN " + indexes._CANDIDATES[column, down]
    (step,) = database.execute(sql, ("x", 0, 9)).fetchall()
    assert f" INDEX leaf_{column.removesuffix('_id')} ({column}=? AND rowid" in step[3]


def test_all_entries_are_candidates_of_no_condition(database: Any) -> None:
    up = [seq for (seq,) in indexes.candidates(Log.of(database), "", "", 5, 8, down=False)]
    down = [seq for (seq,) in indexes.candidates(Log.of(database), "", "", 5, 8, down=True)]
    assert (up, down) == ([5, 6, 7, 8], [8, 7, 6, 5])


def test_the_nearest_span_of_a_time(database: Any) -> None:
    database.execute("DROP TRIGGER span_no_delete")
    database.execute("DELETE FROM span")
    rows = [(0, 100, 200), (1, 150, 160), (2, 90, 400), (3, 500, 600)]
    database.executemany("INSERT INTO span VALUES (?, ?, ?)", rows)
    log = Log.of(database)
    assert indexes.spans(log) == 4
    near = indexes.span_near
    assert near(log, 0, (300, None), down=False) == 2
    assert near(log, 3, (None, 95), down=True) == 2
    assert near(log, 0, (155, 156), down=False) == 0
    assert near(log, 1, (600, 601), down=False) == 3
    assert near(log, 1, (601, None), down=False) is None
    assert near(log, 1, (401, 500), down=False) is None
