"""Content of the help: actions here, verbs, places, in as many columns as fit on the screen.

Rules: pure; where there is room a line says what it does, not its name alone.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from textual.content import Content

from appliance.wire.admin import marks
from tui.keys import PLACES, Act, Level, Verb
from tui.text import GAP, cell, quiet

_MARKS: Final = (
    f"{marks.GOOD} good   {marks.UNDER_WAY} under way   {marks.NEEDS_A_PERSON} needs a person   "
    f"{marks.AT_REST} at rest"
)
_KEY: Final = 7
_LEAST: Final = 22
"""Cells of a column."""


def page_of(acts: Sequence[Act], verbs: Sequence[Verb], width: int, height: int) -> list[Content]:
    """The whole help.

    Args:
        height: lines; more columns are made until it fits, as far as the width goes.
    """
    most = max(1, (width + len(GAP)) // (_LEAST + len(GAP)))
    for columns in range(1, most + 1):
        each = (width - len(GAP) * (columns - 1)) // columns
        blocks = _blocks(acts, verbs, each)
        tall = -(-sum(map(len, blocks)) // columns)
        made = _columns(blocks, columns, tall)
        if max(map(len, made)) + 2 <= height or columns == most:
            rows = zip_longest(*made, fillvalue=Content(""))
            said = [_beside(row, each) for row in rows]
            return [*said, Content(""), quiet(_MARKS)]
    return []


def _blocks(acts: Sequence[Act], verbs: Sequence[Verb], width: int) -> list[list[Content]]:
    made = [_block("actions here", [(f"a {a.key}", a.words, _role(a)) for a in acts], width)]
    made.append(_block("everywhere", [(_shown(v), v.words, v.does) for v in verbs], width))
    for level in Level:
        told = [(p.key, p.title, p.finds) for p in PLACES if p.level is level]
        made.append(_block(level, told, width))
    return [block for block in made if len(block) > 1]


def _block(head: str, told: Sequence[tuple[str, str, str]], width: int) -> list[Content]:
    said = [cell(head.upper(), "bold $primary")]
    for key, words, does in told:
        line = cell(key, "bold").pad_right(_KEY - len(key)) + cell(words)
        room = width - line.cell_length - len(GAP)
        more = quiet(does) if len(does) <= room else Content("")
        said.append(line + GAP + more if more else line)
    return said


def _columns(blocks: Sequence[list[Content]], columns: int, tall: int) -> list[list[Content]]:
    """Blocks one after the other; a column ends where it is tall enough, even within a block."""
    made: list[list[Content]] = [[]]
    for block in blocks:
        for number, line in enumerate(block):
            full = len(made[-1]) >= tall or (number == 0 and len(made[-1]) + 3 > tall)
            if full and len(made) < columns:
                made.append([])
            made[-1].append(line)
    return made


def _beside(row: Sequence[Content], width: int) -> Content:
    cut = [part.truncate(width, ellipsis=True, pad=True) for part in row]
    return Content(GAP).join(cut).rstrip()


def _role(act: Act) -> str:
    return "" if act.role is None else f"[{act.role}]"


def _shown(verb: Verb) -> str:
    return verb.display or verb.keys.partition(",")[0]
