"""Charts and bars out of characters.

Rules: pure; every character of the basic set is ASCII; equal values draw equal characters, so that
an idle appliance sends nothing; before the first value the chart shows that value.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from textual.content import Content

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:|"
_BRAILLE: Final = ((0x02, 0x47), (0x10, 0xB8))
"""Dots of a line and of a whole column, in the left and in the right half of a cell."""
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Each dot of a cell: those of the left and of the right half, from above."""


def chart(
    values: Sequence[float], width: int, height: int, top: float, *, ascii_only: bool
) -> list[str]:
    """A column chart of the newest values, right-aligned, highest line first; sizes in cells."""
    glyphs = _ASCII if ascii_only else _EIGHTHS if height > 1 else _EIGHTHS[:-1]
    steps = len(glyphs) - 1
    shown = list(values[-width:])
    shown = [shown[0] if shown else 0.0] * (width - len(shown)) + shown
    filled = [_level(value, top, height * steps) for value in shown]
    return [
        "".join(glyphs[max(0, min(steps, level - row * steps))] for level in filled)
        for row in reversed(range(height))
    ]


def bar(part: float, whole: float, width: int, *, ascii_only: bool) -> Content:
    """Draw the used share of something."""
    full, empty = "#." if ascii_only else "█░"
    share = 0.0 if whole <= 0 else max(0.0, min(1.0, part / whole))
    cells = round(share * width)
    if part > 0 and cells == 0:
        cells = 1  # something is more than nothing
    return Content.styled(full * cells + empty * (width - cells), "$primary")


def scale(values: Sequence[float], least: float, *, finer: bool = False) -> float:
    """A top that holds every value and rarely changes; `finer` has more tops, for a large chart."""
    highest = max([least, *values])
    step = 1.0
    while step < highest:
        step *= 10.0
    parts = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0) if finer else (0.1, 0.2, 0.5, 1.0)
    return next(step * part for part in parts if step * part >= highest)


def _level(value: float, top: float, most: int) -> int:
    if value <= 0 or top <= 0:
        return 0
    return max(1, round(min(1.0, value / top) * most))


def interval(
    low: float,
    value: float,
    high: float,
    width: int,
    *,
    least: float,
    most: float,
    ascii_only: bool,
) -> str:
    """On a scale from `least` to `most`, clamped; `width` in cells."""
    steps = width if ascii_only else 2 * width
    start, at, end = (_step(x, least, most, steps) for x in (low, value, high))
    if ascii_only:
        return "".join("O" if n == at else "-" if start <= n <= end else " " for n in range(steps))
    drawn = []
    for cell in range(width):
        dots = 0
        for half, (line, column) in enumerate(_BRAILLE):
            place = 2 * cell + half
            dots |= column if place == at else line if start <= place <= end else 0
        drawn.append(chr(0x2800 + dots) if dots else " ")
    return "".join(drawn)


def _step(value: float, least: float, most: float, steps: int) -> int:
    share = (value - least) / (most - least) if most > least else 0.0
    return max(0, min(steps - 1, int(share * steps)))


