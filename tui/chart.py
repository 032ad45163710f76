"""Charts and bars out of characters.

Rules: pure; every character of the basic set is ASCII; equal values draw equal characters, so that
an appliance that rests sends nothing; what was before the first value looks like the first value.
"""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:|"


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
