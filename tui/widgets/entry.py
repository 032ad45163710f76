"""A line to type in.

Rules: typed or pasted text loses controls and invisible characters; the cursor does not blink,
since blinking sends bytes; nothing is hidden. Keys have their effect in the order in which they
came, also over a slow line.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from textual import events
from textual.app import App
from textual.widgets import Input

_EDITS: Final[dict[str, Callable[[Input], object]]] = {
    "backspace": Input.action_delete_left, "delete": Input.action_delete_right,
    "ctrl+d": Input.action_delete_right, "ctrl+u": Input.action_delete_left_all,
    "ctrl+k": Input.action_delete_right_all, "ctrl+w": Input.action_delete_left_word,
    "left": Input.action_cursor_left, "right": Input.action_cursor_right,
    "home": Input.action_home, "ctrl+a": Input.action_home,
    "end": Input.action_end, "ctrl+e": Input.action_end,
}  # fmt: skip


class EntryLine(Input):
    """A line to type in.

    Args:
        help: shown while it is empty.
        entered: called when enter was pressed.
        choices: for up and down.
    """

    def __init__(
        self,
        value: str = "",
        *,
        name: str = "",
        help: str = "",
        entered: Callable[[], object] = lambda: None,
        choices: Sequence[str] = (),
    ) -> None:
        super().__init__(value, placeholder=help, id=name or None, select_on_focus=False)
        self.cursor_blink = False
        self._entered, self._choices = entered, list(choices)

    def validate_value(self, value: str) -> str:
        return "".join(character for character in value if character.isprintable())

    def typed(self, event: events.Key) -> bool:
        """Take a key before the next one is looked at; false where it was not for this line.

        Messages between widgets would let a text overtake the enter before it.
        """
        if event.key == "enter":
            self._entered()
        elif event.key in ("up", "down") and self._choices:
            self._choose(1 if event.key == "down" else -1)
        elif event.key in _EDITS:
            _EDITS[event.key](self)
        elif event.is_printable and event.character is not None:
            if self.selection.is_empty:
                self.insert_text_at_cursor(event.character)
            else:
                self.replace(event.character, *self.selection)
        else:
            return False
        return True

    def _choose(self, step: int) -> None:
        known = self._choices.index(self.value) if self.value in self._choices else None
        at = (0 if step > 0 else -1) if known is None else (known + step) % len(self._choices)
        self.value = self._choices[at]
        self.action_end()


class Pressed(Protocol):
    """A screen that takes keys at once."""

    def pressed(self, event: events.Key) -> bool:
        """Take a key; false where it was not for this screen."""


class Typing(App[None]):
    """A program whose lines, menus and screens take keys in the order in which they come."""

    async def on_event(self, event: events.Event) -> None:
        """A key has its effect before the next one is looked at, and by no message."""
        if isinstance(event, events.Key) and not event.is_forwarded and self.app_focus:
            line, screen = self.focused, self.screen
            if isinstance(line, EntryLine):
                if line.typed(event):
                    return
            elif (
                hasattr(screen, "pressed") and cast("Pressed", screen).pressed(event)
            ) or await self._check_bindings(event.key):
                return
        await super().on_event(event)
