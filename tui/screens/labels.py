"""The label queues: which there are, and how far their people are.

Rules: what compares the raters' labels comes from the server, which tells it when both have
finished.
"""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.types import Role
from appliance.wire.admin.labels import LABEL_QUEUES, LabelQueue, LabelQueueList
from tui.desk import Desk
from tui.screens.labelling import LabellingScreen
from tui.screens.listing import DetailPage
from tui.view import labels as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class LabelsPage(DetailPage[LabelQueue]):
    """Queues of items that people label."""

    TITLE: ClassVar[str] = "Labels"
    AT = LABEL_QUEUES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("B", "label", "Label, blind"),
        Binding("D", "differences", "Differences"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {"label": Role.OPERATOR, "differences": Role.OPERATOR}

    def __init__(self, desk: Desk) -> None:
        empty = "No queues. Make one with `appliance label new DATASET_DIR`."
        rows = Rows("queues", view.COLUMNS, lambda q: q.name, self._cells, empty)
        super().__init__(desk, rows, Part("queue", "QUEUE"))

    def compose_below(self) -> ComposeResult:
        """The queue under the cursor."""
        yield self._one

    def came(self, answer: LabelQueueList) -> None:
        """The queues."""
        self.found = answer.queues

    def words(self, item: LabelQueue) -> str:
        """Text that the filter searches."""
        return f"{item.name} {item.data} {' '.join(item.raters)}"

    def said(self, item: LabelQueue, width: int) -> list[Content]:
        """The queue under the cursor."""
        return view.detail(item, width)

    def _cells(self, queue: LabelQueue) -> Any:
        return view.row(queue, self.desk.wall())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Differences are there when both raters have finished."""
        allowed = super().check_action(action, parameters)
        if not allowed or action not in self.NEEDS:
            return allowed
        queue = self.rows.current
        if queue is None:
            return None
        return True if action == "label" or (queue.finished and queue.unsettled) else None

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Enter labels, too."""
        message.stop()
        if self.check_action("label", ()):
            self.action_label()

    def action_label(self) -> None:
        """Label the items of the queue under the cursor."""
        self._open(together=False)

    def action_differences(self) -> None:
        """Settle differences, the two raters together."""
        self._open(together=True)

    def _open(self, *, together: bool) -> None:
        queue = self.rows.current
        if queue is not None:
            screen = LabellingScreen(self.desk, queue.name, together=together)
            self.app.push_screen(screen, self._left)

    def _left(self, _: None) -> None:
        """Look again at how far the people are."""
        self.post_message(self.Asked())
