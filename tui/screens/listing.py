"""A screen that is a list with a filter, and details of the item under the cursor.

Rules: the filter keeps the items whose words hold the typed text, whatever its case; escape takes
it away before it does anything else. Enter opens an item; in an empty list it runs the first step
that the list names.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content

from appliance.errors import ApplianceError
from appliance.wire.admin.endpoint import Endpoint
from tui.change import first_step, typed
from tui.desk import Desk
from tui.link import Question
from tui.screens.page import Page
from tui.text import alarm, cell, lines
from tui.widgets.entry import EntryLine
from tui.widgets.menu import Menu, lettered
from tui.widgets.part import Part
from tui.widgets.rows import Rows

T = TypeVar("T")
_ABOVE = 2
"""Lines of a border and a count."""
BROAD = 140
"""Cells of a terminal from which on the list and what is known stand beside each other."""


class ListPage(Page, Generic[T]):
    """A list of items."""

    FILTER_HELP: ClassVar[str] = "words to look for"
    COMMAND: ClassVar[str] = ""
    """The command that shows an item, to copy."""
    FIRST: ClassVar[str] = ""
    """Enter in an empty list: an action's name, or a place's title; else the command that the empty
    list names."""

    def __init__(self, desk: Desk, rows: Rows[T]) -> None:
        super().__init__(desk)
        self.rows = rows
        self.filter = EntryLine(
            name=f"filter-{self.TITLE.lower()}", help=self.FILTER_HELP, entered=self.searched
        )
        self.filter.add_class("filter")
        self.filter.display = False
        self._kept = ""

    def compose(self) -> ComposeResult:
        with Container(classes="split"):
            with Vertical(classes="list"):
                yield from self.compose_above()
                yield self.rows
                yield self.filter
            yield from self.compose_below()

    def compose_above(self) -> ComposeResult:
        yield from ()

    def compose_below(self) -> ComposeResult:
        yield from ()

    @property
    def beside(self) -> int:
        """Cells in a line of what stands below the list, or beside it."""
        width = self.app.size.width
        edge = 5 if self.screen.has_class("-tall") else 3  # frame, padding, the scroll bar
        return max(20, (width * 9 // 22 if width >= BROAD else width) - edge)

    def _most_lines(self) -> int:
        """All lines, or so many that the details keep their room."""
        size = self.app.size
        room = self.size.height or size.height - 5
        alone = not self.query(".detail, .whole-page")
        share = room if alone or size.width >= BROAD else room * 6 // 10
        framed = self.screen.has_class("-tall")
        return max(2, share - _ABOVE - framed - self.filter.display)

    def items(self) -> Sequence[T]:
        return ()

    def words(self, item: T) -> str:
        told = [cell(each).plain for each in self.rows.told(item)]
        return " ".join([self.rows.key_of(item), str(getattr(item, "digest", "")), *told])

    def moved(self) -> None:
        """The cursor is on another item."""

    def enter(self) -> None:
        self.screen.set_focus(self.rows)

    def narrow(self, words: str) -> None:
        self.filter.value = words
        self.filter.display = bool(words)

    def chosen(self) -> Sequence[T]:
        return self.rows.chosen

    def draw(self) -> None:
        wanted = self.filter.value.lower().split()
        items = self.items()
        if wanted:
            items = [item for item in items if self._matches(item, wanted)]
        self.rows.say_unknown("" if self.known else self.unknown)
        self.rows.styles.max_height = self._most_lines()
        self.rows.show(items)

    def _matches(self, item: T, wanted: list[str]) -> bool:
        words = self.words(item).lower()
        return all(word in words for word in wanted)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        message.stop()
        current = self.rows.current
        name = "" if current is None else self.rows.key_of(current)
        name = f"{self.rows.marked} {name}"
        if name != self._kept:
            self._kept = name
            self.moved()
            self.draw()
            self.screen.refresh_bindings()

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        message.stop()
        current = self.rows.current
        if current is not None:
            self.open(current)
        elif self.known and self.filter.value:
            self.beyond()
        elif self.known:
            self.first_step()

    def open(self, item: T) -> None:
        pass

    def beyond(self) -> None:
        """Go on from where the filter finds nothing."""

    def first_step(self) -> None:
        line = first_step(self.rows.empty)
        if any(act.name == self.FIRST for act in self.ACTS):
            self.do(self.FIRST)
        elif self.FIRST:
            self.post_message(self.Go(self.FIRST))
        elif line and not self.desk.readonly:
            self.begin(typed(self.desk.commands, line))

    def copies(self) -> Sequence[tuple[str, str]]:
        item = self.rows.current
        if item is None:
            return ()
        name, digest = self.rows.key_of(item), getattr(item, "digest", None)
        found = [("id", name), *([("digest", str(digest))] if digest else [])]
        return [*found, *([("command", f"appliance {self.COMMAND} {name}")] * bool(self.COMMAND))]

    def on_input_changed(self, message: EntryLine.Changed) -> None:
        message.stop()
        self.draw()

    def searched(self) -> None:
        self.filter.display = bool(self.filter.value)
        self.screen.set_focus(self.rows)

    def action_filter(self) -> None:
        self.filter.display = True
        self.screen.set_focus(self.filter)  # at once: the next keys may be there already

    def action_sort(self) -> None:
        titles = [column.title for column in self.rows.columns]
        named = [(title, str(n)) for n, title in enumerate(titles) if title]

        self.app.push_screen(Menu("SORT BY", lettered(named), lambda n: self.rows.sort(int(n))))

    def back(self) -> bool:
        """Show everything again, then take the marks away."""
        if not self.filter.display:
            return self.rows.unmark()
        self.filter.value = ""
        self.filter.display = False
        self.screen.set_focus(self.rows)
        self.draw()
        return True


class DetailPage(ListPage[T]):
    """A list with its summary above, and details of the item under the cursor.

    Args:
        one, more: the parts below.

    Attributes:
        found: the items of the last poll.
    """

    AT: ClassVar[Endpoint[None, Any] | None] = None
    """Asked with each poll."""

    def __init__(self, desk: Desk, rows: Rows[T], one: Part, *more: Part) -> None:
        super().__init__(desk, rows)
        self._more = more
        self._summary, self._one = Part(f"{self.TITLE.lower()}-summary", classes="summary"), one
        self._error: ApplianceError | None = None
        self.found: Sequence[T] = []

    def compose_above(self) -> ComposeResult:
        yield self._summary

    def compose_below(self) -> ComposeResult:
        with VerticalScroll(classes="detail", can_focus=False):
            yield from (self._one, *self._more)

    def question(self) -> Question | None:
        at = self.AT
        return None if at is None else Question(at.path, lambda client: client.call(at))

    def take(self, topic: str, answer: Any) -> None:
        self._error = answer if isinstance(answer, ApplianceError) else None
        if self._error is None:
            self.came(answer)

    def came(self, answer: Any) -> None:
        """Keep an answer."""

    def items(self) -> Sequence[T]:
        return self.found

    def summed(self) -> Content:
        return Content("")

    def said(self, item: T, width: int) -> list[Content]:
        return []

    def draw(self) -> None:
        super().draw()
        if self._error is not None:
            self._summary.say(alarm(f"{self._error.code}: {self._error.message}"))
        elif self.known:
            self._summary.say(self.summed())
        current = self.rows.current
        self._one.say(lines([] if current is None else self.said(current, self.beside)))
        self.screen.refresh_bindings()
