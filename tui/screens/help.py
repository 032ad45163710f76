"""Help: the keys that work now, read from the live bindings, so that it cannot be out of date.

Rules: the screen's own come first, then those of the list in front, then those that work
everywhere; keys that no screen here has a use for are left out.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, TypeAlias

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from appliance.wire.admin import marks
from tui.columns import Column, table
from tui.screens.page import Page
from tui.text import cell, lines, quiet
from tui.widgets.keys import KeyLine

_COLUMNS = (Column("KEY", 16), Column("WHAT IT DOES", 0))
_WIDTH = 52
_MARKS = (
    f"{marks.GOOD} good   {marks.UNDER_WAY} under way   {marks.NEEDS_A_PERSON} needs a person   "
    f"{marks.AT_REST} at rest"
)
THIS, LIST, EVERYWHERE = "this screen", "in the list or the text", "everywhere"
_UNUSED: Final = {
    "scroll_left", "scroll_right", "page_left", "page_right", "app.focus_next",
    "app.focus_previous", "screen.copy_text", "app.help_quit", "quit",
}  # fmt: skip
Keys: TypeAlias = Mapping[str, "list[tuple[str, str]]"]


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below.

    Args:
        keys: by where they work, key and description of each.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "dismiss", "Back")]

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """The table of keys."""
        said: list[Content] = []
        for where, keys in self._keys.items():
            head, *rows = table(_COLUMNS, keys, _WIDTH)
            said += [cell(where.upper(), "bold $primary")] if said else [head, Content("")]
            said += [*rows, Content("")]
        with VerticalScroll(id="keys"):
            yield Static(lines([*said, quiet(_MARKS)]), markup=False)
        yield KeyLine()


def live_keys(screen: Screen[object]) -> Keys:
    """Key and description of each binding that works on a screen now, by where it works."""
    named: dict[str, dict[tuple[str, str], list[str]]] = {THIS: {}, LIST: {}, EVERYWHERE: {}}
    for active in sorted(screen.active_bindings.values(), key=lambda found: not found.binding.show):
        made = active.binding
        if active.enabled and made.description and made.action not in _UNUSED:
            keys = named[_where(active)].setdefault((made.action, made.description), [])
            keys.append(_name(screen, made))
    return {
        where: [(", ".join(dict.fromkeys(keys)), what) for (_, what), keys in found.items()]
        for where, found in named.items()
        if found
    }


def _where(active: ActiveBinding) -> str:
    if isinstance(active.node, Page):
        return THIS
    return EVERYWHERE if isinstance(active.node, (App, Screen)) else LIST


def _name(screen: Screen[object], binding: Binding) -> str:
    shown = screen.app.get_key_display(binding)
    return shown if shown.isascii() else binding.key  # not every terminal has arrows
