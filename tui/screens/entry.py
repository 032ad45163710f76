"""One audit entry whole: its hashes, its body, and its texts for those who may read them."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen

from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.models import Entry
from tui.background import background
from tui.change import Answers, Blank, Change
from tui.command import Report
from tui.desk import Desk
from tui.screens.page import Page
from tui.text import alarm, lines
from tui.view import audit as view
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part


class EntryScreen(ModalScreen[None]):
    """An entry; `n` and `b` go along the log."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Back"),
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
        super().__init__()
        self._desk, self._entry = desk, entry
        self._shown = Part("entry")

    def compose(self) -> ComposeResult:
        """The entry."""
        with VerticalScroll(id="whole") as box:
            box.border_title = "AUDIT ENTRY"
            yield self._shown
        yield KeyLine()

    def on_mount(self) -> None:
        """Show it."""
        self._draw()
        self.query_one("#whole").focus()

    def on_resize(self) -> None:
        """Use the room that there is."""
        self._draw()

    def _draw(self) -> None:
        width = max(20, self.app.size.width - 4)
        self._shown.say(lines(view.detail(self._entry, width)))

    def on_entry_screen_found(self, message: Found) -> None:
        """Show another entry."""
        if isinstance(message.found, Entry):
            self._entry = message.found
            self._draw()
            self.refresh_bindings()
        elif isinstance(message.found, ApplianceError):
            self._shown.say(alarm(f"{message.found.code}: {message.found.message}"))

    def action_along(self, step: int) -> None:
        """The entry before or after."""
        seq, client = self._entry.seq + step, self._desk.reader
        if seq >= 0:
            background(
                lambda: client.entry(seq), lambda found: self.post_message(self.Found(found))
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Texts are for admins, where they were kept."""
        if action == "decrypt":
            allowed = self._desk.may(Role.ADMIN)
            return allowed if view.has_texts(self._entry) or not allowed else None
        return True

    def action_proof(self) -> None:
        """Write a proof of this entry."""
        seq, client = self._entry.seq, self._desk.client

        def work(answers: Answers, _report: Report) -> str:
            document = client.proof(seq)
            with open(answers["out"], "xb") as file:  # noqa: PTH123 - never over another file
                file.write(document)
            return f"proof of entry {seq}: {answers['out']}"

        self.post_message(
            Page.Begin(
                Change(
                    f"Write a proof of entry {seq}",
                    f"GET /admin/audit/entries/{seq}/proof",
                    "nothing: reading the log is not recorded",
                    work,
                    blanks=(Blank("out", "New file", f"entry-{seq}.proof", needed=True),),
                )
            )
        )

    def action_decrypt(self) -> None:
        """Read the prompt and the answer, which is recorded."""
        seq, client = self._entry.seq, self._desk.client

        def work(_answers: Answers, _report: Report) -> Entry:
            return client.entry(seq, content=True)

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
