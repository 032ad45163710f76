"""The one way to change something: actions by their letters, the reason why not, one question.

Rules: an action is offered with its letter to everybody; a person who may not, or cannot now, reads
why in the same line; several marked rows are one question and one change after the other.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.dom import DOMNode
from textual.message import Message

from tui.change import Change, joined
from tui.desk import Desk
from tui.keys import OF_SCREENS, UNDO, Act
from tui.link import LinkState
from tui.widgets.menu import Menu, MenuLine, lettered


class Acting(DOMNode):
    """A screen on which something may be done."""

    ACTS: ClassVar[tuple[Act, ...]] = ()
    desk: Desk

    class Begin(Message):
        """The person wants to make a change."""

        def __init__(self, change: Change) -> None:
            super().__init__()
            self.change = change

    class Said(Message):
        """Something for the flash line."""

        def __init__(self, words: str, *, failed: bool = False) -> None:
            super().__init__()
            self.words, self.failed = words, failed

    def chosen(self) -> Sequence[Any]:
        return ()

    def refuses(self, act: str, item: Any) -> str:
        """Why an action is not possible with an item; empty where it is."""
        return ""

    def make(self, act: str, item: Any) -> Change | None:
        """None where it has been done."""
        raise NotImplementedError

    def why_not(self, act: Act) -> str:
        """Empty where the action is possible now."""
        desk = self.desk
        may = True if act.role is None else desk.may(act.role, without_server=act.without_server)
        if may is False:
            return "this program is read-only" if desk.readonly else f"it takes the role {act.role}"
        if may is None:
            waits = desk.state is not LinkState.DOWN
            return "the data are old" if waits else "no server answers"
        if act is UNDO:
            return ""
        chosen = self.chosen() if act.item else (None,)
        if not chosen:
            return "no row is under the cursor"
        if len(chosen) > 1 and not act.many:
            return "one row at a time"
        return next((why for item in chosen if (why := self.refuses(act.name, item))), "")

    def offers(self, act: Act) -> bool:
        """This person may ever do it here."""
        return act.role is None or self.desk.may(act.role) is not False

    def begin(self, change: Change) -> None:
        self.post_message(self.Begin(change))

    def copies(self) -> Sequence[tuple[str, str]]:
        return ()

    def action_copy(self) -> None:
        def taken(text: str) -> None:
            self.app.copy_to_clipboard(text)
            self.post_message(self.Said(f"copied: {text}"))

        self.app.push_screen(Menu("COPY", lettered(self.copies()), taken))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "acts":
            return bool(self.ACTS) or self.desk.undo is not None
        if action == "copy":
            return bool(self.copies())
        if action == "write":
            return hasattr(self, "action_write") and (not self.refuses("write", None) or None)
        if action in OF_SCREENS:
            return hasattr(self, f"action_{action}")
        return True

    def action_acts(self) -> None:
        options = [
            MenuLine(act.key, act.name, act.words, "", self.why_not(act)) for act in self.ACTS
        ]
        if self.desk.undo is not None:
            title = self.desk.undo().title
            options.append(MenuLine(UNDO.key, UNDO.name, UNDO.words, title, self.why_not(UNDO)))
        chosen = len(self.chosen())
        title = f"ACTIONS on {chosen} rows" if chosen > 1 else "ACTIONS"
        self.app.push_screen(Menu(title, options, self.do))

    def do(self, name: str) -> None:
        if name == UNDO.name and self.desk.undo is not None and not self.why_not(UNDO):
            self.begin(self.desk.undo())
            return
        act = next((act for act in self.ACTS if act.name == name), None)
        if act is None or self.why_not(act):
            return
        items = self.chosen() if act.item else (None,)
        changes = [change for item in items if (change := self.make(act.name, item)) is not None]
        if changes:
            self.begin(changes[0] if len(changes) == 1 else joined(act.words, changes))
