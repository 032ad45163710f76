"""Live requests: who is being answered, and ending one."""

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from appliance.types import Role
from appliance.wire.admin.models import REQUEST_CANCEL, REQUESTS, RequestList, RunningRequest
from tui.change import asking
from tui.desk import Desk
from tui.screens.listing import DetailPage
from tui.view import requests as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EMPTY: Final = "No requests. Apps send them with a key; press 5, then N to make one."


class RequestsPage(DetailPage[RunningRequest]):
    """Requests being answered now."""

    DIGIT: ClassVar[str] = "3"
    TITLE: ClassVar[str] = "Requests"
    AT = REQUESTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("C", "cancel", "Cancel request"),
        Binding("p", "hold", "Hold still"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {"cancel": REQUEST_CANCEL.role}

    def __init__(self, desk: Desk) -> None:
        rows = Rows("running", view.COLUMNS, lambda r: r.request_id, self._cells, _EMPTY)
        super().__init__(desk, rows, Part("request"))
        self._held = False

    def compose_below(self) -> ComposeResult:
        """The one under the cursor."""
        yield self._one

    def came(self, answer: RequestList) -> None:
        """The requests, unless the person holds the list still."""
        if not self._held:
            self.found = answer.requests

    def words(self, item: RunningRequest) -> str:
        """Text that the filter searches."""
        waits = "queued" if item.queued else "running"
        return f"{item.app} {item.key_id} {item.model} {item.request_id} {waits} {item.priority}"

    def summed(self) -> Content:
        """Summary line."""
        return view.summary(self.found, self.rows.count)

    def said(self, item: RunningRequest, width: int) -> list[Content]:
        """The one under the cursor."""
        return [view.detail(item, self.desk.wall())]

    def _cells(self, request: RunningRequest) -> Any:
        return view.row(request, self.desk.wall())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There must be a request to end."""
        allowed = super().check_action(action, parameters)
        if action == "cancel" and allowed and self.rows.current is None:
            return None
        return allowed

    def action_hold(self) -> None:
        """Hold the list still while one reads it, or let it go."""
        self._held = not self._held
        words = "The list is held still; p lets it go." if self._held else "The list continues."
        self.post_message(self.Said(words))

    def action_cancel(self) -> None:
        """End the request under the cursor."""
        request = self.rows.current
        if request is None:
            return
        name = request.request_id
        self.begin(
            asking(
                self.desk.client,
                REQUEST_CANCEL,
                f"Cancel the request of {request.app or request.key_id} to {request.model}",
                f"admin: request_cancel {name}, by you",
                lambda done: f"request {name} {'ended' if done.cancelled else 'had ended already'}",
                explain=("Its client gets the error request_cancelled.",),
                request_id=name,
            )
        )
