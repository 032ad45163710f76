"""A screen of one thing in full, in a frame that scrolls.

Rules: escape leads back, and so does enter where it opens nothing.
"""

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from tui.desk import Desk
from tui.screens.acting import Acting
from tui.text import Cell, lines
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part


class WholeScreen(Acting, ModalScreen[None]):
    """One thing whole; `frame_title` stands in the frame, `PART` is the id of the content.

    Attributes:
        told: the change under way or the last one.
    """

    frame_title = ""
    PART = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss", "Back"),
        Binding("q", "app.leave", "Quit", show=False),
        Binding("a", "acts", "Actions"),
        Binding("y", "copy", "Copy", show=False),
        Binding("w", "write", "Write", show=False),
        Binding("left_square_bracket", "span(-1)", "Less", key_display="[", show=False),
        Binding("right_square_bracket", "span(1)", "More", key_display="]", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.shown = Part(self.PART)
        self.told = Part("whole-told")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="whole") as box:
            box.border_title = self.frame_title
            yield self.shown
        yield self.told
        yield KeyLine()

    def on_mount(self) -> None:
        self.draw()
        self.query_one("#whole").focus()

    def on_resize(self) -> None:
        self.draw()

    def draw(self) -> None:
        self.shown.say(lines(self.said(max(20, self.app.size.width - 3))))

    def said(self, width: int) -> Iterable[Cell]:
        """In lines of this many cells."""
        raise NotImplementedError


class TextScreen(WholeScreen):
    """A text that offers nothing; `text` makes it for so many cells."""

    def __init__(
        self, desk: Desk, title: str, part: str, text: Callable[[int], Iterable[Cell]]
    ) -> None:
        self.PART = part
        super().__init__(desk)
        self.frame_title, self._made = title, text

    def said(self, width: int) -> Iterable[Cell]:
        return self._made(width)
