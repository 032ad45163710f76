"""The audit explorer: the newest entries first, page by page, with a search.

Rules: only one page of the log is held, however long it is; the newest page follows the log, an
older one stays as it is; verification works without a server.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult

from appliance.client import AdminClient
from appliance.errors import ApplianceError, BadRequest
from appliance.types import Report, Role
from appliance.wire.admin.models import AUDIT_ENTRIES, Entry, EntryList, EntryQuery
from tui.change import Answers, Blank, Change
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question
from tui.screens.checkpoint import CheckpointScreen
from tui.screens.entry import EntryScreen, entry_copies
from tui.screens.listing import ListPage
from tui.screens.receipt import no_replay, replay
from tui.screens.verify import VerifyScreen
from tui.text import alarm, lines
from tui.view import audit as view
from tui.view.units import many
from tui.widgets.part import Part
from tui.widgets.rows import Rows

PAGE = 100
_EMPTY = "No entries match. Press / to remove a condition."


class AuditPage(ListPage[Entry]):
    """The log."""

    TITLE: ClassVar[str] = "Audit"
    COMMAND: ClassVar[str] = "audit show"
    FILTER_HELP: ClassVar[str] = view.HELP
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("v", "verify", "Verify the log", item=False),
        Act("c", "checkpoint", "Checkpoint and QR code", item=False),
        Act("e", "export", "Export", item=False),
        Act("r", "replay", "Compute the answer again", Role.OPERATOR, many=True),
    )

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            desk, Rows("entries", view.COLUMNS, lambda e: str(e.seq), view.row, _EMPTY)
        )
        self._place = Part("place")
        self._found = EntryList(entries=[])
        self._befores: list[int | None] = [None]
        self._words = ""
        self._error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        yield self._place

    def question(self) -> Question | None:
        wanted = view.query(self._words, PAGE)
        before = self._befores[-1]
        if before is not None:
            wanted = wanted.model_copy(update={"before": before})
        return Question(f"audit {self._words} {before}", partial(_page, query=wanted))

    def take(self, topic: str, answer: Any) -> None:
        self._error = answer if isinstance(answer, ApplianceError) else None
        if isinstance(answer, EntryList):
            at_top = self.rows.cursor == 0
            self._found = answer
            if at_top:
                self.rows.show(answer.entries)
                self.rows.move_to(0)

    def items(self) -> list[Entry]:
        return self._found.entries

    def _matches(self, item: Entry, wanted: list[str]) -> bool:
        """The server has searched already."""
        return True

    def draw(self) -> None:
        super().draw()
        if self._error is not None:
            self._place.say(alarm(f"{self._error.code}: {self._error.message}"))
            return
        if not self.known:
            self._place.say(lines([]))
            return
        head = self.desk.status.audit if self.desk.status else None
        entries, more = head.entries if head else 0, self._found.next_before is not None
        place = view.place(self._words, len(self._befores), self._found.entries, entries, more=more)
        self._place.say(lines([place, *(view.replays(head) if head else [])]))

    def on_input_changed(self, message: Any) -> None:
        message.stop()

    def searched(self) -> None:
        try:
            view.query(self.filter.value, PAGE)
        except BadRequest as error:
            self._error = error
            self.draw()
            return
        self._go(self.filter.value.strip(), [None])
        super().searched()

    def back(self) -> bool:
        narrowed = super().back()
        self._error = None
        if self._words or len(self._befores) > 1:
            self._go("", [None])
            return True
        return narrowed

    def _go(self, words: str, befores: list[int | None]) -> None:
        self._words, self._befores, self._error = words, befores, None
        self.rows.move_to(0)
        self.post_message(self.Asked())

    def open(self, item: Entry) -> None:
        self.app.push_screen(EntryScreen(self.desk, item))

    def narrow(self, words: str) -> None:
        super().narrow(words)
        if words != self._words:
            self._words, self._befores, self._error = words, [None], None

    def copies(self) -> Sequence[tuple[str, str]]:
        return entry_copies(self.rows.current)

    def action_span(self, step: int) -> None:
        if step > 0 and self._found.next_before is not None:
            self._go(self._words, [*self._befores, self._found.next_before])
        elif step < 0 and len(self._befores) > 1:
            self._go(self._words, self._befores[:-1])

    def refuses(self, act: str, item: Entry | None) -> str:
        return no_replay(item) if act == "replay" and item is not None else ""

    def make(self, act: str, item: Entry | None) -> Change | None:
        if item is not None:
            return replay(self.desk, item)
        if act == "verify":
            self.app.push_screen(VerifyScreen(self.desk))
        elif act == "checkpoint":
            self.app.push_screen(CheckpointScreen(self.desk))
        return self._export() if act == "export" else None

    def _export(self) -> Change:
        commands = self.desk.commands

        def work(answers: Answers, report: Report) -> str:
            done = commands.run(
                *("audit", "export", "--format", answers["format"], "--out", answers["out"]),
                report=report,
            )
            return f"{many(int(done.get('entries') or 0), 'entry')}: {answers['out']}"

        formats = ("tiles", "ocsf", "cef", "rfc5424", "csv")
        return Change(
            "Export the log",
            "appliance audit export --format FORMAT --out PATH",
            "nothing: reading the log is not recorded",
            work,
            blanks=(
                Blank("format", "Format", "tiles", needed=True, choices=formats),
                Blank("out", "New file or directory", needed=True),
            ),
        )


def _page(client: AdminClient, query: EntryQuery) -> EntryList:
    """A whole page, of up to ten short ones."""
    page = client.call(AUDIT_ENTRIES, query)
    found = page.entries
    for _ in range(9):
        if page.next_before is None or len(found) >= PAGE:
            break
        left = PAGE - len(found)
        query = query.model_copy(update={"before": page.next_before, "limit": left})
        page = client.call(AUDIT_ENTRIES, query)
        found = [*found, *page.entries]
    return page.model_copy(update={"entries": found})
