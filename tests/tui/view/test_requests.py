"""The requests screen's words."""

from tests.tui.scripted import WALL, request
from tui.text import line
from tui.view import requests as view


def test_a_request_has_its_speed_and_age() -> None:
    made = view.row(request(1, started="2026-11-18T12:26:30Z", completion_tokens=50), WALL)
    said = line(*made).plain
    assert len(made) == len(view.COLUMNS)
    for words in ("app-1", "+ running", "pump", "5.0", "10 s", "interactive", "req-1"):
        assert words in said, words
    assert "~ queued" in line(*view.row(request(1, queued=True), WALL)).plain


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    made = view.row(request(1, started="2031-01-01T00:00:00Z"), WALL)
    assert "0 s" in line(*made).plain and "-" in line(*made).plain


def test_how_many_there_are_and_are_shown() -> None:
    many = [request(n, queued=n % 2 == 0) for n in range(4)]
    assert view.summary(many, 4).plain == "4 requests  2 waiting"
    assert view.summary(many, 1).plain.endswith("1 shown")
    shown = "\n".join(row.plain for row in view.detail(many[3], WALL, 80))
    assert "seq 3" in shown
