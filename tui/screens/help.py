"""Help: this place on one page, made of the one model of keys and the place's actions."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from tui.keys import Act, Verb
from tui.text import lines
from tui.view.help import page_of
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part


class HelpScreen(ModalScreen[None]):
    """The keys of the screen with this title: its actions for this person, and its verbs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark", "dismiss", "Back")]

    def __init__(self, title: str, acts: Sequence[Act], verbs: Sequence[Verb]) -> None:
        super().__init__()
        self._title, self._acts, self._verbs = title, acts, verbs
        self._said = Part("help-said")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="keys") as box:
            box.border_title = f"HELP: {self._title}"
            yield self._said
        yield KeyLine()

    def on_resize(self) -> None:
        width = max(20, self.app.size.width - 6)
        told = page_of(self._acts, self._verbs, width, self.app.size.height - 4)
        self._said.say(lines(told))
