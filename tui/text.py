"""Text on its way to a widget.

Rules: every string of a server, a model or a file reaches a widget as the `Content` that `cell`
makes of it: a plain string would be read as markup, which can end the program, and could carry
control characters. A state is a word with a mark; its colour says nothing more.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from textual.content import Content

from appliance.text import visible
from appliance.wire.admin import marks

NOTE: Final = 240
"""Characters that are shown of a text that is among others."""
WHOLE: Final = 2_000
"""Characters that are shown of a text where a person can scroll, and came to read it."""
GAP: Final = "  "
_STYLES: Final = {
    marks.GOOD: "$text-success",
    marks.UNDER_WAY: "$text-warning",
    marks.NEEDS_A_PERSON: "bold $text-error",
    marks.AT_REST: "",
}
_EXISTS: Final = frozenset({"running", "busy", "ready", "valid"})
"""States that are in order and prove nothing good: green is for what is proved."""
QUIET: Final = "$secondary"
Cell: TypeAlias = "str | Content"


def cell(text: Cell, style: str = "", *, limit: int = NOTE) -> Content:
    """Any text, on one line, as it is and safe."""
    if isinstance(text, Content):
        return text
    return Content.styled(visible(text, limit=limit), style)


def state(word: str) -> Content:
    """A state: its mark and its word."""
    sign = marks.mark(word)
    return cell(f"{sign} {word}", "" if word.lower() in _EXISTS else _STYLES[sign])


def alarm(text: str) -> Content:
    """Something that needs a person."""
    return cell(f"{marks.NEEDS_A_PERSON} {text}", _STYLES[marks.NEEDS_A_PERSON])


def quiet(text: str) -> Content:
    """Style an explanation."""
    return cell(text, QUIET)


def line(*parts: Cell) -> Content:
    """Cells beside each other."""
    return Content(GAP).join([cell(part) for part in parts])


def fitting_line(parts: Iterable[Cell], width: int) -> Content:
    """Cells beside each other; without room the last ones go, whole."""
    said = Content("")
    for part in parts:
        longer = line(said, part) if said else cell(part)
        if said and longer.cell_length > width:
            break
        said = longer
    return said.truncate(width, ellipsis=True)


def lines(parts: Iterable[Cell]) -> Content:
    """Cells below each other."""
    return Content("\n").join([cell(part) for part in parts])


def spread(left: Content, right: Content, width: int) -> Content:
    """Two contents at both ends of one line; without room the left one is cut."""
    room = max(0, width - right.cell_length - len(GAP))
    return left.truncate(room, ellipsis=True, pad=True) + GAP + right


def indented(text: str, width: int, style: str = "") -> list[Content]:
    """Any text in as many lines as it takes."""
    margin = len(GAP)
    return [
        Content(" " * margin) + part for part in cell(text, style).wrap(max(10, width - margin))
    ]


def labelled(
    label: str, text: Cell, width: int, room: int = 10, *, limit: int = NOTE
) -> list[Content]:
    """A label and next to it any text, in as many lines as it takes."""
    parts = cell(text, limit=limit).wrap(max(10, width - room - len(GAP))) or [Content("")]
    heads = [label, *[""] * (len(parts) - 1)]
    return [
        cell(head, QUIET).pad_right(max(0, room - len(head))) + GAP + part
        for head, part in zip(heads, parts, strict=True)
    ]
