"""Every place, action, row and colour, found by letters of its words.

Rules: the offer comes from the model of keys and the screen in front, so it cannot be out of date;
what is not possible now is there with the reason.
"""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.columns import Column
from tui.text import cell, quiet
from tui.view.palette import Choice, ranked
from tui.widgets.entry import EntryLine
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_COLUMNS = (Column("COMMAND", 0), Column("KEY", 6), Column("", 30, drop=1))


class Palette(ModalScreen[Choice | None]):
    """Ends with the chosen command, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "Back"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._choices = choices
        self._entry = EntryLine(
            name="palette-entry", help="what do you want to do?", entered=self._take
        )
        self._rows: Rows[Choice] = Rows(
            "choices",
            _COLUMNS,
            lambda c: f"{c.action} {c.words}",
            lambda c: (
                quiet(c.words) if c.why_not else c.words,
                c.key,
                quiet(c.why_not or c.more),
            ),
            "no such command",
        )
        self._said = Part("palette-said")

    def compose(self) -> ComposeResult:
        with Vertical(id="palette"):
            yield self._entry
            yield self._rows
            yield self._said
        yield KeyLine()

    def on_mount(self) -> None:
        self._rows.show(self._choices)
        self.set_focus(self._entry)

    def on_input_changed(self, message: EntryLine.Changed) -> None:
        self._keep(message.value)

    def _keep(self, typed: str) -> None:
        self._rows.show(ranked(self._choices, typed))
        self._rows.move_to(0)

    def _take(self) -> None:
        if self._entry.value and self._rows.cursor == 0:
            self._keep(self._entry.value)
        one = self._rows.current
        if one is not None and one.why_not:
            self._said.say(cell(f"{one.words}: {one.why_not}", "$text-warning"))
        else:
            self.dismiss(one)

    def on_rows_chosen(self, _: Rows.Chosen) -> None:
        self._take()

    def action_move(self, step: int) -> None:
        self._rows.action_move(step)
