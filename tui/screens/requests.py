"""Live requests: who is being answered, and ending one."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from textual.content import Content

from appliance.wire.admin.models import REQUEST_CANCEL, REQUESTS, RequestList, RunningRequest
from tui.change import Change, asking
from tui.desk import Desk
from tui.keys import Act
from tui.screens.listing import DetailPage
from tui.view import requests as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EMPTY: Final = "No requests. Apps need a key: press enter to make one."


class RequestsPage(DetailPage[RunningRequest]):
    """Requests being answered now."""

    TITLE: ClassVar[str] = "Requests"
    FIRST: ClassVar[str] = "Keys"
    AT = REQUESTS
    ACTS: ClassVar[tuple[Act, ...]] = (
        Act("c", "cancel", "Cancel", REQUEST_CANCEL.role, many=True),
    )

    def __init__(self, desk: Desk) -> None:
        rows = Rows("running", view.COLUMNS, lambda r: r.request_id, self._cells, _EMPTY)
        super().__init__(desk, rows, Part("request", "REQUEST"))
        self._held = False

    def came(self, answer: RequestList) -> None:
        """Unless the person holds the list still."""
        if not self._held:
            self.found = answer.requests

    def words(self, item: RunningRequest) -> str:
        return f"{super().words(item)} {'queued' if item.queued else 'running'}"

    def open(self, item: RunningRequest) -> None:
        self.post_message(self.Go("Audit", f"request={item.request_id}"))

    def beyond(self) -> None:
        if model := self._model():
            self.post_message(self.Go("Audit", f"kind=outcome model={model}"))

    def _model(self) -> str:
        models = self.desk.status.models if self.desk.status else []
        return next((one.id for one in models if one.id == self.filter.value), "")

    def draw(self) -> None:
        super().draw()
        if self.known and not self.rows.count and (model := self._model()):
            self.rows.say_unknown(
                f"{model} answers nobody now. Enter shows its answers in the log."
            )

    def copies(self) -> Sequence[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return ()
        found = f"appliance audit search --request {one.request_id}"
        return [("id", one.request_id), ("key id", one.key_id), ("command", found)]

    def summed(self) -> Content:
        return view.summary(self.found, self.rows.count)

    def said(self, item: RunningRequest, width: int) -> list[Content]:
        return view.detail(item, self.desk.wall(), width)

    def _cells(self, request: RunningRequest) -> Any:
        return view.row(request, self.desk.wall())

    def action_follow(self) -> None:
        self._held = not self._held
        words = "The list is held still; f lets it go." if self._held else "The list continues."
        self.post_message(self.Said(words))

    def make(self, act: str, item: Any) -> Change | None:
        name = item.request_id
        return asking(
            self.desk.client,
            REQUEST_CANCEL,
            f"Cancel the request of {item.app or item.key_id} to {item.model}",
            f"admin: request_cancel {name}, by you",
            lambda done: f"request {name} {'ended' if done.cancelled else 'had ended already'}",
            explain=("Its client gets the error request_cancelled.",),
            request_id=name,
        )
