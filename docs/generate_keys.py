"""Writes docs/keys.md from the model of keys and the actions of the operator's screens.

Rules: nothing is said here that the program does not bind; `tests/tui/test_keys_doc.py` fails while
the file differs from what this makes. Run `.venv/bin/python docs/generate_keys.py` after changing a
key in `tui/`.
"""

from collections.abc import Iterable
from pathlib import Path

from tui.app import PAGES
from tui.keys import PLACES, UNDO, VERBS, Act, Level, Verb
from tui.screens.entry import EntryScreen
from tui.screens.receipt import ReceiptScreen

TARGET = Path(__file__).parent / "keys.md"
_HEAD = """\
# Keys of the operator's screens

<!-- Made by docs/generate_keys.py; change the source, not this file. -->

A letter means the same on every screen. No single letter changes anything: press `a`, then the
action's letter. It asks once, and names the request and the record in the audit log; `y` or `enter`
says yes, `esc` no. An action that is not possible says why. `?` shows the keys of the place in
front.
"""
_ACTIONS = "After `a`. In brackets: the role that the action takes."


def keys_document() -> str:
    """docs/keys.md: every place, verb and action."""
    everywhere = [(_verb(v), f"{v.words}: {v.does}") for v in VERBS]
    undo = (
        f"a {UNDO.key}",
        f"{UNDO.words}: takes back the last change, where it can be",
    )
    said = _HEAD + _section("Everywhere", [*everywhere, undo])
    for level in Level:
        keys = [(one.key, f"{one.title}: {one.finds}") for one in PLACES if one.level is level]
        said += _section(f"Places: {level}", keys)
    pages = {page.TITLE: page for page in PAGES}
    places = [(one.title, pages[one.title].ACTS) for one in PLACES]
    places += [("An audit entry", EntryScreen.ACTS), ("A receipt", ReceiptScreen.ACTS)]
    rows = [f"| {title} | {', '.join(map(_act, acts))} |" for title, acts in places if acts]
    return said + "\n".join(
        ["", "## Actions", "", _ACTIONS, "", "| place | |", "|---|---|", *rows, ""]
    )


def _act(act: Act) -> str:
    return f"`{act.key}` {act.words}" + ("" if act.role is None else f" [{act.role}]")


def _verb(verb: Verb) -> str:
    return verb.display or verb.keys.replace(",", ", ")


def _section(title: str, told: Iterable[tuple[str, str]]) -> str:
    rows = [f"| `{key}` | {words} |" for key, words in told]
    return "\n".join(["", f"## {title}", "", "| key | |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    TARGET.write_text(keys_document(), encoding="utf-8")
