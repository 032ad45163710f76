"""One audit entry whole: its hashes, its body, and its texts for those who may read them."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from appliance.errors import ApplianceError
from appliance.types import Report, Role
from appliance.wire.admin.models import AUDIT_ENTRY, AUDIT_PROOF, Entry
from tui.background import background
from tui.change import Answers, Change, to_new_file
from tui.desk import Desk
from tui.screens.page import Page
from tui.screens.whole import WholeScreen
from tui.text import alarm
from tui.view import audit as view


class EntryScreen(WholeScreen):
    """An entry; `n` and `b` go along the log."""

    frame_title: ClassVar[str] = "AUDIT ENTRY"
    PART: ClassVar[str] = "entry"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,j,right_square_bracket", "along(-1)", "Before", show=False),
        Binding("b,k,left_square_bracket", "along(1)", "After", show=False),
        Binding("P", "proof", "Write proof"),
        Binding("D", "decrypt", "Decrypt texts"),
    ]

    class Found(Message):
        """An entry, or why it cannot be shown."""

        def __init__(self, found: object) -> None:
            super().__init__()
            self.found = found

    def __init__(self, desk: Desk, entry: Entry) -> None:
        super().__init__(desk)
        self._entry = entry

    def said(self, width: int) -> list[Content]:
        """The entry."""
        return view.detail(self._entry, width)

    def on_entry_screen_found(self, message: Found) -> None:
        """Show another entry."""
        if isinstance(message.found, Entry):
            self._entry = message.found
            self.draw()
            self.refresh_bindings()
        elif isinstance(message.found, ApplianceError):
            self.shown.say(alarm(f"{message.found.code}: {message.found.message}"))

    def action_along(self, step: int) -> None:
        """The entry before or after."""
        seq, client = self._entry.seq + step, self.desk.reader
        if seq >= 0:
            background(
                lambda: client.call(AUDIT_ENTRY, seq=seq),
                lambda found: self.post_message(self.Found(found)),
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Texts are for admins, where they were kept."""
        if action == "decrypt":
            allowed = self.desk.may(Role.ADMIN)
            return allowed if view.has_texts(self._entry) or not allowed else None
        return True

    def action_proof(self) -> None:
        """Write a proof of this entry."""
        seq, client = self._entry.seq, self.desk.client
        change = to_new_file(
            f"Write a proof of entry {seq}", AUDIT_PROOF.said(seq=seq),
            f"proof of entry {seq}", f"entry-{seq}.proof",
            lambda: client.call(AUDIT_PROOF, seq=seq), "the log",
        )  # fmt: skip
        self.post_message(Page.Begin(change))

    def action_decrypt(self) -> None:
        """Read the prompt and the answer, which is recorded."""
        seq, client = self._entry.seq, self.desk.client

        def work(_answers: Answers, _report: Report) -> Entry:
            return client.call(AUDIT_ENTRY, seq=seq, content=True)

        self.post_message(
            Page.Begin(
                Change(
                    f"Decrypt the texts of entry {seq}",
                    f"GET /admin/audit/entries/{seq}?content=true",
                    f"admin: content_read of entry {seq}, by you",
                    work,
                    explain=("Prompts and answers may hold personal data.",),
                    then=lambda found: self.post_message(self.Found(found)),
                )
            )
        )
