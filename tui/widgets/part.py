"""A part of a screen, drawn again only when its content changed.

Rules: old data has no colour: a green word would be believed.
"""

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui.text import QUIET

OLD = "old"
"""The class of what holds old data."""


def faded(said: Content, widget: Widget) -> Content:
    """The same without its colours where a widget shows old data."""
    old = any(node.has_class(OLD) for node in widget.ancestors)
    return Content.styled(said.plain, QUIET) if old else said


class Part(Static):
    """One part of a screen; a `title` makes it a section with a line above."""

    def __init__(self, name: str, title: str = "", *, classes: str = "") -> None:
        super().__init__(id=name, markup=False, classes=classes)
        self._said = Content("")
        self.display = False
        if title:
            self.border_title = title
            self.add_class("section")

    def say(self, said: Content) -> None:
        """Show this; what says nothing takes no room."""
        said = faded(said, self)
        if not said.is_same(self._said):
            self._said = said
            self.display = bool(said)
            self.update(said)
