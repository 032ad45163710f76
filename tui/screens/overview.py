"""The overview: server, models with why they were refused, workers, log, host, alarms.

Rules: a poll that fails changes the top lines only: what was last known stays, dimmed, with its
age; a part is drawn again only when what it says changed.
"""

import time
from collections.abc import Callable
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from appliance.wire.admin import Status
from tui import view
from tui.link import Link, LinkState
from tui.text import alarm, cell, indented, line, lines, spread, table

_OLD = "old"


class Part(Static):
    """One part of the screen; a `title` makes it a section with a line above."""

    def __init__(self, name: str, title: str = "") -> None:
        super().__init__(id=name, markup=False)
        self._said = Content("")
        if title:
            self.border_title = title
            self.add_class("section")

    def say(self, said: Content) -> None:
        """Show this; what says nothing takes no room."""
        if not said.is_same(self._said):
            self._said = said
            self.display = bool(said)
            self.update(said)


class OverviewScreen(Screen[None]):
    """The operator's first screen.

    Args:
        data: the data directory, for the advice when the server is down.
        readonly: said to the person; this screen changes nothing anyway.
        clock: monotonic seconds, those of the links that it is shown.
    """

    def __init__(
        self, data: Path, *, readonly: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._data = data
        self._readonly = readonly
        self._clock = clock
        self._known = Link()
        # Held here, since a timer may fire while the screen is being taken down.
        self._top, self._trouble, self._alarms = Part("top"), Part("trouble"), Part("alarms")
        self._models, self._workers = Part("models", "MODELS"), Part("workers", "WORKERS")
        self._audit, self._host = Part("audit", "AUDIT LOG"), Part("host", "HOST")

    def compose(self) -> ComposeResult:
        """Server and connection, trouble and alarms, the sections, keys."""
        yield self._top
        yield self._trouble
        yield self._alarms
        with VerticalScroll(id="body"):
            yield from (self._models, self._workers, self._audit, self._host)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show that nothing is known yet."""
        for part in self.query(Part):
            part.display = False
        self.draw()

    def on_resize(self) -> None:
        """Use the room that there is."""
        self.draw()

    def show(self, link: Link) -> None:
        """Take what a poll brought."""
        self._known = link
        self.draw()

    def draw(self) -> None:
        """Say what is known now; to be called as time passes, too."""
        link, now = self._known, self._clock()
        known = (
            view.headline(link.status, readonly=self._readonly) if link.status else ["appliance"]
        )
        connection = line(*view.link_words(link, now)) + " "
        self._top.say(spread(Content(" ") + line(*known), connection, self.size.width))
        self._trouble.say(lines(view.trouble(link, now, str(self._data))))
        self.set_class(link.state(now) is not LinkState.LIVE, _OLD)
        if link.status is not None:
            self._draw_status(link.status)

    def _draw_status(self, status: Status) -> None:
        room = max(20, self.size.width - 3)  # padding and the scroll bar
        self._alarms.say(lines(alarm(text) for text in status.alarms))
        self._models.say(lines(_models(status, room)))
        self._workers.say(lines(_workers(status, room)))
        self._audit.say(lines(line(*parts) for parts in view.audit_lines(status)))
        self._host.say(lines(line(*parts) for parts in view.host_lines(status)))


def _models(status: Status, width: int) -> list[Content]:
    if not status.models:
        return [cell("none; bring one in with: appliance model import DIRECTORY")]
    rows = [view.model_row(model) for model in status.models]
    head, *made = table(view.MODEL_COLUMNS, [row.cells for row in rows], width)
    shown = [head]
    for content, row in zip(made, rows, strict=True):
        shown.append(content)
        if row.why:
            shown += indented(f"why: {row.why}", width)
    return shown


def _workers(status: Status, width: int) -> list[Content]:
    if not status.workers:
        return [cell("none; no model is loaded")]
    return table(view.WORKER_COLUMNS, map(view.worker_row, status.workers), width)
