"""Verifying the log, with how far it is, by the server or without one.

Rules: leaving the screen stops the work; what was found stays until the person leaves.
"""

from functools import partial

from pydantic import ValidationError
from textual.content import Content

from appliance.errors import ApplianceError, Unavailable
from appliance.wire.admin.models import AUDIT_VERIFY, Verification, VerifyRange
from tui import chart
from tui.background import background
from tui.desk import Desk
from tui.link import LinkState
from tui.screens.full_view import WholeScreen
from tui.text import alarm, cell, line, quiet
from tui.view import audit as view
from tui.view.units import count


class VerifyScreen(WholeScreen):
    """Checks every entry, link, proof and signature."""

    frame_title = "VERIFY THE AUDIT LOG"
    PART = "verification"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        by = "the server" if desk.state is LinkState.LIVE else "this host, no server runs"
        self._told: object = by
        self._left = False

    def on_mount(self) -> None:
        background(self._work, partial(self.call_later, self._hear))

    def on_unmount(self) -> None:
        self._left = True

    def _report(self, phase: str, done: int, total: int) -> None:
        if self._left:
            raise Unavailable("interrupted", "The person went on.")
        self.call_later(self._hear, (phase, done, total))

    def _work(self) -> object:
        if self.desk.state is LinkState.LIVE:
            return self.desk.client.call(AUDIT_VERIFY, VerifyRange(), report=self._report)
        document = self.desk.commands.run(
            "audit", "verify", report=self._report, refused_is_data=True
        )
        try:
            return Verification.model_validate(document)
        except ValidationError:  # it was refused before it began
            return Unavailable(document.get("code", "incompatible_server"), document["message"])

    def _hear(self, told: object) -> None:
        """Progress or findings."""
        self._told = told
        if isinstance(told, Verification):
            self.desk.verified = told.last if told.ok else None
        self.draw()

    def said(self, width: int) -> list[Content]:
        match self._told:
            case (str(phase), int(done), int(total)):
                bar = chart.bar(done, total, max(10, width - 40), ascii_only=self.desk.basic)
                return [
                    cell(f"~ {phase}", "$text-warning"),
                    line(bar, f"{count(done)} of {count(total)}"),
                ]
            case Verification() as found:
                return view.verification(found, width)
            case ApplianceError() as error:
                return [alarm(f"{error.code}: {error.message}"), quiet(error.hint), Content("")]
            case by:
                return [line(cell("~ verifying", "$text-warning"), quiet(f"by {by}"))]
