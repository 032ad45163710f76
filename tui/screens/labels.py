"""The label queues: which there are, and how far their people are.

Rules: the server compares the raters' labels, and tells it when both have finished.
"""

from typing import Any, ClassVar

from textual.content import Content

from appliance.types import Role
from appliance.wire.admin.labels import LABEL_QUEUES, LabelQueue, LabelQueueList
from tui.change import Change
from tui.desk import Desk
from tui.keys import Act
from tui.screens.labelling import LabellingScreen
from tui.screens.listing import DetailPage
from tui.view import labels as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class LabelsPage(DetailPage[LabelQueue]):
    """Queues of items that people label."""

    TITLE: ClassVar[str] = "Labels"
    COMMAND: ClassVar[str] = "label show"
    AT = LABEL_QUEUES
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("l", "label", "Label, blind", Role.OPERATOR),
        Act("d", "differences", "Settle differences", Role.OPERATOR),
    )

    def __init__(self, desk: Desk) -> None:
        empty = "No label queues. Make one with `appliance label new DATASET_DIR`."
        rows = Rows("queues", view.COLUMNS, lambda q: q.name, self._cells, empty)
        super().__init__(desk, rows, Part("queue", "QUEUE"))

    def came(self, answer: LabelQueueList) -> None:
        self.found = answer.queues

    def said(self, item: LabelQueue, width: int) -> list[Content]:
        return view.detail(item, width)

    def _cells(self, queue: LabelQueue) -> Any:
        return view.row(queue, self.desk.wall())

    def refuses(self, act: str, item: LabelQueue) -> str:
        if act == "label" or (item.finished and item.unsettled):
            return ""
        return "no difference is left" if item.finished else "the raters have not finished"

    def open(self, item: LabelQueue) -> None:
        self.do("label")

    def make(self, act: str, item: LabelQueue) -> Change | None:
        """To settle differences takes the two raters together."""
        screen = LabellingScreen(self.desk, item.name, together=act == "differences")
        self.app.push_screen(screen, self._left)
        return None

    def _left(self, _: None) -> None:
        self.post_message(self.Asked())
