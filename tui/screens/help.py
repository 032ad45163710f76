"""Help: the keys that work now, read from the live bindings, so that it cannot be out of date."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Static

from appliance.wire import marks
from tui.columns import Column, table
from tui.text import lines, quiet

_COLUMNS = (Column("KEY", 16), Column("WHAT IT DOES", 0))
_WIDTH = 52
_MARKS = (
    f"{marks.GOOD} good   {marks.UNDER_WAY} under way   {marks.NEEDS_A_PERSON} needs a person   "
    f"{marks.AT_REST} at rest"
)


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
        said = table(_COLUMNS, self._keys, _WIDTH)
        with VerticalScroll(id="keys"):
            yield Static(lines([*said, Content(""), quiet(_MARKS)]), markup=False)
        yield Footer(show_command_palette=False, compact=True)


def live_keys(screen: Screen[object]) -> list[tuple[str, str]]:
    """Key and description of each binding that works on a screen now, our own first."""
    live = [
        active.binding
        for active in screen.active_bindings.values()
        if active.enabled and active.binding.description
    ]
    ranked = sorted(live, key=lambda binding: not binding.show)
    named: dict[tuple[str, str], list[str]] = {}
    for binding in ranked:
        named.setdefault((binding.action, binding.description), []).append(_name(screen, binding))
    return [(", ".join(dict.fromkeys(keys)), what) for (_, what), keys in named.items()]


def _name(screen: Screen[object], binding: Binding) -> str:
    shown = screen.app.get_key_display(binding)
    return shown if shown.isascii() else binding.key  # not every terminal has arrows
