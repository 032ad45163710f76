"""The newest signed head of the log, as text and as a QR code to photograph."""

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from appliance.errors import ApplianceError
from appliance.wire.admin.models import AUDIT_CHECKPOINT
from tui.background import background
from tui.desk import Desk
from tui.link import LinkState
from tui.text import WHOLE, alarm, cell, lines, quiet
from tui.view.qr import advice, head, qr
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part


class CheckpointScreen(ModalScreen[None]):
    """A checkpoint."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,enter", "dismiss", "Back")]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._note = ""
        self._code, self._text = Part("qr"), Part("note")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="bare"):
            yield self._code
            yield self._text
        yield KeyLine()

    def on_mount(self) -> None:
        background(self._fetch, partial(self.call_later, self._came))

    def _fetch(self) -> str:
        if self._desk.state is LinkState.LIVE:
            return self._desk.client.call(AUDIT_CHECKPOINT).decode(errors="replace")
        return str(self._desk.commands.run("audit", "checkpoint")["note"])

    def _came(self, found: str | ApplianceError) -> None:
        if isinstance(found, ApplianceError):
            self._text.say(alarm(f"{found.code}: {found.message}"))
            return
        self._note = found
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self._note:
            return
        width, height = self.app.size.width, self.app.size.height - 1
        whole = qr(self._note, width, height - 2, ascii_only=self._desk.basic)
        short = whole or qr(head(self._note), width, height - 1, ascii_only=self._desk.basic)
        if short is None:
            self._code.say(lines(advice(str(self._desk.data))))
        else:
            self._code.say(short)
        what = "The code holds the note with its signatures."
        if whole is None:
            what = "Log, size and root; a larger terminal shows the signed note."
        said = [quiet(what)] if short is not None else []
        rows = [cell(row, limit=WHOLE) for row in self._note.rstrip("\n").split("\n")]
        self._text.say(lines([*said, Content(""), *rows]))
