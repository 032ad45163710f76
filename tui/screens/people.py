"""The queue of people: what no stage of a route answered.

Rules: the nearest deadline comes first; an answer is one of the labels, JSON where the task answers
in fields, else a text; it stays as it is.
"""

import json
from typing import Any, ClassVar

from textual.content import Content

from appliance.errors import BadRequest
from appliance.types import JsonValue
from appliance.wire.admin import queue as wire
from tui.change import Answers, Blank, Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import people as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows


class PeoplePage(DetailPage[wire.Waiting]):
    """Answers that wait for a person."""

    TITLE: ClassVar[str] = "People"
    COMMAND: ClassVar[str] = "queue show"
    AT = wire.QUEUE
    ACTS: ClassVar[tuple[Act, ...]] = (Act("a", "answer", "Answer", wire.QUEUE_ANSWER.role),)

    def __init__(self, desk: Desk) -> None:
        empty = 'No requests wait. A route with `on_defer = "queue"` sends them here.'
        rows = Rows("waiting", view.COLUMNS, lambda one: one.id, self._cells, empty)
        super().__init__(desk, rows, Part("waits", "ASKED"))

    def came(self, answer: wire.Queue) -> None:
        self.found = answer.items

    def open(self, item: wire.Waiting) -> None:
        self.do("answer")

    def summed(self) -> Content:
        return view.summary(self.found, self.desk.wall())

    def said(self, item: wire.Waiting, width: int) -> list[Content]:
        return view.detail(item, self.desk.wall(), width)

    def make(self, act: str, item: wire.Waiting) -> Change | None:
        form = "JSON of its schema" if item.form is not None else "a text"
        blank = Blank(
            "answer", "Answer", needed=True, choices=tuple(item.labels),
            help=", ".join(item.labels)[:60] or form,
        )  # fmt: skip

        def wanted(answers: Answers) -> wire.QueueAnswer:
            said: JsonValue = answers["answer"]
            if item.form is not None:
                try:
                    said = json.loads(answers["answer"])
                except ValueError as error:
                    message = f"The answer is no JSON: {error}"
                    raise BadRequest("invalid_value", message, param="answer") from error
            return wire.QueueAnswer.of(answer=said)

        return asking(
            self.desk.client,
            wire.QUEUE_ANSWER,
            f"Answer {item.app} on {item.task}",
            f"queue: answer of {item.id}, by you",
            lambda done: f"{done.id} is {done.state}",
            request=wanted,
            blanks=(blank,),
            explain=tuple(view.asked(item, 64)[:8]),
            item_id=item.id,
        )

    def _cells(self, item: wire.Waiting) -> Any:
        return view.row(item, self.desk.wall())
