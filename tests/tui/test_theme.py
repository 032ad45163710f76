"""The look."""

from textual.color import Color
from textual.theme import BUILTIN_THEMES

from tui import theme


def test_text_can_be_read_on_its_background() -> None:
    made = theme.full()
    assert made.background is not None
    background = Color.parse(made.background)
    for name in ("foreground", "success", "warning", "error", "primary"):
        colour = Color.parse(getattr(made, name))
        assert contrast(colour, background) >= 4.5, name  # WCAG 2.1, 1.4.3


def test_contrast_of_black_and_white() -> None:
    assert round(contrast(Color(0, 0, 0), Color(255, 255, 255))) == 21


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.1 contrast ratio."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_the_basic_one_uses_the_colours_of_the_terminal() -> None:
    assert BUILTIN_THEMES[theme.BASIC].ansi
