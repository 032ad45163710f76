"""Endings, the next first."""

from tests.tui.scripted import WALL, key
from tests.tui.staging import POLICY, ROUTES
from tests.tui.view.test_tasks import certificate
from tui.text import line
from tui.view import expiry


def test_all_that_ends_is_listed_and_what_ends_within_thirty_days_is_found() -> None:
    keys = [key("a", expires="2026-11-20T00:00:00Z"), key("b"),
            key("gone", expires="2026-11-19T00:00:00Z", revoked=True)]  # fmt: skip
    void = certificate(usable=False, why="old", valid_until="2026-11-19T00:00:00Z")
    found = expiry.endings(POLICY, [certificate(), void], ROUTES, keys)
    assert [(one.kind, one.name) for one in found] == [
        ("key", "a"), ("trust", "metadata"), ("route", "licences"), ("evaluation", "t"),
    ]  # fmt: skip
    assert [one.name for one in expiry.soon(found, WALL)] == ["a", "metadata"]
    assert line(*expiry.row(found[0], WALL)).plain == "2026-11-20 00:00:00  1 d 11 h  key  a"
    assert "! expired" in line(*expiry.row(found[0], WALL + 3 * 86_400)).plain
    assert expiry.endings(None, [], [], []) == []
