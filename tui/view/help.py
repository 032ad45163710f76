"""The help: actions here, verbs, places, in as many columns as fit on the screen.

Rules: with room, a line says what its key does, not its name alone; otherwise keys and names follow
each other in as few lines as they take, so that no key is below the fold.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

from textual.content import Content

from appliance.wire.admin import marks
from tui.keys import PLACES, Act, Level, Verb
from tui.text import GAP, cell, line, quiet

_BETWEEN: Final = "   "
_MARKS: Final = _BETWEEN.join((
    f"{marks.GOOD} good", f"{marks.UNDER_WAY} under way", f"{marks.NEEDS_A_PERSON} needs a person",
    f"{marks.AT_REST} at rest",
))  # fmt: skip
_Told: TypeAlias = "tuple[str, str, str]"
_KEY: Final = 7
_LEAST: Final = 22
"""Cells of a column."""


def page_of(acts: Sequence[Act], verbs: Sequence[Verb], width: int, height: int) -> list[Content]:
    """The whole help; more columns are made until it fits in `height` lines, if they can be."""
    told = _told(acts, verbs)
    most = max(1, (width + len(GAP)) // (_LEAST + len(GAP)))
    for columns in range(1, most + 1):
        each = (width - len(GAP) * (columns - 1)) // columns
        blocks = [_block(head, keys, each) for head, keys in told]
        tall = -(-sum(map(len, blocks)) // columns)
        made = _columns(blocks, columns, tall)
        if max(map(len, made)) + 2 <= height:
            rows = zip_longest(*made, fillvalue=Content(""))
            said = [_beside(row, each) for row in rows]
            return [*said, Content(""), quiet(_MARKS)]
    marks_said = [quiet(part) for part in _MARKS.split(_BETWEEN)]
    flowing = [part for head, keys in told for part in _flowing(head, keys, width)]
    return [*flowing, *_packed(marks_said, width)]


def _told(acts: Sequence[Act], verbs: Sequence[Verb]) -> list[tuple[str, list[_Told]]]:
    made = [("actions here", [(f"a {act.key}", act.words, _role(act)) for act in acts])]
    made.append(("everywhere", [(_shown(v), v.words, v.does) for v in verbs]))
    for level in Level:
        made.append((level, [(p.key, p.title, p.finds) for p in PLACES if p.level is level]))
    return [(head.upper(), keys) for head, keys in made if keys]


def _flowing(head: str, told: Sequence[_Told], width: int) -> list[Content]:
    keys = [cell(key, "bold") + " " + cell(words) for key, words, _ in told]
    return _packed([cell(head, "bold $primary"), *keys], width)


def _packed(parts: Sequence[Content], width: int) -> list[Content]:
    said = [parts[0]]
    for part in parts[1:]:
        longer = line(said[-1], part)
        if longer.cell_length <= width:
            said[-1] = longer
        else:
            said.append(part)
    return said


def _block(head: str, told: Sequence[_Told], width: int) -> list[Content]:
    said = [cell(head, "bold $primary")]
    for key, words, does in told:
        named = cell(key, "bold").pad_right(_KEY - len(key)) + cell(words)
        room = width - named.cell_length - len(GAP)
        more = quiet(does) if len(does) <= room else Content("")
        said.append(named + GAP + more if more else named)
    return said


def _columns(blocks: Sequence[list[Content]], columns: int, tall: int) -> list[list[Content]]:
    made: list[list[Content]] = [[]]
    for block in blocks:
        for number, said in enumerate(block):
            full = len(made[-1]) >= tall or (number == 0 and len(made[-1]) + 3 > tall)
            if full and len(made) < columns:
                made.append([])
            made[-1].append(said)
    return made


def _beside(row: Sequence[Content], width: int) -> Content:
    cut = [part.truncate(width, ellipsis=True, pad=True) for part in row]
    return Content(GAP).join(cut).rstrip()


def _role(act: Act) -> str:
    return "" if act.role is None else f"[{act.role}]"


def _shown(verb: Verb) -> str:
    return verb.display or verb.keys.partition(",")[0]
