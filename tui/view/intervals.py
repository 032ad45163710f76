"""A value with its interval, in words and drawn.

Rules: the scale of drawn intervals is 0 to 1 for all.
"""

from typing import Final

from textual.content import Content

from appliance.text import within
from tui.chart import interval
from tui.columns import Column
from tui.text import cell

_DRAWN: Final = 22
"""Cells of a drawn interval."""


def drawn_column(drop: int) -> Column:
    """The column of a drawn interval; its head is the scale."""
    return Column("0" + " " * (_DRAWN - 2) + "1", _DRAWN, drop=drop)


def interval_cell(low: float, value: float, high: float, *, ascii_only: bool) -> Content:
    """A value with its interval."""
    told = interval(low, value, high, _DRAWN, least=0.0, most=1.0, ascii_only=ascii_only)
    return cell(told, "$primary")


def measured(
    value: float, ends: tuple[float, float], *, ascii_only: bool
) -> tuple[str, str, Content]:
    """A value and its interval, in words and drawn: three cells."""
    low, high = ends
    drawn = interval_cell(low, value, high, ascii_only=ascii_only)
    return f"{value:.3f}", within(ends), drawn
