"""Charts and bars out of characters.

Rules: pure; every character of the basic set is ASCII; equal values draw equal characters, so that
an appliance that rests sends nothing; what was before the first value looks like the first value.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:|"
_BRAILLE: Final = ((0x02, 0x47), (0x10, 0xB8))
"""Dots of a line and of a whole column, in the left and in the right half of a cell."""
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Each dot of a cell: those of the left and of the right half, from above."""


def chart(
    values: Sequence[float], width: int, height: int, top: float, *, ascii_only: bool
) -> list[str]:
    """A column chart of the newest values, right-aligned; the highest line first.

    Args:
        width, height: in cells.
        top: the value of a full column.
    """
    glyphs = _ASCII if ascii_only else _EIGHTHS if height > 1 else _EIGHTHS[:-1]
    steps = len(glyphs) - 1
    shown = list(values[-width:])
    shown = [shown[0] if shown else 0.0] * (width - len(shown)) + shown
    filled = [_level(value, top, height * steps) for value in shown]
    return [
        "".join(glyphs[max(0, min(steps, level - row * steps))] for level in filled)
        for row in reversed(range(height))
    ]


def bar(part: float, whole: float, width: int, *, ascii_only: bool) -> str:
    """Draw the used share of something."""
    full, empty = "#." if ascii_only else "█░"
    share = 0.0 if whole <= 0 else max(0.0, min(1.0, part / whole))
    cells = round(share * width)
    if part > 0 and cells == 0:
        cells = 1  # something is more than nothing
    return full * cells + empty * (width - cells)


def scale(values: Sequence[float], least: float) -> float:
    """A top of 1, 2 or 5 times a power of ten that holds every value, so that it rarely changes."""
    highest = max([least, *values])
    step = 1.0
    while step < highest:
        step *= 10.0
    return next(s for s in (step / 10, step / 5, step / 2, step) if s >= highest)


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
    """A value with its interval on a scale, in half cells of braille, or in ASCII.

    Args:
        width: in cells.
        least, most: both ends of the scale; what is beyond is drawn at the end.
    """
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
    """A line through points, and marks over it, on the scale of both; the highest line first.

    The line is drawn in dots of braille, two by four in a cell, or in ASCII; a mark is an `o`.

    Args:
        line, marks: x and y of each; the line by rising x.
        width, height: in cells.
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
    """The dots from each point to the next, steep parts without a gap."""
    found = set(points[:1])
    for (x, y), (to_x, to_y) in pairwise(points):
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        found |= {
            (round(x + (to_x - x) * n / steps), round(y + (to_y - y) * n / steps))
            for n in range(steps + 1)
        }
    return found
