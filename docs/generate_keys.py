"""Writes docs/keys.md from the bindings of the operator's screens.

Rules: nothing is said here that the program does not bind; `tests/tui/test_keys_doc.py` fails while
the file differs from what this makes. Run `.venv/bin/python docs/generate_keys.py` after changing a
binding in `tui/`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from textual.binding import Binding

from tui.app import PAGES, OperatorApp
from tui.screens.entry import EntryScreen
from tui.screens.evaluations import EvaluationScreen
from tui.screens.labelling import LabellingScreen
from tui.screens.tuning import TuningScreen
from tui.screens.whole import WholeScreen
from tui.widgets.ask import Ask
from tui.widgets.rows import Rows

TARGET = Path(__file__).parent / "keys.md"
_NAMES = {
    "slash": "/", "question_mark": "?", "colon": ":", "left_square_bracket": "[",
    "right_square_bracket": "]", "escape": "esc",
}  # fmt: skip
_WITHOUT_DIGIT = {
    "Advice": "a",
    "Collections": "o",
    "Labels": "t",
    "Incidents": "i",
    "Routes": "u",
    "Tuning": "m",
    "Upstreams": "h",
    "Start": "a host without one",
}
_HEAD = """\
# Keys of the operator's screens

<!-- Made by docs/generate_keys.py; change the source, not this file. -->

A capital makes a change: it asks first, and names the request and the record in the audit log. In
brackets: the role that it takes; people without it are not offered the key. `?` shows the keys that
work at the moment, `:` finds a command by its words.
"""


def keys_document() -> str:
    """docs/keys.md: every key of every screen."""
    parts: list[tuple[str, Any, dict[str, Any]]] = [
        ("Everywhere", OperatorApp.BINDINGS, {}),
        ("In a list", Rows.BINDINGS, {}),
    ]
    for page in PAGES:
        title = f"{page.TITLE} ({page.DIGIT or _WITHOUT_DIGIT[page.TITLE]})"
        found = [b for base in reversed(page.__mro__) for b in vars(base).get("BINDINGS", ())]
        own = [b for b in found if isinstance(b, Binding) and b not in _inherited()]
        if own:
            parts.append((title, own, page.NEEDS))
    parts += [
        ("One audit entry", _whole(EntryScreen), {}),
        ("One evaluation", _whole(EvaluationScreen), {}),
        ("Labelling", LabellingScreen.BINDINGS, {}),
        ("One tuning", _whole(TuningScreen), {}),
        ("A question", Ask.BINDINGS, {}),
    ]
    return _HEAD + "".join(_section(*part) for part in parts)


def _whole(screen: type[WholeScreen]) -> list[Any]:
    return [*WholeScreen.BINDINGS, *screen.BINDINGS]


def _inherited() -> list[Any]:
    return [b for base in PAGES[0].__mro__[2:] for b in vars(base).get("BINDINGS", ())]


def _section(title: str, bindings: Iterable[Any], needs: dict[str, Any]) -> str:
    rows = [
        f"| {keys} | {words}{f' [{needs[action]}]' if action in needs else ''} |"
        for keys, words, action in _rows(bindings)
    ]
    return "\n".join(["", f"## {title}", "", "| key | what it does |", "|---|---|", *rows]) + "\n"


def _rows(bindings: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    for made in Binding.make_bindings(bindings):
        names = [_NAMES.get(key, key) for key in made.key.split(",")]
        yield ", ".join(f"`{name}`" for name in names), made.description, made.action


if __name__ == "__main__":
    TARGET.write_text(keys_document(), encoding="utf-8")
