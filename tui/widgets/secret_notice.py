"""Something that a person must keep before they go on: a secret that is shown once.

Rules: it closes on a key that ends no form, so that one enter too many does not lose it; it can be
copied.
"""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.text import Cell, lines
from tui.widgets.keys import KeyLine


class Tell(ModalScreen[None]):
    """Shows lines until a person says that they were kept; `y` copies the secret."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "I have saved it"),
        ("y", "copy", "Copy"),
    ]

    def __init__(self, said: Iterable[Cell], *, title: str, secret: str) -> None:
        super().__init__()
        self._said, self._title, self._secret = list(said), title, secret

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="tell") as box:
            box.border_title = self._title
            yield Static(lines(self._said), markup=False)
        yield KeyLine()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._secret)
