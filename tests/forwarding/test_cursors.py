"""Cursors outlive the process."""

from pathlib import Path

from appliance.db import open_database
from appliance.forwarding.cursors import TABLES, ForwardCursor, ForwardCursors


def test_a_cursor_is_kept_by_its_receiver(tmp_path: Path) -> None:
    database = open_database(tmp_path / "a.db", (TABLES,))
    cursors = ForwardCursors(database)
    assert cursors.read("siem") == ForwardCursor(0, b"")
    for last in (5, 9):
        cursors.write("siem", ForwardCursor(last, bytes([last])))
    cursors.write("other", ForwardCursor(2, b"x"))
    database.dispose()
    again = open_database(tmp_path / "a.db", (TABLES,))
    assert ForwardCursors(again).read("siem") == ForwardCursor(9, b"\t")
    again.dispose()
