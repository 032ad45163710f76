"""The collections: their documents, refusals, and a line to search them with.

Rules: the server records a search, and finds what an admin may read; nothing is changed here.
"""

from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin import collections as wire
from appliance.wire.admin.collections import Collection, Passages, ReportList, SearchWanted, Shown
from appliance.wire.admin.jobs import JOBS, Job
from tui.background import background
from tui.change import Change
from tui.desk import Desk
from tui.keys import Act
from tui.link import Question
from tui.screens.listing import DetailPage
from tui.text import alarm, lines, quiet
from tui.view import collections as view
from tui.widgets.entry import EntryLine
from tui.widgets.keys import KeyLine
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_KIND: Final = "ingest"
_NEWEST: Final = 300  # jobs that are looked through


class CollectionsFound(NamedTuple):
    """The collections, the newest ingest of each, and details that were not known."""

    collections: list[Collection]
    jobs: dict[str, Job]
    shown: Shown | None
    report: ReportList | None


class CollectionsPage(DetailPage[Collection]):
    """Collections, by name."""

    TITLE: ClassVar[str] = "Collections"
    COMMAND: ClassVar[str] = "collection show"
    ACTS: ClassVar[tuple[Act, ...]] = (Act("s", "search", "Search", Role.ADMIN),)

    def __init__(self, desk: Desk) -> None:
        empty = wire.COLLECTION_TABLE.empty
        rows = Rows("collections", view.COLUMNS, lambda c: c.name, self._cells, empty)
        super().__init__(desk, rows, Part("collection", "DOCUMENTS"))
        self._jobs: dict[str, Job] = {}
        self._details: dict[tuple[str, int], tuple[Shown, ReportList | None]] = {}

    def question(self) -> Question | None:
        name = None if self.rows.current is None else self.rows.current.name
        return Question(f"collections {name}", lambda client: self._ask(client, name))

    def _ask(self, client: AdminClient, name: str | None) -> CollectionsFound:
        found = client.call(wire.COLLECTIONS).collections
        jobs: dict[str, Job] = {}
        for job in client.call(JOBS, count=_NEWEST).jobs:
            if job.kind == _KIND:
                jobs.setdefault(job.title.rpartition(" into ")[2], job)
        one = next((c for c in found if c.name == name), found[0] if found else None)
        if one is None or (one.name, one.generation) in self._details:
            return CollectionsFound(found, jobs, None, None)
        if not self.desk.may(Role.OPERATOR):
            return CollectionsFound(found, jobs, None, None)
        last = jobs.get(one.name)
        report = (
            None if last is None else client.call(wire.INGEST_REPORT, name=one.name, job_id=last.id)
        )
        return CollectionsFound(found, jobs, client.call(wire.COLLECTION, name=one.name), report)

    def came(self, answer: CollectionsFound) -> None:
        self.found, self._jobs = answer.collections, answer.jobs
        if answer.shown is not None:
            one = answer.shown.collection
            self._details[one.name, one.generation] = (answer.shown, answer.report)
        live = {(c.name, c.generation) for c in self.found}
        self._details = {key: told for key, told in self._details.items() if key in live}

    def moved(self) -> None:
        self.post_message(self.Asked())

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: Collection, width: int) -> list[Content]:
        told = self._details.get((item.name, item.generation))
        return [] if told is None else view.detail(*told, width)

    def _cells(self, found: Collection) -> Any:
        return view.row(found, self._jobs.get(found.name), self.desk.wall())

    def open(self, item: Collection) -> None:
        self.do("search")

    def make(self, act: str, item: Collection) -> Change | None:
        self.app.push_screen(SearchScreen(self.desk, item.name))
        return None


class SearchScreen(ModalScreen[None]):
    """A line to ask with, and the passages."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back")]

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__()
        self._desk, self._searched = desk, name
        self._line = EntryLine(name="query", help="a question or words", entered=self._entered)
        self._shown = Part("passages")
        self._found: Passages | None = None
        self._waits = False

    def compose(self) -> ComposeResult:
        with Vertical(id="whole") as box:
            box.border_title = "SEARCH"
            yield self._line
            with VerticalScroll(classes="whole-page"):
                yield self._shown
        yield KeyLine()

    def on_mount(self) -> None:
        self._shown.say(quiet("Enter searches as an admin: everything. The log records it."))
        self.set_focus(self._line)

    def on_resize(self) -> None:
        self._draw()

    def _entered(self) -> None:
        query = self._line.value.strip()
        if not query or self._waits:
            return
        self._waits = True
        client, name = self._desk.client, self._searched

        def search() -> object:
            wanted = SearchWanted.of(query=query[:8_192], limit=10)
            return client.call(wire.COLLECTION_SEARCH, wanted, name=name)

        background(search, partial(self.call_later, self._came))

    def _came(self, found: object) -> None:
        self._waits = False
        if isinstance(found, ApplianceError):
            self._shown.say(lines([alarm(f"{found.code}: {found.message}"), quiet(found.hint)]))
        elif isinstance(found, Passages):
            self._found = found
            self._draw()

    def _draw(self) -> None:
        if self._found is not None:
            width = max(20, self.app.size.width - 6)
            self._shown.say(lines(view.passages(self._found, width)))
