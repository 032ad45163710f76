"""The result of a job as a document: fields that a newer server may have left out or changed.

Rules: pure; what is not understood is a dash, a zero or empty, and never an error; the scale of
drawn intervals is 0 to 1 for all.
"""

from collections.abc import Mapping
from typing import Any, Final

from textual.content import Content

from tui.chart import interval
from tui.columns import Column
from tui.text import cell
from tui.view.units import count

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
    found: Mapping[str, Any], name: str, *, ascii_only: bool
) -> tuple[tuple[str, str], Content]:
    """A value and its interval, in words and drawn."""
    value = number(found.get(name))
    low, high = ends(found, "interval", value)
    told = (f"{value:.3f}", f"{low:.3f} to {high:.3f}")
    return told, interval_cell(low, value, high, ascii_only=ascii_only)


def tables(found: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of documents."""
    value = found.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def inner(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A document in the document."""
    value = found.get(name)
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def text(found: Mapping[str, Any], name: str) -> str:
    """A text."""
    return str(found.get(name, "-"))


def number(value: object) -> float:
    """A number."""
    return float(value) if isinstance(value, int | float) else 0.0


def count_of(value: object) -> str:
    """A whole number, as it is shown."""
    return count(value) if isinstance(value, int) else "-"


def ends(found: Mapping[str, Any], name: str, value: float) -> tuple[float, float]:
    """Both ends of an interval; without one, the value twice."""
    told = found.get(name)
    if isinstance(told, list | tuple) and len(told) == 2:
        return number(told[0]), number(told[1])
    return value, value
