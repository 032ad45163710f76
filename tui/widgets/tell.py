"""Something that a person must see before they continue: a secret, a result, a detail.

Rules: what is shown only once closes on a key that ends no form, so that one enter too many does
not lose it.
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
    """Shows lines until a key says that they were read.

    Args:
        said: lines.
        saved: shown only once: it closes on S only.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,enter", "back", "Back"),
        ("S", "saved", "I have saved it"),
    ]

    def __init__(self, said: Iterable[Cell], *, title: str = "", saved: bool = False) -> None:
        super().__init__()
        self._said, self._title, self._saved = list(said), title, saved

    def compose(self) -> ComposeResult:
        """The lines."""
        with VerticalScroll(id="tell") as box:
            box.border_title = self._title
            yield Static(lines(self._said), markup=False)
        yield KeyLine()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """One of the two ways out."""
        return action == "saved" if self._saved else action != "saved"

    def action_back(self) -> None:
        """It was read."""
        self.dismiss()

    def action_saved(self) -> None:
        """It was put somewhere else."""
        self.dismiss()
