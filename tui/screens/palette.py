"""Every command that works now, found by its words.

Rules: what is on offer comes from the live bindings, so it cannot be out of date; in a basic
terminal it is ASCII like everything else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import ModalScreen

from tui.columns import Column
from tui.widgets.entry import EntryLine
from tui.widgets.keys import KeyLine
from tui.widgets.rows import Rows

_COLUMNS = (Column("COMMAND", 0), Column("KEY", 10))


@dataclass(frozen=True)
class Choice:
    """One command; `node` has its action."""

    words: str
    key: str
    action: str
    node: DOMNode


class Palette(ModalScreen[Choice | None]):
    """Ends with the chosen command, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Back"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self, choices: Iterable[Choice]) -> None:
        super().__init__()
        self._choices = sorted(choices, key=lambda choice: choice.words)
        self._entry = EntryLine(
            name="palette-entry", help="what do you want to do?", entered=self._take
        )
        self._rows: Rows[Choice] = Rows(
            "choices", _COLUMNS, lambda c: c.action, lambda c: (c.words, c.key), "no such command"
        )

    def compose(self) -> ComposeResult:
        """The words, and below them what they fit."""
        with Vertical(id="palette"):
            yield self._entry
            yield self._rows
        yield KeyLine()

    def on_mount(self) -> None:
        """Type at once."""
        self._rows.show(self._choices)
        self.set_focus(self._entry)

    def on_input_changed(self, message: EntryLine.Changed) -> None:
        """Keep what has all the words."""
        self._keep(message.value)

    def _keep(self, typed: str) -> None:
        words = typed.lower().split()
        self._rows.show(
            [c for c in self._choices if all(word in c.words.lower() for word in words)]
        )

    def _take(self) -> None:
        """Take what is under the cursor, of what the words keep now."""
        self._keep(self._entry.value)
        self.dismiss(self._rows.current)

    def on_rows_chosen(self, _: Rows.Chosen) -> None:
        """The same by a click."""
        self.dismiss(self._rows.current)

    def action_move(self, step: int) -> None:
        """Up and down while one types."""
        self._rows.action_move(step)

    def action_leave(self) -> None:
        """Do nothing."""
        self.dismiss(None)
