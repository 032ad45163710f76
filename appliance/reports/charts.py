"""The charts of the reports: values in, SVG out. Pure.

Rules: an estimate is drawn with its interval or not at all; an axis of shares starts and ends where
the data need it, and its ticks say so; a chart repeats nothing that only colour tells.
"""

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from appliance.reports import svg
from appliance.reports.axes import Axis, Format, plain, spanning
from appliance.text import percent

_WIDTH = 920.0  # of the page
_LINE = 15.0  # from one line of a label to the next
_ROW = 30.0
_MOST_LEFT = 0.4 * _WIDTH  # that labels of rows may take; longer ones are broken
_CHARACTER = 7.2  # pixels that a character of a label takes, on average
_Taken: TypeAlias = tuple[float, float, float, float]
"""Where something is: left, height, width, and how near another thing may not come."""


@dataclass(frozen=True)
class ChartEstimate:
    """A named value with its interval; `low <= value <= high`.

    Attributes:
        kind: a class of the page's colours: `accent`, `good`, `bad` or `muted`.
    """

    name: str
    value: float
    low: float
    high: float
    kind: str = "accent"


@dataclass(frozen=True)
class Placed:
    """A candidate of the chart of quality against speed, in documents per second, above 0."""

    speed: float
    quality: ChartEstimate


@dataclass(frozen=True)
class Series:
    """A named line through points in the order of x.

    Attributes:
        dots: each point is drawn, too, with its value as a hint.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    kind: str = "accent"
    dots: bool = False


def intervals(
    title: str,
    rows: Sequence[ChartEstimate],
    *,
    axis_name: str,
    form: Format = percent,
    reference: float | None = None,
    reference_name: str = "",
) -> str:
    """One row for each estimate: its name, a dot and the whisker of its interval.

    Args:
        reference: a value to compare with, drawn as a dashed line.
    """
    values = [v for row in rows for v in (row.low, row.high)]
    values += [] if reference is None else [reference]
    names, left = _labels([row.name for row in rows])
    tall = [max(_ROW, _LINE * (len(words) + 1)) for words in names]
    height = sum(tall) + 64
    axis = spanning(values, left, _WIDTH - 78)
    parts = _x_axis(axis, 18, height - 42, axis_name, form)
    if reference is not None:
        at = axis.at(reference)
        parts += [svg.line(at, 18, at, height - 42, "reference")]
        parts += [svg.text(at, 12, reference_name, kind="muted", anchor="middle")]
    for number, row in enumerate(rows):
        y = 18 + sum(tall[:number]) + tall[number] / 2
        parts += [
            *_beside(left - 12, y + 4, names[number]),
            svg.line(axis.at(row.low), y, axis.at(row.high), y, f"whisker {row.kind}"),
            svg.dot(axis.at(row.value), y, row.kind, _words(row, form)),
            svg.text(_WIDTH - 70, y + 4, form(row.value)),
        ]
    return svg.drawing(_WIDTH, height, title, parts)


def quality_by_speed(title: str, rows: Sequence[Placed], *, quality_name: str) -> str:
    """Quality with its interval against documents per second, on a log axis."""
    height, right = 380.0, _WIDTH - 36
    x = spanning([row.speed for row in rows], 64, right, log=True)
    bounds = [v for row in rows for v in (row.quality.low, row.quality.high)]
    y = spanning(bounds, height - 52, 20)
    parts = _x_axis(x, 20, height - 52, "documents per second (log)", plain)
    parts += _y_axis(y, 64, right, quality_name, percent)
    dots = [(x.at(row.speed), y.at(row.quality.value)) for row in rows]
    taken = [(px - 5, py + 4, 10.0, 10.0) for px, py in dots]
    for row in sorted(rows, key=lambda row: -row.quality.value):
        px, py, kind = x.at(row.speed), y.at(row.quality.value), row.quality.kind
        low, high = y.at(row.quality.low), y.at(row.quality.high)
        hint = f"{_words(row.quality, percent)}, {plain(row.speed)}/s"
        parts += [svg.line(px, low, px, high, f"whisker {kind}"), svg.dot(px, py, kind, hint)]
        parts.append(_label(row.quality.name, (px, py), (24, height - 56), taken))
    return svg.drawing(_WIDTH, height, title, parts)


def lines(
    title: str,
    rows: Sequence[Series],
    *,
    x_name: str,
    y_name: str,
    x_form: Format = plain,
    y_form: Format = percent,
    limit: float | None = None,
    mark: tuple[str, float, float] | None = None,
) -> str:
    """Lines over a common axis, such as risk against coverage.

    Args:
        rows: one without a name belongs to the one before it.
        limit: a value of y that must not be exceeded, drawn as a dashed line.
        mark: a point to be found first: its name, x and y.
    """
    height = 340.0
    points = [point for row in rows for point in row.points] + ([mark[1:]] if mark else [])
    x, ys = spanning([at for at, _ in points], 64, _WIDTH - 24), [value for _, value in points]
    y = spanning(ys + ([] if limit is None else [limit]), height - 52, 46)
    parts = _x_axis(x, 46, height - 52, x_name, x_form)
    parts += _y_axis(y, 64, _WIDTH - 24, y_name, y_form)
    if limit is not None:
        parts.append(svg.line(64, y.at(limit), _WIDTH - 24, y.at(limit), "reference"))
    at, dash = 64.0, -1
    for row in rows:
        dash += bool(row.name)
        style = f"curve {row.kind} dash{dash % 3}"
        parts.append(svg.path([(x.at(px), y.at(py)) for px, py in row.points], style))
        for px, py in row.points if row.dots else ():
            hint = f"{row.name} {x_form(px)}: {y_form(py)}"
            parts.append(svg.dot(x.at(px), y.at(py), row.kind, hint, radius=4))
        if not row.name:
            continue
        parts += [svg.line(at, 14, at + 24, 14, style), svg.text(at + 30, 18, row.name)]
        at += 48 + _CHARACTER * len(row.name)
    if mark is not None:
        name, px, py = mark
        hint = f"{name}: {x_form(px)}, {y_form(py)}"
        parts.append(svg.dot(x.at(px), y.at(py), "good", hint, radius=7))
        drawn = [[(x.at(a), y.at(b)) for a, b in row.points] for row in rows]
        if limit is not None:
            drawn.append([(64.0, y.at(limit)), (_WIDTH - 24, y.at(limit))])
        taken = [place for points in drawn for place in _along(points)]
        parts.append(_label(name, (x.at(px), y.at(py)), (58, height - 56), taken))
    return svg.drawing(_WIDTH, height, title, parts)


def confusion(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are expected labels, columns answers."""
    names, left = _labels(labels)
    top = min(_MOST_LEFT, 34 + 0.87 * _CHARACTER * max(map(len, labels)))
    most = max(26.0, _LINE * (1 + max(map(len, names))))
    cell = min(max(64.0, most), max(most, (_WIDTH - left - 10) / len(labels)))
    ends = [cell * (n + 0.5) + _CHARACTER * len(label) / 2 for n, label in enumerate(labels)]
    width = left + max(cell * len(labels), *ends) + 10  # a slanted name ends right of its column
    height = top + cell * len(labels) + 10
    parts = [svg.text(8, 14, "expected ↓  answered →", kind="muted")]
    for number, label in enumerate(labels):
        middle = cell * (number + 0.5)
        parts += _beside(left - 8, top + middle + 4, names[number])
        turned = svg.text(0, 4, _fitting(label, (top - 20) / 0.87))
        parts.append(
            f'<g transform="translate({left + middle:.1f},{top - 8}) rotate(-60)">{turned}</g>'
        )
    for i, row in enumerate(counts):
        total = sum(row) or 1
        for j, count in enumerate(row):
            px, py = left + cell * j, top + cell * i
            kind = "cell good" if i == j else "cell bad"
            parts.append(svg.box(px, py, cell - 2, cell - 2, kind, opacity=0.3 * count / total))
            if count:
                x, y = px + cell / 2 - 1, py + cell / 2 + 3
                parts.append(svg.text(x, y, str(count), anchor="middle"))
    return svg.drawing(width, height, title, parts)


