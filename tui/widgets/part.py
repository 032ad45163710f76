"""A part of a screen that says something, drawn again only when what it says changed."""

from textual.content import Content
from textual.widgets import Static


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
        if not said.is_same(self._said):
            self._said = said
            self.display = bool(said)
            self.update(said)
