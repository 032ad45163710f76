"""A menu of one key: actions, places, columns or what to copy, each with its letter.

Rules: a letter takes its line at once, enter the one under the cursor; a line that cannot be taken
says why, and taking it says so again; escape takes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui.columns import Column
from tui.text import Cell, cell, quiet
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_COLUMNS = (Column("", 2), Column("", 14), Column("", 0, least=4))
_DIGITS = "1234567890"
_LONG = 20
"""Lines from which on a menu needs all of a small terminal."""


@dataclass(frozen=True)
class MenuLine:
    """A line of a menu; `why_not` is empty where it can be taken."""

    key: str
    name: str
    words: Cell
    more: Cell = ""
    why_not: str = ""


class Menu(ModalScreen[None]):
    """Has one line taken, or none; `taken` gets its name."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "none", "Back")]

    def __init__(
        self, title: str, options: Sequence[MenuLine], taken: Callable[[str], object]
    ) -> None:
        super().__init__()
        self._title, self._options, self._taken = title, options, taken
        self._rows: Rows[MenuLine] = Rows("options", _COLUMNS, lambda o: o.name, _cells, "nothing")
        self._said = Part("menu-said")

    def compose(self) -> ComposeResult:
        with Vertical(id="menu") as box:
            box.border_title = self._title
            box.set_class(len(self._options) > _LONG, "long")
            yield self._rows
            yield self._said
        yield KeyLine()

    def on_mount(self) -> None:
        self._rows.show(self._options)
        self.set_focus(self._rows)

    def pressed(self, event: events.Key) -> bool:
        one = next((o for o in self._options if event.character and o.key == event.character), None)
        if one is not None:
            self._take(one)
        return one is not None

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        message.stop()
        if self._rows.current is not None:
            self._take(self._rows.current)

    def _take(self, one: MenuLine) -> None:
        if one.why_not:
            self._said.say(cell(f"{one.words}: {one.why_not}", "$text-warning"))
        else:
            self.dismiss()
            self._taken(one.name)  # at once: the next key may be there already

    def action_none(self) -> None:
        self.dismiss()


def _cells(one: MenuLine) -> Sequence[Cell]:
    words = quiet(one.words) if one.why_not and isinstance(one.words, str) else one.words
    return Content.styled(one.key, "bold"), words, quiet(one.why_not) if one.why_not else one.more


def lettered(lines: Sequence[tuple[str, str]]) -> list[MenuLine]:
    """Texts and names as lines, each with its first letter, or a digit if that is taken."""
    made: list[MenuLine] = []
    for number, (words, name) in enumerate(lines):
        taken = {option.key for option in made}
        letter = next((c for c in words.lower() if c.isascii() and c.isalpha() and c not in taken),
                      _DIGITS[number % len(_DIGITS)])  # fmt: skip
        made.append(MenuLine(letter, name, words, name))
    return made
