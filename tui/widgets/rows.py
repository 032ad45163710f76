"""A list of any length, one line for each item, with a cursor.

Rules: only the lines that are on the screen are made, so ten thousand items cost what twenty do; a
line is drawn again only when it changed; the cursor stays on its item when items come and go; the
cursor is a character, not a colour only.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from tui.columns import Column, Layout
from tui.text import Cell, cell
from tui.widgets.part import faded

T = TypeVar("T")
_MARGIN = 3  # the cursor on the left, a blank on the right


class Rows(ScrollView, Generic[T], can_focus=True):
    """A list.

    Args:
        columns: what each line shows.
        key: names an item for good.
        cells: what an item shows, one for each column.
        empty: said when there is no item.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class Chosen(Message):
        """Enter on an item."""

        def __init__(self, rows: "Rows[Any]") -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> "Rows[Any]":
            """The list."""
            return self.rows

    class Moved(Chosen):
        """The cursor is on another item, or the item says something else."""

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        key: Callable[[T], str],
        cells: Callable[[T], Sequence[Cell]],
        empty: str = "none",
    ) -> None:
        super().__init__(id=name)
        self._columns, self._key, self._cells, self._empty = columns, key, cells, empty
        self._unknown = ""
        self._items: Sequence[T] = []
        self._cursor = 0
        self._layout, self._laid_out_for = Layout(columns, 80), 80
        self._drawn: dict[int, Content] = {}

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        return self._items[self._cursor] if self._items else None

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    @property
    def cursor(self) -> int:
        """The place of the cursor."""
        return self._cursor

    def key_of(self, item: T) -> str:
        """The name of an item."""
        return self._key(item)

    def show(self, items: Sequence[T], *, at_end: bool = False) -> None:
        """Take the items; the cursor stays on its own if it is still there.

        Args:
            at_end: put the cursor on the last one.
        """
        held = None if self.current is None else self._key(self.current)
        before = self._cursor
        self._items = items
        if at_end:
            self._cursor = max(0, len(items) - 1)
        elif not (before < len(items) and self._key(items[before]) == held):
            place = next((n for n, item in enumerate(items) if self._key(item) == held), before)
            self._cursor = max(0, min(place, len(items) - 1))
        self.virtual_size = Size(0, len(items) + 1)
        self._keep_in_view()
        self._draw_changes()
        self.post_message(self.Moved(self))

    def say_unknown(self, words: str) -> None:
        """Say this in place of that there is no item; empty when that is known."""
        if words != self._unknown:
            self._unknown = words
            self._draw_changes()

    def move_to(self, place: int) -> None:
        """Put the cursor on an item by its place."""
        place = max(0, min(place, len(self._items) - 1))
        if place == self._cursor:
            return
        self._cursor = place
        self._keep_in_view()
        self._draw_changes()
        self.post_message(self.Moved(self))

    def action_move(self, step: int) -> None:
        """One line up or down."""
        self.move_to(self._cursor + step)

    def action_page(self, step: int) -> None:
        """One screen up or down."""
        self.move_to(self._cursor + step * max(1, self.size.height - 2))

    def action_edge(self, last: int) -> None:
        """To the first or the last line."""
        self.move_to(last * (len(self._items) - 1))

    def action_choose(self) -> None:
        """Open the item under the cursor."""
        if self._items:
            self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there, or open what it is on."""
        place = self.scroll_offset.y + event.y - 1
        if event.y and 0 <= place < len(self._items):
            if place == self._cursor:
                self.action_choose()
            self.move_to(place)

    def on_resize(self) -> None:
        """Use the room that there is."""
        self._keep_in_view()
        self._draw_changes()

    def on_focus(self) -> None:
        """Show that keys come here."""
        self._draw_changes()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self._draw_changes()

    def render_line(self, y: int) -> Strip:
        """One line of the screen; the first is the head."""
        content = self._line(y)
        self._drawn[y] = content
        style = self.visual_style
        (strip,) = Visual.to_strips(self, content, self.size.width, 1, style, pad=True) or [
            Strip.blank(self.size.width, self.rich_style)
        ]
        return strip

    def _lay_out(self) -> Layout:
        """For the room that there is now; a scroll bar comes and goes without a word."""
        width = max(10, self.size.width - _MARGIN)
        if width != self._laid_out_for:
            self._layout, self._laid_out_for = Layout(self._columns, width), width
        return self._layout

    def _line(self, y: int) -> Content:
        blank, layout = Content(" "), self._lay_out()
        if y == 0:
            return (Content("  ") + layout.head()) if self._items else blank
        place = self.scroll_offset.y + y - 1
        if not self._items:
            said = self._unknown or self._empty
            return cell(f"  {said}", "$secondary") if y == 1 else blank
        if place >= len(self._items):
            return blank
        row = faded(layout.row(self._cells(self._items[place])), self)
        if place != self._cursor:
            return Content("  ") + row
        marked = cell("> ", "bold $primary") + row
        padded = marked.pad_right(max(0, self.size.width - marked.cell_length))
        return padded.stylize("bold on $boost" if not self.has_focus else "bold on $panel")

    def _draw_changes(self) -> None:
        for y in range(self.size.height):
            if y not in self._drawn or not self._drawn[y].is_same(self._line(y)):
                self.refresh(Region(0, y, self.size.width, 1))

    def _keep_in_view(self) -> None:
        room = max(1, self.size.height - 1)
        top = round(self.scroll_y)
        if self._cursor < top:
            top = self._cursor
        elif self._cursor >= top + room:
            top = self._cursor - room + 1
        top = max(0, min(top, max(0, len(self._items) - room)))
        if top != round(self.scroll_y):
            self.scroll_to(y=top, animate=False, force=True, immediate=True)
