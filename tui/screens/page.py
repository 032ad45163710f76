"""Common base of every screen.

Rules: a screen asks one question with each poll and keeps the last answer; what it shows when the
server is gone is that answer; a key that changes something is there only for those who may.
"""

from typing import Any, ClassVar

from textual.containers import Vertical
from textual.message import Message

from appliance.errors import ApplianceError
from appliance.types import Role
from tui.change import Change
from tui.desk import Desk
from tui.link import Question


class Page(Vertical):
    """A screen; `DIGIT` switches to it."""

    DIGIT: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    NEEDS: ClassVar[dict[str, Role]] = {}
    """Actions that change something, and the role that they take."""
    WITHOUT_SERVER: ClassVar[frozenset[str]] = frozenset()
    """Those that can be done while no server runs."""

    class Begin(Message):
        """The person wants to make a change."""

        def __init__(self, change: Change) -> None:
            super().__init__()
            self.change = change

    class Asked(Message):
        """The question is another one now: poll at once."""

    class Said(Message):
        """Something for the flash line."""

        def __init__(self, words: str, *, failed: bool = False) -> None:
            super().__init__()
            self.words, self.failed = words, failed

    def __init__(self, desk: Desk) -> None:
        super().__init__(id=f"page-{self.TITLE.lower()}", classes="page")
        self.desk = desk
        self.told = False

    def hear(self, topic: str, answer: Any) -> None:
        """Take an answer; from the first one on that is no error, something is known."""
        self.told = self.told or not isinstance(answer, ApplianceError)
        self.take(topic, answer)

    @property
    def known(self) -> bool:
        """True if what is shown, even if it is nothing, is what there is."""
        return self.told

    @property
    def unknown(self) -> str:
        """Text in place of unknown data."""
        return "Not known yet." if self.desk.link.error is None else "Not known: no server answers."

    def question(self) -> Question | None:
        """Question for each poll while this screen is in front."""
        return None

    def take(self, topic: str, answer: Any) -> None:
        """The answer to the question, or the error."""

    def draw(self) -> None:
        """Draw the current state; called after each poll and as time passes."""

    def enter(self) -> None:
        """The screen is in front now."""
        for widget in self.query("Rows").results():
            self.screen.set_focus(widget)
            return

    def back(self) -> bool:
        """Escape: undo the last narrowing; whether there was one."""
        return False

    def begin(self, change: Change) -> None:
        """Ask the person about a change, and make it."""
        self.post_message(self.Begin(change))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what this person may not do, and dim what cannot be done now."""
        needed = self.NEEDS.get(action)
        if needed is None:
            return True
        return self.desk.may(needed, without_server=action in self.WITHOUT_SERVER)
