"""Labelling one item after the other: what it says, the labels, and one key for each.

Rules: blind: what another person or a model said is not asked for; a label is sent once, when the
person enters it, and can be given again until both raters have finished; leaving loses nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from appliance.errors import ApplianceError
from appliance.wire.admin import labels as wire
from appliance.wire.admin.labels import LabelDifferences, LabelNext, LabelSet
from tui.background import background
from tui.desk import Desk
from tui.text import Cell, alarm, cell, line, lines, quiet
from tui.view import labels as view
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class LabellingScreen(ModalScreen[None]):
    """One person at one queue; `together` the two raters settle their differences."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back"),
        Binding("left_square_bracket", "before", "Item before", key_display="["),
    ]

    def __init__(self, desk: Desk, queue: str, *, together: bool) -> None:
        super().__init__()
        self._desk, self._queue, self._together = desk, queue, together
        self._head, self._item = Part("labelling-head"), Part("labelling-item")
        self._rows: Rows[str] = Rows("choices", view.CHOICES, str, self._choice, "nothing to label")
        self._shown: LabelNext | None = None
        self._labelled: list[LabelNext] = []
        self._differences: LabelDifferences | None = None
        self._waits = False

    def compose(self) -> ComposeResult:
        with Vertical(id="whole") as box:
            box.border_title = "LABEL"
            yield self._head
            with VerticalScroll(id="labelled-text", can_focus=False):
                yield self._item
            yield self._rows
        yield KeyLine()

    def on_mount(self) -> None:
        self.set_focus(self._rows)
        self._next()

    def on_resize(self) -> None:
        self._draw()

    @property
    def _labels(self) -> list[str]:
        if self._together:
            return self._differences.labels if self._differences else []
        return self._shown.labels if self._shown else []

    def _choice(self, label: str) -> Sequence[Cell]:
        return view.choice(label, self._labels.index(label) + 1)

    def _next(self) -> None:
        at = wire.LABEL_DIFFERENCES if self._together else wire.LABEL_NEXT
        self._send(lambda: self._desk.client.call(at, name=self._queue))

    def _send(self, work: Callable[[], object]) -> None:
        self._waits = True
        background(work, partial(self.call_later, self._came))

    def _came(self, found: object) -> None:
        self._waits = False
        if isinstance(found, ApplianceError):
            said = [alarm(f"{found.code}: {found.message}"), quiet(found.hint)]
            self._head.say(lines(said))
            return
        if isinstance(found, LabelNext):
            self._shown = found
        elif isinstance(found, LabelDifferences):
            self._differences = found
        else:  # a label was kept
            self._next()
            return
        self._rows.show([])
        self._rows.show(self._labels if self._current() is not None else [])
        self._rows.move_to(0)
        self._draw()

    def _current(self) -> str | None:
        if self._together:
            pairs = self._differences.differences if self._differences else []
            return pairs[0].item if pairs else None
        return self._shown.item if self._shown else None

    def _draw(self) -> None:
        width = max(20, self.app.size.width - 6)
        if self._together and self._differences is not None:
            found = self._differences
            if not found.differences:
                self._head.say(line("No differences are left."))
                self._item.say(lines([]))
                return
            pair = found.differences[0]
            self._head.say(
                lines([view.said(pair, found.raters), quiet(f"{len(found.differences)} left")])
            )
            self._item.say(lines(view.item(pair.input, width)))
        elif self._shown is not None:
            shown = self._shown
            self._head.say(view.place(shown.rater, shown.done, shown.total))
            done = [cell("You have labelled all that is yours.", "bold")]
            self._item.say(lines(view.item(shown.input, width) if shown.item else done))

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        message.stop()
        item, label = self._current(), self._rows.current
        if item is None or label is None or self._waits:
            return
        if self._shown is not None and not self._together:
            self._labelled.append(self._shown)

        def keep() -> object:
            # Made here, so that a server's text that no request may carry is told as a refusal.
            wanted = LabelSet.of(item=item, label=label, together=self._together)
            return self._desk.client.call(wire.LABEL_SET, wanted, name=self._queue)

        self._send(keep)

    def on_key(self, event: events.Key) -> None:
        if event.key.isdigit() and self.focused is self._rows:
            event.stop()
            number = int(event.key)
            if 1 <= number <= len(self._labels):
                self._rows.move_to(number - 1)

    def action_before(self) -> None:
        if self._labelled and not self._waits and not self._together:
            self._shown = self._labelled.pop()
            self._rows.show(self._labels)
            self._draw()
