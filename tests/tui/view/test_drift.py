"""Drift in words."""

from tests.tui.staging import DRIFTS
from tui.text import line
from tui.view import drift


def test_an_alarm_needs_a_person_and_says_what_to_do() -> None:
    calm, alarmed = DRIFTS["excavator-system"], DRIFTS["order-fields"]
    assert len(drift.row(calm)) == len(drift.COLUMNS)
    assert line(*drift.row(calm)).plain.startswith("excavator-system  + watching  31  47  No week")
    assert "! alarm" in line(*drift.row(alarmed)).plain
    assert drift.summary([calm, alarmed]).plain == "2 tasks watched  ! 1 alarm"
    shown = "\n".join(row.plain for row in drift.detail(alarmed, 100))
    for words in ("Label 60 requests", "+0.184", "0.0004", "blind to", "promise"):
        assert words in shown, words
