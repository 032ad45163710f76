"""Aligned columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.scripted import NASTY
from tui.columns import Column, Layout, fitting, table
from tui.text import cell

COLUMNS = (Column("ID", 0), Column("STATE", 8), Column("N", 4, right=True, drop=1))


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    head, row = table(COLUMNS, [("a", "ok", "12")], 40)
    assert head.plain.index("STATE") == row.plain.index("ok")
    assert row.plain.endswith("  12") and head.plain.endswith("   N")


def test_what_is_least_important_goes_first() -> None:
    assert fitting(COLUMNS, 40) == [0, 1, 2]
    assert fitting(COLUMNS, 24) == [0, 1]
    assert fitting(COLUMNS, 3) == [0, 1]  # these always stay


@given(st.lists(st.text(), min_size=3, max_size=3), st.integers(30, 200))
def test_no_row_is_wider_than_the_room_or_longer_than_a_line(cells: list[str], width: int) -> None:
    row = Layout(COLUMNS, width).row(cells)
    assert row.cell_length <= width and "\n" not in row.plain


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_stays_in_its_column(text: str) -> None:
    (_, row) = table(COLUMNS, [(text, text, text)], 60)
    assert row.cell_length <= 60 and row.plain.isprintable() and row.spans == []


def test_a_name_takes_no_more_than_it_may_and_what_is_beside_it_stays_near() -> None:
    wide = Layout((Column("ID", 0, most=20), Column("STATE", 8)), 200)
    assert wide.row(["a", "ok"]).plain == "a" + " " * 21 + "ok"


def test_a_cell_keeps_its_style() -> None:
    (_, row) = table(COLUMNS, [(cell("x", "bold"), "", "")], 60)
    assert row.spans
