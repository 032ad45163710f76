"""Verifying the log, with how far it is, by the server or without one.

Rules: leaving the screen stops the work; what was found stays until the person leaves.
"""

from typing import ClassVar

from pydantic import ValidationError
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from appliance.errors import ApplianceError, Unavailable
from appliance.wire.admin.models import Verification, VerifyRange
from tui import chart
from tui.background import background
from tui.desk import Desk
from tui.link import LinkState
from tui.text import alarm, cell, line, lines, quiet
from tui.view import audit as view
from tui.view.units import count
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part


class VerifyScreen(ModalScreen[None]):
    """Checks every entry, link, proof and signature."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter", "dismiss", "Back")]

    class Told(Message):
        """How far it is, or what was found."""

        def __init__(self, told: object) -> None:
            super().__init__()
            self.told = told

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._left = False
        self._shown = Part("verification")

    def compose(self) -> ComposeResult:
        """Progress, then the result."""
        with VerticalScroll(id="whole") as box:
            box.border_title = "VERIFY THE AUDIT LOG"
            yield self._shown
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin."""
        by = "the server" if self._desk.state is LinkState.LIVE else "this host, no server runs"
        self._shown.say(line(cell("~ verifying", "$text-warning"), quiet(f"by {by}")))
        background(self._work, lambda found: self.post_message(self.Told(found)))

    def on_unmount(self) -> None:
        """Stop."""
        self._left = True

    def _report(self, phase: str, done: int, total: int) -> None:
        if self._left:
            raise Unavailable("interrupted", "The person went on.")
        self.post_message(self.Told((phase, done, total)))

    def _work(self) -> object:
        if self._desk.state is LinkState.LIVE:
            return self._desk.client.verify_log(VerifyRange(), self._report)
        document = self._desk.commands.run(
            "audit", "verify", report=self._report, refused_is_data=True
        )
        try:
            return Verification.model_validate(document)
        except ValidationError:  # it was refused before it began
            return Unavailable(document.get("code", "incompatible_server"), document["message"])

    def on_verify_screen_told(self, message: Told) -> None:
        """Say it."""
        told = message.told
        width = max(20, self.app.size.width - 4)
        if isinstance(told, tuple):
            phase, done, total = told
            bar = chart.bar(done, total, max(10, width - 40), ascii_only=self._desk.basic)
            self._shown.say(
                lines(
                    [
                        cell(f"~ {phase}", "$text-warning"),
                        line(cell(bar, "$primary"), f"{count(done)} of {count(total)}"),
                    ]
                )
            )
        elif isinstance(told, Verification):
            self._desk.verified = told.last if told.ok else None
            self._shown.say(lines(view.verification(told, width)))
        elif isinstance(told, ApplianceError):
            self._shown.say(
                lines([alarm(f"{told.code}: {told.message}"), quiet(told.hint), Content("")])
            )
