"""Axes of a chart: places of values, and ticks. Pure.

Source of the steps: Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A scale from values to pixels.

    Attributes:
        low, high: values at the ends; `low < high`.
        start, end: pixels of these ends; `end < start` turns the axis round.
        log: equal ratios take equal room; then `low` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel, within the ends."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round values within the axis."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def spanning(values: list[float], start: float, end: float, *, log: bool = False) -> Axis:
    """From the nearest round value below to the nearest above.

    Raises:
        ValueError: there are no values, or a value of a log axis is not above 0.
    """
    low, high = min(values), max(values)
    if log:
        return Axis(_round_down(low * 0.999), _round_up(high * 1.002), start, end, log=True)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _step(high - low)
    return Axis(math.floor(low / step) * step, math.ceil(high / step) * step, start, end)


def plain(value: float) -> str:
    """A number of three significant digits without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


Format = Callable[[float], str]


def _step(span: float) -> float:
    """The round step that cuts a span into four to seven parts."""
    raw = span / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    return next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw * 0.999)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    values = [digit * 10.0**power for power in powers for digit in digits]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def _round_down(value: float) -> float:
    if value <= 0:
        raise ValueError(f"{value} has no place on a log axis")
    unit = 10.0 ** math.floor(math.log10(value))
    return max(unit * m for m in (1, 2, 5) if unit * m <= value * 1.001)


def _round_up(value: float) -> float:
    unit = 10.0 ** math.floor(math.log10(value))
    return min(unit * m for m in (1, 2, 5, 10) if unit * m >= value * 0.999)
