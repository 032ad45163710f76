"""A line to type in.

Rules: what is typed or pasted is text: controls and invisible characters are dropped; the cursor
does not blink, since blinking sends bytes; a secret path is still a path, so nothing is hidden.
"""

from textual.widgets import Input


class EntryLine(Input):
    """A line to type in.

    Args:
        value: what is in it at first.
        help: shown while it is empty.
    """

    def __init__(self, value: str = "", *, name: str = "", help: str = "") -> None:
        super().__init__(value, placeholder=help, id=name or None, select_on_focus=False)
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        """Only what can be seen."""
        return "".join(character for character in value if character.isprintable())
