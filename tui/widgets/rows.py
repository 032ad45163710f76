"""A list of any length, one line for each item, with a cursor.

Rules: only the lines on the screen are made, so ten thousand items cost what twenty do; a line is
drawn again only when it changed; the cursor stays on its item when items come and go; the cursor
and a mark are characters, not a colour alone.
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

from tui.columns import Column, Layout, order
from tui.text import Cell, cell
from tui.widgets.part import faded

T = TypeVar("T")
_MARGIN = 3  # the cursor on the left, a blank on the right
_LOOKED_AT = 40
"""Items whose cells decide how wide columns are."""


class Rows(ScrollView, Generic[T], can_focus=True):
    """A list.

    Args:
        key: names an item for good.
        cells: of an item, one for each column.
        empty: said when there is no item.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home", "edge(0)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
        Binding("space", "mark", "Mark", show=False),
    ]

    class Chosen(Message):
        """Enter on an item."""

        def __init__(self, rows: "Rows[Any]") -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> "Rows[Any]":
            return self.rows

    class Moved(Chosen):
        """The cursor is on another item, or the item's text changed."""

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
        self._head = int(any(column.title for column in columns))  # its lines
        self._sorted_by: tuple[int, bool] | None = None
        self._marked: set[str] = set()
        self._layout, self._laid_out_for = Layout(columns, 80), 0
        self._drawn: dict[int, Content] = {}

    @property
    def current(self) -> T | None:
        return self._items[self._cursor] if self._items else None

    @property
    def empty(self) -> str:
        return self._empty

    def told(self, item: T) -> Sequence[Cell]:
        return self._cells(item)

    @property
    def columns(self) -> Sequence[Column]:
        return self._columns

    @property
    def chosen(self) -> list[T]:
        """The marked items, or the one under the cursor."""
        marked = [item for item in self._items if self._key(item) in self._marked]
        return marked or ([] if self.current is None else [self.current])

    @property
    def marked(self) -> int:
        return len(self._marked)

    def unmark(self) -> bool:
        """Take every mark away; false where there was none."""
        had = bool(self._marked)
        self._marked.clear()
        self._draw_changes()
        return had

    def sort(self, column: int | None) -> None:
        """The same column again turns the order."""
        if column is None:
            self._sorted_by = None
        else:
            falls = self._sorted_by is not None and self._sorted_by == (column, False)
            self._sorted_by = (column, falls)
        self.show(self._items)

    @property
    def count(self) -> int:
        return len(self._items)

    @property
    def cursor(self) -> int:
        return self._cursor

    def key_of(self, item: T) -> str:
        return self._key(item)

    def show(self, items: Sequence[T]) -> None:
        """The cursor stays on its item."""
        held = None if self.current is None else self._key(self.current)
        before = self._cursor
        self._items = items = self._in_order(items)
        self._marked &= {self._key(item) for item in items} if self._marked else set()
        self._laid_out_for = 0
        if not (before < len(items) and self._key(items[before]) == held):
            place = next((n for n, item in enumerate(items) if self._key(item) == held), before)
            self._cursor = max(0, min(place, len(items) - 1))
        size = Size(0, len(items) + self._head)
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh(layout=True)
        self._keep_in_view()
        self._draw_changes()
        self.post_message(self.Moved(self))

    def _in_order(self, items: Sequence[T]) -> Sequence[T]:
        if self._sorted_by is None:
            return items
        column, falls = self._sorted_by
        keyed = [(order(cell(self._cells(item)[column]).plain), item) for item in items]
        known = sorted((k for k in keyed if k[0][0] != 2), key=lambda k: k[0], reverse=falls)
        return [item for _, item in [*known, *(k for k in keyed if k[0][0] == 2)]]

    def say_unknown(self, words: str) -> None:
        """Say this while it is unknown whether there is an item; "" when that is known."""
        if words != self._unknown:
            self._unknown = words
            self._draw_changes()

    def move_to(self, place: int) -> None:
        place = max(0, min(place, len(self._items) - 1))
        if place == self._cursor:
            return
        self._cursor = place
        self._keep_in_view()
        self._draw_changes()
        self.post_message(self.Moved(self))

    def action_move(self, step: int) -> None:
        self.move_to(self._cursor + step)

    def action_page(self, step: int) -> None:
        self.move_to(self._cursor + step * max(1, self.size.height - 1 - self._head))

    def action_edge(self, last: int) -> None:
        self.move_to(last * (len(self._items) - 1))

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self))

    def action_mark(self) -> None:
        if self.current is not None:
            self._marked ^= {self._key(self.current)}
            self.action_move(1)
            self._draw_changes()
            self.post_message(self.Moved(self))

    def on_click(self, event: events.Click) -> None:
        place = self.scroll_offset.y + event.y - self._head
        if event.y >= self._head and 0 <= place < len(self._items):
            if place == self._cursor:
                self.action_choose()
            self.move_to(place)

    def on_resize(self) -> None:
        self._keep_in_view()
        self._draw_changes()

    def on_focus(self) -> None:
        self._draw_changes()

    def on_blur(self) -> None:
        self._draw_changes()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are, so that nothing stands apart below a short list."""
        return max(1, len(self._items)) + self._head

    def render_line(self, y: int) -> Strip:
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
            looked_at = map(self._cells, self._items[:_LOOKED_AT])
            self._layout = Layout(self._columns, width, looked_at, self._sorted_by)
            self._laid_out_for = width
        return self._layout

    def _line(self, y: int) -> Content:
        blank, layout = Content(" "), self._lay_out()
        if y < self._head:
            return (Content("  ") + layout.head()) if self._items else blank
        place = self.scroll_offset.y + y - self._head
        if not self._items:
            said = self._unknown or self._empty
            return cell(f"  {said}", "$secondary") if y == self._head else blank
        if place >= len(self._items):
            return blank
        row = faded(layout.row(self._cells(self._items[place])), self)
        marks = self._key(self._items[place]) in self._marked
        if place != self._cursor:
            return cell("* " if marks else "  ", "bold $primary") + row
        marked = cell(">*" if marks else "> ", "bold $primary") + row
        padded = marked.pad_right(max(0, self.size.width - marked.cell_length))
        return padded.stylize("bold on $boost" if not self.has_focus else "bold on $panel")

    def _draw_changes(self) -> None:
        for y in range(self.size.height):
            if y not in self._drawn or not self._drawn[y].is_same(self._line(y)):
                self.refresh(Region(0, y, self.size.width, 1))

    def _keep_in_view(self) -> None:
        room = max(1, self.size.height - self._head)
        top = round(self.scroll_y)
        if self._cursor < top:
            top = self._cursor
        elif self._cursor >= top + room:
            top = self._cursor - room + 1
        top = max(0, min(top, max(0, len(self._items) - room)))
        if top != round(self.scroll_y):
            self.scroll_to(y=top, animate=False, force=True, immediate=True)