def plot(
    line: Sequence[tuple[float, float]],
    marks: Sequence[tuple[float, float]],
    width: int,
    height: int,
    *,
    ascii_only: bool,
) -> list[str]:
    """A line through points by rising x, and marks (`o`) over it, on the scale of both; the highest
    line first. Sizes in cells; a cell has two by four dots of braille, or ASCII.
    """
    every = [*line, *marks]
    if not every:
        return [" " * width] * height
    across, down = (1, 1) if ascii_only else (2, 4)
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)

    def column(x: float, steps: int) -> int:
        return _step(x, left, right, steps)

    def row(y: float, steps: int) -> int:
        return steps - 1 - _step(y, low, high, steps)

    dots = _line([(column(x, width * across), row(y, height * down)) for x, y in line])
    cells = [[0] * width for _ in range(height)]
    for dot, above in dots:
        cells[above // down][dot // across] |= _DOTS[dot % across][above % down]
    drawn = [[_cell(cell, ascii_only=ascii_only) for cell in one] for one in cells]
    for x, y in marks:
        drawn[row(y, height)][column(x, width)] = "o"
    return ["".join(one) for one in drawn]


def _cell(dots: int, *, ascii_only: bool) -> str:
    if not dots:
        return " "
    return "." if ascii_only else chr(0x2800 + dots)


def _line(points: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    found = set(points[:1])
    for (x, y), (to_x, to_y) in pairwise(points):
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        found |= {
            (round(x + (to_x - x) * n / steps), round(y + (to_y - y) * n / steps))
            for n in range(steps + 1)
        }
    return found


def over_time(
    values: Sequence[float | None],
    width: int,
    height: int,
    ends: tuple[str, str],
    label: Callable[[float], str],
    *,
    least: float = 0.0,
    ascii_only: bool,
) -> list[str]:
    """A filled chart of the whole width with an axis, its unit, and the time at both ends.

    Args:
        values: the oldest first, evenly apart; None leaves a gap.
        width, height: in cells, the axes among them.
        ends: the times at the left and the right end.
        label: a value with its unit, for the axis.
        least: the top is never lower.
    """
    top = scale([value for value in values if value is not None], least, finer=True)
    told = [label(top), label(top / 2), label(0)]
    margin = max(map(len, told))
    room, lines = max(4, width - margin - 2), max(2, height - 2)
    drawn = _filled(values, room, lines, top, ascii_only=ascii_only)
    marks = {0: told[0], lines // 2: told[1]} if lines > 3 else {0: told[0]}
    tick, rule, corner = ("|", "-", "+") if ascii_only else ("┤", "─", "└")
    bare = "|" if ascii_only else "│"
    said = [
        f"{marks.get(n, ''):>{margin}} {tick if n in marks else bare}{row}"
        for n, row in enumerate(drawn)
    ]
    said.append(f"{told[2]:>{margin}} {corner}{rule * room}")
    gap = max(1, room - len(ends[0]) - len(ends[1]))
    return [*said, f"{'':>{margin}}  {ends[0]}{' ' * gap}{ends[1]}"]


def _filled(
    values: Sequence[float | None], width: int, height: int, top: float, *, ascii_only: bool
) -> list[str]:
    across, down = (1, 1) if ascii_only else (2, 4)
    steps = width * across
    shown = [_mean_of(values, at, steps) for at in range(steps)]
    heights = [0 if v is None else _level(v, top, height * down) for v in shown]
    rows = []
    for row in range(height):
        cells = []
        for cell in range(width):
            dots = 0
            for half in range(across):
                full = heights[cell * across + half] - (height - 1 - row) * down
                for above in range(down):
                    if full >= down - above:
                        dots |= _DOTS[half][above]
            cells.append(" " if not dots else "#" if ascii_only else chr(0x2800 + dots))
        rows.append("".join(cells))
    return rows


def _mean_of(values: Sequence[float | None], at: int, steps: int) -> float | None:
    first = at * len(values) // steps
    last = max(first + 1, (at + 1) * len(values) // steps)
    found = [value for value in values[first:last] if value is not None]
    return sum(found) / len(found) if found else None


_BIG: Final = {
    "0": ("█▀█", "█ █", "▀▀▀"), "1": ("▀█ ", " █ ", "▀▀▀"), "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"), "4": ("█ █", "▀▀█", "  ▀"), "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"), "7": ("▀▀█", "  █", "  ▀"), "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"), ".": (" ", " ", "▀"), "-": ("  ", "▀▀", "  "),
}  # fmt: skip


def large(number: str) -> list[str]:
    """A number three lines tall, in half blocks."""
    glyphs = [_BIG[sign] for sign in number if sign in _BIG]
    return [" ".join(glyph[row] for glyph in glyphs) for row in range(3)]
