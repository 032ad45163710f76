"""A signed head of the log as a QR code, for a photograph.

Rule: instead of a code that does not fit, the command that makes a picture is shown.
"""

import segno
from textual.content import Content

from tui.text import cell, lines, quiet

_BORDER = 2
_HALF = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}


def qr(note: str, width: int, height: int, *, ascii_only: bool) -> Content | None:
    """The code, dark on light by its own colours; None where there is no room for it."""
    try:
        matrix = [[bool(module) for module in row] for row in _matrix(note)]
    except segno.DataOverflowError:  # more than any code holds
        return None
    drawn = _plain(matrix) if ascii_only else _half(matrix)
    if len(drawn) > height or max(map(len, drawn)) > width:
        return None
    return lines([cell(row, "black on white") for row in drawn])


def head(note: str) -> str:
    """Shorten a note to its log, number of entries and root; 100 bytes or so."""
    return "\n".join(note.split("\n")[:3])


def advice(data: str) -> list[Content]:
    """Explain the next step where there is no room."""
    return [
        quiet("There is no room for the code here: enlarge the terminal, or"),
        cell(f"appliance audit checkpoint --png checkpoint.png --data {data}"),
    ]


def _matrix(note: str) -> list[list[int]]:
    made = segno.make(note, micro=False, error="l", boost_error=False)
    return [list(row) for row in made.matrix_iter(border=_BORDER)]


def _half(matrix: list[list[bool]]) -> list[str]:
    """Two rows of modules in one line; the foreground is what is dark."""
    padded = matrix if len(matrix) % 2 == 0 else [*matrix, [False] * len(matrix[0])]
    return [
        "".join(_HALF[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(padded[::2], padded[1::2], strict=True)
    ]


def _plain(matrix: list[list[bool]]) -> list[str]:
    return ["".join("##" if module else "  " for module in row) for row in matrix]
