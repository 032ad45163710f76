"""Help: the keys that work now, read from the live bindings, so that it cannot be out of date."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Static

from tui.text import Column, lines, table

_COLUMNS = (Column("KEY", 12), Column("WHAT IT DOES", 0))
_WIDTH = 40


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below.

    Args:
        keys: key and description of each.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "dismiss", "Back")]

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = list(keys)

    def compose(self) -> ComposeResult:
        """The table of keys."""
        with VerticalScroll(id="keys"):
            yield Static(lines(table(_COLUMNS, self._keys, _WIDTH)), markup=False)
        yield Footer(show_command_palette=False)


def live_keys(screen: Screen[object]) -> list[tuple[str, str]]:
    """Key and description of each binding that works on a screen now, our own first."""
    live = [
        active.binding
        for active in screen.active_bindings.values()
        if active.enabled and active.binding.description
    ]
    ranked = sorted(live, key=lambda binding: not binding.show)  # Textual hides its own
    return [(_name(screen, binding), binding.description) for binding in ranked]


def _name(screen: Screen[object], binding: Binding) -> str:
    shown = screen.app.get_key_display(binding)
    return shown if shown.isascii() else binding.key  # not every terminal has arrows
