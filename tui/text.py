"""Text on its way to a widget.

Rules: every string that a server, a model or a file may have brought reaches a widget through
this module, as `Content`, which is never read as markup. A plain string would be: markup that is
not well formed ends the program, and control characters would go to the terminal.
"""

from textual.content import Content

from appliance.text import visible
from appliance.wire.marks import mark

_LONGEST_CELL = 100


def cell(text: str) -> Content:
    """One line of any text, shown as it is, safe and not too long for a column."""
    return Content(visible(text, limit=_LONGEST_CELL))


def lines(*texts: str) -> Content:
    """Several lines, each of any text; long ones wrap."""
    return Content("\n".join(visible(text) for text in texts))


def state(word: str) -> Content:
    """A state: its mark and its word."""
    return cell(f"{mark(word)} {word}")
