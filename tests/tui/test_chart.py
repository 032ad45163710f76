"""Charts and bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.chart import bar, chart, interval, large, over_time, plot, scale


def test_the_newest_value_stands_right_and_zero_draws_nothing() -> None:
    assert chart([0, 0, 1], 5, 1, 1, ascii_only=True) == ["    |"]
    assert chart([1, 2, 4], 3, 2, 4, ascii_only=False) == ["  █", "▄██"]


def test_what_was_before_looks_like_the_first_value() -> None:
    assert chart([1, 1], 4, 1, 1, ascii_only=True) == ["||||"]
    assert chart([], 3, 1, 1, ascii_only=True) == ["   "]


@given(
    st.lists(st.floats(0, 1e9)), st.integers(1, 60), st.integers(1, 5), st.floats(0, 1e9),
    st.booleans(),
)  # fmt: skip
def test_a_chart_has_its_size_whatever_the_values(
    values: list[float], width: int, height: int, top: float, plain: bool
) -> None:
    drawn = chart(values, width, height, top, ascii_only=plain)
    assert [len(row) for row in drawn] == [width] * height
    assert not plain or all(row.isascii() for row in drawn)


@pytest.mark.parametrize(
    ("part", "whole", "drawn"),
    [(0, 10, "...."), (10, 10, "####"), (5, 10, "##.."), (1, 1_000, "#..."), (20, 10, "####"),
     (1, 0, "#...")],
)  # fmt: skip
def test_a_bar_is_never_longer_and_something_is_more_than_nothing(
    part: float, whole: float, drawn: str
) -> None:
    assert bar(part, whole, 4, ascii_only=True).plain == drawn


@given(st.lists(st.floats(0, 1e12)), st.floats(0.001, 1e6))
def test_the_top_holds_every_value_and_is_round(values: list[float], least: float) -> None:
    top = scale(values, least)
    assert top >= max([least, *values])


@pytest.mark.parametrize(
    ("low", "value", "high", "drawn"),
    [
        (0.2, 0.5, 0.8, "  ---O--- "),
        (0.0, 0.0, 0.0, "O         "),
        (1.0, 1.0, 1.0, "         O"),
        (-5.0, 0.05, 9.0, "O---------"),
    ],
)
def test_an_interval_stands_on_its_scale(low: float, value: float, high: float, drawn: str) -> None:
    assert interval(low, value, high, 10, least=0, most=1, ascii_only=True) == drawn


def test_braille_draws_half_cells() -> None:
    assert interval(0.25, 0.5, 0.75, 2, least=0, most=1, ascii_only=False) == "\u2810\u2857"


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 60), st.booleans())
def test_an_interval_has_its_width_whatever_the_values(
    low: float, value: float, high: float, width: int, plain: bool
) -> None:
    drawn = interval(low, value, high, width, least=0, most=1, ascii_only=plain)
    assert len(drawn) == width and drawn.strip()
    assert not plain or drawn.isascii()


def test_a_line_falls_from_its_first_point_to_its_last_and_marks_lie_over_it() -> None:
    assert plot([(0, 2), (1, 1), (2, 0)], [], 3, 3, ascii_only=True) == [".  ", " . ", "  ."]
    assert plot([(0, 2), (2, 0)], [(1, 2)], 3, 3, ascii_only=True) == [".o ", " . ", "  ."]
    assert plot([(0, 1), (1, 1)], [], 2, 1, ascii_only=False) == ["\u28c0\u28c0"]
    assert plot([], [], 2, 2, ascii_only=True) == ["  ", "  "]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=40).map(sorted),
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=5),
    st.integers(1, 60), st.integers(1, 12), st.booleans(),
)  # fmt: skip
def test_a_plot_has_its_size_whatever_the_values(
    line: list[tuple[float, float]],
    marks: list[tuple[float, float]],
    width: int,
    height: int,
    plain: bool,
) -> None:
    drawn = plot(line, marks, width, height, ascii_only=plain)
    assert [len(row) for row in drawn] == [width] * height
    assert not plain or all(row.isascii() for row in drawn)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=200),
    st.integers(24, 200), st.integers(4, 30), st.booleans(),
)  # fmt: skip
def test_a_chart_over_time_has_its_size_its_unit_and_both_ends(
    values: list[float | None], width: int, height: int, plain: bool
) -> None:
    drawn = over_time(
        values, width, height, ("13:02", "14:02"), lambda v: f"{v:.3g} t/s", ascii_only=plain
    )
    assert len(drawn) == height and all(len(row) <= width for row in drawn)
    assert "t/s" in drawn[0] and "0 t/s" in drawn[-2]
    assert drawn[-1].split() == ["13:02", "14:02"]
    assert not plain or all(row.isascii() for row in drawn)


def test_a_gap_is_empty_and_a_zero_is_empty_too_but_a_value_is_drawn_where_it_belongs() -> None:
    drawn = over_time(
        [None, None, 10.0, 10.0], 14, 5, ("a", "b"), lambda v: f"{v:.0f}", ascii_only=True
    )
    assert [row[4:] for row in drawn[:3]] == ["     #####"] * 3


def test_large_digits_are_three_lines_of_one_width() -> None:
    rows = large("213.5")
    assert len(rows) == 3 and len({len(row) for row in rows}) == 1
