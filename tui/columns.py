"""Aligned columns of text.

Rules: every cell is `Content` before it is laid out, so a text can be neither markup nor wider than
its column; where there is no room, columns go, the least important first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never

from textual.content import Content

from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from tui.text import GAP, Cell, cell, state
from tui.view.units import clock, count, size

_LONGEST: Final = 200


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        width: cells on the screen; 0 takes what the others leave (one column must), at most
            `most` where that is given, and others go before it has fewer than `least`.
        of: what it shows of an item; without it, the cells of a row say it.
        right: numbers are to the right.
        drop: where there is no room, the column with the highest goes first; 0 always stays.
    """

    title: str
    width: int
    right: bool = False
    drop: int = 0
    least: int = 12
    most: int = 0
    of: Callable[[Any], Cell] | None = None


def listed(
    of: ListTable[Any],
    title: str,
    width: int,
    *,
    name: str = "",
    drop: int = 0,
    least: int = 12,
    most: int = 0,
    right: bool | None = None,
) -> Column:
    """A column that a command prints, too.

    Args:
        name: its title here, where that is another one.
        right: by default, where it counts something.
    """
    column = of[title]
    counts = column.kind in (ColumnKind.COUNT, ColumnKind.BYTES) if right is None else right
    return Column(name or title, width, counts, drop, least, most, partial(_shown, column))


def cells(columns: Sequence[Column], item: object, own: Mapping[str, Cell]) -> list[Cell]:
    """The row of an item.

    Args:
        own: by title, the cells that no column says by itself.
    """
    return [own[c.title] if c.of is None else c.of(item) for c in columns]


def _shown(column: ListColumn[Any], item: object) -> Cell:
    value = column.of(item)
    if value is None:
        return column.none
    match column.kind:
        case ColumnKind.STATE:
            return state(str(value))
        case ColumnKind.COUNT:
            return count(int(value))
        case ColumnKind.BYTES:
            return size(int(value))
        case ColumnKind.MOMENT:
            return clock(str(value))
        case ColumnKind.TEXT:
            return str(value) or "-"
        case _:
            assert_never(column.kind)


class Layout:
    """Columns in a width."""

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        kept = fitting(columns, width)
        fixed = sum(columns[n].width for n in kept) + len(GAP) * (len(kept) - 1)
        self._kept = kept
        self._columns = columns
        self._widths = [_width(columns[n], width - fixed) for n in kept]

    def head(self) -> Content:
        """The titles."""
        return self.row([Content.styled(column.title, "$secondary") for column in self._columns])

    def row(self, cells: Sequence[Cell]) -> Content:
        """One row; `cells` has one for every column, shown or not."""
        made = [
            _fit(cell(cells[n], limit=_LONGEST), width, self._columns[n].right)
            for n, width in zip(self._kept, self._widths, strict=True)
        ]
        return Content(GAP).join(made).rstrip()


def _width(column: Column, left: int) -> int:
    """Cells of a column, when others leave so many."""
    return column.width or max(1, min(left, column.most or left))


def fitting(columns: Sequence[Column], width: int) -> list[int]:
    """The numbers of the columns that have room."""
    kept = list(range(len(columns)))
    while sum((columns[n].width or columns[n].least) + len(GAP) for n in kept) - len(GAP) > width:
        last = max(kept, key=lambda n: columns[n].drop)
        if columns[last].drop == 0:
            break
        kept.remove(last)
    return kept


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int) -> list[Content]:
    """The head and one line for each row, no wider than `width` if the columns can be."""
    layout = Layout(columns, width)
    return [layout.head(), *map(layout.row, rows)]


def _fit(content: Content, width: int, right: bool) -> Content:
    cut = content.truncate(width, ellipsis=True)
    room = max(0, width - cut.cell_length)
    return cut.pad_left(room) if right else cut.pad_right(room)
