"""A screen that is a list with a filter, and something about the item under the cursor.

Rules: the filter keeps the items whose words hold what was typed, whatever its case; escape takes
it away before it does anything else.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from appliance.errors import ApplianceError
from appliance.wire.admin.endpoint import Endpoint
from tui.desk import Desk
from tui.link import Question
from tui.screens.page import Page
from tui.text import alarm, lines
from tui.widgets.entry import EntryLine
from tui.widgets.part import Part
from tui.widgets.rows import Rows

T = TypeVar("T")


class ListPage(Page, Generic[T]):
    """A list of items.

    Args:
        rows: the list.
    """

    FILTER_HELP: ClassVar[str] = "words to look for"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "filter", "Filter", key_display="/")]

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
        """The list, the filter, the rest."""
        yield from self.compose_above()
        yield self.rows
        yield self.filter
        yield from self.compose_below()

    def compose_above(self) -> ComposeResult:
        """Compose the part above the list."""
        yield from ()

    def compose_below(self) -> ComposeResult:
        """Compose the part below the list."""
        yield from ()

    def items(self) -> Sequence[T]:
        """All items."""
        return ()

    def words(self, item: T) -> str:
        """Text that the filter searches."""
        return str(item)

    def moved(self) -> None:
        """The cursor is on another item."""

    def enter(self) -> None:
        """Keys go to the list."""
        self.screen.set_focus(self.rows)

    def draw(self) -> None:
        """Show the items that the filter keeps."""
        wanted = self.filter.value.lower().split()
        items = self.items()
        if wanted:
            items = [item for item in items if self._matches(item, wanted)]
        self.rows.say_unknown("" if self.known else self.unknown)
        self.rows.show(items)

    def _matches(self, item: T, wanted: list[str]) -> bool:
        words = self.words(item).lower()
        return all(word in words for word in wanted)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Tell the screen once for each item that the cursor comes to."""
        message.stop()
        current = self.rows.current
        name = "" if current is None else self.rows.key_of(current)
        if name != self._kept:
            self._kept = name
            self.moved()
            self.draw()
            self.screen.refresh_bindings()

    def on_input_changed(self, message: EntryLine.Changed) -> None:
        """Narrow the list as one types."""
        message.stop()
        self.draw()

    def searched(self) -> None:
        """Back to the list, which stays narrowed."""
        self.filter.display = bool(self.filter.value)
        self.screen.set_focus(self.rows)

    def action_filter(self) -> None:
        """Type what to look for."""
        self.filter.display = True
        self.screen.set_focus(self.filter)  # at once: the next keys may be there already

    def back(self) -> bool:
        """Show everything again."""
        if not self.filter.display:
            return False
        self.filter.value = ""
        self.filter.display = False
        self.screen.set_focus(self.rows)
        self.draw()
        return True


class DetailPage(ListPage[T]):
    """A list with what sums it up above, and what is known of the item under the cursor below.

    Args:
        one: the part below.

    Attributes:
        found: the items of the last poll.
    """

    AT: ClassVar[Endpoint[None, Any] | None] = None
    """Asked with each poll."""

    def __init__(self, desk: Desk, rows: Rows[T], one: Part) -> None:
        super().__init__(desk, rows)
        self._summary, self._one = Part(f"{self.TITLE.lower()}-summary"), one
        self._error: ApplianceError | None = None
        self.found: Sequence[T] = []

    def compose_above(self) -> ComposeResult:
        """Compose the count, or the error."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The one under the cursor."""
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._one

    def question(self) -> Question | None:
        """All of them."""
        at = self.AT
        return None if at is None else Question(at.path, lambda client: client.call(at))

    def take(self, topic: str, answer: Any) -> None:
        """The answer, or why there is none."""
        self._error = answer if isinstance(answer, ApplianceError) else None
        if self._error is None:
            self.came(answer)

    def came(self, answer: Any) -> None:
        """Keep an answer."""

    def items(self) -> Sequence[T]:
        """Those of the last poll."""
        return self.found

    def summed(self) -> Content:
        """All of them in a line."""
        return Content("")

    def said(self, item: T, width: int) -> list[Content]:
        """The one under the cursor."""
        return []

    def draw(self) -> None:
        """Draw the current state."""
        super().draw()
        if self._error is not None:
            self._summary.say(alarm(f"{self._error.code}: {self._error.message}"))
        elif self.known:
            self._summary.say(self.summed())
        current = self.rows.current
        width = max(20, self.app.size.width - 4)
        self._one.say(lines([] if current is None else self.said(current, width)))
        self.screen.refresh_bindings()
