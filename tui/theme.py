"""The look: one theme of ours, and the terminal's own colours for the basic screens."""

from typing import Final

from textual.theme import Theme

BASIC: Final = "ansi-dark"


def full() -> Theme:
    """The theme of the full screens: calm, and readable in a bright room."""
    return Theme(
        name="appliance",
        primary="#5fb3b3",
        secondary="#7a9fc4",
        accent="#5fb3b3",
        foreground="#d8dee4",
        background="#12171c",
        surface="#161c22",
        panel="#1f2830",
        success="#7fc28a",
        warning="#e0b25c",
        error="#f07a7a",
        variables={"footer-key-foreground": "#5fb3b3"},
    )
