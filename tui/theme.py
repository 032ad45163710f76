"""The look: one theme of ours in four palettes, and the terminal's own colours for basic screens.

Rules: colour says a state, where you are or how much: red, somebody must act; yellow, soon; green,
proved good; the accent, the lit place, charts and bars. Monochrome has weight and marks.
"""

from typing import Final

from textual.theme import Theme

BASIC: Final = "ansi-dark"


def _palette(
    name: str, text: str, back: str, accent: str, good: str, soon: str, act: str, quiet: str,
    surface: str, panel: str, frame: str, *, dark: bool = True,
) -> Theme:  # fmt: skip
    return Theme(
        name=f"appliance-{name}",
        primary=accent,
        secondary=quiet,
        accent=accent,
        foreground=text,
        background=back,
        surface=surface,
        panel=panel,
        success=good,
        warning=soon,
        error=act,
        dark=dark,
        variables={
            "footer-key-foreground": accent, "border-blurred": frame, "text-success": good,
            "text-warning": soon, "text-error": act, "text-primary": accent,
        },
    )  # fmt: skip


PALETTES: Final = {
    "dark": _palette(
        "dark", "#d8dee4", "#12171c", "#6cb6ff", "#7fc28a", "#e0b25c", "#f07a7a", "#93a3b3",
        "#161c22", "#2a3540", "#4a5866",
    ),
    "light": _palette(
        "light", "#1f2328", "#ffffff", "#0757ad", "#116329", "#7d4e00", "#b3202c", "#505862",
        "#f6f8fa", "#dde3e9", "#8c959f", dark=False,
    ),
    "contrast": _palette(
        "contrast", "#ffffff", "#000000", "#7fdbff", "#5cff5c", "#ffe14d", "#ff9a9a", "#d0d0d0",
        "#000000", "#202020", "#808080",
    ),
    "mono": _palette(
        "mono", "#d0d0d0", "#101010", "#ffffff", "#d0d0d0", "#e8e8e8", "#ffffff", "#a8a8a8",
        "#161616", "#3a3a3a", "#606060",
    ),
}  # fmt: skip
"""By the name that a person gives."""
