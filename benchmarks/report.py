"""The results as a table and as a picture. Pure: results in, text out."""

from collections.abc import Iterator
from html import escape

from benchmarks.results import Entry, Figure, Results
from benchmarks.statistics import Summary

_WIDTH, _ROW, _LEFT, _RIGHT = 960, 22, 470, 150
_MOST = 2.0  # a bar this many times the target fills the picture


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(results: Results) -> str:
    """A table with one row per figure, and where it was measured."""
    lines = [
        "| # | model | what | ours | other | ratio or value (spread) | target | |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(entry, figure) for entry in results.entries for figure in entry.figures),
        "",
        *_origins(results),
    ]
    return "\n".join(lines) + "\n"


def _row(entry: Entry, figure: Figure) -> str:
    spread = f"{number(figure.value.median)} ({_range(figure.value)})"
    target = f"{figure.relation} {number(figure.target)}" if figure.relation else ""
    verdict = {True: "met", False: "**missed**", None: ""}[figure.met]
    cells = [
        entry.check,
        entry.model,
        figure.name,
        _measured(figure.ours, figure.unit),
        _measured(figure.other, figure.unit),
        spread,
        target,
        verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def _measured(summary: Summary | None, unit: str) -> str:
    return f"{number(summary.median)} {unit}".strip() if summary else ""


def _range(summary: Summary) -> str:
    return f"{number(summary.low)}–{number(summary.high)}"


def _origins(results: Results) -> Iterator[str]:
    for entry in results.entries:
        host = entry.machine
        yield (
            f"- {entry.check} {entry.model}: {entry.when}, commit {entry.commit}, {host['cpu']}, "
            f"{host['cores']} cores, Linux {host['kernel']}, audit log on "
            f"{host['audit_file_system']}; {entry.repeat} repetitions, {entry.seconds:.0f} s."
        )
        for side, command in entry.commands.items():
            yield f"  - {side}: `{command}`"
        for note in entry.notes:
            yield f"  - {note}"


def svg(results: Results) -> str:
    """Each target as a line, each figure as a bar up to its share of the target."""
    rows = [(e, f) for e in results.entries for f in e.figures if f.relation]
    height = (len(rows) + 2) * _ROW
    scale = (_WIDTH - _LEFT - _RIGHT) / _MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *(_bar(e, f, (i + 1) * _ROW, scale) for i, (e, f) in enumerate(rows)),
        f'<line x1="{_LEFT + scale:.0f}" y1="{_ROW - 4}" x2="{_LEFT + scale:.0f}" '
        f'y2="{height - _ROW}" stroke="#333333" stroke-dasharray="4 3"/>',
        f'<text x="{_LEFT + scale:.0f}" y="{height - 6}" text-anchor="middle">target</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def goodness(figure: Figure, value: float) -> float:
    """Times that the target is reached: above 1 is better, whatever the direction."""
    better, worse = (value, figure.target) if figure.relation == "≥" else (figure.target, value)
    return better / worse if worse > 0 else _MOST


def _bar(entry: Entry, figure: Figure, y: int, scale: float) -> str:
    low, mid, high = (
        min(_MOST, goodness(figure, v)) * scale
        for v in (figure.value.low, figure.value.median, figure.value.high)
    )
    colour = "#3a7d44" if figure.met else "#b23a48"
    label = escape(f"{entry.check} {entry.model}: {figure.name}"[:78])
    verdict = escape(f"{number(figure.value.median)} {figure.relation} {number(figure.target)}")
    return (
        f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{label}</text>'
        f'<rect x="{_LEFT}" y="{y}" width="{mid:.0f}" height="14" fill="{colour}"/>'
        f'<line x1="{_LEFT + min(low, high):.0f}" y1="{y + 7}" x2="{_LEFT + max(low, high):.0f}" '
        f'y2="{y + 7}" stroke="#111111" stroke-width="2"/>'
        f'<text x="{_LEFT + max(mid, low, high) + 8:.0f}" y="{y + 12}">{verdict}</text>'
    )
