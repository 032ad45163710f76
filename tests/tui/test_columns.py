"""Aligned columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.scripted import NASTY
from tui.columns import Column, Layout, fitting, order, rounded, table
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


@pytest.mark.parametrize(
    ("text", "width", "said"),
    [
        ("0.008541", 6, "0.0085"), ("11 553.25", 6, "11553"), ("1 234 567", 4, "1.2M"),
        ("-56.9", 4, "-57"), ("12.34 s", 6, "12.3 s"), ("0.0000001", 4, "####"),
        ("pump", 2, "pump"), ("8 of 40", 9, "8 of 40"),
    ],
)  # fmt: skip
def test_a_number_is_rounded_and_never_cut(text: str, width: int, said: str) -> None:
    assert rounded(text, width) == said


def test_numbers_take_the_room_that_they_need_before_texts() -> None:
    columns = [Column("WHAT", 0, least=6), Column("N", 4, right=True)]
    head, row = table(columns, [("a long text that fills", "1 234 567")], 20)
    assert row.plain.endswith("  1 234 567") and head.cell_length <= 20
    (_, narrow) = table(columns, [("a long text", "1 234 567")], 12)
    assert "\u2026" not in narrow.plain.split()[-1]


def test_no_text_is_cut_while_another_column_has_more_than_it_needs() -> None:
    columns = [Column("CODE", 22), Column("MESSAGE", 0, least=6), Column("N", 4, right=True)]
    _, row = table(columns, [("disk_low", "912 MiB of disk are free.", "3")], 44)
    assert row.plain == "disk_low     912 MiB of disk are free.     3"
    columns = [Column("APP", 0, least=6), Column("TOKENS", 9, right=True)]
    _, row = table(columns, [("line-3-assistant", "143 276")], 25)
    assert row.plain == "line-3-assistant  143 276"


def test_a_column_has_its_own_width_where_none_lacks_it() -> None:
    columns = [Column("CODE", 22), Column("MESSAGE", 0, least=6), Column("N", 4, right=True)]
    head, row = table(columns, [("disk_low", "short", "3")], 44)
    assert head.plain.index("MESSAGE") == row.plain.index("short") == 24


def test_cells_are_sorted_as_people_read_them() -> None:
    told = ["1.2 GiB", "-", "900 MiB", "1 200", "30 s", "5 min", "alpha", "0.5"]
    assert sorted(told, key=order) == [
        "0.5", "30 s", "5 min", "1 200", "900 MiB", "1.2 GiB", "alpha", "-"]  # fmt: skip
    assert order("2026-11-18 12:00")[0] == 1  # a moment is no number
