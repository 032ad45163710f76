"""Text on its way to a widget.

Rules: every string that a server, a model or a file may have brought reaches a widget as the
`Content` that `cell` or `table` makes of it. A plain string would be read as markup, which can
end the program, and could carry control characters to the terminal. A state is a word with a
mark; its colour says nothing more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from textual.content import Content

from appliance.text import visible
from appliance.wire import marks

_LONGEST = 2_000
_GAP: Final = "  "
_STYLES: Final = {
    marks.GOOD: "$text-success",
    marks.UNDER_WAY: "$text-warning",
    marks.NEEDS_A_PERSON: "bold $text-error",
    marks.AT_REST: "",
}
Cell: TypeAlias = "str | Content"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        width: cells on the screen; 0 takes what the others leave (one column must), and others
            go before it has fewer than `least`.
        right: numbers stand to the right.
        drop: where there is no room, the column with the highest goes first; 0 always stays.
    """

    title: str
    width: int
    right: bool = False
    drop: int = 0
    least: int = 12


def cell(text: Cell, style: str = "", *, limit: int = _LONGEST) -> Content:
    """Any text, on one line, as it is and safe; what is a cell already stays one."""
    if isinstance(text, Content):
        return text
    return Content.styled(visible(text, limit=limit), style)


def state(word: str) -> Content:
    """A state: its mark and its word."""
    sign = marks.mark(word)
    return cell(f"{sign} {word}", _STYLES[sign])


def alarm(text: str) -> Content:
    """Something that needs a person."""
    return cell(f"{marks.NEEDS_A_PERSON} {text}", _STYLES[marks.NEEDS_A_PERSON])


def line(*parts: Cell) -> Content:
    """Cells beside each other."""
    return Content(_GAP).join([cell(part) for part in parts])


def lines(parts: Iterable[Cell]) -> Content:
    """Cells below each other."""
    return Content("\n").join([cell(part) for part in parts])


def spread(left: Content, right: Content, width: int) -> Content:
    """Two contents at both ends of one line; the left one is cut where there is no room."""
    room = max(0, width - right.cell_length - len(_GAP))
    return left.truncate(room, ellipsis=True, pad=True) + _GAP + right


def indented(text: str, width: int, style: str = "") -> list[Content]:
    """Any text in as many lines as it takes, each indented."""
    margin = len(_GAP)
    return [
        Content(" " * margin) + part for part in cell(text, style).wrap(max(10, width - margin))
    ]


def fitting(columns: Sequence[Column], width: int) -> list[int]:
    """The numbers of the columns that have room."""
    kept = list(range(len(columns)))
    while sum((columns[n].width or columns[n].least) + len(_GAP) for n in kept) - len(_GAP) > width:
        last = max(kept, key=lambda n: columns[n].drop)
        if columns[last].drop == 0:
            break
        kept.remove(last)
    return kept


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int) -> list[Content]:
    """The head and one line for each row, no wider than `width` if the columns can be."""
    kept = fitting(columns, width)
    fixed = sum(columns[n].width for n in kept) + len(_GAP) * (len(kept) - 1)
    widths = [columns[n].width or max(1, width - fixed) for n in kept]
    heads = [Content.styled(column.title, "$secondary") for column in columns]
    made = []
    for row in [heads, *rows]:
        cells = [
            _fit(cell(row[n], limit=200), size, columns[n].right)
            for n, size in zip(kept, widths, strict=True)
        ]
        made.append(Content(_GAP).join(cells).rstrip())
    return made


def _fit(content: Content, width: int, right: bool) -> Content:
    cut = content.truncate(width, ellipsis=True)
    room = max(0, width - cut.cell_length)
    return cut.pad_left(room) if right else cut.pad_right(room)
