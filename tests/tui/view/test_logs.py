"""The logs screen's words."""

from tests.tui.scripted import log_line
from tui.text import line
from tui.view import logs as view


def test_a_line_its_details_and_where_it_is_from() -> None:
    found = log_line(1, "it broke", "error", code="file_changed", request_id="req-1")
    made = view.row(found)
    assert len(made) == len(view.COLUMNS)
    assert "! error" in line(*made).plain and "file_changed" in line(*made).plain
    said = "\n".join(row.plain for row in view.detail(found, 80))
    assert "it broke" in said and "code file_changed" in said
    told = view.source("/d/log", "info", "x", following=True, live=False).plain
    assert "no server runs" in told and "with 'x'" in told and "follows" in told
