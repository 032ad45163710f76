"""The queue of people in words."""

from tests.tui.scripted import WALL
from tests.tui.staging import WAITING
from tui.text import line
from tui.view import people


def test_a_row_says_what_waits_how_long_and_until_when() -> None:
    first = WAITING[0]
    assert len(people.row(first, WALL)) == len(people.COLUMNS)
    said = line(*people.row(first, WALL)).plain
    assert said.startswith("~ waiting  3 h  12 min  licences  triage  Permission is hereby")
    assert "! over" in line(*people.row(first, WALL + 86_400)).plain
    assert people.summary(WAITING, WALL).plain == "3 items for a person  the oldest waits 12 min"
    assert people.summary([], WALL).plain == "0 items for a person"


def test_the_item_says_what_an_answer_must_be() -> None:
    shown = "\n".join(row.plain for row in people.detail(WAITING[0], WALL, 100))
    assert "mit, apache, gpl, other" in shown and "no stage is sure" in shown
    done = WAITING[0].model_copy(update={"labels": [], "actor": "anna", "answer": "mit"})
    shown = "\n".join(row.plain for row in people.detail(done, WALL, 100))
    assert "answer      a text" in shown and "mit  by anna" in shown
