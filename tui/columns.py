"""Aligned columns of text.

Rules: every cell is `Content` before it is laid out, so a text can be neither markup nor wider than
its column; where there is no room, columns go, the least important first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from tui.text import GAP, Cell, cell

_LONGEST: Final = 200


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        width: cells on the screen; 0 takes what the others leave (one column must), at most
            `most` where that is given, and others go before it has fewer than `least`.
        right: numbers stand to the right.
        drop: where there is no room, the column with the highest goes first; 0 always stays.
    """

    title: str
    width: int
    right: bool = False
    drop: int = 0
    least: int = 12
    most: int = 0


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
