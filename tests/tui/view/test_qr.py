"""A checkpoint as a QR code."""

import pytest
import segno

from tui.view.qr import advice, head, qr

NOTE = "log.example/1\n41\nXi4cB9kfo4ZF7jxqN2o6yqkLb0y2Wm5v8rQ3uT1aZcE=\n\n— sig AAAA\n"


@pytest.mark.parametrize("plain", [False, True])
def test_the_modules_are_those_of_the_code(plain: bool) -> None:
    made = qr(NOTE, 200, 100, ascii_only=plain)
    assert made is not None
    rows = made.plain.split("\n")
    code = segno.make(NOTE, micro=False, error="l", boost_error=False)
    wanted = [[bool(m) for m in row] for row in code.matrix_iter(border=2)]
    assert _modules(rows, len(wanted), plain) == wanted
    assert not plain or made.plain.isascii()


def _modules(rows: list[str], size: int, plain: bool) -> list[list[bool]]:
    """Read the characters back."""
    if plain:
        return [[row[n : n + 2] == "##" for n in range(0, 2 * size, 2)] for row in rows]
    read = []
    for row in rows:
        read += [[c in "█▀" for c in row], [c in "█▄" for c in row]]
    return read[:size]


def test_without_room_it_says_what_to_do() -> None:
    assert qr(NOTE, 20, 20, ascii_only=False) is None
    assert qr("x" * 10_000, 5_000, 5_000, ascii_only=False) is None  # no code holds that much
    assert "checkpoint --png" in advice("/d")[1].plain


def test_the_head_is_log_size_and_root() -> None:
    assert head(NOTE).split("\n")[1] == "41" and "sig" not in head(NOTE)
    assert qr(head(NOTE), 80, 22, ascii_only=False) is not None  # it fits the smallest screen
