"""Charts and bars out of characters.

Rules: pure; every character of the basic set is ASCII; equal values draw equal characters, so that
an appliance that rests sends nothing; what was before the first value looks like the first value.
"""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:|"
_BRAILLE: Final = ((0x02, 0x47), (0x10, 0xB8))
"""Dots of a line and of a whole column, in the left and in the right half of a cell."""


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
    """How much of something is used."""
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
        least, most: both ends of the scale; what lies beyond is drawn at the end.
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
