"""Something that a person must see before they go on: a secret, a result, a detail."""

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
    """Shows lines until a key says that they were read.

    Args:
        said: lines.
        keys: which keys end it; those of a secret are few, so that it is not lost by accident.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter", "dismiss", "Back")]

    def __init__(self, said: Iterable[Cell], *, title: str = "") -> None:
        super().__init__()
        self._said, self._title = list(said), title

    def compose(self) -> ComposeResult:
        """The lines."""
        with VerticalScroll(id="tell") as box:
            box.border_title = self._title
            yield Static(lines(self._said), markup=False)
        yield KeyLine()
