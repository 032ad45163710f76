"""Common base of every screen of the map.

Rules: a screen asks one question with each poll and keeps the last answer, also when the server is
gone; a verb that it has no use for is not bound there.
"""

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from appliance.errors import ApplianceError
from tui.desk import Desk
from tui.keys import VERBS
from tui.link import Question
from tui.screens.acting import Acting


class Page(Acting, Vertical):
    """A screen of the map, by its `TITLE`."""

    TITLE: ClassVar[str] = ""
    ALARMED: ClassVar[bool] = True
    """The worst alarm stands above it."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(verb.keys, verb.action, verb.words, show=verb.shown, key_display=verb.display)
        for verb in VERBS
        if verb.page
    ]

    class Asked(Message):
        """The question changed: poll at once."""

    class Go(Message):
        """Another place, narrowed to what these words find."""

        def __init__(self, place: str, words: str = "") -> None:
            super().__init__()
            self.place, self.words = place, words

    def __init__(self, desk: Desk) -> None:
        super().__init__(id=f"page-{self.TITLE.lower()}", classes="page")
        self.desk = desk
        self.told = False

    def hear(self, topic: str, answer: Any) -> None:
        self.told = self.told or not isinstance(answer, ApplianceError)
        self.take(topic, answer)

    @property
    def known(self) -> bool:
        """True if what is shown, even if it is nothing, is what there is."""
        return self.told

    @property
    def unknown(self) -> str:
        return "Not known yet." if self.desk.link.error is None else "Not known: no server answers."

    def question(self) -> Question | None:
        """Asked with each poll in front; `ask` runs in the poller's thread."""
        return None

    def take(self, topic: str, answer: Any) -> None:
        """Take the answer, or the error."""

    def draw(self) -> None:
        """Called after each poll and as time passes."""

    def enter(self) -> None:
        """The screen is in front now."""
        for widget in self.query("Rows").results():
            self.screen.set_focus(widget)
            return

    def narrow(self, words: str) -> None:
        """The screen before leads here."""

    def back(self) -> bool:
        """Escape: undo the last narrowing; false where there was none."""
        return False
