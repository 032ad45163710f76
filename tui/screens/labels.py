"""The label queues: which there are, and how far their people are.

Rules: what compares the raters' labels comes from the server, which tells it when both have
finished.
"""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.labels import LabelQueue, LabelQueueList
from tui.desk import Desk
from tui.link import Question
from tui.screens.labelling import LabellingScreen
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import labels as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class LabelsPage(ListPage[LabelQueue]):
    """Queues of items that people label."""

    TITLE: ClassVar[str] = "Labels"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("B", "label", "Label, blind"),
        Binding("D", "differences", "Differences"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {"label": Role.OPERATOR, "differences": Role.OPERATOR}

    def __init__(self, desk: Desk) -> None:
        empty = "No queues. Make one with `appliance label new DATASET_DIR`."
        super().__init__(desk, Rows("queues", view.COLUMNS, lambda q: q.name, self._cells, empty))
        self._summary, self._one = Part("labels-summary"), Part("queue", "QUEUE")
        self._queues: list[LabelQueue] = []

    def compose_above(self) -> ComposeResult:
        """What went wrong."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The queue under the cursor."""
        yield self._one

    def question(self) -> Question | None:
        """All queues."""
        return Question("labels", lambda client: client.label_queues())

    def take(self, topic: str, answer: Any) -> None:
        """The queues."""
        if isinstance(answer, LabelQueueList):
            self._queues = answer.queues
            self._summary.say(lines([]))
        elif isinstance(answer, ApplianceError):
            self._summary.say(alarm(f"{answer.code}: {answer.message}"))

    def items(self) -> list[LabelQueue]:
        """The queues of the last poll."""
        return self._queues

    def words(self, item: LabelQueue) -> str:
        """What the filter looks at."""
        return f"{item.name} {item.data} {' '.join(item.raters)}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        current = self.rows.current
        width = max(20, self.app.size.width - 4)
        self._one.say(lines(view.detail(current, width) if current is not None else []))
        self.screen.refresh_bindings()

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
