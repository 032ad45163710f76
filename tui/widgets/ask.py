"""The question before a change: the change, its request, its entry in the log.

Rules: nothing is changed before the person said yes here; what cannot be undone takes the name
typed; escape is no.
"""

from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.change import Change
from tui.text import alarm, cell, labelled, lines, quiet
from tui.widgets.entry import EntryLine
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part

_WIDTH = 68


class Ask(ModalScreen[dict[str, str] | None]):
    """Asks whether to make a change; ends with the answers, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "no", "No"),
        ("ctrl+y", "yes", "Yes"),
    ]

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change
        self._lines = {
            blank.name: EntryLine(
                blank.value,
                name=f"blank-{blank.name}",
                help=blank.help,
                entered=partial(self._entered, blank.name),
                choices=blank.choices,
            )
            for blank in change.blanks
        }
        self._wrong = Part("wrong")

    def compose(self) -> ComposeResult:
        change = self._change
        width = min(_WIDTH, self.app.size.width - 6)
        said: list[Content] = [cell(change.title, "bold"), Content("")]
        for part in change.explain:
            said += cell(part).wrap(width)
        said += labelled("sends", change.request, width)
        said += labelled("records", change.record, width)
        if change.lasting:
            said.append(alarm("This cannot be undone."))
        with VerticalScroll(id="ask") as box:
            box.border_subtitle = "enter next, at the end yes   esc no"  # seen however long it is
            if not self._lines:
                box.border_subtitle = "y yes   n no"
            yield Static(lines(said), markup=False)
            for blank in change.blanks:
                with Horizontal(classes="blank"):
                    of = f" (up/down: {len(blank.choices)})" if blank.choices else ""
                    yield Static(quiet(blank.label + of), markup=False, classes="label")
                    yield self._lines[blank.name]
            yield self._wrong
        yield KeyLine()

    def on_mount(self) -> None:
        if self._lines:
            self.set_focus(next(iter(self._lines.values())))

    def pressed(self, event: events.Key) -> bool:
        """Without blanks a single key answers."""
        if self._lines or event.key not in ("y", "n"):
            return False
        self.action_yes() if event.key == "y" else self.action_no()
        return True

    def _entered(self, name: str) -> None:
        order = list(self._lines)
        place = order.index(name)
        if place + 1 < len(order):
            self.set_focus(self._lines[order[place + 1]])
        else:
            self.action_yes()

    def action_yes(self) -> None:
        answers = {name: line.value.strip() for name, line in self._lines.items()}
        wrong = self._change.wrong(answers)
        if wrong:
            self._wrong.say(alarm(wrong))
        else:
            self.dismiss(answers)

    def action_no(self) -> None:
        self.dismiss(None)
