"""Text on its way to a widget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from appliance.text import visible
from tests.tui.scripted import NASTY
from tui.text import Column, alarm, cell, fitting, indented, line, lines, spread, state, table

COLUMNS = (Column("ID", 0), Column("STATE", 8), Column("N", 4, right=True, drop=1))


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_and_markup_are_shown_as_they_are(text: str) -> None:
    shown = cell(text)
    assert shown.plain == visible(text)
    assert shown.spans == []
    for made in (state(text), alarm(text), line(text), lines([text])):
        assert visible(text)[: 2_000 - 2] in made.plain


def test_the_control_is_read_as_markup() -> None:
    assert Content.from_markup("[bold]x").spans != []


@given(st.lists(st.text(), min_size=1))
def test_a_text_cannot_make_lines_of_its_own(texts: list[str]) -> None:
    assert lines(texts).plain.count("\n") == len(texts) - 1


def test_a_state_is_a_mark_and_a_word() -> None:
    assert state("serving").plain == "+ serving"
    assert state("refused").plain == "! refused"
    assert state("unheard of").plain == "- unheard of"


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    made = [row.plain for row in table(COLUMNS, [("pump", "ok", "7"), ("漢字", "ok", "12")], 30)]
    assert made == [
        "ID              STATE        N",
        "pump            ok           7",
        "漢字            ok          12",
    ]


@given(
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=20), st.text(max_size=9))),
    st.integers(24, 120),
)
def test_no_row_is_wider_than_the_table(rows: list[tuple[str, ...]], width: int) -> None:
    made = table(COLUMNS, rows, width)
    assert len(made) == len(rows) + 1
    assert all(row.cell_length <= width for row in made)


def test_columns_go_by_their_rank_when_there_is_no_room() -> None:
    assert fitting(COLUMNS, 12 + 2 + 8 + 2 + 4) == [0, 1, 2]
    assert fitting(COLUMNS, 12 + 2 + 8 + 2 + 3) == [0, 1]
    assert fitting(COLUMNS, 1) == [0, 1]


@given(st.text(max_size=60), st.text(max_size=20), st.integers(30, 100))
def test_the_right_end_of_a_line_is_never_lost(left: str, right: str, width: int) -> None:
    made = spread(cell(left), cell(right, limit=8), width)
    assert made.plain.endswith(cell(right, limit=8).plain)
    assert made.cell_length >= width - 2


@given(st.text(max_size=300), st.integers(20, 100))
def test_indented_text_stays_inside(text: str, width: int) -> None:
    assert all(part.cell_length <= width for part in indented(text, width))
