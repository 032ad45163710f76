"""The look."""

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from tui import theme
from tui.terminal import PALETTES


@pytest.mark.parametrize("name", theme.PALETTES)
def test_text_can_be_read_on_its_background(name: str) -> None:
    made = theme.PALETTES[name]
    assert made.background is not None and made.surface is not None
    needed = 7.0 if name == "contrast" else 4.5  # WCAG 2.1, 1.4.6 and 1.4.3
    assert made.panel is not None  # below the cursor, the first line and a line to type in
    for back in (made.background, made.surface, made.panel):
        for part in ("foreground", "success", "warning", "error", "primary", "secondary"):
            colour = Color.parse(getattr(made, part))
            assert contrast(colour, Color.parse(back)) >= needed, (name, part)


@pytest.mark.parametrize("name", theme.PALETTES)
def test_frames_can_be_seen(name: str) -> None:
    made = theme.PALETTES[name]
    assert (
        contrast(Color.parse(made.variables["border-blurred"]), Color.parse(made.background or ""))
        >= 2
    )


def test_the_names_are_those_of_the_command_and_mono_has_no_colour() -> None:
    assert tuple(theme.PALETTES) == PALETTES
    for part in ("foreground", "success", "warning", "error", "primary"):
        red, green, blue = Color.parse(getattr(theme.PALETTES["mono"], part)).rgb
        assert red == green == blue


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
