"""Aligned columns of text.

Rules: every cell is `Content` before it is laid out, so a text can be neither markup nor wider than
its column; without room, columns go, the least important first; a number takes the room that it
needs, then it is rounded, never cut.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never

from textual.content import Content

from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from tui.text import GAP, Cell, cell, state
from tui.view.units import clock, count, size

_LONGEST: Final = 200
_NUMBER: Final = re.compile(r"(?P<number>[+-]?\d(?:[\d \u202f,]*\d)?(?:\.\d+)?)(?P<unit>.*)")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SPACES: Final = {ord(sign): None for sign in " \u202f,"}
_STEPS: Final = ((1e3, "k"), (1e6, "M"), (1e9, "G"))
_UNITS: Final = {
    "ms": 1e-3, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "k": 1e3, "M": 1e6, "KiB": 2.0**10,
    "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        width: cells; 0 takes what the others leave (one column must), at most `most` if given;
            others go before it has fewer than `least`.
        of: what it shows of an item; without it, the cells of a row say it.
        drop: without room, the column with the highest goes first; 0 always stays.
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
    """A command's column; `right` is by default for counts."""
    column = of[title]
    counts = column.kind in (ColumnKind.COUNT, ColumnKind.BYTES) if right is None else right
    return Column(name or title, width, counts, drop, least, most, partial(_shown, column))


def cells(columns: Sequence[Column], item: object, own: Mapping[str, Cell]) -> list[Cell]:
    """`own` has, by title, the cells that no column says by itself."""
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
    """Columns in a width.

    Args:
        rows: numbers get the room that these need before any other column gets more than its own.
        sorted_by: the column that orders the rows, and whether it falls.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        width: int,
        rows: Iterable[Sequence[Cell]] = (),
        sorted_by: tuple[int, bool] | None = None,
    ) -> None:
        self._columns = columns
        self._kept = fitting(columns, width)
        self._heads = [column.title for column in columns]
        if sorted_by is not None:
            self._heads[sorted_by[0]] += "v" if sorted_by[1] else "^"
        self._widths = _widths(columns, self._kept, self._heads, list(rows), width)

    def head(self) -> Content:
        return self.row([Content.styled(title, "$secondary") for title in self._heads])

    def row(self, cells: Sequence[Cell]) -> Content:
        """`cells` has one for every column, shown or not."""
        made = [
            _fit(cell(cells[n], limit=_LONGEST), self._widths[n], self._columns[n].right)
            for n in self._kept
        ]
        return Content(GAP).join(made).rstrip()


def _widths(
    columns: Sequence[Column],
    kept: Sequence[int],
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int,
) -> Mapping[int, int]:
    """Cells of each kept column: first for numbers, then for texts, then the rest.

    Spare room of one column goes to another that lacks it before anything is cut.
    """
    needs = {
        n: max([len(heads[n]), *(cell(row[n], limit=_LONGEST).cell_length for row in rows)])
        for n in kept
    }
    made = {n: columns[n].width or min(columns[n].least, width) for n in kept}
    spare = width - sum(made.values()) - len(GAP) * (len(kept) - 1)
    fluid = [n for n in kept if not columns[n].width]
    fixed = [n for n in kept if columns[n].width]
    numbers = [n for n in fixed if columns[n].right]
    texts = [n for n in fixed if n not in numbers]
    for n in (*numbers, *fluid, *texts):
        wanted = min(needs[n], columns[n].most or needs[n]) - made[n]
        if rows and wanted > spare:  # a column beside it may have more than it needs
            for other in (*texts, *numbers, *fluid):
                air = max(0, min(made[other] - needs[other], wanted - spare))
                made[other], spare = made[other] - air, spare + air
        given = max(0, min(spare, wanted))
        made[n], spare = made[n] + given, spare - given
    for n in fluid:
        given = max(0, min(spare, (columns[n].most or width) - made[n]))
        made[n], spare = made[n] + given, spare - given
    if spare < 0 and fluid:  # even the least is too much
        made[fluid[0]] = max(1, made[fluid[0]] + spare)
    return made


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
    """The head and a line for each row."""
    made = list(rows)
    layout = Layout(columns, width, made)
    return [layout.head(), *map(layout.row, made)]


def _fit(content: Content, width: int, right: bool) -> Content:
    if right and content.cell_length > width:
        content = cell(rounded(content.plain, width))
    cut = content.truncate(width, ellipsis=True)
    room = max(0, width - cut.cell_length)
    return cut.pad_left(room) if right else cut.pad_right(room)


def rounded(text: str, width: int) -> str:
    """A number in so many cells: without its spaces, then rounded, then in thousands; never cut.

    A text that begins with no number stays; `#` says that no significant digit has room.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or len(text) <= width:
        return text
    digits, unit = found["number"].translate(_SPACES), found["unit"]
    value, decimals = float(digits), len(digits.partition(".")[2])
    tries = [f"{value:.{n}f}{unit}" for n in range(decimals, -1, -1)]
    for step, sign in _STEPS:
        if abs(value) >= step:
            tries += [f"{value / step:.{n}f}{sign}{unit}" for n in (1, 0)]
    if value and abs(value) < 1:
        tries = [one for one in tries if any(digit in one for digit in "123456789")]
    return next((one for one in tries if len(one) <= width), "#" * width)


def order(text: str) -> tuple[int, float, str]:
    """Numbers with units by size, then words, then none."""
    told = text.strip()
    if told in ("", "-"):
        return (2, 0.0, "")
    found = None if _MOMENT.match(told) else _NUMBER.match(told)
    if found is None:
        return (1, 0.0, told.lower())
    value, unit = float(found["number"].translate(_SPACES)), (found["unit"].split() or [""])[0]
    return (0, value * _UNITS.get(unit, 1.0), told)