def _x_axis(axis: Axis, top: float, bottom: float, name: str, form: Format) -> list[str]:
    parts = []
    for value in axis.ticks():
        at = axis.at(value)
        parts += [
            svg.line(at, top, at, bottom, "grid"),
            svg.text(at, bottom + 16, form(value), kind="muted", anchor="middle"),
        ]
    middle = (axis.start + axis.end) / 2
    return [*parts, svg.text(middle, bottom + 34, name, kind="muted", anchor="middle")]


def _y_axis(axis: Axis, left: float, right: float, name: str, form: Format) -> list[str]:
    parts = []
    for value in axis.ticks():
        at = axis.at(value)
        parts += [
            svg.line(left, at, right, at, "grid"),
            svg.text(left - 6, at + 4, form(value), kind="muted", anchor="end"),
        ]
    return [*parts, svg.text(left, axis.end - 8, name, kind="muted")]


def _label(
    name: str, dot: tuple[float, float], within: tuple[float, float], taken: list[_Taken]
) -> str:
    """At the nearest height where it covers nothing."""
    x, y = dot
    width = _CHARACTER * min(len(name), svg.LABEL_LIMIT)
    left = x + 10 if x + 10 + width < _WIDTH else x - 10 - width
    steps = sorted(range(-40, 41), key=lambda step: (abs(step), -step))
    places = [y + 4 + 7 * step for step in steps]
    free = (
        at for at in places
        if within[0] <= at <= within[1]
        and not any(
            abs(at - b) < reach and left < a + w and a < left + width for a, b, w, reach in taken
        )
    )  # fmt: skip
    at = next(free, y + 4)
    taken.append((left, at, width, 14.0))
    return svg.text(left, at, name)


def _along(points: Sequence[tuple[float, float]]) -> list[_Taken]:
    places = []
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        steps = 1 + math.floor(max(abs(bx - ax), abs(by - ay)) / 6)
        for step in range(steps + 1):
            part = step / steps
            places.append((ax + (bx - ax) * part - 3, ay + (by - ay) * part + 4, 6.0, 10.0))
    return places


def _labels(names: Sequence[str]) -> tuple[list[list[str]], float]:
    most = math.floor((_MOST_LEFT - 16) / _CHARACTER)
    broken = [textwrap.wrap(name, most) or [""] for name in names]
    return broken, max(90.0, 16 + _CHARACTER * max(len(line) for rows in broken for line in rows))


def _beside(right: float, middle: float, words: Sequence[str]) -> list[str]:
    first = middle - _LINE * (len(words) - 1) / 2
    return [
        svg.text(right, first + _LINE * number, line, anchor="end")
        for number, line in enumerate(words)
    ]


def _fitting(name: str, pixels: float) -> str:
    most = math.floor(pixels / _CHARACTER)
    return name if len(name) <= most else name[: most - 1] + "…"


def _words(row: ChartEstimate, form: Format) -> str:
    return f"{row.name}: {form(row.value)} [{form(row.low)}, {form(row.high)}]"
