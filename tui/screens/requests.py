"""Live requests: who is being answered, and ending one."""

from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from appliance.errors import ApplianceError
from appliance.types import Role
from appliance.wire.admin.models import RequestList, RunningRequest
from tui.change import Answers, Change
from tui.command import Report
from tui.desk import Desk
from tui.link import Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import requests as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_EMPTY: Final = "No requests. Apps send them with a key; press 5, then N to make one."


class RequestsPage(ListPage[RunningRequest]):
    """What is being answered now."""

    DIGIT: ClassVar[str] = "3"
    TITLE: ClassVar[str] = "Requests"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("C", "cancel", "Cancel request"),
        Binding("p", "hold", "Hold still"),
    ]
    NEEDS: ClassVar[dict[str, Role]] = {"cancel": Role.OPERATOR}

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            desk, Rows("running", view.COLUMNS, lambda r: r.request_id, self._cells, _EMPTY)
        )
        self._summary, self._one = Part("requests-summary"), Part("request")
        self._requests: list[RunningRequest] = []
        self._held = False

    def compose_above(self) -> ComposeResult:
        """How many."""
        yield self._summary

    def compose_below(self) -> ComposeResult:
        """The one under the cursor."""
        yield self._one

    def question(self) -> Question | None:
        """All requests."""
        return Question("requests", lambda client: client.requests())

    def take(self, topic: str, answer: Any) -> None:
        """The requests, unless the person holds the list still."""
        if isinstance(answer, RequestList) and not self._held:
            self._requests = answer.requests
        elif isinstance(answer, ApplianceError):
            self._summary.say(alarm(f"{answer.code}: {answer.message}"))

    def items(self) -> list[RunningRequest]:
        """The requests of the last poll."""
        return self._requests

    def words(self, item: RunningRequest) -> str:
        """What the filter looks at."""
        waits = "queued" if item.queued else "running"
        return f"{item.app} {item.key_id} {item.model} {item.request_id} {waits} {item.priority}"

    def draw(self) -> None:
        """Say what is known now."""
        super().draw()
        if self.known:
            self._summary.say(view.summary(self._requests, self.rows.count))
        current = self.rows.current
        self._one.say(view.detail(current, self.desk.wall()) if current else lines([]))

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
        words = "The list is held still; p lets it go." if self._held else "The list goes on."
        self.post_message(self.Said(words))

    def action_cancel(self) -> None:
        """End the request under the cursor."""
        request = self.rows.current
        if request is None:
            return
        name, client = request.request_id, self.desk.client

        def work(_answers: Answers, _report: Report) -> str:
            done = client.cancel_request(name)
            return f"request {name} {'ended' if done.cancelled else 'had ended already'}"

        self.begin(
            Change(
                f"Cancel the request of {request.app or request.key_id} to {request.model}",
                f"POST /admin/requests/{name}/cancel",
                f"admin: request_cancel {name}, by you",
                work,
                explain=("Its client gets the error request_cancelled.",),
            )
        )
