"""Text on its way to a widget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from appliance.text import visible
from tests.tui.scripted import NASTY
from tui.text import NOTE, WHOLE, alarm, cell, indented, labelled, line, lines, quiet, spread, state


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_and_markup_are_shown_as_they_are(text: str) -> None:
    shown = cell(text)
    assert shown.plain == visible(text, limit=NOTE)
    assert shown.spans == []
    for made in (state(text), alarm(text), quiet(text), line(text), lines([text])):
        assert visible(text, limit=NOTE - 2).removesuffix("…") in made.plain
    assert all(part.plain.isprintable() for part in labelled(text, text, 60))


def test_the_control_is_read_as_markup() -> None:
    assert Content.from_markup("[bold]x").spans != []


@given(st.lists(st.text(), min_size=1))
def test_a_text_cannot_make_lines_of_its_own(texts: list[str]) -> None:
    assert lines(texts).plain.count("\n") == len(texts) - 1


def test_a_state_is_a_mark_and_a_word() -> None:
    assert state("serving").plain == "+ serving"
    assert state("refused").plain == "! refused"


def test_both_ends_of_a_line_have_room() -> None:
    made = spread(Content("left " * 9), Content("right"), 20)
    assert made.cell_length == 20 and made.plain.endswith("right") and "…" in made.plain


def test_a_label_stands_once_and_the_text_beside_it() -> None:
    first, second = labelled("why", "word " * 14, 50)
    assert first.plain.startswith("why         word")
    assert second.plain.startswith(" " * 12 + "word")
    (digest,) = labelled("digest", "ab" * 32, 76)  # a digest has room on 80 columns
    assert digest.plain.endswith("ab" * 32)


def test_a_long_text_leaves_room_unless_it_is_what_one_came_to_read() -> None:
    name = "n" * 10_000
    assert cell(name).cell_length == NOTE + 1 and cell(name).plain.endswith("n…")
    assert sum(part.plain.count("n") for part in labelled("", name, 60)) == NOTE
    assert sum(part.plain.count("n") for part in labelled("", name, 60, limit=WHOLE)) == WHOLE


@given(st.text(), st.integers(20, 100))
def test_indented_text_fits(text: str, width: int) -> None:
    assert all(part.cell_length <= width for part in indented(text, width))
