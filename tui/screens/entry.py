"""One audit entry whole: its hashes, its body, and its texts for those who may read them."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.errors import ApplianceError
from appliance.types import Report, Role
from appliance.wire.admin.models import AUDIT_ENTRY, Entry
from tui.background import background
from tui.change import Answers, Change
from tui.desk import Desk
from tui.keys import Act
from tui.screens.full_view import WholeScreen
from tui.screens.receipt import ReceiptScreen, is_answer, no_replay, proof, replay
from tui.text import alarm
from tui.view import audit as view

_COPIED: Final = (
    ("request id", "request_id"), ("key id", "key_id"), ("model", "model"), ("digest", "digest"),
)  # fmt: skip


class EntryScreen(WholeScreen):
    """An entry; `[` and `]` go along the log, enter opens the receipt of an answer."""

    frame_title = "AUDIT ENTRY"
    PART = "entry"
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("p", "proof", "Write a proof"),
        Act("d", "decrypt", "Decrypt the texts", Role.ADMIN),
        Act("r", "replay", "Compute the answer again", Role.OPERATOR),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "receipt", "Receipt"),
        Binding("enter", "dismiss", "Back", show=False),
    ]

    def __init__(self, desk: Desk, entry: Entry) -> None:
        super().__init__(desk)
        self._entry = entry

    def said(self, width: int) -> list[Content]:
        return view.detail(self._entry, width)

    def _came(self, found: object) -> None:
        if isinstance(found, Entry):
            self._entry = found
            self.draw()
            self.refresh_bindings()
        elif isinstance(found, ApplianceError):
            self.shown.say(alarm(f"{found.code}: {found.message}"))

    def action_span(self, step: int) -> None:
        seq, client = self._entry.seq - step, self.desk.reader
        if seq >= 0:
            work = partial(client.call, AUDIT_ENTRY, seq=seq)
            background(work, partial(self.call_later, self._came))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "receipt":
            return is_answer(self._entry)
        return super().check_action(action, parameters)

    def action_receipt(self) -> None:
        self.app.push_screen(ReceiptScreen(self.desk, self._entry))

    def chosen(self) -> Sequence[Entry]:
        return (self._entry,)

    def copies(self) -> Sequence[tuple[str, str]]:
        return entry_copies(self._entry)

    def refuses(self, act: str, item: Entry) -> str:
        if act == "replay":
            return no_replay(item)
        return "" if act == "proof" or view.has_texts(item) else "no texts were kept"

    def make(self, act: str, item: Entry) -> Change | None:
        seq, client = item.seq, self.desk.client
        if act == "replay":
            return replay(self.desk, item)
        if act == "proof":
            return proof(self.desk, seq)

        def work(_answers: Answers, _report: Report) -> Entry:
            return client.call(AUDIT_ENTRY, seq=seq, content=True)

        return Change(
            f"Decrypt the texts of entry {seq}",
            f"GET /admin/audit/entries/{seq}?content=true",
            f"admin: content_read of entry {seq}, by you",
            work,
            explain=("Prompts and answers may hold personal data.",),
            then=partial(self.call_later, self._came),
        )


def entry_copies(entry: Entry | None) -> Sequence[tuple[str, str]]:
    """Texts of an entry that can be copied."""
    if entry is None:
        return ()
    named = [(words, str(entry.body[name])) for words, name in _COPIED if entry.body.get(name)]
    found = [("seq", str(entry.seq)), ("leaf hash", entry.leaf), *named]
    return [*found, ("command", f"appliance audit show {entry.seq}")]
