"""The few SVG elements that charts are made of, as escaped text. Pure.

Rules: colours are the classes of the page's style sheet, so that a chart follows light and dark;
every text passes the sanitiser and is escaped; every chart has a title for screen readers.
"""

from html import escape

from appliance.text import visible

LABEL_LIMIT = 60
"""Most characters of a label that a chart shows."""


def safe(text: str, limit: int = LABEL_LIMIT) -> str:
    """Text of data as markup-free, visible characters."""
    return escape(visible(text, limit=limit))


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    """Words at a point; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{_class(kind)}>{safe(words)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(kind)}/>'


def dot(x: float, y: float, kind: str, hint: str = "", radius: float = 5) -> str:
    """A filled circle, with a hint that a pointer shows."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"{_class(kind)}>{_hint(hint)}</circle>'


def box(x: float, y: float, width: float, height: float, kind: str, *, opacity: float = 1) -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f'{_class(kind)} fill-opacity="{opacity:.3f}"/>'
    )


def path(points: list[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{steps}"{_class(kind)}/>'


def drawing(width: float, height: float, title: str, parts: list[str]) -> str:
    """A whole chart of so many pixels; it shrinks with the page."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img"'
        f' aria-label="{safe(title, 200)}">{"".join(parts)}</svg>'
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _hint(words: str) -> str:
    return f"<title>{safe(words, 200)}</title>" if words else ""
